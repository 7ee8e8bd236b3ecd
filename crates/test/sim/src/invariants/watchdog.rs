//! Invariant 20: a hardware watchdog is not fed beyond the end of anything that may be running on its machine, and is
//! never stopped while something runs there.

use crate::{coverage::Case, world::World};

/// A guard's deadline was counted when it was set, the permission is counted anew: one of the two clocks of a machine that
/// jumps lets them differ by as much as its clocks differ in speed, 1 % of a lease of 20 s.
const CLOCKS: u64 = 200_000;

pub(crate) fn after_step(world: &mut World, node: usize) {
    let machine = &world.nodes[node];
    let Some(core) = &machine.core else {
        return;
    };
    let of = &world.truth.nodes[node];
    let running = machine.units.iter().enumerate();
    let ends = running
        .filter(|(_, unit)| unit.active)
        .map(|(resource, unit)| {
            // What has been decided counts, carried out or not.
            let decided = of.decided.get(&resource).copied().unwrap_or(0);
            (resource, decided.max(unit.deadline))
        });
    let first = ends.min_by_key(|(_, end)| *end);
    let Some((resource, end)) = first else {
        return;
    };
    let feeding = core.feeding(machine.now(world.time));
    let name = &world.scenario.resources[resource];
    if feeding.idle || feeding.until_boot > end + CLOCKS {
        let text = format!(
            "n{} may feed its watchdog until {} (idle: {}); {name} runs there until {end}",
            node + 1,
            feeding.until_boot,
            feeding.idle
        );
        world.broken(20, text);
    } else if feeding.until_boot == 0 {
        world.hit(Case::NotFed);
    }
}
