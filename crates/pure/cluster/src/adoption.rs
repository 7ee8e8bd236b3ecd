//! The contents of a pair's copy: taking over the primary's, and becoming the only voter of one's own.
//!
//! A secondary whose log is not the primary's own, as far as it knows, gives its log up and comes back as a new
//! learner that gets everything, like a member whose disk was lost. Until the snapshot has come, the disk stays as it
//! is: the new log, its first snapshot and the record go into one transaction, and the edge sets the old copy aside.
//!
//! Messages of the log carry the generation in which they were sent. So nothing gets into a copy that its record does
//! not speak of.
//!
//! Not for who is to lead (crate `pair`).

use crate::{
    core::Core,
    refound::{Survey, longest_lease, survey},
    voter::{Standing, Voter},
    voting::settings,
};
use standfast_consensus::{Consensus, Persist};
use standfast_model::{
    effect::Batch,
    event::{DiskCondition, HardState, Restored},
    id::{MemberId, NodeId},
    message::{Body, Consensus as LogMessage, LogSnapshot, PairConsensus},
    state::{ClusterState, JOURNAL_LIMIT, JournalEntry},
    time::{Micros, Now},
};
use standfast_pair::{Contents, Record, Role};

/// A new only voter begins so many terms later: whoever led before may have led in a few of those in between
/// without anybody knowing, and no term is ever two leaders'.
const TERMS: u64 = 1 << 20;

/// A copy on its way here, or a log of one's own on its way to the disk.
#[derive(Debug)]
pub(crate) struct Adoption {
    /// The last index of the copy that is on the disk until then.
    pub(crate) index_before: u64,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// Asks the primary to be taken as a new learner.
    Asks,
    /// The new log has begun, in memory only; the old one is kept until the snapshot is there.
    Reborn(Box<(Consensus, MemberId)>),
    /// Snapshot and record are on their way to the disk.
    Writes,
    /// This node becomes the only voter: the new log is on its way to the disk.
    Refounds(Box<(LogSnapshot, HardState, ClusterState)>),
}

impl Core {
    /// What the pair wants on the disk.
    pub(crate) fn persist_pair(&mut self, now: Now, record: Record, contents: Contents) {
        let rises = matches!(self.pair_role(), Some(Role::Rising));
        let votes = self.consensus.voters().contains(&self.member);
        // Whoever has heard a later term than its own log's would not believe itself.
        let outdated = self.holder.round_heard.0 > self.consensus.term();
        match contents {
            Contents::Keep if rises && (!votes || outdated) => self.refound_pair(now, record),
            Contents::Install if votes || !self.is_kept() => self.begin_adoption(),
            Contents::Keep | Contents::Append | Contents::Install | Contents::Discard => {
                self.write_record(record);
            }
        }
    }

    fn is_kept(&self) -> bool {
        self.paired.as_ref().is_some_and(|paired| paired.kept)
    }

    /// Asks for the primary's copy.
    fn begin_adoption(&mut self) {
        let index_before = self.copy_index();
        let Some(paired) = &mut self.paired else {
            return;
        };
        paired.kept = false;
        paired.adoption = Some(Adoption {
            index_before,
            stage: Stage::Asks,
        });
        let why = format!("it takes over the copy of {}", paired.peer);
        self.voter.standing = Standing::Lost(why);
        self.asked_memory = None;
    }

    /// The primary is not heard any more, or is none any more: the copy here is still as it was.
    pub(crate) fn give_up_adoption(&mut self) {
        let Some(paired) = &mut self.paired else {
            return;
        };
        let leads = paired
            .newest_word()
            .is_some_and(|word| matches!(word.role, Role::Primary { .. }));
        if paired.clocked.pair().sees_peer() && leads {
            return;
        }
        let Some(adoption) = &mut paired.adoption else {
            return;
        };
        if matches!(adoption.stage, Stage::Writes | Stage::Refounds(_)) {
            return;
        }
        if let Stage::Reborn(old) = std::mem::replace(&mut adoption.stage, Stage::Asks) {
            let (consensus, member) = *old;
            self.consensus = consensus;
            self.member = member;
        }
        paired.adoption = None;
        paired.clocked.abandon_adoption();
        self.voter.standing = Standing::Full;
    }

    /// The primary has begun another generation before its copy came: that one is taken over.
    pub(crate) fn renew_adoption(&mut self) {
        let Some(paired) = &mut self.paired else {
            return;
        };
        let waits = paired
            .adoption
            .as_ref()
            .is_some_and(|adoption| matches!(adoption.stage, Stage::Asks | Stage::Reborn(_)));
        let word = paired.newest_word();
        let leads = word
            .as_ref()
            .is_some_and(|word| matches!(word.role, Role::Primary { .. }));
        if let (true, true, Some(word)) = (waits, leads, word) {
            paired.clocked.adopt_newer(&word);
        }
    }

