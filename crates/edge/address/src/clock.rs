//! The one clock of this crate: `CLOCK_BOOTTIME`, in nanoseconds. Not for wall-clock time.

use std::time::Duration;

/// Nanoseconds of `CLOCK_BOOTTIME`: the time base of every deadline in this crate.
#[must_use]
pub fn boot_now_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

/// What is left until `deadline_boot_ns`, zero once it has passed.
pub(crate) fn remaining(deadline_boot_ns: u64, now_boot_ns: u64) -> Duration {
    Duration::from_nanos(deadline_boot_ns.saturating_sub(now_boot_ns))
}
