//! Invariant 5: a stale leader, plan, grant or report changes nothing.
//!
//! The plan in force never goes back, a node's report never goes back to an earlier run of its
//! agent, and nothing is started for a plan that the node has durably promised to refuse.

use crate::{truth::place, world::World};
use standfast_model::plan::PlanNumber;

pub(crate) fn after_step(world: &mut World, node: usize) {
    let Some(core) = &world.nodes[node].core else {
        return;
    };
    let state = core.inspect().state;
    let of = &world.truth.nodes[node];
    if state.plan.number == of.plan {
        return;
    }
    if state.plan.number < of.plan {
        let text = format!(
            "n{}: plan {} came into force after plan {}",
            node + 1,
            state.plan.number,
            of.plan
        );
        world.broken(5, text);
        return;
    }
    let number = state.plan.number;
    world.truth.nodes[node].plan = number;
}

/// What the durable promise refuses may not start.
pub(crate) fn on_start(world: &mut World, node: usize, resource: usize, since: PlanNumber) {
    let name = world.scenario.resources[resource].clone();
    let promise = world.nodes[node].disk.durable.promise;
    let Some(plan) = world.truth.plan_at(promise.max(since)) else {
        return;
    };
    let me = &world.nodes[node].name;
    let ours = place(plan, &name).is_some_and(|(_, owner, of)| owner == Some(me) && of == since);
    if !ours && plan.number > since {
        let text = format!(
            "{name} starts on n{} for plan {since}, although the node has promised plan {promise}, which does not give \
             it that",
            node + 1
        );
        world.broken(5, text);
    }
}
