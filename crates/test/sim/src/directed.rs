//! Runs that lean towards what a planted bug needs to show itself. Leaning only: the right code has
//! to pass every one of them.

use crate::{
    fault::{Fault, Kind, Target},
    rng::{Rng, Stream},
    run::Case,
    scenario::Scenario,
    schedule::{Family, of_family},
};
use standfast_model::planted::Planted;

const SECOND: u64 = 1_000_000;

/// Families of faults that bring a bug out.
const fn families(planted: Planted) -> &'static [Family] {
    match planted {
        Planted::GrantExceedsPlan => &[Family::Operator, Family::Partition, Family::Quality],
        Planted::LeaseFromReceipt => &[Family::Quality, Family::Pause],
        Planted::NoLeadershipLease | Planted::StaleLeaderGrants | Planted::HorizonIgnored => {
            &[Family::Partition, Family::Pause]
        }
        Planted::VoteBeforeDisk | Planted::PromiseBeforeDisk | Planted::VoteAfterStart => {
            &[Family::Process, Family::Power, Family::Disk]
        }
        Planted::TransferSkipsLease => &[Family::Operator, Family::Partition, Family::Process],
        Planted::OldGeneration | Planted::InactiveWithoutPromise => &[
            Family::Operator,
            Family::Quality,
            Family::Disk,
            Family::Pause,
        ],
        Planted::RestartWithoutLease | Planted::LapsedAsksAgain => &[
            Family::Resource,
            Family::Partition,
            Family::Pause,
            Family::Driver,
        ],
        Planted::GuardReopened => &[Family::Pause],
        Planted::DriftIgnored => &[Family::Partition, Family::Pause],
        Planted::LostDiskVotes => &[Family::DiskGone, Family::Partition],
        Planted::RemovalEndsLease => &[Family::DiskGone, Family::Members],
        Planted::FailedStopIsStop => &[Family::Driver, Family::Operator],
        Planted::OldReportBelieved => &[Family::Process, Family::Quality, Family::Operator],
        Planted::RestartGrantForgotten => &[Family::Process, Family::Outage, Family::Partition],
    }
}

/// The case of a seed that leans towards a bug.
pub(crate) fn case(planted: Planted, seed: u64) -> Case {
    let mut scenario = Scenario::new(seed);
    if planted == Planted::DriftIgnored {
        scenario.rates = (0..scenario.nodes)
            .map(|node| {
                if node % 2 == 0 {
                    (-5_000, -5_000)
                } else {
                    (5_000, 5_000)
                }
            })
            .collect();
    }
    let mut rng = Rng::new(seed, Stream::Faults);
    let families = families(planted);
    let mut faults: Vec<Fault> = Vec::new();
    let mut at = 8 * SECOND;
    while at < scenario.quiet_from - 10 * SECOND {
        at += rng.spread(SECOND / 2, 16 * SECOND);
        let family = families[rng.index(families.len())];
        let mut fault = of_family(&mut rng, &scenario, family, at);
        adjust(planted, &mut fault, &mut rng);
        faults.push(fault);
        if rng.chance(400_000) {
            let family = families[rng.index(families.len())];
            let soon = at + rng.spread(1_000, SECOND);
            faults.push(of_family(&mut rng, &scenario, family, soon));
        }
    }
    faults.sort_by_key(|fault| fault.at);
    Case {
        scenario,
        faults,
        planted: None,
    }
}

fn adjust(planted: Planted, fault: &mut Fault, rng: &mut Rng) {
    match planted {
        Planted::GuardReopened => {
            fault.kind = Kind::PauseInStep;
            fault.duration = rng.spread(100_000, 4 * SECOND);
        }
        Planted::RestartGrantForgotten if rng.chance(500_000) => {
            fault.kind = Kind::PlannedRestart;
            fault.target = Target::Holder(rng.index(4));
            fault.duration = rng.spread(2 * SECOND, 9 * SECOND);
        }
        _ => {}
    }
}
