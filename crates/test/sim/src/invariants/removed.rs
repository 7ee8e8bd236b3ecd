//! Invariant 17: a machine that an operator has removed is let in by nobody who knows it, and starts
//! nothing; that its name joins again with another key changes nothing for the old one.
//!
//! That its leases are waited for is invariant 2: they are remembered here like everybody's.

use crate::world::World;
use standfast_model::id::MemberId;

/// The removal is committed.
pub(crate) fn on_removal(world: &mut World, member: MemberId, index: u64) {
    let mut machines = world.nodes.iter();
    let Some(number) = machines.position(|machine| speaks_as(machine, member)) else {
        return;
    };
    let key = world.nodes[number].key;
    world.truth.removed.insert((number, key), index);
}

fn speaks_as(machine: &crate::node::Node, member: MemberId) -> bool {
    let known = machine.disk.issued.member.unwrap_or(machine.member);
    known == member
}

pub(crate) fn after_step(world: &mut World, node: usize) {
    let of = &world.truth.nodes[node];
    let Some(lets_in) = &of.lets_in else {
        return;
    };
    let wrong = world.truth.removed.iter().find(|((number, key), index)| {
        **index <= of.checked && *number != node && lets_in[*number] >> (key % 64) & 1 == 1
    });
    if let Some(((number, _), index)) = wrong {
        let text = format!(
            "n{} knows of the removal of n{} at index {index}, and lets it in",
            node + 1,
            number + 1
        );
        world.broken(17, text);
    }
}

pub(crate) fn on_start(world: &mut World, node: usize, resource: usize) {
    let key = world.nodes[node].key;
    if let Some(index) = world.truth.removed.get(&(node, key)) {
        let text = format!(
            "{} starts on n{}, which was removed at index {index}",
            world.scenario.resources[resource],
            node + 1
        );
        world.broken(17, text);
    }
}
