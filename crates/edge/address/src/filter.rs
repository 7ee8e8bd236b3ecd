//! Socket filters (classic BPF, socket(7)): what a socket is not woken for. Not for what a message means.
#![allow(
    unsafe_code,
    reason = "socket filters have no safe wrapper in rustix or std"
)]

use rustix::io::Errno;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd};

const LOAD_WORD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
const LOAD_HALF: u16 = 0x28; // BPF_LD | BPF_H | BPF_ABS
const LOAD_BYTE: u16 = 0x30; // BPF_LD | BPF_B | BPF_ABS
const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const RETURN: u16 = 0x06; // BPF_RET | BPF_K
const ALL: u32 = u32::MAX;
const NOTHING: u32 = 0;

/// Only packets with this byte at each of two places.
pub(crate) fn only(
    socket: BorrowedFd<'_>,
    first: (u32, u8),
    second: (u32, u8),
) -> Result<(), Errno> {
    attach(
        socket,
        &mut [
            op(LOAD_BYTE, 0, 0, first.0),
            op(JUMP_EQUAL, 0, 3, u32::from(first.1)),
            op(LOAD_BYTE, 0, 0, second.0),
            op(JUMP_EQUAL, 0, 1, u32::from(second.1)),
            op(RETURN, 0, 0, ALL),
            op(RETURN, 0, 0, NOTHING),
        ],
    )
}

/// No netlink message of this kind (`nlmsg_type`, netlink(7)), which is in the machine's byte order; a filter loads in the network's.
pub(crate) fn not_of_kind(socket: BorrowedFd<'_>, kind: u16) -> Result<(), Errno> {
    except(socket, op(LOAD_HALF, 0, 0, 4), u32::from(kind.to_be()))
}

/// No netlink message that a request of this port caused (`nlmsg_pid`).
pub(crate) fn not_from_port(socket: BorrowedFd<'_>, port: u32) -> Result<(), Errno> {
    except(socket, op(LOAD_WORD, 0, 0, 12), port.to_be())
}

fn except(socket: BorrowedFd<'_>, load: libc::sock_filter, value: u32) -> Result<(), Errno> {
    attach(
        socket,
        &mut [
            load,
            op(JUMP_EQUAL, 1, 0, value),
            op(RETURN, 0, 0, ALL),
            op(RETURN, 0, 0, NOTHING),
        ],
    )
}

const fn op(code: u16, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

fn attach(socket: BorrowedFd<'_>, program: &mut [libc::sock_filter]) -> Result<(), Errno> {
    let filter = libc::sock_fprog {
        len: u16::try_from(program.len()).unwrap_or(0),
        filter: program.as_mut_ptr(),
    };
    let size = u32::try_from(size_of::<libc::sock_fprog>()).unwrap_or(0);
    // SAFETY: `filter` points to `len` instructions; the kernel copies both during the call.
    let result = unsafe {
        let (level, name) = (libc::SOL_SOCKET, libc::SO_ATTACH_FILTER);
        let filter = (&raw const filter).cast();
        libc::setsockopt(socket.as_raw_fd(), level, name, filter, size)
    };
    if result < 0 {
        let errno = std::io::Error::last_os_error().raw_os_error();
        return Err(Errno::from_raw_os_error(errno.unwrap_or(libc::EIO)));
    }
    Ok(())
}
