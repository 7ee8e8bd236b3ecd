//! One member of the consensus group. (Skeleton: the interface is real, the body is not yet.)

use crate::{ConsensusError, Output, Refusal, Role, Settings};
use standfast_model::{
    event::Restored,
    id::MemberId,
    message::{Consensus as Message, LogSnapshot},
};

/// One member of the consensus group: a leader, a follower, or a joiner that waits to be told.
#[derive(Debug)]
pub struct Consensus {
    term: u64,
}

impl Consensus {
    /// A member as the disk remembers it. Without any record it is a joiner: silent until a leader
    /// sends it a snapshot that names it.
    ///
    /// # Errors
    /// When the settings or the records contradict themselves.
    pub fn new(settings: &Settings, restored: &Restored) -> Result<Self, ConsensusError> {
        let _ = settings;
        Ok(Self {
            term: restored.hard_state.term,
        })
    }

    /// One tick passed. Without `may_campaign` no election is begun (a promise not to vote stands).
    pub fn tick(&mut self, may_campaign: bool) {
        let _ = may_campaign;
    }

    /// A message came. Without `may_vote`, whatever could lead to a vote (own votes included) is dropped.
    pub fn step(&mut self, message: &Message, may_vote: bool) {
        let _ = (message, may_vote);
    }

    /// Put a command into the log.
    ///
    /// # Errors
    /// `NotLeader`, `Busy`.
    pub fn propose(&mut self, data: Vec<u8>) -> Result<(), Refusal> {
        drop(data);
        Err(Refusal::NotLeader)
    }

    /// Add a member without a vote; `command` is applied with it.
    ///
    /// # Errors
    /// `NotLeader`; `Busy`; `Unfit` when it is a member already.
    pub fn propose_add_learner(
        &mut self,
        member: MemberId,
        command: Vec<u8>,
    ) -> Result<(), Refusal> {
        let _ = (member, command);
        Err(Refusal::NotLeader)
    }

    /// Make a learner a voter; `command` is applied with it.
    ///
    /// # Errors
    /// `NotLeader`; `Busy`; `Unfit` when it is no learner.
    pub fn propose_promote(&mut self, member: MemberId, command: Vec<u8>) -> Result<(), Refusal> {
        let _ = (member, command);
        Err(Refusal::NotLeader)
    }

    /// Remove a member; `command` is applied with it.
    ///
    /// # Errors
    /// `NotLeader`; `Busy`; `Unfit` when it is no member, the last voter, or this node (transfer leadership first).
    pub fn propose_remove(&mut self, member: MemberId, command: Vec<u8>) -> Result<(), Refusal> {
        let _ = (member, command);
        Err(Refusal::NotLeader)
    }

    /// Hand leadership to another voter. Given up after an election timeout.
    pub fn transfer(&mut self, to: MemberId) {
        let _ = to;
    }

    /// What this node is just now.
    #[must_use]
    pub fn role(&self) -> Role {
        Role::Follower { leader: None }
    }

    /// Current term.
    #[must_use]
    pub fn term(&self) -> u64 {
        self.term
    }

    /// Highest index known to be committed.
    #[must_use]
    pub fn commit_index(&self) -> u64 {
        0
    }

    /// Last index that was handed out to be applied (by `committed` or `installed`).
    #[must_use]
    pub fn applied_index(&self) -> u64 {
        0
    }

    /// Last index of the log, durable or not.
    #[must_use]
    pub fn last_index(&self) -> u64 {
        0
    }

    /// Last index that is durable here.
    #[must_use]
    pub fn last_persisted(&self) -> u64 {
        0
    }

    /// Members with a vote, in order.
    #[must_use]
    pub fn voters(&self) -> Vec<MemberId> {
        Vec::new()
    }

    /// Members without a vote, in order.
    #[must_use]
    pub fn learners(&self) -> Vec<MemberId> {
        Vec::new()
    }

    /// On a leader: the last index that a member acknowledged as durable in this term (its own
    /// `last_persisted` for itself). `None` on others and for strangers.
    #[must_use]
    pub fn matched(&self, member: MemberId) -> Option<u64> {
        let _ = member;
        None
    }

    /// A batch, and all before it, is durable. Call `take_output` afterwards.
    pub fn persisted(&mut self, ticket: u64) {
        let _ = ticket;
    }

    /// What to do next; call until `None` after every other call that changes something.
    pub fn take_output(&mut self) -> Option<Output> {
        None
    }

    /// A member needs a snapshot and there is none that names it: call `compact` with the applied state.
    #[must_use]
    pub fn wants_snapshot(&self) -> bool {
        false
    }

    /// Entries in the log after the latest snapshot that have been applied: compact when they get many.
    #[must_use]
    pub fn applied_since_snapshot(&self) -> u64 {
        0
    }

    /// Make `state` the snapshot at `index`, which must be `applied_index`. Returns the snapshot to be
    /// persisted (no ticket: nothing waits for it); `None` when the index is another or is not news.
    pub fn compact(&mut self, index: u64, state: Vec<u8>) -> Option<LogSnapshot> {
        let _ = (index, state);
        None
    }

    /// Plant a bug.
    #[cfg(feature = "planted")]
    pub fn set_planted(&mut self, planted: standfast_model::planted::Planted) {
        let _ = planted;
    }
}
