//! Measurements: messages a second by number of nodes, with nothing going wrong.

use crate::{scenario::Scenario, world::World};
use standfast_model::config::{Profile, Timing};

/// Warm-up, then measured, seconds.
const WARM_UP: u64 = 20;
const MEASURED: u64 = 20;

/// Messages a second that a quiet cluster of this size sends, each counted once whatever its links.
pub(crate) fn messages(nodes: usize) -> u64 {
    let mut scenario = Scenario::of_size(1, nodes);
    scenario.config.profile = Profile::Lan;
    scenario.config.timing = Timing::of(Profile::Lan);
    let mut world = World::new(scenario, Vec::new(), None);
    world.run_until(WARM_UP * 1_000_000);
    let before = world.messages;
    world.run_until((WARM_UP + MEASURED) * 1_000_000);
    (world.messages - before) / MEASURED
}
