//! One member of the consensus group: what goes in (ticks, messages, proposals) and what it knows.
//!
//! What comes out is in `output`.

use crate::{
    ConsensusError, MemberChange, Refusal, Role, Settings, check,
    log::Log,
    output::Outbox,
    wire::{self, Kind},
};
use raft::{
    Config, GetEntriesContext, ProgressState, RawNode, SnapshotStatus, StateRole, Storage as _,
};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore as _, SeedableRng as _},
};
use standfast_model::{
    event::{HardState, Restored},
    id::MemberId,
    message::{Consensus as Message, LogEntry, LogSnapshot},
};
use std::fmt;

/// Longest append message, bytes (an entry that is longer travels alone).
const MESSAGE_BYTES: u64 = 256 * 1024;
/// Append messages on their way to one follower.
const IN_FLIGHT: usize = 64;
/// Proposals that wait to be committed, bytes.
const UNCOMMITTED_BYTES: u64 = 16 * 1024 * 1024;
/// A snapshot that was not acknowledged for so many longest election timeouts is sent again.
const SNAPSHOT_PATIENCE: u32 = 4;

/// One member of the consensus group: a leader, a follower, or a joiner that waits to be told.
pub struct Consensus {
    pub(crate) node: RawNode<Log>,
    pub(crate) outbox: Outbox,
    pub(crate) id: u64,
    election_min: usize,
    election_max: usize,
    draws: ChaCha8Rng,
    /// The election timeout that we drew, ticks. The library draws its own, which we overwrite.
    timeout: usize,
    /// The term in which we drew it.
    timeout_term: u64,
    /// Ticks since the last look at peers that wait for a snapshot.
    snapshot_ticks: u32,
    snapshot_patience: u32,
    /// Who waited for which snapshot at that look.
    waiting: Vec<(u64, u64)>,
}

impl fmt::Debug for Consensus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consensus")
            .field("member", &self.id)
            .field("role", &self.role())
            .field("term", &self.term())
            .field("commit_index", &self.commit_index())
            .field("applied_index", &self.applied_index())
            .field("last_index", &self.last_index())
            .field("last_persisted", &self.last_persisted())
            .finish_non_exhaustive()
    }
}

impl Consensus {
    /// A member as the disk remembers it. Without any record it is a joiner: silent until a leader
    /// sends it a snapshot that names it.
    ///
    /// The state machine starts from the restored snapshot; what is committed after it comes out of
    /// `take_output`.
    ///
    /// # Errors
    /// When the settings or the records contradict themselves.
    pub fn new(settings: &Settings, restored: &Restored) -> Result<Self, ConsensusError> {
        let records = check::records(restored)?;
        let refused = |error: raft::Error| ConsensusError::Settings(error.to_string());
        let ticks = |ticks: u32| {
            usize::try_from(ticks).map_err(|error| ConsensusError::Settings(error.to_string()))
        };
        let applied = restored
            .snapshot
            .as_ref()
            .map_or(0, |snapshot| snapshot.index);
        let config = Config {
            id: settings.member.0,
            election_tick: ticks(settings.election_min_ticks)?,
            min_election_tick: ticks(settings.election_min_ticks)?,
            max_election_tick: ticks(settings.election_max_ticks)?,
            heartbeat_tick: ticks(settings.heartbeat_ticks)?,
            applied,
            max_size_per_msg: MESSAGE_BYTES,
            max_inflight_msgs: IN_FLIGHT,
            max_uncommitted_size: UNCOMMITTED_BYTES,
            check_quorum: true,
            pre_vote: true,
            ..Config::default()
        };
        config.validate().map_err(refused)?;
        let log = Log::new(
            wire::hard_state_in(records.hard_state),
            records.snapshot,
            records.entries,
        );
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let node = RawNode::new(&config, log, &logger).map_err(refused)?;
        let mut consensus = Self {
            node,
            outbox: Outbox::new(restored.hard_state, applied),
            id: settings.member.0,
            election_min: config.election_tick,
            election_max: config.max_election_tick,
            draws: ChaCha8Rng::seed_from_u64(settings.seed),
            timeout: config.election_tick,
            timeout_term: records.hard_state.term,
            snapshot_ticks: 0,
            snapshot_patience: settings
                .election_max_ticks
                .saturating_mul(SNAPSHOT_PATIENCE),
            waiting: Vec::new(),
        };
        consensus.draw();
        consensus.settle();
        Ok(consensus)
    }

