//! What comes out of a member, and when: nothing that attests to something on the disk leaves before the
//! disk has it.
//!
//! What waits, and for what
//! - A leader's messages attest to nothing but its term, and leave at once, unless its term or vote is not
//!   durable yet. (The library would let them go even then. A single voter that leads a term it forgets in a
//!   crash could give a learner two different entries of the same index and term.)
//! - Heartbeat responses leave at once, always. They say "I hear you in your term", which nobody counts as
//!   a vote or as storage: the leader takes it for a sign of life (check-quorum) and as leave to try
//!   another append, whose own response waits. A term that is forgotten in a crash does no harm, as it was not voted in:
//!   the leader it belongs to is elected already, by durable votes. Our leadership lease does not rest on
//!   these responses but on round acknowledgements of the core. So a disk that takes two seconds makes
//!   neither a follower look dead nor a leader.
//! - All else (votes, requests for votes, append responses) waits for every batch handed out so far.
//!
//! What is written when
//! - Term, vote, entries and snapshots: at once. The commit index is written along with them and is no reason for
//!   a write of its own: a restarted member learns it from the next leader. It must come along, though: changes
//!   of members take effect when applied, and elections stay safe because whoever has change N + 1 on its disk
//!   also knows there that change N is committed (the leader proposes one after the other is applied).
//! - Committed entries are handed out once they are durable here, too. A change of members, and what comes after it,
//!   waits until the disk also knows that it is committed, with a write of its own when need be: whoever was told that a member is
//!   removed may destroy it, and the last voter that is left must not wait for it after a crash.

use crate::{Committed, Consensus, Output, Persist, Role, wire};
use raft::{StateRole, eraftpb};
use standfast_model::{
    event::HardState,
    message::{Consensus as Message, LogSnapshot},
};
use std::collections::VecDeque;

/// What was handed out, and what waits for it.
#[derive(Debug)]
pub(crate) struct Outbox {
    /// Last index that was handed out to be applied.
    pub(crate) applied: u64,
    /// What the newest batch leaves on the disk.
    written: HardState,
    next_ticket: u64,
    /// Batches that are being written, in order.
    batches: VecDeque<Batch>,
    /// Messages that waited and may leave now.
    freed: Vec<Message>,
    /// A snapshot that is durable now.
    installed: Option<LogSnapshot>,
    /// Committed entries that are not handed out yet, each with the ticket that has to be durable before.
    due: VecDeque<(u64, eraftpb::Entry)>,
    /// Newest ticket that is durable.
    durable: u64,
    #[cfg(feature = "planted")]
    votes_before_disk: bool,
}

/// A batch that is being written.
#[derive(Debug)]
struct Batch {
    ticket: u64,
    /// The library's number of the last piece of work that is done when this is durable.
    ready: u64,
    /// It changes term or vote.
    has_vote: bool,
    has_entries: bool,
    snapshot: Option<LogSnapshot>,
    /// What may leave when it is durable.
    messages: Vec<Message>,
}

impl Outbox {
    pub(crate) const fn new(written: HardState, applied: u64) -> Self {
        Self {
            applied,
            written,
            next_ticket: 1,
            batches: VecDeque::new(),
            freed: Vec::new(),
            installed: None,
            due: VecDeque::new(),
            durable: 0,
            #[cfg(feature = "planted")]
            votes_before_disk: false,
        }
    }

    /// Part of the log is being written.
    pub(crate) fn has_log(&self) -> bool {
        self.batches
            .iter()
            .any(|batch| batch.has_entries || batch.snapshot.is_some())
    }

    /// A leader's snapshot is on its way to the state machine.
    pub(crate) fn has_snapshot(&self) -> bool {
        self.installed.is_some() || self.batches.iter().any(|batch| batch.snapshot.is_some())
    }

    /// Nothing in it can leave now.
    fn is_empty(&self) -> bool {
        let due = |(ticket, _): &(u64, _)| *ticket <= self.durable;
        self.freed.is_empty() && self.installed.is_none() && !self.due.front().is_some_and(due)
    }

