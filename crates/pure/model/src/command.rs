//! Commands: the only way that the replicated state changes. Serialised as JSON into log entries,
//! so that a mixed cluster and a reader with a plain tool can both read them.

use crate::{
    authority::AuthorityChange,
    config::ClusterConfig,
    fence_act::{FenceAct, FenceResult},
    id::{GroupId, Incarnation, MemberId, NodeId, ResourceId},
    order::{Maintained, Order},
    plan::Plan,
    state::{Member, NodeReport},
    time::Micros,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// Wall clock of whoever proposed it, milliseconds since 1970, for display only.
    pub wall_ms: u64,
    /// The client request that it answers, if one is waiting: unique for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<u64>,
    /// What changes.
    pub change: Change,
}

/// What a command changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// A new configuration, refused when the one it was made from is no longer in force.
    Configure {
        /// The complete configuration.
        config: Box<ClusterConfig>,
        /// As its author wrote it.
        text: String,
        /// Version that the author saw.
        based_on: u64,
        /// Who.
        author: String,
        /// Why; may be empty.
        #[serde(default)]
        reason: String,
        /// The draft that it was, and is no more.
        #[serde(default)]
        draft: Option<String>,
    },
    /// A draft is saved in place of one of the same name, or thrown away.
    Draft {
        /// Its name.
        name: String,
        /// Its text; none throws it away.
        text: Option<String>,
        /// Who.
        author: String,
        /// What for; may be empty.
        #[serde(default)]
        reason: String,
    },
    /// The leader's decision.
    Decide(Decision),
    /// A node's report, when it differs from the last one.
    Report {
        /// Whose.
        node: NodeId,
        /// What it says.
        report: Box<NodeReport>,
    },
    /// Failures of a resource on a node no longer count.
    ForgetFailures {
        /// The resource.
        resource: ResourceId,
        /// The node.
        node: NodeId,
        /// Who asked; none when they are old enough.
        #[serde(default)]
        by: Option<String>,
        /// Only when none has come since: the incarnation of the last one, and how many of it had been counted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        counted: Option<(Incarnation, u32)>,
    },
    /// An operator asks for a group to move.
    Move {
        /// Which.
        group: GroupId,
        /// Where to.
        to: Option<NodeId>,
        /// Who asks.
        by: String,
    },
    /// An operator orders something for a group that holds until it is over, or the time of such an order is over.
    Order {
        /// Which.
        group: GroupId,
        /// What.
        order: Order,
        /// Who; empty when it is the cluster's own doing.
        by: String,
    },
    /// An operator begins or ends the maintenance of a node or of everything.
    Maintain {
        /// Of what.
        what: Maintained,
        /// Begins.
        on: bool,
        /// Who asks.
        by: String,
    },
    /// An operator drains a node, perhaps for a time.
    Standby {
        /// Which.
        node: NodeId,
        /// For so long, milliseconds; none means until it is resumed.
        lifetime_ms: Option<u64>,
        /// Who asks.
        by: String,
    },
    /// The time of a standby is over. From the leader only.
    StandbyOver {
        /// Which node.
        node: NodeId,
        /// Index of the command that began it: a later one is not over.
        index: u64,
    },
    /// An operator drains a node or lets it work again.
    Drain {
        /// Which.
        node: NodeId,
        /// Drained or not.
        drained: bool,
        /// Who asks.
        by: String,
    },
    /// A node's agent is about to restart: its leases run on.
    RestartGrant {
        /// Which node.
        node: NodeId,
        /// The run of its agent.
        incarnation: Incarnation,
        /// How long, from when the agent asked.
        length: Micros,
        /// The operator who asked; empty when it is the cluster's own doing.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        by: String,
    },
    /// The agent is back, or released everything: the restart grant is over.
    RestartOver {
        /// Which node.
        node: NodeId,
        /// Index of the command that granted it: a later one is not over.
        index: u64,
    },
    /// A node's agent was told to end: what it runs moves away. A later run of it is not meant.
    Leave {
        /// Which node.
        node: NodeId,
        /// The run of its agent.
        incarnation: Incarnation,
    },
    /// An operator asks for a node's agent to restart, as in an upgrade. A later run of it is not meant.
    AskRestart {
        /// Which node.
        node: NodeId,
        /// The run of its agent.
        incarnation: Incarnation,
        /// Who asks.
        by: String,
    },
    /// Every member's program knows this feature level: commands of it may be used from now on.
    RaiseLevel {
        /// The level.
        level: u32,
    },
    /// A member joins (or comes back under a new number) as a learner.
    AddMember {
        /// Its number.
        member: MemberId,
        /// What it is.
        info: Member,
        /// A member that it takes the place of, whose disk was lost or rolled back.
        replaces: Option<MemberId>,
        /// Fingerprint of the public key that it joined with. Empty: it comes back with its old one.
        #[serde(default)]
        key: String,
        /// It joins as a witness.
        #[serde(default)]
        witness: bool,
    },
    /// A learner that has caught up votes from now on.
    Promote {
        /// Which.
        member: MemberId,
    },
    /// The public keys that a node may show from now on.
    SetKeys {
        /// Which node.
        node: NodeId,
        /// Their fingerprints.
        keys: BTreeSet<String>,
        /// Who asked for another key; empty when nobody had to.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        by: String,
    },
    /// Another certificate authority is to take the place of the present one, step by step.
    ReplaceAuthority {
        /// The new one. Its step and time are not looked at.
        change: Box<AuthorityChange>,
    },
    /// Something that an operator did through a node's agent and that changes nothing else: for the journal.
    Act {
        /// Which node.
        node: NodeId,
        /// What.
        act: Act,
        /// Who.
        by: String,
    },
    /// A machine is to lose its power. While an act for it is under way, this asks for nothing new.
    Fence {
        /// Which node.
        node: NodeId,
        /// The run of its agent.
        incarnation: Incarnation,
        /// Who wants it.
        by: String,
        /// Why; may be empty.
        why: String,
        /// It gets its power back once it is off.
        power_on: bool,
        /// Because it is lost: not when it is back by then.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        lost: bool,
    },
    /// A machine is to lose its power by one level of its devices, once, to see whether they are its own.
    FenceDrill {
        /// Which node.
        node: NodeId,
        /// The run of its agent.
        incarnation: Incarnation,
        /// The level, from 1.
        level: u32,
        /// Who wants it.
        by: String,
    },
    /// The executor of an act went away: another one goes on.
    FenceOrder {
        /// The act.
        id: u64,
        /// The order that nobody carries out any more.
        turn: u32,
        /// Who goes on.
        executor: NodeId,
    },
    /// What came of an order.
    FenceResult {
        /// What.
        result: FenceResult,
    },
    /// An operator says that a machine is off, whatever devices could do.
    FenceConfirm {
        /// Which node.
        node: NodeId,
        /// Who.
        by: String,
    },
    /// A machine was heard after it was said to be off.
    FenceVoid {
        /// The act.
        id: u64,
        /// What was heard.
        why: String,
    },
    /// A pair's own fencing has ended. Whoever did it had lost the log by then, and tells it afterwards. It changes nothing but
    /// what is known.
    PairFenced {
        /// All of it; its identifier is the index of this command.
        act: Box<FenceAct>,
    },
    /// A member leaves. This ends no lease.
    RemoveMember {
        /// Which.
        member: MemberId,
        /// The operator who removed its node for good. None: the node comes back under another number.
        #[serde(default)]
        by: Option<String>,
    },
}

