//! What clients ask (command line, through the local API) and what they are answered.

use crate::{
    authority::AuthorityChange,
    command::Act,
    config::ClusterConfig,
    fence_act::FenceResult,
    id::{GroupId, MemberId, NodeId},
    order::{Maintained, Order},
    pair::{PairOrder, PairView},
    plan::Action,
    query::{Answer, Query},
    simulation::{Imagined, Simulation},
    state::ClusterState,
    time::Micros,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A client's request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// The whole picture, from the node that is asked, as far as it knows.
    View,
    /// The same with every text and value in it, for a backup; only for whoever may change things.
    Backup,
    /// What applying this configuration would do. Changes nothing.
    Plan {
        /// The configuration.
        config: Box<ClusterConfig>,
    },
    /// What would happen, one thing after the other. Changes nothing.
    Simulate {
        /// What is imagined.
        imagined: Vec<Imagined>,
    },
    /// A configuration as its author wrote it, from the node that is asked. Changes nothing.
    Text {
        /// Which one.
        of: TextOf,
        /// With what is hidden otherwise; only for whoever may change things.
        reveal: bool,
    },
    /// Put this configuration in force.
    Apply {
        /// The configuration.
        config: Box<ClusterConfig>,
        /// As its author wrote it.
        text: String,
        /// Version that the author saw; none means whatever is in force.
        based_on: Option<u64>,
        /// Who.
        author: String,
        /// Why; may be empty.
        #[serde(default)]
        reason: String,
        /// The draft that it was: dropped with the same command.
        #[serde(default)]
        draft: Option<String>,
    },
    /// Save a draft, or throw it away.
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
    /// Move a group.
    Switchover {
        /// Which.
        group: GroupId,
        /// Where to; none means the best other node.
        to: Option<NodeId>,
        /// Who.
        author: String,
    },
    /// Order something for a group.
    Order {
        /// Which.
        group: GroupId,
        /// What.
        order: Order,
        /// Who.
        author: String,
    },
    /// Begin or end the maintenance of a node or of everything.
    Maintain {
        /// Of what.
        what: Maintained,
        /// Begin.
        on: bool,
        /// Who.
        author: String,
    },
    /// Drain a node, perhaps for a time.
    Standby {
        /// Which.
        node: NodeId,
        /// For so long, milliseconds; none means until it is resumed.
        lifetime_ms: Option<u64>,
        /// Who.
        author: String,
    },
    /// Drain a node or let it work again.
    Drain {
        /// Which.
        node: NodeId,
        /// Drained or not.
        drained: bool,
        /// Who.
        author: String,
    },
    /// Forget the failures of a group's resources (Pacemaker's cleanup).
    Cleanup {
        /// Which.
        group: GroupId,
        /// Who.
        author: String,
    },
    /// [`Self::Restart`] as programs up to feature level 2 say it, and as every program understands it.
    #[serde(rename = "restart")]
    PlainRestart,
    /// This node's agent is about to restart: let its leases run on.
    #[serde(rename = "restart-by")]
    Restart {
        /// Who asked; empty when the cluster did.
        author: String,
    },
    /// A node's agent is to restart, as in an upgrade; refused while another one does, or is missing.
    AskRestart {
        /// Which.
        node: NodeId,
        /// Who.
        author: String,
    },
    /// This node's agent was told to end, as at a shutdown of the machine: move away what it runs, then let it end. May be
    /// repeated until it does.
    Leave,
    /// A question about one node, which that node answers itself; none means the node that is asked.
    Query {
        /// Which node.
        node: Option<NodeId>,
        /// The question.
        query: Query,
    },
    /// A one-time token with which a machine may join. Answered by the agent's own transport.
    Token,
    /// This node takes another private key. Answered by the agent, with the two requests that follow.
    RotateKey {
        /// Even if a member is offline, who then does not know the new key when it comes back.
        force: bool,
        /// Who.
        author: String,
    },
    /// A node says which public keys it shows. From that node's own agent only.
    Keys {
        /// Which node.
        node: NodeId,
        /// Fingerprints.
        keys: BTreeSet<String>,
        /// See `RotateKey`.
        force: bool,
        /// Who asked for another key.
        #[serde(default)]
        author: String,
    },
    /// Another certificate authority is to take the place of the present one. Answered by the agent, which makes
    /// it, with the request that follows.
    RotateAuthority {
        /// Why; may be empty.
        reason: String,
        /// Who.
        author: String,
    },
    /// The authority that an agent made for this. From a node's own agent only.
    ReplaceAuthority {
        /// The new one.
        change: Box<AuthorityChange>,
    },
    /// Something for the journal. From a node's own agent only.
    Act {
        /// Which node.
        node: NodeId,
        /// What.
        act: Act,
        /// Who.
        author: String,
    },
    /// A node leaves for good: its certificate is worth nothing from then on.
    Remove {
        /// Which.
        node: NodeId,
        /// Who.
        author: String,
    },
    /// Cut a node's power.
    Fence {
        /// Which.
        node: NodeId,
        /// It gets its power back once it is off.
        power_on: bool,
        /// Even if no majority is left without it.
        force: bool,
        /// Who.
        author: String,
    },
    /// Cut a node's power by one level of its devices, to see whether it is that node's.
    FenceDrill {
        /// Which.
        node: NodeId,
        /// The level, from 1.
        level: u32,
        /// Even if no majority is left without it.
        force: bool,
        /// Who.
        author: String,
    },
    /// A node is off, as an operator has seen.
    FenceConfirm {
        /// Which.
        node: NodeId,
        /// Who.
        author: String,
    },
    /// Something about the pair that the node that is asked is one of.
    Pair {
        /// What.
        order: PairOrder,
        /// Who.
        author: String,
    },
    /// What came of an order to fence. From the agent that carried it out only.
    FenceResult {
        /// What.
        result: FenceResult,
    },
    /// A machine joins. From the transport's join handshake only.
    Join {
        /// Its name.
        node: NodeId,
        /// Its links.
        addresses: Vec<String>,
        /// What it is.
        offer: JoinOffer,
    },
}

