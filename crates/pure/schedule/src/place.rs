//! Where each group belongs, with every contribution to every node's score as a reason.
//!
//! The order of the rules, for one group:
//! 1. A group whose stop failed is pinned to where it may still run. Nothing else is looked at.
//! 2. A group in maintenance stays where it is while that node is heard, and is started nowhere.
//! 3. A group that an operator has disabled runs nowhere.
//! 4. Exclusions (minus infinity): unheard, witness, drained, banned, too many failures or an error that another try does not end, client network sick.
//!    And locations: what a node has or lacks by its attributes (`locate`).
//! 5. Where those are that it is to be with, or apart from; and what those would like that are to be with it (`colocate`).
//! 6. A requested move to a node that is not excluded, or an order to keep it on one; it beats stickiness and preference.
//! 7. Preference and stickiness. Ties: where it runs, the node with fewest groups, the first name.
//!
//! Groups are placed by priority, then by name; before a group, those that it is to be with or apart from. The copies of
//! one group are placed together (`copies`).

use crate::{colocate, copies, locate::locate, score::add};
use standfast_model::{
    agent::Severity,
    config::{ClusterConfig, GroupConfig},
    id::{GroupId, NodeId, ResourceId},
    order::Orders,
    plan::{INFINITY, Reason},
};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

/// What placement depends on, and nothing else does it depend on.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// Configuration in force.
    pub config: &'a ClusterConfig,
    /// What is known of each node. One that is missing counts as not heard.
    pub nodes: BTreeMap<NodeId, NodeFacts>,
    /// Where each group is now, by the plan in force.
    pub current: BTreeMap<GroupId, NodeId>,
    /// Groups with a stop that was not confirmed: where, and why as an operator would say it.
    pub blocked: BTreeMap<GroupId, (NodeId, String)>,
    /// Failures that count, of each resource on each node.
    pub failures: BTreeMap<ResourceId, BTreeMap<NodeId, u32>>,
    /// Hard and fatal errors, of each resource on each node, with what was said.
    pub errors: BTreeMap<ResourceId, BTreeMap<NodeId, (Severity, String)>>,
    /// Switchovers that operators asked for; none means anywhere else.
    pub moves: BTreeMap<GroupId, Option<NodeId>>,
    /// What operators have ordered for groups.
    pub orders: BTreeMap<GroupId, Orders>,
    /// Groups that run nowhere and only wait for their turn: where they are to be.
    pub waiting: BTreeMap<GroupId, NodeId>,
    /// By how much the copy of each node is to be promoted, for each promoted role; without a copy that has said it, none.
    pub promotion: BTreeMap<GroupId, BTreeMap<NodeId, i64>>,
}

impl Facts<'_> {
    /// Where a group is, or is to be when its turn comes.
    pub(crate) fn home(&self, group: &GroupId) -> Option<&NodeId> {
        self.current.get(group).or_else(|| self.waiting.get(group))
    }

    /// Whether nothing is done with a group.
    pub(crate) fn is_maintained(&self, group: &GroupConfig) -> bool {
        self.config.maintenance || group.maintenance
    }

    /// Who has disabled a group.
    pub(crate) fn disabled_by(&self, group: &GroupId) -> Option<&str> {
        let disabled = self.orders.get(group)?.disabled.as_ref();
        disabled.map(|given| given.by.as_str())
    }
}

/// What is known of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeFacts {
    /// The leader hears it.
    pub online: bool,
    /// An operator drained it.
    pub drained: bool,
    /// Its agent was told to end.
    pub leaving: bool,
    /// It votes and runs nothing.
    pub witness: bool,
    /// Why it may run nothing for another reason, as a sentence.
    pub barred: Option<String>,
    /// Interfaces whose client network does not work, with the reason.
    pub sick_interfaces: BTreeMap<String, String>,
    /// The interface that each address resource would use there.
    pub interfaces: BTreeMap<ResourceId, String>,
}

