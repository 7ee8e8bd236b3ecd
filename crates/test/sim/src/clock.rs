//! One clock of one machine: runs at its own rate and may jump forward. Not the cores' business:
//! they only ever see readings.

/// A clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    /// True time at which `reading` was right.
    since: u64,
    reading: u64,
    /// Parts per million that it runs too fast (negative: too slow).
    rate_ppm: i64,
}

const MILLION: i64 = 1_000_000;

impl Clock {
    pub(crate) fn new(now: u64, reading: u64, rate_ppm: i64) -> Self {
        Self {
            since: now,
            reading,
            rate_ppm,
        }
    }

    /// What it shows at a true time.
    pub(crate) fn read(&self, now: u64) -> u64 {
        // A run is short: this does not overflow.
        let elapsed = i64::try_from(now.saturating_sub(self.since)).unwrap_or(i64::MAX);
        let counted = elapsed + elapsed.saturating_mul(self.rate_ppm) / MILLION;
        self.reading
            .saturating_add(u64::try_from(counted).unwrap_or(0))
    }

    /// The first true time, not before `now`, at which it shows at least this.
    pub(crate) fn when(&self, now: u64, reading: u64) -> u64 {
        if self.read(now) >= reading {
            return now;
        }
        let wanted = reading.saturating_sub(self.reading);
        let rate = u64::try_from(MILLION + self.rate_ppm).unwrap_or(1);
        let Some(product) = wanted.checked_mul(1_000_000) else {
            return u64::MAX;
        };
        let elapsed = product.div_ceil(rate);
        let mut at = self.since.saturating_add(elapsed).max(now);
        while self.read(at) < reading && at < u64::MAX {
            at += 1;
        }
        while at > now && self.read(at - 1) >= reading {
            at -= 1;
        }
        at
    }

    /// Jumps forward.
    pub(crate) fn jump(&mut self, now: u64, by: u64) {
        self.set(now, self.read(now).saturating_add(by));
    }

    /// Shows this from now on.
    pub(crate) fn set(&mut self, now: u64, reading: u64) {
        self.since = now;
        self.reading = reading;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_clock_is_read_and_inverted_exactly() {
        let clock = Clock::new(1_000, 5_000_000, -5_000);
        assert_eq!(clock.read(1_001_000), 5_995_000);
        let at = clock.when(1_000, 5_995_000);
        assert!(clock.read(at) >= 5_995_000 && clock.read(at - 1) < 5_995_000);
    }

    #[test]
    fn a_jump_brings_a_reading_nearer() {
        let mut clock = Clock::new(0, 0, 5_000);
        clock.jump(1_000_000, 500_000);
        assert_eq!(clock.read(1_000_000), 1_505_000);
        assert_eq!(clock.when(1_000_000, 1_400_000), 1_000_000);
    }
}