/// What a machine that joins says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinOffer {
    /// Fingerprint of its public key.
    pub key: String,
    /// Highest feature level of its program; zero when it did not say.
    pub feature_level: u32,
    /// It wants to vote and run nothing.
    pub witness: bool,
}

impl Request {
    /// As this program says it, whoever it comes from.
    #[must_use]
    pub fn present(self) -> Self {
        if self == Self::PlainRestart {
            let author = String::new();
            return Self::Restart { author };
        }
        self
    }

    /// As programs understand it that know no more than that feature level.
    #[must_use]
    pub fn for_level(self, level: u32) -> Self {
        if level < 3 && matches!(self, Self::Restart { .. }) {
            return Self::PlainRestart;
        }
        self
    }

    /// Whether it changes nothing, so that whoever may look may ask it.
    #[must_use]
    pub const fn looks_only(&self) -> bool {
        matches!(
            self,
            Self::View
                | Self::Plan { .. }
                | Self::Simulate { .. }
                | Self::Text { reveal: false, .. }
        )
    }
}

/// A text that is kept in the replicated state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TextOf {
    /// The configuration in force.
    Present,
    /// That of a version.
    Version(u64),
    /// A draft.
    Draft(String),
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Response {
    /// The picture.
    View(Box<View>),
    /// What would be done.
    Plan(Box<PlanPreview>),
    /// What would happen.
    Simulation(Box<Simulation>),
    /// A text, and the version that it is, or that the draft was made from.
    Text {
        /// The text.
        text: String,
        /// The version.
        version: u64,
    },
    /// Done: committed at this index.
    Done {
        /// Index of the command.
        index: u64,
    },
    /// What a node answered about itself.
    Answer(Box<Answer>),
    /// A join token. A secret: shown once, to whoever asked, and never logged.
    Token {
        /// Its text.
        token: String,
    },
    /// The join was accepted.
    Joined {
        /// The new member's number.
        member: MemberId,
        /// Identity of the cluster.
        cluster_id: String,
        /// All members' links, by node.
        peers: BTreeMap<NodeId, Vec<String>>,
        /// Members that vote, for the joiner's first configuration.
        voters: Vec<MemberId>,
    },
    /// Refused; nothing changed.
    Refused(Refusal),
}

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Kind, which decides the exit code.
    pub kind: RefusalKind,
    /// What is wrong, where, and what to do, for an operator.
    pub text: String,
}