    /// A message of the log from the other one of the pair.
    pub(crate) fn on_pair_consensus(&mut self, now: Now, from: &NodeId, message: &PairConsensus) {
        if self.paired.is_some() {
            let stamp = Some((message.generation, message.run));
            if !self.takes_log_messages() || stamp != self.stamp() {
                return;
            }
            let to = MemberId(message.inner.to);
            let asks = |adoption: &Adoption| matches!(adoption.stage, Stage::Asks);
            let asking = self
                .paired
                .as_ref()
                .and_then(|paired| paired.adoption.as_ref());
            if asking.is_some_and(asks) && to > self.member && !self.disk.is_idle() {
                // What is still being written belongs to the old log.
                return;
            }
        }
        self.on_consensus(now, from, &message.inner);
    }

    /// Whether this node takes part in the log at present.
    fn takes_log_messages(&self) -> bool {
        let Some(paired) = &self.paired else {
            return true;
        };
        match paired.clocked.pair().role() {
            Role::Primary { .. } | Role::Releasing { .. } | Role::Handing { .. } => true,
            Role::Following { ask: None, .. } => true,
            Role::Waiting { .. } => paired.adoption.is_some(),
            Role::Following { .. } | Role::Claiming { .. } | Role::Rising | Role::Dissolved => {
                false
            }
        }
    }

    /// The generation that this node's copy is of, or will be.
    fn stamp(&self) -> Option<(u64, u64)> {
        let paired = self.paired.as_ref()?;
        let pair = paired.clocked.pair();
        let record = pair.adopting().unwrap_or_else(|| pair.record());
        let last = record.history.as_ref()?.last()?;
        Some((last.number, last.run.0))
    }

    /// Whether a message has what comes after the beginning of a generation that is still on its way to the disk. The
    /// other one would count it to the generation before, and each would have what the other lacks. A log that
    /// misses a message asks for it.
    pub(crate) fn is_ahead_of_generation(&self, message: &LogMessage) -> bool {
        let pair = self.paired.as_ref().map(|paired| paired.clocked.pair());
        let begins = pair.and_then(standfast_pair::Pair::beginning);
        let last = message.entries.last();
        begins
            .zip(last)
            .is_some_and(|(from, last)| last.index > from)
    }

    /// Messages of the log within a pair say in which generation they were sent.
    pub(crate) fn log_body(&self, inner: LogMessage) -> Body {
        match self.stamp() {
            Some((generation, run)) => Body::PairConsensus(PairConsensus {
                generation,
                run,
                inner,
            }),
            None => Body::Consensus(inner),
        }
    }

    /// This node is taken as a new learner. False when that has nothing to do with a pair: then it is written down
    /// at once.
    pub(crate) fn reborn_in_pair(&mut self, old: Consensus, member: MemberId) -> bool {
        let Some(adoption) = self
            .paired
            .as_mut()
            .and_then(|paired| paired.adoption.as_mut())
        else {
            return false;
        };
        if matches!(adoption.stage, Stage::Asks) {
            adoption.stage = Stage::Reborn(Box::new((old, member)));
        }
        true
    }

    /// What a new log wants to write before its first snapshot is there is forgotten: nothing rests on it, because
    /// it has no vote. With the snapshot everything goes to the disk at once. Gives back what is to be written as
    /// always.
    pub(crate) fn hold_back(&mut self, persist: Persist) -> Option<(Batch, u64)> {
        let ticket = persist.ticket;
        let mut batch = Batch {
            hard_state: persist.hard_state,
            entries: persist.entries,
            snapshot: persist.snapshot,
            ..Batch::default()
        };
        let hard_state = self.consensus.hard_state();
        let member = self.member;
        let promise = self.promise_wanted;
        let (vote_cap, lease_cap) = self.voter.caps();
        let Some(paired) = &mut self.paired else {
            return Some((batch, ticket));
        };
        let Some(adoption) = &mut paired.adoption else {
            return Some((batch, ticket));
        };
        if !matches!(adoption.stage, Stage::Reborn(_)) {
            return Some((batch, ticket));
        }
        let Some(snapshot) = &batch.snapshot else {
            if batch.entries.is_empty() {
                self.consensus.persisted(ticket);
            }
            return None;
        };
        let record = paired.clocked.pair().adopting().cloned()?;
        let record = record.measured(snapshot.index);
        adoption.stage = Stage::Writes;
        // Caps are in it, too: they count when the last write of any is there.
        self.cap_writes += 1;
        batch.reset = Some(member);
        batch.hard_state = Some(hard_state);
        batch.promise = Some(promise);
        batch.vote_cap = Some(vote_cap);
        batch.lease_cap = Some(lease_cap);
        batch.pair = serde_json::to_vec(&record).ok();
        batch.pair_fences = self.fencing.pair.written();
        Some((batch, ticket))
    }

    /// What was written is what counts from here on.
    pub(crate) fn finish_adoption(&mut self, now: Now) {
        let Some(paired) = &mut self.paired else {
            return;
        };
        let Some(adoption) = paired.adoption.take() else {
            return;
        };
        match adoption.stage {
            Stage::Writes => paired.kept = true,
            Stage::Refounds(new) => {
                let (snapshot, hard_state, state) = *new;
                self.begin_log(now, snapshot, hard_state, state);
            }
            stage @ (Stage::Asks | Stage::Reborn(_)) => {
                // Another write of the pair than the one that this waits for.
                paired.adoption = Some(Adoption { stage, ..adoption });
            }
        }
    }

