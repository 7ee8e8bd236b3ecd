//! What goes wrong in a run of a pair, and when; everything from the seed.

use crate::rng::{Rng, Stream};

pub(crate) const MS: u64 = 1_000;
pub(crate) const SECOND: u64 = 1_000_000;

/// Faults begin after this, and end before the other.
pub(crate) const CALM: u64 = 20 * SECOND;
pub(crate) const QUIET: u64 = 220 * SECOND;

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A machine loses its power for so long.
    Power(usize, u64),
    /// Whichever is primary then does.
    PowerOfPrimary(u64),
    /// An agent is killed, and back after so long.
    Kill(usize, u64),
    /// Neither hears the other.
    Cut(u64),
    /// This one is not heard.
    Mute(usize, u64),
    /// So many messages in a thousand are lost; a stream sends them again.
    Loss(u64, u64),
    /// Streams stand still, and datagrams arrive.
    Stall(u64),
    /// Writes of one take so much longer.
    SlowDisk(usize, u64, u64),
    /// Operators want so many changes, one after the other.
    Burst(u64),
    /// An operator wants them to change places.
    Swap(usize),
    /// An operator wants no primary, and one of them to be primary after so long.
    Demote(u64),
    /// An operator stands by, and switches the other one of a node that waits for that off for so long, and says so.
    SeenOff(usize, u64),
    /// An operator makes a node primary, after having switched the other one off for so long.
    Force(usize, u64),
    /// An agent restarts as planned.
    Restart(usize, u64),
    /// This one reaches no ping target.
    Dark(usize, u64),
}

impl Fault {
    /// The secondary may not have what the primary has.
    const fn holds_back(self) -> bool {
        matches!(
            self,
            Self::Cut(_) | Self::Mute(..) | Self::Loss(..) | Self::Stall(_) | Self::SlowDisk(..)
        )
    }
}

/// The faults of a seed with their times.
pub(crate) fn draw(seed: u64) -> Vec<(u64, Fault)> {
    let mut rng = Rng::new(seed, Stream::Faults);
    let mut faults = Vec::new();
    let mut at = CALM + rng.below(5 * SECOND);
    while at < QUIET {
        let fault = one(&mut rng);
        faults.push((at, fault));
        if fault.holds_back() && rng.chance(400_000) {
            // Changes just then, and the primary is lost with whatever the other one has of them.
            faults.push((at, Fault::Burst(rng.range(5, 25))));
            let soon = at + rng.spread(20 * MS, 800 * MS);
            let down = rng.spread(2 * SECOND, 30 * SECOND);
            faults.push((soon, Fault::PowerOfPrimary(down)));
        }
        // Sometimes the next one comes before the first is over.
        at += if rng.chance(300_000) {
            rng.below(2 * SECOND)
        } else {
            rng.range(5 * SECOND, 40 * SECOND)
        };
    }
    faults
}

/// When ping targets are not reached, whatever else happens.
pub(crate) fn draw_dark(seed: u64) -> Vec<(u64, Fault)> {
    let mut rng = Rng::new(seed, Stream::Targets);
    let mut faults = Vec::new();
    let mut at = CALM + rng.below(20 * SECOND);
    while at < QUIET {
        let length = rng.spread(100 * MS, 20 * SECOND);
        faults.push((at, Fault::Dark(rng.index(2), length)));
        at += rng.range(SECOND, 60 * SECOND);
    }
    faults
}

fn one(rng: &mut Rng) -> Fault {
    let node = rng.index(2);
    let short = |rng: &mut Rng| rng.spread(50 * MS, 3 * SECOND);
    let long = |rng: &mut Rng| rng.spread(200 * MS, 30 * SECOND);
    match rng.below(24) {
        0..=4 => Fault::Power(node, long(rng)),
        5..=7 => Fault::Kill(node, short(rng)),
        8..=10 => Fault::Cut(long(rng)),
        11 | 12 => Fault::Mute(node, long(rng)),
        13 | 14 => Fault::Loss(rng.range(50, 600), long(rng)),
        15 | 16 => Fault::SlowDisk(node, rng.spread(20 * MS, SECOND), long(rng)),
        17 | 18 => Fault::Swap(node),
        19 => Fault::Force(node, long(rng)),
        20 => Fault::Restart(node, short(rng)),
        21 => Fault::Stall(short(rng)),
        22 => Fault::Demote(long(rng)),
        _ => Fault::SeenOff(node, long(rng)),
    }
}
