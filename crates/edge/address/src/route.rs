//! rtnetlink: links, addresses with lifetimes, and which interface an address belongs to. Decides nothing about leases.

use crate::netlink::{NetlinkSocket, Reply, attribute, flags, text, u32_ne};
use crate::{AddressError, Mac, Vip};
use rustix::io::Errno;
use std::net::IpAddr;

pub(crate) const NEW_LINK: u16 = 16;
pub(crate) const DEL_LINK: u16 = 17;
const GET_LINK: u16 = 18;
const SET_LINK: u16 = 19;
pub(crate) const NEW_ADDRESS: u16 = 20;
pub(crate) const DEL_ADDRESS: u16 = 21;
const GET_ADDRESS: u16 = 22;
const GET_ROUTE: u16 = 26;
const ROUTE_HEADER_LEN: usize = 12;

/// Multicast groups as bits: link, IPv4 address, IPv6 address.
pub(crate) const WATCHED_GROUPS: u32 = 1 | (1 << 4) | (1 << 8);

/// Marks our addresses (`IFA_PROTO`, `ip address show proto 0x53`); kernels before 5.18 ignore it.
const PROTOCOL: u8 = 0x53;

const IFA_F_NODAD: u32 = 0x02;
const IFA_F_NOPREFIXROUTE: u32 = 0x200;
const IFF_UP: u32 = 0x1;
const IFF_LOOPBACK: u32 = 0x8;
const IFF_RUNNING: u32 = 0x40;

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) mac: Option<Mac>,
    /// Administratively up and with carrier.
    pub(crate) up: bool,
    pub(crate) loopback: bool,
}

/// An address on an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Assigned {
    pub(crate) vip: Vip,
    pub(crate) index: u32,
    /// Marked as added by this program.
    pub(crate) ours: bool,
    flags: u32,
}

/// How an address is to be added.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addition {
    pub(crate) vip: Vip,
    pub(crate) index: u32,
    /// Whole seconds after which the kernel removes it.
    pub(crate) lifetime_s: u32,
    /// The interface reaches the subnet already by an address of its own.
    pub(crate) no_prefix_route: bool,
}

/// A request socket.
#[derive(Debug)]
pub(crate) struct Routing {
    socket: NetlinkSocket,
}

impl Routing {
    pub(crate) fn new() -> Result<Self, AddressError> {
        let socket = NetlinkSocket::open(None, 0)
            .map_err(|errno| AddressError::Unsupported(format!("no rtnetlink socket: {errno}")))?;
        Ok(Self { socket })
    }

    pub(crate) fn links(&mut self) -> Result<Vec<Link>, AddressError> {
        let replies = self
            .socket
            .request(GET_LINK, flags::DUMP, &[0; 16], |_| {})
            .map_err(|errno| AddressError::kernel("list the interfaces", errno))?;
        Ok(replies.iter().filter_map(link_of).collect())
    }

    pub(crate) fn addresses(&mut self) -> Result<Vec<Assigned>, AddressError> {
        let replies = self
            .socket
            .request(GET_ADDRESS, flags::DUMP, &[0; 8], |_| {})
            .map_err(|errno| AddressError::kernel("list the addresses", errno))?;
        Ok(replies.iter().filter_map(address_of).collect())
    }

    /// Adds the address, or renews the lifetime of one that is there.
    pub(crate) fn add(&mut self, addition: &Addition) -> Result<(), Errno> {
        let vip = addition.vip;
        let header = address_header(vip, addition.index);
        let octets = octets(vip.address);
        // A virtual IPv6 address must not become the source of the node's own connections: deprecated addresses serve
        // what is addressed to them and are chosen for nothing else (RFC 6724 rule 3). An IPv4 one is secondary.
        let preferred_s = if vip.address.is_ipv6() {
            0
        } else {
            addition.lifetime_s
        };
        let route_flag = if addition.no_prefix_route {
            IFA_F_NOPREFIXROUTE
        } else {
            0
        };
        // Duplicate address detection takes 1.4 s; the conflict probe has been made instead.
        let dad_flag = if vip.address.is_ipv6() {
            IFA_F_NODAD
        } else {
            0
        };
        self.socket
            .request(NEW_ADDRESS, flags::CREATE | flags::REPLACE, &header, |w| {
                w.attr(2, &octets);
                w.attr(1, &octets);
                let mut cache = Vec::with_capacity(16);
                for word in [preferred_s, addition.lifetime_s, 0, 0] {
                    cache.extend_from_slice(&word.to_ne_bytes());
                }
                w.attr(6, &cache);
                w.attr(8, &(route_flag | dad_flag).to_ne_bytes());
                w.attr(11, &[PROTOCOL]);
            })
            .map(|_| ())
    }

