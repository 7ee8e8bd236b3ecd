//! What a state folder turns out to hold after every kind of interruption and damage short of a
//! kill: first start, restart, lost, corrupt, mixed-up and retired databases, and the guards.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::Path;

use standfast_storage::{
    Batch, Condition, Entry, HardState, Identity, OpenError, PersistError, Promise, Restored,
    Snapshot, Storage,
};

fn identity(member: u64) -> Identity {
    Identity {
        cluster_id: "c1".to_owned(),
        node: "n1".to_owned(),
        member,
    }
}

fn entry(index: u64, term: u64) -> Entry {
    Entry {
        index,
        term,
        kind: 1,
        data: format!("e{index}").into_bytes(),
        context: vec![9],
    }
}

fn snapshot(index: u64, term: u64) -> Snapshot {
    Snapshot {
        index,
        term,
        data: b"state".to_vec(),
        voters: vec![1, 2, 3],
        learners: vec![4],
    }
}

fn append(entries: &[Entry]) -> Batch {
    Batch {
        append: entries.to_vec(),
        ..Batch::default()
    }
}

fn hard_state(term: u64, vote: u64, commit: u64) -> Batch {
    Batch {
        hard_state: Some(HardState { term, vote, commit }),
        ..Batch::default()
    }
}

/// A folder with a snapshot at 1, entries 2 to 5 and one of everything else, closed again.
fn filled(dir: &Path) {
    let (mut storage, restored) = Storage::open(dir).unwrap();
    assert_eq!(restored.condition, Condition::Fresh);
    let first = Batch {
        snapshot: Some(snapshot(1, 1)),
        ..Batch::default()
    };
    storage.initialise(&identity(1), &first).unwrap();
    storage
        .persist(&Batch {
            append: (2..=5).map(|index| entry(index, 2)).collect(),
            hard_state: Some(HardState {
                term: 2,
                vote: 3,
                commit: 4,
            }),
            promise: Some(Promise {
                term: 2,
                generation: 7,
            }),
            vote_cap_us: Some(800_000),
            notes: vec![("boot".to_owned(), Some(b"b1".to_vec()))],
            ..Batch::default()
        })
        .unwrap();
}

fn reopen(dir: &Path) -> (Storage, Restored) {
    Storage::open(dir).unwrap()
}

fn indices(restored: &Restored) -> Vec<(u64, u64)> {
    restored
        .entries
        .iter()
        .map(|entry| (entry.index, entry.term))
        .collect()
}

#[test]
fn everything_persisted_is_restored_and_each_open_counts() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let (storage, restored) = reopen(dir.path());
    assert_eq!(restored.condition, Condition::Intact);
    assert_eq!(
        restored.hard_state,
        HardState {
            term: 2,
            vote: 3,
            commit: 4
        }
    );
    assert_eq!(restored.snapshot, Some(snapshot(1, 1)));
    assert_eq!(
        restored.entries,
        (2..=5).map(|index| entry(index, 2)).collect::<Vec<_>>()
    );
    assert_eq!(
        restored.promise,
        Promise {
            term: 2,
            generation: 7
        }
    );
    assert_eq!(restored.vote_cap_us, 800_000);
    assert_eq!(restored.identity, Some(identity(1)));
    assert_eq!(restored.notes["boot"], b"b1");
    assert_eq!(restored.incarnation, 2);
    drop(storage);
    assert_eq!(reopen(dir.path()).1.incarnation, 3);
}

#[test]
fn a_second_agent_is_refused_with_the_holders_process_id() {
    let dir = tempfile::tempdir().unwrap();
    let (holder, _) = reopen(dir.path());
    let refusal = Storage::open(dir.path()).unwrap_err();
    assert!(matches!(refusal, OpenError::InUse { .. }), "{refusal:?}");
    let sentence = format!("is in use by process {}:", std::process::id());
    assert!(refusal.to_string().contains(&sentence), "{refusal}");
    drop(holder);
    assert!(Storage::open(dir.path()).is_ok());
}

#[test]
fn a_member_without_its_database_is_lost_and_not_fresh() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    fs::remove_file(dir.path().join("state.redb")).unwrap();
    let (mut storage, restored) = reopen(dir.path());
    assert_eq!(restored.condition, Condition::Lost);
    assert_eq!(restored.identity, Some(identity(1)));
    assert_eq!(restored.hard_state, HardState::default());

    // It stays lost until it is somebody new, and is then whole again.
    drop(storage);
    (storage, _) = reopen(dir.path());
    storage.initialise(&identity(4), &Batch::default()).unwrap();
    drop(storage);
    let (_storage, restored) = reopen(dir.path());
    assert_eq!(
        (restored.condition, restored.identity),
        (Condition::Intact, Some(identity(4)))
    );
}