/// One group's place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The node, or none when no node can run it.
    pub node: Option<NodeId>,
    /// Why: what concerns the whole group, then the chosen node, then the others from best to worst.
    pub reasons: Vec<Reason>,
}

/// Places every group of the configuration.
#[must_use]
pub fn place(facts: &Facts<'_>) -> BTreeMap<GroupId, Placement> {
    let mut order: Vec<(&GroupId, &GroupConfig)> = facts.config.groups.iter().collect();
    order.sort_by_key(|(id, group)| (Reverse(group.priority), *id));

    // A group that is not placed yet weighs where it is now, so that a new group does not go to a
    // node only because that node's groups have their turn later.
    let mut hosts = facts.waiting.clone();
    hosts.extend(facts.current.clone());
    let mut placing = Placing {
        facts,
        hosts,
        begun: BTreeSet::new(),
        placements: BTreeMap::new(),
    };
    for (id, group) in order {
        placing.place(id, group);
    }
    placing.placements
}

/// What is placed by now.
pub(crate) struct Placing<'f> {
    pub(crate) facts: &'f Facts<'f>,
    /// Where each group is, or was before it is placed.
    hosts: BTreeMap<GroupId, NodeId>,
    begun: BTreeSet<&'f GroupId>,
    pub(crate) placements: BTreeMap<GroupId, Placement>,
}

impl<'f> Placing<'f> {
    fn place(&mut self, id: &'f GroupId, group: &'f GroupConfig) {
        if !self.begun.insert(id) {
            return;
        }
        let config = self.facts.config;
        let together: Vec<(&GroupId, &GroupConfig)> = match &group.copy {
            Some(copy) => config.copies_of(&copy.group).collect(),
            None => vec![(id, group)],
        };
        self.begun.extend(together.iter().map(|(id, _)| *id));
        let with = together
            .iter()
            .flat_map(|(id, _)| colocate::followed_by(config, id));
        let of = group.promoted_of.iter();
        let of = of.flat_map(|of| config.copies_of(of).map(|(copy, _)| copy));
        let with: Vec<_> = with
            .chain(of)
            .filter_map(|with| config.groups.get_key_value(with))
            .collect();
        for (with, group) in with {
            self.place(with, group);
        }
        for (id, _) in &together {
            self.hosts.remove(*id);
        }
        let placed = together.into_iter();
        let placed = placed.map(|(id, group)| (id.clone(), self.place_group(id, group)));
        let mut placed: BTreeMap<GroupId, Placement> = placed.collect();
        if let Some(copy) = &group.copy {
            copies::choose(self.facts, &self.hosts, &copy.group, &mut placed);
        }
        for (id, placement) in placed {
            if let Some(node) = &placement.node {
                self.hosts.insert(id.clone(), node.clone());
            }
            self.placements.insert(id, placement);
        }
    }

    fn place_group(&self, id: &GroupId, group: &GroupConfig) -> Placement {
        let facts = self.facts;
        if let Some((node, why)) = facts.blocked.get(id) {
            let text = format!("a stop on {node} is not confirmed ({why}): it may still run there");
            return decided(Some(node), INFINITY, text);
        }
        if facts.is_maintained(group) {
            return place_in_maintenance(facts, id);
        }
        if let Some(by) = facts.disabled_by(id) {
            return decided(None, 0, format!("{by} disabled it"));
        }

        let mut candidates = able(facts, id, group);
        let mut about_group = Vec::new();
        if let Some(of) = &group.promoted_of {
            copies::follow(self, (id, of), &mut candidates);
        }
        if !facts.config.constraints.colocations.is_empty() {
            colocate::follow(self, id, &mut candidates);
            colocate::hear(facts, (id, group), &mut candidates, &mut about_group);
        }
        // A copy belongs to its node.
        let moving =
            group.copy.is_none() && apply_move(facts, id, &mut candidates, &mut about_group);
        for candidate in &mut candidates {
            prefer(facts, id, group, moving, candidate);
        }

        let current = facts.home(id);
        candidates.sort_by_key(|candidate| {
            (
                Reverse(candidate.score()),
                Reverse(candidate.target),
                Reverse(Some(candidate.node) == current),
                load(&self.hosts, candidate.node),
                candidate.node,
            )
        });
        let is_copy = group.copy.is_some();
        choose(&self.hosts, current, is_copy, candidates, about_group)
    }
}

