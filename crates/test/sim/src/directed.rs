//! Runs that lean towards what a planted bug needs to show itself: some families of faults more often
//! than others, and for bugs that need several things at once, those things one after the other.
//! Leaning only: the right code has to pass every one of them.

use crate::{
    attributes, constraints, copies,
    fault::Fault,
    fencing,
    rng::{Rng, Stream},
    run::Case,
    scenario::Scenario,
    schedule::{Family, of_family},
    sequence::sequence,
};
use standfast_model::{FEATURE_LEVEL, planted::Planted};

const MS: u64 = 1_000;
const SECOND: u64 = 1_000_000;

/// Families of faults that bring a bug out.
const fn families(planted: Planted) -> &'static [Family] {
    match planted {
        Planted::GrantExceedsPlan => &[Family::Operator, Family::Partition, Family::Quality],
        Planted::LeaseFromReceipt => &[Family::Quality, Family::Pause],
        Planted::NoLeadershipLease
        | Planted::StaleLeaderGrants
        | Planted::HorizonIgnored
        | Planted::DriftIgnored => &[Family::Partition, Family::Pause],
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
        Planted::Pair(_) => &[],
        Planted::LostDiskVotes | Planted::NumberTwice | Planted::RemovalEndsLease => {
            &[Family::DiskGone]
        }
        Planted::FailedFenceReleases => &[Family::Driver, Family::Operator],
        Planted::FenceNeverVoid | Planted::EverybodyFences => &[Family::Operator],
        Planted::FencedThoughBack
        | Planted::FencedAgain
        | Planted::ExpiredIsEnough
        | Planted::FenceAssumed => &[Family::Partition, Family::Power],
        Planted::OldOrderAgain => &[Family::Process, Family::Power],
        Planted::FencedUnmet => &[Family::Outage, Family::Power],
        Planted::LevelRaisedEarly => &[Family::Process, Family::Partition],
        Planted::RemovedLetIn => &[Family::Process, Family::Partition],
        Planted::ObserverActs => &[Family::Resource, Family::Operator],
        Planted::FedOn => &[Family::Driver, Family::Partition],
        Planted::OrderIgnored | Planted::ColocationIgnored => {
            &[Family::Resource, Family::Power, Family::Operator]
        }
        Planted::LocationIgnored => &[Family::Operator, Family::Power],
        Planted::OldTurnTaken => &[Family::Outage, Family::Power],
        Planted::OrderForgotten | Planted::MaintenanceForgotten => &[Family::Operator],
        Planted::FailuresForgotten => &[Family::Resource],
        Planted::CopiesUncounted | Planted::PromotedUncarried => {
            &[Family::Operator, Family::Resource]
        }
        Planted::FailedStopIsStop => &[Family::Driver, Family::Operator],
        Planted::OldReportBelieved => &[Family::Process, Family::Quality, Family::Resource],
        Planted::RestartGrantForgotten => &[Family::Process, Family::Outage, Family::Partition],
    }
}

/// The case of a seed that leans towards a bug.
pub(crate) fn case(planted: Planted, seed: u64) -> Case {
    let mut scenario = Scenario::new(seed);
    if fencing::is_about(planted) {
        fencing::add(&mut scenario, true);
    }
    if copies::is_about(planted) {
        copies::add(&mut scenario, true, copies::is_about_promoted(planted));
    }
    if constraints::is_about(planted) {
        constraints::add(&mut scenario, true);
    }
    if attributes::is_about(planted) {
        attributes::add(&mut scenario, true);
    }
    scenario.acts = matches!(planted, Planted::RemovedLetIn | Planted::LevelRaisedEarly);
    scenario.tells_of_links |= scenario.acts;
    scenario.orders = matches!(
        planted,
        Planted::OrderForgotten | Planted::MaintenanceForgotten | Planted::FailuresForgotten
    );
    if planted == Planted::LevelRaisedEarly {
        scenario.first_level = FEATURE_LEVEL - 1;
    }
    if planted == Planted::DriftIgnored {
        let rate = |node| if node % 2 == 0 { -5_000 } else { 5_000 };
        scenario.rates = (0..scenario.nodes)
            .map(|node| (rate(node), rate(node)))
            .collect();
    }
    let mut rng = Rng::new(seed, Stream::Faults);
    let families = families(planted);
    let mut faults: Vec<Fault> = Vec::new();
    let mut at = 8 * SECOND;
    while at < scenario.quiet_from - 10 * SECOND {
        at += rng.spread(SECOND / 2, 16 * SECOND);
        let sequence = sequence(planted, &mut rng, &scenario, at);
        if sequence.is_empty() || rng.chance(300_000) {
            let family = families[rng.index(families.len())];
            faults.push(of_family(&mut rng, &scenario, family, at));
        }
        if !sequence.is_empty() {
            // What a sequence needs is that the cluster has recovered from the one before.
            at += 5 * SECOND;
        }
        faults.extend(sequence);
        if rng.chance(300_000) {
            let family = families[rng.index(families.len())];
            let soon = at + rng.spread(MS, SECOND);
            faults.push(of_family(&mut rng, &scenario, family, soon));
        }
    }
    faults.extend(attributes::draw(&scenario));
    if copies::are_in(&scenario) {
        faults.retain(|fault| !copies::excuses(fault));
    }
    if constraints::are_in(&scenario) {
        faults.retain(|fault| !constraints::excuses(fault));
    }
    faults.sort_by_key(|fault| fault.at);
    Case {
        scenario,
        faults,
        planted: None,
    }
}
