//! The deterministic simulator: the real core on every node, in a world made from a seed, with
//! faults; seven invariants checked after every event.
//!
//! Start at [`start`] (command line), then `run` (one run), `world` (what happens), `invariants`
//! (what has to hold). The same seed gives the same run, to the last bit of its trace hash.
//!
//! Not here: real sockets, disks and processes (crate `lab`).

mod acts;
mod attributes;
mod clock;
mod command;
mod constraints;
mod copies;
mod coverage;
mod directed;
mod disk;
mod fault;
mod fencing;
mod invariants;
mod kernel;
mod measure;
mod network;
mod node;
mod orders;
mod pairs;
mod planted;
mod rng;
mod run;
mod scenario;
mod schedule;
mod seeds;
mod sequence;
mod shrink;
mod timeline;
mod truth;
mod world;

pub use command::{Options, start};

#[cfg(test)]
mod regressions;
#[cfg(test)]
mod upgrades;