    /// One tick passed. Without `may_campaign` no election is begun (a promise not to vote stands):
    /// the election timer stops at its shortest length, and the random part runs afterwards, so that
    /// members whose promises end together do not all campaign together.
    pub fn tick(&mut self, may_campaign: bool) {
        if self.node.raft.state == StateRole::Leader {
            self.node.tick();
            self.retry_snapshots();
        } else if may_campaign && self.log_is_durable() {
            if self.is_only_voter() {
                // Nobody else could lead.
                self.node.raft.election_elapsed = self.timeout;
            }
            if self.node.tick() {
                self.draw();
            }
        } else {
            let held = self.node.raft.election_elapsed + 1;
            self.node.raft.election_elapsed = held.min(self.election_min - 1);
        }
        self.settle();
    }

    /// How many ticks at least have to pass on this node before an election may begin, if no message
    /// comes; at least 1. Of no meaning on a leader.
    #[must_use]
    pub fn quiet_ticks(&self) -> u32 {
        if self.is_only_voter() {
            return 1;
        }
        let left = self.timeout.saturating_sub(self.node.raft.election_elapsed);
        u32::try_from(left).unwrap_or(u32::MAX).max(1)
    }

    /// A message came. Without `may_vote`, whatever could make this node vote is dropped, and that
    /// includes its vote for itself.
    pub fn step(&mut self, message: &Message, may_vote: bool) {
        let Some(kind) = Kind::of(message) else {
            return;
        };
        if !self.wants(message, kind, may_vote) {
            return;
        }
        let Some(mut message) = check::message(message, kind, self.id) else {
            return;
        };
        if kind == Kind::Heartbeat && message.commit > self.last_index() {
            // The leader remembers more of our log than we have: a lost disk. It still lives.
            message.commit = 0;
        }
        // An error here means "ignored": a stranger's response, or one that came too late.
        drop(self.node.step(message));
        self.settle();
    }

    /// Whether a message makes sense with our own log and promises.
    fn wants(&self, message: &Message, kind: Kind, may_vote: bool) -> bool {
        match kind {
            // Who has no log yet has no vote.
            Kind::RequestVote | Kind::RequestPreVote => may_vote && self.last_index() > 0,
            Kind::TimeoutNow => may_vote && self.log_is_durable(),
            // Enough of them make this node vote for itself.
            Kind::RequestPreVoteResponse => may_vote,
            // Nobody has what is not in the leader's log.
            Kind::AppendResponse => message.reject || message.index <= self.last_index(),
            // Our own vote was given when we asked for this one.
            Kind::RequestVoteResponse
            | Kind::Append
            | Kind::Snapshot
            | Kind::Heartbeat
            | Kind::HeartbeatResponse => true,
        }
    }

    /// Put a command into the log. Messages and the entry to be written come out of `take_output`.
    ///
    /// # Errors
    /// `NotLeader`; `Busy`; `Unfit` when it is empty.
    pub fn propose(&mut self, data: Vec<u8>) -> Result<(), Refusal> {
        self.may_propose()?;
        if data.is_empty() {
            return Err(Refusal::Unfit);
        }
        let proposed = self.node.propose(Vec::new(), data);
        self.settle();
        proposed.or(Err(Refusal::Busy))
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
        let fits = member.0 != 0 && self.node.raft.prs().get(member.0).is_none();
        self.propose_change(MemberChange::AddLearner(member), fits, command)
    }

    /// Make a learner a voter; `command` is applied with it.
    ///
    /// # Errors
    /// `NotLeader`; `Busy`; `Unfit` when it is no learner.
    pub fn propose_promote(&mut self, member: MemberId, command: Vec<u8>) -> Result<(), Refusal> {
        let fits = self.learners().contains(&member);
        self.propose_change(MemberChange::Promote(member), fits, command)
    }

