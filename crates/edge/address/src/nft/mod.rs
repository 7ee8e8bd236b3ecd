//! nftables messages: the tables, sets, chains and rules of the guard, as bytes. Not for when to send them: `guard`.
//!
//! What the rules say (families `inet` and `arp`, every chain accepts by default, *mine* = in `managed` and not in `live`):
//!
//! | chain | drops |
//! |---|---|
//! | inet `in`, prerouting | to a silent address that this machine has itself (`fib daddr type local`) |
//! | inet `out`, output | from a silent address; neighbour advertisements whose target is one |
//! | inet `forwarded`, postrouting | from a silent address that this machine has itself: answers translated back from a container |
//! | arp `out`, output | any ARP packet whose sender is a silent address: replies, announcements, requests |
//!
//! So the other machine that owns the address now can be talked to, its announcements are heard, and only this
//! machine's own use of it is stopped. Chains run before connection tracking and before address translation.

mod rules;

use crate::netlink::{Writer, flags};
use rules::{Expressions, FIB_SOURCE, FIB_TARGET, Part};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

const SUBSYSTEM: u16 = 10 << 8;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;

/// Message types with the subsystem (linux/netfilter/nf_tables.h).
pub(crate) mod kind {
    pub(crate) const NEW_TABLE: u16 = super::SUBSYSTEM;
    pub(crate) const DEL_TABLE: u16 = super::SUBSYSTEM | 2;
    pub(crate) const NEW_CHAIN: u16 = super::SUBSYSTEM | 3;
    pub(crate) const GET_CHAIN: u16 = super::SUBSYSTEM | 4;
    pub(crate) const NEW_RULE: u16 = super::SUBSYSTEM | 6;
    pub(crate) const GET_RULE: u16 = super::SUBSYSTEM | 7;
    pub(crate) const NEW_SET: u16 = super::SUBSYSTEM | 9;
    pub(crate) const GET_SET: u16 = super::SUBSYSTEM | 10;
    pub(crate) const NEW_ELEMENT: u16 = super::SUBSYSTEM | 12;
    pub(crate) const GET_ELEMENT: u16 = super::SUBSYSTEM | 13;
    pub(crate) const DEL_ELEMENT: u16 = super::SUBSYSTEM | 14;
}

pub(crate) const INET: u8 = 1;
pub(crate) const ARP: u8 = 3;

/// `NFTA_*` attribute numbers that reading needs too. Attribute 1 of every object is its table's name.
pub(crate) const ATTR_TABLE: u16 = 1;
pub(crate) const ATTR_CHAIN_NAME: u16 = 3;
pub(crate) const ATTR_RULE_CHAIN: u16 = 2;
pub(crate) const ATTR_SET_NAME: u16 = 2;
pub(crate) const ATTR_ELEMENTS: u16 = 3;
pub(crate) const ATTR_LIST_ITEM: u16 = 1;
pub(crate) const ATTR_ELEMENT_KEY: u16 = 1;
pub(crate) const ATTR_ELEMENT_EXPIRATION: u16 = 5;
pub(crate) const ATTR_DATA_VALUE: u16 = 1;
const ATTR_ELEMENT_TIMEOUT: u16 = 4;

const SET_HAS_TIMEOUTS: u32 = 0x10;
/// If ever an element came without its own timeout it must still end: the set's default.
const DEFAULT_TIMEOUT: Duration = Duration::from_millis(100);

/// The sets: `managed` and `live` once per address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Set {
    /// Addresses that are guarded.
    Managed,
    /// Those of them that may speak, each with its timeout.
    Live,
    /// Short-lived keys by which a transaction notices that it comes late.
    Token,
}

impl Set {
    pub(crate) fn name(self, v6: bool) -> &'static str {
        match (self, v6) {
            (Self::Managed, false) => "managed4",
            (Self::Managed, true) => "managed6",
            (Self::Live, false) => "live4",
            (Self::Live, true) => "live6",
            (Self::Token, _) => "tokens",
        }
    }
}

/// Chain names of a family with the number of rules each has: what `guard` compares with the kernel's.
pub(crate) fn expected_chains(family: u8) -> &'static [(&'static str, usize)] {
    if family == ARP {
        &[("out", 1)]
    } else {
        &[("in", 2), ("out", 3), ("forwarded", 2)]
    }
}

