//! Everything that touches IP addresses on this machine: the `vip` driver and the address guard.
//!
//! An edge: it carries out one kind of effect and reports what happened. It never decides who may hold an address;
//! the deadline of the lease comes with every call, as nanoseconds of `CLOCK_BOOTTIME`.
//!
//! | part | what it does |
//! |---|---|
//! | [`AddressDriver`] | what the agent calls: prepare, start, extend, repair, stop, reconfigure, adopt |
//! | [`AddressGuard`] | nftables sets with timeouts: the kernel silences an address at its deadline, agent alive or not |
//! | [`probe_conflict`] | asks the link, for 50 ms, who has the addresses |
//! | [`probe_support`] | what this machine offers, and why not |
//! | [`AddressEvent`] | what the watching thread reports: address lost, link, gateway, conflict, guard restored |
//!
//! All of it speaks netlink and raw sockets itself; no program is started. It works with `CAP_NET_ADMIN` and
//! `CAP_NET_RAW` over the network namespace only, so also inside unprivileged user and network namespaces.
//!
//! Two layers end a lease without the agent: the guard (a few milliseconds) and the kernel's own address lifetime
//! (`valid_lft`, whole seconds, see [`LIFETIME_BACKSTOP_LATE`]).

mod clock;
mod driver;
mod error;
mod event;
mod filter;
mod guard;
mod netlink;
mod nft;
mod packet;
mod probe;
mod route;
mod spec;
mod support;

pub use clock::boot_now_ns;
pub use driver::{
    AddressConfig, AddressDriver, AddressStatus, Adopted, Extended, LIFETIME_BACKSTOP_LATE,
    VipStatus,
};
pub use error::AddressError;
pub use event::AddressEvent;
pub use guard::{AddressGuard, GuardExtended};
pub use probe::{ConflictReport, PROBE_ROUND, Probed, probe_conflict};
pub use spec::{Mac, Vip, VipSpec};
pub use support::{Support, probe_support};
