//! Time without a clock: readings are arguments, and an elapsed time is judged by whoever would be
//! hurt by judging it wrongly.
//!
//! Two clocks are read together. Whoever *holds* a lease takes the larger elapsed time of the two
//! (it ends early rather than late); whoever *waits* for one takes the smaller. Readings of two
//! machines are never compared.

use serde::{Deserialize, Serialize};

/// A length of time in microseconds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Micros(pub u64);

impl Micros {
    /// No time at all.
    pub const ZERO: Self = Self(0);
    /// Longer than any timer of ours.
    pub const MAX: Self = Self(u64::MAX);

    /// From whole milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1000))
    }

    /// Whole milliseconds, rounded up.
    #[must_use]
    pub const fn as_millis_ceil(self) -> u64 {
        self.0.div_ceil(1000)
    }

    /// Sum, or the longest time.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Difference, or zero.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// This length as a clock may measure it that differs by `drift` parts per million from the
    /// one it was set by: what a waiter has to wait so that the other side's clock has certainly
    /// counted the length itself. Rounded up.
    #[must_use]
    pub const fn stretched(self, drift_ppm: u64) -> Self {
        if let Some(product) = self.0.checked_mul(drift_ppm) {
            return self.plus(Self(product.div_ceil(1_000_000)));
        }
        let extra = (self.0 as u128 * drift_ppm as u128).div_ceil(1_000_000);
        let total = self.0 as u128 + extra;
        if total > u64::MAX as u128 {
            Self(u64::MAX)
        } else {
            #[expect(clippy::cast_possible_truncation, reason = "checked just above")]
            Self(total as u64)
        }
    }
}

/// One reading of this machine's two clocks, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Now {
    /// `CLOCK_BOOTTIME`: counts suspend, disciplined by NTP.
    pub boot: u64,
    /// `CLOCK_MONOTONIC_RAW`: counts no suspend, undisciplined.
    pub raw: u64,
}

impl Now {
    /// Time since `earlier` as a lease's holder must count it: the larger of both clocks.
    #[must_use]
    pub fn held_since(self, earlier: Self) -> Micros {
        let boot = self.boot.saturating_sub(earlier.boot);
        let raw = self.raw.saturating_sub(earlier.raw);
        Micros(boot.max(raw))
    }

    /// Time since `earlier` as a waiter must count it: the smaller of both clocks.
    #[must_use]
    pub fn waited_since(self, earlier: Self) -> Micros {
        let boot = self.boot.saturating_sub(earlier.boot);
        let raw = self.raw.saturating_sub(earlier.raw);
        Micros(boot.min(raw))
    }
}

/// A time that this machine must not act beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldUntil {
    /// When the counting began.
    pub from: Now,
    /// How long it lasts, as the holder counts.
    pub length: Micros,
}

impl HoldUntil {
    /// Time left, zero once it is over.
    #[must_use]
    pub fn left(&self, now: Now) -> Micros {
        self.length.minus(now.held_since(self.from))
    }

    /// Whether it is over.
    #[must_use]
    pub fn is_over(&self, now: Now) -> bool {
        self.left(now) == Micros::ZERO
    }

    /// The same end, counted from here on: never after that of a guard that is set here. What one clock has counted more until
    /// now would else be forgotten when the other one jumps later, and the guard, which knows that one only, would end first.
    #[must_use]
    pub fn counted_from(&self, now: Now) -> Self {
        Self {
            from: now,
            length: self.left(now),
        }
    }

    /// The end as an absolute reading of `CLOCK_BOOTTIME`, which is what the kernel's guards compare.
    #[must_use]
    pub fn boot_deadline(&self, now: Now) -> u64 {
        now.boot.saturating_add(self.left(now).0)
    }
}

/// A time before which this machine must not rely on somebody else having stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitUntil {
    /// When the counting began.
    pub from: Now,
    /// How long it lasts, as the waiter counts; already stretched by drift.
    pub length: Micros,
}

impl WaitUntil {
    /// Time left, zero once it is over.
    #[must_use]
    pub fn left(&self, now: Now) -> Micros {
        self.length.minus(now.waited_since(self.from))
    }

    /// Whether it is over.
    #[must_use]
    pub fn is_over(&self, now: Now) -> bool {
        self.left(now) == Micros::ZERO
    }

    /// Whichever of the two ends later, seen from `now`.
    #[must_use]
    pub fn later(self, other: Self, now: Now) -> Self {
        if other.left(now) > self.left(now) {
            other
        } else {
            self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Simulator, seed 1000710: a lease was asked for that the guard had ended.
    #[test]
    fn a_holder_does_not_outlast_the_guard_that_it_sets() {
        let at = |boot, raw| Now { boot, raw };
        let until = HoldUntil {
            from: at(0, 0),
            length: Micros(1_000_000),
        };
        // The raw clock is ahead when the guard is set; then boot time jumps.
        let granted = at(100_000, 101_000);
        let deadline = until.boot_deadline(granted);
        assert_eq!(deadline, 999_000);
        let after = at(999_000, 300_000);
        assert_eq!(until.left(after), Micros(1_000));
        assert!(until.counted_from(granted).is_over(after));
    }
}
