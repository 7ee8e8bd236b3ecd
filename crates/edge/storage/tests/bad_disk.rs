//! A full disk and a failing disk, the real ones: a small tmpfs in a mount namespace of its own, and
//! fsync failing by strace's fault injection. After either passes, everything goes on and nothing
//! acknowledged is missing.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::env;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::channel;
use std::time::Duration;

use standfast_storage::{
    Batch, Condition, Entry, HardState, Identity, PersistError, Restored, Storage, StorageEvent,
    StorageThread,
};

/// Tells this test binary to be the inner process of a test, and where.
const INNER: &str = "STANDFAST_TEST_INNER";

fn inner() -> Option<PathBuf> {
    env::var_os(INNER).map(PathBuf::from)
}

/// Runs one test of this binary again, below another program, as the inner process.
fn run_inner(wrapper: &[&str], test: &str, dir: &Path) {
    let output = Command::new(wrapper[0])
        .args(&wrapper[1..])
        .arg(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INNER, dir)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "{text}");
}

fn initialised(dir: &Path) -> Storage {
    let (mut storage, restored) = Storage::open(dir).unwrap();
    if restored.condition == Condition::Fresh {
        let identity = Identity {
            cluster_id: "c".to_owned(),
            node: "n".to_owned(),
            member: 1,
        };
        storage.initialise(&identity, &Batch::default()).unwrap();
    }
    storage
}

fn entry(index: u64, size: usize) -> Batch {
    let entry = Entry {
        index,
        term: 1,
        data: vec![7; size],
        ..Entry::default()
    };
    Batch {
        append: vec![entry],
        ..Batch::default()
    }
}

fn vote(term: u64) -> Batch {
    Batch {
        hard_state: Some(HardState {
            term,
            vote: 1,
            commit: 0,
        }),
        ..Batch::default()
    }
}

fn contents(dir: &Path) -> Restored {
    let (_storage, restored) = Storage::open(dir).unwrap();
    assert_eq!(restored.condition, Condition::Intact);
    restored
}

fn last_index(restored: &Restored) -> u64 {
    restored.entries.last().map_or(0, |entry| entry.index)
}

#[test]
fn a_full_disk_refuses_and_goes_on_when_there_is_room() {
    let test = "a_full_disk_refuses_and_goes_on_when_there_is_room";
    if let Some(disk) = inner() {
        return fill_the_disk(&disk.join("state"), &disk.join("ballast"));
    }
    let dir = tempfile::tempdir().unwrap();
    let mount = format!(
        "mount -t tmpfs -o size=6m tmpfs '{}' && exec \"$@\"",
        dir.path().display()
    );
    run_inner(
        &["unshare", "--mount", "sh", "-ec", &mount, "sh"],
        test,
        dir.path(),
    );
}

fn fill_the_disk(dir: &Path, ballast: &Path) {
    let mut storage = initialised(dir);
    fs::write(ballast, vec![0; 3 << 20]).unwrap();
    let mut next = 1;
    let refusal = loop {
        match storage.persist(&entry(next, 50_000)) {
            Ok(_) => next += 1,
            Err(error) => break error,
        }
        assert!(next < 1000, "the disk did not fill up");
    };
    assert!(matches!(refusal, PersistError::Full), "{refusal:?}");
    assert!(next > 5, "refused after {next} entries");
    for _ in 0..3 {
        assert!(matches!(
            storage.persist(&entry(next, 50_000)),
            Err(PersistError::Full)
        ));
    }
    // A vote still fits into what the file has reserved, and an agent can still restart.
    storage.persist(&vote(1)).unwrap();
    drop(storage);
    assert_eq!(last_index(&contents(dir)), next - 1);

    fs::remove_file(ballast).unwrap();
    let mut storage = initialised(dir);
    storage.persist(&entry(next, 50_000)).unwrap();
    drop(storage);
    let restored = contents(dir);
    assert_eq!(last_index(&restored), next);
    assert_eq!(restored.hard_state.term, 1);
}