/// Kinds of refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefusalKind {
    /// No leader is known or reached: exit 106 (no quorum).
    NoQuorum,
    /// Named thing does not exist: exit 105.
    NoSuchItem,
    /// Exists already: exit 108.
    Exists,
    /// Unsafe: exit 107.
    Unsafe,
    /// The configuration or request is wrong: exit 78.
    Invalid,
    /// The version that it was based on is no longer in force: exit 75.
    Stale,
    /// Took too long; the outcome is unknown: exit 124.
    Timeout,
}

/// What a node knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// The node that was asked.
    pub node: NodeIdOrEmpty,
    /// The leader it knows.
    pub leader: Option<NodeId>,
    /// The term it is in.
    pub term: u64,
    /// Whether it hears a leader that has a majority: what it knows is current.
    pub quorum: bool,
    /// The replicated state as far as it has applied it.
    pub state: ClusterState,
    /// The leader's own account of each node, when this node is the leader; else what the log says.
    pub lease_left: BTreeMap<NodeId, Micros>,
    /// Links to each peer that are heard, and all there are.
    pub links: BTreeMap<NodeId, (u32, u32)>,
    /// Predicted RTO of each group: when its node is lost, and when the leader is lost with it.
    pub predicted_rto: BTreeMap<GroupId, RtoPrediction>,
    /// State of this node's storage, empty when well.
    pub storage_problem: String,
    /// Why this node has no vote, empty when it votes.
    pub no_vote: String,
    /// How this node knows that it was removed from the cluster, empty when it was not.
    #[serde(default)]
    pub removed: String,
    /// How the pair is, where this is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pair: Option<PairView>,
}

/// A node's name, empty by default.
pub type NodeIdOrEmpty = String;

/// A prediction with what it is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RtoPrediction {
    /// The node is lost, the leader is elsewhere: median.
    pub node_lost: Micros,
    /// The node and the leader are lost at once: median.
    pub node_and_leader_lost: Micros,
    /// The parts, with their names, that add up to the first.
    pub parts: Vec<(String, Micros)>,
}

/// What applying a configuration would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanPreview {
    /// Version it would be applied to.
    pub based_on: u64,
    /// What differs, line by line.
    pub differences: Vec<String>,
    /// Every action it would cause, in order.
    pub actions: Vec<Action>,
    /// What is interrupted, and for how long.
    #[serde(default)]
    pub interruptions: Vec<Interruption>,
    /// Changes that need no restart.
    pub live_changes: Vec<String>,
    /// Predicted RTO before and after.
    pub rto_before: BTreeMap<GroupId, RtoPrediction>,
    /// Predicted RTO after.
    pub rto_after: BTreeMap<GroupId, RtoPrediction>,
    /// Warnings.
    pub warnings: Vec<String>,
}

/// A group that does not run for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interruption {
    /// Which.
    pub group: GroupId,
    /// Where it runs now.
    pub from: NodeId,
    /// Where it runs afterwards; none when it stops for good.
    pub to: Option<NodeId>,
    /// From the first stop to the last start, estimated; none when it stops for good.
    pub length: Option<Micros>,
    /// What that adds up from.
    pub parts: Vec<InterruptionPart>,
}

/// A part of an interruption.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterruptionPart {
    /// What takes the time: `stop web on alpha`.
    pub what: String,
    /// How long.
    pub length: Micros,
    /// Where the figure is from.
    pub source: Source,
}

/// Where the length of a part is from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Seen on this node.
    Measured(NodeId),
    /// Never seen: the longest that the configuration allows.
    Limit,
    /// Never seen, and nothing is configured: the usual value.
    Usual,
}
