//! The words in which the rest of Standfast talks to consensus. No library type appears here.

use standfast_model::{
    event::HardState,
    id::MemberId,
    message::{Consensus as Message, LogEntry, LogSnapshot},
};

/// What does not change while a member runs.
///
/// Times are in ticks. They are fixed when the member starts: the library offers no way to change
/// them later. A changed profile takes effect by other lengths of a tick at once, and by other
/// numbers at the next start of the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// This node's number; not zero.
    pub member: MemberId,
    /// Shortest time without a leader before an election, ticks; more than `heartbeat_ticks`.
    /// Also how long a leader goes on without hearing from a majority.
    pub election_min_ticks: u32,
    /// Longest such time, ticks, exclusive; more than the shortest.
    pub election_max_ticks: u32,
    /// Between two heartbeats of a leader, ticks; at least 1.
    pub heartbeat_ticks: u32,
    /// Election timeouts are drawn from this.
    pub seed: u64,
}

/// What was given back by the disk cannot be what this crate had written, or the settings are wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConsensusError {
    /// The settings contradict themselves.
    #[error("consensus settings: {0}")]
    Settings(String),
    /// The records contradict themselves: the disk lost or mixed up writes that it had confirmed.
    /// This member must not vote again; it comes back as a new one.
    #[error("consensus records on disk: {0}")]
    Records(String),
}

/// Why something was not proposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Somebody else leads, or nobody.
    #[error("this node is not the leader")]
    NotLeader,
    /// Another change of members is under way, leadership is being handed over, or too much is waiting
    /// to be committed. Try again later.
    #[error("busy, try again")]
    Busy,
    /// An empty command, or a change that makes no sense with the present members (see each function).
    #[error("empty, or does not fit the present members")]
    Unfit,
}

/// What this node is just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Follows, or waits for somebody to follow.
    Follower {
        /// Whom.
        leader: Option<MemberId>,
    },
    /// Asks for votes (or asks whether asking would help).
    Candidate,
    /// Leads.
    Leader,
}

/// A change of members, one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberChange {
    /// A new member that gets the log and has no vote.
    AddLearner(MemberId),
    /// A learner becomes a voter.
    Promote(MemberId),
    /// A member goes.
    Remove(MemberId),
}

/// A committed entry, to be applied now, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its index.
    pub index: u64,
    /// Its term.
    pub term: u64,
    /// The command as proposed, also when it came with a change of members. Empty: the first entry of
    /// a leader's term, which changes nothing and tells that everything of earlier terms is applied.
    pub data: Vec<u8>,
    /// The change of members that took effect with it.
    pub change: Option<MemberChange>,
}

/// What must be written to the disk, in one transaction, after all earlier ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Persist {
    /// To be given to `Consensus::persisted` once it is durable. Grows by one.
    pub ticket: u64,
    /// Term, vote and commit index.
    pub hard_state: Option<HardState>,
    /// Entries; whatever is stored at or after the first one's index is replaced.
    pub entries: Vec<LogEntry>,
    /// A snapshot from the leader; the log up to its index goes.
    pub snapshot: Option<LogSnapshot>,
}

/// What to do, in the order of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// To be sent at once. Messages that attest to something on the disk come out here only after
    /// `Consensus::persisted`.
    pub messages: Vec<Message>,
    /// To be written.
    pub persist: Option<Persist>,
    /// The state machine is to be replaced by this snapshot, which is durable here.
    pub installed: Option<LogSnapshot>,
    /// To be applied after it.
    pub committed: Vec<Committed>,
}
