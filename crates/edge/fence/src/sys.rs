//! The system calls that no safe wrapper offers, one function each. Not for logic.
#![allow(
    unsafe_code,
    reason = "raw system calls; every block says why it is sound"
)]

use std::{io, os::unix::process::CommandExt as _, process::Command};

/// Children of this thread get a process-id namespace of their own from now on: the first is its process 1, and the
/// kernel kills whatever is left in it when that one ends. Works once in a thread.
pub(crate) fn enclose_children() -> io::Result<()> {
    // SAFETY: this flag changes only where later children of this thread live; no memory or descriptor is affected.
    if unsafe { libc::unshare(libc::CLONE_NEWPID) } < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Limits what a command's program may do and leave behind: it dies with the thread that starts it, gains no rights,
/// leaves no core file (secrets would be in it), and creates files for its own user only.
pub(crate) fn confine(command: &mut Command) {
    let confine = || {
        let none = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: plain system calls, allowed between fork and exec; the limit outlives its call.
        let answers = unsafe {
            libc::umask(0o077);
            [
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL),
                libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
                libc::setrlimit(libc::RLIMIT_CORE, &raw const none),
            ]
        };
        if answers.contains(&-1) {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    };
    // SAFETY: the closure makes system calls only: it allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(confine);
    }
}
