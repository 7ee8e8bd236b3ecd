//! Invariant 26: a copy is promoted only while it runs. That there are never two at once is invariant 1, because the promoted
//! role is exclusive.
//!
//! The driver refuses to promote what does not run, as the real one does, and the end of a copy ends its role. So what is
//! judged here is what a core orders: it promotes nothing of which it has not been told that it runs.

use crate::{coverage::Case, world::World};
use standfast_model::{
    copies::{is_role, named, node_of, role_of, written},
    id::ResourceId,
};

/// The copy of a node that a role is of, or the role of a copy, by number.
fn other(world: &World, node: usize, resource: usize, role: bool) -> Option<usize> {
    let name = world.scenario.resources.get(resource)?.as_str();
    let own = crate::scenario::Scenario::node_name(node);
    if role {
        node_of(name)?;
        world.resource_number(&ResourceId::from(role_of(name)))
    } else {
        is_role(name).then(|| named(written(name), &own))?;
        world.resource_number(&ResourceId::from(named(written(name), &own)))
    }
}

/// The copy of a role.
pub(crate) fn copy(world: &World, node: usize, role: usize) -> Option<usize> {
    other(world, node, role, false)
}

/// The role of a copy.
pub(crate) fn role(world: &World, node: usize, copy: usize) -> Option<usize> {
    other(world, node, copy, true)
}

/// A core orders a start.
pub(crate) fn on_order(world: &mut World, node: usize, resource: usize) {
    let Some(copy) = copy(world, node, resource) else {
        return;
    };
    // What really runs is no mistake of a core that was told something late; what has just ended neither.
    let told = world.truth.nodes[node].running.contains_key(&copy);
    if !told && !world.nodes[node].units[copy].active {
        let name = &world.scenario.resources[resource];
        let text = format!(
            "{name} is promoted on n{}, whose copy does not run",
            node + 1
        );
        world.broken(26, text);
    }
}

/// Something of a resource begins to run.
pub(crate) fn on_start(world: &mut World, node: usize, resource: usize) {
    if copy(world, node, resource).is_none() {
        return;
    }
    let before = world.truth.last_ran[resource];
    world.hit(match before {
        Some(before) if before != node => Case::PromotedElsewhere,
        _ => Case::Promoted,
    });
}
