//! Measurements: messages a second by number of nodes, with nothing going wrong.

use crate::{invariants::convergence, scenario::Scenario, world::World};
use standfast_model::config::{Profile, Timing};

/// Warm-up, then measured, seconds.
const WARM_UP: u64 = 20;
const MEASURED: u64 = 20;

/// Messages a second that a quiet cluster of this size sends, each counted once whatever its links. Of
/// more than seven nodes the others do not vote.
///
/// # Errors
/// What is wrong when an invariant is broken or the cluster has not settled.
pub(crate) fn messages(nodes: usize) -> Result<u64, String> {
    let mut scenario = Scenario::of_size(1, nodes);
    scenario.config.profile = Profile::Lan;
    scenario.config.timing = Timing::of(Profile::Lan);
    let mut world = World::new(scenario, Vec::new(), None);
    world.run_until(WARM_UP * 1_000_000);
    let before = world.messages;
    world.run_until((WARM_UP + MEASURED) * 1_000_000);
    if let Some(violation) = world.violation {
        return Err(violation.text);
    }
    if let Some(why) = convergence::unsettled(&world) {
        return Err(why);
    }
    Ok((world.messages - before) / MEASURED)
}
