//! Where the laboratory lives: network, mount and process-id namespaces of its own, entered by starting this program again inside
//! them. Not for the hosts, which are made inside.
//!
//! Clean-up does not depend on the program inside: the process outside waits for it, ends it on SIGINT, SIGTERM and SIGHUP, and removes folder and
//! control groups. If the process outside is killed, PDEATHSIG ends the inside, and the next run sweeps the leftovers.

use std::io::Write;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};

use crate::error::{LabError, Result};
use crate::{command, processes, sys};

/// Says to the program inside that it is inside, and where its things are.
const VARIABLE: &str = "STANDFAST_LAB_ENCLOSURE";

/// With this in the environment the folder, with all logs, stays when the laboratory ends; a later run sweeps it.
pub const KEEP: &str = "STANDFAST_LAB_KEEP";

/// Folders and control groups of ours carry this and the process id of their owner.
const PREFIX: &str = "standfast-lab-";

/// How the hosts are kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Namespaces made by the real root user.
    Root,
    /// Namespaces inside a user namespace.
    Unprivileged,
    /// No namespaces: loopback addresses on the machine itself.
    Loopback,
}

impl Mode {
    /// What the user is told about the choice.
    #[must_use]
    pub fn explanation(self) -> &'static str {
        match self {
            Self::Root => "network namespaces and a real virtual address (as root)",
            Self::Unprivileged => {
                "unprivileged namespaces and a real virtual address (in a user namespace)"
            }
            Self::Loopback => "loopback addresses, without namespaces",
        }
    }
}

/// What the program inside needs to know.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Enclosure {
    /// How hosts are kept apart.
    pub mode: Mode,
    /// Folder for everything the laboratory writes; removed at the end.
    pub folder: PathBuf,
    /// Control group (v2) under which each host gets its own, when the machine gives us one.
    pub cgroup: Option<PathBuf>,
}

/// What became of entering.
#[derive(Debug)]
pub enum Entered {
    /// This process is the one inside: go on.
    Inside(Enclosure),
    /// This process was the one outside; the one inside has ended with this exit code.
    Finished(u8),
}

/// Enters the laboratory. In the process that the user started this returns [`Entered::Finished`] when all is over and cleaned up.
/// Programs call it first, before they start threads.
///
/// # Errors
/// When not even the weakest mode could be set up, or the requested one could not.
pub fn enter(requested: Option<Mode>) -> Result<Entered> {
    if let Ok(inside) = std::env::var(VARIABLE) {
        sys::unblock_signals();
        let enclosure = serde_json::from_str(&inside)
            .map_err(|error| LabError::Unexpected(format!("{VARIABLE}: {error}")))?;
        return Ok(Entered::Inside(enclosure));
    }
    let signals = sys::signals().map_err(|error| LabError::system("watch signals", error))?;
    let mode = requested.unwrap_or_else(choose);
    let enclosure = prepare(mode)?;
    if mode == Mode::Loopback {
        processes::adopt_orphans();
    }
    let finished = start(&enclosure).and_then(|child| supervise(child, &signals));
    clean_up(&enclosure);
    Ok(Entered::Finished(finished?))
}

/// The strongest mode that works here: tried, not guessed.
fn choose() -> Mode {
    let works = |mode| {
        let mut argv = unshare(mode);
        argv.extend([
            "ip", "link", "add", "try0", "type", "veth", "peer", "name", "try1",
        ]);
        command::run(&argv, "").is_ok()
    };
    if rustix::process::geteuid().is_root() && works(Mode::Root) {
        Mode::Root
    } else if works(Mode::Unprivileged) {
        Mode::Unprivileged
    } else {
        Mode::Loopback
    }
}

/// The command prefix that puts a program inside and ends it with its parent.
fn unshare(mode: Mode) -> Vec<&'static str> {
    let mut argv = vec!["setpriv", "--pdeathsig", "KILL"];
    if mode != Mode::Loopback {
        argv.push("unshare");
        if mode == Mode::Unprivileged {
            argv.extend(["--user", "--map-root-user"]);
        }
        argv.extend([
            "--net",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ]);
    }
    argv
}

fn prepare(mode: Mode) -> Result<Enclosure> {
    let name = format!("{PREFIX}{}", std::process::id());
    sweep(&std::env::temp_dir());
    let folder = std::env::temp_dir().join(&name);
    std::fs::create_dir_all(&folder).map_err(|error| LabError::file("create", &folder, error))?;
    let cgroup = if mode == Mode::Loopback {
        None
    } else {
        delegated_cgroup()
    }
    .and_then(|parent| {
        sweep(&parent);
        let ours = parent.join(&name);
        std::fs::create_dir(&ours).ok().map(|()| ours)
    });
    Ok(Enclosure {
        mode,
        folder,
        cgroup,
    })
}

