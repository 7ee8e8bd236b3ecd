//! Draws the faults of a run. Which faults, where and when: here. What they do: `world::inject`.

use crate::{
    fault::{Edit, Fault, Kind, Target, Way},
    rng::{Rng, Stream},
    scenario::Scenario,
};

const MS: u64 = 1000;
const SECOND: u64 = 1_000_000;

/// Families of faults; the weights of a run are drawn first, so that runs differ in character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    Process,
    Power,
    Pause,
    Clock,
    Partition,
    Quality,
    Disk,
    DiskGone,
    Driver,
    Resource,
    Operator,
    Outage,
    Members,
}

pub(crate) const FAMILIES: [Family; 13] = [
    Family::Process,
    Family::Power,
    Family::Pause,
    Family::Clock,
    Family::Partition,
    Family::Quality,
    Family::Disk,
    Family::DiskGone,
    Family::Driver,
    Family::Resource,
    Family::Operator,
    Family::Outage,
    Family::Members,
];

/// The faults of a run, in order of time. Leaves the end of the run free for healing.
pub(crate) fn draw(scenario: &Scenario) -> Vec<Fault> {
    let mut rng = Rng::new(scenario.seed, Stream::Faults);
    let weights = FAMILIES.map(|family| {
        let rare = matches!(family, Family::Outage | Family::Members | Family::DiskGone);
        let favoured = rng.chance(250_000);
        (
            family,
            if favoured {
                30
            } else if rare {
                2
            } else {
                6
            },
        )
    });
    let span = scenario.quiet_from.saturating_sub(10 * SECOND);
    let count = rng.range(8, 50);
    let mut faults = Vec::new();
    for _ in 0..count {
        let at = 8 * SECOND + rng.below(span);
        faults.push(one(&mut rng, scenario, &weights, at));
        // Troubles rarely come alone.
        if rng.chance(300_000) {
            let soon = at + rng.spread(MS, 2 * SECOND);
            faults.push(one(&mut rng, scenario, &weights, soon));
        }
    }
    faults.sort_by_key(|fault| fault.at);
    faults
}

fn one(rng: &mut Rng, scenario: &Scenario, weights: &[(Family, u64)], at: u64) -> Fault {
    let family = rng.weighted(weights).unwrap_or(Family::Partition);
    of_family(rng, scenario, family, at)
}

/// One fault of a family.
pub(crate) fn of_family(rng: &mut Rng, scenario: &Scenario, family: Family, at: u64) -> Fault {
    Fault {
        at,
        duration: rng.spread(20 * MS, 20 * SECOND),
        target: target(rng, scenario),
        kind: kind(rng, scenario, family),
    }
}

fn target(rng: &mut Rng, scenario: &Scenario) -> Target {
    match rng.below(4) {
        0 => Target::Leader,
        1 => Target::Holder(rng.index(scenario.resources.len())),
        _ => Target::Node(rng.index(scenario.nodes)),
    }
}

fn kind(rng: &mut Rng, scenario: &Scenario, family: Family) -> Kind {
    let resource = rng.index(scenario.resources.len());
    let group = rng.index(scenario.groups.len());
    match family {
        Family::Process => match rng.below(3) {
            0 => Kind::AgentKilled,
            1 => Kind::AgentKilledInStep,
            _ => Kind::PlannedRestart,
        },
        Family::Power => Kind::PowerLoss,
        Family::Pause => match rng.below(2) {
            0 => Kind::Pause,
            _ => Kind::PauseInStep,
        },
        Family::Clock => match rng.below(3) {
            0 => Kind::Suspend,
            1 => Kind::BootJump,
            _ => Kind::RawJump,
        },
        Family::Partition => partition(rng, scenario),
        Family::Quality => quality(rng),
        Family::Disk => match rng.below(4) {
            0 | 1 => Kind::DiskSlow(rng.spread(10 * MS, 3 * SECOND)),
            2 => Kind::DiskFails,
            _ => Kind::DiskFull,
        },
        Family::DiskGone => match rng.below(4) {
            0 => Kind::DiskLost,
            1 => Kind::FolderLost,
            _ => Kind::DiskRolledBack(rng.spread(100 * MS, 60 * SECOND)),
        },
        Family::Driver => match rng.below(6) {
            0 => Kind::StartSlow(rng.spread(50 * MS, 5 * SECOND)),
            1 => Kind::StartFails,
            2 => Kind::StartHangs,
            3 => Kind::StopSlow(rng.spread(50 * MS, 5 * SECOND)),
            4 => Kind::StopFails,
            _ => Kind::StopHangs,
        },
        Family::Resource => match rng.below(5) {
            0 => Kind::Exit(resource, rng.range(1, 5)),
            1 => Kind::KeeperKilled(resource),
            2 => Kind::Unhealthy(resource),
            3 => Kind::Damage(resource),
            _ => Kind::NetworkSick,
        },
        Family::Operator => operator(rng, group),
        Family::Outage => match rng.below(3) {
            0 => Kind::TotalOutage,
            1 => Kind::AllKilled,
            _ => Kind::RollingRestart,
        },
        Family::Members => match rng.below(2) {
            0 => Kind::Join,
            _ => Kind::Reinstall,
        },
    }
}

fn partition(rng: &mut Rng, scenario: &Scenario) -> Kind {
    let way = match rng.below(4) {
        0 => Way::Out,
        1 => Way::In,
        _ => Way::Both,
    };
    match rng.below(4) {
        0 | 1 => {
            let one_link = rng.chance(200_000).then(|| rng.index(scenario.links));
            Kind::Isolate(way, one_link)
        }
        2 => Kind::CutPair(rng.index(scenario.nodes), way),
        _ => Kind::Split(rng.next()),
    }
}

fn quality(rng: &mut Rng) -> Kind {
    match rng.below(5) {
        0 => Kind::Loss(rng.spread(10_000, 600_000)),
        1 => Kind::Delay(rng.spread(5 * MS, 1500 * MS)),
        2 => Kind::Duplicates(rng.spread(10_000, 500_000)),
        3 => Kind::Reordering(rng.spread(10_000, 500_000)),
        _ => Kind::Repeats(rng.spread(10_000, 500_000)),
    }
}

fn operator(rng: &mut Rng, group: usize) -> Kind {
    match rng.below(6) {
        0 | 1 => Kind::Switchover(group),
        2 => Kind::Drain,
        3 => Kind::Cleanup(group),
        _ => Kind::Apply(match rng.below(4) {
            0 => Edit::Prefer(group),
            1 => Edit::Timing,
            2 => Edit::Maintenance(group),
            _ => Edit::Group(group),
        }),
    }
}
