//! What a node of a pair is told, what it wants done, and what it says to the other one.
//!
//! Types only. What they lead to: `pair` and the modules beside it.

use crate::history::{History, Side};
use serde::{Deserialize, Serialize};
use standfast_model::id::Incarnation;

/// One start of a machine, drawn at random by its kernel. What a fence ends is a boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootId(pub u64);

/// One run of an agent in one boot of its machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Session {
    /// The machine's.
    pub boot: BootId,
    /// The agent's.
    pub run: Incarnation,
}

/// What a node has on its disk, besides the contents of its copy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Record {
    /// What the copy consists of; none when nothing is known about it. The length that was written with it tells nothing: the
    /// contents may have come later, or not.
    pub history: Option<History>,
    /// The boot in which this node led last. A new run of the agent in that boot goes on alone where
    /// the last one was alone.
    pub led_in: Option<BootId>,
    /// The newest generation began with a failover to this node.
    pub took_over: bool,
    /// An operator demoted this node: nobody is promoted by itself.
    pub held: bool,
    /// An operator gave this node's copy up: whatever the peer has is the one.
    pub rebuild: bool,
    /// The pair was dissolved.
    pub dissolved: bool,
    /// This node goes on by itself after that: the other one never acts again.
    #[serde(default)]
    pub keeps: bool,
}

impl Record {
    /// The same, about a copy of so many writes.
    #[must_use]
    pub fn measured(mut self, length: u64) -> Self {
        if let Some(history) = &mut self.history {
            history.index = length;
        }
        self
    }
}

/// What a node is to its pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Neither leads nor follows: after a start, or after it stepped down. Does nothing alone, ever.
    Waiting {
        /// Number of the question "may I lead?" that is open.
        ask: Option<u32>,
    },
    /// Follows a leader, or has promised to.
    Following {
        /// Whom.
        leader: Session,
        /// The question that was answered with this promise; none once the leader leads.
        ask: Option<u32>,
        /// The leader waits for this node with every write.
        in_sync: bool,
    },
    /// Was in sync and lost its leader. Waits for the arbiter.
    Claiming {
        /// The leader that was lost.
        leader: Session,
        /// Its lease is over.
        expired: bool,
    },
    /// Begins to lead: the new generation is on its way to the disk.
    Rising,
    /// Leads.
    Primary {
        /// The follower whose loss has to be judged.
        partner: Option<Session>,
        /// Who has to have a write before it is confirmed.
        confirms: Confirms,
    },
    /// Hands over: what runs here is being stopped.
    Releasing {
        /// To whom.
        partner: Session,
    },
    /// Hands over: everything is stopped here.
    Handing {
        /// To whom.
        partner: Session,
    },
    /// Not part of a pair any more.
    Dissolved,
}

/// Who has to have a write before a client is told that it is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Confirms {
    /// Both nodes.
    Both,
    /// This node: it is alone.
    Alone,
    /// Nobody can: the peer is not there, or has not caught up, and nothing allows going on alone.
    Nobody,
}

/// The one message: everything that a node has to say of itself. Sent at every keep-alive and after every
/// change. Late, repeated and lost ones do no harm.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Word {
    /// Who says it.
    pub from: Session,
    /// How many times it has met another run of the peer.
    pub meeting: u32,
    /// Whom it answers: the run of the peer that spoke last, and that run's own count of meetings. So
    /// nothing that an earlier run said counts any more once a later one was heard.
    pub to: Option<(Incarnation, u32)>,
    /// What it is.
    pub role: Role,
    /// What its copy consists of.
    pub history: Option<History>,
    /// It may begin to lead when both have met.
    pub may_lead: bool,
    /// An operator wants it to lead.
    pub wants: bool,
    /// See [`Record::held`].
    pub held: bool,
    /// See [`Record::rebuild`].
    pub rebuild: bool,
    /// See [`Record::took_over`].
    pub took_over: bool,
    /// It wants the pair dissolved.
    pub teardown: bool,
    /// See [`Record::keeps`].
    #[serde(default)]
    pub keeps: bool,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Event {
    /// The peer's word came. The contents of its copy came with it, or can be asked for.
    Word(Word),
    /// No keep-alive was answered for the downtime threshold. Repeated while that is so.
    PeerLost,
    /// The delay before fencing is over, or the time before the next attempt.
    FenceDue,
    /// A fence device, or an operator in its place, said what became of a boot.
    Fenced(BootId, FenceOutcome),
    /// The lost leader's lease is over, as a waiter counts.
    Expired,
    /// Our own lease as a leader began or was made longer.
    Leased,
    /// Our own lease as a leader is over.
    LeaseOver,
    /// The ping rules allow going on alone.
    PingGrant,
    /// This node's copy has so many writes now: a leader's own, a follower's that are on its disk.
    Length(u64),
    /// What was ordered last is on the disk, and the copy has so many writes with it.
    Persisted(u64),
    /// Everything that may run only on a primary is confirmed stopped here.
    Stopped,
    /// A client wants something written.
    Propose,
    /// The configured survivor has been back and in sync long enough.
    FailbackDue,
    /// An operator wants something.
    Operator(Order),
}

