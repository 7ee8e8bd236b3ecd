//! Between the core's records and the storage edge's. Plain field by field; nothing is decided.

use standfast_model::{
    effect::Batch,
    event::{DiskCondition, HardState, Restored},
    id::NodeId,
    message::{Acknowledged, LogEntry, LogSnapshot},
    plan::PlanNumber,
    time::Micros,
};
use standfast_storage as storage;

const LEASE_CAP: &str = "lease-cap-us";
const MEMORY: &str = "memory";
const PEERS: &str = "peers";
const PAIR: &str = "pair";
const PAIR_FENCES: &str = "pair-fences";

/// A batch for the disk.
pub(crate) fn batch(from: Batch) -> storage::Batch {
    let mut notes = Vec::new();
    if let Some(cap) = from.lease_cap {
        notes.push((LEASE_CAP.to_owned(), Some(cap.0.to_string().into_bytes())));
    }
    if let Some(memory) = from.memory {
        let rows: Vec<(u64, u64, u64)> = memory
            .iter()
            .map(|row| (row.member, row.term, row.index))
            .collect();
        if let Ok(json) = serde_json::to_vec(&rows) {
            notes.push((MEMORY.to_owned(), Some(json)));
        }
    }
    if let Some(record) = from.pair {
        notes.push((PAIR.to_owned(), Some(record)));
    }
    if let Some(acts) = from.pair_fences {
        notes.push((PAIR_FENCES.to_owned(), Some(acts)));
    }
    storage::Batch {
        snapshot: from.snapshot.map(|snapshot| storage::Snapshot {
            index: snapshot.index,
            term: snapshot.term,
            data: snapshot.data,
            voters: snapshot.voters,
            learners: snapshot.learners,
        }),
        truncate_from: None,
        append: from.entries.into_iter().map(entry).collect(),
        hard_state: from.hard_state.map(|hard| storage::HardState {
            term: hard.term,
            vote: hard.vote,
            commit: hard.commit,
        }),
        promise: from.promise.map(|promise| storage::Promise {
            term: promise.term,
            generation: promise.generation,
        }),
        vote_cap_us: from.vote_cap.map(|cap| cap.0),
        notes,
    }
}

fn entry(entry: LogEntry) -> storage::Entry {
    storage::Entry {
        index: entry.index,
        term: entry.term,
        kind: u8::try_from(entry.kind).unwrap_or(u8::MAX),
        data: entry.data,
        context: entry.context,
    }
}

/// What the disk gave back.
pub(crate) fn restored(from: &storage::Restored) -> Restored {
    let number = |name: &str| {
        from.notes
            .get(name)
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .and_then(|text| text.parse().ok())
            .unwrap_or(0)
    };
    let memory: Vec<(u64, u64, u64)> = from
        .notes
        .get(MEMORY)
        .and_then(|json| serde_json::from_slice(json).ok())
        .unwrap_or_default();
    Restored {
        condition: match from.condition {
            storage::Condition::Fresh => DiskCondition::Fresh,
            storage::Condition::Intact => DiskCondition::Intact,
            storage::Condition::Lost | storage::Condition::Corrupt { .. } => DiskCondition::Lost,
        },
        hard_state: HardState {
            term: from.hard_state.term,
            vote: from.hard_state.vote,
            commit: from.hard_state.commit,
        },
        snapshot: from.snapshot.as_ref().map(|snapshot| LogSnapshot {
            index: snapshot.index,
            term: snapshot.term,
            voters: snapshot.voters.clone(),
            learners: snapshot.learners.clone(),
            data: snapshot.data.clone(),
        }),
        entries: from
            .entries
            .iter()
            .map(|entry| LogEntry {
                index: entry.index,
                term: entry.term,
                kind: u32::from(entry.kind),
                data: entry.data.clone(),
                context: entry.context.clone(),
            })
            .collect(),
        promise: PlanNumber {
            term: from.promise.term,
            generation: from.promise.generation,
        },
        vote_cap: Micros(from.vote_cap_us),
        lease_cap: Micros(number(LEASE_CAP)),
        memory: memory
            .into_iter()
            .map(|(member, term, index)| Acknowledged {
                member,
                index,
                term,
            })
            .collect(),
        pair: from.notes.get(PAIR).cloned(),
        pair_fences: from.notes.get(PAIR_FENCES).cloned(),
    }
}

/// The note that tells a joiner where the others are.
pub(crate) fn peers_note(peers: &[(NodeId, Vec<String>)]) -> Vec<(String, Option<Vec<u8>>)> {
    serde_json::to_vec(peers)
        .map(|json| vec![(PEERS.to_owned(), Some(json))])
        .unwrap_or_default()
}

/// Reads that note.
pub(crate) fn peers(from: &storage::Restored) -> Vec<(NodeId, Vec<String>)> {
    from.notes
        .get(PEERS)
        .and_then(|json| serde_json::from_slice(json).ok())
        .unwrap_or_default()
}
