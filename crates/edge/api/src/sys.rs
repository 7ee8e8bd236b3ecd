//! Asking the kernel who is at the other end. One system call that no safe wrapper offers in a form that
//! knows clients from other process-id namespaces, whose process has no number here.
#![allow(unsafe_code, reason = "getsockopt(SO_PEERCRED) with a process id of 0")]

use std::{io, os::fd::AsRawFd, os::unix::net::UnixStream};

/// User and group of the process that connected.
pub(crate) fn user_of(stream: &UnixStream) -> io::Result<(u32, u32)> {
    let mut found = libc::ucred {
        pid: 0,
        uid: u32::MAX,
        gid: u32::MAX,
    };
    let mut length = libc::socklen_t::try_from(size_of::<libc::ucred>())
        .map_err(|_too_long| io::Error::from(io::ErrorKind::InvalidInput))?;
    // SAFETY: the pointers are to live values of the type and length that the option asks for.
    let result = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut found).cast(),
            &raw mut length,
        )
    };
    if result == 0 {
        Ok((found.uid, found.gid))
    } else {
        Err(io::Error::last_os_error())
    }
}
