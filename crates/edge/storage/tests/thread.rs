//! The storage thread: order, one fsync for what waits, a queue that refuses instead of blocking,
//! and what happens to a batch that cannot be written.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use standfast_storage::{
    Batch, Entry, HardState, Identity, PersistError, Storage, StorageEvent, StorageThread,
    SubmitError,
};

const SOON: Duration = Duration::from_secs(20);

fn start(dir: &Path, capacity: usize) -> (StorageThread, Receiver<StorageEvent>) {
    let (mut storage, _) = Storage::open(dir).unwrap();
    let identity = Identity {
        cluster_id: "c".to_owned(),
        node: "n".to_owned(),
        member: 1,
    };
    storage.initialise(&identity, &Batch::default()).unwrap();
    let (sender, events) = channel();
    let report = move |event| drop(sender.send(event));
    (
        StorageThread::start(storage, capacity, report).unwrap(),
        events,
    )
}

fn entry(index: u64) -> Batch {
    let entry = Entry {
        index,
        term: 1,
        data: vec![7; 100],
        ..Entry::default()
    };
    Batch {
        append: vec![entry],
        ..Batch::default()
    }
}

fn hard_state(term: u64) -> Batch {
    Batch {
        hard_state: Some(HardState {
            term,
            vote: 0,
            commit: 0,
        }),
        ..Batch::default()
    }
}

#[test]
fn batches_are_acknowledged_in_order_and_those_that_wait_share_a_write() {
    let dir = tempfile::tempdir().unwrap();
    let (thread, events) = start(dir.path(), 1000);
    for seq in 1..=500 {
        thread.submit(seq, entry(seq)).unwrap();
    }
    for expected in 1..=500 {
        match events.recv_timeout(SOON).unwrap() {
            StorageEvent::Persisted { seq, .. } => assert_eq!(seq, expected),
            StorageEvent::Failed { seq, error, .. } => panic!("{seq}: {error}"),
        }
    }
    let latency = thread.latency();
    assert!(
        latency.writes < 250,
        "{} writes for 500 batches",
        latency.writes
    );
    assert!(latency.recent_max >= latency.average && latency.average > Duration::ZERO);
    assert_eq!((latency.running, latency.failing), (None, false));
    assert!(thread.close().is_some());
    let (_storage, restored) = Storage::open(dir.path()).unwrap();
    assert_eq!(restored.entries.len(), 500);
}

#[test]
fn a_refused_batch_does_not_take_its_neighbours_down() {
    let dir = tempfile::tempdir().unwrap();
    let (thread, events) = start(dir.path(), 100);
    let batches = [
        hard_state(5),
        entry(1),
        hard_state(4),
        entry(2),
        entry(4),
        entry(3),
    ];
    for (seq, batch) in (1..).zip(batches) {
        thread.submit(seq, batch).unwrap();
    }
    let mut refused = Vec::new();
    for expected in 1..=6 {
        match events.recv_timeout(SOON).unwrap() {
            StorageEvent::Persisted { seq, .. } => assert_eq!(seq, expected),
            StorageEvent::Failed {
                seq,
                error,
                retrying,
            } => {
                assert!(matches!(*error, PersistError::Refused(_)), "{error}");
                assert!(!retrying);
                assert_eq!(seq, expected);
                refused.push(seq);
            }
        }
    }
    assert_eq!(refused, [3, 5]);
}

#[test]
fn a_full_queue_gives_the_batch_back_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let (thread, _events) = start(dir.path(), 2);
    let started = Instant::now();
    let mut seq = 0;
    let returned = loop {
        seq += 1;
        // Large enough that the disk is slower than this loop.
        let large = Entry {
            index: seq,
            term: 1,
            data: vec![7; 1_000_000],
            ..Entry::default()
        };
        match thread.submit(
            seq,
            Batch {
                append: vec![large],
                ..Batch::default()
            },
        ) {
            Ok(()) => assert!(started.elapsed() < SOON, "the queue never filled up"),
            Err(SubmitError::Busy(batch)) => break batch,
            Err(SubmitError::Closed(_)) => panic!("closed"),
        }
    };
    assert_eq!(returned.append[0].index, seq);
}

#[test]
fn an_uninitialised_folder_fails_for_good() {
    let dir = tempfile::tempdir().unwrap();
    let (storage, _) = Storage::open(dir.path()).unwrap();
    let (sender, events) = channel();
    let thread = StorageThread::start(storage, 4, move |event| drop(sender.send(event))).unwrap();
    thread.submit(1, entry(1)).unwrap();
    match events.recv_timeout(SOON).unwrap() {
        StorageEvent::Failed {
            seq: 1,
            error,
            retrying: false,
        } => {
            assert!(matches!(*error, PersistError::NotInitialised), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_new_beginning_comes_after_what_was_submitted_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let (thread, events) = start(dir.path(), 16);
    let other = Identity {
        cluster_id: "c".to_owned(),
        node: "n".to_owned(),
        member: 9,
    };
    thread.submit(1, entry(1)).unwrap();
    thread
        .submit_restart(2, other.clone(), hard_state(7))
        .unwrap();
    thread.submit(3, entry(1)).unwrap();
    for expected in 1..=3 {
        match events.recv_timeout(SOON).unwrap() {
            StorageEvent::Persisted { seq, .. } => assert_eq!(seq, expected),
            StorageEvent::Failed { seq, error, .. } => panic!("{seq}: {error}"),
        }
    }
    drop(thread.close().unwrap());
    let (_storage, restored) = Storage::open(dir.path()).unwrap();
    assert_eq!(restored.identity, Some(other));
    assert_eq!((restored.hard_state.term, restored.entries.len()), (7, 1));
    let kept = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|file| file.unwrap().file_name());
    let retired = kept.filter(|name| name.to_string_lossy().contains("retired"));
    assert_eq!(
        retired.count(),
        1,
        "the database of the former member is kept"
    );
}
