//! Starting one action of an agent or a script, and killing its whole tree. Not for when.
//!
//! A `monitor` gets a control group of its own below that of the keeper, so that one that hangs can be killed with
//! everything that it started while the service goes on. What `start` leaves running stays where it is.

use crate::{is_parameter, output::Output};
use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    collections::BTreeMap,
    env, fs,
    io::{self, Write as _},
    os::{fd::OwnedFd, unix::process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The agent begins when it has been put into its control group, and not before.
const HELD_BACK: &str = "read -r _ && exec \"$@\" </dev/null";

/// An action under way.
#[derive(Debug)]
pub(crate) struct Action {
    pub(crate) pid: Pid,
    pub(crate) output: Output,
    group: Option<Group>,
}

/// What a program is told, and what becomes of what it says.
#[derive(Debug)]
pub(crate) struct Said<'a> {
    pub(crate) arguments: &'a [String],
    /// Its last argument.
    pub(crate) action: &'a str,
    /// In the place of the runner's own parameters.
    pub(crate) parameters: &'a BTreeMap<String, String>,
    /// Beside those of the runner.
    pub(crate) variables: &'a [(&'static str, String)],
    /// Its output is passed on only when it fails, because it is asked often.
    pub(crate) kept_back: bool,
    /// The reason of a failure may be in its standard output too.
    pub(crate) both: bool,
}

impl Action {
    /// Starts an action. A `group` makes it one that can be killed whole.
    pub(crate) fn start(program: &Path, said: &Said<'_>, group: Option<Group>) -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        let mut command = match group {
            Some(_) => {
                let mut shell = Command::new("/bin/sh");
                shell.args(["-c", HELD_BACK, "sh"]).arg(program);
                shell.stdin(Stdio::piped());
                shell
            }
            None => {
                let mut command = Command::new(program);
                command.stdin(Stdio::null());
                command
            }
        };
        let own = env::vars_os().map(|(name, _)| name);
        for name in own.filter(|name| name.to_str().is_some_and(is_parameter)) {
            command.env_remove(name);
        }
        command
            .envs(said.parameters)
            .args(said.arguments)
            .arg(said.action)
            .envs(said.variables.iter().map(|(name, value)| (*name, value)))
            .process_group(0);
        if said.both {
            command.stdout(writer.try_clone()?);
        }
        command.stderr(writer);
        let mut child = command.spawn()?;
        // The pipe's other ends go with it: the child's are the only ones left.
        drop(command);
        let pid = Pid::from_child(&child);
        if let (Some(group), Some(mut input)) = (&group, child.stdin.take()) {
            // Where it cannot be put there, its process group has to do.
            group.take_in(pid).ok();
            input.write_all(b"\n").ok();
        }
        Ok(Self {
            pid,
            output: Output::new(OwnedFd::from(reader), !said.kept_back)?,
            group,
        })
    }

    /// Kills it with everything that it started, as far as that can be told apart from the service.
    pub(crate) fn kill(&self) {
        // Not waited for yet: the number is still its own. Already gone is as good as killed.
        let _gone = kill_process_group(self.pid, Signal::KILL);
        if let Some(group) = &self.group {
            group.kill().ok();
        }
    }
}

/// A control group for actions that may be killed.
#[derive(Clone, Debug)]
pub(crate) struct Group(PathBuf);

impl Group {
    /// Below the runner's own. None where that cannot be had.
    pub(crate) fn below(own: Option<&Path>) -> Option<Self> {
        let path = own?.join("monitor");
        match fs::create_dir(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => None,
            _ => Some(Self(path)),
        }
    }

    fn take_in(&self, pid: Pid) -> io::Result<()> {
        let number = pid.as_raw_nonzero().to_string();
        fs::write(self.0.join("cgroup.procs"), number)
    }

    fn kill(&self) -> io::Result<()> {
        fs::write(self.0.join("cgroup.kill"), "1")
    }

    /// Whether something is still in it: killed, but not gone.
    pub(crate) fn is_populated(&self) -> bool {
        let events = fs::read_to_string(self.0.join("cgroup.events"));
        events.is_ok_and(|events| events.lines().any(|line| line == "populated 1"))
    }
}
