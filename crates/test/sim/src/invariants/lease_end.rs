//! Invariant 4: a node without a lease has nothing exclusive active after its lease's end.
//!
//! The kernel ends a resource at its guard's deadline, so what has to be right is the deadline: it
//! may not lie beyond the end of a lease that a leader really gave, counted from when the request
//! was really sent; for a leader's own resources, beyond a lease's length after the last leadership
//! round that a majority acknowledged; and for a planned restart, beyond the committed grant.

use crate::{
    truth::{Lease, place},
    world::World,
};
use standfast_model::{
    id::ResourceId,
    message::LeaseRequest,
    plan::{Plan, PlanNumber},
    time::Now,
};

/// A guard is to stay open until a reading of the node's boot clock.
pub(crate) fn on_deadline(
    world: &mut World,
    node: usize,
    resource: usize,
    since: PlanNumber,
    deadline: u64,
) {
    let machine = &world.nodes[node];
    let of = &world.truth.nodes[node];
    let granted = of.lease_end(resource, machine.incarnation, since);
    let boot = machine.boot.read(world.time);
    if deadline <= granted || deadline <= boot {
        return;
    }
    if deadline <= of.restart_until {
        note_own(world, node, resource, since, deadline);
        return;
    }
    let own = machine.core.as_ref().map_or(0, |core| {
        let seen = core.inspect();
        let from = match of.led {
            // The only voter acknowledges its rounds to itself, and nobody sees them.
            Some(_) if of.voters.len() <= 1 => Some(boot),
            Some(term) => of
                .leadership_from(term, seen.member.0)
                .map(|from| from.boot),
            None => None,
        };
        // A round that it answered alone stands for a while after others have got votes.
        let from = from.max(of.alone_at);
        from.map_or(0, |from| from + of.longest_lease(boot))
    });
    if deadline <= own {
        note_own(world, node, resource, since, deadline);
        return;
    }
    let name = &world.scenario.resources[resource];
    let text = format!(
        "{name} on n{} is to run until {deadline} by its boot clock (now {boot}); its leases end at {granted}, as a \
         leader at {own}, for a restart at {}",
        node + 1,
        of.restart_until
    );
    world.broken(4, text);
}

/// A leader's leases of its own are not sent to anybody: what it acts on is the lease.
fn note_own(world: &mut World, node: usize, resource: usize, since: PlanNumber, deadline: u64) {
    let machine = &world.nodes[node];
    let name = &world.scenario.resources[resource];
    // The newest plan that may stand behind it.
    let ours = |plan: &Plan| {
        place(plan, name).is_some_and(|(_, owner, of)| owner == Some(&machine.name) && of == since)
    };
    let plan = match &machine.core {
        Some(core) if ours(&core.inspect().state.plan) => core.inspect().state.plan.number,
        _ => since,
    };
    let boot = machine.boot.read(world.time);
    let lease = Lease {
        resource,
        incarnation: machine.incarnation,
        since,
        plan,
        ends: deadline,
        adopted: false,
    };
    world.truth.nodes[node].give(lease, boot);
}

/// An agent that ends and says that nothing runs takes its guards with it.
pub(crate) fn on_left(world: &mut World, node: usize) {
    let units = world.nodes[node].units.iter();
    let running = units.enumerate().find(|(_, unit)| unit.active);
    if let Some((resource, _)) = running {
        let text = format!(
            "the agent of n{} has ended with its guards, and {} runs there",
            node + 1,
            world.scenario.resources[resource]
        );
        world.broken(4, text);
    }
}

/// After a lapse no lease is asked for until the instance is confirmed stopped.
pub(crate) fn on_request(world: &mut World, node: usize, now: Now, request: &LeaseRequest) {
    let running = &world.truth.nodes[node].running;
    let lapsed = request.wants.iter().find_map(|want| {
        let resource = world.resource_number(&ResourceId::from(want.resource.as_str()))?;
        let since = running.get(&resource)?;
        // What has been decided counts: an agent that stands still has not told the guard yet.
        let decided = world.truth.nodes[node].decided.get(&resource);
        let deadline = decided.map_or(world.nodes[node].units[resource].deadline, |at| *at);
        (*since == want.since.into() && deadline <= now.boot).then_some(resource)
    });
    if let Some(resource) = lapsed {
        let text = format!(
            "n{} asks for a lease on {}, whose lease is over and whose stop is not confirmed",
            node + 1,
            world.scenario.resources[resource]
        );
        world.broken(4, text);
    }
}