/// Set names of a family.
pub(crate) fn expected_sets(family: u8) -> &'static [&'static str] {
    if family == ARP {
        &["managed4", "live4"]
    } else {
        &["managed4", "live4", "managed6", "live6", "tokens"]
    }
}

/// An nftables transaction in the making: everything in it happens at once or not at all.
#[derive(Debug)]
pub(crate) struct Batch<'a> {
    table: &'a str,
    writer: Writer,
    sequence: u32,
}

impl<'a> Batch<'a> {
    pub(crate) fn new(table: &'a str, sequence: u32) -> Self {
        let mut writer = Writer::default();
        writer.message(BATCH_BEGIN, flags::REQUEST, sequence, &header(0, 10));
        Self {
            table,
            writer,
            sequence,
        }
    }

    /// The finished bytes, and the sequence number of the last message: the one that will be acknowledged.
    pub(crate) fn finish(mut self) -> (Writer, u32) {
        self.writer.add_flags(flags::ACK);
        self.writer
            .message(BATCH_END, flags::REQUEST, self.sequence, &header(0, 10));
        (self.writer, self.sequence)
    }

    pub(crate) fn add_table(&mut self, family: u8) {
        self.start(kind::NEW_TABLE, family, flags::CREATE);
    }

    pub(crate) fn delete_table(&mut self, family: u8) {
        self.start(kind::DEL_TABLE, family, 0);
    }

    /// Sets, chains and rules of one family. The table must have been added and be empty.
    pub(crate) fn add_structure(&mut self, family: u8) {
        for v6 in [false, true] {
            if family == ARP && v6 {
                continue;
            }
            self.add_set(family, Set::Managed, v6);
            self.add_set(family, Set::Live, v6);
        }
        if family == ARP {
            self.add_chain(family, "out", 1, -310);
            self.add_rule(family, "out", |e| e.address_is_silent(Part::ArpSender));
            return;
        }
        self.add_set(family, Set::Token, false);
        self.add_chain(family, "in", 0, -310);
        self.add_chain(family, "out", 3, -310);
        self.add_chain(family, "forwarded", 4, 310);
        for v6 in [false, true] {
            let (source, target) = if v6 {
                (Part::Ip6Source, Part::Ip6Target)
            } else {
                (Part::Ip4Source, Part::Ip4Target)
            };
            self.add_rule(family, "in", |e| {
                e.protocol_is(v6);
                e.address_is_silent(target);
                e.is_local(FIB_TARGET);
            });
            self.add_rule(family, "out", |e| {
                e.protocol_is(v6);
                e.address_is_silent(source);
            });
            self.add_rule(family, "forwarded", |e| {
                e.protocol_is(v6);
                e.address_is_silent(source);
                e.is_local(FIB_SOURCE);
            });
        }
        self.add_rule(family, "out", |e| {
            e.protocol_is(true);
            e.is_neighbour_advertisement();
            e.address_is_silent(Part::NdTarget);
        });
    }

    /// Adds addresses to a set in every family that has it. `exclusive` refuses (`EEXIST`) one that is there already.
    pub(crate) fn add_elements(
        &mut self,
        set: Set,
        addresses: &[IpAddr],
        timeout: Option<Duration>,
        exclusive: bool,
    ) {
        let extra = flags::CREATE | if exclusive { flags::EXCL } else { 0 };
        self.elements((kind::NEW_ELEMENT, extra), set, addresses, timeout);
    }

    /// Removes addresses from a set in every family that has it; the transaction fails (`ENOENT`) when one is absent
    /// or has expired.
    pub(crate) fn delete_elements(&mut self, set: Set, addresses: &[IpAddr]) {
        self.elements((kind::DEL_ELEMENT, 0), set, addresses, None);
    }

    /// The same in one family only.
    pub(crate) fn delete_element(&mut self, family: u8, set: Set, address: IpAddr) {
        self.elements_of(
            (kind::DEL_ELEMENT, 0),
            set,
            (family, address.is_ipv6()),
            &[address],
            None,
        );
    }

    /// Adds the guard's token, see `guard`.
    pub(crate) fn add_token(&mut self, token: Ipv4Addr, lifetime: Duration) {
        self.token((kind::NEW_ELEMENT, flags::CREATE), token, Some(lifetime));
    }

