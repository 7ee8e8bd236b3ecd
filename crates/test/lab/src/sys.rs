//! The few system calls that have no safe wrapper: raw packet sockets and a descriptor for signals.
//! Not for anything that rustix or the standard library offers.
#![allow(
    unsafe_code,
    reason = "sockaddr_ll and signalfd have no safe wrapper in our dependencies"
)]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use rustix::net::{AddressFamily, Protocol, SocketFlags, SocketType};

/// Ethernet frames of every protocol, ETH_P_ALL of if_ether.h.
const ETH_P_ALL: u16 = 3;

/// Nanoseconds of CLOCK_BOOTTIME: the one clock on which faults and answers are recorded.
#[must_use]
pub fn now_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    let nanos = u64::try_from(now.tv_nsec).unwrap_or_default();
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

/// A non-blocking raw socket that sends and receives every Ethernet frame of `interface` in the caller's network namespace.
///
/// # Errors
/// When the interface is unknown or the caller may not open raw sockets there.
pub fn packet_socket(interface: &str) -> io::Result<OwnedFd> {
    let protocol = rustix::net::RawProtocol::new(u32::from(ETH_P_ALL.to_be()));
    let socket = rustix::net::socket_with(
        AddressFamily::PACKET,
        SocketType::RAW,
        SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
        protocol.map(Protocol::from_raw),
    )?;
    let index = rustix::net::netdevice::name_to_index(&socket, interface)?;
    // SAFETY: sockaddr_ll is plain data for which all zeroes is a valid value.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = u16::try_from(libc::AF_PACKET).map_err(io::Error::other)?;
    address.sll_protocol = ETH_P_ALL.to_be();
    address.sll_ifindex = i32::try_from(index).map_err(io::Error::other)?;
    let length = u32::try_from(size_of::<libc::sockaddr_ll>()).map_err(io::Error::other)?;
    // SAFETY: the pointer is to a live sockaddr_ll of the length given; bind only reads it.
    let bound = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) };
    if bound == 0 {
        Ok(socket)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Blocks SIGINT, SIGTERM and SIGHUP for this thread (and threads and processes it starts) and gives a descriptor that becomes readable
/// when one arrives.
///
/// # Errors
/// When the kernel refuses the descriptor.
pub fn signals() -> io::Result<OwnedFd> {
    // SAFETY: a zeroed sigset_t is valid storage, initialised by sigemptyset before use.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` lives across all calls; the null pointer asks for no previous mask.
    let descriptor = unsafe {
        libc::sigemptyset(&raw mut set);
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            libc::sigaddset(&raw mut set, signal);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        libc::signalfd(-1, &raw const set, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK)
    };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just returned to us and belongs to nobody else.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Undoes [`signals`] for the calling thread: inherited masks would make the programs under test deaf to SIGTERM.
pub fn unblock_signals() {
    // SAFETY: a zeroed sigset_t is valid storage; an empty set as the new mask blocks nothing.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const set, std::ptr::null_mut());
    }
}
