//! Netlink as this crate needs it: requests, dumps, batches and notifications. Knows neither nftables nor routing.
//!
//! Own encoder rather than a crate: the `netlink-packet-*` family has no nftables messages, `rustables` is GPL and
//! `nftables` starts the `nft` program. What is needed of the format is the two hundred lines of `wire` and `socket`.

mod socket;
mod wire;

pub(crate) use socket::{NetlinkSocket, Refusal, Reply};
pub(crate) use wire::{Attributes, Writer, attribute, text, u32_ne, u64_be};

/// `NLM_F_*` (linux/netlink.h).
pub(crate) mod flags {
    pub(crate) const REQUEST: u16 = 0x1;
    pub(crate) const ACK: u16 = 0x4;
    pub(crate) const DUMP: u16 = 0x300;
    pub(crate) const REPLACE: u16 = 0x100;
    pub(crate) const EXCL: u16 = 0x200;
    pub(crate) const CREATE: u16 = 0x400;
    pub(crate) const APPEND: u16 = 0x800;
    /// On an answer: the dump raced with a change and has to be repeated.
    pub(crate) const DUMP_INTERRUPTED: u16 = 0x10;
}
