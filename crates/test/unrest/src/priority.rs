//! Real-time priority for the calling thread. Not for the product, which asks for more.
#![allow(
    unsafe_code,
    reason = "sched_setscheduler has no safe wrapper in our dependencies"
)]

use std::io;

/// Gives the calling thread real-time priority (SCHED_FIFO, lowest level) that its child processes do not inherit, so that
/// the measurement stays exact while all cores are busy.
///
/// # Errors
/// When the caller may not: the measurement then goes on with ordinary priority.
pub fn take_realtime_priority() -> io::Result<()> {
    let parameters = libc::sched_param { sched_priority: 1 };
    // SAFETY: pid 0 is the calling thread; the parameters live across the call and are only read.
    let set = unsafe {
        libc::sched_setscheduler(
            0,
            libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK,
            &raw const parameters,
        )
    };
    if set == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
