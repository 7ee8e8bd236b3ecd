//! The invariants of the design, each in a file of its own, judged after every event against what
//! really happened (`truth`), not against what any core believes.

pub(crate) mod committed;
pub(crate) mod convergence;
pub(crate) mod copies;
pub(crate) mod early_start;
pub(crate) mod fencing;
pub(crate) mod fitness;
pub(crate) mod idempotent;
pub(crate) mod lease_end;
pub(crate) mod located;
pub(crate) mod one_active;
pub(crate) mod ordered;
pub(crate) mod promoted;
pub(crate) mod removed;
pub(crate) mod stale;
pub(crate) mod stand_still;
pub(crate) mod turns;
pub(crate) mod watchdog;

use crate::{attributes, world::World};
use standfast_model::plan::PlanNumber;

/// A broken invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// Its number in the design.
    pub(crate) invariant: u8,
    /// Simulated time, microseconds.
    pub(crate) at: u64,
    /// What happened.
    pub(crate) text: String,
}

/// An invariant in a sentence. Numbers are those of ARCHITECTURE.md; some there are not judged here.
pub(crate) const fn name(invariant: u8) -> &'static str {
    match invariant {
        1 => "at most one node is active for an exclusive resource at any instant",
        2 => "no start elsewhere before released, fenced or expired",
        3 => "one leader per term; committed commands are never lost or reordered",
        4 => "a node without a lease has nothing exclusive active after its lease's end",
        5 => "a stale leader, plan, grant or report changes nothing",
        6 => {
            "every effect may be repeated and may be interrupted anywhere; the outcome is the same"
        }
        7 => {
            "once faults stop, the cluster settles at the scheduler's placement within a bounded time"
        }
        19 => {
            "a fence is carried out by one node at a time and ends, one that was said to work and did not is noticed, none \
             is begun for nothing, and what needs one waits for it"
        }
        16 => {
            "while the cluster only observes, or a group is in maintenance, nothing of it is started or stopped"
        }
        17 => "a machine that was removed is let in by nobody who knows it, and starts nothing",
        18 => {
            "no program is given what it cannot understand, unless somebody has installed an older one"
        }
        20 => {
            "a hardware watchdog is not fed beyond the end of anything that may be running on its machine"
        }
        22 => "nothing starts before what it is to start after has run",
        8 => "a primary has every change that a client was told is done (pairs)",
        21 => {
            "in a pair only the primary starts anything, and whoever hands over has stopped everything first"
        }
        23 => "what an operator has ordered holds as long as it is in force, whoever leads",
        24 => "failures are forgotten when they are old enough, or when an operator says so",
        25 => {
            "each copy of a group runs on its own node, and no more at any instant than are to run"
        }
        26 => "no core promotes a copy of which it has not been told that it runs",
        27 => {
            "nothing is started on a node that a location forbids, and what runs there stops soon"
        }
        _ => "",
    }
}

/// After every step of a core.
pub(crate) fn after_step(world: &mut World, node: usize) {
    committed::after_step(world, node);
    stale::after_step(world, node);
    removed::after_step(world, node);
    watchdog::after_step(world, node);
    world.look_at_acts(node);
    if world.scenario.orders {
        ordered::after_step(world, node);
    }
}

/// When something of a resource begins to run on a node.
pub(crate) fn on_start(world: &mut World, node: usize, resource: usize, since: PlanNumber) {
    one_active::on_start(world, node, resource);
    early_start::on_start(world, node, resource, since);
    stale::on_start(world, node, resource, since);
    fencing::on_start(world, node, resource, since);
    removed::on_start(world, node, resource);
    turns::on_start(world, node, resource);
    copies::on_start(world, node, resource);
    promoted::on_start(world, node, resource);
    if attributes::are_in(&world.scenario) {
        located::on_start(world, node, resource, since);
    }
}

impl World {
    pub(crate) fn broken(&mut self, invariant: u8, text: String) {
        self.violate(Violation {
            invariant,
            at: self.time,
            text,
        });
    }
}