#[test]
fn an_unreadable_marker_without_a_database_is_lost_too() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    fs::remove_file(dir.path().join("state.redb")).unwrap();
    fs::write(dir.path().join("identity.json"), b"{\"clus").unwrap();
    let (_storage, restored) = reopen(dir.path());
    assert_eq!(
        (restored.condition, restored.identity),
        (Condition::Lost, None)
    );
}

#[test]
fn a_missing_marker_is_written_again_from_the_database() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let marker = dir.path().join("identity.json");
    let before = fs::read(&marker).unwrap();
    fs::remove_file(&marker).unwrap();
    assert_eq!(reopen(dir.path()).1.condition, Condition::Intact);
    assert_eq!(fs::read(&marker).unwrap(), before);
}

#[test]
fn another_nodes_database_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let other = serde_json::to_vec(&identity(2)).unwrap();
    fs::write(dir.path().join("identity.json"), other).unwrap();
    let refusal = Storage::open(dir.path()).unwrap_err();
    assert!(matches!(refusal, OpenError::Foreign { .. }), "{refusal:?}");
}

#[test]
fn an_initialisation_interrupted_at_any_step_is_before_or_after() {
    // The files as they are when power fails between the steps of a second initialisation.
    let before = tempfile::tempdir().unwrap();
    filled(before.path());
    fs::remove_file(before.path().join("state.redb")).unwrap();
    let after = tempfile::tempdir().unwrap();
    let (mut storage, _) = reopen(after.path());
    storage.initialise(&identity(4), &Batch::default()).unwrap();
    drop(storage);

    fs::remove_file(before.path().join("acknowledged")).unwrap();
    let prepared = before.path().join("identity.json.new");
    fs::copy(after.path().join("identity.json"), prepared).unwrap();
    fs::copy(
        after.path().join("state.redb"),
        before.path().join("state.redb.new"),
    )
    .unwrap();
    assert_eq!(
        reopen(before.path()).1.condition,
        Condition::Lost,
        "database not yet in place"
    );

    fs::copy(
        after.path().join("state.redb"),
        before.path().join("state.redb"),
    )
    .unwrap();
    let restored = reopen(before.path()).1;
    assert_eq!(
        (restored.condition, restored.identity),
        (Condition::Intact, Some(identity(4)))
    );
}

#[test]
fn a_retired_database_is_kept_and_the_node_may_become_a_new_member() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let (mut storage, whole) = reopen(dir.path());
    assert!(matches!(
        storage.initialise(&identity(4), &Batch::default()),
        Err(PersistError::AlreadyInitialised)
    ));
    storage.restart_as(&identity(4), &Batch::default()).unwrap();
    drop(storage);
    assert_eq!(reopen(dir.path()).1.identity, Some(identity(4)));
    let names = fs::read_dir(dir.path()).unwrap();
    let mut names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let kept = names.find(|name| name.starts_with("state.redb.retired-"));
    // Under its old name it is whole.
    let again = tempfile::tempdir().unwrap();
    fs::copy(
        dir.path().join(kept.unwrap()),
        again.path().join("state.redb"),
    )
    .unwrap();
    assert_eq!(
        indices(&reopen(again.path()).1).len(),
        indices(&whole).len()
    );
}

/// What it was takes nothing any more, as that would be the new one's; and it is there for a restart all the same.
#[test]
fn a_new_beginning_that_fails_takes_nothing_and_leaves_what_was() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let (mut storage, whole) = reopen(dir.path());
    let in_the_way = dir.path().join("state.redb.new");
    fs::create_dir(&in_the_way).unwrap();
    for _ in 0..3 {
        let begun = storage.restart_as(&identity(4), &Batch::default());
        assert!(begun.is_err(), "{begun:?}");
        assert!(matches!(
            storage.persist(&hard_state(9, 0, 0)),
            Err(PersistError::NotInitialised)
        ));
    }
    drop(storage);
    fs::remove_dir(&in_the_way).unwrap();
    let (mut storage, found) = reopen(dir.path());
    assert_eq!(found.identity, whole.identity);
    assert_eq!(found.hard_state, whole.hard_state);
    assert_eq!(indices(&found), indices(&whole));
    storage.restart_as(&identity(4), &Batch::default()).unwrap();
    storage.persist(&hard_state(9, 0, 0)).unwrap();
}

