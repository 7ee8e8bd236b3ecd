//! One test's world: its folders, its control group, its driver; cleaned up with everything in it.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test's helpers fail like the test itself"
)]

pub mod agents;

use standfast_guard::{
    KeeperProgram, Status,
    cgroup::{Cgroup, find_hierarchy},
    clock::boot_now_ns,
};
use standfast_model::{
    config::{CheckConfig, CheckKind, ProcessConfig},
    event::InstanceChange,
    id::ResourceId,
    plan::PlanNumber,
    time::Micros,
};
use standfast_process::{ProcessDriver, ProcessSettings};
use std::{
    fs,
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};
use tempfile::TempDir;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_standfast-process-test");
/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(15);
/// A lease that no test outlives.
pub const LONG_MS: u64 = 60_000;
pub const SINCE: PlanNumber = PlanNumber {
    term: 3,
    generation: 17,
};

pub struct World {
    pub folder: TempDir,
    pub group: String,
    pub resource: ResourceId,
    pub driver: Option<ProcessDriver>,
    pub changes: Receiver<(Instant, InstanceChange)>,
}

impl World {
    pub fn new(test: &str) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("sf-process")
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir_in("/dev/shm")
            .unwrap();
        let group = format!("sf-process-test-{}/{test}", std::process::id());
        let (driver, changes) = start_driver(folder.path(), &group);
        Self {
            folder,
            group,
            resource: ResourceId::from("web"),
            driver: Some(driver),
            changes,
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub fn touch(&self, name: &str) {
        fs::write(self.path(name), "").unwrap();
    }

    pub fn run_dir(&self) -> PathBuf {
        self.path("run").join(self.resource.as_str())
    }

    pub fn driver(&self) -> &ProcessDriver {
        self.driver.as_ref().unwrap()
    }

    pub fn start(&self, config: &ProcessConfig, lease_ms: u64) -> u64 {
        let deadline = deadline_in(lease_ms);
        self.driver().start(&self.resource, config, SINCE, deadline);
        deadline
    }

    pub fn start_ready(&self, config: &ProcessConfig) {
        self.start(config, LONG_MS);
        assert_eq!(self.next(), InstanceChange::Started);
    }

    pub fn stop(&self, grace_ms: u64) {
        let grace = Micros::from_millis(grace_ms);
        self.driver().stop(&self.resource, grace);
    }

    /// The agent ends in good order, and its successor starts.
    pub fn restart_driver(&mut self) {
        self.drop_driver();
        let (driver, changes) = start_driver(self.folder.path(), &self.group);
        self.driver = Some(driver);
        self.changes = changes;
    }

    pub fn drop_driver(&mut self) {
        self.driver = None;
        assert!(
            self.changes.recv_timeout(PATIENCE).is_err(),
            "nothing is told after the driver's end"
        );
    }

    /// What is told next. That something takes long to die is left out: where others change control
    /// groups, anything may.
    pub fn next_at(&self) -> (Instant, InstanceChange) {
        loop {
            match self.changes.recv_timeout(PATIENCE) {
                Ok((_, InstanceChange::Unhealthy(why))) if why.starts_with("killed, but") => {}
                Ok(told) => return told,
                Err(_) => panic!("nothing is told within {PATIENCE:?}"),
            }
        }
    }

    pub fn next(&self) -> InstanceChange {
        self.next_at().1
    }

    pub fn assert_silence(&self, milliseconds: u64) {
        let told = self
            .changes
            .recv_timeout(Duration::from_millis(milliseconds));
        assert!(told.is_err(), "{told:?}");
    }

    pub fn status(&self) -> Status {
        let text = fs::read(self.run_dir().join("status")).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    pub fn service_pid(&self) -> u32 {
        // Agents are told first.
        wait_until("the status names the service", || {
            self.status().service.is_some()
        });
        self.status().service.unwrap().pid
    }

    pub fn keeper_pid(&self) -> u32 {
        self.status().keeper.unwrap().pid
    }

    pub fn output(&self) -> String {
        fs::read_to_string(self.path("output/web/output.log")).unwrap_or_default()
    }

    /// Neither run folder nor control group is left.
    pub fn wait_clean(&self) {
        wait_until("the run folder is removed", || !self.run_dir().exists());
        let parent = find_hierarchy().unwrap().join(&self.group);
        wait_until("the control group is removed", || {
            fs::read_dir(&parent)
                .unwrap()
                .all(|entry| !entry.unwrap().file_type().unwrap().is_dir())
        });
    }
}

fn start_driver(
    folder: &Path,
    group: &str,
) -> (ProcessDriver, Receiver<(Instant, InstanceChange)>) {
    let (sender, changes) = channel();
    let driver = ProcessDriver::new(settings(folder, group), move |_resource, change| {
        sender.send((Instant::now(), change)).ok();
    });
    (driver.unwrap(), changes)
}

pub fn settings(folder: &Path, group: &str) -> ProcessSettings {
    ProcessSettings {
        run_dir: folder.join("run"),
        output_dir: folder.join("output"),
        cgroup_parent: PathBuf::from(group),
        node: "alpha".to_owned(),
        network_guard: true,
        agents: folder.join("ocf"),
        keeper: KeeperProgram {
            path: PathBuf::from(PROGRAM),
            arguments: vec!["keeper".to_owned()],
        },
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let top = find_hierarchy()
            .unwrap()
            .join(self.group.split('/').next().unwrap());
        let mine = Cgroup::at(find_hierarchy().unwrap().join(&self.group));
        // The keeper lives outside the group, and ends with what is in it. One that was stopped by a
        // test that failed goes on first.
        let status = fs::read(self.run_dir().join("status")).unwrap_or_default();
        if let Ok(Status {
            keeper: Some(keeper),
            ..
        }) = serde_json::from_slice(&status)
        {
            let mut kill = std::process::Command::new("kill");
            drop(kill.args(["-CONT", &keeper.pid.to_string()]).output());
        }
        mine.kill().ok();
        let until = Instant::now() + PATIENCE;
        while mine.remove().is_err() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        // Other tests of this process may still be in there.
        fs::remove_dir(top).ok();
        // A logger that still has something to write would make its folder again.
        let folder = self.folder.path().to_str().unwrap();
        while is_named_by_a_process(folder) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Whether a process's command line holds this text; keepers and their loggers name their folder.
fn is_named_by_a_process(text: &str) -> bool {
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let lines = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    lines
        .into_iter()
        .any(|line| String::from_utf8_lossy(&line).contains(text))
}

/// A process without checks, with time for everything.
pub fn config(command: &[&str]) -> ProcessConfig {
    ProcessConfig {
        command: command.iter().map(|&part| part.to_owned()).collect(),
        start_timeout: Micros::from_millis(10_000),
        stop_timeout: Micros::from_millis(1000),
        stop_signal: 15,
        private_pids: true,
        ..ProcessConfig::default()
    }
}

pub fn shell(script: &str) -> ProcessConfig {
    config(&["/bin/sh", "-c", script])
}

/// A check every 20 ms; two failures in a row count.
pub fn check(probe: CheckKind) -> Option<CheckConfig> {
    Some(CheckConfig {
        probe,
        interval: Micros::from_millis(20),
        timeout: Micros::from_millis(2000),
        failures: 2,
    })
}

pub fn exec(command: &[&str]) -> CheckKind {
    CheckKind::Exec(command.iter().map(|&part| part.to_owned()).collect())
}

/// Healthy as long as there is such a file.
pub fn exists(file: &Path) -> CheckKind {
    exec(&["/usr/bin/test", "-e", file.to_str().unwrap()])
}

/// An HTTP service of this world, and `127.0.0.1:port`.
pub fn http_service(world: &World) -> (ProcessConfig, String) {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    fs::write(world.path("port"), address.port().to_string()).unwrap();
    let folder = world.folder.path().to_str().unwrap().to_owned();
    (config(&[PROGRAM, "serve", &folder]), address.to_string())
}

/// Microseconds.
pub fn boot_now() -> u64 {
    boot_now_ns() / 1000
}

pub fn deadline_in(milliseconds: u64) -> u64 {
    boot_now() + milliseconds * 1000
}

pub fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < until, "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The time a `beat` wrote last, microseconds.
pub fn last_beat(file: &Path) -> u64 {
    let bytes = fs::read(file).unwrap_or_default();
    bytes
        .first_chunk()
        .map_or(0, |bytes| u64::from_ne_bytes(*bytes) / 1000)
}

/// Whether the process is there and not a zombie.
pub fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

pub fn send(pid: u32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid.try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

/// Does for the tree of a keeper that will die what a machine's first process does for orphans: reaps
/// them at once. Where the tests run, that process may take seconds.
pub fn reap_orphans(world: &World) {
    use rustix::process::{Pid, WaitOptions, getpid, set_child_subreaper, waitpid};
    set_child_subreaper(Some(getpid())).unwrap();
    let status = world.status();
    let orphans = [status.init, status.service].into_iter().flatten();
    for orphan in orphans {
        let pid = Pid::from_raw(orphan.pid.try_into().unwrap());
        std::thread::spawn(move || {
            let until = Instant::now() + PATIENCE;
            while waitpid(pid, WaitOptions::empty()).is_err() && Instant::now() < until {
                std::thread::sleep(Duration::from_millis(1));
            }
        });
    }
}

pub fn stop_failed(change: InstanceChange) -> String {
    match change {
        InstanceChange::StopFailed(why) => why,
        other => panic!("{other:?}"),
    }
}
