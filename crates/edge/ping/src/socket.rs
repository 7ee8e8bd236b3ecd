//! A socket for echo requests of one family. Unprivileged where the machine allows that (`net.ipv4.ping_group_range`), else
//! a raw one. Not for what is sent.

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketAddrAny, SocketFlags, SocketType, ipproto,
        recvfrom, sendto, socket_with,
    },
};
use std::{
    net::{IpAddr, SocketAddr},
    os::fd::OwnedFd,
    time::Duration,
};

#[derive(Debug)]
pub(crate) struct EchoSocket {
    fd: OwnedFd,
    pub(crate) v6: bool,
}

impl EchoSocket {
    pub(crate) fn open(v6: bool) -> Result<Self, Errno> {
        let (family, protocol) = if v6 {
            (AddressFamily::INET6, ipproto::ICMPV6)
        } else {
            (AddressFamily::INET, ipproto::ICMP)
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = socket_with(family, SocketType::DGRAM, flags, Some(protocol))
            .or_else(|_| socket_with(family, SocketType::RAW, flags, Some(protocol)))?;
        Ok(Self { fd, v6 })
    }

    pub(crate) fn send(&self, to: IpAddr, bytes: &[u8]) -> Result<(), Errno> {
        let to = SocketAddr::new(to, 0);
        sendto(&self.fd, bytes, SendFlags::empty(), &to).map(drop)
    }

    /// What has come, and from whom; none when nothing has.
    pub(crate) fn receive<'b>(&self, buffer: &'b mut [u8]) -> Option<(&'b [u8], IpAddr)> {
        loop {
            match recvfrom(&self.fd, &mut *buffer, RecvFlags::empty()) {
                Ok((length, _, from)) => {
                    let from = from.and_then(|from: SocketAddrAny| SocketAddr::try_from(from).ok());
                    let Some(from) = from else { continue };
                    return Some((buffer.get(..length)?, from.ip()));
                }
                // An error that somebody on the way has sent is read as one of the socket's.
                Err(Errno::INTR | Errno::HOSTUNREACH | Errno::NETUNREACH) => {}
                Err(_) => return None,
            }
        }
    }
}

/// Waits until something has come, at most so long.
pub(crate) fn wait(sockets: &[EchoSocket], longest: Duration) {
    let flags = PollFlags::IN;
    let mut fds: Vec<PollFd<'_>> = sockets
        .iter()
        .map(|socket| PollFd::new(&socket.fd, flags))
        .collect();
    let longest = Timespec::try_from(longest).ok();
    // Interrupted or not: whoever waits looks again.
    poll(&mut fds, longest.as_ref()).ok();
}
