//! Processes told apart from later ones of the same number, and held by descriptor. Not for starting any.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::status::Process;

/// Reads the start time of a process.
pub(crate) fn identify(pid: Pid) -> io::Result<Process> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()))?;
    // The second field is the name in parentheses and may itself hold any character; field 22 is the 20th after it.
    let start = stat
        .rsplit_once(')')
        .and_then(|(_, rest)| rest.split_whitespace().nth(19)?.parse().ok());
    let start_ticks = start.ok_or_else(|| io::Error::other("/proc/PID/stat has no start time"))?;
    Ok(Process {
        pid: pid.as_raw_nonzero().get().unsigned_abs(),
        start_ticks,
    })
}

/// A descriptor of exactly this process, or nothing when it is gone.
pub(crate) fn open(process: Process) -> io::Result<Option<OwnedFd>> {
    let Some(pid) = i32::try_from(process.pid).ok().and_then(Pid::from_raw) else {
        return Ok(None);
    };
    let held = match pidfd_open(pid, PidfdFlags::NONBLOCK) {
        Ok(held) => held,
        Err(rustix::io::Errno::SRCH | rustix::io::Errno::INVAL) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    // Compared after opening: were it another process by now, its start time would differ.
    match identify(pid) {
        Ok(found) if found == process => Ok(Some(held)),
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
