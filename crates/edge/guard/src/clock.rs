//! The one clock of the guards: `CLOCK_BOOTTIME`, which goes on through a suspend. Not for comparing machines.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds a second.
const SECOND_NS: u64 = 1_000_000_000;

/// The present `CLOCK_BOOTTIME` in nanoseconds.
#[must_use]
pub fn boot_now_ns() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    // Neither part of this clock is ever negative; if it were, "now" is as late as can be, so that leases are over.
    match (u64::try_from(now.tv_sec), u64::try_from(now.tv_nsec)) {
        (Ok(seconds), Ok(nanoseconds)) => seconds
            .saturating_mul(SECOND_NS)
            .saturating_add(nanoseconds),
        _ => u64::MAX,
    }
}
