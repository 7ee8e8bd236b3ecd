//! Known-wrong variants of the pair, each one rule removed. Each proves that a property of the model
//! notices what it is there for.

/// A planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Planted {
    /// A fence that failed counts as one that worked.
    FailedFenceIsOff,
    /// What a device says about any boot of the peer counts for the present one.
    AnyBootIsOff,
    /// A packet of a boot that was confirmed off does not void the fence.
    VoidIgnored,
    /// A node goes on alone although it was not in sync.
    AloneOutOfSync,
    /// A node that restarted goes on alone when it does not see its peer.
    AloneAfterRestart,
    /// Writes are confirmed alone before the solo generation is on the disk.
    AloneBeforeDisk,
    /// A node goes on alone without beginning a generation.
    AloneWithoutGeneration,
    /// Writes are confirmed before the follower has them.
    ConfirmBeforePeer,
    /// An empty disk counts as an old one: the other node leads without an operator's word.
    EmptyIsOlder,
    /// A follower takes over before the leader's lease is over (ping targets).
    LeaseIgnored,
    /// Leadership is handed over before everything is stopped.
    HandedBeforeStop,
    /// A promise to follow counts for any question.
    AnyPromiseCounts,
    /// Being alone no more is not written down before the peer counts as in sync.
    AloneForgottenLate,
    /// What an earlier run of the peer said counts after a later one was heard.
    OldRunsCount,
    /// Histories with the same number of generations count as one.
    NumberIsEnough,
    /// A follower takes over when the leader's lease is over, whatever ping targets say.
    TargetsIgnored,
    /// A leader that no ping target answered goes on when its lease is over.
    LeaseKept,
    /// A copy counts as long as the record that was taken over says, before the contents have come.
    LengthWithRecord,
}

impl Planted {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::FailedFenceIsOff,
        Self::AnyBootIsOff,
        Self::VoidIgnored,
        Self::AloneOutOfSync,
        Self::AloneAfterRestart,
        Self::AloneBeforeDisk,
        Self::AloneWithoutGeneration,
        Self::ConfirmBeforePeer,
        Self::EmptyIsOlder,
        Self::LeaseIgnored,
        Self::HandedBeforeStop,
        Self::AnyPromiseCounts,
        Self::AloneForgottenLate,
        Self::OldRunsCount,
        Self::NumberIsEnough,
        Self::TargetsIgnored,
        Self::LeaseKept,
        Self::LengthWithRecord,
    ];

    /// Its name on the model checker's command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FailedFenceIsOff => "failed-fence-is-off",
            Self::AnyBootIsOff => "any-boot-is-off",
            Self::VoidIgnored => "void-ignored",
            Self::AloneOutOfSync => "alone-out-of-sync",
            Self::AloneAfterRestart => "alone-after-restart",
            Self::AloneBeforeDisk => "alone-before-disk",
            Self::AloneWithoutGeneration => "alone-without-generation",
            Self::ConfirmBeforePeer => "confirm-before-peer",
            Self::EmptyIsOlder => "empty-is-older",
            Self::LeaseIgnored => "lease-ignored",
            Self::HandedBeforeStop => "handed-before-stop",
            Self::AnyPromiseCounts => "any-promise-counts",
            Self::AloneForgottenLate => "alone-forgotten-late",
            Self::OldRunsCount => "old-runs-count",
            Self::NumberIsEnough => "number-is-enough",
            Self::TargetsIgnored => "targets-ignored",
            Self::LeaseKept => "lease-kept",
            Self::LengthWithRecord => "length-with-record",
        }
    }
}
