//! Runs that lean towards upgrades: agents are restarted one after the other, the leader's too, while disks are slow and
//! leaders are lost. What is checked is what every run is checked for.

use crate::{
    fault::{Fault, Kind, Target, Way},
    rng::{Rng, Stream},
    run::Case,
    scenario::Scenario,
};

const MS: u64 = 1_000;
const SECOND: u64 = 1_000_000;

/// The case of a seed: two minutes of it.
fn case(seed: u64) -> Case {
    let mut scenario = Scenario::new(seed);
    scenario.quiet_from = 120 * SECOND;
    scenario.ends = 130 * SECOND;
    let mut rng = Rng::new(seed, Stream::Faults);
    let mut faults: Vec<Fault> = Vec::new();
    let mut at = 8 * SECOND;
    while at < scenario.quiet_from - 20 * SECOND {
        faults.extend(upgrade(&mut rng, &scenario, at));
        at += rng.range(12, 20) * SECOND;
    }
    faults.sort_by_key(|fault| fault.at);
    Case {
        scenario,
        faults,
        planted: None,
    }
}

/// All agents, or the leader's alone, on slow disks; and each second time something happens to somebody meanwhile.
fn upgrade(rng: &mut Rng, scenario: &Scenario, at: u64) -> Vec<Fault> {
    let fault = |after: u64, duration: u64, target: Target, kind: Kind| Fault {
        at: at + after,
        duration,
        target,
        kind,
    };
    let mut all = Vec::new();
    for node in 0..scenario.nodes {
        let slow = Kind::DiskSlow(rng.spread(20 * MS, 2 * SECOND));
        all.push(fault(0, 12 * SECOND, Target::Node(node), slow));
    }
    let first = rng.spread(MS, SECOND);
    if rng.chance(500_000) {
        all.push(fault(first, 1, Target::Node(0), Kind::RollingRestart));
    } else {
        // An odd one is asked for by somebody else, as in an upgrade.
        let away = rng.spread(100 * MS, 9 * SECOND) | 1;
        all.push(fault(first, away, Target::Leader, Kind::PlannedRestart));
    }
    if rng.chance(500_000) {
        let lasts = rng.spread(100 * MS, 4 * SECOND);
        let kind = match rng.below(4) {
            0 => Kind::PowerLoss,
            1 => Kind::Pause,
            2 => Kind::AgentKilled,
            _ => Kind::Isolate(Way::Both, None),
        };
        let target = if rng.chance(500_000) {
            Target::Leader
        } else {
            Target::Holder(rng.index(scenario.resources.len()))
        };
        all.push(fault(
            first + rng.spread(10 * MS, 4 * SECOND),
            lasts,
            target,
            kind,
        ));
    }
    all
}

#[test]
fn agents_are_restarted_on_slow_disks_while_leaders_are_lost() {
    for seed in 0..5 {
        let case = case(seed);
        let outcome = case.run();
        if let Some(violation) = outcome.violation {
            let (_, lines) = case.explain(200);
            panic!("seed {seed}: {violation:?}\n{}", lines.join("\n"));
        }
    }
}
