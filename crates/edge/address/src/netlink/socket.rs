//! One netlink socket: send, wait for the answer, tell errors apart. The kernel handles a request inside the send call,
//! so answers are there when it returns and nothing here waits for long. Not for notifications' meaning.

use super::flags;
use super::wire::{Received, Writer, messages, u32_ne};
use crate::filter;
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, bind, getsockname,
    recv, send, socket_with,
};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

const ERROR: u16 = 2;
const DONE: u16 = 3;
/// Largest datagram the kernel makes for a dump (NLMSG_GOODSIZE is at most 32 KiB).
const RECEIVE_LEN: usize = 64 * 1024;
/// A dump that keeps racing with changes is given up after this many repetitions, some 10 ms: every change of any
/// nftables table of the namespace interrupts it, also when another program makes them without a pause.
const DUMP_TRIES: usize = 200;

/// One message of a dump or notification, owned.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) kind: u16,
    /// Port of the socket that caused it.
    pub(crate) port: u32,
    pub(crate) payload: Vec<u8>,
}

/// Why a transaction had no effect.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refusal {
    pub(crate) errno: Errno,
    /// Everything but its last message was acceptable.
    pub(crate) last: bool,
}

#[derive(Debug)]
pub(crate) struct NetlinkSocket {
    fd: OwnedFd,
    port: u32,
    sequence: u32,
    buffer: Vec<u8>,
}

impl NetlinkSocket {
    /// Opens a socket of a netlink protocol (`None` is `NETLINK_ROUTE`, number 0), subscribed to the multicast groups of the bit mask (0: none).
    pub(crate) fn open(protocol: Option<Protocol>, groups: u32) -> Result<Self, Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)?;
        bind(&fd, &SocketAddrNetlink::new(0, groups))?;
        let bound = SocketAddrNetlink::try_from(getsockname(&fd)?)?;
        Ok(Self {
            fd,
            port: bound.pid(),
            sequence: 0,
            buffer: Vec::with_capacity(RECEIVE_LEN),
        })
    }

    /// Notifications of this kind do not arrive, nor wake anybody.
    pub(crate) fn ignore_kind(&self, kind: u16) -> Result<(), Errno> {
        filter::not_of_kind(self.fd.as_fd(), kind)
    }

    /// Notifications of what the socket with that port has done do not arrive, nor wake anybody.
    pub(crate) fn ignore_port(&self, port: u32) -> Result<(), Errno> {
        filter::not_from_port(self.fd.as_fd(), port)
    }

    /// The port the kernel knows this socket by: the origin of the notifications that its requests cause.
    pub(crate) fn port(&self) -> u32 {
        self.port
    }

    /// A sequence number that was not used before, with room for the messages of a batch to be numbered from it.
    pub(crate) fn next_sequence(&mut self) -> u32 {
        const ROOM: u32 = 1 << 10;
        self.sequence = self.sequence.wrapping_add(ROOM);
        self.sequence
    }

    /// Sends messages of which exactly the one with `last` as sequence number asks for an acknowledgement. The first
    /// error of any of them is the result; so is a missing acknowledgement (`EIO`).
    pub(crate) fn transact(&mut self, writer: &Writer, last: u32) -> Result<(), Refusal> {
        let broken = |errno| Refusal { errno, last: false };
        self.discard_stale();
        send(&self.fd, writer.bytes(), SendFlags::empty()).map_err(broken)?;
        loop {
            let datagram = match self.receive() {
                Err(Errno::AGAIN) => return Err(broken(Errno::IO)),
                other => other.map_err(broken)?,
            };
            for message in messages(datagram) {
                let is_last = message.sequence == last;
                match error_of(&message) {
                    Some(Err(errno)) => {
                        return Err(Refusal {
                            errno,
                            last: is_last,
                        });
                    }
                    Some(Ok(())) if is_last => return Ok(()),
                    _ => {}
                }
            }
        }
    }

    /// Sends one request and returns the messages it brings, up to its acknowledgement or the end of the dump.
    pub(crate) fn request(
        &mut self,
        kind: u16,
        extra: u16,
        header: &[u8],
        fill: impl Fn(&mut Writer),
    ) -> Result<Vec<Reply>, Errno> {
        for _ in 0..DUMP_TRIES {
            let mut writer = Writer::default();
            let sequence = self.next_sequence();
            writer.message(kind, flags::REQUEST | flags::ACK | extra, sequence, header);
            fill(&mut writer);
            self.discard_stale();
            send(&self.fd, writer.bytes(), SendFlags::empty())?;
            if let Some(replies) = self.collect(sequence)? {
                return Ok(replies);
            }
        }
        Err(Errno::INTR)
    }

    /// Notifications that are waiting; `Err(NOBUFS)` when some were lost and everything has to be looked at again.
    pub(crate) fn notifications(&mut self) -> Result<Vec<Reply>, Errno> {
        let mut all = Vec::new();
        loop {
            match self.receive() {
                Ok(datagram) => all.extend(messages(datagram).map(|m| owned(&m))),
                Err(Errno::AGAIN) => return Ok(all),
                Err(errno) => return Err(errno),
            }
        }
    }

    /// `None` when the dump was interrupted by a change.
    fn collect(&mut self, sequence: u32) -> Result<Option<Vec<Reply>>, Errno> {
        let mut replies = Vec::new();
        let mut interrupted = false;
        loop {
            let datagram = match self.receive() {
                Err(Errno::AGAIN) => return Err(Errno::IO),
                other => other?,
            };
            for message in messages(datagram).filter(|m| m.sequence == sequence) {
                interrupted |= message.flags & flags::DUMP_INTERRUPTED != 0;
                match (message.kind, error_of(&message)) {
                    (_, Some(Err(errno))) => return Err(errno),
                    (_, Some(Ok(()))) | (DONE, None) => {
                        return Ok((!interrupted).then_some(replies));
                    }
                    _ => replies.push(owned(&message)),
                }
            }
        }
    }

    /// Late answers of an earlier request that failed in the middle must not be taken for ours.
    fn discard_stale(&mut self) {
        while self.receive().is_ok() {}
    }

    fn receive(&mut self) -> Result<&[u8], Errno> {
        self.buffer.clear();
        recv(
            &self.fd,
            spare_capacity(&mut self.buffer),
            RecvFlags::empty(),
        )?;
        Ok(&self.buffer)
    }
}

impl AsFd for NetlinkSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn owned(message: &Received<'_>) -> Reply {
    Reply {
        kind: message.kind,
        port: message.port,
        payload: message.payload.to_vec(),
    }
}

/// `Some` for an acknowledgement or an error message.
fn error_of(message: &Received<'_>) -> Option<Result<(), Errno>> {
    if message.kind != ERROR && message.kind != DONE {
        return None;
    }
    let code = i32::from_ne_bytes(u32_ne(message.payload).unwrap_or_default().to_ne_bytes());
    match (message.kind, code) {
        (ERROR, 0) => Some(Ok(())),
        (DONE, 0..) => None,
        (_, code) => Some(Err(Errno::from_raw_os_error(code.saturating_neg()))),
    }
}
