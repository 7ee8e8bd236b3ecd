//! Effects: everything that the core ever asks for. Plain data; edges carry them out.

use crate::{
    authority::AuthorityOrders,
    config::ResourceKind,
    event::{HardState, Reply},
    fence::FenceDevice,
    fence_act::FenceOrder,
    id::{DeviceId, MemberId, NodeId, ResourceId},
    message::{Acknowledged, LogEntry, LogSnapshot, Message},
    pair::PingOrder,
    plan::PlanNumber,
    time::Micros,
};
use std::collections::{BTreeMap, BTreeSet};

/// Something to be done. Each may be repeated, and may find the world changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Send a message.
    Send {
        /// To whom.
        to: NodeId,
        /// How.
        class: Class,
        /// What.
        message: Box<Message>,
    },
    /// Write to the disk in one transaction, durable before the event that says so. In order: after
    /// a batch that failed, every later one fails too until the failed one has come again.
    Persist(Box<Batch>),
    /// Start a resource. Answered by `Started` or `StartFailed`.
    Start(Box<Start>),
    /// Stop a resource, gracefully for so long, then by force. Answered by `Stopped` or `StopFailed`.
    Stop {
        /// Which.
        resource: ResourceId,
        /// Longest graceful part.
        grace: Micros,
    },
    /// Let a guard run until the deadline. A guard that has closed stays closed.
    Extend {
        /// Whose guard.
        resource: ResourceId,
        /// `CLOCK_BOOTTIME` microseconds.
        deadline: u64,
    },
    /// Find out whether the resource is running here. Answered by `Adopted`, `Stopped` or `StopFailed`.
    Probe {
        /// Which.
        resource: ResourceId,
        /// What it is.
        kind: Box<ResourceKind>,
    },
    /// Put back what someone else took away.
    Repair {
        /// Which.
        resource: ResourceId,
    },
    /// See that a running resource is as it is to be, without stopping it. Of an agent's resource answered by `Reloaded`,
    /// `Unhealthy` or `Outdated`, and by nothing where nothing was to be done.
    Reconfigure {
        /// Which.
        resource: ResourceId,
        /// What it is to be.
        kind: Box<ResourceKind>,
    },
    /// Fingerprints of the public keys that each node may show: nobody else is let in. Comes before `Peers`.
    Keys(BTreeMap<NodeId, BTreeSet<String>>),
    /// What this node is to do about certificate authorities; complete every time.
    Authorities(AuthorityOrders),
    /// Members and their links have changed.
    Peers(Vec<(NodeId, Vec<String>)>),
    /// Watch these interfaces and gateways for address resources that this node might run.
    WatchNetworks(Vec<(ResourceId, crate::config::VipConfig)>),
    /// Addresses that agents of resources put on interfaces, by themselves: silent on this machine unless their lease runs. Complete every time.
    GuardAddresses(Vec<(ResourceId, std::net::IpAddr)>),
    /// A file that is to be equal on the nodes of a pair: its path and its text. Kept until another one is named, or none.
    KeepFile(Option<(String, String)>),
    /// Devices that this node could fence others with: they are asked whether they answer. Complete every time.
    WatchFences(Vec<(DeviceId, FenceDevice)>),
    /// Devices that can fence this node: those that keep out whom they have fenced are to let it in. Answered by
    /// `Unfenced`, each time that one has. Complete every time.
    Unfence(Vec<(DeviceId, FenceDevice)>),
    /// Cut a machine's power. Answered by `Fenced`.
    Fence(Box<FenceOrder>),
    /// Ask the other node of a pair and the ping targets whether they are there. Answered by `Pinged`.
    Ping(Box<PingOrder>),
    /// Answer a client.
    Reply(Box<Reply>),
    /// The agent may end now: its restart grant is in force until the deadline.
    RestartReady {
        /// `CLOCK_BOOTTIME` microseconds.
        deadline: u64,
    },
    /// The agent was told to end, and may: nothing runs here any more, or it took too long.
    Left {
        /// Why it may, as a sentence for the log.
        text: String,
        /// Nothing runs here: what guards addresses may go as well.
        idle: bool,
    },
    /// This program cannot go on as a member of this cluster: the agent ends at once.
    Unfit {
        /// Why, and what to do, for an operator.
        text: String,
    },
    /// For the log.
    Log {
        /// How bad it is.
        level: Level,
        /// What happened.
        text: String,
    },
}

/// How a message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// On every link at once, lost without harm.
    Datagram,
    /// In order, on the best link.
    Stream,
}

/// A start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// Which.
    pub resource: ResourceId,
    /// What it is.
    pub kind: ResourceKind,
    /// The plan in which its group was given to this node; kept with the guard, for adoption.
    pub since: PlanNumber,
    /// Guards end it at this `CLOCK_BOOTTIME` microsecond.
    pub deadline: u64,
    /// No member had it just before, who would have noticed a stranger with the same address: ask first.
    pub fresh: bool,
}

/// A durable write. What is not named stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Named by the event that answers it.
    pub sequence: u64,
    /// Consensus state.
    pub hard_state: Option<HardState>,
    /// Entries; whatever is stored at or after the first one's index is replaced.
    pub entries: Vec<LogEntry>,
    /// A snapshot; the log up to its index goes.
    pub snapshot: Option<LogSnapshot>,
    /// The promise; never lower than before.
    pub promise: Option<PlanNumber>,
    /// See `Restored::vote_cap`.
    pub vote_cap: Option<Micros>,
    /// See `Restored::lease_cap`.
    pub lease_cap: Option<Micros>,
    /// See `Restored::memory`.
    pub memory: Option<Vec<Acknowledged>>,
    /// What a node of a pair knows about its copy (JSON, see crate `pair`).
    pub pair: Option<Vec<u8>>,
    /// What a node of a pair did about the other one's power and the log does not have yet (JSON).
    pub pair_fences: Option<Vec<u8>>,
    /// Everything of consensus stored before is void: this node starts again as this new member.
    pub reset: Option<MemberId>,
}

/// How bad a log line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Details.
    Debug,
    /// Ordinary.
    Info,
    /// An operator should look.
    Warn,
    /// Something failed.
    Error,
}
