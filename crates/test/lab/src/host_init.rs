//! Process 1 of a host: prepares the host's private mounts, starts and restarts its daemons as asked, and reaps. It takes the place of
//! systemd: when it dies, everything on the host dies with it. Not for processes that the laboratory itself runs.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::mount::{MountFlags, mount, mount_bind};
use rustix::process::{Pid, Signal, WaitOptions};
use serde::{Deserialize, Serialize};

use crate::error::{LabError, Result};
use crate::{command, processes};

/// What a host is, handed to its process 1 as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HostSpec {
    /// The node's name, also its host name.
    pub name: String,
    /// The folder that keeps the host's disk: `etc`, `run`, `var/lib`.
    pub folder: PathBuf,
    /// False on loopback: there are no namespaces to prepare.
    pub namespaced: bool,
    /// Whether to mount control groups (the host has a namespace of them).
    pub cgroup: bool,
}

/// A long-running process of a host.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Daemon {
    /// Its name on the host: `agent`, `service`.
    pub name: String,
    /// Command line.
    pub argv: Vec<String>,
    /// Added to the environment.
    pub environment: BTreeMap<String, String>,
    /// Where standard output and error are appended.
    pub log: PathBuf,
    /// Delay after which it is started again when it ends by itself; none: it stays dead.
    pub restart_ms: Option<u64>,
}

/// What the laboratory asks of process 1, one JSON object a line.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Start a daemon, or make it run again if it was stopped.
    Start(Daemon),
    /// End a daemon with SIGTERM and do not restart it.
    Stop(String),
}

#[derive(Debug, Default)]
struct State {
    daemons: BTreeMap<String, Daemon>,
    running: BTreeMap<u32, String>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    started: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs as process 1 until standard input ends: the laboratory is gone, or switched this host off.
///
/// # Errors
/// When the host's mounts could not be made.
pub fn run(spec: &HostSpec) -> Result<()> {
    if spec.namespaced {
        prepare(spec)?;
    } else {
        processes::adopt_orphans();
    }
    let shared = Arc::new(Shared::default());
    let reaper = Arc::clone(&shared);
    std::thread::spawn(move || reap(&reaper));
    let mut out = std::io::stdout();
    writeln!(out, "ready").map_err(|error| LabError::system("report", error))?;
    for line in std::io::stdin()
        .lock()
        .lines()
        .map_while(std::result::Result::ok)
    {
        match serde_json::from_str(&line) {
            Ok(Request::Start(daemon)) => {
                let mut state = shared.lock();
                let name = daemon.name.clone();
                state.daemons.insert(name.clone(), daemon);
                if !state.running.values().any(|running| *running == name) {
                    spawn(&shared, &mut state, &name);
                }
            }
            Ok(Request::Stop(name)) => stop(&mut shared.lock(), &name),
            Err(error) => drop(writeln!(std::io::stderr(), "host {}: {error}", spec.name)),
        }
    }
    if !spec.namespaced {
        processes::kill_descendants(std::process::id());
    }
    Ok(())
}

fn spawn(shared: &Shared, state: &mut State, name: &str) {
    let Some(daemon) = state.daemons.get(name) else {
        return;
    };
    let (Some(program), Ok(log)) = (
        daemon.argv.first(),
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&daemon.log),
    ) else {
        return;
    };
    let started = log.try_clone().and_then(|errors| {
        Command::new(program)
            .args(daemon.argv.get(1..).unwrap_or_default())
            .envs(&daemon.environment)
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
    });
    match started {
        Ok(child) => {
            state.running.insert(child.id(), name.to_owned());
            shared.started.notify_all();
        }
        Err(error) => drop(writeln!(
            std::io::stderr(),
            "host: cannot start {program}: {error}"
        )),
    }
}

fn stop(state: &mut State, name: &str) {
    state.daemons.remove(name);
    for (pid, running) in &state.running {
        if running == name
            && let Some(pid) = i32::try_from(*pid).ok().and_then(Pid::from_raw)
        {
            rustix::process::kill_process(pid, Signal::TERM).ok();
        }
    }
}

/// Waits for every process that ends, orphans of killed daemons included, and restarts daemons.
fn reap(shared: &Arc<Shared>) {
    loop {
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(Some((pid, _))) => {
                let mut state = shared.lock();
                let pid = u32::try_from(pid.as_raw_nonzero().get()).unwrap_or_default();
                let Some(name) = state.running.remove(&pid) else {
                    continue;
                };
                let delay = state
                    .daemons
                    .get(&name)
                    .and_then(|daemon| daemon.restart_ms);
                if let Some(delay) = delay {
                    let shared = Arc::clone(shared);
                    std::thread::spawn(move || restart_later(&shared, &name, delay));
                }
            }
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(_) => {
                // No children. Orphans come only from children, so a new child is what to wait for.
                let state = shared.lock();
                drop(
                    shared
                        .started
                        .wait_timeout_while(state, Duration::from_secs(1), |state| {
                            state.running.is_empty()
                        }),
                );
            }
        }
    }
}

fn restart_later(shared: &Shared, name: &str, delay_ms: u64) {
    std::thread::sleep(Duration::from_millis(delay_ms));
    let mut state = shared.lock();
    if !state.running.values().any(|running| running == name) {
        spawn(shared, &mut state, name);
    }
}

/// Gives the host its own /etc, /run, /var/lib, /sys and control groups, its name, and a loopback interface.
fn prepare(spec: &HostSpec) -> Result<()> {
    for (inner, private) in [("/etc", "etc"), ("/run", "run"), ("/var/lib", "var/lib")] {
        let source = spec.folder.join(private);
        mount_bind(&source, inner)
            .map_err(|error| LabError::file("bind-mount", &source, error.into()))?;
    }
    // In a user namespace the kernel may refuse a new sysfs: the machine's own then stays visible, read-only for us.
    let none: Option<&std::ffi::CStr> = None;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    if mount("sysfs", "/sys", "sysfs", flags, none).is_ok() && spec.cgroup {
        mount("cgroup2", "/sys/fs/cgroup", "cgroup2", flags, none).map_err(|error| {
            LabError::file(
                "mount cgroup2 on",
                Path::new("/sys/fs/cgroup"),
                error.into(),
            )
        })?;
    }
    rustix::system::sethostname(spec.name.as_bytes())
        .map_err(|error| LabError::system("set the host name", error))?;
    command::run(&["ip", "link", "set", "lo", "up"], "")?;
    Ok(())
}
