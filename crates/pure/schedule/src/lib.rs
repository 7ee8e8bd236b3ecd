//! Placement: which node runs which group, why, and what has to be done for it. And how long a
//! failover is predicted to take.
//!
//! Placement here is simple (preference, stickiness, priority, exclusions, location, colocation). The seam for the full
//! scheduler is [`place`]: facts in, placement with reasons out. It keeps Pacemaker's arithmetic, so
//! that more kinds of constraint are more [`Reason`](standfast_model::plan::Reason)s and nothing else.
//!
//! Not for gathering the facts and not for numbering or executing a plan: that is crate `cluster`.
#![deny(
    clippy::wildcard_enum_match_arm,
    clippy::float_arithmetic,
    clippy::indexing_slicing
)]
#![warn(missing_docs)]

mod actions;
mod colocate;
mod copies;
pub mod interruption;
mod locate;
mod place;
pub mod rto;
mod score;
pub mod turns;

pub use actions::{actions, restart};
pub use place::{Facts, NodeFacts, Placement, place};
pub use score::add;
