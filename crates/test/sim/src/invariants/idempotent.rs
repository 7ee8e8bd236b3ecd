//! Invariant 6: every effect may be repeated and may be interrupted anywhere; the outcome is the same.
//!
//! Repeated here: an effect carried out again changes neither the disk nor what runs. Interrupted: the
//! world breaks steps off in the middle and repeats drivers' results, and all other invariants have
//! to hold nevertheless.

use crate::{disk::Image, world::World};

/// What an effect on one machine can change.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Picture {
    disk: Image,
    /// Of each resource: whether it runs, until when its guard is open.
    units: Vec<(bool, bool, u64)>,
}

pub(crate) fn picture(world: &World, node: usize) -> Picture {
    let machine = &world.nodes[node];
    Picture {
        disk: machine.disk.issued.clone(),
        units: machine
            .units
            .iter()
            .map(|unit| (unit.active, unit.open, unit.deadline))
            .collect(),
    }
}

pub(crate) fn compare(world: &mut World, node: usize, before: &Picture) {
    if world.violation.is_none() && picture(world, node) != *before {
        let text = format!(
            "an effect carried out twice on n{} had another outcome than once",
            node + 1
        );
        world.broken(6, text);
    }
}
