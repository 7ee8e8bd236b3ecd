//! Draws what operators order while things go wrong: orders that hold until they are taken back or over. From a stream of
//! its own: a run without them stays as it was. What an order does: `world::ordering`.

use crate::{
    fault::{Fault, Kind, Ordered, Target},
    rng::{Rng, Stream},
    scenario::Scenario,
};

const MS: u64 = 1_000;
const SECOND: u64 = 1_000_000;

/// The orders of a run, with what takes most of them back, and losses of leaders in between.
pub(crate) fn draw(scenario: &Scenario) -> Vec<Fault> {
    let mut rng = Rng::new(scenario.seed, Stream::Orders);
    let span = scenario.quiet_from.saturating_sub(10 * SECOND);
    let mut all = Vec::new();
    for _ in 0..rng.range(3, 10) {
        let at = 8 * SECOND + rng.below(span);
        all.extend(one(&mut rng, scenario, at));
        if rng.chance(400_000) {
            all.push(Fault {
                at: at + rng.spread(10 * MS, 6 * SECOND),
                duration: rng.spread(SECOND, 8 * SECOND),
                target: Target::Leader,
                kind: if rng.chance(500_000) {
                    Kind::PowerLoss
                } else {
                    Kind::AgentKilled
                },
            });
        }
    }
    all
}

/// An order, and mostly the end of it.
pub(crate) fn one(rng: &mut Rng, scenario: &Scenario, at: u64) -> Vec<Fault> {
    let group = rng.index(scenario.groups.len());
    let target = Target::Node(rng.index(scenario.nodes));
    let (begin, end) = match rng.below(12) {
        0 => (Ordered::Keep, Some(Ordered::Clear)),
        1 => (Ordered::Ban, Some(Ordered::Clear)),
        2 | 3 => (Ordered::Disable, Some(Ordered::Enable)),
        4 => (Ordered::Restart, None),
        5 | 6 => (Ordered::Unmanage, Some(Ordered::Manage)),
        7 => (Ordered::Refresh, None),
        8 | 9 => (Ordered::Cluster(true), Some(Ordered::Cluster(false))),
        10 => (Ordered::Node(true), Some(Ordered::Node(false))),
        _ => (Ordered::Standby, None),
    };
    let act = |at, ordered| Fault {
        at,
        duration: 15 * SECOND,
        target,
        kind: Kind::Order(ordered, group),
    };
    let mut all = vec![act(at, begin)];
    if let Some(end) = end.filter(|_| rng.chance(800_000)) {
        all.push(act(at + rng.spread(SECOND, 40 * SECOND), end));
    }
    all
}