#[test]
fn what_would_be_taken_back_is_refused_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let (mut storage, _) = reopen(dir.path());
    let lower_promise = Batch {
        promise: Some(Promise {
            term: 2,
            generation: 6,
        }),
        ..Batch::default()
    };
    let committed = Batch {
        truncate_from: Some(4),
        ..Batch::default()
    };
    let older_snapshot = Batch {
        snapshot: Some(snapshot(0, 0)),
        ..Batch::default()
    };
    let mut half_good = hard_state(1, 0, 4);
    half_good.append = vec![entry(6, 2)];
    let refused = [
        hard_state(1, 3, 4),
        hard_state(2, 1, 4),
        hard_state(2, 3, 3),
        hard_state(2, 3, 6),
        lower_promise,
        committed,
        older_snapshot,
        append(&[entry(7, 2)]),
        append(&[entry(4, 3)]),
        half_good,
    ];
    for batch in &refused {
        let result = storage.persist(batch);
        assert!(
            matches!(result, Err(PersistError::Refused(_))),
            "{batch:?}: {result:?}"
        );
    }
    drop(storage);
    let (_storage, restored) = reopen(dir.path());
    assert_eq!(
        restored.hard_state,
        HardState {
            term: 2,
            vote: 3,
            commit: 4
        }
    );
    assert_eq!(indices(&restored), [(2, 2), (3, 2), (4, 2), (5, 2)]);
}

#[test]
fn the_log_may_be_repeated_overwritten_and_cut_after_the_commit_index() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let (mut storage, _) = reopen(dir.path());
    storage
        .persist(&append(&[entry(3, 2), entry(4, 2)]))
        .unwrap();
    drop(storage);
    let (mut storage, restored) = reopen(dir.path());
    assert_eq!(
        indices(&restored),
        [(2, 2), (3, 2), (4, 2), (5, 2)],
        "a repetition cuts nothing"
    );

    storage
        .persist(&append(&[entry(4, 2), entry(5, 3), entry(6, 3)]))
        .unwrap();
    storage
        .persist(&Batch {
            truncate_from: Some(6),
            ..Batch::default()
        })
        .unwrap();
    drop(storage);
    assert_eq!(
        indices(&reopen(dir.path()).1),
        [(2, 2), (3, 2), (4, 2), (5, 3)]
    );
}

#[test]
fn a_snapshot_keeps_the_log_after_it_only_if_the_log_agrees() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let (mut storage, _) = reopen(dir.path());
    storage
        .persist(&Batch {
            snapshot: Some(snapshot(4, 2)),
            ..Batch::default()
        })
        .unwrap();
    drop(storage);
    let (mut storage, restored) = reopen(dir.path());
    assert_eq!(indices(&restored), [(5, 2)]);

    let leaders = Batch {
        snapshot: Some(snapshot(9, 5)),
        append: vec![entry(10, 5)],
        hard_state: Some(HardState {
            term: 5,
            vote: 0,
            commit: 9,
        }),
        ..Batch::default()
    };
    storage.persist(&leaders).unwrap();
    drop(storage);
    let (_storage, restored) = reopen(dir.path());
    assert_eq!(
        (restored.snapshot, indices_of(&restored.entries)),
        (leaders.snapshot, vec![10])
    );
    assert_eq!(restored.hard_state.commit, 9);
}

fn indices_of(entries: &[Entry]) -> Vec<u64> {
    entries.iter().map(|entry| entry.index).collect()
}

#[test]
fn notes_are_replaced_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    filled(dir.path());
    let (mut storage, _) = reopen(dir.path());
    let notes = vec![
        ("boot".to_owned(), None),
        ("a".to_owned(), Some(vec![1])),
        ("a".to_owned(), Some(vec![2])),
    ];
    storage
        .persist(&Batch {
            notes,
            ..Batch::default()
        })
        .unwrap();
    drop(storage);
    let notes = reopen(dir.path()).1.notes;
    assert_eq!(
        notes.into_iter().collect::<Vec<_>>(),
        [("a".to_owned(), vec![2])]
    );
}
