//! Invariant 2: no start elsewhere before released, fenced or expired.
//!
//! Stronger than invariant 1: it does not matter whether anything runs elsewhere, but whether
//! anything still could. Every other node's leases on the resource must be over by its own clock,
//! or its durable promise must refuse the instances that they are for.

use crate::{
    coverage::Case,
    node::{Agent, Machine},
    truth::place,
    world::World,
};
use standfast_model::{id::ResourceId, plan::PlanNumber};

pub(crate) fn on_start(world: &mut World, node: usize, resource: usize, since: PlanNumber) {
    let name = world.scenario.resources[resource].clone();
    for other in 0..world.nodes.len() {
        let holder = &world.nodes[other];
        if other == node || holder.machine != Machine::On || holder.agent == Agent::Down {
            continue;
        }
        let boot = holder.boot.read(world.time);
        let promise = holder.disk.durable.promise;
        let open = world.truth.nodes[other].leases.iter().find(|lease| {
            lease.resource == resource
                && lease.incarnation == holder.incarnation
                && lease.ends > boot
                && !refuses(world, other, &name, lease.since)
        });
        if let Some(lease) = open {
            let text = format!(
                "{name} starts on n{} (since {since}) while n{} may hold it for another {} us under plan {} \
                 (durable promise {promise})",
                node + 1,
                other + 1,
                lease.ends - boot,
                lease.plan
            );
            world.broken(2, text);
            return;
        }
    }
    let Some(last) = world.truth.last_ran[resource].filter(|last| *last != node) else {
        return;
    };
    let released = world.nodes[last].disk.durable.promise >= since;
    world.hit(if released {
        Case::StartAfterRelease
    } else {
        Case::StartAfterExpiry
    });
}

/// Whether the disk of a node has the promise that it starts nothing of that instance any more.
pub(crate) fn refuses(world: &World, node: usize, name: &ResourceId, since: PlanNumber) -> bool {
    let holder = &world.nodes[node];
    is_refused_by(world, node, (name, since), holder.disk.durable.promise)
}

/// Whether a node that has made that promise starts nothing of that instance any more.
pub(crate) fn is_refused_by(
    world: &World,
    node: usize,
    (name, since): (&ResourceId, PlanNumber),
    promise: PlanNumber,
) -> bool {
    let holder = &world.nodes[node];
    let gives = world
        .truth
        .plan_at(promise)
        .and_then(|plan| place(plan, name))
        .is_some_and(|(_, owner, of)| owner == Some(&holder.name) && of == since);
    promise > since && !gives
}
