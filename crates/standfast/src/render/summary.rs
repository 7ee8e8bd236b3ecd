//! What `status` says, as data: derived from a view, printed as text or as JSON.
//!
//! The JSON is `standfast/status/1`: fields are added, never renamed or removed, within a version.

use super::{groups, health, nodes, warnings};
use serde::Serialize;
use standfast_model::{pair::PairView, request::View};
use std::collections::BTreeMap;

/// How the cluster is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// Everything that should run does, and nothing is missing.
    Ok,
    /// Everything that should run does, with less to fall back on than there should be.
    Degraded,
    /// Something that should run does not.
    Outage,
    /// The node that was asked reaches no majority: it cannot know.
    NoQuorum,
}

/// The whole of `status`.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Name and version of this document.
    pub schema: &'static str,
    /// How the cluster is.
    pub health: Health,
    /// The same as a sentence, with what matters most.
    pub sentence: String,
    /// Name of the cluster.
    pub cluster: String,
    /// Identity of the cluster.
    pub cluster_id: String,
    /// Version of the configuration in force.
    pub config_version: u64,
    /// The node that was asked.
    pub asked: String,
    /// The leader that it hears.
    pub leader: Option<String>,
    /// The term that it is in.
    pub term: u64,
    /// Whether it hears a leader with a majority.
    pub quorum: bool,
    /// Number of the plan in force, `term.generation`.
    pub plan: String,
    /// All nodes, by name.
    pub nodes: Vec<NodeLine>,
    /// All groups, by name.
    pub groups: Vec<GroupLine>,
    /// What an operator should know, most urgent first.
    pub warnings: Vec<String>,
    /// How the pair is, where this is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pair: Option<PairView>,
}

/// One node.
#[derive(Clone, Debug, Serialize)]
pub struct NodeLine {
    /// Its name.
    pub name: String,
    /// Whether the leader hears it.
    pub online: bool,
    /// Why not, when it is not.
    pub offline_reason: String,
    /// Whether it has ever joined.
    pub joined: bool,
    /// An operator drained it.
    pub drained: bool,
    /// Its agent announced a restart.
    pub restarting: bool,
    /// It votes and runs nothing.
    pub witness: bool,
    /// Its attributes, by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// Those that a location asks for, for the table.
    #[serde(skip)]
    pub asked_attributes: Vec<String>,
    /// `leader`, `voter`, `learner` or `none`; `primary` and `secondary` in a pair.
    pub role: &'static str,
    /// Links that the asked node hears, and all; none for the asked node itself.
    pub links: Option<(u32, u32)>,
    /// What is left of its lease, when the asked node is the leader.
    pub lease_left_ms: Option<u64>,
    /// Guards that its kernel does not offer, with the reason.
    pub missing_guards: BTreeMap<String, String>,
    /// The hardware watchdog that its agent feeds.
    pub watchdog: Option<WatchdogLine>,
    /// Whether it has ever reported.
    pub reported: bool,
    /// Measured: one durable write.
    pub fsync_ms: u64,
    /// Measured: longest stall of its agent.
    pub stall_ms: u64,
    /// Version of its program.
    pub program_version: String,
    /// When its certificate ends, milliseconds since 1970, by its own clock; none when that is not known.
    pub certificate_until_ms: Option<u64>,
    /// Why its certificate cannot be renewed, empty when there is no such problem.
    pub certificate_problem: String,
}

/// A hardware watchdog.
#[derive(Clone, Debug, Serialize)]
pub struct WatchdogLine {
    /// What its driver calls it.
    pub identity: String,
    /// So long after its last feeding it resets the machine.
    pub timeout_ms: u64,
    /// An orderly stop of the agent stops it.
    pub stoppable: bool,
}

/// One group.
#[derive(Clone, Debug, Serialize)]
pub struct GroupLine {
    /// Its name.
    pub name: String,
    /// Whether all of it runs where it belongs.
    pub running: bool,
    /// Where it belongs by the plan.
    pub node: Option<String>,
    /// Why it does not run, when it does not.
    pub problem: Option<String>,
    /// Whose turn comes before it is where it is to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<TurnLine>,
    /// It is in maintenance, by itself or with the cluster.
    pub maintenance: bool,
    /// The operator who disabled it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled_by: Option<String>,
    /// Nodes that operators keep it on or away from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub wishes: Vec<WishLine>,
    /// Since when it belongs there: wall clock in milliseconds since 1970, when the journal still knows.
    pub since_ms: Option<u64>,
    /// Predicted RTO when its node is lost.
    pub predicted_rto_ms: Option<u64>,
    /// Predicted RTO when the leader is lost with it.
    pub predicted_rto_leader_lost_ms: Option<u64>,
    /// How many more nodes can be lost before it stops: by places to run, not by votes.
    pub other_homes: usize,
    /// Its copies, where it has any: then `node` is none, and `running` says whether one of them runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copies: Option<CopiesLine>,
    /// Its resources in start order; one line for each node that has something of it.
    pub resources: Vec<ResourceLine>,
}

/// The copies of a group.
#[derive(Clone, Debug, Serialize)]
pub struct CopiesLine {
    /// So many run where everything is well.
    pub wanted: usize,
    /// Nodes on which one runs.
    pub nodes: Vec<String>,
    /// Those that do not run.
    pub missing: Vec<CopyLine>,
}

/// A copy that does not run.
#[derive(Clone, Debug, Serialize)]
pub struct CopyLine {
    /// The node that it is for.
    pub node: String,
    /// Why it does not run.
    pub problem: String,
    /// It should run.
    pub trouble: bool,
}

/// What a group waits for: to start until that one is active, or, where it runs, to go until that one is stopped.
#[derive(Clone, Debug, Serialize)]
pub struct TurnLine {
    /// The other group.
    pub group: String,
    /// The constraint.
    pub order: String,
    /// Where it is to be then; none means nowhere.
    pub node: Option<String>,
}

/// A node that an operator keeps a group on, or away from.
#[derive(Clone, Debug, Serialize)]
pub struct WishLine {
    /// The node.
    pub node: String,
    /// Away from it.
    pub ban: bool,
    /// Who wants it.
    pub by: String,
    /// Until when, milliseconds since 1970; none means until it is cleared.
    pub until_ms: Option<u64>,
}

/// One resource on one node.
#[derive(Clone, Debug, Serialize)]
pub struct ResourceLine {
    /// Its name.
    pub name: String,
    /// `process`, `ocf`, `script`, `systemd` or `vip`.
    pub kind: &'static str,
    /// The resource agent of an `ocf` resource, the path of a `script`, the unit of a `systemd` one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The node, if it belongs or is anywhere.
    pub node: Option<String>,
    /// What it is doing there; `unknown` where nobody can tell.
    pub phase: String,
}

impl Status {
    /// What a view says.
    #[must_use]
    pub fn of(view: &View) -> Self {
        let nodes = nodes::lines(view);
        let groups = groups::lines(view);
        let (health, sentence) = health::judge(view, &nodes, &groups);
        let warnings = warnings::list(view, &nodes);
        let state = &view.state;
        Self {
            schema: "standfast/status/1",
            health,
            sentence,
            cluster: state.config.name.clone(),
            cluster_id: state.cluster_id.clone(),
            config_version: state.config_version,
            asked: view.node.clone(),
            leader: view.leader.as_ref().map(ToString::to_string),
            term: view.term,
            quorum: view.quorum,
            plan: state.plan.number.to_string(),
            nodes,
            groups,
            warnings,
            pair: view.pair.clone(),
        }
    }
}
