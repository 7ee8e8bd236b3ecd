//! What a leader decides: who is lost, who is back, and the plan that follows; and the changes of
//! membership and leadership that keep the cluster in shape.
//!
//! Not for how a plan is carried out (`holding`).

use crate::{
    apply::assigned,
    core::Core,
    lead::Pending,
    maintaining,
    observing::Observed,
    paired::barred,
    promoting::promotion,
    stages::{Stage, stage, told},
};
use standfast_model::{
    command::{Change, Decision},
    config::{ClusterConfig, Timing},
    copies::is_role,
    effect::Level,
    id::{GroupId, MemberId, NodeId, ResourceId},
    order::{Orders, Restart},
    plan::{Assignment, Plan, PlanNumber},
    planted::Planted,
    state::{ClusterState, NodeState},
    time::{Micros, Now},
};
use standfast_schedule::{Facts, NodeFacts, Placement, place};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

/// Leadership moves to an idle node only after so much calm.
const CALM: Micros = Micros::from_millis(3000);
/// More voters than this make a cluster slower and no safer.
const MOST_VOTERS: usize = 7;

/// The facts of placement, as the state has them, with other nodes online than it says.
pub(crate) fn facts<'a>(
    state: &'a ClusterState,
    config: &'a ClusterConfig,
    online: &dyn Fn(&NodeId) -> bool,
) -> Facts<'a> {
    let nodes = config
        .nodes
        .iter()
        .map(|(node, settings)| {
            let known = state.nodes.get(node);
            let facts = NodeFacts {
                online: online(node),
                drained: known.is_some_and(|known| known.drained),
                leaving: known.is_some_and(NodeState::is_leaving),
                witness: settings.witness,
                barred: barred(state, node).or_else(|| maintaining::barred(state, node)),
                sick_interfaces: known
                    .map(|known| known.report.sick_interfaces.clone())
                    .unwrap_or_default(),
                interfaces: known
                    .map(|known| known.report.interfaces.clone())
                    .unwrap_or_default(),
            };
            (node.clone(), facts)
        })
        .collect();
    let current = state
        .plan
        .groups
        .iter()
        .filter_map(|(group, assignment)| Some((group.clone(), assignment.node.clone()?)))
        .collect();
    let waiting = state.plan.groups.iter().filter(|(_, a)| a.node.is_none());
    let waiting = waiting
        .filter_map(|(group, a)| Some((group.clone(), a.waiting.as_ref()?.node.clone()?)))
        .collect();
    let failures = state
        .failures
        .iter()
        .map(|(resource, records)| {
            let counts = records
                .iter()
                .map(|(node, record)| (node.clone(), record.count))
                .collect();
            (resource.clone(), counts)
        })
        .collect();
    let errors = state.failures.iter().map(|(resource, records)| {
        let lasting = records.iter().filter(|(_, r)| !r.severity.is_soft());
        let lasting = lasting.map(|(node, r)| (node.clone(), (r.severity, r.last.clone())));
        (resource.clone(), lasting.collect())
    });
    let moves = state
        .moves
        .iter()
        .map(|(group, request)| (group.clone(), request.to.clone()))
        .collect();
    Facts {
        config,
        nodes,
        current,
        blocked: BTreeMap::new(),
        failures,
        errors: errors.collect(),
        moves,
        orders: ordered(state, config),
        waiting,
        promotion: promotion(state, config),
    }
}

/// What is ordered for each group, by itself or with all copies.
fn ordered(state: &ClusterState, config: &ClusterConfig) -> BTreeMap<GroupId, Orders> {
    let groups = config.groups.keys();
    let ordered = groups.filter_map(|group| Some((group.clone(), state.orders_of(group)?)));
    ordered
        .map(|(group, orders)| (group, orders.into_owned()))
        .collect()
}

/// The plan that a placement makes: what stays on its node keeps the number under which it was given to it. That
/// goes for each member: one that was elsewhere, or nowhere, in between may still be started there by an order
/// that is under way, and a promise of before that would not refuse it.
pub(crate) fn plan_from(
    state: &ClusterState,
    config: &ClusterConfig,
    mut stage: Stage,
    term: u64,
) -> Plan {
    let number = PlanNumber {
        term,
        generation: state.plan.number.generation.saturating_add(1),
    };
    let placements = std::mem::take(&mut stage.placements);
    let groups = placements.into_iter().map(|(group, placement)| {
        let assignment = assignment(state, config, &mut stage, number, (&group, placement));
        (group, assignment)
    });
    let groups = groups.collect();
    Plan { number, groups }
}

