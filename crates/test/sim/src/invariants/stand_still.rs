//! Invariant 16: while the cluster only observes, and while a group is in maintenance, nothing is started
//! and nothing is stopped.
//!
//! What counts is what the core itself had applied before its step and after it. What has lost its
//! lease is over, and a last stop without grace clears it away.

use crate::{coverage::Case, world::World};
use standfast_model::{effect::Effect, id::ResourceId, time::Micros};
use std::collections::BTreeSet;

pub(crate) fn after_step(world: &mut World, node: usize, effects: &[Effect]) {
    let Some(core) = &world.nodes[node].core else {
        return;
    };
    let state = core.inspect().state;
    let observes = state.config.observes();
    let kept = state
        .plan
        .groups
        .values()
        .any(|assignment| assignment.maintenance);
    let before = &world.truth.nodes[node].untouchable;
    if !observes && !kept {
        if !before.is_empty() {
            world.truth.nodes[node].untouchable.clear();
        }
        return;
    }
    let me = &world.nodes[node].name;
    let untouchable: BTreeSet<usize> = if observes {
        (0..world.scenario.resources.len()).collect()
    } else {
        let ours =
            state.plan.groups.values().filter(|assignment| {
                assignment.maintenance && assignment.node.as_ref() == Some(me)
            });
        let names = ours.flat_map(|assignment| &assignment.members);
        names
            .filter_map(|name| world.resource_number(name))
            .collect()
    };
    let left_alone = |name: &ResourceId| {
        let number = world.resource_number(name);
        number.filter(|number| before.contains(number) && untouchable.contains(number))
    };
    let touched = effects.iter().find_map(|effect| match effect {
        Effect::Start(start) => left_alone(&start.resource).map(|at| ("starts", at)),
        Effect::Stop { resource, grace } if *grace > Micros::ZERO => {
            left_alone(resource).map(|at| ("stops", at))
        }
        _ => None,
    });
    let idle = |number: &usize| !world.nodes[node].units[*number].active;
    let stands_still = observes && before.iter().any(idle);
    if stands_still {
        world.hit(Case::StoodStill);
    }
    if let Some((does, resource)) = touched {
        let why = if observes {
            "the cluster only observes"
        } else {
            "it is in maintenance"
        };
        let text = format!(
            "n{} {does} {}, although {why}",
            node + 1,
            world.scenario.resources[resource]
        );
        world.broken(16, text);
    }
    world.truth.nodes[node].untouchable = untouchable;
}
