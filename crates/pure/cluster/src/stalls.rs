//! How long this agent stood still lately: the longest stall of the last minutes, which is forgotten again.
//!
//! Not for what a stall costs: leases run on meanwhile, and end by themselves.

use standfast_model::time::{Micros, Now};
use std::collections::VecDeque;

/// A stall is forgotten after this long.
pub(crate) const REMEMBERED: Micros = Micros::from_millis(10 * 60 * 1000);

/// Stalls that are the longest since they were, oldest (and longest) first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stalls(VecDeque<(Now, Micros)>);

impl Stalls {
    /// Notes one. Lengths are rounded up to a power of two milliseconds, which bounds how many are kept
    /// and how often a report changes.
    pub(crate) fn note(&mut self, now: Now, length: Micros) {
        let length = coarse(length);
        while self.0.back().is_some_and(|(_, known)| *known <= length) {
            self.0.pop_back();
        }
        self.0.push_back((now, length));
    }

    /// Forgets what is too long ago.
    pub(crate) fn forget(&mut self, now: Now) {
        while self.forgotten_in(now) == Micros::ZERO {
            self.0.pop_front();
        }
    }

    /// How long until the longest one is forgotten.
    pub(crate) fn forgotten_in(&self, now: Now) -> Micros {
        self.0.front().map_or(Micros::MAX, |(at, _)| {
            REMEMBERED.minus(now.waited_since(*at))
        })
    }

    /// The longest one that is remembered.
    pub(crate) fn longest(&self) -> Micros {
        self.0.front().map_or(Micros::ZERO, |(_, length)| *length)
    }
}

/// Rounded so that a report does not change with every measurement: to the next power of two milliseconds.
pub(crate) fn coarse(length: Micros) -> Micros {
    if length == Micros::ZERO {
        length
    } else {
        Micros::from_millis(length.as_millis_ceil().next_power_of_two())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Now {
        Now {
            boot: seconds * 1_000_000,
            raw: seconds * 1_000_000,
        }
    }

    #[test]
    fn the_longest_of_the_last_minutes_counts_and_then_the_next() {
        let mut stalls = Stalls::default();
        stalls.note(at(0), Micros::from_millis(900));
        stalls.note(at(100), Micros::from_millis(50));
        stalls.note(at(200), Micros::from_millis(200));
        assert_eq!(stalls.longest(), Micros::from_millis(1024));
        stalls.forget(at(599));
        assert_eq!(stalls.longest(), Micros::from_millis(1024));
        assert_eq!(stalls.forgotten_in(at(599)), Micros::from_millis(1000));
        stalls.forget(at(600));
        assert_eq!(stalls.longest(), Micros::from_millis(256));
        stalls.forget(at(800));
        assert_eq!(stalls.longest(), Micros::ZERO);
        assert_eq!(stalls.forgotten_in(at(800)), Micros::MAX);
    }

    #[test]
    fn few_are_kept_however_many_there_are() {
        let mut stalls = Stalls::default();
        for number in 0..100_000_u64 {
            stalls.note(at(number / 1000), Micros((number * 7919) % 1_000_000));
        }
        assert!(stalls.0.len() < 32, "{}", stalls.0.len());
    }
}
