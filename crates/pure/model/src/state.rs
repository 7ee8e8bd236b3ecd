//! The replicated state: the one truth of the cluster. Changed only by applying commands in order
//! (crate `cluster`, module `apply`).

use crate::{
    agent::Severity,
    authority::Authorities,
    config::{ClusterConfig, ResourceKind},
    fence_act::{FenceAct, FenceOutcome},
    guards::GuardSupport,
    history::{ConfigRecord, Draft},
    id::{GroupId, Incarnation, MemberId, NodeId, ResourceId},
    order::{Maintenance, Orders, Standby},
    outage::Service,
    plan::{Plan, PlanNumber},
    time::Micros,
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Journal entries kept in the state; older ones are dropped.
pub const JOURNAL_LIMIT: usize = 500;

/// Feature level from which the end of a lease is not enough for everything.
const FENCING_LEVEL: u32 = 3;

/// Everything that the cluster agrees on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterState {
    /// Identity of the cluster; never changes.
    pub cluster_id: String,
    /// Feature level in use: all members know it. Zero until they have said so; see [`ClusterState::level`].
    #[serde(default)]
    pub feature_level: u32,
    /// Index of the last command that changed this state.
    pub applied: u64,
    /// Configuration in force.
    pub config: ClusterConfig,
    /// Grows by one with every change of the configuration.
    pub config_version: u64,
    /// The configuration as its author wrote it.
    pub config_text: String,
    /// Configurations that were put in force, the present one last.
    #[serde(default)]
    pub config_history: VecDeque<ConfigRecord>,
    /// Configurations that are not in force yet, by name.
    #[serde(default)]
    pub drafts: BTreeMap<String, Draft>,
    /// Consensus members.
    pub members: BTreeMap<MemberId, Member>,
    /// Number for the next member; never reused.
    pub next_member: u64,
    /// Fingerprints of the public keys that each node may show. Whoever shows another one is not let
    /// in, whatever its certificate says: a removed node has none, also when its name joins again.
    #[serde(default)]
    pub keys: BTreeMap<NodeId, BTreeSet<String>>,
    /// The certificate authority, and whether another one takes its place.
    #[serde(default)]
    pub authorities: Authorities,
    /// The plan in force.
    pub plan: Plan,
    /// Only while the cluster observes: where each group would be if it acted.
    #[serde(default)]
    pub observed: BTreeMap<GroupId, Option<NodeId>>,
    /// Who may be running each resource: the assigned node, and whoever has not yet been
    /// released, fenced or expired. More than one entry means that nobody new may start.
    pub may_hold: BTreeMap<ResourceId, BTreeSet<NodeId>>,
    /// What the configuration has no more and somebody may still be running, as it was configured: an agent that is
    /// started meanwhile has to look for it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub removed: BTreeMap<ResourceId, ResourceKind>,
    /// Of those who may be running a resource, the only one that is granted leases on it: whoever
    /// was alone when it got in. Everybody else waits until that one is gone.
    #[serde(default)]
    pub holder: BTreeMap<ResourceId, NodeId>,
    /// What is known of each node.
    pub nodes: BTreeMap<NodeId, NodeState>,
    /// Failures that count against a resource on a node.
    pub failures: BTreeMap<ResourceId, BTreeMap<NodeId, FailureRecord>>,
    /// Switchovers asked for and not yet planned.
    pub moves: BTreeMap<GroupId, MoveRequest>,
    /// What operators have ordered for groups, as long as it holds. A group without orders is not here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub orders: BTreeMap<GroupId, Orders>,
    /// What operators have put into maintenance, besides groups and besides the configuration.
    #[serde(default, skip_serializing_if = "Maintenance::is_empty")]
    pub maintenance: Maintenance,
    /// Agents that announced a restart: their leases run on for a while without renewal.
    pub restart_grants: BTreeMap<NodeId, RestartGrant>,
    /// How each group has been served, measured.
    #[serde(default)]
    pub service: BTreeMap<GroupId, Service>,
    /// Acts of fencing, oldest first. At most one of them is under way for each node.
    #[serde(default)]
    pub fences: VecDeque<FenceAct>,
    /// How many acts have ever come to each outcome. One that became void counts under both.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fence_totals: BTreeMap<FenceOutcome, u64>,
    /// What was decided, by whom and why; oldest first.
    pub journal: VecDeque<JournalEntry>,
}

impl ClusterState {
    /// Feature level in use.
    #[must_use]
    pub fn level(&self) -> u32 {
        self.feature_level.max(1)
    }

    /// Whether failures of a resource on a node count at present.
    #[must_use]
    pub fn counts_failures(&self, resource: &ResourceId, node: &NodeId) -> bool {
        let records = self.failures.get(resource);
        records
            .and_then(|records| records.get(node))
            .is_some_and(|record| record.count > 0)
    }

