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

/// Names this start of the machine: the kernel's name for its own start, and when its first process began, so that a
/// container has one, too. What cutting its power ends is this.
pub(crate) fn boot_id() -> u64 {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let first = read("/proc/1/stat");
    // After the name, which may contain anything, the state is the first field and the start the twentieth.
    let fields = first.rsplit_once(')').map_or("", |(_, fields)| fields);
    let began = fields.split_whitespace().nth(19).unwrap_or_default();
    let text = read("/proc/sys/kernel/random/boot_id") + began;
    // Several machines on one kernel, as in tests, have names of their own.
    let text = std::env::var("STANDFAST_BOOT_ID").unwrap_or(text);
    // FNV-1a.
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, mix)
}

fn micros(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds
        .saturating_mul(1_000_000)
        .saturating_add(nanos / 1000)
}
