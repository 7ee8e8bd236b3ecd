//! The vocabulary that every part of Standfast shares: identifiers, time, configuration, plans,
//! the replicated state, messages, and the events and effects of the core.
//!
//! Types only, with the small arithmetic that belongs to them. Nothing here decides anything and
//! nothing here touches the world.
#![deny(
    clippy::wildcard_enum_match_arm,
    clippy::float_arithmetic,
    clippy::indexing_slicing
)]
#![warn(missing_docs)]

pub mod agent;
pub mod attribute;
pub mod authority;
pub mod change;
pub mod command;
pub mod config;
pub mod constraint;
pub mod copies;
pub mod effect;
pub mod event;
pub mod fence;
pub mod fence_act;
pub mod guards;
pub mod history;
pub mod id;
pub mod message;
pub mod order;
pub mod outage;
pub mod pair;
pub mod plan;
pub mod planted;
pub mod query;
pub mod request;
pub mod simulation;
pub mod state;
pub mod time;

/// Version of the messages and commands that this build speaks. Sent with every message; a node
/// refuses to talk to a feature level that it does not know how to read.
///
/// | level | new |
/// |---|---|
/// | 1 | everything that is not named below |
/// | 2 | drafts of configurations; observing; secret files; keys that nodes renew |
/// | 3 | fence devices, and acts of fencing; another authority; acts in the journal |
/// | 4 | resource agents; orders for groups; `fence_action`; ping targets, addresses of a pair, and what it fenced; constraints between groups, attributes of nodes and locations; groups with copies |
pub const FEATURE_LEVEL: u32 = 4;
