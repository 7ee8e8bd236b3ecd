//! The full account of a resource: every node's score as the sum of what was added to it, by whom and why.
//!
//! While a decision is made, stages say what they have just done; whatever has changed since the last word is theirs. Nothing
//! is kept, and nothing costs anything, unless an account was asked for. Not for deciding, and not for what would have to
//! change: see `remedy`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::input::{Cluster, Constraint};
use crate::role::{Role, Task};
use crate::schedule::decide_with;
use crate::score::INFINITY;
use crate::work::{ColocationId, NodeId, RscId, Table, Work, flag, order};

/// One contribution to a score.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// How much; plus or minus 1000000 decides alone.
    pub score: i32,
    /// Id of the constraint that gave it, if one did.
    pub constraint: Option<String>,
    /// What it is, as a sentence.
    pub text: String,
}

/// What a resource makes of one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeAccount {
    /// Node.
    pub node: String,
    /// The sum; none where nothing allows it.
    pub score: Option<i32>,
    /// Why the node takes nothing at all, if so.
    pub unusable: Option<String>,
    /// What the sum is made of, in the order of adding.
    pub parts: Vec<Part>,
}

/// One instance of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceAccount {
    /// Primitive, with the number of the instance.
    pub resource: String,
    /// Where it is put.
    pub node: Option<String>,
    /// Where it is active at present.
    pub active_on: Vec<String>,
    /// Its score for being promoted, where that was asked for.
    pub promotion: Option<i32>,
    /// What else is to be said of it, as sentences.
    pub notes: Vec<String>,
    /// Every node, the best one first.
    pub nodes: Vec<NodeAccount>,
}

/// What has been added to the scores of the resources that somebody asked about.
#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    resource: String,
    watched: Vec<RscId>,
    /// How many resources there were when it was last worked out which ones are meant.
    known: usize,
    seen: BTreeMap<RscId, Table>,
    entries: Vec<(RscId, NodeId, Part)>,
}

impl Ledger {
    pub(crate) fn of(resource: &str) -> Box<Self> {
        Box::new(Self {
            resource: resource.to_owned(),
            watched: Vec::new(),
            known: 0,
            seen: BTreeMap::new(),
            entries: Vec::new(),
        })
    }
}

/// Who has changed a score.
pub(crate) struct Cause {
    constraint: Option<String>,
    text: String,
}

impl Cause {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self {
            constraint: None,
            text: text.into(),
        }
    }

    /// So many failures that the limit is reached.
    pub(crate) fn of_failures(failures: i32, threshold: i32) -> Self {
        let counted = if failures >= INFINITY {
            "too often".to_owned()
        } else {
            format!("{failures} times")
        };
        Self::new(format!(
            "it failed {counted} here (migration-threshold {threshold})"
        ))
    }
}

/// The account of a resource with all that is in it; none if there is no such resource.
#[must_use]
pub fn account(input: &Cluster, resource: &str) -> Option<Vec<InstanceAccount>> {
    let work = decide_with(input, Some(Ledger::of(resource)));
    let ledger = work.ledger.as_ref()?;
    let instances: Vec<_> = ledger.watched.iter().map(|rsc| work.told(*rsc)).collect();
    (!instances.is_empty()).then_some(instances)
}

