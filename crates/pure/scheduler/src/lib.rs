//! The resource scheduler: from a cluster's configuration and history to where everything belongs,
//! what has to be done for it, and what is there once that is done.
//!
//! Pure: the same input gives the same answer, with no clock and no I/O. Not for reading any format
//! and not for carrying anything out.

#![deny(
    clippy::wildcard_enum_match_arm,
    clippy::float_arithmetic,
    clippy::indexing_slicing
)]
#![warn(missing_docs)]

mod account;
mod actions;
mod arena;
mod assign;
mod build;
mod clones;
mod collective;
mod colocate;
mod constrain;
mod failures;
mod fencing;
mod history;
pub mod inject;
pub mod input;
mod instances;
mod internal;
mod leftovers;
mod migrated;
mod names;
mod online;
mod order_nodes;
pub mod outcome;
mod probes;
mod promote;
mod recorder;
mod relate;
mod remedy;
mod result;
pub mod role;
mod rules;
mod schedule;
pub mod score;
mod settings;
mod simulate;
mod slots;
pub mod sort;
mod tickets;
mod transitions;
mod utilization;
mod work;

pub use account::{InstanceAccount, NodeAccount, Part, account};
pub use outcome::{NodeOutcome, Outcome, ResourceOutcome, Step};
pub use remedy::{Elsewhere, elsewhere};
pub use schedule::plan;
pub use simulate::simulate;
