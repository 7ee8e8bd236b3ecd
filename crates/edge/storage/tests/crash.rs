//! Kill -9 at random moments: whatever was acknowledged before is there after. A process end, not a
//! power cut; what a power cut adds (unsynced pages) is for virtual machines.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use standfast_storage::{
    Batch, Condition, Entry, HardState, Identity, Promise, Restored, Snapshot, Storage,
};

/// Tells this test binary to be the writer, and where.
const WRITER: &str = "STANDFAST_TEST_WRITER";

const KILLS: u32 = 40;

#[test]
fn what_was_acknowledged_survives_kill_9_at_any_moment() {
    if let Some(dir) = env::var_os(WRITER) {
        write_for_ever(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged = 0;
    let mut opens = 0;
    for round in 0..KILLS {
        // Each second time it gets as far as one batch, however busy the machine is.
        let from = ["open", "ack "][usize::from(!round.is_multiple_of(2))];
        acknowledged = acknowledged.max(run_and_kill(dir.path(), from, pause(round)));
        let (storage, restored) = Storage::open(dir.path()).unwrap();
        drop(storage);
        check(&restored, acknowledged, round);
        // Every open counts, from the first one that found a database.
        let counts = restored.condition == Condition::Intact;
        assert!(
            restored.incarnation >= opens + u64::from(counts),
            "round {round}"
        );
        opens = restored.incarnation;
    }
    assert!(
        acknowledged >= u64::from(KILLS) / 2,
        "only {acknowledged} batches in all rounds"
    );
}

/// 1 to 60 ms, spread without a pattern that fits the writer's.
fn pause(round: u32) -> Duration {
    Duration::from_micros(u64::from(1000 + round * 7919 % 59_000))
}

/// Runs the writer, kills it this long after it has first said something like that, and returns the highest number that it
/// acknowledged.
fn run_and_kill(dir: &Path, from: &str, pause: Duration) -> u64 {
    let mut writer = Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "what_was_acknowledged_survives_kill_9_at_any_moment",
            "--nocapture",
        ])
        .env(WRITER, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(writer.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let number = |line: &str| line.strip_prefix("ack ")?.parse().ok();
    let first = lines.find(|line| line.starts_with(from));
    let first = first.expect("the writer said too little");
    std::thread::sleep(pause);
    writer.kill().unwrap();
    writer.wait().unwrap();
    let acknowledged = lines.filter_map(|line| number(&line)).max();
    acknowledged.or(number(&first)).unwrap_or(0)
}

/// Batch n: entry n, vote and promise of "term" n, and every 50th a snapshot.
fn batch(number: u64) -> Batch {
    let snapshot = number.is_multiple_of(50).then(|| Snapshot {
        index: number - 10,
        term: number - 10,
        data: vec![1; 20_000],
        ..Snapshot::default()
    });
    let entry = Entry {
        index: number,
        term: number,
        data: vec![2; 300],
        ..Entry::default()
    };
    Batch {
        snapshot,
        append: vec![entry],
        hard_state: Some(HardState {
            term: number,
            vote: number % 5,
            commit: number - 1,
        }),
        promise: Some(Promise {
            term: number,
            generation: 1,
        }),
        notes: vec![("number".to_owned(), Some(number.to_le_bytes().to_vec()))],
        ..Batch::default()
    }
}

fn write_for_ever(dir: &Path) -> ! {
    let (mut storage, restored) = Storage::open(dir).unwrap();
    let mut out = std::io::stdout();
    writeln!(out, "\nopen").unwrap();
    if restored.condition == Condition::Fresh {
        let identity = Identity {
            cluster_id: "c".to_owned(),
            node: "n".to_owned(),
            member: 1,
        };
        storage.initialise(&identity, &Batch::default()).unwrap();
    }
    for number in restored.promise.term + 1.. {
        storage.persist(&batch(number)).unwrap();
        writeln!(out, "ack {number}").unwrap();
    }
    unreachable!()
}

/// The folder holds exactly the first n batches for some n that is at least `acknowledged`.
fn check(restored: &Restored, acknowledged: u64, round: u32) {
    if restored.condition == Condition::Fresh && acknowledged == 0 {
        return;
    }
    assert_eq!(restored.condition, Condition::Intact, "round {round}");
    let number = restored.promise.term;
    assert!(
        number >= acknowledged,
        "round {round}: {acknowledged} acknowledged, {number} found"
    );
    if number == 0 {
        return;
    }
    let expected = batch(number);
    assert_eq!(
        Some(restored.hard_state),
        expected.hard_state,
        "round {round}"
    );
    assert_eq!(
        restored.entries.last(),
        expected.append.last(),
        "round {round}"
    );
    assert_eq!(
        restored.notes["number"],
        number.to_le_bytes(),
        "round {round}"
    );
}