/// The folder of this process's own control group in the version 2 tree, wherever that is mounted.
fn delegated_cgroup() -> Option<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let mount = mounts.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        after.starts_with("cgroup2 ").then_some(())?;
        before.split(' ').nth(4)
    })?;
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(Path::new(mount).join(own))
}

fn start(enclosure: &Enclosure) -> Result<Child> {
    let program =
        std::env::current_exe().map_err(|error| LabError::system("find this program", error))?;
    let inside = serde_json::to_string(enclosure)
        .map_err(|error| LabError::Unexpected(error.to_string()))?;
    let argv = unshare(enclosure.mode);
    let (first, rest) = argv
        .split_first()
        .ok_or_else(|| LabError::Unexpected("an empty command".to_owned()))?;
    Command::new(first)
        .args(rest)
        .arg(program)
        .args(std::env::args_os().skip(1))
        .env(VARIABLE, inside)
        .spawn()
        .map_err(|error| LabError::system("start setpriv and unshare (package util-linux)", error))
}

/// Waits for the inside to end; a signal ends it at once.
fn supervise(mut child: Child, signals: &impl AsFd) -> Result<u8> {
    let failed = |error: rustix::io::Errno| LabError::system("wait for the laboratory", error);
    let pid = i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .ok_or_else(|| LabError::Unexpected("a process without an id".to_owned()))?;
    let ended = pidfd_open(pid, PidfdFlags::empty()).map_err(failed)?;
    let mut waits = [
        PollFd::new(&ended, PollFlags::IN),
        PollFd::new(signals, PollFlags::IN),
    ];
    loop {
        match poll(&mut waits, None) {
            Ok(_) => break,
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    let interrupted = !waits[1].revents().is_empty();
    if interrupted {
        tell(&signal_received(signals));
        drop(child.kill());
    }
    let status = child
        .wait()
        .map_err(|error| LabError::system("wait for the laboratory", error))?;
    if !interrupted && status.code().is_none() {
        tell(&format!("the laboratory inside died: {status}"));
    }
    Ok(if interrupted { 130 } else { code(status) })
}

fn tell(what: &str) {
    writeln!(std::io::stderr(), "standfast-lab: {what}").ok();
}

/// Which signal came, and from whom; the layout is that of signalfd_siginfo in signalfd(2).
fn signal_received(signals: &impl AsFd) -> String {
    let mut information = [0_u8; 128];
    let number = |bytes: &[u8]| bytes.try_into().map(u32::from_ne_bytes).unwrap_or_default();
    match rustix::io::read(signals, &mut information) {
        Ok(_) => format!(
            "ended by signal {} of process {}",
            number(&information[..4]),
            number(&information[12..16])
        ),
        Err(error) => format!("ended by a signal: {error}"),
    }
}

fn code(status: ExitStatus) -> u8 {
    status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(70)
}

fn clean_up(enclosure: &Enclosure) {
    if enclosure.mode == Mode::Loopback {
        // No namespace takes them along. Hosts end by themselves when they notice; whatever does not is ended.
        std::thread::sleep(Duration::from_millis(200));
        processes::kill_descendants(std::process::id());
    }
    // Processes of a killed namespace need a moment to be gone, and a control group with processes cannot be removed.
    let deadline = Instant::now() + Duration::from_secs(5);
    if let Some(cgroup) = &enclosure.cgroup {
        while !remove_cgroups(cgroup) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    if std::env::var_os(KEEP).is_none() {
        drop(std::fs::remove_dir_all(&enclosure.folder));
    }
}

/// Removes a control group with all below it: true when it is gone.
pub(crate) fn remove_cgroups(group: &Path) -> bool {
    if let Ok(entries) = std::fs::read_dir(group) {
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                remove_cgroups(&entry.path());
            }
        }
    }
    std::fs::remove_dir(group).is_ok() || !group.exists()
}

/// Removes what a killed run left behind in `parent`.
fn sweep(parent: &Path) {
    let Ok(entries) = std::fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(owner) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else {
            continue;
        };
        if owner.parse::<u32>().is_err() || Path::new("/proc").join(owner).exists() {
            continue;
        }
        if entry.path().join("cgroup.procs").exists() {
            remove_cgroups(&entry.path());
        } else {
            drop(std::fs::remove_dir_all(entry.path()));
        }
    }
}
