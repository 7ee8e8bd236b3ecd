//! Invariant 19: an act of fencing is carried out by one node at a time, comes to an end, and a machine that goes on
//! after it was said to be off is noticed. The cluster by itself fences each run once, and none that is back (judged in
//! `world::fencing`). What needs fencing is started elsewhere only when its machine released it or has lost its power.
//! (That a failed act releases nothing is invariants 1 and 2.)

use crate::{
    coverage::Case,
    invariants::early_start,
    node::{Agent, Machine},
    world::World,
};
use standfast_model::{fence_act::FenceOutcome, plan::PlanNumber};

/// Once everything is healed and has settled: what is left that should not be.
pub(crate) fn left_over(world: &World) -> Option<String> {
    let leader = world.leader()?;
    let core = world.nodes[leader].core.as_ref()?;
    for act in &core.inspect().state.fences {
        let Some(number) = world.number_of(&act.node) else {
            continue;
        };
        let node = &world.nodes[number];
        if act.is_under_way() {
            return Some(format!(
                "the fencing of {} ({}) has not come to an end",
                act.node, act.id
            ));
        }
        let runs = node.machine == Machine::On && node.agent == Agent::Running;
        if act.says_off() && runs && node.incarnation == act.incarnation {
            return Some(format!(
                "{} is said to be off since act {}, and the same run of its agent goes on unnoticed",
                act.node, act.id
            ));
        }
    }
    None
}

/// How the acts that are remembered at the end came out.
pub(crate) fn count(world: &mut World) {
    let Some(core) = world
        .leader()
        .and_then(|leader| world.nodes[leader].core.as_ref())
    else {
        return;
    };
    let outcomes = core.inspect().state.fences.iter().map(|act| act.outcome);
    let outcomes: Vec<FenceOutcome> = outcomes.collect();
    for outcome in outcomes {
        match outcome {
            FenceOutcome::Off => world.hit(Case::FenceOff),
            FenceOutcome::Failed => world.hit(Case::FenceFailed),
            FenceOutcome::Void => world.hit(Case::FenceVoid),
            FenceOutcome::CalledOff => world.hit(Case::FenceCalledOff),
            FenceOutcome::Confirmed | FenceOutcome::UnderWay => {}
        }
    }
}

/// What needs fencing begins to run. A device that lies is more than what is claimed to be survived.
pub(crate) fn on_start(world: &mut World, node: usize, resource: usize, since: PlanNumber) {
    let name = world.scenario.resources[resource].clone();
    let settings = world.scenario.config.resources.get(&name);
    if !settings.is_some_and(|settings| settings.needs_fencing) {
        return;
    }
    let Some(last) = world.truth.last_ran[resource].filter(|last| *last != node) else {
        return;
    };
    let ran_at = world.truth.ran_at[resource];
    let holder = &world.nodes[last];
    if holder.disk.durable.promise >= since {
        return;
    }
    // It was in no group for a while: the plan without it is what was promised, on a disk that may have been lost since.
    let ran = (&name, world.truth.ran_since[resource]);
    if early_start::is_refused_by(world, last, ran, world.truth.nodes[last].promised) {
        return;
    }
    if world.truth.lost_power[last] >= ran_at {
        world.hit(Case::StartAfterFence);
        return;
    }
    if world.was_lied_about(last, ran_at) {
        return;
    }
    let text = format!(
        "{name}, which needs fencing, starts on n{}, and n{} has not released it and was not without power since it ran there",
        node + 1,
        last + 1
    );
    world.broken(19, text);
}