/// The nodes with what speaks for and against each, of the group alone: its preferences come later.
pub(crate) fn able<'f>(
    facts: &'f Facts<'_>,
    id: &GroupId,
    group: &GroupConfig,
) -> Vec<Candidate<'f>> {
    let own = group.copy.as_ref().map(|copy| &copy.node);
    let mut candidates: Vec<Candidate<'f>> = all_nodes(facts)
        .into_iter()
        .filter(|node| own.is_none_or(|own| own == *node))
        .map(|node| Candidate::new(facts, group, node))
        .collect();
    if let Some(orders) = facts.orders.get(id) {
        candidates.iter_mut().for_each(|c| c.obey(orders));
    }
    locate(facts.config, id, &mut candidates);
    exclude_sick_networks(facts, group, &mut candidates);
    candidates
}

/// A node with what speaks for and against it.
pub(crate) struct Candidate<'a> {
    pub(crate) node: &'a NodeId,
    pub(crate) reasons: Vec<Reason>,
    /// An operator asked for this node.
    pub(crate) target: bool,
}

impl<'a> Candidate<'a> {
    /// A node with its exclusions; sick networks come later, because they are compared across nodes.
    fn new(facts: &Facts<'_>, group: &GroupConfig, node: &'a NodeId) -> Self {
        let mut candidate = Self {
            node,
            reasons: Vec::new(),
            target: false,
        };
        let known = facts.nodes.get(node);
        let configured = facts.config.nodes.get(node);
        if configured.is_none() {
            candidate.exclude(format!("{node} is not in the configuration"));
        }
        if configured.is_some_and(|n| n.witness) || known.is_some_and(|n| n.witness) {
            candidate.exclude(format!("{node} is a witness and runs no resources"));
        }
        if !known.is_some_and(|n| n.online) {
            candidate.exclude(format!("{node} is not online"));
        }
        if known.is_some_and(|n| n.drained) {
            candidate.exclude(format!("{node} is drained"));
        }
        if known.is_some_and(|n| n.leaving) {
            candidate.exclude(format!("{node} is shutting down"));
        }
        if let Some(why) = known.and_then(|n| n.barred.clone()) {
            candidate.exclude(why);
        }
        for member in &group.members {
            candidate.exclude_errors(facts, member);
            candidate.exclude_failures(facts, member);
        }
        candidate
    }

    /// What operators have ordered about this node.
    fn obey(&mut self, orders: &Orders) {
        for wish in orders.wishes.iter().filter(|wish| wish.node == *self.node) {
            let by = &wish.given.by;
            if wish.ban {
                self.exclude(format!("{by} keeps it away from {}", self.node));
            } else {
                self.target = true;
                self.reason(INFINITY, format!("{by} keeps it on {}", self.node));
            }
        }
    }

    /// One of this node, or one of any node that every node would come to.
    fn exclude_errors(&mut self, facts: &Facts<'_>, member: &ResourceId) {
        let Some(errors) = facts.errors.get(member) else {
            return;
        };
        for (node, (severity, why)) in errors {
            match severity {
                Severity::Fatal => self.exclude(format!(
                    "{member} cannot run anywhere as it is configured (found on {node}): {why}"
                )),
                Severity::Hard if node == self.node => {
                    self.exclude(format!("{member} cannot run on {node}: {why}"));
                }
                Severity::Hard | Severity::Soft => {}
            }
        }
    }

