//! Faults that bring a planted bug out together: what has to go wrong at once, and just when.
//!
//! Not for single faults that do so by themselves (`directed`, `schedule`).

use crate::{
    fault::{Edit, Fault, Kind, Ordered, Target, Way},
    rng::Rng,
    scenario::Scenario,
};
use standfast_model::planted::Planted;

const MS: u64 = 1_000;
const SECOND: u64 = 1_000_000;

/// Where and when a sequence strikes.
struct Scene<'a> {
    rng: &'a mut Rng,
    at: u64,
    resource: usize,
    /// Whoever runs that resource then.
    holder: Target,
    /// Some node, and two others.
    first: Target,
    others: [Target; 2],
}

/// The faults that bring a bug out together, from a time on; none when single ones do.
pub(crate) fn sequence(
    planted: Planted,
    rng: &mut Rng,
    scenario: &Scenario,
    at: u64,
) -> Vec<Fault> {
    let resource = rng.index(scenario.resources.len());
    let first = rng.index(scenario.nodes);
    let node = |step: usize| Target::Node((first + step) % scenario.nodes);
    let mut scene = Scene {
        rng,
        at,
        resource,
        holder: Target::Holder(resource),
        first: node(0),
        others: [node(1), node(2)],
    };
    match planted {
        Planted::GuardReopened => scene.stale_extension(),
        Planted::RestartGrantForgotten => scene.leader_lost_during_restart(),
        Planted::OldReportBelieved => scene.last_report_on_its_way(),
        Planted::VoteAfterStart => scene.voters_forget_by_dying(),
        Planted::PromiseBeforeDisk => scene.longer_promise_on_slow_disks(),
        Planted::LostDiskVotes => scene.one_of_two_forgets(),
        Planted::NumberTwice => scene.put_back_as_lost(),
        Planted::RemovalEndsLease => scene.removed_while_it_cannot_stop(),
        Planted::RemovedLetIn => scene.removed(),
        Planted::LevelRaisedEarly => scene.upgraded(),
        Planted::ObserverActs => scene.something_fails_while_observing(),
        Planted::OrderForgotten => scene.leader_lost_after(Ordered::Disable, Ordered::Enable),
        Planted::MaintenanceForgotten => {
            scene.leader_lost_after(Ordered::Cluster(true), Ordered::Cluster(false))
        }
        Planted::FailuresForgotten => scene.leader_lost_after_a_failure(),
        Planted::FencedUnmet => scene.one_is_late_after_an_outage(),
        Planted::GrantExceedsPlan
        | Planted::LeaseFromReceipt
        | Planted::NoLeadershipLease
        | Planted::StaleLeaderGrants
        | Planted::HorizonIgnored
        | Planted::DriftIgnored
        | Planted::VoteBeforeDisk
        | Planted::TransferSkipsLease
        | Planted::OldGeneration
        | Planted::InactiveWithoutPromise
        | Planted::RestartWithoutLease
        | Planted::LapsedAsksAgain
        | Planted::FailedStopIsStop
        | Planted::FailedFenceReleases
        | Planted::FenceNeverVoid
        | Planted::FedOn
        | Planted::EverybodyFences
        | Planted::FencedThoughBack
        | Planted::FencedAgain
        | Planted::ExpiredIsEnough
        | Planted::FenceAssumed
        | Planted::OldOrderAgain
        | Planted::OrderIgnored
        | Planted::OldTurnTaken
        | Planted::ColocationIgnored
        | Planted::LocationIgnored
        | Planted::CopiesUncounted
        | Planted::PromotedUncarried
        | Planted::Pair(_) => Vec::new(),
    }
}