impl Change {
    /// The feature level that it came with: it stays out of the log until all members know it.
    #[must_use]
    pub fn level(&self) -> u32 {
        match self {
            Self::Configure { config, .. } => config.level(),
            Self::Draft { .. } | Self::SetKeys { .. } => 2,
            Self::ReplaceAuthority { .. }
            | Self::Act { .. }
            | Self::Fence { .. }
            | Self::FenceOrder { .. }
            | Self::FenceResult { .. }
            | Self::FenceConfirm { .. }
            | Self::FenceVoid { .. } => 3,
            Self::Order { .. }
            | Self::Maintain { .. }
            | Self::Standby { .. }
            | Self::StandbyOver { .. }
            | Self::PairFenced { .. }
            | Self::FenceDrill { .. }
            | Self::ForgetFailures {
                counted: Some(_), ..
            } => 4,
            Self::Decide(_)
            | Self::Report { .. }
            | Self::ForgetFailures { counted: None, .. }
            | Self::Move { .. }
            | Self::Drain { .. }
            | Self::RestartGrant { .. }
            | Self::RestartOver { .. }
            | Self::Leave { .. }
            | Self::AskRestart { .. }
            | Self::RaiseLevel { .. }
            | Self::AddMember { .. }
            | Self::Promote { .. }
            | Self::RemoveMember { .. } => 1,
        }
    }
}

/// Something that an operator did, for the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Act {
    /// Made a token with which a machine may join.
    Token,
}

/// A decision of the leader: who is lost, and the plan that follows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// Nodes whose every lease has expired (by the leader's clock, stretched by drift), with the evidence.
    pub expired: BTreeMap<NodeId, String>,
    /// For how long each of them had not been heard, milliseconds: its services count as gone since then.
    #[serde(default)]
    pub silent_ms: BTreeMap<NodeId, u64>,
    /// Nodes that are heard again.
    pub returned: Vec<NodeId>,
    /// Switchovers that this decision has considered: they are over, fulfilled or not.
    #[serde(default)]
    pub moves_done: Vec<GroupId>,
    /// Restarts that were asked for: this decision has considered them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restarts_done: Vec<GroupId>,
    /// Where each group would be, if that changes while the cluster only observes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed: Option<BTreeMap<GroupId, Option<NodeId>>>,
    /// The new plan, if the placement changes.
    pub plan: Option<Plan>,
    /// What is being done, as a sentence, for the journal.
    pub text: String,
    /// Facts that led to it.
    pub evidence: Vec<String>,
}
