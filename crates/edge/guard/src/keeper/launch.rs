//! Starting a tree: the namespace's first process, then the service in its control group, user and folder. Not for
//! what happens to it afterwards.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, set_parent_process_death_signal};
use rustix::thread::{
    LinkNameSpaceType, ThreadNameSpaceType, move_into_link_name_space, move_into_thread_name_spaces,
};
use serde::{Deserialize, Serialize};

use crate::identity::{User, become_user, find_group, find_user};
use crate::lease::LeaseWord;
use crate::spec::KeeperSpec;
use crate::sys::{self, Forked};

/// Looked through for programs and given to services that bring no `PATH` of their own.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What the forked child says before it becomes the service; one JSON value a line. Silence and a closed pipe mean
/// that the program runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Report {
    /// It goes on without a private `/proc`.
    NoPrivateProc(String),
    /// The deadline has passed.
    Refused,
    /// It can't be started.
    Failed(String),
}

/// The first process of a private process-id namespace. All others in it die with it, and it dies with the keeper.
#[derive(Debug)]
pub(crate) struct Init {
    pub(crate) pid: Pid,
    /// Closes with the keeper; the init's read of it ends then. The signal on the parent's death is quicker and also
    /// reaches a stopped init.
    _link: OwnedFd,
}

/// Starts the namespace's first process and returns when it is bound to the keeper's life.
pub(crate) fn start_init(cgroup: Option<BorrowedFd<'_>>) -> io::Result<Init> {
    let (ours, theirs) = rustix::net::socketpair(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::SEQPACKET,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )?;
    match sys::fork(cgroup, true)? {
        Forked::Child => init_main(theirs.as_fd()),
        Forked::Parent(pid) => {
            drop(theirs);
            let mut ready = [0];
            let bound = rustix::io::read(&ours, &mut ready)? == 1;
            if !bound {
                return Err(io::Error::other("the first process of the namespace died"));
            }
            Ok(Init { pid, _link: ours })
        }
    }
}

fn init_main(link: BorrowedFd<'_>) -> ! {
    let link = sys::keep_only(link);
    sys::ignore_children();
    // It only ever has to die, but the end is not confirmed before it has, and while dying it reaps the whole namespace.
    sys::set_ordinary();
    let bound = set_parent_process_death_signal(Some(Signal::KILL));
    if bound.is_ok() && rustix::io::write(&link, b"r").is_ok() {
        // Nothing is ever sent: this returns when the keeper is gone, also when it was gone before it was bound.
        let mut nothing = [0];
        while rustix::io::read(&link, &mut nothing) == Err(rustix::io::Errno::INTR) {}
    }
    sys::exit_now(0)
}

/// Starts the service; its output goes to `output`, its [`Report`]s to `report`.
pub(crate) fn start_service(
    spec: &KeeperSpec,
    lease: &LeaseWord,
    place: &Place<'_>,
    output: OwnedFd,
    report: OwnedFd,
) -> io::Result<Pid> {
    let home = File::open("/proc/self/ns/pid")?;
    if let Some(init) = place.init {
        let init = pidfd_open(init.pid, PidfdFlags::empty())?;
        move_into_thread_name_spaces(init.as_fd(), ThreadNameSpaceType::PROCESS_ID)?;
    }
    let forked = sys::fork(place.cgroup, false);
    if let Ok(Forked::Child) = forked {
        let failure = become_service(spec, lease, place, &output, report.as_fd());
        send_report(report.as_fd(), &failure);
        sys::exit_now(127)
    }
    // Only children are placed by this; the logger must not land in the namespace.
    move_into_link_name_space(home.as_fd(), Some(LinkNameSpaceType::ProcessID))?;
    match forked? {
        Forked::Parent(pid) => Ok(pid),
        Forked::Child => sys::exit_now(127),
    }
}

/// Where a service is put.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    pub(crate) cgroup: Option<BorrowedFd<'a>>,
    pub(crate) init: Option<&'a Init>,
    /// Its `oom_score_adj`.
    pub(crate) oom_score: i32,
}

/// In the child: takes on everything asked for and executes the program. Returns why it could not.
fn become_service(
    spec: &KeeperSpec,
    lease: &LeaseWord,
    place: &Place<'_>,
    output: &OwnedFd,
    report: BorrowedFd<'_>,
) -> Report {
    if place.init.is_some()
        && let Err(error) = mount_private_proc()
    {
        send_report(
            report,
            &Report::NoPrivateProc(format!("no private /proc: {error}")),
        );
    }
    let failed = |what: &str, error: io::Error| Report::Failed(format!("{what}: {error}"));
    if let Err(error) = fs::write("/proc/self/oom_score_adj", place.oom_score.to_string()) {
        return failed("set oom_score_adj", error);
    }
    if let Err(error) = rustix::process::setsid() {
        return failed("start a session", error.into());
    }
    let mut command = match prepare_command(spec) {
        Ok(command) => command,
        Err(why) => return Report::Failed(why),
    };
    match (output.try_clone(), output.try_clone()) {
        (Ok(out), Ok(err)) => command.stdin(Stdio::null()).stdout(out).stderr(err),
        (Err(error), _) | (_, Err(error)) => return failed("duplicate the output pipe", error),
    };
    sys::default_signals();
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    if !lease.holds() {
        return Report::Refused;
    }
    let error = command.exec();
    failed(&format!("execute {:?}", command.get_program()), error)
}

/// Takes on user and group and builds the command line with its environment and folder.
fn prepare_command(spec: &KeeperSpec) -> Result<Command, String> {
    let user = spec.user.as_deref().map(find_user).transpose()?;
    let group = spec.group.as_deref().map(find_group).transpose()?;
    let (program, arguments) = spec.command.split_first().ok_or("the command is empty")?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", DEFAULT_PATH);
    if let Some(user) = &user {
        command.envs(login_environment(user));
    }
    command.envs(&spec.environment);
    command.current_dir(spec.working_directory.as_deref().unwrap_or("/".as_ref()));
    become_user(user.as_ref(), group).map_err(|error| format!("become user and group: {error}"))?;
    Ok(command)
}

/// What a login would set.
fn login_environment(user: &User) -> Vec<(&'static str, String)> {
    let all = [
        ("USER", &user.name),
        ("LOGNAME", &user.name),
        ("HOME", &user.home),
        ("SHELL", &user.shell),
    ];
    all.into_iter()
        .filter_map(|(name, value)| Some((name, value.clone()?)))
        .collect()
}

/// A mount namespace of its own, which follows the machine's mounts but not the other way round, with the `/proc` of
/// the new process-id namespace.
fn mount_private_proc() -> io::Result<()> {
    sys::unshare_mounts()?;
    mount_change(
        "/",
        MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC,
    )?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    Ok(mount("proc", "/proc", "proc", flags, None)?)
}

fn send_report(to: BorrowedFd<'_>, report: &Report) {
    let line = serde_json::to_string(report).map(|line| format!("{line}\n"));
    // Nobody left to tell when this fails: the keeper is gone, and this process with it.
    if let (Ok(line), Ok(to)) = (line, to.try_clone_to_owned()) {
        File::from(to).write_all(line.as_bytes()).ok();
    }
}

/// Reads all reports there are; the flag says whether the pipe is closed.
pub(crate) fn read_reports(from: &mut File) -> (Vec<Report>, bool) {
    let mut text = Vec::new();
    let closed = from.read_to_end(&mut text).is_ok();
    let lines = text.split(|byte| *byte == b'\n');
    (
        lines
            .filter_map(|line| serde_json::from_slice(line).ok())
            .collect(),
        closed,
    )
}