    /// Deletes the token; the transaction fails when it has expired.
    pub(crate) fn delete_token(&mut self, token: Ipv4Addr) {
        self.token((kind::DEL_ELEMENT, 0), token, None);
    }

    fn token(&mut self, what: (u16, u16), token: Ipv4Addr, lifetime: Option<Duration>) {
        self.elements_of(what, Set::Token, (INET, false), &[token.into()], lifetime);
    }

    fn elements(
        &mut self,
        what: (u16, u16),
        set: Set,
        addresses: &[IpAddr],
        timeout: Option<Duration>,
    ) {
        for place in [(INET, false), (INET, true), (ARP, false)] {
            let of_place: Vec<IpAddr> = addresses
                .iter()
                .copied()
                .filter(|a| a.is_ipv6() == place.1)
                .collect();
            if !of_place.is_empty() {
                self.elements_of(what, set, place, &of_place, timeout);
            }
        }
    }

    fn elements_of(
        &mut self,
        (what, extra): (u16, u16),
        set: Set,
        (family, v6): (u8, bool),
        addresses: &[IpAddr],
        timeout: Option<Duration>,
    ) {
        self.start(what, family, extra);
        self.writer.attr_text(ATTR_SET_NAME, set.name(v6));
        self.writer.nest(ATTR_ELEMENTS, |list| {
            for address in addresses {
                list.nest(ATTR_LIST_ITEM, |item| element(item, *address, timeout));
            }
        });
    }

    fn add_set(&mut self, family: u8, set: Set, v6: bool) {
        let (key_type, key_len) = if v6 { (8, 16) } else { (7, 4) };
        self.start(kind::NEW_SET, family, flags::CREATE);
        self.writer.attr_text(ATTR_SET_NAME, set.name(v6));
        self.writer.attr_be32(
            3,
            if set != Set::Managed {
                SET_HAS_TIMEOUTS
            } else {
                0
            },
        );
        self.writer.attr_be32(4, key_type);
        self.writer.attr_be32(5, key_len);
        // An identifier is mandatory, but rules here refer to sets by name.
        self.writer.attr_be32(10, 1);
        if set != Set::Managed {
            self.writer.attr_be64(11, milliseconds(DEFAULT_TIMEOUT));
        }
    }

    fn add_chain(&mut self, family: u8, name: &str, hook: u32, priority: i32) {
        self.start(kind::NEW_CHAIN, family, flags::CREATE);
        self.writer.attr_text(ATTR_CHAIN_NAME, name);
        self.writer.nest(4, |h| {
            h.attr_be32(1, hook);
            h.attr(2, &priority.to_be_bytes());
        });
        self.writer.attr_text(7, "filter");
    }

    fn add_rule(&mut self, family: u8, chain: &str, fill: impl FnOnce(&mut Expressions<'_>)) {
        self.start(kind::NEW_RULE, family, flags::CREATE | flags::APPEND);
        self.writer.attr_text(ATTR_RULE_CHAIN, chain);
        self.writer.nest(4, |list| {
            let mut expressions = Expressions::new(list);
            fill(&mut expressions);
            expressions.drop_packet();
        });
    }

    fn start(&mut self, what: u16, family: u8, extra: u16) {
        self.sequence = self.sequence.wrapping_add(1);
        self.writer.message(
            what,
            flags::REQUEST | extra,
            self.sequence,
            &header(family, 0),
        );
        self.writer.attr_text(ATTR_TABLE, self.table);
    }
}

/// `struct nfgenmsg`.
pub(crate) fn header(family: u8, resource: u16) -> [u8; 4] {
    let [high, low] = resource.to_be_bytes();
    [family, 0, high, low]
}

fn element(item: &mut Writer, address: IpAddr, timeout: Option<Duration>) {
    item.nest(ATTR_ELEMENT_KEY, |key| match address {
        IpAddr::V4(v4) => key.attr(ATTR_DATA_VALUE, &v4.octets()),
        IpAddr::V6(v6) => key.attr(ATTR_DATA_VALUE, &v6.octets()),
    });
    if let Some(timeout) = timeout {
        item.attr_be64(ATTR_ELEMENT_TIMEOUT, milliseconds(timeout));
    }
}

/// Whole milliseconds, rounded down: never later than the deadline.
fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