fn assignment(
    state: &ClusterState,
    config: &ClusterConfig,
    stage: &mut Stage,
    number: PlanNumber,
    (group, placement): (&GroupId, Placement),
) -> Assignment {
    let settings = config.groups.get(group);
    let before = state.plan.groups.get(group);
    let orders = state.orders.get(group);
    let restart = orders.and_then(|orders| orders.restart.as_ref());
    let restart = restart.filter(|_| !stage.held.contains(group));
    let whole = restart.is_some_and(|restart| restart.from.is_none()) || stage.anew.contains(group);
    let stays = before.filter(|before| before.node == placement.node && !whole);
    let since = stays.map_or(number, |before| before.since);
    let members = settings
        .map(|settings| settings.members.clone())
        .unwrap_or_default();
    let given = |member: &ResourceId| match assigned(&state.plan, member) {
        Some((owner, since)) if owner == placement.node.as_ref() && !whole => since,
        Some(_) | None => number,
    };
    let anew = restart.map(|restart| from(&members, restart));
    let given = |member: &ResourceId| match anew {
        Some(anew) if anew.contains(member) => number,
        Some(_) | None => given(member),
    };
    let member_since = members
        .iter()
        .map(|member| (member.clone(), given(member)))
        .filter(|(_, own)| *own != since)
        .collect();
    let mut reasons = placement.reasons;
    if let Some(turn) = stage.reason(group, placement.node.as_ref()) {
        reasons.insert(0, turn);
    }
    Assignment {
        member_since,
        node: placement.node,
        members,
        reasons,
        since,
        maintenance: config.maintenance || settings.is_some_and(|settings| settings.maintenance),
        waiting: stage.waiting.remove(group),
        after: stage.after.remove(group).unwrap_or_default(),
    }
}

/// The members that a restart is about: a member and all that start after it, or all.
fn from<'m>(members: &'m [ResourceId], restart: &Restart) -> &'m [ResourceId] {
    let first = restart.from.as_ref();
    let position = first.and_then(|first| members.iter().position(|member| member == first));
    members.get(position.unwrap_or(0)..).unwrap_or_default()
}

/// Restarts that operators have asked for, and that the next decision takes up.
pub(crate) fn restarts(state: &ClusterState) -> Vec<GroupId> {
    let orders = state.orders.iter();
    orders
        .filter(|(_, orders)| orders.restart.is_some())
        .map(|(group, _)| group.clone())
        .collect()
}

/// Whether executing one plan differs from executing the other.
fn differs(before: &Plan, after: &Plan) -> bool {
    before.groups.len() != after.groups.len()
        || after.groups.iter().any(|(group, new)| {
            before.groups.get(group).is_none_or(|old| {
                old.node != new.node
                    || old.members != new.members
                    || old.maintenance != new.maintenance
                    || old.waiting != new.waiting
                    // Why somebody is promoted and others are not comes from agents, and changes with what they say.
                    || (is_role(group.as_str()) && old.reasons != new.reasons)
            })
        })
}

impl Core {
    /// Decides, if this node may and anything has changed. `beat`: a heartbeat has passed.
    pub(crate) fn decide_on(&mut self, now: Now, beat: bool) {
        let mut timing = self.timing();
        timing.drift_ppm = self.wait_drift();
        let Some(lead) = &mut self.lead else { return };
        if lead.rules(now, &timing).is_none() {
            return;
        }
        if !self
            .state
            .nodes
            .iter()
            .any(|(node, known)| known.online && lead.is_silent(node, now, &timing))
            && !lead.look
            && !beat
        {
            return;
        }
        lead.look = false;
        lead.looked = Some(now);
        self.propose_reports(now);
        self.grant_more(now);
        self.end_restart_grants(now);
        if self
            .lead
            .as_ref()
            .is_some_and(|lead| lead.pending.is_none())
        {
            self.decide(now, &timing);
        }
        if beat {
            self.promote_learners(now);
            self.forget_failures(now);
            self.end_orders(now);
            self.end_standbys(now);
            self.hand_over_leadership(now);
            self.raise_feature_level(now);
            self.tend_fences(now);
        }
    }

