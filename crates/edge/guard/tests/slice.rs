//! A keeper whose group is a slice: somebody else, as systemd does, puts processes into it, on the real kernel.
#![allow(
    clippy::unwrap_used,
    reason = "a test's helpers fail like the test itself"
)]

mod support;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use standfast_guard::{KeeperError, Reason};
use support::{MS, PROGRAM, World, last_beat, wait_beating};

/// As for trees that a keeper starts.
const TOLERATED_LATENESS_NS: u64 = 20 * MS;

/// A slice's folder with the slice that it is part of; dropped, both are gone.
struct Slice(PathBuf);

impl Drop for Slice {
    fn drop(&mut self) {
        fs::write(self.0.join("cgroup.kill"), "1").ok();
        for _ in 0..1000 {
            if fs::remove_dir(&self.0).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        fs::remove_dir(self.0.parent().unwrap()).ok();
    }
}

/// Joins the slice and then does something.
fn join(slice: &Path, then: &str) -> Child {
    let script = format!("echo $$ >{}/cgroup.procs && {then}", slice.display());
    Command::new("/bin/sh")
        .args(["-c", &script])
        .spawn()
        .unwrap()
}

#[test]
fn what_is_put_into_a_slice_ends_with_the_lease_and_nothing_begins_there_later() {
    let world = World::new("slice");
    let mut spec = world.spec(&["/bin/sleep", "1000"]);
    spec.slice = Some(format!("sfguard{}-one.slice", std::process::id()));
    let (handle, deadline) = world.spawn(&spec, 1_500);
    let status = world.wait_running();
    let slice = Slice(status.cgroup.unwrap());
    let command = status.service.unwrap().pid;
    let group = fs::read_to_string(format!("/proc/{command}/cgroup")).unwrap();
    assert!(!group.contains(".slice/sfguard"), "{group}");
    assert!(handle.has_network_guard());

    let beat = world.path("beat");
    let mut other = join(&slice.0, &format!("exec {PROGRAM} beat {}", beat.display()));
    wait_beating(&beat);
    let (reason, _, _) = world.wait_ended();
    assert_eq!(reason, Reason::LeaseExpired);
    assert!(last_beat(&beat) < deadline + TOLERATED_LATENESS_NS);
    assert_eq!(other.wait().unwrap().signal(), Some(9));

    let late = world.path("late");
    let mut begun = join(&slice.0, &format!("echo >{}", late.display()));
    std::thread::sleep(Duration::from_millis(300));
    assert!(!late.exists(), "it has run");
    handle.forget().unwrap();
    fs::write(slice.0.join("cgroup.kill"), "1").unwrap();
    begun.wait().unwrap();
}

#[test]
fn the_death_of_the_keeper_ends_what_is_in_its_slice() {
    let world = World::new("slice-keeper");
    let mut spec = world.spec(&["/bin/sleep", "1000"]);
    spec.slice = Some(format!("sfguard{}-two.slice", std::process::id()));
    let (handle, _) = world.spawn(&spec, 60_000);
    let status = world.wait_running();
    let slice = Slice(status.cgroup.unwrap());
    let mut other = join(&slice.0, "exec sleep 1000");
    // It has joined, or it joins a frozen slice.
    handle.kill_keeper().unwrap();
    let (reason, _, _) = world.wait_ended();
    assert_eq!(reason, Reason::KeeperDied);
    fs::write(slice.0.join("cgroup.kill"), "1").unwrap();
    assert_eq!(other.wait().unwrap().signal(), Some(9));
}

#[test]
fn a_slice_needs_a_namespace_that_holds_the_command() {
    let world = World::new("slice-plain");
    let mut spec = world.spec(&["/bin/sleep", "1000"]);
    spec.private_pids = false;
    spec.slice = Some("sfguard-three.slice".to_owned());
    let refused = world.keepers.spawn(&spec, 1);
    assert!(matches!(refused, Err(KeeperError::Invalid(_))));
}
