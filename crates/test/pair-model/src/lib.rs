//! Checks the pair (`crates/pure/pair`) exhaustively within bounds: two machines, one arbiter, and every
//! order of events, with losses of power, restarts, late, repeated and lost words, lost and rolled-back
//! disks, failing and lying fence devices, and an operator.
//!
//! `world` is what there is and what an action does to it, `actions` what can happen next, `properties`
//! what always has to hold, `heal` how a pair has to come back once faults stop, `bounds` how far it goes.
//!
//! Not for time: that is `clock` in the pair's own crate, with tests of its own.

pub mod actions;
pub mod bounds;
pub mod heal;
pub mod properties;
pub mod run;
pub mod world;