    fn decide(&mut self, now: Now, timing: &Timing) {
        let Some(lead) = &self.lead else { return };
        let mut expired = BTreeMap::new();
        let mut returned = BTreeSet::new();
        let members: BTreeSet<&NodeId> =
            self.state.members.values().map(|info| &info.node).collect();
        for (node, known) in &self.state.nodes {
            let silent = known.online && lead.is_silent(node, now, timing);
            let back = !known.online
                && lead.is_heard(node, now, timing)
                && members.contains(node)
                && lead
                    .peers
                    .get(node)
                    .is_some_and(|peer| peer.incarnation == known.report.incarnation);
            if silent {
                expired.insert(node.clone(), self.silence(node, now));
            } else if back {
                returned.insert(node.clone());
            }
        }
        // Placement depends on nothing else: the same state gives the same plan again.
        let same = lead.decided_at == Some(self.state.applied);
        if same && expired.is_empty() && returned.is_empty() {
            return;
        }
        let online = |node: &NodeId| {
            let known = self.state.nodes.get(node).is_some_and(|known| known.online);
            (known && !expired.contains_key(node)) || returned.contains(node)
        };
        let config = self.config_acted_on();
        let mut facts = facts(&self.state, &config, &online);
        if self.forgets(Planted::OrderForgotten) {
            facts.orders.clear();
        }
        self.bar_for_hand_over(&mut facts);
        let config = self.constrained(&config);
        facts.config = &config;
        let placements = place(&facts);
        let stage = stage(&self.state, &self.counted(&config), &online, placements);
        let observed = self.observe(&online);
        let moves = self.state.moves.keys().cloned();
        let moves_done: Vec<GroupId> = moves
            .filter(|group| !stage.is_under_way(&config, group))
            .collect();
        let mut restarts_done = restarts(&self.state);
        restarts_done.retain(|group| !stage.held.contains(group));
        let asked = !moves_done.is_empty() || !restarts_done.is_empty() || !stage.anew.is_empty();
        let plan = plan_from(&self.state, &config, stage, self.consensus.term());
        let changed = differs(&self.state.plan, &plan) || asked;
        if expired.is_empty() && returned.is_empty() && !changed && observed.is_none() {
            if let Some(lead) = &mut self.lead {
                lead.decided_at = Some(self.state.applied);
            }
            return;
        }
        let (text, evidence) = self.describe((&expired, &returned), &plan, observed.as_ref());
        let plan = changed.then_some(plan);
        let silent_ms = self.silent_for(expired.keys(), now);
        let decision = Decision {
            expired,
            silent_ms,
            returned: returned.into_iter().collect(),
            moves_done,
            restarts_done,
            observed: observed.map(|observed| observed.places),
            plan,
            text,
            evidence,
        };
        self.propose_decision(now, decision);
    }

