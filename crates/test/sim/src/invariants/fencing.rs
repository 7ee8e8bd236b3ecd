//! Invariant 19: an act of fencing is carried out by one node at a time, comes to an end, and a machine that goes on
//! after it was said to be off is noticed. (That a failed one releases nothing is invariants 1 and 2.)

use crate::{
    node::{Agent, Machine},
    world::World,
};

/// Once everything is healed and has settled: what is left that should not be.
pub(crate) fn left_over(world: &World) -> Option<String> {
    let leader = world.leader()?;
    let core = world.nodes[leader].core.as_ref()?;
    for act in &core.inspect().state.fences {
        let Some(number) = world.number_of(&act.node) else {
            continue;
        };
        let node = &world.nodes[number];
        if act.is_under_way() {
            return Some(format!(
                "the fencing of {} ({}) has not come to an end",
                act.node, act.id
            ));
        }
        let runs = node.machine == Machine::On && node.agent == Agent::Running;
        if act.says_off() && runs && node.incarnation == act.incarnation {
            return Some(format!(
                "{} is said to be off since act {}, and the same run of its agent goes on unnoticed",
                act.node, act.id
            ));
        }
    }
    None
}
