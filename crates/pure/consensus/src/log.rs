//! The log in memory, as the library wants to read it.
//!
//! Not the disk: what must be durable leaves through `Output::persist`.

use raft::{
    Error, GetEntriesContext, RaftState, Storage, StorageError,
    eraftpb::{Entry, HardState, Snapshot, SnapshotMetadata},
};
use std::{cell::Cell, collections::VecDeque};

/// So many applied entries stay in memory after a snapshot, so that a follower that is a little
/// behind gets entries and not the whole state.
const TAIL: u64 = 1000;

/// What an entry costs on the wire besides its content, bytes.
const ENTRY_OVERHEAD: u64 = 24;

/// Entries after a starting point, and the latest snapshot (at or after that point).
#[derive(Default)]
pub(crate) struct Log {
    /// Read once, when the member starts.
    hard_state: HardState,
    /// The entry before the first of `entries`.
    start_index: u64,
    start_term: u64,
    entries: VecDeque<Entry>,
    snapshot: Option<Snapshot>,
    /// A peer needed a snapshot that we do not have.
    missed: Cell<bool>,
}

impl Log {
    pub(crate) fn new(
        hard_state: HardState,
        snapshot: Option<Snapshot>,
        entries: Vec<Entry>,
    ) -> Self {
        let meta = snapshot
            .as_ref()
            .and_then(|snapshot| snapshot.metadata.as_ref());
        Self {
            hard_state,
            start_index: meta.map_or(0, |meta| meta.index),
            start_term: meta.map_or(0, |meta| meta.term),
            entries: entries.into(),
            snapshot,
            missed: Cell::new(false),
        }
    }

    /// Index of the latest snapshot, zero without.
    pub(crate) fn snapshot_index(&self) -> u64 {
        self.snapshot_meta().map_or(0, |meta| meta.index)
    }

    pub(crate) fn missed_snapshot(&self) -> bool {
        self.missed.get()
    }

    /// Entries of one batch; they replace whatever is at or after the first one's index.
    pub(crate) fn append(&mut self, entries: &[Entry]) {
        let Some(first) = entries.first() else { return };
        let keep = position(first.index, self.start_index);
        debug_assert!(keep.is_some_and(|keep| keep <= self.entries.len()));
        if let Some(keep) = keep {
            self.entries.truncate(keep);
            self.entries.extend(entries.iter().cloned());
        }
    }

    /// A snapshot from a leader takes the place of everything.
    pub(crate) fn install(&mut self, snapshot: Snapshot) {
        let meta = snapshot.metadata.clone().unwrap_or_default();
        self.start_index = meta.index;
        self.start_term = meta.term;
        self.entries.clear();
        self.snapshot = Some(snapshot);
    }

    /// A snapshot of our own state, which has applied everything up to it.
    pub(crate) fn compact(&mut self, snapshot: Snapshot) {
        let index = snapshot.metadata.as_ref().map_or(0, |meta| meta.index);
        self.snapshot = Some(snapshot);
        self.missed.set(false);
        while let Some(first) = self.entries.front()
            && first.index.saturating_add(TAIL) <= index
        {
            self.start_index = first.index;
            self.start_term = first.term;
            self.entries.pop_front();
        }
    }

    fn snapshot_meta(&self) -> Option<&SnapshotMetadata> {
        self.snapshot.as_ref()?.metadata.as_ref()
    }

    fn names(&self, member: u64) -> bool {
        self.snapshot_meta()
            .and_then(|meta| meta.conf_state.as_ref())
            .is_some_and(|members| {
                members.voters.contains(&member) || members.learners.contains(&member)
            })
    }
}

/// Where the entry `index` is, when the one before the first is `start`.
fn position(index: u64, start: u64) -> Option<usize> {
    usize::try_from(index.checked_sub(start)?.checked_sub(1)?).ok()
}

impl Storage for Log {
    fn initial_state(&self) -> raft::Result<RaftState> {
        let conf_state = self
            .snapshot_meta()
            .and_then(|meta| meta.conf_state.clone())
            .unwrap_or_default();
        Ok(RaftState {
            hard_state: self.hard_state.clone(),
            conf_state,
        })
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        let Some(from) = position(low, self.start_index) else {
            return Err(Error::Store(StorageError::Compacted));
        };
        let count = usize::try_from(high.saturating_sub(low)).unwrap_or(usize::MAX);
        if from.saturating_add(count) > self.entries.len() {
            return Err(Error::Store(StorageError::Unavailable));
        }
        let limit = max_size.into().unwrap_or(u64::MAX);
        let mut size: u64 = 0;
        let mut found = Vec::new();
        for entry in self.entries.range(from..from + count) {
            let content = entry.data.len() + entry.context.len();
            size = size.saturating_add(ENTRY_OVERHEAD + u64::try_from(content).unwrap_or(u64::MAX));
            if size > limit && !found.is_empty() {
                break;
            }
            found.push(entry.clone());
        }
        Ok(found)
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index == self.start_index {
            return Ok(self.start_term);
        }
        let Some(at) = position(index, self.start_index) else {
            return Err(Error::Store(StorageError::Compacted));
        };
        let entry = self.entries.get(at);
        entry.map_or(Err(Error::Store(StorageError::Unavailable)), |entry| {
            Ok(entry.term)
        })
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.start_index + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self
            .entries
            .back()
            .map_or(self.start_index, |last| last.index))
    }

    /// A member that the snapshot does not name would refuse it, and then wait for ever: it gets
    /// none before there is a newer one.
    fn snapshot(&self, request_index: u64, to: u64) -> raft::Result<Snapshot> {
        match &self.snapshot {
            Some(snapshot) if self.snapshot_index() >= request_index && self.names(to) => {
                Ok(snapshot.clone())
            }
            Some(_) | None => {
                self.missed.set(true);
                Err(Error::Store(StorageError::SnapshotTemporarilyUnavailable))
            }
        }
    }
}