    /// A configuration as it is acted on: observing is maintenance of everything, and operators may have ordered some.
    #[must_use]
    pub fn acted<'c>(&self, config: &'c ClusterConfig) -> Cow<'c, ClusterConfig> {
        let mut acted = config.as_acted_on();
        if self.maintenance.cluster.is_some() {
            acted.to_mut().maintenance = true;
        }
        let left_alone = config.groups.keys().filter(|group| {
            let orders = self.orders_of(group);
            orders.is_some_and(|orders| orders.unmanaged.is_some())
        });
        let on_nodes = self.maintenance.nodes.values();
        let on_nodes = on_nodes.flat_map(|node| &node.groups);
        for group in left_alone.chain(on_nodes) {
            if config.groups.contains_key(group)
                && let Some(settings) = acted.to_mut().groups.get_mut(group)
            {
                settings.maintenance = true;
            }
        }
        acted
    }

    /// Whether everything is in maintenance, by the configuration or by an order.
    #[must_use]
    pub const fn all_in_maintenance(&self) -> bool {
        self.config.maintenance || self.maintenance.cluster.is_some()
    }

    /// Whether a group is in maintenance, alone or with others, by the configuration or by an order.
    #[must_use]
    pub fn in_maintenance(&self, group: &GroupId) -> bool {
        let settings = self.config.groups.get(group);
        let orders = self.orders_of(group);
        self.all_in_maintenance()
            || settings.is_some_and(|settings| settings.maintenance)
            || orders.is_some_and(|orders| orders.unmanaged.is_some())
            || self
                .maintenance
                .nodes
                .values()
                .any(|node| node.groups.contains(group))
    }

    /// Whether the end of a node's leases is not enough for a resource: it needs fencing, or no guard of that node ends it,
    /// and the node is not known to be off. Not in a pair, whose arbiter has decided before anybody goes on alone.
    #[must_use]
    pub fn waits_for_fencing(&self, node: &NodeId, resource: &ResourceId) -> bool {
        let Some(settings) = self.config.resources.get(resource) else {
            return false;
        };
        let guards = self.nodes.get(node).map(|known| &known.report.guards);
        let bare = guards.is_some_and(|guards| !guards.covers(&settings.kind));
        let asks = self.config.pair.is_none() && self.level() >= FENCING_LEVEL;
        asks && (settings.needs_fencing || bare) && !self.is_off(node)
    }

    /// Whether the run of a node's agent that is known last was fenced.
    #[must_use]
    pub fn is_off(&self, node: &NodeId) -> bool {
        let Some(known) = self.nodes.get(node) else {
            return false;
        };
        // What a drill's device says is what is to be proven.
        let of_it = |act: &FenceAct| {
            act.node == *node && act.incarnation == known.report.incarnation && act.drill.is_none()
        };
        self.fences.iter().any(|act| of_it(act) && act.says_off())
    }
}

/// A consensus member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// The machine.
    pub node: NodeId,
    /// Whether it votes already; a learner does not.
    pub voter: bool,
    /// Its links, `address:port`.
    pub addresses: Vec<String>,
}

/// A member that a node's own state does not know yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Newcomer {
    /// Its number: not older than the state's next one.
    pub member: MemberId,
    /// Its links.
    pub addresses: Vec<String>,
    /// Fingerprints of its public keys.
    pub keys: BTreeSet<String>,
}

/// What is known of a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeState {
    /// Whether the leader hears it.
    pub online: bool,
    /// Why it is offline, as an operator would say it.
    #[serde(default)]
    pub offline_reason: String,
    /// Drained by an operator: runs nothing.
    pub drained: bool,
    /// Who drained it, where that was said, and until when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standby: Option<Standby>,
    /// The run of its agent that was told to end: runs nothing. Void as soon as another run reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leaving: Option<Incarnation>,
    /// The run of its agent that was asked to restart. Void as soon as another run reports.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart_wanted: Option<Incarnation>,
    /// Its last report.
    pub report: NodeReport,
}

impl NodeState {
    /// Whether its present agent was asked to restart and has not yet.
    #[must_use]
    pub fn is_to_restart(&self) -> bool {
        self.restart_wanted == Some(self.report.incarnation)
    }

    /// Whether its present agent was told to end.
    #[must_use]
    pub fn is_leaving(&self) -> bool {
        self.leaving == Some(self.report.incarnation)
    }
}