/// What a fence device says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FenceOutcome {
    /// The power is off, and was seen to be.
    Off,
    /// It did not work, or nobody knows.
    Failed,
}

/// What an operator may want. Each may be repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Order {
    /// This node is to be primary; a primary hands over.
    Promote,
    /// This node is to be no primary, and nobody becomes one by itself.
    Demote,
    /// Primary and secondary change places.
    Swap,
    /// This node is to be a secondary in sync again, after a temporary outage.
    Recover,
    /// This node's copy is given up; it gets the peer's.
    Rebuild,
    /// The operator has seen that this boot of the peer is off.
    PeerIsOff(BootId),
    /// This node is to lead with what it has, whatever the peer had. The operator has seen that the
    /// peer is off, and accepts that writes may be lost.
    ForcePrimary,
    /// The pair is to be dissolved.
    Teardown,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Effect {
    /// Write this record and this change of the copy in one transaction, and say `Persisted`. Where the copy is the beginning of
    /// the one to be installed, the rest may come after the record: then with `Length`.
    Persist(Record, Contents),
    /// From now on this node runs what a primary runs.
    Start,
    /// From now on it does not: stop it all, and say `Stopped`.
    Stop,
    /// Cut the power of this boot of the peer, and confirm that it is off.
    Fence(BootId),
    /// The write that brought the copy to this index is safe: tell the client.
    Confirm(u64),
    /// Send our word now.
    Speak,
    /// Tell the operator.
    Alarm(Alarm),
    /// The operator's order, or the client's write, is refused.
    Refuse(Refusal),
    /// The operator's order is carried out.
    Done,
}

/// What becomes of the contents of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Contents {
    /// They stay.
    Keep,
    /// The proposed write is added.
    Append,
    /// They become those of the peer's copy, as it was with the word that this answers.
    Install,
    /// They are given up.
    Discard,
}

/// What an operator has to know at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Alarm {
    /// A fence failed. Nothing was released by it.
    FenceFailed(BootId),
    /// A boot that was confirmed off has spoken: the device or its host map is wrong.
    FenceVoid(BootId),
    /// Both nodes confirmed writes that the other one lacks.
    Diverged,
    /// The peer has a newer generation: this node was primary too long.
    Superseded,
}

/// Why something is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Refusal {
    /// Another write is on its way to the disk: try again.
    Busy,
    /// Nothing can be written on a node that is not primary.
    ReadOnly,
    /// The primary has lost its peer, and nothing allows it to go on alone yet.
    NoArbiter,
    /// Nobody is there to take over.
    NotInSync,
    /// The peer is there: an orderly way exists.
    PeerIsThere,
    /// The peer's copy is not one that this could work with.
    HistoriesDiffer,
    /// Nothing is known about this node's copy: there is nothing to lead with.
    Unknown,
    /// A primary's copy is not given up: demote it first.
    IsPrimary,
    /// That is not the boot that has to be off, or this arbiter has no use for the word.
    NotTheBoot,
    /// Neither of the two leads.
    NoPrimary,
    /// The pair is dissolved.
    Dissolved,
}

impl Refusal {
    /// For an operator: what is so, and what to do.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Self::Busy => "the last change is still on its way to the disk; try again",
            Self::ReadOnly => "read-only on this node: it is not the primary",
            Self::NoArbiter => {
                "the peer is not there and nothing allows going on alone yet: bring the peer back, or confirm that it is off"
            }
            Self::NotInSync => {
                "the peer is not in sync, so it cannot take over; wait until it has caught up"
            }
            Self::PeerIsThere => "the peer is there: use promote or swap, which lose nothing",
            Self::HistoriesDiffer => {
                "both nodes have writes that the other one lacks: choose one, and rebuild the other"
            }
            Self::Unknown => {
                "nothing is known about this node's copy, so it cannot lead; rebuild it from the peer"
            }
            Self::IsPrimary => {
                "this node is the primary: its copy is not given up; demote it first"
            }
            Self::NotTheBoot => {
                "that would allow nothing: it is not the boot of the peer that has to be off, or this pair has no fence device"
            }
            Self::NoPrimary => {
                "neither node is known to be the primary here, so nothing would run on: promote one first, or force it"
            }
            Self::Dissolved => "the pair is dissolved",
        }
    }
}

/// What is configured, as one of the two nodes needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// Which of the two this node is.
    pub side: Side,
    /// Who says which one goes on alone.
    pub arbiter: standfast_model::pair::Arbiter,
    /// Who becomes primary after both have started.
    pub boot: standfast_model::pair::BootPolicy,
    /// Who is preferred, when failback is configured.
    pub failback_to: Option<Side>,
    /// Within a generation contents come to a follower by a log of the leader's, not by its words.
    pub by_log: bool,
    /// A planted bug (model checker only; ignored without feature `planted`).
    pub planted: Option<crate::planted::Planted>,
}
