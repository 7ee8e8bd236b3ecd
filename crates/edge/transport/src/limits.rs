//! Counting what arrives, so that nobody can take more than a share.
//!
//! Not for sizes of single messages; those are checked where they are read.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Bytes a second from one member, over all its links.
const PEER_BYTES_PER_SECOND: u32 = 64 * 1024 * 1024;
/// Messages a second from one member, over all its links.
const PEER_MESSAGES_PER_SECOND: u32 = 20_000;

/// So much a second on average, and as much at once after a quiet second.
#[derive(Debug)]
pub(crate) struct Bucket {
    per_second: f64,
    left: f64,
    filled_at: Instant,
}

impl Bucket {
    pub(crate) fn new(per_second: u32, now: Instant) -> Self {
        Self {
            per_second: f64::from(per_second),
            left: f64::from(per_second),
            filled_at: now,
        }
    }

    /// Takes `amount`, or nothing and `false` when there is not so much left.
    pub(crate) fn take(&mut self, amount: u32, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.filled_at).as_secs_f64();
        self.left = self.per_second.min(self.left + elapsed * self.per_second);
        self.filled_at = now;
        let amount = f64::from(amount);
        if amount > self.left {
            return false;
        }
        self.left -= amount;
        true
    }
}

/// What one member may send us, over all its connections.
#[derive(Debug)]
pub(crate) struct PeerMeter(Mutex<(Bucket, Bucket)>);

impl PeerMeter {
    pub(crate) fn new(now: Instant) -> Self {
        Self(Mutex::new((
            Bucket::new(PEER_BYTES_PER_SECOND, now),
            Bucket::new(PEER_MESSAGES_PER_SECOND, now),
        )))
    }

    /// Counts one message; `Err` says which limit it broke.
    pub(crate) fn count(&self, len: usize, now: Instant) -> Result<(), &'static str> {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        if !buckets.0.take(len, now) {
            return Err("more than 64 MiB a second");
        }
        if !buckets.1.take(1, now) {
            return Err("more than 20000 messages a second");
        }
        Ok(())
    }
}

/// Lets through a few reports a second and counts the rest.
#[derive(Debug)]
pub(crate) struct ReportGate {
    bucket: Bucket,
    suppressed: u64,
}

impl ReportGate {
    pub(crate) fn new(per_second: u32, now: Instant) -> Self {
        Self {
            bucket: Bucket::new(per_second, now),
            suppressed: 0,
        }
    }

    /// `Some(how many were suppressed before)` when this one may be reported.
    pub(crate) fn pass(&mut self, now: Instant) -> Option<u64> {
        if self.bucket.take(1, now) {
            return Some(std::mem::take(&mut self.suppressed));
        }
        self.suppressed += 1;
        None
    }
}

/// After an attempt to connect that was refused, the next one waits so long at first.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// And never longer than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The pause after the `failures`-th refusal in a row (from 1).
pub(crate) fn pause_after(failures: u32) -> Duration {
    FIRST_PAUSE
        .saturating_mul(1 << failures.saturating_sub(1).min(8))
        .min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_rate_and_no_more() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, start);
        let taken = (0..100).filter(|_| bucket.take(1, start)).count();
        assert_eq!(taken, 10);
        let later = start + Duration::from_millis(500);
        let taken = (0..100).filter(|_| bucket.take(1, later)).count();
        assert_eq!(taken, 5);
    }

    #[test]
    fn suppressed_reports_are_counted() {
        let start = Instant::now();
        let mut gate = ReportGate::new(1, start);
        assert_eq!(gate.pass(start), Some(0));
        assert_eq!(gate.pass(start), None);
        assert_eq!(gate.pass(start), None);
        assert_eq!(gate.pass(start + Duration::from_secs(1)), Some(2));
    }

    #[test]
    fn pauses_grow_to_a_second() {
        let pauses: Vec<_> = (1..6).map(|n| pause_after(n).as_millis()).collect();
        assert_eq!(pauses, [200, 400, 800, 1000, 1000]);
    }
}
