//! Invariants 22 and 7: nothing starts before what it is to start after has run, judged by what really runs; and once faults
//! have stopped, groups are together and apart as they have to be.
//!
//! What starts acts on what was known a while ago: the one before may have ended since, and nobody could know. So it has to
//! have been all active at some moment not long before.

use crate::{coverage::Case, kernel::Work, world::World};
use standfast_model::{id::GroupId, plan::INFINITY};

/// How long what was all active may be believed to be: leases one after the other, and an agent that restarts, if one did.
fn believed(world: &World) -> u64 {
    let timing = world.scenario.config.timing;
    let leases = 4 * timing.lease.0;
    let restart = timing.restart_grant.0;
    let restarts = world.truth.restart_granted;
    if restarts.is_some_and(|at| world.time - at <= leases + restart) {
        leases + restart
    } else {
        leases
    }
}

/// Something of a resource begins to run on a node.
pub(crate) fn on_start(world: &mut World, node: usize, resource: usize) {
    let name = &world.scenario.resources[resource];
    let Some(then) = world.scenario.config.group_of(name).cloned() else {
        return;
    };
    let sequences = world.scenario.config.constraints.sequences.clone();
    for (order, sequence) in sequences {
        if sequence.then != then || !sequence.is_strict() {
            continue;
        }
        let first = &sequence.first;
        // An operator has taken it out of the configuration, and with it the order; or leaves it alone: it takes no turns.
        let core = world.nodes[node].core.as_ref();
        let excused = core.is_some_and(|core| {
            let state = core.inspect().state;
            !state.config.groups.contains_key(first) || state.in_maintenance(first)
        });
        if excused {
            continue;
        }
        let seen = match is_active(world, first) {
            true => Some(world.time),
            false => last_active(world, first, &then),
        };
        if seen.is_some_and(|at| world.time - at <= believed(world)) {
            world.hit(Case::StartedInTurn);
            continue;
        }
        let when = seen.map_or_else(
            || "never was".to_owned(),
            |at| format!("was not for {} us", world.time - at),
        );
        let text = format!(
            "{} starts on n{} although {first} is not active, and {when} (order {order})",
            world.scenario.resources[resource],
            node + 1
        );
        world.broken(22, text);
        return;
    }
}

/// When a group was seen to be all active. Of a group with copies, that a group without comes after, one is enough: the others
/// may be copies that are to run nowhere.
fn last_active(world: &World, first: &GroupId, then: &GroupId) -> Option<u64> {
    let config = &world.scenario.config;
    let all = config
        .copy_of(first)
        .filter(|_| config.copy_of(then).is_none());
    let mut seen: Vec<Option<u64>> = vec![world.truth.all_active.get(first).copied()];
    for (copy, _) in all.iter().flat_map(|of| config.copies_of(&of.group)) {
        seen.push(is_active(world, copy).then_some(world.time));
        seen.push(world.truth.all_active.get(copy).copied());
    }
    seen.into_iter().flatten().max()
}

/// Whether all of a group runs on one node, and is ready.
fn is_active(world: &World, group: &GroupId) -> bool {
    let Some(settings) = world.scenario.config.groups.get(group) else {
        return false;
    };
    let members: Vec<usize> = settings
        .members
        .iter()
        .filter_map(|member| world.resource_number(member))
        .collect();
    world.nodes.iter().any(|node| {
        let ready = |member: &usize| {
            let unit = node.units.get(*member);
            unit.is_some_and(|unit| unit.active && unit.work != Work::Starting)
        };
        members.iter().all(ready)
    })
}

/// Something of a resource is about to stop, or has become ready: its group is all active, or was until now.
pub(crate) fn look(world: &mut World, resource: usize) {
    let constraints = &world.scenario.config.constraints;
    if constraints.sequences.is_empty() {
        return;
    }
    let name = &world.scenario.resources[resource];
    let group = world.scenario.config.group_of(name).cloned();
    if let Some(group) = group.filter(|group| is_active(world, group)) {
        world.truth.all_active.insert(group, world.time);
    }
}

/// Two groups that are not together, or apart, as they have to be.
pub(crate) fn misplaced(world: &World) -> Option<String> {
    let runs_on = |group: &GroupId| {
        let settings = world.scenario.config.groups.get(group)?;
        let first = settings.members.first()?;
        world.runner(world.resource_number(first)?)
    };
    let colocations = world.scenario.config.constraints.colocations.iter();
    for (name, colocation) in colocations {
        let config = &world.scenario.config;
        let of = config.copy_of(&colocation.with);
        let of = of.filter(|_| config.copy_of(&colocation.group).is_none());
        let here = runs_on(&colocation.group);
        let together = match of.filter(|_| colocation.is_must()) {
            // With one of them.
            Some(of) => {
                let mut copies = config.copies_of(&of.group);
                here.is_some() && copies.any(|(copy, _)| runs_on(copy) == here)
            }
            None => here == runs_on(&colocation.with),
        };
        let wrong =
            (colocation.is_must() && !together) || (colocation.score <= -INFINITY && together);
        if wrong {
            return Some(format!(
                "{} and {} are not where they have to be (colocation {name})",
                colocation.group, colocation.with
            ));
        }
    }
    None
}

/// Counts what held in the end.
pub(crate) fn count(world: &mut World) {
    let colocations = world.scenario.config.constraints.colocations.values();
    let scores: Vec<i64> = colocations.map(|colocation| colocation.score).collect();
    for score in scores {
        if score >= INFINITY {
            world.hit(Case::TogetherAtEnd);
        } else if score <= -INFINITY {
            world.hit(Case::ApartAtEnd);
        }
    }
}
