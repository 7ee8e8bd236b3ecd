//! Consensus behind a narrow interface of our own, on the crate `raft`.
//!
//! Not for deciding who may hold what: being the leader here never counts as a permission.
#![deny(
    clippy::wildcard_enum_match_arm,
    clippy::float_arithmetic,
    clippy::indexing_slicing
)]
#![warn(missing_docs)]

mod api;
mod check;
mod log;
mod member;
mod output;
mod wire;

#[cfg(test)]
mod tests;

pub use api::{Committed, ConsensusError, MemberChange, Output, Persist, Refusal, Role, Settings};
pub use member::Consensus;
pub use wire::is_heartbeat;
