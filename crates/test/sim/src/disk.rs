//! A node's disk: what is durable, what has been handed over, and how a crash, a rollback and a
//! failing device treat both. Judges nothing: the core is told what happened.

use standfast_model::{
    effect::Batch,
    event::{DiskCondition, HardState, Restored},
    id::MemberId,
    message::{Acknowledged, LogEntry, LogSnapshot},
    plan::PlanNumber,
    time::Micros,
};
use std::{collections::VecDeque, rc::Rc};

/// What a disk holds. Cheap to copy: entries and snapshots are shared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) hard_state: HardState,
    pub(crate) snapshot: Option<Rc<LogSnapshot>>,
    entries: VecDeque<Rc<LogEntry>>,
    pub(crate) promise: PlanNumber,
    pub(crate) vote_cap: Micros,
    pub(crate) lease_cap: Micros,
    pub(crate) memory: Vec<Acknowledged>,
    pub(crate) pair: Option<Vec<u8>>,
    pub(crate) pair_fences: Option<Vec<u8>>,
    /// Consensus identity, where a later one has been given than the machine's own files have.
    pub(crate) member: Option<MemberId>,
}

impl Image {
    /// Writes a batch: the meaning of `Effect::Persist`.
    pub(crate) fn write(&mut self, batch: &Batch) {
        if let Some(member) = batch.reset {
            self.member = Some(member);
            self.hard_state = HardState::default();
            self.snapshot = None;
            self.entries.clear();
            self.pair_fences = None;
        }
        if let Some(snapshot) = &batch.snapshot {
            let snapshot = Rc::new(snapshot.clone());
            let covered = |entry: &Rc<LogEntry>| entry.index <= snapshot.index;
            while self.entries.front().is_some_and(covered) {
                self.entries.pop_front();
            }
            if self
                .snapshot
                .as_ref()
                .is_none_or(|old| old.index <= snapshot.index)
            {
                self.snapshot = Some(snapshot);
            }
        }
        if let Some(first) = batch.entries.first() {
            while self
                .entries
                .back()
                .is_some_and(|entry| entry.index >= first.index)
            {
                self.entries.pop_back();
            }
            self.entries
                .extend(batch.entries.iter().cloned().map(Rc::new));
        }
        if let Some(hard_state) = batch.hard_state {
            self.hard_state = hard_state;
        }
        if let Some(promise) = batch.promise {
            self.promise = self.promise.max(promise);
        }
        self.vote_cap = batch.vote_cap.unwrap_or(self.vote_cap);
        self.lease_cap = batch.lease_cap.unwrap_or(self.lease_cap);
        if let Some(pair) = &batch.pair {
            self.pair = Some(pair.clone());
        }
        if let Some(acts) = &batch.pair_fences {
            self.pair_fences = Some(acts.clone());
        }
        if let Some(memory) = &batch.memory {
            self.memory.clone_from(memory);
        }
    }

    pub(crate) fn entry(&self, index: u64) -> Option<&Rc<LogEntry>> {
        let first = self.entries.front()?.index;
        let at = usize::try_from(index.checked_sub(first)?).ok()?;
        self.entries.get(at).filter(|entry| entry.index == index)
    }

    pub(crate) fn snapshot_index(&self) -> u64 {
        self.snapshot.as_ref().map_or(0, |snapshot| snapshot.index)
    }

    pub(crate) fn last_index(&self) -> u64 {
        self.entries
            .back()
            .map_or(self.snapshot_index(), |entry| entry.index)
    }

    /// As an agent finds it at its start.
    pub(crate) fn restore(&self, condition: DiskCondition) -> Restored {
        if condition != DiskCondition::Intact {
            return Restored {
                condition,
                promise: self.promise,
                vote_cap: self.vote_cap,
                lease_cap: self.lease_cap,
                ..Restored::default()
            };
        }
        Restored {
            condition,
            hard_state: self.hard_state,
            snapshot: self.snapshot.as_deref().cloned(),
            entries: self.entries.iter().map(|entry| (**entry).clone()).collect(),
            promise: self.promise,
            vote_cap: self.vote_cap,
            lease_cap: self.lease_cap,
            memory: self.memory.clone(),
            pair: self.pair.clone(),
            pair_fences: self.pair_fences.clone(),
        }
    }
}

/// What ails a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ailment {
    /// Writes fail, and may have reached the disk nevertheless.
    Fails,
    /// Writes fail for want of room.
    Full,
}