    /// Removes the address; `false` when it was not there.
    pub(crate) fn delete(&mut self, vip: Vip, index: u32) -> Result<bool, Errno> {
        let header = address_header(vip, index);
        let answer = self.socket.request(DEL_ADDRESS, 0, &header, |w| {
            let octets = octets(vip.address);
            w.attr(2, &octets);
            w.attr(1, &octets);
        });
        match answer {
            Ok(_) => Ok(true),
            Err(Errno::ADDRNOTAVAIL | Errno::NODEV) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// Lets the other addresses of a subnet survive the removal of the first one (`promote_secondaries`): without it
    /// the kernel removes them all, the node's own included.
    pub(crate) fn keep_secondaries(&mut self, index: u32) -> Result<(), Errno> {
        const AF_SPEC: u16 = 26;
        const AF_INET: u16 = 2;
        const INET_CONF: u16 = 1;
        const PROMOTE_SECONDARIES: u16 = 20;
        let mut header = [0; 16];
        header[4..8].copy_from_slice(&index.to_ne_bytes());
        self.socket
            .request(SET_LINK, 0, &header, |w| {
                w.nest(AF_SPEC, |families| {
                    families.nest(AF_INET, |inet| {
                        inet.nest(INET_CONF, |conf| {
                            conf.attr(PROMOTE_SECONDARIES, &1_u32.to_ne_bytes())
                        });
                    });
                });
            })
            .map(|_| ())
    }

    /// The interface by which packets to the address would leave.
    pub(crate) fn route_to(&mut self, address: IpAddr) -> Option<u32> {
        const ROUTE_INTERFACE: u16 = 4;
        let route = self.route(address)?;
        attribute(route.payload.get(ROUTE_HEADER_LEN..)?, ROUTE_INTERFACE).and_then(u32_ne)
    }

    /// Whether packets to the address are delivered on this machine.
    pub(crate) fn is_delivered_here(&mut self, address: IpAddr) -> bool {
        const LOCAL: u8 = 2;
        self.route(address)
            .is_some_and(|route| route.payload.get(7) == Some(&LOCAL))
    }

    fn route(&mut self, address: IpAddr) -> Option<Reply> {
        const DESTINATION: u16 = 1;
        let mut header = [0; ROUTE_HEADER_LEN];
        header[0] = family(address);
        header[1] = if address.is_ipv4() { 32 } else { 128 };
        let octets = octets(address);
        let replies = self
            .socket
            .request(GET_ROUTE, 0, &header, |w| w.attr(DESTINATION, &octets));
        replies.ok()?.into_iter().next()
    }

    /// Whether this process may change the network namespace, by a request that changes nothing.
    pub(crate) fn may_change(&mut self) -> Result<(), Errno> {
        let nowhere = Vip {
            address: IpAddr::from([192, 0, 2, 1]),
            prefix: 32,
        };
        self.delete(nowhere, u32::try_from(i32::MAX).unwrap_or(1))
            .map(|_| ())
    }
}

/// Reads a link notification or dump entry.
pub(crate) fn link_of(reply: &Reply) -> Option<Link> {
    let index = u32_ne(reply.payload.get(4..)?)?;
    let flags = u32_ne(reply.payload.get(8..)?)?;
    let attributes = reply.payload.get(16..)?;
    Some(Link {
        index,
        name: attribute(attributes, 3).map(text)?.to_owned(),
        mac: attribute(attributes, 1)
            .and_then(|mac| <[u8; 6]>::try_from(mac).ok())
            .map(Mac),
        up: reply.kind != DEL_LINK && flags & IFF_UP != 0 && flags & IFF_RUNNING != 0,
        loopback: flags & IFF_LOOPBACK != 0,
    })
}

/// Reads an address notification or dump entry.
pub(crate) fn address_of(reply: &Reply) -> Option<Assigned> {
    let [_, prefix, short_flags, _] = *reply.payload.first_chunk()?;
    let index = u32_ne(reply.payload.get(4..)?)?;
    let attributes = reply.payload.get(8..)?;
    let octets = attribute(attributes, 2).or_else(|| attribute(attributes, 1))?;
    let address = match (<[u8; 4]>::try_from(octets), <[u8; 16]>::try_from(octets)) {
        (Ok(v4), _) => IpAddr::from(v4),
        (_, Ok(v6)) => IpAddr::from(v6),
        _ => return None,
    };
    let flags = attribute(attributes, 8)
        .and_then(u32_ne)
        .unwrap_or(u32::from(short_flags));
    Some(Assigned {
        vip: Vip { address, prefix },
        index,
        ours: attribute(attributes, 11) == Some(&[PROTOCOL]),
        flags,
    })
}

impl Assigned {
    /// Whether it was added without a route to its subnet.
    pub(crate) fn no_prefix_route(&self) -> bool {
        self.flags & IFA_F_NOPREFIXROUTE != 0
    }

    /// Whether the address's subnet contains another address.
    pub(crate) fn covers(&self, other: IpAddr) -> bool {
        let (mine, theirs, width) = match (self.vip.address, other) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                (u128::from(a.to_bits()), u128::from(b.to_bits()), 32)
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits(), b.to_bits(), 128),
            _ => return false,
        };
        let host_bits = width - u32::from(self.vip.prefix).min(width);
        (mine ^ theirs).checked_shr(host_bits).unwrap_or(0) == 0
    }
}

fn address_header(vip: Vip, index: u32) -> [u8; 8] {
    const SCOPE_HOST: u8 = 254;
    let scope = if vip.address.is_loopback() {
        SCOPE_HOST
    } else {
        0
    };
    let [a, b, c, d] = index.to_ne_bytes();
    [family(vip.address), vip.prefix, 0, scope, a, b, c, d]
}

fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { 2 } else { 10 }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}
