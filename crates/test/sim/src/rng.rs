//! Random numbers of a run: everything random in a simulation is drawn here, from the seed.
//!
//! Each purpose has a stream of its own, so that a fault taken out of a schedule changes as little
//! as possible of everything else.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};

/// One stream of random numbers.
#[derive(Debug)]
pub(crate) struct Rng(ChaCha8Rng);

/// What a stream is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stream {
    Scenario,
    Faults,
    Network,
    Disk,
    Drivers,
    Nodes,
    Fencing,
    Acts,
    Levels,
    Targets,
    Constraints,
    Orders,
    Copies,
    Attributes,
    AttributeEdits,
}

impl Rng {
    pub(crate) fn new(seed: u64, stream: Stream) -> Self {
        let mut inner = ChaCha8Rng::seed_from_u64(seed);
        inner.set_stream(match stream {
            Stream::Scenario => 1,
            Stream::Faults => 2,
            Stream::Network => 3,
            Stream::Disk => 4,
            Stream::Drivers => 5,
            Stream::Nodes => 6,
            Stream::Fencing => 11,
            Stream::Acts => 7,
            Stream::Levels => 8,
            Stream::Targets => 12,
            Stream::Constraints => 13,
            Stream::Orders => 14,
            Stream::Copies => 15,
            Stream::Attributes => 16,
            Stream::AttributeEdits => 17,
        });
        Self(inner)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Below `limit`; zero when there is nothing below it.
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        if limit == 0 {
            return 0;
        }
        // Multiply-shift: the bias is below 2^-32 for every limit used here.
        let wide = u128::from(self.0.next_u64()) * u128::from(limit);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// From `low` to `high`, both included.
    pub(crate) fn range(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// From `low` to `high` with every order of magnitude equally likely.
    pub(crate) fn spread(&mut self, low: u64, high: u64) -> u64 {
        let doublings = (high / low.max(1)).max(1).ilog2();
        let base = low << self.below(u64::from(doublings) + 1);
        self.range(base, (base * 2).min(high.max(base)))
    }

    /// True so many times in a million.
    pub(crate) fn chance(&mut self, per_million: u64) -> bool {
        per_million > 0 && self.below(1_000_000) < per_million
    }

    pub(crate) fn index(&mut self, length: usize) -> usize {
        let limit = u64::try_from(length).unwrap_or(0);
        usize::try_from(self.below(limit)).unwrap_or(0)
    }

    /// One of these with the weight beside it. The weights may not all be zero.
    pub(crate) fn weighted<T: Copy>(&mut self, choices: &[(T, u64)]) -> Option<T> {
        let mut at = self.below(choices.iter().map(|(_, weight)| weight).sum());
        for (choice, weight) in choices {
            if at < *weight {
                return Some(*choice);
            }
            at -= weight;
        }
        None
    }
}
