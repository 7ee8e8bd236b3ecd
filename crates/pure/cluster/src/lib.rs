//! The core: `step` takes an event and the time, and gives effects. The same code runs in the
//! agent and in the simulator.
#![deny(
    clippy::wildcard_enum_match_arm,
    clippy::float_arithmetic,
    clippy::indexing_slicing
)]
#![warn(missing_docs)]

use standfast_model::{
    effect::Effect,
    event::{Event, Restored},
    guards::GuardSupport,
    id::{Incarnation, MemberId, NodeId},
    planted::Planted,
    time::{Micros, Now},
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
    /// A planted bug (simulator only; ignored without feature `planted`).
    pub planted: Option<Planted>,
}

/// One node's decisions.
#[derive(Debug)]
pub struct Core {}

impl Core {
    /// A core that has just started. The effects are to be carried out before the first event.
    #[must_use]
    pub fn new(_init: Init, _now: Now) -> (Self, Vec<Effect>) {
        (Self {}, Vec::new())
    }

    /// Takes one event.
    pub fn step(&mut self, _now: Now, _event: Event) -> Vec<Effect> {
        Vec::new()
    }

    /// How long until it wants `Event::Timer`, if nothing else happens before.
    #[must_use]
    pub fn next_wakeup(&self, _now: Now) -> Micros {
        Micros::MAX
    }
}
