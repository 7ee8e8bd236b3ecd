//! Checks that are commands: run with a time limit, killed with their process group.
//!
//! Not for services: those live under a keeper.

use crate::login::Login;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open},
};
use std::{
    collections::BTreeMap,
    os::{fd::OwnedFd, unix::process::CommandExt},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

/// How often a check under way looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(20);
/// A killed check may take this long to be gone before it is left behind.
const DIES_WITHIN: Duration = Duration::from_millis(50);

/// How a check's command is run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting<'a> {
    pub(crate) environment: &'a BTreeMap<String, String>,
    pub(crate) directory: Option<&'a str>,
    pub(crate) login: Option<&'a Login>,
}

/// Runs one command after the other.
#[derive(Debug, Default)]
pub(crate) struct Runner {
    /// Killed, but not gone (uninterruptible sleep).
    left: Option<Child>,
}

impl Runner {
    /// Runs a check command. Healthy is exit code 0. `wanted` ends it early.
    ///
    /// # Errors
    /// What is wrong, as a sentence. The command's arguments are not part of it: they may be secret.
    pub(crate) fn check(
        &mut self,
        command: &[String],
        setting: Setting<'_>,
        timeout: Duration,
        wanted: &dyn Fn() -> bool,
    ) -> Result<(), String> {
        let (program, arguments) = command.split_first().ok_or("the check has no command")?;
        if let Some(mut left) = self.left.take()
            && !matches!(left.try_wait(), Ok(Some(_)))
        {
            self.left = Some(left);
            return Err(format!(
                "check {program}: its last run was killed but does not die"
            ));
        }
        let mut child = prepare(program, arguments, setting)
            .spawn()
            .map_err(|error| format!("check {program}: {error}"))?;
        let why = match wait(&mut child, timeout, wanted) {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("check {program}: {status}")),
            Ok(None) => format!("no answer within {} ms", timeout.as_millis()),
            Err(error) => error.to_string(),
        };
        kill(&mut child);
        // Not waited for any longer: a check that hangs on a dead disk must still be reported.
        if !matches!(wait(&mut child, DIES_WITHIN, &|| true), Ok(Some(_))) {
            self.left = Some(child);
        }
        Err(format!("check {program}: {why}"))
    }
}

fn prepare(program: &str, arguments: &[String], setting: Setting<'_>) -> Command {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .current_dir(setting.directory.map_or(Path::new("/"), Path::new))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0);
    if let Some(login) = setting.login {
        // Changing the user as root also clears the supplementary groups.
        command
            .uid(login.uid)
            .gid(login.gid)
            .envs(login.environment.iter().cloned());
    }
    command.envs(setting.environment);
    command
}

/// Waits for the end; `None` when it does not come in time or is not wanted any more.
fn wait(
    child: &mut Child,
    longest: Duration,
    wanted: &dyn Fn() -> bool,
) -> std::io::Result<Option<ExitStatus>> {
    let process: OwnedFd = pidfd_open(Pid::from_child(child), PidfdFlags::empty())?;
    let until = Instant::now() + longest;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || !wanted() {
            return Ok(None);
        }
        let look = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(left.min(LOOK).subsec_nanos()),
        };
        // Interrupted or not: the child is looked at again.
        let _ready = poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&look));
    }
}

fn kill(child: &mut Child) {
    // Not waited for yet: the number is still its own. Already gone is as good as killed.
    let _gone = kill_process_group(Pid::from_child(child), Signal::KILL);
    drop(child.kill());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str, timeout: u64, wanted: &dyn Fn() -> bool) -> Result<(), String> {
        let command = ["/bin/sh", "-c", script].map(str::to_owned);
        let setting = Setting {
            environment: &BTreeMap::new(),
            directory: None,
            login: None,
        };
        Runner::default().check(&command, setting, Duration::from_millis(timeout), wanted)
    }

    #[test]
    fn exit_code_zero_is_healthy_and_others_are_not() {
        assert_eq!(run("exit 0", 5000, &|| true), Ok(()));
        assert!(run("exit 3", 5000, &|| true).unwrap_err().contains('3'));
    }

    #[test]
    fn a_hanging_check_is_killed_with_its_children() {
        let marker = format!("{}", 70_000 + std::process::id());
        let script = format!("sleep {marker} & sleep {marker}");
        assert!(run(&script, 100, &|| true).unwrap_err().contains("100 ms"));
        std::thread::sleep(Duration::from_millis(50));
        let left = std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(Result::ok)
            .any(|entry| {
                std::fs::read(entry.path().join("cmdline")).is_ok_and(|line| {
                    line.starts_with(b"sleep\0") && String::from_utf8_lossy(&line).contains(&marker)
                })
            });
        assert!(!left, "a child of the check is still there");
    }

    #[test]
    fn a_check_that_nobody_wants_any_more_ends_at_once() {
        let began = Instant::now();
        let over = || began.elapsed() < Duration::from_millis(50);
        assert!(run("exec sleep 60", 30_000, &over).is_err());
        assert!(began.elapsed() < Duration::from_secs(10));
    }
}
