//! Power cuts while keys and certificates are made, renewed and replaced, on a disk as bad as POSIX allows: whatever was
//! confirmed is there after, and the node has a key that fits its certificate. And the same without each of our flushes.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking, and shows what it has found"
)]

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use standfast_power::Recording;
use standfast_transport::pki::{Authority, Credentials, adopt_key, prepare_key, renew};
use standfast_transport::{ClusterId, NodeName};

/// Tells this test binary to be the one whose power is cut, and where.
const INNER: &str = "STANDFAST_TEST_POWER";
const LIFE: Duration = Duration::from_secs(3600);

fn say(text: &str) {
    println!("\nsaid: {text}");
}

/// What a node does with its keys in a long life.
fn life(dir: &Path) {
    let (cluster, node) = (ClusterId::new("c").unwrap(), NodeName::new("n").unwrap());
    let made = Authority::init(dir, &cluster, &node).unwrap();
    say(&format!("key {}", made.key_fingerprint()));
    let next = prepare_key(dir, LIFE).unwrap();
    say(&format!("next {next}"));
    adopt_key(dir).unwrap();
    say(&format!("key {next}"));
    let until = renew(dir, 2 * LIFE).unwrap().validity().1;
    say(&format!("until {until}"));
}

/// The last word of that kind.
fn last<'s>(said: &[&'s str], kind: &str) -> Option<&'s str> {
    let mut words = said.iter().filter_map(|line| line.split_once(' '));
    words.rfind(|(what, _)| *what == kind).map(|(_, word)| word)
}

fn check(root: &Path, said: &[&str]) -> Result<(), String> {
    let Some(key) = last(said, "key") else {
        // Nothing was confirmed; whoever asked asks again.
        return Ok(());
    };
    let dir = root.join("pki");
    let next = last(said, "next").unwrap_or(key);
    let found = Credentials::load(&dir).map_err(|error| format!("{error} after {said:?}"))?;
    Authority::load(&dir).map_err(|error| format!("{error} after {said:?}"))?;
    let has = found.key_fingerprint();
    if has != key && has != next {
        return Err(format!("it has key {has} after {said:?}"));
    }
    let until = last(said, "until").map_or(0, |until| until.parse().unwrap());
    if found.validity().1 < until {
        return Err(format!("the renewed certificate is gone after {said:?}"));
    }
    if !said.iter().any(|line| line.starts_with("next")) {
        return Ok(());
    }
    // The prepared key was confirmed too: it can be adopted.
    let adopted = adopt_key(&dir).map_err(|error| format!("{error} after {said:?}"))?;
    let has = adopted.key_fingerprint();
    if has != next {
        return Err(format!("it adopted {has} after {said:?}"));
    }
    Ok(())
}

/// Whether a flush is of that call.
type IsIt = fn(&str) -> bool;

#[test]
fn a_power_cut_loses_no_key_and_every_flush_is_needed() {
    if let Some(root) = env::var_os(INNER) {
        return life(&PathBuf::from(root).join("pki"));
    }
    let root = tempfile::tempdir().unwrap();
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args([
            "--exact",
            "a_power_cut_loses_no_key_and_every_flush_is_needed",
            "--nocapture",
        ])
        .env(INNER, root.path());
    let recording = Recording::of(&mut command, root.path(), None).unwrap();
    let cuts = recording.cut_everywhere(&check).unwrap();
    assert!(cuts > 20, "only {cuts} different disks");
    // Each call in the code that flushes, by what it was called on.
    let ours: [(&str, IsIt); 4] = [
        ("the folder above", |what| what == "/ after pki was made"),
        ("a new file", |what| what.starts_with("pki/.")),
        ("the name of a new file", |what| {
            what.starts_with("pki/ after .") && what.contains(" became ")
        }),
        ("the name of an adopted file", |what| {
            what.starts_with("pki/ after node.") && what.contains(".next became ")
        }),
    ];
    for sync in recording.syncs() {
        let known = ours.iter().filter(|(_, is_it)| is_it(sync)).count();
        assert_eq!(known, 1, "{sync}");
    }
    for (name, is_it) in ours {
        let error = recording
            .without(&is_it)
            .cut_everywhere(&check)
            .expect_err(&format!("nothing goes wrong without the flush of {name}"));
        println!("without the flush of {name}: {error}");
    }
}
