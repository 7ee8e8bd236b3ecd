//! A process that does not die. In a file of its own: mounting the old freezer holds up every control
//! group of the machine for a moment.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test's helpers fail like the test itself"
)]

mod support;

use standfast_guard::Phase;
use standfast_model::{event::InstanceChange, id::ResourceId, time::Micros};
use std::{fs, path::PathBuf, process::Command};
use support::{LONG_MS, World, config, stop_failed, wait_until};

/// The old freezer hierarchy, which puts a process into uninterruptible sleep as a stuck disk would.
struct Freezer(PathBuf);

impl Freezer {
    fn new(world: &World) -> Self {
        let mount = world.path("freezer");
        fs::create_dir(&mount).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "cgroup", "-o", "freezer", "none"])
            .arg(&mount)
            .status();
        assert!(mounted.unwrap().success());
        let group = mount.join(format!("sf-process-test-{}", std::process::id()));
        fs::create_dir(&group).unwrap();
        Self(group)
    }

    fn freeze(&self, pid: u32) {
        fs::write(self.0.join("cgroup.procs"), pid.to_string()).unwrap();
        fs::write(self.0.join("freezer.state"), "FROZEN").unwrap();
        wait_until("frozen", || {
            fs::read_to_string(self.0.join("freezer.state")).unwrap() == "FROZEN\n"
        });
    }

    fn thaw(&self) {
        fs::write(self.0.join("freezer.state"), "THAWED").unwrap();
    }
}

impl Drop for Freezer {
    fn drop(&mut self) {
        self.thaw();
        wait_until("the frozen process is gone", || {
            fs::remove_dir(&self.0).is_ok()
        });
        let unmounted = Command::new("umount")
            .arg(self.0.parent().unwrap())
            .status();
        assert!(unmounted.unwrap().success());
    }
}

#[test]
fn a_stop_that_cannot_be_confirmed_is_never_taken_for_one() {
    let world = World::new("unconfirmed");
    let config = config(&["/bin/sleep", "1000"]);
    world.start_ready(&config);
    let freezer = Freezer::new(&world);
    freezer.freeze(world.service_pid());
    world.stop(100);
    let why = stop_failed(world.next());
    assert!(why.contains("(sleep) in state D"), "{why}");
    // The driver may see it a moment before its keeper does.
    wait_until("the keeper says so", || {
        matches!(world.status().phase, Phase::NotConfirmed { .. })
    });
    // Neither asking nor ordering again changes that; another resource is not held up.
    world.driver().probe(&world.resource, &config);
    assert!(stop_failed(world.next()).contains("still there"));
    world.stop(100);
    assert!(stop_failed(world.next()).contains("still there"));
    world.start(&config, LONG_MS);
    assert!(stop_failed(world.next()).contains("not over yet"));
    world
        .driver()
        .stop(&ResourceId::from("other"), Micros::ZERO);
    assert_eq!(world.next(), InstanceChange::Stopped);
    freezer.thaw();
    assert_eq!(world.next(), InstanceChange::Stopped);
    world.start_ready(&config);
}