    fn exclude_failures(&mut self, facts: &Facts<'_>, member: &ResourceId) {
        let node = self.node;
        let count = facts.failures.get(member).and_then(|by| by.get(node));
        let count = count.copied().unwrap_or(0);
        let threshold = facts.config.resources.get(member);
        let threshold = threshold.map_or(u32::MAX, |r| r.failure.threshold.max(1));
        if count >= threshold {
            self.exclude(format!(
                "{member} failed {count} times on {node} (the limit is {threshold})"
            ));
        }
    }

    pub(crate) fn exclude(&mut self, text: String) {
        self.reason(-INFINITY, text);
    }

    pub(crate) fn reason(&mut self, score: i64, text: String) {
        self.reasons.push(Reason {
            node: Some(self.node.clone()),
            score,
            text,
        });
    }

    pub(crate) fn score(&self) -> i64 {
        self.reasons.iter().fold(0, |sum, r| add(sum, r.score))
    }

    pub(crate) fn eligible(&self) -> bool {
        self.score() > -INFINITY
    }
}

fn all_nodes<'a>(facts: &'a Facts<'_>) -> BTreeSet<&'a NodeId> {
    facts
        .config
        .nodes
        .keys()
        .chain(facts.nodes.keys())
        .collect()
}

/// A sick client network excludes a node, unless every node that could run the group is sick: then
/// moving helps nobody, and stopping would only make it worse.
fn exclude_sick_networks(facts: &Facts<'_>, group: &GroupConfig, candidates: &mut [Candidate<'_>]) {
    let well_somewhere = candidates
        .iter()
        .any(|c| c.eligible() && sickness(facts, group, c.node).is_none());
    for candidate in candidates {
        let Some(why) = sickness(facts, group, candidate.node) else {
            continue;
        };
        if well_somewhere {
            candidate.exclude(why);
        } else {
            candidate.reason(0, format!("{why}; no other node is better off"));
        }
    }
}

/// The sick network that a member of the group would use on this node, as an operator would say it.
fn sickness(facts: &Facts<'_>, group: &GroupConfig, node: &NodeId) -> Option<String> {
    let known = facts.nodes.get(node)?;
    group.members.iter().find_map(|member| {
        let interface = known.interfaces.get(member)?;
        let why = known.sick_interfaces.get(interface)?;
        Some(format!("client network of {member} on {node}: {why}"))
    })
}