    /// The log as it is on this disk, with this node as its only voter, goes to the disk with the record.
    fn refound_pair(&mut self, now: Now, record: Record) {
        let index_before = self.copy_index();
        let known = self.everything_here();
        let Some(Survey { mut state, .. }) = known else {
            return;
        };
        state.applied = self.consensus.last_persisted().saturating_add(1);
        let wall_ms = self.wall_ms(now);
        let Some(paired) = &mut self.paired else {
            return;
        };
        let peer = paired.peer.clone();
        let fenced = paired.clocked.pair().fenced().is_some();
        let by = paired.forced_by.clone();
        let pinged = crate::pair_pings::evidence(&paired.clocked);
        for info in state.members.values_mut() {
            info.voter = info.node == self.node;
        }
        if fenced {
            // A machine without power uses no grant.
            state.restart_grants.remove(&peer);
        }
        let (text, mut evidence) = taken_over([&self.node, &peer], &record, &by, fenced);
        evidence.extend(pinged.filter(|_| record.took_over && !fenced));
        state.journal.push_back(JournalEntry {
            index: state.applied,
            wall_ms,
            plan: state.plan.number,
            kind: "pair".to_owned(),
            text,
            evidence,
        });
        while state.journal.len() > JOURNAL_LIMIT {
            state.journal.pop_front();
        }
        let learners = state
            .members
            .keys()
            .filter(|member| **member != self.member);
        let snapshot = LogSnapshot {
            index: state.applied,
            term: self
                .consensus
                .term()
                .max(self.holder.round_heard.0)
                .saturating_add(TERMS),
            voters: vec![self.member.0],
            learners: learners.map(|member| member.0).collect(),
            data: serde_json::to_vec(&state).unwrap_or_default(),
        };
        let hard_state = HardState {
            term: snapshot.term,
            vote: 0,
            commit: snapshot.index,
        };
        let batch = Batch {
            hard_state: Some(hard_state),
            snapshot: Some(snapshot.clone()),
            pair: serde_json::to_vec(&record).ok(),
            ..Batch::default()
        };
        paired.adoption = Some(Adoption {
            index_before,
            stage: Stage::Refounds(Box::new((snapshot, hard_state, state))),
        });
        let effect = self.disk.write(batch, None);
        self.out.extend(effect);
    }

    /// The state with every entry that is on this disk.
    fn everything_here(&self) -> Option<Survey> {
        let restored = Restored {
            condition: DiskCondition::Intact,
            snapshot: Some(LogSnapshot {
                index: self.state.applied,
                data: serde_json::to_vec(&self.state).ok()?,
                ..LogSnapshot::default()
            }),
            entries: self.consensus.entries_after(self.state.applied),
            ..Restored::default()
        };
        survey(&restored)
    }

    /// This node goes on with that log.
    fn begin_log(
        &mut self,
        now: Now,
        snapshot: LogSnapshot,
        hard_state: HardState,
        state: ClusterState,
    ) {
        let settings = settings(&self.timing(), self.member, self.seed);
        let (index, term) = (snapshot.index, snapshot.term);
        let restored = Restored {
            condition: DiskCondition::Intact,
            snapshot: Some(snapshot),
            hard_state,
            ..Restored::default()
        };
        let Ok(consensus) = Consensus::new(&settings, &restored) else {
            return;
        };
        let fenced = self
            .paired
            .as_ref()
            .is_some_and(|paired| paired.clocked.pair().fenced().is_some());
        let leases = if fenced {
            Micros::ZERO
        } else {
            longest_lease(&state)
        };
        self.consensus = consensus;
        self.restored_at = (term, index);
        self.state = state;
        self.lead = None;
        self.voter = Voter::alone(now, &self.voter, leases);
        self.last_tick = now;
        if let Some(paired) = &mut self.paired {
            paired.kept = false;
            paired.confirmed = 0;
        }
        self.after_apply(now);
    }
}

/// For the journal: who leads from now on, and on what that rests.
fn taken_over(
    [node, peer]: [&NodeId; 2],
    record: &Record,
    by: &str,
    fenced: bool,
) -> (String, Vec<String>) {
    let last = record.history.as_ref().and_then(|history| history.last());
    let generation = last.map_or(0, |last| last.number);
    let why = if last.is_some_and(|last| last.forced) {
        let by = if by.is_empty() { "an operator" } else { by };
        format!("{by} forced it: what {peer} confirmed and {node} did not have is lost")
    } else if fenced {
        format!("{peer} was lost, and its power was confirmed off")
    } else if record.took_over {
        format!("{peer} was lost, and its lease is over")
    } else {
        format!("{peer} handed over, or is behind")
    };
    let text = format!("{node} is the primary of the pair");
    (text, vec![why, format!("generation {generation}")])
}
