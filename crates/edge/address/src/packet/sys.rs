//! Packet sockets (packet(7)): the one place with system calls that have no safe wrapper. Not for what is sent.
#![allow(
    unsafe_code,
    reason = "sockaddr_ll has no safe wrapper in rustix or std"
)]

use super::nd::ADVERTISEMENT;
use crate::{Mac, filter};
use rustix::io::Errno;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// A packet socket without link-layer headers (`SOCK_DGRAM`), non-blocking.
#[derive(Debug)]
pub(super) struct PacketSocket {
    fd: OwnedFd,
}

impl PacketSocket {
    /// Opens a socket that receives nothing yet. `EPERM` without `CAP_NET_RAW`.
    pub(super) fn open() -> Result<Self, Errno> {
        let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: socket() takes no pointers.
        let fd = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
        check(fd)?;
        // SAFETY: `fd` is a fresh descriptor that nothing else owns.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { fd })
    }

    /// Receives packets of this ethertype from every interface from now on.
    pub(super) fn listen(&self, ethertype: u16) -> Result<(), Errno> {
        let address = link_address(0, ethertype, Mac([0; 6]));
        // SAFETY: `address` is a valid sockaddr_ll of the given length that outlives the call.
        check(unsafe {
            libc::bind(
                self.fd.as_raw_fd(),
                (&raw const address).cast(),
                ADDRESS_LEN,
            )
        })
    }

    /// Lets only neighbour advertisements through to a socket that listens to IPv6.
    pub(super) fn accept_only_advertisements(&self) -> Result<(), Errno> {
        const ICMP: (u32, u8) = (6, 58); // next header
        const TYPE: u32 = 40;
        filter::only(self.fd.as_fd(), ICMP, (TYPE, ADVERTISEMENT))
    }

    /// Sends one packet out of an interface; the kernel adds the link-layer header.
    pub(super) fn send(
        &self,
        index: u32,
        ethertype: u16,
        to: Mac,
        packet: &[u8],
    ) -> Result<(), Errno> {
        let address = link_address(index, ethertype, to);
        // SAFETY: buffer and address are valid for the given lengths during the call.
        let sent = unsafe {
            let (bytes, address) = (packet.as_ptr().cast(), (&raw const address).cast());
            libc::sendto(
                self.fd.as_raw_fd(),
                bytes,
                packet.len(),
                libc::MSG_NOSIGNAL,
                address,
                ADDRESS_LEN,
            )
        };
        if sent < 0 { Err(last_error()) } else { Ok(()) }
    }

    /// The next packet with the interface it came in by; `None` in place of one that this machine sent itself.
    pub(super) fn receive<'a>(
        &self,
        buffer: &'a mut [u8],
    ) -> Result<(u32, Option<&'a [u8]>), Errno> {
        let mut address = MaybeUninit::<libc::sockaddr_ll>::zeroed();
        let mut address_len = ADDRESS_LEN;
        // SAFETY: buffer and address are writable for the given lengths during the call.
        let received = unsafe {
            let (bytes, from) = (buffer.as_mut_ptr().cast(), address.as_mut_ptr().cast());
            libc::recvfrom(
                self.fd.as_raw_fd(),
                bytes,
                buffer.len(),
                0,
                from,
                &raw mut address_len,
            )
        };
        let received = usize::try_from(received).map_err(|_negative| last_error())?;
        // SAFETY: every bit pattern is a valid sockaddr_ll, and it was zeroed before the kernel wrote to it.
        let address = unsafe { address.assume_init() };
        let index = u32::try_from(address.sll_ifindex).unwrap_or(0);
        let outgoing = address.sll_pkttype == libc::PACKET_OUTGOING;
        Ok((
            index,
            if outgoing {
                None
            } else {
                buffer.get(..received)
            },
        ))
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// `sizeof(struct sockaddr_ll)`.
const ADDRESS_LEN: libc::socklen_t = 20;

fn link_address(index: u32, ethertype: u16, mac: Mac) -> libc::sockaddr_ll {
    let [a, b, c, d, e, f] = mac.0;
    libc::sockaddr_ll {
        sll_family: u16::try_from(libc::AF_PACKET).unwrap_or(0),
        sll_protocol: ethertype.to_be(),
        sll_ifindex: i32::try_from(index).unwrap_or(0),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: [a, b, c, d, e, f, 0, 0],
    }
}

fn check(result: libc::c_int) -> Result<(), Errno> {
    if result < 0 {
        Err(last_error())
    } else {
        Ok(())
    }
}

fn last_error() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)
}
