//! The conditions of which the guard's rules are made. Not for which rules there are.

use super::{ATTR_DATA_VALUE, ATTR_LIST_ITEM, Set};
use crate::netlink::Writer;

const REGISTER: u32 = 1;

/// Which address of a packet.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    Ip4Source,
    Ip4Target,
    Ip6Source,
    Ip6Target,
    /// Target of a neighbour advertisement (RFC 4861 section 4.4).
    NdTarget,
    /// Sender protocol address of ARP over Ethernet (RFC 826).
    ArpSender,
}

impl Part {
    /// Header (1 network, 2 transport), offset, length.
    fn place(self) -> (u32, u32, u32) {
        match self {
            Self::Ip4Source => (1, 12, 4),
            Self::Ip4Target => (1, 16, 4),
            Self::Ip6Source => (1, 8, 16),
            Self::Ip6Target => (1, 24, 16),
            Self::NdTarget => (2, 8, 16),
            Self::ArpSender => (1, 14, 4),
        }
    }
}

pub(super) const FIB_SOURCE: u32 = 1;
pub(super) const FIB_TARGET: u32 = 2;

/// The expressions of one rule: each is a condition that has to hold for the next to be looked at.
pub(super) struct Expressions<'a>(&'a mut Writer);

impl<'a> Expressions<'a> {
    pub(super) fn new(list: &'a mut Writer) -> Self {
        Self(list)
    }

    fn expression(&mut self, name: &str, fill: impl FnOnce(&mut Writer)) {
        self.0.nest(ATTR_LIST_ITEM, |item| {
            item.attr_text(1, name);
            item.nest(2, fill);
        });
    }

    fn load(&mut self, (base, offset, length): (u32, u32, u32)) {
        self.expression("payload", |e| {
            e.attr_be32(1, REGISTER);
            e.attr_be32(2, base);
            e.attr_be32(3, offset);
            e.attr_be32(4, length);
        });
    }

    fn equals(&mut self, value: &[u8]) {
        self.expression("cmp", |e| {
            e.attr_be32(1, REGISTER);
            e.attr_be32(2, 0);
            e.nest(3, |data| data.attr(ATTR_DATA_VALUE, value));
        });
    }

    fn meta_is(&mut self, key: u32, value: u8) {
        self.expression("meta", |e| {
            e.attr_be32(1, REGISTER);
            e.attr_be32(2, key);
        });
        self.equals(&[value]);
    }

    /// `meta nfproto ipv4|ipv6`.
    pub(super) fn protocol_is(&mut self, v6: bool) {
        self.meta_is(15, if v6 { 10 } else { 2 });
    }

    /// ICMPv6 type 136.
    pub(super) fn is_neighbour_advertisement(&mut self) {
        self.meta_is(16, 58);
        self.load((2, 0, 1));
        self.equals(&[136]);
    }

    /// In `managed` and not in `live`.
    pub(super) fn address_is_silent(&mut self, part: Part) {
        let place = part.place();
        let v6 = place.2 == 16;
        self.load(place);
        for (set, invert) in [(Set::Managed, 0), (Set::Live, 1)] {
            self.expression("lookup", |e| {
                e.attr_text(1, set.name(v6));
                e.attr_be32(2, REGISTER);
                e.attr_be32(5, invert);
            });
        }
    }

    /// `fib saddr|daddr type local`: the address is configured on this machine.
    pub(super) fn is_local(&mut self, which: u32) {
        self.expression("fib", |e| {
            e.attr_be32(1, REGISTER);
            e.attr_be32(2, 3);
            e.attr_be32(3, which);
        });
        self.equals(&2_u32.to_ne_bytes());
    }

    pub(super) fn drop_packet(&mut self) {
        self.expression("immediate", |e| {
            e.attr_be32(1, 0);
            e.nest(2, |data| data.nest(2, |verdict| verdict.attr_be32(1, 0)));
        });
    }
}
