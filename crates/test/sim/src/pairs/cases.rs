//! What runs of pairs have met. A case that many runs never meet is a hole in this world, and fails them.

use std::collections::BTreeMap;

/// Something that a run can meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Case {
    /// The service began on the other machine than before.
    Moved,
    /// A client was told that a change is done.
    Confirmed,
    /// A primary had stopped everything for its successor.
    HandedOver,
    FenceOrdered,
    /// A secondary asked a device whether its primary has power.
    Looked,
    FenceWorked,
    FenceFailed,
    FenceSlow,
    /// A device said that it could not, and cut the power later.
    FenceLate,
    /// An operator in the place of a device.
    SeenOff,
    Demoted,
    Forced,
    /// Both had what the other one lacked, and an operator chose.
    Diverged,
    /// Its power, while something held the other one back.
    PrimaryLost,
    /// A secondary took over because ping targets answered it.
    TargetsGranted,
    /// A primary went on alone because they answered it.
    TargetsKept,
    /// A primary gave up because none did.
    GaveUp,
}

impl Case {
    /// All of them.
    pub(crate) const ALL: [Self; 17] = [
        Self::Moved,
        Self::Confirmed,
        Self::HandedOver,
        Self::FenceOrdered,
        Self::Looked,
        Self::FenceWorked,
        Self::FenceFailed,
        Self::FenceSlow,
        Self::FenceLate,
        Self::SeenOff,
        Self::Demoted,
        Self::Forced,
        Self::Diverged,
        Self::PrimaryLost,
        Self::TargetsGranted,
        Self::TargetsKept,
        Self::GaveUp,
    ];

    /// Its name in reports.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Moved => "service-moved",
            Self::Confirmed => "change-confirmed",
            Self::HandedOver => "handed-over",
            Self::FenceOrdered => "fence-ordered",
            Self::Looked => "power-looked-at",
            Self::FenceWorked => "fence-worked",
            Self::FenceFailed => "fence-failed",
            Self::FenceSlow => "fence-slow",
            Self::FenceLate => "fence-failed-and-cut-later",
            Self::SeenOff => "operator.seen-off",
            Self::Demoted => "operator.demote",
            Self::Forced => "operator.force-primary",
            Self::Diverged => "diverged-and-rebuilt",
            Self::PrimaryLost => "primary-lost-while-the-other-lags",
            Self::TargetsGranted => "targets.took-over",
            Self::TargetsKept => "targets.went-on-alone",
            Self::GaveUp => "targets.gave-up",
        }
    }
}

/// How often each was met.
pub(crate) type Counts = BTreeMap<Case, u64>;