    /// The constraints that a leader looks at: all of them, unless a bug is planted.
    pub(crate) fn constrained<'c>(&self, config: &'c ClusterConfig) -> Cow<'c, ClusterConfig> {
        let order = self.planted(Planted::OrderIgnored);
        let colocation = self.planted(Planted::ColocationIgnored);
        let location = self.planted(Planted::LocationIgnored);
        let mut config = Cow::Borrowed(config);
        if order {
            config.to_mut().constraints.sequences.clear();
        }
        if colocation {
            config.to_mut().constraints.colocations.clear();
        }
        if location {
            config.to_mut().constraints.locations.clear();
        }
        config
    }

    /// How many copies a leader lets run at once: as many as are to, unless a bug is planted.
    fn counted<'c>(&self, config: &'c ClusterConfig) -> Cow<'c, ClusterConfig> {
        let mut config = Cow::Borrowed(config);
        if self.planted(Planted::CopiesUncounted) {
            let copied = config.to_mut().copies.groups.values_mut();
            copied.for_each(|copied| copied.most = None);
        }
        config
    }

    /// Until it is applied, nothing is granted that it takes away.
    pub(crate) fn propose_decision(&mut self, now: Now, decision: Decision) {
        self.proposals += 1;
        let request = self.incarnation.0.rotate_left(17) ^ self.proposals;
        let pending = Pending {
            request,
            plan: decision.plan.clone(),
            expired: decision.expired.keys().cloned().collect(),
        };
        if self.propose(now, Some(request), Change::Decide(decision))
            && let Some(lead) = &mut self.lead
        {
            lead.pending = Some(pending);
        }
    }

    pub(crate) fn silent_for<'n>(
        &self,
        nodes: impl Iterator<Item = &'n NodeId>,
        now: Now,
    ) -> BTreeMap<NodeId, u64> {
        let since = nodes.filter_map(|node| Some((node.clone(), self.silent_since(node)?)));
        since
            .map(|(node, since)| (node, now.waited_since(since).as_millis_ceil()))
            .collect()
    }

    /// When a node was heard last. One that this leader has never heard was lost together with the
    /// leader before, as far as anybody knows.
    fn silent_since(&self, node: &NodeId) -> Option<Now> {
        let lead = self.lead.as_ref()?;
        let heard = lead.peers.get(node).and_then(|peer| peer.heard);
        heard.or(lead.before)
    }

    /// Evidence that a node is lost, as an operator would say it.
    fn silence(&self, node: &NodeId, now: Now) -> String {
        if self
            .state
            .nodes
            .get(node)
            .is_some_and(NodeState::is_leaving)
        {
            return "it was shut down, and its lease is over".to_owned();
        }
        let peer = self.lead.as_ref().and_then(|lead| lead.peers.get(node));
        if peer.is_some_and(|peer| peer.is_deaf(now, &self.timing())) {
            return "it does not hear the leader, and its lease is over".to_owned();
        }
        peer.and_then(|peer| peer.heard).map_or_else(
            || {
                "not heard since this leader was elected, and every lease given before is over"
                    .to_owned()
            },
            |at| {
                format!(
                    "not heard for {} ms, and its lease is over",
                    now.waited_since(at).as_millis_ceil()
                )
            },
        )
    }

    fn describe(
        &self,
        (expired, returned): (&BTreeMap<NodeId, String>, &BTreeSet<NodeId>),
        plan: &Plan,
        observed: Option<&Observed>,
    ) -> (String, Vec<String>) {
        let mut parts = Vec::new();
        let mut evidence: Vec<String> = expired
            .iter()
            .map(|(node, why)| format!("{node}: {why}"))
            .collect();
        for node in expired.keys() {
            let known = self.state.nodes.get(node);
            let meant = known.is_some_and(NodeState::is_leaving);
            let how = if meant { "has shut down" } else { "is lost" };
            parts.push(format!("{node} {how}"));
        }
        for node in returned {
            let before = self.state.nodes.get(node);
            // Nobody has ever missed it.
            let is_new = before.is_some_and(|known| known.offline_reason.is_empty());
            let how = if is_new { "is online" } else { "is back" };
            parts.push(format!("{node} {how}"));
        }
        let asked = restarts(&self.state);
        for (group, new) in &plan.groups {
            let old = self.state.plan.groups.get(group);
            let Some(part) = told(group, old, new, asked.contains(group)) else {
                continue;
            };
            parts.push(part);
            if old.and_then(|old| old.node.as_ref()) == new.node.as_ref() {
                continue;
            }
            evidence.extend(new.reasons.iter().map(|reason| {
                let about = reason
                    .node
                    .as_ref()
                    .map(|node| format!("{node}: "))
                    .unwrap_or_default();
                format!("{group}: {about}{}", reason.text)
            }));
        }
        if let Some(observed) = observed {
            parts.extend(observed.parts.iter().cloned());
            evidence.extend(observed.evidence.iter().cloned());
        }
        if parts.is_empty() {
            parts.push("the plan follows the configuration".to_owned());
        }
        (parts.join("; "), evidence)
    }

    /// Learners that have everything vote.
    fn promote_learners(&mut self, now: Now) {
        let pair = self.state.config.pair.is_some();
        if pair || self.consensus.voters().len() >= MOST_VOTERS || !self.voters_vouch() {
            return;
        }
        for member in self.consensus.learners() {
            let behind = self
                .consensus
                .matched(member)
                .is_none_or(|has| has < self.consensus.commit_index());
            let heard = self.node_of(member).is_some_and(|node| {
                self.lead
                    .as_ref()
                    .is_some_and(|lead| lead.is_heard(&node, now, &self.timing()))
            });
            if behind || !heard {
                continue;
            }
            if let Some(command) = self.encode(now, None, Change::Promote { member }) {
                // A refusal means that another change is on its way: asked again at the next heartbeat.
                let _busy = self.consensus.propose_promote(member, command).is_err();
            }
            return;
        }
    }

    pub(crate) fn voters_vouch(&self) -> bool {
        self.lead.as_ref().is_some_and(|lead| lead.voters_vouch)
    }

    /// Proposes that a member goes. False: not now.
    pub(crate) fn remove_member(&mut self, now: Now, member: MemberId) -> bool {
        if !self.voters_vouch() || self.log_is_closed() {
            return false;
        }
        let change = Change::RemoveMember { member, by: None };
        let command = self.encode(now, None, change);
        command.is_some_and(|command| self.consensus.propose_remove(member, command).is_ok())
    }

    /// The configuration as it is acted on, with what operators have ordered.
    pub(crate) fn config_acted_on(&self) -> Cow<'_, ClusterConfig> {
        if self.forgets(Planted::MaintenanceForgotten) {
            return self.state.config.as_acted_on();
        }
        self.state.acted(&self.state.config)
    }

    /// A planted bug that a leader has which took over from another one.
    pub(crate) fn forgets(&self, bug: Planted) -> bool {
        self.planted(bug) && self.lead.as_ref().is_some_and(|lead| lead.before.is_some())
    }

    /// Losing a primary that also leads costs an election on top; so an idle voter leads, if there is one.
    fn hand_over_leadership(&mut self, now: Now) {
        let timing = self.timing();
        let bridged = self.bridge().is_none() || self.is_bridged(now);
        let Some(lead) = &self.lead else { return };
        let busy = |node: &NodeId| {
            self.state
                .plan
                .groups
                .values()
                .any(|assignment| assignment.node.as_ref() == Some(node))
        };
        let ends = self.gives_leadership_away();
        // Nobody needs this, and it may end what runs: not where an election takes long.
        if !ends && Micros(self.slowest_write().0.saturating_mul(16)) > timing.lease {
            return;
        }
        let length = if ends { timing.leadership } else { CALM };
        let calm = now.waited_since(lead.began) > length
            && now.waited_since(lead.last_change) > length
            && lead.pending.is_none()
            && (ends || self.state.restart_grants.is_empty());
        if !calm || !bridged || !(ends || busy(&self.node)) {
            return;
        }
        let fit =
            |known: &NodeState| known.online && !known.is_leaving() && (ends || !known.drained);
        let heir = self.consensus.voters().into_iter().find(|member| {
            *member != self.member
                && self.consensus.matched(*member) == Some(self.consensus.last_index())
                && self.node_of(*member).is_some_and(|node| {
                    (ends || !busy(&node))
                        && lead.is_heard(&node, now, &timing)
                        && self.state.nodes.get(&node).is_some_and(fit)
                })
        });
        let Some(heir) = heir else { return };
        self.log(
            Level::Info,
            "leadership goes to a node that runs nothing".to_owned(),
        );
        self.hand_leadership_to(now, heir);
    }

    fn is_bridged(&mut self, now: Now) -> bool {
        let timing = self.timing();
        let least = self
            .bridge()
            .map_or(Micros::ZERO, |length| Micros(length.0 / 2));
        self.lead
            .as_mut()
            .is_some_and(|lead| lead.is_bridged(now, &timing, least))
    }

    pub(crate) fn hand_leadership_to(&mut self, now: Now, heir: MemberId) {
        self.give_up(Some((heir, now)));
        // Voters are released from their promise by a round of length zero; then the heir may be elected.
        self.last_round = None;
        self.lead_round(now);
        self.consensus.transfer(heir);
    }
}
