//! Invariant 1: at most one node is active for an exclusive resource at any instant.
//!
//! Active means that something of it exists: from the moment a start is carried out until it was
//! really stopped, killed, or its guard closed. A sleeping machine serves nobody and does not count;
//! its guards are checked before anything else when it wakes up.

use crate::{coverage::Case, world::World};

/// Starts that come so soon after the end elsewhere are the interesting ones, microseconds.
const CLOSE: u64 = 100_000;

pub(crate) fn on_start(world: &mut World, node: usize, resource: usize) {
    let name = world.scenario.resources[resource].clone();
    let elsewhere = world.runs_on(resource).find(|other| *other != node);
    if let Some(other) = elsewhere {
        let text = format!(
            "{name} starts on n{} while it is active on n{}",
            node + 1,
            other + 1
        );
        world.broken(1, text);
        return;
    }
    if world.truth.last_ran[resource].is_some_and(|last| last != node) {
        world.hit(Case::ActiveMoved);
        let close = |at: u64| at > 0 && world.time.saturating_sub(at) < CLOSE;
        let elsewhere = world.nodes.iter().enumerate();
        let just_ended = elsewhere
            .filter(|(other, _)| *other != node)
            .any(|(_, other)| close(other.units[resource].ended));
        if just_ended {
            world.hit(Case::ActiveElsewhereAtEnd);
        }
    }
}