/// A disk and the writes under way.
#[derive(Debug)]
pub(crate) struct Disk {
    /// What survives.
    pub(crate) durable: Image,
    /// What the agent has handed over, durable or not: its own idea of the disk.
    pub(crate) issued: Image,
    pub(crate) condition: DiskCondition,
    /// Microseconds of an ordinary fsync: shortest and longest.
    pub(crate) fsync: (u64, u64),
    /// Added by a fault.
    pub(crate) slowdown: u64,
    pub(crate) ailment: Option<Ailment>,
    /// The batch that failed first: later ones fail too until it has come again.
    pub(crate) failed: Option<u64>,
    /// Handed over, not yet durable; the first `in_flight` of them are being written, since a time.
    pub(crate) queue: VecDeque<Box<Batch>>,
    pub(crate) in_flight: usize,
    pub(crate) began: u64,
    /// Entries that the last snapshot replaced, and that nobody has looked at yet.
    pub(crate) compacted: Vec<Rc<LogEntry>>,
    /// An older copy with how it was, put back by a rollback.
    pub(crate) copy: Option<(Image, DiskCondition)>,
    /// True time at which it was made.
    pub(crate) copied: u64,
}

impl Disk {
    pub(crate) fn new(fsync: (u64, u64)) -> Self {
        Self {
            durable: Image::default(),
            issued: Image::default(),
            condition: DiskCondition::Fresh,
            fsync,
            slowdown: 0,
            ailment: None,
            failed: None,
            queue: VecDeque::new(),
            in_flight: 0,
            began: 0,
            compacted: Vec::new(),
            copy: None,
            copied: 0,
        }
    }

    /// Makes it the disk of a member from the first day.
    pub(crate) fn install(&mut self, snapshot: LogSnapshot) {
        let batch = Batch {
            hard_state: Some(HardState {
                term: snapshot.term,
                vote: 0,
                commit: snapshot.index,
            }),
            snapshot: Some(snapshot),
            ..Batch::default()
        };
        self.durable.write(&batch);
        self.issued = self.durable.clone();
        self.condition = DiskCondition::Intact;
    }

    /// Notes what an agent hands over to be written.
    pub(crate) fn issue(&mut self, batch: &Batch, looked_at: u64) {
        if let Some(snapshot) = &batch.snapshot {
            let new = looked_at + 1..=snapshot.index;
            self.compacted = new
                .filter_map(|index| self.issued.entry(index))
                .cloned()
                .collect();
        }
        self.issued.write(batch);
    }

    /// An entry that the agent has handed over, if it is still there or was not looked at.
    pub(crate) fn known(&self, index: u64) -> Option<Rc<LogEntry>> {
        let compacted = || self.compacted.iter().find(|entry| entry.index == index);
        self.issued.entry(index).or_else(compacted).cloned()
    }

    /// Writes a batch for good.
    pub(crate) fn write(&mut self, batch: &Batch) {
        self.durable.write(batch);
        // Whoever votes with it has taken it for a disk of its own, rightly or (planted bug) not.
        let votes = batch.reset.is_some() || batch.hard_state.is_some();
        if self.condition == DiskCondition::Fresh || votes {
            self.condition = DiskCondition::Intact;
        }
    }

    /// Ends the writes of an agent: so many of those under way have reached the disk.
    pub(crate) fn crash(&mut self, survivors: usize) {
        let queue = std::mem::take(&mut self.queue);
        for batch in queue.iter().take(survivors.min(self.in_flight)) {
            self.write(batch);
        }
        self.failed = None;
        self.in_flight = 0;
        self.issued = self.durable.clone();
    }

    /// Everything is gone but who it was: identity is kept in a file of its own.
    pub(crate) fn lose(&mut self) {
        self.durable = Image {
            member: self.durable.member,
            ..Image::default()
        };
        self.issued = self.durable.clone();
        self.condition = DiskCondition::Lost;
        self.copy = None;
    }

    /// The older copy is put back; false when there is none.
    pub(crate) fn roll_back(&mut self) -> bool {
        let Some((copy, condition)) = self.copy.take() else {
            return false;
        };
        self.durable = copy;
        if condition == DiskCondition::Lost {
            self.condition = condition;
        }
        self.issued = self.durable.clone();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(first: u64, count: u64, term: u64) -> Batch {
        Batch {
            entries: (first..first + count)
                .map(|index| LogEntry {
                    index,
                    term,
                    ..LogEntry::default()
                })
                .collect(),
            ..Batch::default()
        }
    }

    #[test]
    fn a_later_write_replaces_the_tail_and_a_snapshot_the_head() {
        let mut image = Image::default();
        image.write(&entries(1, 10, 1));
        image.write(&entries(8, 1, 2));
        assert_eq!(image.last_index(), 8);
        assert_eq!(image.entry(8).map(|entry| entry.term), Some(2));
        image.write(&Batch {
            snapshot: Some(LogSnapshot {
                index: 5,
                ..LogSnapshot::default()
            }),
            ..Batch::default()
        });
        assert!(image.entry(5).is_none() && image.entry(6).is_some());
    }

    #[test]
    fn a_crash_keeps_only_what_reached_the_disk() {
        let mut disk = Disk::new((1, 1));
        disk.install(LogSnapshot::default());
        for first in 1..4 {
            let batch = entries(first, 1, 1);
            disk.issued.write(&batch);
            disk.queue.push_back(Box::new(batch));
        }
        disk.in_flight = 2;
        disk.crash(1);
        assert_eq!(disk.durable.last_index(), 1);
        assert_eq!(disk.issued, disk.durable);
    }
}
