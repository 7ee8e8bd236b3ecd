//! Damage to the database file: it is either without effect or recognised, and never becomes other
//! data. Every damaged copy is opened as an agent would open it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};

use standfast_storage::{
    Batch, Condition, Entry, HardState, Identity, Promise, Restored, Snapshot, Storage,
};

/// Fills a folder and returns what it holds. The database's last transaction carries a vote, so that
/// falling back to the transaction before would show. Closed cleanly, or left as by a crash.
fn filled(dir: &Path, clean: bool) -> Restored {
    let identity = Identity {
        cluster_id: "c1".to_owned(),
        node: "n1".to_owned(),
        member: 1,
    };
    let (mut storage, _) = Storage::open(dir).unwrap();
    let snapshot = Snapshot {
        index: 1,
        term: 1,
        data: vec![7; 9000],
        ..Snapshot::default()
    };
    storage
        .initialise(
            &identity,
            &Batch {
                snapshot: Some(snapshot),
                ..Batch::default()
            },
        )
        .unwrap();
    for index in 2..60 {
        storage
            .persist(&Batch {
                append: vec![Entry {
                    index,
                    term: 2,
                    data: vec![3; 200],
                    ..Entry::default()
                }],
                hard_state: Some(HardState {
                    term: 2,
                    vote: 3,
                    commit: index - 1,
                }),
                promise: Some(Promise {
                    term: 2,
                    generation: index,
                }),
                ..Batch::default()
            })
            .unwrap();
    }
    let vote = Batch {
        hard_state: Some(HardState {
            term: 3,
            vote: 2,
            commit: 58,
        }),
        ..Batch::default()
    };
    storage.persist(&vote).unwrap();
    if clean {
        drop(storage);
    } else {
        let crashed = damaged(dir, |_| ());
        drop(storage);
        fs::copy(crashed.path().join("state.redb"), dir.join("state.redb")).unwrap();
    }
    let expected = Storage::open(damaged(dir, |_| ()).path()).unwrap().1;
    assert_eq!((expected.hard_state.term, expected.hard_state.vote), (3, 2));
    expected
}

/// A copy of the folder with one change to the database's bytes.
fn damaged(original: &Path, change: impl FnOnce(&mut Vec<u8>)) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for name in ["identity.json", "acknowledged"] {
        fs::copy(original.join(name), copy.path().join(name)).unwrap();
    }
    let mut bytes = fs::read(original.join("state.redb")).unwrap();
    change(&mut bytes);
    fs::write(copy.path().join("state.redb"), bytes).unwrap();
    copy
}

/// Opens the copy; returns whether the damage was recognised. Anything but that or equality fails.
fn recognised(copy: &Path, expected: &Restored, what: &str) -> bool {
    let (_storage, found) = Storage::open(copy).unwrap_or_else(|error| panic!("{what}: {error}"));
    match &found.condition {
        Condition::Corrupt { set_aside, reason } => {
            assert!(set_aside.exists(), "{what}: the damaged file is kept");
            assert!(!reason.is_empty(), "{what}");
            assert_eq!(
                found.identity, expected.identity,
                "{what}: it still knows who it was"
            );
            assert_eq!(
                found.hard_state,
                HardState::default(),
                "{what}: nothing is guessed"
            );
            true
        }
        condition => {
            assert_eq!(*condition, Condition::Intact, "{what}");
            let mut found = found;
            found.incarnation = expected.incarnation;
            assert!(
                found == *expected,
                "{what}: other data, {:?}",
                found.hard_state
            );
            false
        }
    }
}

/// Where the file is in use: the offsets of bytes that are not zero.
fn used(path: &Path) -> Vec<usize> {
    let bytes = fs::read(path).unwrap();
    bytes
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte != 0)
        .map(|(offset, _)| offset)
        .collect()
}

#[test]
fn a_changed_byte_is_recognised_or_without_effect_after_a_clean_end() {
    changed_bytes(true);
}

#[test]
fn a_changed_byte_is_recognised_or_without_effect_after_a_crash() {
    changed_bytes(false);
}

fn changed_bytes(clean: bool) {
    let dir = tempfile::tempdir().unwrap();
    let expected = filled(dir.path(), clean);
    let offsets = used(&dir.path().join("state.redb"));
    // The header densely, the rest by a sample that visits every page.
    let sample: Vec<usize> = offsets
        .iter()
        .copied()
        .filter(|offset| *offset < 320 || offset % 1021 == 7)
        .collect();
    let caught = sample
        .iter()
        .filter(|&&offset| {
            let copy = damaged(dir.path(), |bytes| bytes[offset] ^= 0x5a);
            recognised(copy.path(), &expected, &format!("byte {offset}"))
        })
        .count();
    assert!(
        caught * 10 > sample.len(),
        "{caught} of {} changes were noticed",
        sample.len()
    );
}

#[test]
fn a_file_cut_short_or_overwritten_is_recognised() {
    let dir = tempfile::tempdir().unwrap();
    let expected = filled(dir.path(), true);
    let length = fs::metadata(dir.path().join("state.redb")).unwrap().len();
    let length = usize::try_from(length).unwrap();
    for cut in [0, 1, 511, 4096, 8192, 20_000] {
        let copy = damaged(dir.path(), |bytes| bytes.truncate(cut));
        assert!(recognised(copy.path(), &expected, &format!("cut to {cut}")));
    }
    let copy = damaged(dir.path(), |bytes| bytes.fill(0));
    assert!(recognised(copy.path(), &expected, "all zero"));
    let copy = damaged(dir.path(), |bytes| *bytes = b"not a database".repeat(1000));
    assert!(recognised(copy.path(), &expected, "another kind of file"));
    for page in (0..length / 4096).filter(|page| page % 7 == 1) {
        let copy = damaged(dir.path(), |bytes| {
            bytes[page * 4096..(page + 1) * 4096].fill(0)
        });
        recognised(copy.path(), &expected, &format!("page {page} zeroed"));
    }
}

#[test]
fn two_damaged_files_are_both_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut kept: Vec<PathBuf> = Vec::new();
    for content in [b"one".as_slice(), b"two"] {
        fs::write(dir.path().join("state.redb"), content).unwrap();
        let (_storage, found) = Storage::open(dir.path()).unwrap();
        let Condition::Corrupt { set_aside, .. } = found.condition else {
            panic!("{:?}", found.condition)
        };
        kept.push(set_aside);
    }
    assert_eq!(fs::read(&kept[0]).unwrap(), b"one");
    assert_eq!(fs::read(&kept[1]).unwrap(), b"two");
}

#[test]
fn a_database_put_back_from_an_older_copy_is_recognised() {
    let dir = tempfile::tempdir().unwrap();
    let expected = filled(dir.path(), true);
    let older = fs::read(dir.path().join("state.redb")).unwrap();
    let (mut storage, _) = Storage::open(dir.path()).unwrap();
    let vote = Batch {
        hard_state: Some(HardState {
            term: 4,
            vote: 1,
            commit: 58,
        }),
        ..Batch::default()
    };
    storage.persist(&vote).unwrap();
    drop(storage);
    let copy = damaged(dir.path(), |bytes| *bytes = older);
    assert!(recognised(copy.path(), &expected, "older copy"));
}
