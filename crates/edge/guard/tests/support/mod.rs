//! One test's world: its folders, its control group, its keepers; cleaned up with everything in it.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test's helpers fail like the test itself"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use standfast_guard::cgroup::{Cgroup, find_hierarchy};
use standfast_guard::clock::boot_now_ns;
use standfast_guard::{
    KeeperEvent, KeeperHandle, KeeperProgram, KeeperSpec, Keepers, Output, Phase, Reason, Status,
    StopRequest,
};
use tempfile::TempDir;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_standfast-keeper-test");
pub const MS: u64 = 1_000_000;
/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(10);

pub struct World {
    pub folder: TempDir,
    pub group: String,
    pub keepers: Keepers,
    pub events: Receiver<KeeperEvent>,
}

impl World {
    pub fn new(test: &str) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("sf-guard")
            .tempdir_in("/dev/shm")
            .unwrap();
        let group = format!("sf-guard-test-{}/{test}", std::process::id());
        let (keepers, events) = agent();
        Self {
            folder,
            group,
            keepers,
            events,
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn spec(&self, command: &[&str]) -> KeeperSpec {
        KeeperSpec {
            name: "resource".to_owned(),
            run_dir: self.path("run"),
            command: command.iter().map(|&part| part.to_owned()).collect(),
            environment: std::collections::BTreeMap::new(),
            working_directory: None,
            user: None,
            group: None,
            slice: None,
            cgroup_parent: PathBuf::from(&self.group),
            private_pids: true,
            network_guard: true,
            output: Output {
                directory: self.path("output"),
                max_bytes: 10_000,
            },
            stop: StopRequest {
                grace_ms: 1_000,
                signal: 15,
            },
            confirm_ms: 2_000,
        }
    }

    /// No control group is left of this test.
    pub fn wait_groups_gone(&self) {
        let parent = find_hierarchy().unwrap().join(&self.group);
        wait_until("the control group is removed", || {
            fs::read_dir(&parent)
                .unwrap()
                .all(|entry| !entry.unwrap().file_type().unwrap().is_dir())
        });
    }

    /// A second agent's ears, as after a restart.
    pub fn restart_agent(&mut self) {
        (self.keepers, self.events) = agent();
    }

    /// The first status that fits.
    pub fn wait_for(&self, wanted: impl Fn(&Status) -> bool) -> Status {
        let until = Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        while let Ok(event) = self
            .events
            .recv_timeout(until.saturating_duration_since(Instant::now()))
        {
            if wanted(&event.status) {
                return event.status;
            }
            seen.push(event.status);
        }
        panic!("not seen in {PATIENCE:?}, but {seen:#?}");
    }

    pub fn wait_running(&self) -> Status {
        self.wait_for(|status| status.phase == Phase::Running)
    }

    /// Why it ended, and when.
    pub fn wait_ended(&self) -> (Reason, u64, Status) {
        let status = self.wait_for(Status::is_ended);
        match status.phase.clone() {
            Phase::Ended { reason, at_boot_ns } => (reason, at_boot_ns, status),
            other => panic!("{other:?}"),
        }
    }

    pub fn spawn(&self, spec: &KeeperSpec, lease_ms: u64) -> (KeeperHandle, u64) {
        let deadline = boot_now_ns() + lease_ms * MS;
        (self.keepers.spawn(spec, deadline).unwrap(), deadline)
    }
}

fn agent() -> (Keepers, Receiver<KeeperEvent>) {
    let (sender, events) = channel();
    let program = KeeperProgram {
        path: PathBuf::from(PROGRAM),
        arguments: vec!["keeper".to_owned()],
    };
    let keepers = Keepers::new(program, move |event| {
        sender.send(event).ok();
    });
    (keepers.unwrap(), events)
}

impl Drop for World {
    fn drop(&mut self) {
        let top = find_hierarchy()
            .unwrap()
            .join(self.group.split('/').next().unwrap());
        // A failed test may leave a keeper, even a stopped one.
        let status = fs::read(self.path("run/status")).ok();
        let status = status.and_then(|text| serde_json::from_slice::<Status>(&text).ok());
        if let Some(keeper) = status
            .filter(|status| !status.is_ended())
            .and_then(|status| status.keeper)
        {
            let pid = Pid::from_raw(keeper.pid.try_into().unwrap()).unwrap();
            kill_process(pid, Signal::KILL).ok();
        }
        let mine = Cgroup::at(find_hierarchy().unwrap().join(&self.group));
        mine.kill().ok();
        let until = Instant::now() + PATIENCE;
        while mine.remove().is_err() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        // Other tests of this process may still be in there.
        fs::remove_dir(top).ok();
    }
}

pub fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < until, "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The time a `beat` wrote last.
pub fn last_beat(file: &Path) -> u64 {
    let bytes = fs::read(file).unwrap_or_default();
    bytes
        .first_chunk()
        .map_or(0, |bytes| u64::from_ne_bytes(*bytes))
}

pub fn wait_beating(file: &Path) {
    wait_until("the service beats", || last_beat(file) > 0);
}

/// Whether the process is there and not a zombie.
pub fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}
