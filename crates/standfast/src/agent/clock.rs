//! The clocks of this machine, read together. Not for judging elapsed time (`standfast_model::time`).

use rustix::time::{ClockId, clock_gettime};
use standfast_model::time::Now;

/// Both clocks that leases are counted by.
pub(crate) fn now() -> Now {
    Now {
        boot: micros(ClockId::Boottime),
        raw: micros(ClockId::MonotonicRaw),
    }
}

/// Wall clock minus boot clock, microseconds, for display only.
pub(crate) fn wall_offset() -> u64 {
    micros(ClockId::Realtime).saturating_sub(micros(ClockId::Boottime))
}

fn micros(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds
        .saturating_mul(1_000_000)
        .saturating_add(nanos / 1000)
}
