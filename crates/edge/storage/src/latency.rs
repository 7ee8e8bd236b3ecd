//! How long writes take, for `status` and for predicted recovery times. Only measures.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The maximum is taken over the present and the previous window of this length.
const WINDOW: Duration = Duration::from_secs(60);

/// Write latency as of now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Latency {
    /// Writes measured since the start.
    pub writes: u64,
    /// Exponentially weighted average, an eighth for each new write.
    pub average: Duration,
    /// Longest write of the last one to two minutes.
    pub recent_max: Duration,
    /// How long the write in progress has been running; a hanging disk shows here first.
    pub running: Option<Duration>,
    /// Whether the latest attempt failed and is being repeated.
    pub failing: bool,
}

/// Collects latencies on one thread and shows them to others.
#[derive(Debug)]
pub(crate) struct Meter(Mutex<Measured>);

#[derive(Debug)]
struct Measured {
    writes: u64,
    average: Duration,
    window_start: Instant,
    window_max: Duration,
    previous_max: Duration,
    running_since: Option<Instant>,
    failing: bool,
}

impl Meter {
    pub(crate) fn new(now: Instant) -> Self {
        Self(Mutex::new(Measured {
            writes: 0,
            average: Duration::ZERO,
            window_start: now,
            window_max: Duration::ZERO,
            previous_max: Duration::ZERO,
            running_since: None,
            failing: false,
        }))
    }

    pub(crate) fn begin(&self, now: Instant) {
        // Retries belong to the same write: it has been running since its first attempt.
        self.lock().running_since.get_or_insert(now);
    }

    pub(crate) fn failed(&self) {
        self.lock().failing = true;
    }

    pub(crate) fn end(&self, now: Instant, took: Duration) {
        let mut measured = self.lock();
        measured.running_since = None;
        measured.failing = false;
        measured.roll(now);
        measured.average = match measured.writes {
            0 => took,
            _ => (measured.average * 7 + took) / 8,
        };
        measured.writes += 1;
        measured.window_max = measured.window_max.max(took);
    }

    pub(crate) fn read(&self, now: Instant) -> Latency {
        let mut measured = self.lock();
        measured.roll(now);
        Latency {
            writes: measured.writes,
            average: measured.average,
            recent_max: measured.window_max.max(measured.previous_max),
            running: measured
                .running_since
                .map(|since| now.saturating_duration_since(since)),
            failing: measured.failing,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Measured> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Measured {
    fn roll(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.window_start);
        if age >= WINDOW {
            let one_window_old = age < WINDOW * 2;
            self.previous_max = if one_window_old {
                self.window_max
            } else {
                Duration::ZERO
            };
            self.window_max = Duration::ZERO;
            self.window_start = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_slow_write_shows_for_a_minute_and_is_forgotten_after_two() {
        let start = Instant::now();
        let meter = Meter::new(start);
        meter.end(start, MS * 900);
        meter.end(start + MS, MS);
        assert_eq!(meter.read(start + MS).recent_max, MS * 900);
        assert_eq!(meter.read(start + WINDOW).recent_max, MS * 900);
        assert_eq!(meter.read(start + WINDOW * 2).recent_max, Duration::ZERO);
    }

    #[test]
    fn the_average_follows_and_a_running_write_is_visible() {
        let start = Instant::now();
        let meter = Meter::new(start);
        meter.end(start, MS * 8);
        meter.end(start, MS * 16);
        assert_eq!(meter.read(start).average, MS * 9);
        meter.begin(start);
        meter.failed();
        meter.begin(start + MS * 400);
        let latency = meter.read(start + MS * 500);
        assert_eq!((latency.running, latency.failing), (Some(MS * 500), true));
    }
}
