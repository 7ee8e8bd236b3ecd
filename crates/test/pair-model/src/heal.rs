//! Once faults stop: both machines are started, words arrive, disks write, devices work. Within a bounded
//! number of rounds there has to be one primary with a secondary in sync. An operator helps only where
//! the rules say that one has to.

use crate::{bounds::Bounds, world::World};
use standfast_pair::{Event, FenceOutcome, Order, Pair, Relation, Role};

/// Rounds until a pair has to be well again by itself.
pub const ROUNDS: usize = 12;

/// Whether the pair is well again, by itself or with what an operator has to do.
#[must_use]
pub fn heals(world: &World, bounds: &Bounds) -> bool {
    let mut world = world.clone();
    if settle(&mut world, bounds) {
        return true;
    }
    // Rebuild, promote: two things at most have to be said.
    (0..3).any(|_| !help(&mut world) || settle(&mut world, bounds))
}

/// Lets everything happen that has to, until the pair is well.
pub fn settle(world: &mut World, bounds: &Bounds) -> bool {
    world.air.clear();
    for _ in 0..ROUNDS {
        for side in 0..2 {
            if world.machines[side].agent.is_none() {
                world.start(bounds, side);
            }
            let leased = world.holds_lease(side);
            world.persisted(side);
            world.copied(side);
            if world.machines[side].stopping {
                world.machines[side].running = false;
                world.machines[side].stopping = false;
                world.event(side, Event::Stopped, &Vec::new());
            }
            world.fence(side, true, FenceOutcome::Off);
            if world.follows(1 - side, side) && !leased {
                world.event(side, Event::Leased, &Vec::new());
            }
        }
        for (side, boot, outcome) in std::mem::take(&mut world.answers) {
            world.event(side, Event::Fenced(boot, outcome), &Vec::new());
        }
        for side in 0..2 {
            if let Some(letter) = world.letter(side) {
                world.arrive(&letter);
            }
        }
        if is_well(world) {
            return true;
        }
    }
    false
}

/// One primary that runs what it should, and a secondary in sync; or no pair any more.
fn is_well(world: &World) -> bool {
    let agents: Vec<&Pair> = world
        .machines
        .iter()
        .filter_map(|machine| machine.agent.as_ref())
        .collect();
    let dissolved = agents.iter().any(|agent| agent.role() == Role::Dissolved);
    let in_sync = |agent: &&&Pair| matches!(agent.role(), Role::Following { in_sync: true, .. });
    let running = world
        .machines
        .iter()
        .filter(|machine| machine.running)
        .count();
    let quiet = world
        .machines
        .iter()
        .all(|machine| machine.pending.is_none());
    dissolved || (agents.iter().filter(in_sync).count() == 1 && running == 1 && quiet)
}

/// What an operator does who reads the sentence. False when nothing can help: both disks are lost.
fn help(world: &mut World) -> bool {
    let history = |side: usize| world.machines[side].disk.record.history.clone();
    let (first, second) = (history(0), history(1));
    let side = standfast_pair::Side::First;
    let leads = |side: usize| {
        let agent = world.machines[side].agent.as_ref();
        agent.is_some_and(|agent| matches!(agent.role(), Role::Primary { .. }))
    };
    let (on, order) = match Relation::of(side, first.as_ref(), second.as_ref()) {
        Relation::Unknown if second.is_none() => return false,
        Relation::Unknown if !world.machines[0].disk.record.rebuild => (0, Order::Rebuild),
        Relation::PeerUnknown if !world.machines[1].disk.record.rebuild => (1, Order::Rebuild),
        Relation::Diverged if leads(1) => (0, Order::Rebuild),
        Relation::Diverged => (1, Order::Rebuild),
        Relation::Unknown | Relation::Behind => (1, Order::Promote),
        Relation::PeerUnknown | Relation::Same | Relation::Ahead => (0, Order::Promote),
    };
    world.event(on, Event::Operator(order), &Vec::new());
    true
}
