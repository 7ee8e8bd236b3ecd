//! Events: everything that the core is ever told.

use crate::{
    fence_act::FenceResult,
    guards::GuardSupport,
    id::{DeviceId, NodeId, ResourceId},
    message::Message,
    pair::PingRound,
    plan::PlanNumber,
    request::{Request, Response},
    state::CertificateReport,
    time::Micros,
};
use serde::{Deserialize, Serialize};

/// Something happened. Delivered to `Core::step` together with the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Nothing but time passed: a wake-up that the core asked for.
    Timer,
    /// A message from an authenticated node.
    Message {
        /// Who, from its certificate.
        from: NodeId,
        /// On which of our links it came (0 for streams).
        link: u32,
        /// What.
        message: Box<Message>,
    },
    /// A link to another node works, or does not.
    Link {
        /// The node at the other end.
        peer: NodeId,
        /// Which link.
        link: u32,
        /// Whether it works.
        up: bool,
    },
    /// A member did not let this node in: it says that this node's certificate is worth nothing.
    NotLetIn {
        /// Who says so.
        peer: NodeId,
    },
    /// A batch is on the disk.
    Persisted {
        /// The batch.
        sequence: u64,
        /// How long the write took.
        took: Micros,
    },
    /// A batch could not be written. The storage edge retries nothing by itself.
    PersistFailed {
        /// The batch.
        sequence: u64,
        /// What is wrong, for an operator.
        error: String,
    },
    /// Something about a resource on this node.
    Instance {
        /// Which.
        resource: ResourceId,
        /// What.
        change: InstanceChange,
    },
    /// An interface's client network works or does not.
    LinkHealth {
        /// The interface.
        interface: String,
        /// `None` when it works, else what is wrong, as a sentence.
        problem: Option<String>,
    },
    /// An order to cut a machine's power was carried out, or could not be.
    Fenced(FenceResult),
    /// Devices that let this node in, or need nothing for that.
    Unfenced(Vec<DeviceId>),
    /// What came of a round of pings so far.
    Pinged(PingRound),
    /// A client asks.
    Request {
        /// For the answer.
        id: u64,
        /// What.
        request: Request,
    },
    /// Something an operator should see in status until the next report of the same topic; empty text clears it.
    Notice {
        /// Topic, e.g. `address-guard`, `conflict:web-ip`.
        topic: String,
        /// Sentence.
        text: String,
    },
    /// The machine stood still (snapshot, suspend): whoever noticed measured this long.
    Paused(Micros),
    /// This node's certificate: when it ends, and whether it could be renewed.
    Certificate(CertificateReport),
    /// The guards that this machine offers, probed again.
    Guards(GuardSupport),
}

/// What a driver says of a resource. Every variant may come twice, late, or unasked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InstanceChange {
    /// Started and ready.
    Started,
    /// Could not be started; nothing of it is left running.
    StartFailed(String),
    /// Confirmed not running (after a stop, or found so by a probe).
    Stopped,
    /// The stop could not be confirmed: it may be running.
    StopFailed(String),
    /// It ended by itself; nothing of it is left running.
    Exited(String),
    /// Its agent said with this exit code of OCF that it could not be started, or that it runs no more; nothing of it is
    /// left running.
    AgentFailed {
        /// What the agent's action ended with.
        code: i32,
        /// The same for an operator.
        why: String,
    },
    /// So many health checks failed in a row, with the last reason.
    Unhealthy(String),
    /// A health check succeeded after failures.
    Healthy,
    /// It has taken over changed parameters while it ran.
    Reloaded,
    /// It runs, but not as it is configured, and can only be started anew to do so; in which respect.
    Outdated(String),
    /// The kernel ended it because its lease was over; confirmed not running.
    LeaseEnded,
    /// Found running at the start of this agent, under the guard of its keeper.
    Adopted {
        /// The plan in which its group was given to this node when it was started.
        since: PlanNumber,
        /// The guard's deadline, `CLOCK_BOOTTIME` microseconds.
        deadline: u64,
    },
    /// By how much this copy is to be promoted, as its agent says; none where it takes that back.
    Promotion(Option<i64>),
    /// Part of it was taken away by someone else (an address removed).
    Damaged(String),
}

/// What the disk gave back at start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Whether it can be believed.
    pub condition: DiskCondition,
    /// Consensus: term, vote, commit.
    pub hard_state: HardState,
    /// The last snapshot.
    pub snapshot: Option<crate::message::LogSnapshot>,
    /// The log after it.
    pub entries: Vec<crate::message::LogEntry>,
    /// The oldest plan that this node may still execute.
    pub promise: PlanNumber,
    /// The longest leadership promise that this node may have given, stretched.
    pub vote_cap: Micros,
    /// The longest lease that this node may have vouched for, stretched.
    pub lease_cap: Micros,
    /// What this node remembers of the other members' disks.
    pub memory: Vec<crate::message::Acknowledged>,
    /// See `Batch::pair`; none outside of a pair.
    pub pair: Option<Vec<u8>>,
    /// See `Batch::pair_fences`.
    pub pair_fences: Option<Vec<u8>>,
}

/// Whether a disk can be believed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum DiskCondition {
    /// Never used.
    Fresh,
    /// As we left it, as far as it can tell itself.
    #[default]
    Intact,
    /// This node was a member, and its records are gone or damaged.
    Lost,
}

/// Consensus state that must be on disk before it is acted upon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HardState {
    /// Current term.
    pub term: u64,
    /// Member voted for in it, zero for none.
    pub vote: u64,
    /// Commit index.
    pub commit: u64,
}

/// Answer to a client, kept beside events because clients see both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The request.
    pub id: u64,
    /// The answer.
    pub response: Response,
}