    /// Remove a member; `command` is applied with it.
    ///
    /// # Errors
    /// `NotLeader`; `Busy`; `Unfit` when it is no member, or this node (transfer leadership first).
    pub fn propose_remove(&mut self, member: MemberId, command: Vec<u8>) -> Result<(), Refusal> {
        let fits = member.0 != self.id && self.node.raft.prs().get(member.0).is_some();
        self.propose_change(MemberChange::Remove(member), fits, command)
    }

    /// Whether a leader's log has a change of members that is not applied yet.
    #[must_use]
    pub fn is_changing_members(&self) -> bool {
        self.node.raft.has_pending_conf()
    }

    fn propose_change(
        &mut self,
        change: MemberChange,
        fits: bool,
        command: Vec<u8>,
    ) -> Result<(), Refusal> {
        self.may_propose()?;
        if self.node.raft.has_pending_conf() {
            return Err(Refusal::Busy);
        }
        if !fits {
            return Err(Refusal::Unfit);
        }
        let change = wire::library_change(change);
        let proposed = self.node.propose_conf_change(command, change);
        self.settle();
        proposed.or(Err(Refusal::Busy))
    }

    fn may_propose(&self) -> Result<(), Refusal> {
        if self.node.raft.state != StateRole::Leader {
            return Err(Refusal::NotLeader);
        }
        if self.node.raft.lead_transferee.is_some() {
            return Err(Refusal::Busy);
        }
        Ok(())
    }

    /// Hand leadership to another voter; nothing can be proposed meanwhile. Given up after
    /// `election_min_ticks`. Does nothing on others than the leader.
    pub fn transfer(&mut self, to: MemberId) {
        if self.node.raft.state == StateRole::Leader && to.0 != self.id {
            self.node.transfer_leader(to.0);
            self.settle();
        }
    }

    /// What this node is just now.
    #[must_use]
    pub fn role(&self) -> Role {
        let leader = self.node.raft.leader_id;
        match self.node.raft.state {
            StateRole::Leader => Role::Leader,
            StateRole::Candidate | StateRole::PreCandidate => Role::Candidate,
            StateRole::Follower => Role::Follower {
                leader: (leader != 0).then_some(MemberId(leader)),
            },
        }
    }

    /// Current term.
    #[must_use]
    pub fn term(&self) -> u64 {
        self.node.raft.term
    }

    /// Highest index known to be committed.
    #[must_use]
    pub fn commit_index(&self) -> u64 {
        self.node.raft.raft_log.committed
    }

    /// Last index that was handed out to be applied (by `committed` or `installed`).
    #[must_use]
    pub fn applied_index(&self) -> u64 {
        self.outbox.applied
    }

    /// Last index of the log, durable or not.
    #[must_use]
    pub fn last_index(&self) -> u64 {
        self.node.raft.raft_log.last_index()
    }

    /// Last index that is durable here and can be relied upon (it goes back when a leader replaces entries).
    #[must_use]
    pub fn last_persisted(&self) -> u64 {
        self.node.raft.raft_log.persisted
    }

    /// Term, vote and commit index, as they would have to be written down now.
    #[must_use]
    pub fn hard_state(&self) -> HardState {
        wire::hard_state_out(&self.node.raft.hard_state())
    }

    /// The entries after `index`, up to the last that is durable here.
    #[must_use]
    pub fn entries_after(&self, index: u64) -> Vec<LogEntry> {
        let (low, high) = (
            index.saturating_add(1),
            self.last_persisted().saturating_add(1),
        );
        if low >= high {
            return Vec::new();
        }
        let context = GetEntriesContext::empty(false);
        let entries = self.node.store().entries(low, high, None, context);
        let entries = entries.unwrap_or_default();
        entries.into_iter().map(wire::entry_out).collect()
    }

    /// Stops leading, at once and without an heir: for somebody outside who says who leads.
    pub fn resign(&mut self) {
        if !matches!(self.role(), Role::Follower { .. }) {
            let term = self.node.raft.term;
            self.node.raft.become_follower(term, 0);
            self.settle();
        }
    }

    /// Members with a vote, in order, as of the last applied entry.
    #[must_use]
    pub fn voters(&self) -> Vec<MemberId> {
        members(self.node.raft.prs().conf().to_conf_state().voters)
    }

