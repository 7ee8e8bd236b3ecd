//! The core: `step` takes an event and the time, and gives effects. The same code runs in the
//! agent and in the simulator.
//!
//! Start reading at [`Core::step`]. The state that all nodes share changes in `apply` only; what a
//! leader decides is in `deciding`, what it grants in `leading`, the leases of a node are in `holding`, and how
//! it carries a plan out in `running`.
#![deny(
    clippy::wildcard_enum_match_arm,
    clippy::float_arithmetic,
    clippy::indexing_slicing
)]
#![warn(missing_docs)]

mod adapting;
mod adoption;
mod apply;
mod asking;
mod authority;
mod checks;
mod committed;
mod configure;
mod configuring;
mod copies;
mod core;
mod deciding;
mod disk;
mod failures;
mod fences;
mod fencing;
mod foresight;
mod hold;
mod holding;
mod joining;
mod lead;
mod leading;
mod leaving;
mod local;
mod lost;
mod maintaining;
mod newcomers;
mod observing;
mod orders;
mod outages;
mod pair_ending;
mod pair_fence_act;
mod pair_fencing;
mod pair_moves;
mod pair_pings;
mod pair_words;
mod paired;
mod pairing;
mod preview;
mod promoting;
mod refound;
mod removal;
mod reporting;
mod returning;
mod running;
mod serving;
mod simulating;
mod stages;
mod stalls;
mod upgrading;
mod view;
mod voter;
mod voting;
mod watchdog;

pub use crate::core::Core;
pub use apply::apply;
pub use foresight::after_loss;
pub use refound::{NewCluster, Survey, longest_lease, refound, survey};
pub use simulating::replay;
pub use watchdog::Feeding;

use standfast_model::{
    event::Restored,
    guards::GuardSupport,
    id::{Incarnation, MemberId, NodeId},
    plan::PlanNumber,
    planted::Planted,
    state::ClusterState,
    time::Now,
};

/// What a core is made from.
#[derive(Clone, Debug)]
pub struct Init {
    /// This machine.
    pub node: NodeId,
    /// Its consensus identity as it was last known here (zero for none).
    pub member: MemberId,
    /// This run, drawn at random.
    pub incarnation: Incarnation,
    /// This start of the machine, drawn at random by its kernel.
    pub boot: u64,
    /// What the disk gave back. A fresh joiner has an empty one and learns the rest from the leader's snapshot.
    pub restored: Restored,
    /// Where members were last known to be: for a joiner that has no state yet.
    pub peers: Vec<(NodeId, Vec<String>)>,
    /// Seed of everything random.
    pub seed: u64,
    /// What this machine's kernel offers.
    pub guards: GuardSupport,
    /// Wall clock minus `CLOCK_BOOTTIME`, microseconds, for display only.
    pub wall_offset: u64,
    /// Feature level that it speaks: that of the build, or a lower one as an older build would.
    pub level: u32,
    /// A planted bug (simulator only; ignored without feature `planted`).
    pub planted: Option<Planted>,
}

/// What the simulator and tests may look at.
#[derive(Debug)]
pub struct Inspect<'a> {
    /// The replicated state as this node has applied it.
    pub state: &'a ClusterState,
    /// Consensus term.
    pub term: u64,
    /// Term in which this node leads, if it does.
    pub leads: Option<u64>,
    /// Index of the last command applied.
    pub applied: u64,
    /// The promise on its disk.
    pub promise: PlanNumber,
    /// Whether it takes part in consensus.
    pub votes: bool,
    /// Whether it has started and still asks the others what they remember of it.
    pub asks: bool,
    /// Its consensus identity.
    pub member: MemberId,
    /// When it asked for its restart, if it has and was not refused.
    pub restart_asked: Option<Now>,
    /// The pair that this node is one of.
    pub pair: Option<&'a standfast_pair::Pair>,
}
