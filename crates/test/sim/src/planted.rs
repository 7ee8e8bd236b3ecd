//! Planted bugs: known-wrong variants of the core (or of the simulated kernel), each of which has to
//! be caught by an invariant, on a seed where the right code passes.

use crate::{directed, invariants::Violation, pairs, run::Case};
use standfast_model::planted::{PairPlanted, Planted};

/// What became of a planted bug.
#[derive(Clone, Debug)]
pub(crate) struct Caught {
    pub(crate) planted: Planted,
    /// The seed that caught it, and how; none when nothing did.
    pub(crate) by: Option<(u64, Violation)>,
    pub(crate) seeds_tried: u64,
}

/// Invariants that a planted bug may break.
pub(crate) const fn breaks(planted: Planted) -> &'static [u8] {
    match planted {
        Planted::GrantExceedsPlan
        | Planted::NoLeadershipLease
        | Planted::VoteAfterStart
        | Planted::TransferSkipsLease
        | Planted::HorizonIgnored
        | Planted::PromiseBeforeDisk
        | Planted::StaleLeaderGrants
        | Planted::DriftIgnored
        | Planted::RemovalEndsLease
        | Planted::RestartGrantForgotten
        | Planted::OldReportBelieved
        | Planted::FailedFenceReleases
        | Planted::FailedStopIsStop => &[1, 2, 4],
        Planted::FenceNeverVoid
        | Planted::EverybodyFences
        | Planted::FencedThoughBack
        | Planted::FencedAgain
        | Planted::ExpiredIsEnough
        | Planted::FenceAssumed
        | Planted::OldOrderAgain
        | Planted::FencedUnmet => &[19],
        Planted::InactiveWithoutPromise => &[1, 2],
        Planted::LeaseFromReceipt | Planted::GuardReopened | Planted::RestartWithoutLease => {
            &[4, 1, 2]
        }
        Planted::VoteBeforeDisk | Planted::LostDiskVotes => &[3],
        Planted::NumberTwice => &[7, 3],
        Planted::OldGeneration => &[5, 2, 1],
        Planted::LapsedAsksAgain => &[4, 5, 2, 1],
        Planted::ObserverActs => &[16],
        Planted::Pair(bug) => match bug {
            PairPlanted::FailedFence | PairPlanted::AloneAfterRestart => &[1, 8],
            PairPlanted::HandsRunning => &[21],
            PairPlanted::GrantsAlways => &[1, 4, 21],
            PairPlanted::ConfirmsEarly => &[8],
            PairPlanted::TargetsIgnored | PairPlanted::LeaseKept => &[1, 4, 8],
        },
        Planted::RemovedLetIn => &[17],
        Planted::LevelRaisedEarly => &[18],
        Planted::FedOn => &[20],
        Planted::OrderIgnored | Planted::OldTurnTaken => &[22],
        Planted::ColocationIgnored => &[7],
        Planted::OrderForgotten | Planted::MaintenanceForgotten => &[23, 16],
        Planted::FailuresForgotten => &[24],
        Planted::CopiesUncounted => &[25],
        Planted::PromotedUncarried => &[26],
        Planted::LocationIgnored => &[27],
    }
}

/// Hunts one bug, with at most so many seeds.
pub(crate) fn hunt(planted: Planted, from: u64, most: u64) -> Caught {
    if let Planted::Pair(bug) = planted {
        let by = pairs::hunt(bug, from, most);
        let seeds_tried = by.as_ref().map_or(most, |(seed, _)| seed - from + 1);
        return Caught {
            planted,
            by,
            seeds_tried,
        };
    }
    for seed in from..from + most {
        let right = directed::case(planted, seed);
        let wrong = Case {
            planted: Some(planted),
            ..right.clone()
        };
        let Some(violation) = wrong.run().violation else {
            continue;
        };
        if !breaks(planted).contains(&violation.invariant) || right.run().violation.is_some() {
            continue;
        }
        return Caught {
            planted,
            by: Some((seed, violation)),
            seeds_tried: seed - from + 1,
        };
    }
    Caught {
        planted,
        by: None,
        seeds_tried: most,
    }
}