#[test]
fn a_full_disk_is_left_behind_without_a_restart() {
    let test = "a_full_disk_is_left_behind_without_a_restart";
    if let Some(disk) = inner() {
        let (dir, ballast) = (disk.join("state"), disk.join("ballast"));
        let mut storage = initialised(&dir);
        fs::write(&ballast, vec![0; 4 << 20]).unwrap();
        let mut next = 1;
        while storage.persist(&entry(next, 50_000)).is_ok() {
            next += 1;
        }
        fs::remove_file(&ballast).unwrap();
        storage.persist(&entry(next, 50_000)).unwrap();
        drop(storage);
        assert_eq!(last_index(&contents(&dir)), next);
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let mount = format!(
        "mount -t tmpfs -o size=6m tmpfs '{}' && exec \"$@\"",
        dir.path().display()
    );
    run_inner(
        &["unshare", "--mount", "sh", "-ec", &mount, "sh"],
        test,
        dir.path(),
    );
}

/// strace makes the 30th to 33rd sync of each thread fail.
const FAILING_SYNC: &[&str] = &[
    "strace",
    "-f",
    "-qq",
    "-o",
    "/dev/null",
    "-e",
    "trace=fsync,fdatasync",
    "-e",
    "inject=fsync,fdatasync:error=EIO:when=30..33",
];

#[test]
fn a_failing_fsync_is_reported_and_nothing_acknowledged_is_missing() {
    let test = "a_failing_fsync_is_reported_and_nothing_acknowledged_is_missing";
    if let Some(dir) = inner() {
        let mut storage = initialised(&dir);
        let mut failures = 0;
        for index in 1..=30 {
            // Two terms in one write: it is an error to repeat the first one once the second is on
            // the disk, which it may be although the sync failed.
            let mut second = entry(index, 100);
            second.hard_state = vote(2 * index).hard_state;
            let batches = [&vote(2 * index - 1), &second];
            while let Err(error) = storage.persist_all(&batches) {
                assert!(matches!(error, PersistError::Io(_)), "{error:?}");
                assert!(error.is_retryable(), "{error:?}");
                failures += 1;
                assert!(failures < 20, "it does not recover");
            }
        }
        assert!(failures > 0, "no sync failed");
        assert!(
            !dir.join("state.redb.suspect").exists(),
            "rewritten, so no longer suspect"
        );
        drop(storage);
        let restored = contents(&dir);
        assert_eq!((last_index(&restored), restored.hard_state.term), (30, 60));
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    run_inner(FAILING_SYNC, test, dir.path());
}

#[test]
fn a_process_that_ends_after_a_failed_fsync_warns_the_next_one() {
    let test = "a_process_that_ends_after_a_failed_fsync_warns_the_next_one";
    if let Some(dir) = inner() {
        let mut storage = initialised(&dir);
        let mut term = 1;
        while storage.persist(&vote(term)).is_ok() {
            term += 1;
            assert!(term < 30, "no sync failed");
        }
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    run_inner(FAILING_SYNC, test, dir.path());
    let suspect = dir.path().join("state.redb.suspect");
    let before = inode(&dir.path().join("state.redb"));
    assert!(suspect.exists());
    let restored = contents(dir.path());
    assert!(restored.hard_state.term > 2);
    assert!(!suspect.exists());
    assert_ne!(
        inode(&dir.path().join("state.redb")),
        before,
        "written anew"
    );
}

#[test]
fn the_thread_repeats_what_failed_until_it_is_durable() {
    let test = "the_thread_repeats_what_failed_until_it_is_durable";
    if let Some(dir) = inner() {
        return thread_with_failing_sync(&dir);
    }
    let dir = tempfile::tempdir().unwrap();
    run_inner(FAILING_SYNC, test, dir.path());
}

fn thread_with_failing_sync(dir: &Path) {
    let storage = initialised(dir);
    let (sender, events) = channel();
    let report = move |event| drop(sender.send(event));
    let thread = StorageThread::start(storage, 16, report).unwrap();
    let mut failed = Vec::new();
    for seq in 1..=30 {
        thread.submit(seq, entry(seq, 100)).unwrap();
        loop {
            match events.recv_timeout(Duration::from_secs(30)).unwrap() {
                StorageEvent::Persisted { seq: persisted, .. } => {
                    assert_eq!(persisted, seq);
                    break;
                }
                StorageEvent::Failed {
                    seq: at, retrying, ..
                } => {
                    assert!(retrying);
                    assert!(
                        thread.latency().running.is_some(),
                        "the write is still running"
                    );
                    failed.push(at);
                }
            }
        }
    }
    assert!(!failed.is_empty(), "no sync failed");
    let mut once = failed.clone();
    once.dedup();
    assert_eq!(failed, once, "a failure is reported once");
    drop(thread.close().unwrap());
    assert_eq!(last_index(&contents(dir)), 30);
}

fn inode(path: &Path) -> u64 {
    std::os::unix::fs::MetadataExt::ino(&fs::metadata(path).unwrap())
}

/// What is on the disk of a database whose sync has failed is not known: until its copy is there, nothing is written to it.
#[test]
fn a_suspect_database_is_copied_without_being_written_to() {
    let dir = tempfile::tempdir().expect("tempdir");
    let mut storage = initialised(dir.path());
    storage.persist(&entry(1, 100)).expect("persist");
    // As after the end of a process that closed nothing.
    let path = dir.path().join("state.redb");
    let as_left = fs::read(&path).expect("database");
    drop(storage);
    fs::write(&path, &as_left).expect("database");
    fs::write(dir.path().join("state.redb.suspect"), "").expect("mark");
    let mut old = fs::File::open(&path).expect("database");
    let before = inode(&path);
    assert_eq!(last_index(&contents(dir.path())), 1);
    assert_ne!(inode(&path), before, "another file took its place");
    let mut bytes = Vec::new();
    old.read_to_end(&mut bytes).expect("the old file");
    assert!(bytes == as_left, "the old file was written to");
}