/// Takes a requested move into account where it can be done. Returns whether it can.
fn apply_move(
    facts: &Facts<'_>,
    id: &GroupId,
    candidates: &mut [Candidate<'_>],
    about_group: &mut Vec<Reason>,
) -> bool {
    let Some((asked, target)) = colocate::asked(facts, id) else {
        return false;
    };
    let (what, because) = if asked == id {
        (String::from("it"), String::new())
    } else {
        (asked.to_string(), String::from(", which is to be with it"))
    };
    let current = facts.current.get(id);
    let possible = candidates.iter().any(|candidate| {
        let wanted = match target {
            Some(target) => candidate.node == target,
            None => Some(candidate.node) != current,
        };
        wanted && candidate.eligible()
    });
    if !possible {
        let text = match target {
            Some(target) => format!("asked to move to {target}, which cannot run it"),
            None => String::from("asked to move away, but no other node can run it"),
        };
        about_group.push(about(text));
        return false;
    }
    for candidate in candidates {
        let node = candidate.node;
        if target == Some(node) {
            candidate.target = true;
            candidate.reason(
                INFINITY,
                format!("an operator asked to move {what} to {node}{because}"),
            );
        } else if target.is_none() && Some(node) == current {
            let text = format!("an operator asked to move {what} away from {node}{because}");
            candidate.exclude(text);
        }
    }
    true
}

/// Preference and stickiness.
pub(crate) fn prefer(
    facts: &Facts<'_>,
    id: &GroupId,
    group: &GroupConfig,
    moving: bool,
    candidate: &mut Candidate<'_>,
) {
    let node = candidate.node;
    if let Some(score) = group.prefer.get(node) {
        candidate.reason(*score, format!("preference for {node}"));
    }
    if facts.home(id) != Some(node) {
        return;
    }
    if moving {
        candidate.reason(0, String::from("stickiness does not count in a switchover"));
    } else if group.stickiness != 0 && !facts.current.contains_key(id) {
        candidate.reason(group.stickiness, format!("is to be on {node} (stickiness)"));
    } else if group.stickiness != 0 {
        candidate.reason(group.stickiness, format!("runs on {node} (stickiness)"));
    }
}

pub(crate) fn load(hosts: &BTreeMap<GroupId, NodeId>, node: &NodeId) -> usize {
    hosts.values().filter(|host| *host == node).count()
}

/// Takes the first of the sorted candidates, if it can run the group, and says so when only a tie
/// decided.
fn choose(
    hosts: &BTreeMap<GroupId, NodeId>,
    current: Option<&NodeId>,
    is_copy: bool,
    mut candidates: Vec<Candidate<'_>>,
    mut reasons: Vec<Reason>,
) -> Placement {
    let mut node = None;
    if let [first, rest @ ..] = candidates.as_mut_slice()
        && first.eligible()
    {
        node = Some(first.node.clone());
        let score = first.score();
        let tied = rest.first().filter(|other| other.score() == score);
        if let Some(text) = tied.and_then(|other| broken_tie(hosts, current, first, other)) {
            first.reason(0, text);
        }
    }
    if node.is_none() {
        let only = candidates.first().filter(|_| candidates.len() == 1);
        let text = only.filter(|_| is_copy).map_or_else(
            || String::from("no node can run it"),
            |only| format!("it is the copy for {}, which cannot run it", only.node),
        );
        reasons.push(about(text));
    }
    for mut candidate in candidates {
        candidate
            .reasons
            .sort_by_key(|reason| Reverse(reason.score.unsigned_abs()));
        reasons.append(&mut candidate.reasons);
    }
    Placement { node, reasons }
}

fn broken_tie(
    hosts: &BTreeMap<GroupId, NodeId>,
    current: Option<&NodeId>,
    first: &Candidate<'_>,
    other: &Candidate<'_>,
) -> Option<String> {
    let rival = other.node;
    if first.target {
        None
    } else if Some(first.node) == current {
        Some(format!("scores as much as {rival}, and runs there already"))
    } else if load(hosts, first.node) < load(hosts, rival) {
        Some(format!("scores as much as {rival}, and has fewer groups"))
    } else {
        Some(format!("scores as much as {rival}: the first by name"))
    }
}

fn place_in_maintenance(facts: &Facts<'_>, id: &GroupId) -> Placement {
    let whose = if facts.config.observes() {
        "the cluster only observes"
    } else if facts.config.maintenance {
        "the cluster is in maintenance"
    } else {
        "the group is in maintenance"
    };
    let Some(node) = facts.current.get(id) else {
        return decided(None, 0, format!("{whose}: it is not started"));
    };
    if facts.nodes.get(node).is_some_and(|n| n.online) {
        decided(Some(node), INFINITY, format!("{whose}: it stays on {node}"))
    } else {
        let text = format!("{whose}: {node} is not online, and it is not started elsewhere");
        decided(None, 0, text)
    }
}

/// A placement that one rule decides alone.
fn decided(node: Option<&NodeId>, score: i64, text: String) -> Placement {
    Placement {
        node: node.cloned(),
        reasons: vec![Reason {
            node: node.cloned(),
            score,
            text,
        }],
    }
}

pub(crate) fn about(text: String) -> Reason {
    Reason {
        node: None,
        score: 0,
        text,
    }
}
