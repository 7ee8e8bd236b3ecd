//! Judges what comes from the disk and from other nodes, before the library sees it: the library panics
//! on contradictions, and nothing from outside may bring an agent down.
//!
//! Not for authentication: who sent a message is known from its certificate.

use crate::{
    ConsensusError,
    wire::{self, Kind},
};
use raft::eraftpb;
use standfast_model::{
    event::{HardState, Restored},
    message::{Consensus as Message, LogEntry, LogSnapshot},
};

/// Terms and indexes above this are nonsense; below it no addition overflows.
const LARGEST: u64 = u64::MAX / 4;

/// Records of the disk that fit together.
pub(crate) struct Records {
    pub(crate) hard_state: HardState,
    pub(crate) snapshot: Option<eraftpb::Snapshot>,
    pub(crate) entries: Vec<eraftpb::Entry>,
}

/// What the disk gave back, when it fits together.
pub(crate) fn records(restored: &Restored) -> Result<Records, ConsensusError> {
    let bad = |what: String| Err(ConsensusError::Records(what));
    let (start_index, start_term) = match &restored.snapshot {
        Some(snapshot) if !snapshot_is_sound(snapshot) => {
            return bad(format!(
                "the snapshot at index {} is damaged",
                snapshot.index
            ));
        }
        Some(snapshot) => (snapshot.index, snapshot.term),
        None => (0, 0),
    };
    let log = log_after(&restored.entries, start_index, start_term);
    let Some((last_index, last_term)) = end_of(log, start_index, start_term) else {
        return bad("the log has a gap, or terms go backwards".to_owned());
    };
    let entries: Option<Vec<_>> = log.iter().map(wire::entry_in).collect();
    let Some(entries) = entries else {
        return bad("the log has an entry that this version cannot read".to_owned());
    };
    let mut hard_state = restored.hard_state;
    if hard_state == HardState::default() && log.is_empty() {
        // A cluster's very first start: there is a snapshot and nothing else.
        hard_state.term = start_term;
    }
    // The commit index is written together with the next entries and not for itself; a snapshot proves more.
    hard_state.commit = hard_state.commit.max(start_index);
    if hard_state.commit > last_index {
        return bad(format!(
            "index {} was committed, and the log ends at {last_index}",
            hard_state.commit
        ));
    }
    if hard_state.term < last_term || hard_state.term > LARGEST || last_index > LARGEST {
        return bad(format!(
            "term {} with a log that ends in term {last_term} at index {last_index}",
            hard_state.term
        ));
    }
    Ok(Records {
        hard_state,
        snapshot: restored.snapshot.as_ref().map(wire::snapshot_in),
        entries,
    })
}

/// The part of the stored log that continues the snapshot.
///
/// A snapshot from a leader replaces a log that disagrees with it, but storage only drops entries up to
/// the snapshot's index. Entries left over behind it are of a lower term than the snapshot: an entry of the
/// same or a higher term was made by a leader that had the snapshot's last entry, and would only have been
/// appended after it. So a first entry of a lower term means that the whole rest is the replaced log.
fn log_after(entries: &[LogEntry], start_index: u64, start_term: u64) -> &[LogEntry] {
    let skip = entries
        .iter()
        .take_while(|entry| entry.index <= start_index)
        .count();
    let rest = entries.get(skip..).unwrap_or_default();
    match rest.first() {
        Some(first) if first.term < start_term => &[],
        Some(_) | None => rest,
    }
}

/// Last index and term of entries that continue (index, term); `None` when they do not.
fn end_of(entries: &[LogEntry], index: u64, term: u64) -> Option<(u64, u64)> {
    entries
        .iter()
        .try_fold((index, term), |(index, term), entry| {
            let continues = entry.index == index + 1 && entry.term >= term.max(1);
            (continues && entry.term <= LARGEST).then_some((entry.index, entry.term))
        })
}

fn snapshot_is_sound(snapshot: &LogSnapshot) -> bool {
    let mut members: Vec<u64> = snapshot
        .voters
        .iter()
        .chain(&snapshot.learners)
        .copied()
        .collect();
    members.sort_unstable();
    let count = members.len();
    members.dedup();
    (1..=LARGEST).contains(&snapshot.index)
        && (1..=LARGEST).contains(&snapshot.term)
        && !snapshot.voters.is_empty()
        && members.len() == count
        && members.first() != Some(&0)
}

/// A message that makes sense by itself, in the library's words. `None`: ignore it.
/// What it means together with our own log is judged by `Consensus::step`.
pub(crate) fn message(message: &Message, kind: Kind, me: u64) -> Option<eraftpb::Message> {
    let numbers = [
        message.term,
        message.log_term,
        message.index,
        message.commit,
        message.commit_term,
        message.reject_hint,
    ];
    let sound = message.to == me
        && message.from != me
        && message.from != 0
        && message.term > 0
        && numbers.into_iter().all(|number| number <= LARGEST)
        // Nobody of ours asks for a snapshot by itself.
        && message.request_snapshot == 0;
    if !sound {
        return None;
    }
    match kind {
        Kind::Append => {
            if message.snapshot.is_some() || (message.index == 0) != (message.log_term == 0) {
                return None;
            }
            let (_, last_term) = end_of(&message.entries, message.index, message.log_term)?;
            if last_term > message.term {
                return None;
            }
        }
        Kind::Snapshot => {
            let snapshot = message.snapshot.as_ref()?;
            let sound = snapshot_is_sound(snapshot) && snapshot.term <= message.term;
            if !sound || !message.entries.is_empty() {
                return None;
            }
        }
        Kind::AppendResponse
        | Kind::RequestVote
        | Kind::RequestVoteResponse
        | Kind::Heartbeat
        | Kind::HeartbeatResponse
        | Kind::TimeoutNow
        | Kind::RequestPreVote
        | Kind::RequestPreVoteResponse => {
            if message.snapshot.is_some() || !message.entries.is_empty() {
                return None;
            }
        }
    }
    wire::message_in(kind, message)
}