    /// Members without a vote, in order, as of the last applied entry.
    #[must_use]
    pub fn learners(&self) -> Vec<MemberId> {
        members(self.node.raft.prs().conf().to_conf_state().learners)
    }

    /// On a leader: the last index that a member acknowledged as durable in this term (its own
    /// `last_persisted` for itself). `None` on others and for strangers.
    #[must_use]
    pub fn matched(&self, member: MemberId) -> Option<u64> {
        if self.node.raft.state != StateRole::Leader {
            return None;
        }
        let progress = self.node.raft.prs().get(member.0)?;
        Some(progress.matched)
    }

    /// A member needs a snapshot and there is none that names it: call `compact` with the applied state.
    #[must_use]
    pub fn wants_snapshot(&self) -> bool {
        self.node.raft.state == StateRole::Leader && self.node.store().missed_snapshot()
    }

    /// Entries that were applied after the latest snapshot: compact when they get many.
    #[must_use]
    pub fn applied_since_snapshot(&self) -> u64 {
        let snapshot = self.node.store().snapshot_index();
        self.outbox.applied.saturating_sub(snapshot)
    }

    /// Make `state` the snapshot at `index`, which must be `applied_index`. Returns the snapshot to be
    /// persisted (no ticket: nothing waits for it); `None` when the index is another or is not news.
    /// A tail of the log stays in memory for followers that are a little behind.
    pub fn compact(&mut self, index: u64, state: Vec<u8>) -> Option<LogSnapshot> {
        let news = index == self.outbox.applied
            && index > self.node.store().snapshot_index()
            && !self.outbox.has_snapshot()
            && self.node.snap().is_none();
        if !news {
            return None;
        }
        let mut members = self.node.raft.prs().conf().to_conf_state();
        members.voters.sort_unstable();
        members.learners.sort_unstable();
        let snapshot = LogSnapshot {
            index,
            term: self.node.raft.raft_log.term(index).ok()?,
            voters: members.voters,
            learners: members.learners,
            data: state,
        };
        self.node.mut_store().compact(wire::snapshot_in(&snapshot));
        Some(snapshot)
    }

    /// Everything in the log is on the disk. Before that no campaign may begin: the library takes for
    /// granted that a winner's log is durable (and the log does not change while its owner campaigns).
    fn log_is_durable(&self) -> bool {
        self.last_index() == self.last_persisted()
            && self.node.snap().is_none()
            && !self.outbox.has_log()
    }

    fn is_only_voter(&self) -> bool {
        self.node.raft.promotable() && self.node.raft.prs().is_singleton()
    }

    /// A new election timeout, from the seed.
    fn draw(&mut self) {
        let span = u64::try_from(self.election_max - self.election_min).unwrap_or(1);
        let extra = self.draws.next_u64().checked_rem(span).unwrap_or(0);
        self.timeout = self.election_min + usize::try_from(extra).unwrap_or(0);
        self.timeout_term = self.node.raft.term;
    }

    /// After whatever may have made the library draw a timeout of its own (from the operating system's
    /// randomness, with every change of role or term): put ours in its place.
    pub(crate) fn settle(&mut self) {
        if self.timeout_term != self.node.raft.term {
            self.draw();
        }
        self.node.raft.set_randomized_election_timeout(self.timeout);
    }

    /// The library sends a snapshot once and waits for ever. We send it again when its acknowledgement
    /// has not come for a long time.
    fn retry_snapshots(&mut self) {
        self.snapshot_ticks += 1;
        if self.snapshot_ticks < self.snapshot_patience {
            return;
        }
        self.snapshot_ticks = 0;
        let mut waiting: Vec<(u64, u64)> = self
            .node
            .raft
            .prs()
            .iter()
            .filter(|(_, progress)| progress.state == ProgressState::Snapshot)
            .map(|(id, progress)| (*id, progress.pending_snapshot))
            .collect();
        waiting.sort_unstable();
        for (id, index) in std::mem::take(&mut self.waiting) {
            if waiting.contains(&(id, index)) {
                self.node.report_snapshot(id, SnapshotStatus::Failure);
            }
        }
        self.waiting = waiting;
    }
}

fn members(mut numbers: Vec<u64>) -> Vec<MemberId> {
    numbers.sort_unstable();
    numbers.into_iter().map(MemberId).collect()
}
