//! How far the check goes, by name. What is beyond is not claimed.

use crate::world::Left;
use standfast_model::pair::Arbiter;
use standfast_pair::Planted;

/// The bounds of one check.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Its name on the command line.
    pub name: &'static str,
    /// The pair's arbiter.
    pub arbiter: Arbiter,
    /// What may go wrong, and what operators and clients may do.
    pub left: Left,
    /// Words that are on their way for longer, at most, at any time.
    pub air: usize,
    /// Generations, at most.
    pub generations: u64,
    /// Questions "may I lead?" in one run of an agent, at most.
    pub asks: u32,
    /// Times that a run of an agent hears another run of its peer, at most.
    pub meetings: u32,
    /// Both may reach ping targets while they do not reach each other: what ping targets cannot promise.
    pub split: bool,
    /// The fence device says "off" and does nothing.
    pub lies: bool,
    /// Begins with a primary and a secondary in sync, not with two nodes that start.
    pub begins_in_sync: bool,
    /// Whether each state has to come back once faults stop.
    pub heals: bool,
    /// Only this property, which a planted bug has to break.
    pub only: Option<&'static str>,
    /// A bug of the pair.
    pub planted: Option<Planted>,
}

/// Losses of power, restarts of agents, lost disks, orders of operators, writes, orders to fence devices.
const fn left([power, restarts, disks, orders, writes, fences]: [u8; 6]) -> Left {
    Left {
        power,
        restarts,
        disks,
        orders,
        writes,
        fences,
    }
}

const SMALL: Bounds = Bounds {
    name: "",
    arbiter: Arbiter::Fence,
    left: left([1, 0, 0, 0, 1, 0]),
    air: 0,
    generations: 4,
    asks: 1,
    meetings: 2,
    split: false,
    lies: false,
    begins_in_sync: true,
    heals: true,
    only: None,
    planted: None,
};

/// What `make test` checks.
pub const SHORT: &[Bounds] = &[
    Bounds {
        name: "fence",
        left: left([1, 0, 0, 0, 1, 1]),
        ..SMALL
    },
    Bounds {
        name: "fence-race",
        left: left([0, 0, 0, 0, 0, 2]),
        ..SMALL
    },
    Bounds {
        name: "fence-restarts",
        left: left([0, 1, 0, 0, 1, 1]),
        ..SMALL
    },
    Bounds {
        name: "fence-disks",
        left: left([1, 0, 1, 1, 0, 0]),
        ..SMALL
    },
    Bounds {
        name: "fence-orders",
        left: left([0, 0, 0, 2, 0, 0]),
        ..SMALL
    },
    Bounds {
        name: "fence-lies",
        left: left([0, 0, 0, 0, 0, 1]),
        lies: true,
        ..SMALL
    },
    Bounds {
        name: "start",
        left: left([1, 0, 0, 0, 0, 0]),
        air: 1,
        begins_in_sync: false,
        ..SMALL
    },
    Bounds {
        name: "ping",
        arbiter: Arbiter::Ping,
        left: left([0, 0, 0, 0, 1, 0]),
        generations: 3,
        ..SMALL
    },
    Bounds {
        name: "ping-split",
        arbiter: Arbiter::Ping,
        left: left([0, 0, 0, 0, 2, 0]),
        split: true,
        generations: 3,
        ..SMALL
    },
    Bounds {
        name: "none",
        arbiter: Arbiter::None,
        left: left([1, 0, 0, 1, 1, 0]),
        ..SMALL
    },
    Bounds {
        name: "ping-restarts",
        arbiter: Arbiter::Ping,
        left: left([0, 1, 0, 0, 0, 0]),
        ..SMALL
    },
    Bounds {
        name: "ping-split-power",
        arbiter: Arbiter::Ping,
        left: left([1, 0, 0, 0, 1, 0]),
        split: true,
        generations: 3,
        ..SMALL
    },
];

/// What `make test-long` checks besides.
pub const LONG: &[Bounds] = &[
    Bounds {
        name: "fence-late-words-long",
        left: left([0, 0, 0, 0, 1, 1]),
        air: 1,
        ..SMALL
    },
    Bounds {
        name: "fence-twice-long",
        left: left([1, 0, 0, 0, 1, 2]),
        ..SMALL
    },
    Bounds {
        name: "fence-writes-long",
        left: left([1, 1, 0, 0, 2, 1]),
        ..SMALL
    },
    Bounds {
        name: "fence-disks-long",
        left: left([1, 0, 1, 1, 1, 0]),
        ..SMALL
    },
    Bounds {
        name: "fence-orders-long",
        left: left([0, 1, 0, 2, 1, 0]),
        ..SMALL
    },
    Bounds {
        name: "start-long",
        left: left([1, 1, 0, 0, 0, 0]),
        air: 1,
        asks: 2,
        begins_in_sync: false,
        ..SMALL
    },
    Bounds {
        name: "ping-long",
        arbiter: Arbiter::Ping,
        left: left([1, 0, 0, 0, 1, 0]),
        ..SMALL
    },
    Bounds {
        name: "ping-split-long",
        arbiter: Arbiter::Ping,
        left: left([1, 0, 0, 0, 2, 0]),
        split: true,
        ..SMALL
    },
    Bounds {
        name: "none-long",
        arbiter: Arbiter::None,
        left: left([1, 1, 0, 1, 1, 0]),
        ..SMALL
    },
];

/// The bounds of a name.
#[must_use]
pub fn by_name(name: &str) -> Option<Bounds> {
    SHORT
        .iter()
        .chain(LONG)
        .find(|bounds| bounds.name == name)
        .copied()
}

/// The bounds within which each planted bug is found, and the property that it breaks.
#[must_use]
pub const fn finds(bug: Planted) -> (&'static str, &'static str) {
    const TWO: &str = "never two primaries";
    const ALL: &str = "whoever leads has everything confirmed";
    const VANISHED: &str = "nothing confirmed vanishes";
    const BACK: &str = "comes back once faults stop";
    const STEP: &str = "no rule of a step is broken";
    match bug {
        Planted::FailedFenceIsOff | Planted::AnyBootIsOff | Planted::AloneAfterRestart => {
            ("fence", TWO)
        }
        Planted::VoidIgnored => ("fence-late-words-long", STEP),
        Planted::AloneOutOfSync => ("ping-long", TWO),
        Planted::LeaseIgnored
        | Planted::AnyPromiseCounts
        | Planted::TargetsIgnored
        | Planted::LeaseKept => ("ping", TWO),
        Planted::AloneBeforeDisk => ("ping-split-power", VANISHED),
        Planted::AloneWithoutGeneration | Planted::NumberIsEnough => ("ping-split", BACK),
        Planted::ConfirmBeforePeer | Planted::LengthWithRecord => ("fence", ALL),
        Planted::EmptyIsOlder => ("fence-disks", STEP),
        Planted::HandedBeforeStop => ("fence-orders", TWO),
        Planted::AloneForgottenLate => ("ping-restarts", TWO),
        Planted::OldRunsCount => ("fence-late-words-long", TWO),
    }
}