impl Scene<'_> {
    fn fault(&self, after: u64, duration: u64, target: Target, kind: Kind) -> Fault {
        Fault {
            at: self.at + after,
            duration,
            target,
            kind,
        }
    }

    /// A stale extension reaches a guard that has closed.
    fn stale_extension(&mut self) -> Vec<Fault> {
        let pause = self.rng.spread(100 * MS, 4 * SECOND);
        vec![self.fault(0, pause, self.holder, Kind::PauseInStep)]
    }

    /// The agent is away, on a grant, while the leader changes.
    fn leader_lost_during_restart(&mut self) -> Vec<Fault> {
        let away = self.rng.spread(2 * SECOND, 9 * SECOND);
        let after = self.rng.spread(50 * MS, SECOND);
        vec![
            self.fault(0, away, self.holder, Kind::PlannedRestart),
            self.fault(after, 5 * SECOND, Target::Leader, Kind::PowerLoss),
        ]
    }

    /// A last report is on its way when the agent ends, on a grant.
    fn last_report_on_its_way(&mut self) -> Vec<Fault> {
        let gap = self.rng.below(40 * MS);
        let times = self.rng.range(1, 3);
        let away = self.rng.spread(3 * SECOND, 9 * SECOND);
        let exit = Kind::Exit(self.resource, times);
        vec![
            self.fault(0, SECOND, self.holder, exit),
            self.fault(gap, away, self.holder, Kind::PlannedRestart),
        ]
    }

    /// The others forget their promises, by dying; a holder has just told them what it remembers of
    /// them when it gets out of reach.
    fn voters_forget_by_dying(&mut self) -> Vec<Fault> {
        let gone = self.rng.range(10 * MS, 90 * MS);
        let apart = Kind::Isolate(Way::Both, None);
        let mut all = vec![self.fault(gone, 3 * SECOND, self.first, apart)];
        for other in self.others {
            let down = self.rng.spread(MS, gone);
            all.push(self.fault(0, down, other, Kind::AgentKilled));
        }
        all
    }

    /// Promises become longer just when the others' disks stand still, and then those die.
    fn longer_promise_on_slow_disks(&mut self) -> Vec<Fault> {
        let slow = self.rng.range(5 * MS, 120 * MS);
        let die = slow + self.rng.range(100 * MS, 300 * MS);
        let apart = Kind::Isolate(Way::Both, None);
        let mut all = vec![
            self.fault(0, 1, self.first, Kind::Apply(Edit::Timing)),
            self.fault(die, 3 * SECOND, self.first, apart),
        ];
        for other in self.others {
            let down = self.rng.spread(MS, 20 * MS);
            all.push(self.fault(slow, die - slow, other, Kind::DiskSlow(3 * SECOND)));
            all.push(self.fault(die, down, other, Kind::PowerLoss));
        }
        all
    }

    /// One does not see what the other two commit; then one of the two forgets it, and the other is cut off.
    fn one_of_two_forgets(&mut self) -> Vec<Fault> {
        let apart = self.rng.spread(2 * SECOND, 6 * SECOND);
        let [forgets, leads] = self.others;
        let Target::Node(lags) = self.first else {
            return Vec::new();
        };
        let back = Kind::DiskRolledBack(apart * 3 / 4);
        vec![
            self.fault(0, apart + 5 * SECOND, leads, Kind::CutPair(lags, Way::Both)),
            self.fault(apart / 2, 1, forgets, Kind::Apply(Edit::Prefer(0))),
            self.fault(apart - 300 * MS, 100 * MS, forgets, back),
            self.fault(apart, 4 * SECOND, leads, Kind::Isolate(Way::Both, None)),
        ]
    }

    /// A disk is lost, and put back as it was then when its node has come back under a new number.
    fn put_back_as_lost(&mut self) -> Vec<Fault> {
        let down = self.rng.range(2 * SECOND, 3 * SECOND);
        let back = self.rng.range(600 * MS, 4 * SECOND);
        let age = back + 500 * MS;
        vec![
            self.fault(0, down, self.first, Kind::DiskLost),
            self.fault(down + back, 100 * MS, self.first, Kind::DiskRolledBack(age)),
        ]
    }

    /// All lose their power, and a holder is back long after the others.
    fn one_is_late_after_an_outage(&mut self) -> Vec<Fault> {
        let after = self.rng.spread(5 * MS, 50 * MS);
        let down = self.rng.range(30 * SECOND, 80 * SECOND);
        vec![
            self.fault(0, down, self.holder, Kind::PowerLoss),
            self.fault(after, SECOND, self.first, Kind::TotalOutage),
        ]
    }

    /// A node is removed, and its machine goes on.
    fn removed(&mut self) -> Vec<Fault> {
        vec![self.fault(0, 20 * SECOND, self.first, Kind::Remove)]
    }

    /// One machine after the other gets a new program.
    fn upgraded(&mut self) -> Vec<Fault> {
        vec![self.fault(0, 1, self.first, Kind::Upgrade)]
    }

    /// Nothing may be done about a failure.
    fn something_fails_while_observing(&mut self) -> Vec<Fault> {
        let what = match self.rng.below(3) {
            0 => Edit::MaintenanceOfAll,
            1 => Edit::Maintenance(self.rng.index(6)),
            _ => Edit::Observe,
        };
        let after = self.rng.spread(500 * MS, 4 * SECOND);
        let exit = Kind::Exit(self.resource, 1);
        vec![
            self.fault(0, 1, self.first, Kind::Apply(what)),
            self.fault(after, 1, self.first, exit),
            self.fault(after + 4 * SECOND, 1, self.first, Kind::Apply(what)),
        ]
    }

    /// Somebody orders something, and another node leads from then on.
    fn leader_lost_after(&mut self, begin: Ordered, end: Ordered) -> Vec<Fault> {
        let group = self.rng.index(6);
        let after = self.rng.spread(SECOND, 4 * SECOND);
        let order = |ordered| Kind::Order(ordered, group);
        let exit = Kind::Exit(self.resource, 1);
        vec![
            self.fault(0, 1, self.first, order(begin)),
            self.fault(after, 5 * SECOND, Target::Leader, Kind::PowerLoss),
            self.fault(after + 6 * SECOND, 1, self.first, exit),
            self.fault(after + 12 * SECOND, 1, self.first, order(end)),
        ]
    }

    /// Something fails, and another node leads from then on.
    fn leader_lost_after_a_failure(&mut self) -> Vec<Fault> {
        let after = self.rng.spread(SECOND, 4 * SECOND);
        let exit = Kind::Exit(self.resource, 1);
        vec![
            self.fault(0, 1, self.first, exit),
            self.fault(after, 5 * SECOND, Target::Leader, Kind::PowerLoss),
        ]
    }

    /// A holder that cannot stop loses its place, and then its membership.
    fn removed_while_it_cannot_stop(&mut self) -> Vec<Fault> {
        let after = self.rng.spread(20 * MS, 200 * MS);
        let down = self.rng.spread(5 * MS, 100 * MS);
        vec![
            self.fault(0, 5 * SECOND, self.holder, Kind::StopHangs),
            self.fault(5 * MS, 4 * SECOND, self.holder, Kind::Drain),
            self.fault(after, down, self.holder, Kind::FolderLost),
        ]
    }
}
