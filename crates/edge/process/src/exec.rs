//! Checks that are commands: run with a time limit, killed with everything they started.
//!
//! Not for services: those live under a keeper.

use crate::spec::Identity;
use std::{
    collections::BTreeMap,
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// How often a running check is looked at.
const LOOK: Duration = Duration::from_millis(2);

/// Runs a check command. Healthy is exit code 0.
///
/// # Errors
/// What is wrong, as a sentence. The command's arguments are not part of it: they may be secret.
pub(crate) fn check(
    command: &[String],
    environment: &BTreeMap<String, String>,
    identity: Option<&Identity>,
    timeout: Duration,
) -> Result<(), String> {
    let (program, arguments) = command.split_first().ok_or("the check has no command")?;
    let mut prepared = Command::new(program);
    prepared
        .args(arguments)
        .env_clear()
        .envs(environment)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0);
    if let Some(identity) = identity {
        prepared.uid(identity.uid).gid(identity.gid);
    }
    let mut child = prepared.spawn().map_err(|error| format!("check {program}: {error}"))?;
    let until = Instant::now() + timeout;
    loop {
        match child.try_wait() {
            Ok(Some(status)) if status.success() => return Ok(()),
            Ok(Some(status)) => return Err(format!("check {program}: {status}")),
            Ok(None) if Instant::now() < until => std::thread::sleep(LOOK),
            Ok(None) => {
                kill_group(&mut child);
                return Err(format!("check {program}: no answer within {} ms", timeout.as_millis()));
            }
            Err(error) => {
                kill_group(&mut child);
                return Err(format!("check {program}: {error}"));
            }
        }
    }
}

fn kill_group(child: &mut std::process::Child) {
    let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        // Already gone is as good as killed.
        let _gone = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
    }
    drop(child.kill());
    drop(child.wait());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(script: &str, timeout: u64) -> Result<(), String> {
        let command = ["/bin/sh", "-c", script].map(str::to_owned);
        check(&command, &BTreeMap::new(), None, Duration::from_millis(timeout))
    }

    #[test]
    fn exit_code_zero_is_healthy_and_others_are_not() {
        assert_eq!(run("exit 0", 2000), Ok(()));
        assert!(run("exit 3", 2000).unwrap_err().contains('3'));
    }

    #[test]
    fn a_hanging_check_is_killed_with_its_children() {
        let marker = format!("{}", 70_000 + std::process::id());
        assert!(run(&format!("sleep {marker} & sleep {marker}"), 100).unwrap_err().contains("100 ms"));
        std::thread::sleep(Duration::from_millis(50));
        let left = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok).any(|entry| {
            std::fs::read(entry.path().join("cmdline"))
                .is_ok_and(|line| line.starts_with(b"sleep\0") && String::from_utf8_lossy(&line).contains(&marker))
        });
        assert!(!left, "a child of the check is still there");
    }
}
