//! Asking and telling a link who has an address: ARP (RFC 826, 5227) and neighbour discovery (RFC 4861) over packet
//! sockets. Knows no leases: the caller checks the deadline immediately before it sends, because packet sockets pass by
//! the guard's tables.

mod arp;
mod nd;
mod sys;

use crate::Mac;
use rustix::io::Errno;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd, BorrowedFd};
use sys::PacketSocket;

const ETHERTYPE_ARP: u16 = 0x0806;
const ETHERTYPE_IPV6: u16 = 0x86dd;
const BROADCAST: Mac = Mac([0xff; 6]);
const NOBODY: Mac = Mac([0; 6]);

/// Somebody on a link said that an address is theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) address: IpAddr,
    pub(crate) mac: Mac,
    /// Interface on which it was heard.
    pub(crate) index: u32,
}

/// A port of this machine: where packets leave and whose MAC they carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Port {
    pub(crate) index: u32,
    pub(crate) mac: Mac,
}

/// Sends. Receives nothing.
#[derive(Debug)]
pub(crate) struct Speaker {
    socket: PacketSocket,
}

impl Speaker {
    pub(crate) fn new() -> Result<Self, Errno> {
        Ok(Self {
            socket: PacketSocket::open()?,
        })
    }

    /// Announces the address: gratuitous ARP as request and as reply, or an unsolicited neighbour advertisement with the
    /// override flag. `router` is what the advertisement says of this machine (RFC 4861 section 7.2.6).
    pub(crate) fn announce(&self, port: Port, address: IpAddr, router: bool) -> Result<(), Errno> {
        match address {
            IpAddr::V4(v4) => {
                // Some peers learn from the one form only, some from the other (RFC 5944 section 4.6).
                let request = arp::packet(arp::REQUEST, (port.mac, v4), (NOBODY, v4));
                let reply = arp::packet(arp::REPLY, (port.mac, v4), (BROADCAST, v4));
                self.socket
                    .send(port.index, ETHERTYPE_ARP, BROADCAST, &request)?;
                self.socket
                    .send(port.index, ETHERTYPE_ARP, BROADCAST, &reply)
            }
            IpAddr::V6(v6) => {
                let packet = nd::advertisement(v6, port.mac, router);
                self.socket.send(
                    port.index,
                    ETHERTYPE_IPV6,
                    nd::multicast_mac(nd::ALL_NODES),
                    &packet,
                )
            }
        }
    }

    /// Asks who has the address: of `to` alone, or of everybody. Without a source of the machine's own the question is a
    /// probe that nobody learns from (RFC 5227 section 2.1.1, RFC 4862 section 5.4.2).
    pub(crate) fn ask(
        &self,
        port: Port,
        source: Option<IpAddr>,
        address: IpAddr,
        to: Option<Mac>,
    ) -> Result<(), Errno> {
        match (address, source) {
            (IpAddr::V4(v4), source) => {
                let sender = if let Some(IpAddr::V4(own)) = source {
                    own
                } else {
                    Ipv4Addr::UNSPECIFIED
                };
                let packet = arp::packet(arp::REQUEST, (port.mac, sender), (NOBODY, v4));
                self.socket
                    .send(port.index, ETHERTYPE_ARP, to.unwrap_or(BROADCAST), &packet)
            }
            (IpAddr::V6(v6), source) => {
                let own = if let Some(IpAddr::V6(own)) = source {
                    own
                } else {
                    Ipv6Addr::UNSPECIFIED
                };
                let group = nd::solicited_node(v6);
                let packet = nd::solicitation(own, v6, port.mac);
                self.socket.send(
                    port.index,
                    ETHERTYPE_IPV6,
                    to.unwrap_or(nd::multicast_mac(group)),
                    &packet,
                )
            }
        }
    }
}

/// Hears claims on every interface.
#[derive(Debug)]
pub(crate) struct Listener {
    arp: PacketSocket,
    nd: PacketSocket,
}

impl Listener {
    pub(crate) fn new() -> Result<Self, Errno> {
        let (arp, nd) = (PacketSocket::open()?, PacketSocket::open()?);
        nd.accept_only_advertisements()?;
        arp.listen(ETHERTYPE_ARP)?;
        nd.listen(ETHERTYPE_IPV6)?;
        Ok(Self { arp, nd })
    }

    /// To wait for: readable when there may be claims.
    pub(crate) fn descriptors(&self) -> [BorrowedFd<'_>; 2] {
        [self.arp.as_fd(), self.nd.as_fd()]
    }

    /// Everything heard so far, what this machine sent itself left out.
    pub(crate) fn claims(&self) -> Vec<Claim> {
        let mut claims = Vec::new();
        let mut buffer = [0; 1500];
        while let Ok((index, packet)) = self.arp.receive(&mut buffer) {
            if let Some((mac, address)) = packet.and_then(arp::claim) {
                claims.push(Claim {
                    address: address.into(),
                    mac,
                    index,
                });
            }
        }
        while let Ok((index, packet)) = self.nd.receive(&mut buffer) {
            if let Some((mac, address)) = packet.and_then(nd::claim) {
                claims.push(Claim {
                    address: address.into(),
                    mac,
                    index,
                });
            }
        }
        claims
    }
}