    fn has_vote(&self) -> bool {
        self.batches.iter().any(|batch| batch.has_vote)
    }

    /// Whether a message may leave while something is being written.
    fn may_leave(&self, message: &eraftpb::Message, leads: bool) -> bool {
        #[cfg(feature = "planted")]
        if self.votes_before_disk {
            return true;
        }
        let heartbeat = i32::from(eraftpb::MessageType::MsgHeartbeatResponse);
        message.msg_type == heartbeat || (leads && !self.has_vote())
    }
}

impl Consensus {
    /// What to do next; call until `None` after every other call that changes something.
    pub fn take_output(&mut self) -> Option<Output> {
        if self.outbox.is_empty() && !self.node.has_ready() {
            self.settle();
            return None;
        }
        let mut output = Output {
            messages: std::mem::take(&mut self.outbox.freed),
            ..Output::default()
        };
        if let Some(snapshot) = self.outbox.installed.take() {
            self.outbox.applied = snapshot.index;
            output.installed = Some(snapshot);
        }
        self.hand_out(&mut output);
        while self.node.has_ready() && output.persist.is_none() && output.committed.is_empty() {
            self.one_ready(&mut output);
        }
        self.settle();
        (output != Output::default()).then_some(output)
    }

    /// A batch, and all before it, is durable. Call `take_output` afterwards.
    pub fn persisted(&mut self, ticket: u64) {
        let mut done = None;
        self.outbox.durable = self.outbox.durable.max(ticket);
        let durable = self
            .outbox
            .batches
            .partition_point(|batch| batch.ticket <= ticket);
        for batch in self.outbox.batches.drain(..durable) {
            done = Some(batch.ready);
            self.outbox.freed.extend(batch.messages);
            if batch.snapshot.is_some() {
                self.outbox.installed = batch.snapshot;
            }
        }
        let Some(ready) = done else { return };
        self.node.on_persist_ready(ready);
        if let Some(snapshot) = &self.outbox.installed {
            let log = &self.node.raft.raft_log;
            let reached = log.committed.min(log.persisted);
            if (log.applied..=reached).contains(&snapshot.index) {
                self.node.advance_apply_to(snapshot.index);
            }
        }
        self.settle();
    }

    /// One piece of the library's work.
    fn one_ready(&mut self, output: &mut Output) {
        let mut ready = self.node.ready();
        let number = ready.number();
        let leads = self.node.raft.state == StateRole::Leader;
        let mut messages = ready.take_messages();
        messages.append(&mut ready.take_persisted_messages());
        // The library goes through peers in the order of a hash map.
        messages.sort_by_key(|message| message.to);
        let committed = ready.take_committed_entries();
        let entries = ready.take_entries();
        let snapshot = (!ready.snapshot().is_empty()).then(|| ready.snapshot().clone());

        if let Some(snapshot) = &snapshot {
            self.node.mut_store().install(snapshot.clone());
            // It has all of them.
            self.outbox.due.clear();
        }
        self.node.mut_store().append(&entries);
        // The library wants to see its own answer again, entries and all numbers included; they are in its records.
        self.node.advance_append_async(ready);

        let snapshot = snapshot.map(wire::snapshot_out);
        let known = self.outbox.written.commit;
        let changes = committed
            .iter()
            .any(|entry| !is_normal(entry) && entry.index > known);
        output.persist = self.batch(number, (entries, snapshot, changes));
        self.send(messages, leads, output);
        if self.outbox.batches.is_empty() {
            self.node.on_persist_ready(number);
        }
        let before = self.outbox.due.back().map_or(0, |(ticket, _)| *ticket);
        let newest = self.outbox.batches.back().map_or(0, |batch| batch.ticket);
        let ticket = if changes { newest } else { before };
        let due = committed.into_iter().map(|entry| (ticket, entry));
        self.outbox.due.extend(due);
        self.hand_out(output);
    }

