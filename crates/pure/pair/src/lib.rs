//! Two nodes that keep one primary between them, with one arbiter and without a third voter.
//!
//! ```text
//! event ──▶ Pair::step(event) ──▶ effects ──▶ edges ──▶ what happened = next event
//! ```
//!
//! | arbiter | the primary loses the secondary | the secondary loses the primary |
//! |---|---|---|
//! | fence device | runs on; confirms writes once the other's power is confirmed off | leads once the other's power is confirmed off |
//! | ping targets | goes on alone if a target answers before its lease ends, else stops | leads once the lease is over and a target answers |
//! | none | goes on alone | leads by an operator's `force_primary` only |
//!
//! The rules, and where they are:
//!
//! 1. A node goes on alone only if it leads, or was in sync since this run of its agent began, and the
//!    arbiter grants it: `on_peer_lost`, `settle`, `on_ping_grant` in `pair`.
//! 2. That it is alone is on the disk, in a generation of its own, before anything is confirmed alone:
//!    `Purpose::GoAlone`, `Purpose::Rise`. That it is alone no more is on the disk before the other one counts
//!    again: `Purpose::EndAlone`.
//! 3. A copy about which nothing is known is never taken for an old one: `Relation` in `history`.
//! 4. A node that started waits for its peer or an operator. It fences nobody: `Role::Waiting`. So a fence that
//!    hit both, or a network that stays away, starts no series of reboots.
//! 5. A failed fence releases nothing; what is said about another boot says nothing about this one; a
//!    packet of a boot that is off voids the fence: `on_fenced`, `void_fence`.
//! 6. Two nodes that wait agree by a numbered question and its promise, and the newer generation leads:
//!    `elect` in `meeting`. A copy with what the other one lacks is never overwritten: an operator
//!    chooses, with `rebuild` on the other.
//! 7. A planned change is handed over after everything is confirmed stopped: `Role::Releasing`, `Role::Handing`.
//!
//! `clock` turns readings of a clock into the events that are about time. `ping` has the rules for ping targets.
//!
//! Not for sockets, devices, disks, nor for the contents of what is replicated. Two nodes and a witness are
//! three voters, and not here.
#![deny(
    clippy::wildcard_enum_match_arm,
    clippy::float_arithmetic,
    clippy::indexing_slicing
)]
#![warn(missing_docs)]

mod asking;
pub mod clock;
mod copy;
mod event;
mod history;
mod meeting;
mod operator;
mod pair;
pub mod ping;
mod planted;
mod purpose;
mod sentence;

pub use event::{
    Alarm, BootId, Confirms, Contents, Effect, Event, FenceOutcome, Order, Record, Refusal, Role,
    Session, Settings, Word,
};
pub use history::{Beginning, Generation, History, MOST_GENERATIONS, Relation, Side};
pub use pair::Pair;
pub use planted::Planted;
pub use sentence::State;
