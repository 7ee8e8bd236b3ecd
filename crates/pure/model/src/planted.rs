//! Known-wrong variants of the core, each behind a switch that only the simulator can reach.
//! Each proves that an invariant notices what it is there for.

/// A planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Planted {
    /// A leader grants whatever is asked for, whatever the plan and earlier holders say.
    GrantExceedsPlan,
    /// A holder counts its lease from the grant's receipt instead of the request's sending.
    LeaseFromReceipt,
    /// A leader grants without a leadership lease.
    NoLeadershipLease,
    /// Consensus messages that attest to something leave before it is on the disk.
    VoteBeforeDisk,
    /// A voter acknowledges a longer promise than its disk knows.
    PromiseBeforeDisk,
    /// A voter votes right after its start, whatever it promised before.
    VoteAfterStart,
    /// A transfer of leadership does not wait for the leadership lease, and the old leader goes on granting.
    TransferSkipsLease,
    /// A new leader does not wait for the leases of earlier leaders.
    HorizonIgnored,
    /// A node executes a plan or grant that is older than its promise.
    OldGeneration,
    /// A local restart does not check the lease.
    RestartWithoutLease,
    /// A report of "inactive" counts as a release without the durable promise.
    InactiveWithoutPromise,
    /// A guard that closed opens again at the next extension (in the simulated kernel).
    GuardReopened,
    /// Waits are not stretched by drift.
    DriftIgnored,
    /// A lost or rolled-back disk goes on as the same voter.
    LostDiskVotes,
    /// After a lost disk any number is taken, also one that another run has used.
    NumberTwice,
    /// Removing a member ends its leases.
    RemovalEndsLease,
    /// After a lapse a lease is asked for although the stop is not confirmed.
    LapsedAsksAgain,
    /// A stop that was not confirmed is taken for a stop.
    FailedStopIsStop,
    /// A report of an earlier incarnation is believed.
    OldReportBelieved,
    /// A restart grant is forgotten by the next leader.
    RestartGrantForgotten,
    /// A leader that lost its majority goes on extending leases that it gave before.
    StaleLeaderGrants,
    /// A fence that failed counts as a release.
    FailedFenceReleases,
    /// A machine that is heard after it was said to be off is not noticed.
    FenceNeverVoid,
    /// Everybody carries an act out, not only its executor.
    EverybodyFences,
    /// A lost node is fenced although it is back.
    FencedThoughBack,
    /// A node that was fenced and is not back yet is fenced again: it never gets through its boot.
    FencedAgain,
    /// What needs fencing is started elsewhere when its lease is over.
    ExpiredIsEnough,
    /// An order to fence that has been given counts as carried out.
    FenceAssumed,
    /// An agent that has just started carries out what it finds ordered on its disk, however old that is.
    OldOrderAgain,
    /// Machines that have just started fence one that they have not met since.
    FencedUnmet,
    /// A node starts and stops things although the cluster only observes, or they are in maintenance.
    ObserverActs,
    /// Whoever was let in once is let in for ever.
    RemovedLetIn,
    /// The feature level rises when one member knows it.
    LevelRaisedEarly,
    /// The hardware watchdog is fed whatever has become of leases.
    FedOn,
    /// A leader gives everybody their place at once, whatever comes first.
    OrderIgnored,
    /// What was given its turn before an outage starts at once after it, whatever comes first.
    OldTurnTaken,
    /// A leader does not look at who is to be together or apart.
    ColocationIgnored,
    /// A leader does not look at what is said of nodes.
    LocationIgnored,
    /// What was ordered before it led is nothing to a leader.
    OrderForgotten,
    /// The same of a maintenance.
    MaintenanceForgotten,
    /// A new leader takes failures that it has not seen itself for old.
    FailuresForgotten,
    /// A leader starts a copy at once, however many others have not stopped yet.
    CopiesUncounted,
    /// A node takes the promoted role, and keeps it, whether or not its copy runs.
    PromotedUncarried,
    /// One of those of a pair, which have runs of their own.
    Pair(PairPlanted),
}