    /// Hand out what is committed and waits for nothing any more.
    fn hand_out(&mut self, output: &mut Output) {
        let durable = self.outbox.durable;
        let ready = self
            .outbox
            .due
            .partition_point(|(ticket, _)| *ticket <= durable);
        let committed = self.outbox.due.drain(..ready).map(|(_, entry)| entry);
        let committed = committed.collect();
        self.apply(committed, output);
    }

    /// A batch to be written, when there is something worth a write: entries, a snapshot, or that a change of
    /// members is committed.
    fn batch(
        &mut self,
        ready: u64,
        (entries, snapshot, changes): (Vec<eraftpb::Entry>, Option<LogSnapshot>, bool),
    ) -> Option<Persist> {
        let state = wire::hard_state_out(&self.node.raft.hard_state());
        let written = self.outbox.written;
        let has_vote = (state.term, state.vote) != (written.term, written.vote);
        if !has_vote && entries.is_empty() && snapshot.is_none() && !changes {
            if let Some(last) = self.outbox.batches.back_mut() {
                last.ready = ready;
            }
            return None;
        }
        self.outbox.written = state;
        let ticket = self.outbox.next_ticket;
        self.outbox.next_ticket += 1;
        self.outbox.batches.push_back(Batch {
            ticket,
            ready,
            has_vote,
            has_entries: !entries.is_empty(),
            snapshot: snapshot.clone(),
            messages: Vec::new(),
        });
        Some(Persist {
            ticket,
            hard_state: (state != written).then_some(state),
            entries: entries.into_iter().map(wire::entry_out).collect(),
            snapshot,
        })
    }

    /// Messages leave now or with the newest batch.
    fn send(&mut self, messages: Vec<eraftpb::Message>, leads: bool, output: &mut Output) {
        for message in messages {
            let now = self.outbox.may_leave(&message, leads);
            let Some(message) = wire::message_out(message) else {
                continue;
            };
            match self.outbox.batches.back_mut() {
                Some(batch) if !now => batch.messages.push(message),
                Some(_) | None => output.messages.push(message),
            }
        }
    }

    /// Hand out committed entries; changes of members take effect here.
    fn apply(&mut self, committed: Vec<eraftpb::Entry>, output: &mut Output) {
        let Some(last) = committed.last().map(|entry| entry.index) else {
            return;
        };
        self.outbox.applied = last;
        // Before the changes: they ask how far the log is applied.
        self.node.advance_apply_to(last);
        for entry in committed {
            output.committed.push(self.apply_one(entry));
        }
        let votes = self.node.raft.prs().conf().voters().contains(self.id);
        if !votes && !matches!(self.role(), Role::Follower { .. }) {
            // Removed while leading or campaigning. The library would go on, and then look in vain for itself.
            let term = self.node.raft.term;
            self.node.raft.become_follower(term, 0);
        }
    }

    fn apply_one(&mut self, entry: eraftpb::Entry) -> Committed {
        let mut applied = Committed {
            index: entry.index,
            term: entry.term,
            data: Vec::new(),
            change: None,
        };
        if is_normal(&entry) {
            applied.data = entry.data;
            return applied;
        }
        // A change that does not fit is refused by every member alike, command and all.
        let fitting = wire::change_of(&entry).filter(|change| {
            let change = wire::library_change(*change);
            self.node.apply_conf_change(&change).is_ok()
        });
        if fitting.is_some() {
            applied.change = fitting;
            applied.data = entry.context;
        }
        applied
    }

    /// Plant a bug.
    #[cfg(feature = "planted")]
    pub fn set_planted(&mut self, planted: standfast_model::planted::Planted) {
        self.outbox.votes_before_disk =
            planted == standfast_model::planted::Planted::VoteBeforeDisk;
    }
}

/// An ordinary command: no change of members.
fn is_normal(entry: &eraftpb::Entry) -> bool {
    entry.entry_type == i32::from(eraftpb::EntryType::EntryNormal)
}