impl Work<'_> {
    /// Whatever has changed since the last word has this cause.
    pub(crate) fn note(&mut self, cause: impl FnOnce(&Self) -> Cause) {
        if self.ledger.is_some() {
            self.enter(cause);
        }
    }

    /// Takes back everything that was entered since then, as the scores have been.
    pub(crate) fn unnote(&mut self, entries: usize) {
        if let Some(mut ledger) = self.ledger.take() {
            ledger.entries.truncate(entries);
            for rsc in &ledger.watched {
                ledger.seen.insert(*rsc, self.rscs[*rsc].allowed.clone());
            }
            self.ledger = Some(ledger);
        }
    }

    /// How many entries there are, for `unnote`.
    pub(crate) fn noted(&self) -> usize {
        self.ledger
            .as_ref()
            .map_or(0, |ledger| ledger.entries.len())
    }

    fn enter(&mut self, cause: impl FnOnce(&Self) -> Cause) {
        let Some(mut ledger) = self.ledger.take() else {
            return;
        };
        if ledger.known != self.rscs.len() {
            ledger.known = self.rscs.len();
            let meant = |rsc: &RscId| self.is_primitive(*rsc) && self.is_part_of(*rsc, &ledger);
            ledger.watched = self.rscs.ids().filter(meant).collect();
        }
        let mut found = Vec::new();
        for rsc in &ledger.watched {
            let now = &self.rscs[*rsc].allowed;
            let before = ledger.seen.entry(*rsc).or_default();
            for (node, slot) in now.slots() {
                let change = change(before.score(node), slot.score);
                found.extend(change.map(|change| (*rsc, node, change)));
            }
            before.clone_from(now);
        }
        if !found.is_empty() {
            let Cause { constraint, text } = cause(self);
            let part = |score| Part {
                score,
                constraint: constraint.clone(),
                text: text.clone(),
            };
            let found = found.into_iter();
            let entries = found.map(|(rsc, node, score)| (rsc, node, part(score)));
            ledger.entries.extend(entries);
        }
        self.ledger = Some(ledger);
    }

    /// Whether the resource, or something around it, is the one that was asked about.
    fn is_part_of(&self, rsc: RscId, ledger: &Ledger) -> bool {
        let mut at = Some(rsc);
        while let Some(rsc) = at {
            let me = &self.rscs[rsc];
            if me.spec.config.id == ledger.resource || me.id == ledger.resource {
                return true;
            }
            at = me.parent;
        }
        false
    }

    pub(crate) fn because_of_location(&self, source: Option<usize>) -> Cause {
        let constraint = source.and_then(|at| self.input.constraints.get(at));
        match constraint {
            Some(Constraint::Location(location)) => Cause {
                constraint: Some(location.id.clone()),
                text: format!("location {}", location.id),
            },
            _ => Cause::new("health of the node"),
        }
    }

    /// A colocation, seen by the one that follows, or by the one that is followed.
    pub(crate) fn because_of_colocation(&self, id: ColocationId, followed: bool) -> Cause {
        let colocation = &self.colocations[id];
        let name = |rsc: RscId| &self.rscs[rsc].spec.config.id;
        let (dependent, primary) = (name(colocation.dependent), name(colocation.primary));
        let constraint = colocation.source;
        let constraint = constraint.and_then(|at| self.input.constraints.get(at));
        let id = match constraint {
            Some(Constraint::Colocation(given)) => Some(given.id.clone()),
            _ => None,
        };
        let apart = colocation.score < 0;
        let text = match (followed, apart) {
            (false, false) => format!("to be with {primary}"),
            (false, true) => format!("to be apart from {primary}"),
            (true, false) => format!("wishes of {dependent}, which is to be with it"),
            (true, true) => format!("wishes of {dependent}, which is to be apart from it"),
        };
        let text = match &id {
            Some(id) => format!("{text} (colocation {id})"),
            None => format!("{text} (same group)"),
        };
        Cause {
            constraint: id,
            text,
        }
    }

    fn told(&self, rsc: RscId) -> InstanceAccount {
        let me = &self.rscs[rsc];
        let name = |node: NodeId| self.nodes[node].name.clone();
        let mut nodes: Vec<(NodeId, NodeAccount)> = self
            .nodes
            .ids()
            .map(|node| (node, self.told_of(rsc, node)))
            .collect();
        nodes.sort_by_key(|(node, told)| {
            let score = told.score.unwrap_or(-INFINITY);
            let usable = told.unusable.is_none();
            (me.assigned != Some(*node), !usable, -score, node.at())
        });
        let promotable = self.rscs[self.top_of(rsc)].spec.promotable;
        let child = self.instance_of(rsc);
        InstanceAccount {
            resource: me.id.clone(),
            node: me.assigned.map(name),
            active_on: me.running_on.iter().copied().map(name).collect(),
            promotion: promotable.then(|| self.rscs[child].sort_index),
            notes: self.notes(rsc),
            nodes: nodes.into_iter().map(|(_, told)| told).collect(),
        }
    }

    /// The copy of a clone that a primitive is, or is in.
    fn instance_of(&self, rsc: RscId) -> RscId {
        let mut at = rsc;
        while let Some(parent) = self.rscs[at].parent
            && !self.is_clone(parent)
        {
            at = parent;
        }
        at
    }

    fn told_of(&self, rsc: RscId, node: NodeId) -> NodeAccount {
        let entries = self.ledger.iter().flat_map(|ledger| &ledger.entries);
        let parts = entries.filter(|(of, there, _)| *of == rsc && *there == node);
        let there = &self.nodes[node];
        let unusable = if there.unclean {
            Some("it is lost and has to be fenced first")
        } else if !there.online {
            Some("it is offline")
        } else if there.pending {
            Some("it has not joined yet")
        } else if there.shutdown {
            Some("it is shutting down")
        } else if there.standby {
            Some("it is in standby")
        } else if there.maintenance {
            Some("it is in maintenance")
        } else {
            None
        };
        NodeAccount {
            node: there.name.clone(),
            score: self.rscs[rsc].allowed.score(node),
            unusable: unusable.map(str::to_owned),
            parts: parts.map(|(_, _, part)| part.clone()).collect(),
        }
    }

    /// What decides besides scores.
    fn notes(&self, rsc: RscId) -> Vec<String> {
        let me = &self.rscs[rsc];
        let mut notes = Vec::new();
        let mut say = |text: &str| notes.push(text.to_owned());
        if me.blocked {
            say("it is blocked until somebody looks after it");
        } else if !me.managed && self.options.fencing && !self.have_fence_device {
            say("nothing is managed: fencing is switched on, and there is no device");
        } else if !me.managed {
            say("it is not managed: it is left where it is and as it is");
        }
        if me.spec.target_role == Some(Role::Stopped) {
            say("target-role is Stopped");
        }
        if self.options.stop_all {
            say("stop-all-resources is set");
        }
        if !self.input.have_quorum {
            say("there is no quorum");
        }
        let Some(node) = me.assigned else {
            return notes;
        };
        let start = self.first_action(rsc, Task::Start, Some(node));
        let waits = start.filter(|id| {
            let action = &self.actions[*id];
            !action.is(flag::RUNNABLE) && !action.is(flag::OPTIONAL)
        });
        if let Some(start) = waits {
            let links = self.actions[start].before.iter();
            let missing = links.filter(|link| {
                link.flags & order::RUNNABLE_LEFT != 0
                    && !self.actions[link.action].is(flag::RUNNABLE)
            });
            notes.extend(missing.filter_map(|link| {
                let first = &self.actions[link.action];
                let who = &self.rscs[first.rsc?].id;
                let task = first.task.name();
                Some(format!(
                    "it does not start: {task} of {who} has to come first, and cannot"
                ))
            }));
        }
        notes
    }
}

/// What was added to get from one score to another.
fn change(before: Option<i32>, now: i32) -> Option<i32> {
    match before {
        None => Some(now),
        Some(before) if before == now => None,
        Some(_) if now <= -INFINITY => Some(-INFINITY),
        Some(_) if now >= INFINITY => Some(INFINITY),
        Some(before) => Some(now.saturating_sub(before)),
    }
}