impl Planted {
    /// All of them. The simulator catches each in a short run, by an invariant that it breaks.
    pub const ALL: [Self; 50] = [
        Self::GrantExceedsPlan,
        Self::LeaseFromReceipt,
        Self::NoLeadershipLease,
        Self::VoteBeforeDisk,
        Self::PromiseBeforeDisk,
        Self::VoteAfterStart,
        Self::TransferSkipsLease,
        Self::HorizonIgnored,
        Self::OldGeneration,
        Self::RestartWithoutLease,
        Self::InactiveWithoutPromise,
        Self::GuardReopened,
        Self::DriftIgnored,
        Self::LostDiskVotes,
        Self::NumberTwice,
        Self::RemovalEndsLease,
        Self::LapsedAsksAgain,
        Self::FailedStopIsStop,
        Self::OldReportBelieved,
        Self::RestartGrantForgotten,
        Self::StaleLeaderGrants,
        Self::FailedFenceReleases,
        Self::FenceNeverVoid,
        Self::EverybodyFences,
        Self::FencedThoughBack,
        Self::FencedAgain,
        Self::ExpiredIsEnough,
        Self::FenceAssumed,
        Self::OldOrderAgain,
        Self::FencedUnmet,
        Self::ObserverActs,
        Self::RemovedLetIn,
        Self::LevelRaisedEarly,
        Self::FedOn,
        Self::OrderIgnored,
        Self::OldTurnTaken,
        Self::ColocationIgnored,
        Self::LocationIgnored,
        Self::OrderForgotten,
        Self::MaintenanceForgotten,
        Self::FailuresForgotten,
        Self::CopiesUncounted,
        Self::PromotedUncarried,
        Self::Pair(PairPlanted::FailedFence),
        Self::Pair(PairPlanted::HandsRunning),
        Self::Pair(PairPlanted::AloneAfterRestart),
        Self::Pair(PairPlanted::GrantsAlways),
        Self::Pair(PairPlanted::ConfirmsEarly),
        Self::Pair(PairPlanted::TargetsIgnored),
        Self::Pair(PairPlanted::LeaseKept),
    ];

    /// The bug of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|bug| bug.name() == name)
    }

    /// Its name on the simulator's command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::GrantExceedsPlan => "grant-exceeds-plan",
            Self::LeaseFromReceipt => "lease-from-receipt",
            Self::NoLeadershipLease => "no-leadership-lease",
            Self::VoteBeforeDisk => "vote-before-disk",
            Self::PromiseBeforeDisk => "promise-before-disk",
            Self::VoteAfterStart => "vote-after-start",
            Self::TransferSkipsLease => "transfer-skips-lease",
            Self::HorizonIgnored => "horizon-ignored",
            Self::OldGeneration => "old-generation",
            Self::RestartWithoutLease => "restart-without-lease",
            Self::InactiveWithoutPromise => "inactive-without-promise",
            Self::GuardReopened => "guard-reopened",
            Self::DriftIgnored => "drift-ignored",
            Self::LostDiskVotes => "lost-disk-votes",
            Self::NumberTwice => "number-twice",
            Self::RemovalEndsLease => "removal-ends-lease",
            Self::LapsedAsksAgain => "lapsed-asks-again",
            Self::FailedStopIsStop => "failed-stop-is-stop",
            Self::OldReportBelieved => "old-report-believed",
            Self::RestartGrantForgotten => "restart-grant-forgotten",
            Self::StaleLeaderGrants => "stale-leader-grants",
            Self::FailedFenceReleases => "failed-fence-releases",
            Self::FenceNeverVoid => "fence-never-void",
            Self::EverybodyFences => "everybody-fences",
            Self::FencedThoughBack => "fenced-though-back",
            Self::FencedAgain => "fenced-again",
            Self::ExpiredIsEnough => "expired-is-enough",
            Self::FenceAssumed => "fence-assumed",
            Self::OldOrderAgain => "old-order-again",
            Self::FencedUnmet => "fenced-unmet",
            Self::ObserverActs => "observer-acts",
            Self::RemovedLetIn => "removed-let-in",
            Self::LevelRaisedEarly => "level-raised-early",
            Self::FedOn => "fed-on",
            Self::OrderIgnored => "order-ignored",
            Self::OldTurnTaken => "old-turn-taken",
            Self::ColocationIgnored => "colocation-ignored",
            Self::LocationIgnored => "location-ignored",
            Self::OrderForgotten => "order-forgotten",
            Self::MaintenanceForgotten => "maintenance-forgotten",
            Self::FailuresForgotten => "failures-forgotten",
            Self::CopiesUncounted => "copies-uncounted",
            Self::PromotedUncarried => "promoted-uncarried",
            Self::Pair(bug) => bug.name(),
        }
    }
}

/// A planted bug of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PairPlanted {
    /// A fence that failed is taken for one that worked.
    FailedFence,
    /// A primary hands over before it has stopped everything.
    HandsRunning,
    /// A node that has just started goes on alone when it hears nobody.
    AloneAfterRestart,
    /// Whoever has led goes on leading and giving leases, whatever has become of its role.
    GrantsAlways,
    /// Clients are told that something is done before the secondary has it.
    ConfirmsEarly,
    /// A secondary takes over without asking the ping targets.
    TargetsIgnored,
    /// A primary that reaches no ping target goes on when its lease is over.
    LeaseKept,
}

impl PairPlanted {
    /// Its name on the simulator's command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FailedFence => "pair-failed-fence",
            Self::HandsRunning => "pair-hands-running",
            Self::AloneAfterRestart => "pair-alone-after-restart",
            Self::GrantsAlways => "pair-grants-always",
            Self::ConfirmsEarly => "pair-confirms-early",
            Self::TargetsIgnored => "pair-targets-ignored",
            Self::LeaseKept => "pair-lease-kept",
        }
    }
}
