//! Power cuts at any moment, on a disk as bad as POSIX allows: whatever was confirmed before is there after, and the folder is
//! never in a state that has no way on. And the same without each of our flushes, which has to go wrong.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and shows what it has found"
)]

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use standfast_power::Recording;
use standfast_storage::{
    Batch, Condition, Entry, HardState, Identity, OpenError, Promise, Restored, Snapshot, Storage,
};

/// Tells this test binary to be the one whose power is cut, and where.
const INNER: &str = "STANDFAST_TEST_POWER";

/// The folder that storage has to make, with the one that it is in.
fn state(root: &Path) -> PathBuf {
    root.join("var/state")
}

fn inner() -> Option<PathBuf> {
    env::var_os(INNER).map(PathBuf::from)
}

/// Records one test of this binary as the inner process.
fn record(test: &str, failing: Option<usize>) -> Recording {
    let root = tempfile::tempdir().unwrap();
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", test, "--nocapture"])
        .env(INNER, root.path());
    Recording::of(&mut command, root.path(), failing).unwrap()
}

fn say(text: &str) {
    println!("\nsaid: {text}");
}

fn identity(member: u64) -> Identity {
    Identity {
        cluster_id: "c".to_owned(),
        node: "n".to_owned(),
        member,
    }
}

/// Batch n: entry n, vote and promise of "term" n, and every third a snapshot.
fn batch(number: u64) -> Batch {
    let snapshot = number.is_multiple_of(3).then(|| Snapshot {
        index: number - 1,
        term: number - 1,
        data: vec![1; 5000],
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

fn open(dir: &Path) -> Storage {
    let (storage, restored) = Storage::open(dir).unwrap();
    say(&format!("opened {}", restored.incarnation));
    storage
}

/// Persists these batches; one that fails is tried again, as the storage thread does.
fn persist(storage: &mut Storage, numbers: std::ops::RangeInclusive<u64>) {
    for number in numbers {
        while storage.persist(&batch(number)).is_err() {}
        say(&format!("kept {number}"));
    }
}

/// Three lives of a node in one folder. It becomes the second by its own will, and the third because its database is lost.
fn three_lives(dir: &Path) {
    let mut storage = open(dir);
    storage.initialise(&identity(1), &Batch::default()).unwrap();
    say("member 1");
    persist(&mut storage, 1..=4);
    drop(storage);
    let mut storage = open(dir);
    persist(&mut storage, 5..=6);
    say("leaves");
    storage.restart_as(&identity(2), &Batch::default()).unwrap();
    say("member 2");
    persist(&mut storage, 1..=2);
    drop(storage);
    say("loses");
    fs::remove_file(dir.join("state.redb")).unwrap();
    let (mut storage, found) = Storage::open(dir).unwrap();
    assert_eq!(found.condition, Condition::Lost);
    say("leaves");
    storage.restart_as(&identity(3), &Batch::default()).unwrap();
    say("member 3");
    persist(&mut storage, 1..=1);
}

/// What had been confirmed when the power was cut.
#[derive(Debug, Default)]
struct Confirmed {
    /// Number of the member whose folder this is, if it is one's.
    member: u64,
    /// The last batch that this member was told was kept.
    kept: u64,
    /// It was opened that often.
    opened: u64,
    /// It has begun to become another one.
    leaves: bool,
    /// Its database was taken away.
    loses: bool,
}

impl Confirmed {
    fn read(said: &[&str]) -> Self {
        let mut confirmed = Self::default();
        for line in said {
            let (what, number) = line.split_once(' ').unwrap_or((line, "0"));
            let number = number.parse().unwrap();
            match what {
                "opened" => confirmed.opened = number,
                "kept" => confirmed.kept = number,
                "leaves" => confirmed.leaves = true,
                "loses" => confirmed.loses = true,
                "member" => {
                    confirmed = Self {
                        member: number,
                        ..Self::default()
                    }
                }
                _ => panic!("{line}"),
            }
        }
        confirmed
    }

    /// Whether a folder in which this was found may be what is left.
    fn allows(&self, found: &Restored) -> bool {
        let member = found.identity.as_ref().map_or(0, |found| found.member);
        let number = found.promise.term;
        match found.condition {
            Condition::Fresh => self.member == 0,
            Condition::Lost => self.loses && member == self.member,
            Condition::Corrupt { .. } => false,
            // The next one, just made and not yet confirmed.
            Condition::Intact if member != self.member => {
                (self.leaves || self.member == 0) && member == self.member + 1 && number == 0
            }
            Condition::Intact => {
                (self.kept..=self.kept + 1).contains(&number)
                    && found.incarnation > self.opened
                    && is_whole(found, number)
            }
        }
    }
}

/// Whether exactly the first batches are there.
fn is_whole(found: &Restored, number: u64) -> bool {
    if number == 0 {
        return found.entries.is_empty() && found.notes.is_empty();
    }
    let expected = batch(number);
    Some(found.hard_state) == expected.hard_state
        && found.entries.last() == expected.append.last()
        && found.notes["number"] == number.to_le_bytes()
}

/// What a cut has left is what was confirmed, and it can go on from there.
fn check(root: &Path, said: &[&str]) -> Result<(), String> {
    let (dir, confirmed) = (state(root), Confirmed::read(said));
    // Besides the database, which could be lost later.
    let marker = fs::read(dir.join("identity.json")).unwrap_or_default();
    let marker: Option<Identity> = serde_json::from_slice(&marker).ok();
    let marker = marker.map_or(0, |identity| identity.member);
    if marker != confirmed.member && !(confirmed.leaves || confirmed.member == 0) {
        return Err(format!(
            "the marker is of member {marker}, after {confirmed:?}"
        ));
    }
    let (mut storage, found) =
        Storage::open(&dir).map_err(|error: OpenError| format!("{error}, after {confirmed:?}"))?;
    if !confirmed.allows(&found) {
        return Err(format!(
            "{:?} with member {:?}, batch {}, opened {} times, after {confirmed:?}",
            found.condition, found.identity, found.promise.term, found.incarnation
        ));
    }
    // Of who became another one, what it was is kept.
    let is_second = found.identity.is_some_and(|found| found.member == 2);
    let names = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap());
    let kept = names.map(|entry| entry.file_name().into_string().unwrap());
    if is_second && kept.filter(|name| name.contains("retired")).count() == 0 {
        return Err(format!("nothing of member 1 is kept, after {confirmed:?}"));
    }
    let next = identity(confirmed.member + 1);
    let goes_on = match found.condition {
        // It has been written to: it was opened once more.
        Condition::Intact => Ok(()),
        _ => storage.restart_as(&next, &Batch::default()),
    };
    goes_on.map_err(|error| format!("it does not go on: {error}, after {confirmed:?}"))
}

#[test]
fn a_power_cut_loses_nothing_and_every_flush_is_needed() {
    if let Some(root) = inner() {
        return three_lives(&state(&root));
    }
    let recording = record("a_power_cut_loses_nothing_and_every_flush_is_needed", None);
    let cuts = recording.cut_everywhere(&check).unwrap();
    println!("{cuts} different disks");
    assert!(cuts > 100, "only {cuts} different disks");
    // One line for each call in the code that flushes, and what it was called on; the database has one call, at work on two.
    let ours = [
        "/ after var was made",
        "var/ after state was made",
        "var/state/ after identity.json.new became identity.json",
        "var/state/ after identity.json.new was made",
        "var/state/ after state.redb is state.redb.retired too",
        "var/state/ after state.redb.new became state.redb",
        "var/state/acknowledged",
        "var/state/identity.json.new",
        "var/state/state.redb",
        "var/state/state.redb.new",
    ];
    assert_eq!(recording.syncs(), BTreeSet::from(ours));
    for sync in ours {
        let error = recording
            .without(&|what| what == sync)
            .cut_everywhere(&check)
            .expect_err(&format!("nothing goes wrong without the flush of {sync}"));
        println!("without the flush of {sync}: {error}");
    }
}

/// A node that goes on after a flush has failed.
fn goes_on(dir: &Path) {
    let mut storage = open(dir);
    storage.initialise(&identity(1), &Batch::default()).unwrap();
    say("member 1");
    persist(&mut storage, 1..=3);
}

#[test]
fn a_power_cut_after_a_failed_flush_loses_nothing() {
    if let Some(root) = inner() {
        return goes_on(&state(&root));
    }
    let test = "a_power_cut_after_a_failed_flush_loses_nothing";
    let whole = record(test, None);
    // What makes a batch durable, with another one after it.
    let of_database = |what: &str| what.starts_with("var/state/state.redb");
    let failing = whole.count_before("kept 2", &of_database);
    let recording = record(test, Some(failing));
    assert!(recording.has_failed());
    let cuts = recording.cut_everywhere(&check).unwrap();
    println!("{cuts} different disks");
}

/// A node whose agent ends in an orderly way, and one whose agent is killed, each with its next start.
fn starts_again(dir: &Path) {
    let mut storage = open(dir);
    storage.initialise(&identity(1), &Batch::default()).unwrap();
    persist(&mut storage, 1..=3);
    let killed = dir.with_file_name("killed");
    fs::create_dir(&killed).unwrap();
    for name in ["acknowledged", "identity.json", "state.redb"] {
        fs::write(killed.join(name), fs::read(dir.join(name)).unwrap()).unwrap();
    }
    drop(storage);
    say("closed");
    let reopened = Storage::open(dir).unwrap();
    say("reopened");
    drop(reopened);
    say("killed");
    let (_storage, found) = Storage::open(&killed).unwrap();
    assert_eq!(found.condition, Condition::Intact);
    say("ready");
}

/// An agent that restarts on a slow disk has as long as its leases last: no flush is to be spent on what reading can find out.
#[test]
fn a_start_flushes_no_more_than_it_has_to() {
    if let Some(root) = inner() {
        return starts_again(&state(&root));
    }
    let recording = record("a_start_flushes_no_more_than_it_has_to", None);
    let between = |from: &str, to: &str| {
        let count = |said: &str| recording.count_before(said, &|_| true);
        count(to) - count(from)
    };
    // The database is in use from now on, and was opened once more.
    assert_eq!(between("closed", "reopened"), 3, "after an orderly end");
    // Before that, what the dead one had in hand is put in order.
    assert_eq!(between("killed", "ready"), 6, "after a kill");
}
