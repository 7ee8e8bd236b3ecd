//! What can happen next, and the world after it.

use crate::{
    bounds::Bounds,
    world::{Action, Disk, World},
};
use standfast_model::pair::Arbiter;
use standfast_pair::{Event, FenceOutcome, Order, Pair, Role};

/// Everything that can happen next.
pub fn possible(world: &World, bounds: &Bounds, actions: &mut Vec<Action>) {
    for side in 0..2 {
        of_machine(world, bounds, side, actions);
        of_time(world, bounds, side, actions);
        of_people(world, side, actions);
        if let Some(letter) = world.letter(side) {
            if world.machines[1 - side].agent.is_some() {
                actions.push(Action::Deliver(side));
            }
            if world.air.len() < bounds.air && !world.air.contains(&letter) {
                actions.push(Action::Delay(side));
            }
        }
    }
    for at in 0..world.air.len() {
        actions.extend([Action::Arrive(at), Action::Vanish(at)]);
    }
    actions.extend((0..world.answers.len()).map(Action::Answer));
}

fn of_machine(world: &World, bounds: &Bounds, side: usize, actions: &mut Vec<Action>) {
    let machine = &world.machines[side];
    if machine.agent.is_none() {
        actions.push(Action::Start(side));
        if !machine.on && world.left.disks > 0 {
            actions.push(Action::DiskLost(side));
            if machine
                .snapshot
                .as_ref()
                .is_some_and(|old| *old != machine.disk)
            {
                actions.push(Action::DiskRolledBack(side));
            }
        }
    }
    if world.left.disks > 0 && machine.snapshot.is_none() {
        actions.push(Action::Snapshot(side));
    }
    if machine.pending.is_some() {
        actions.push(Action::Persisted(side));
    }
    if machine.gets_contents() {
        actions.push(Action::Copied(side));
    }
    let acts = machine.agent.as_ref().is_some_and(Pair::acts);
    if machine.running && machine.leased && !acts {
        actions.push(Action::Guard(side));
    }
    if machine.stopping {
        actions.push(Action::Stopped(side));
    }
    for flushed in [false, true] {
        if flushed && machine.pending.is_none() {
            continue;
        }
        if machine.on && world.left.power > 0 {
            actions.push(Action::PowerLoss(side, flushed));
        }
        if machine.agent.is_some() && world.left.restarts > 0 {
            actions.push(Action::AgentDies(side, flushed));
        }
    }
    if world.orders[side].is_some() {
        actions.push(Action::Fenced(side, !bounds.lies, FenceOutcome::Off));
        actions.push(Action::Fenced(side, false, FenceOutcome::Failed));
        actions.push(Action::Fenced(side, true, FenceOutcome::Failed));
    }
}

fn of_time(world: &World, bounds: &Bounds, side: usize, actions: &mut Vec<Action>) {
    let Some(agent) = &world.machines[side].agent else {
        return;
    };
    let mut happens = |event| actions.push(Action::Time(side, event));
    happens(Event::PeerLost);
    match bounds.arbiter {
        Arbiter::Fence => {
            if world.left.fences > 0 && world.orders[side].is_none() {
                happens(Event::FenceDue);
            }
        }
        Arbiter::Ping => {
            let claims = matches!(agent.role(), Role::Claiming { .. });
            if claims && !world.holds_lease(1 - side) {
                happens(Event::Expired);
            }
            if world.follows(1 - side, side) {
                happens(Event::Leased);
            }
            happens(Event::LeaseOver);
            if bounds.split || world.reaches.is_none_or(|reaches| reaches == side) {
                happens(Event::PingGrant);
            }
        }
        Arbiter::None => {}
    }
}

fn of_people(world: &World, side: usize, actions: &mut Vec<Action>) {
    let Some(agent) = &world.machines[side].agent else {
        return;
    };
    if world.left.writes > 0 && matches!(agent.role(), Role::Primary { .. }) {
        actions.push(Action::Write(side));
    }
    if world.left.orders == 0 {
        return;
    }
    let orders = [
        Order::Promote,
        Order::Demote,
        Order::Swap,
        Order::Rebuild,
        Order::Teardown,
    ];
    actions.extend(orders.map(|order| Action::Order(side, order)));
    // An operator who says that a machine is off has seen it. Who is wrong here has two primaries.
    let peer = &world.machines[1 - side];
    if !peer.on {
        actions.push(Action::Order(side, Order::ForcePrimary));
        if let Role::Claiming { leader: lost, .. }
        | Role::Primary {
            partner: Some(lost),
            ..
        } = agent.role()
        {
            actions.push(Action::Order(side, Order::PeerIsOff(lost.boot)));
        }
    }
}

/// The world after an action.
pub fn carry_out(world: &mut World, bounds: &Bounds, action: Action) {
    match action {
        Action::Start(side) => world.start(bounds, side),
        Action::PowerLoss(side, flushed) => {
            world.left.power -= 1;
            world.off(side, flushed);
        }
        Action::AgentDies(side, flushed) => {
            world.left.restarts -= 1;
            world.agent_dies(side, flushed);
        }
        Action::Snapshot(side) => {
            let disk = world.machines[side].disk.clone();
            world.machines[side].snapshot = Some(disk);
        }
        Action::DiskLost(side) => {
            world.left.disks -= 1;
            world.replace_disk(side, Disk::default());
        }
        Action::DiskRolledBack(side) => {
            world.left.disks -= 1;
            let old = world.machines[side].snapshot.clone();
            world.replace_disk(side, old.unwrap_or_default());
        }
        Action::Persisted(side) => world.persisted(side),
        Action::Copied(side) => world.copied(side),
        Action::Deliver(side) => {
            if let Some(letter) = world.letter(side) {
                world.arrive(&letter);
            }
        }
        Action::Delay(side) => {
            world.air.extend(world.letter(side));
        }
        Action::Arrive(at) => {
            let letter = world.air[at].clone();
            world.arrive(&letter);
        }
        Action::Vanish(at) => drop(world.air.remove(at)),
        Action::Fenced(by, works, outcome) => world.fence(by, works, outcome),
        Action::Answer(at) => {
            let (side, boot, outcome) = world.answers.remove(at);
            world.event(side, Event::Fenced(boot, outcome), &Vec::new());
        }
        Action::Stopped(side) => {
            let machine = &mut world.machines[side];
            machine.running = false;
            machine.stopping = false;
            world.event(side, Event::Stopped, &Vec::new());
        }
        Action::Guard(side) => world.guard(side),
        Action::Time(side, event) => at_time(world, side, event),
        Action::Write(side) => {
            world.left.writes -= 1;
            world.event(side, Event::Propose, &Vec::new());
        }
        Action::Order(side, order) => {
            world.left.orders -= 1;
            world.order(side, order);
        }
    }
}

fn at_time(world: &mut World, side: usize, event: Event) {
    let lease_ends = event == Event::LeaseOver && world.holds_lease(side);
    let granted = event == Event::PingGrant;
    let before = world.machines[side].pending.is_some();
    world.event(side, event, &Vec::new());
    if lease_ends {
        world.machines[side].running = false;
    }
    if granted && !before && world.machines[side].pending.is_some() {
        world.reaches = Some(side);
    }
}
