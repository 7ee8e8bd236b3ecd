//! What a batch may not take back, checked before it is written. Guards against bugs elsewhere, not
//! part of consensus: a correct caller never sees a refusal.

use crate::record::{Entry, HardState, Promise, SnapshotMeta};

/// The ends of what is stored, enough to judge a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) hard_state: HardState,
    pub(crate) promise: Promise,
    pub(crate) snapshot: SnapshotMeta,
    pub(crate) last_index: u64,
    /// Number of the transaction that wrote this: tells whether a failed commit took effect.
    pub(crate) transaction: u64,
}

/// A term never falls, a vote never changes within its term, a commit index never falls.
pub(crate) fn check_hard_state(present: HardState, next: HardState) -> Result<(), String> {
    if next.term < present.term {
        return Err(format!("term {} after term {}", next.term, present.term));
    }
    if next.term == present.term && present.vote != 0 && next.vote != present.vote {
        return Err(format!(
            "vote for {} in term {} after a vote for {}",
            next.vote, next.term, present.vote
        ));
    }
    if next.commit < present.commit {
        return Err(format!(
            "commit index {} after {}",
            next.commit, present.commit
        ));
    }
    Ok(())
}

/// A promise never falls.
pub(crate) fn check_promise(present: Promise, next: Promise) -> Result<(), String> {
    if next < present {
        return Err(format!("promise {next:?} after {present:?}"));
    }
    Ok(())
}

/// Committed entries are never removed.
pub(crate) fn check_truncate(commit: u64, from: u64) -> Result<(), String> {
    if from <= commit {
        return Err(format!(
            "removing entries from {from} on, committed up to {commit}"
        ));
    }
    Ok(())
}

/// A snapshot never goes backwards.
pub(crate) fn check_snapshot(present: SnapshotMeta, next: SnapshotMeta) -> Result<(), String> {
    if next.index < present.index || next.term < present.term {
        return Err(format!("snapshot {next:?} after {present:?}"));
    }
    Ok(())
}

/// Entries are consecutive, follow the log without a gap, and their terms never fall.
pub(crate) fn check_append(summary: &Summary, entries: &[Entry]) -> Result<(), String> {
    let Some(first) = entries.first() else {
        return Ok(());
    };
    if first.index <= summary.snapshot.index || first.index > summary.last_index + 1 {
        return Err(format!(
            "entry {} does not follow snapshot {} and log end {}",
            first.index, summary.snapshot.index, summary.last_index
        ));
    }
    for (entry, next) in entries.iter().zip(entries.iter().skip(1)) {
        if next.index != entry.index + 1 || next.term < entry.term {
            return Err(format!(
                "entry {} of term {} after entry {} of term {}",
                next.index, next.term, entry.index, entry.term
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRESENT: HardState = HardState {
        term: 5,
        vote: 2,
        commit: 10,
    };

    #[test]
    fn a_term_a_vote_or_a_commit_index_is_never_taken_back() {
        let refused = [
            HardState { term: 4, ..PRESENT },
            HardState { vote: 3, ..PRESENT },
            HardState { vote: 0, ..PRESENT },
            HardState {
                commit: 9,
                ..PRESENT
            },
            HardState {
                term: 6,
                vote: 3,
                commit: 9,
            },
        ];
        for next in refused {
            assert!(check_hard_state(PRESENT, next).is_err(), "{next:?}");
        }
        let allowed = [
            PRESENT,
            HardState {
                commit: 11,
                ..PRESENT
            },
            HardState {
                term: 6,
                vote: 3,
                commit: 10,
            },
            HardState {
                term: 6,
                vote: 0,
                commit: 10,
            },
        ];
        for next in allowed {
            assert_eq!(check_hard_state(PRESENT, next), Ok(()), "{next:?}");
        }
    }

    #[test]
    fn a_promise_is_ordered_by_term_then_generation() {
        let present = Promise {
            term: 3,
            generation: 7,
        };
        assert!(
            check_promise(
                present,
                Promise {
                    term: 3,
                    generation: 6
                }
            )
            .is_err()
        );
        assert!(
            check_promise(
                present,
                Promise {
                    term: 2,
                    generation: 9
                }
            )
            .is_err()
        );
        assert!(
            check_promise(
                present,
                Promise {
                    term: 4,
                    generation: 0
                }
            )
            .is_ok()
        );
        assert!(check_promise(present, present).is_ok());
    }

    #[test]
    fn entries_leave_no_gap_and_their_terms_do_not_fall() {
        let summary = Summary {
            snapshot: SnapshotMeta { index: 3, term: 1 },
            last_index: 6,
            ..Summary::default()
        };
        let entry = |index, term| Entry {
            index,
            term,
            ..Entry::default()
        };
        assert!(check_append(&summary, &[entry(7, 2), entry(8, 2)]).is_ok());
        assert!(check_append(&summary, &[entry(4, 2)]).is_ok());
        assert!(check_append(&summary, &[entry(3, 2)]).is_err());
        assert!(check_append(&summary, &[entry(8, 2)]).is_err());
        assert!(check_append(&summary, &[entry(7, 2), entry(9, 2)]).is_err());
        assert!(check_append(&summary, &[entry(7, 3), entry(8, 2)]).is_err());
    }
}