/// What a node says of itself. Complete every time, so that a lost one does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeReport {
    /// The run of the agent that says it.
    pub incarnation: Incarnation,
    /// Grows with every change within an incarnation.
    pub version: u64,
    /// The oldest plan that this node will still execute; on its disk.
    pub promise: PlanNumber,
    /// Resources that it has or had; one that is missing is inactive and always was in this incarnation.
    pub instances: BTreeMap<ResourceId, InstanceReport>,
    /// Index of the restart grant that this run has found in the state, zero for none: whatever ran on
    /// under it has been taken over.
    #[serde(default)]
    pub restart: u64,
    /// Guards that its kernel offers.
    pub guards: GuardSupport,
    /// Interfaces whose client network does not work, with the reason.
    #[serde(default)]
    pub sick_interfaces: BTreeMap<String, String>,
    /// Interfaces that each address resource would use here.
    #[serde(default)]
    pub interfaces: BTreeMap<ResourceId, String>,
    /// Measured: one durable write.
    #[serde(default)]
    pub fsync: Micros,
    /// Measured: the longest stall of the agent in the last ten minutes, rounded up to a power of two milliseconds.
    #[serde(default)]
    pub stall: Micros,
    /// Things an operator should know, as sentences.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Version of the program.
    #[serde(default)]
    pub program_version: String,
    /// When its leases last ended because it heard no leader with a majority, by its own wall clock, milliseconds
    /// since 1970, for display only; zero when they did not in this incarnation.
    #[serde(default)]
    pub lapsed_ms: u64,
    /// Its certificate.
    #[serde(default)]
    pub certificate: CertificateReport,
    /// Feature level that the program knows; zero from those that do not say.
    #[serde(default)]
    pub feature_level: u32,
}

impl NodeReport {
    /// Feature level that the program knows.
    #[must_use]
    pub fn level(&self) -> u32 {
        self.feature_level.max(1)
    }
}

/// A node's certificate, by that node's own clock.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateReport {
    /// When it ends, milliseconds since 1970; zero when that is not known.
    pub until_ms: u64,
    /// Why it cannot be renewed, empty when that is not due or has worked.
    pub problem: String,
    /// Fingerprint of the authority that signed it; empty from those who do not say.
    #[serde(default)]
    pub authority: String,
    /// Fingerprint of the authority to come that this node trusts and has the key of, empty without one.
    #[serde(default)]
    pub ready_for: String,
}

/// One resource on one node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceReport {
    /// What it is doing.
    pub phase: Phase,
    /// Plan in which its group was given to this node when it was started.
    pub since: PlanNumber,
    /// Failures seen in this incarnation; grows only.
    pub failures: u32,
    /// The last failure, as an operator would say it.
    pub last_failure: String,
    /// How far the last failure reaches.
    #[serde(default, skip_serializing_if = "Severity::is_soft")]
    pub severity: Severity,
    /// How long its last start took.
    pub start_took: Micros,
    /// How long its last stop took; zero when none was seen in this incarnation.
    #[serde(default)]
    pub stop_took: Micros,
    /// By how much this copy is to be promoted, as its agent has said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotion: Option<i64>,
    /// How often it has taken over changed parameters while it ran, in this incarnation.
    #[serde(default)]
    pub reloads: u32,
}

/// What a resource is doing on a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Confirmed not running.
    #[default]
    Inactive,
    /// Being started.
    Starting,
    /// Running and ready.
    Active,
    /// Being stopped.
    Stopping,
    /// A stop was not confirmed. It may be running.
    StopFailed,
    /// Failed; waits for its local restart or for the leader.
    Failed,
    /// Its lease ended; it is not confirmed stopped yet.
    Lapsed,
}

impl Phase {
    /// Whether something of the resource may be running.
    #[must_use]
    pub const fn may_run(self) -> bool {
        match self {
            Self::Starting | Self::Active | Self::Stopping | Self::StopFailed | Self::Lapsed => {
                true
            }
            Self::Inactive | Self::Failed => false,
        }
    }
}

/// Failures of a resource on a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureRecord {
    /// How many count at present.
    pub count: u32,
    /// How many of the node's incarnation have been counted.
    pub seen: u32,
    /// The incarnation that `seen` belongs to.
    pub incarnation: Incarnation,
    /// The last one.
    pub last: String,
    /// How far the worst one reaches. What is not soft holds until an operator has it forgotten, or configures the resource
    /// anew.
    #[serde(default, skip_serializing_if = "Severity::is_soft")]
    pub severity: Severity,
    /// Wall clock of the last one, milliseconds since 1970, for display only.
    pub wall_ms: u64,
}

/// A switchover that an operator asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveRequest {
    /// Where to; none means anywhere else.
    pub to: Option<NodeId>,
    /// Who asked.
    pub by: String,
}

/// A grant that outlives its agent's planned restart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartGrant {
    /// The run of the agent that is going away.
    pub incarnation: Incarnation,
    /// How long, from when that agent asked.
    pub length: Micros,
    /// Index of the command that granted it.
    pub index: u64,
}

/// One line of history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// Index of the command.
    pub index: u64,
    /// Leader's wall clock, milliseconds since 1970, for display only.
    pub wall_ms: u64,
    /// Plan in force after it.
    pub plan: PlanNumber,
    /// What kind of thing happened: `config`, `failover`, `switchover`, `failure`, `node`, `member`, `keys`, …
    pub kind: String,
    /// What happened, as a sentence.
    pub text: String,
    /// Evidence: facts that led to it.
    pub evidence: Vec<String>,
}
