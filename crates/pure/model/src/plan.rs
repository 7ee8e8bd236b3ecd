//! Plans: who runs what, numbered, immutable, leaving no choice to whoever executes them.
//!
//! Not for deciding a plan (crate `schedule`) and not for executing one (crate `cluster`).

use crate::id::{GroupId, Incarnation, NodeId, ResourceId};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// Number of a plan: the leader's term, then a generation that never repeats in the cluster.
/// Ordered; whatever carries an older number than a node has promised is refused.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct PlanNumber {
    /// Term of the leader that decided it.
    pub term: u64,
    /// Grows by one with every plan.
    pub generation: u64,
}

impl fmt::Display for PlanNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.term, self.generation)
    }
}

/// A decision of the leader about the whole cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Its number.
    pub number: PlanNumber,
    /// Where each group belongs. A group that is not named runs nowhere.
    pub groups: BTreeMap<GroupId, Assignment>,
}

/// One group's place in a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The node that is to run it, or none.
    pub node: Option<NodeId>,
    /// Members in start order (stopped in reverse), copied from the configuration that the plan was made from.
    pub members: Vec<ResourceId>,
    /// Why there: the scheduler's own reasons, in order of weight.
    pub reasons: Vec<Reason>,
    /// The plan in which this group was last given its node: an instance of an older one is not this one.
    pub since: PlanNumber,
    /// Members that were given to that node in another plan, from another group or later, and in which.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub member_since: BTreeMap<ResourceId, PlanNumber>,
    /// In maintenance: what runs stays, nothing is started, stopped or restarted.
    #[serde(default)]
    pub maintenance: bool,
    /// It is not yet where it is to be, because its turn has not come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// Those that it was started after, as they ran then.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub after: BTreeMap<GroupId, Run>,
}

/// What a group waits for. One that has a node stays there until another one is stopped; one that has none is started
/// when another one is active.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// The constraint.
    pub order: String,
    /// Whom it waits for.
    pub on: GroupId,
    /// Where it is to be then; none means nowhere.
    pub node: Option<NodeId>,
}

/// A run of a group, as far as its node reports: while it is the same, nothing of the group was restarted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The run of the agent there.
    pub incarnation: Incarnation,
    /// Failures of all members that it has seen.
    pub failures: u64,
}

impl Assignment {
    /// The plan since which a member has belonged to the node without a break.
    #[must_use]
    pub fn since_of(&self, member: &ResourceId) -> PlanNumber {
        self.member_since.get(member).copied().unwrap_or(self.since)
    }
}

/// One reason of the scheduler for or against one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// Node that it speaks about; none when it is about the group as a whole.
    pub node: Option<NodeId>,
    /// Contribution to the node's score; [`INFINITY`] and its negative decide alone.
    pub score: i64,
    /// Which rule gave it, as an operator would say it.
    pub text: String,
}

/// The score that no sum of others reaches (Pacemaker's value).
pub const INFINITY: i64 = 1_000_000;

/// What a plan makes a node do, for display and for `plan`: execution derives the same from the assignment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Action {
    /// Start or stop.
    pub kind: ActionKind,
    /// Which resource.
    pub resource: ResourceId,
    /// Where.
    pub node: NodeId,
    /// Positions in the list of actions that have to be complete before this one.
    pub after: Vec<usize>,
}

/// Kinds of action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActionKind {
    /// Stop the resource and confirm it.
    Stop,
    /// Start the resource under a lease.
    Start,
}
