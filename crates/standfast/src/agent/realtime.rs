//! Real-time priority and locked memory for the threads that leases depend on: a busy machine must
//! not look like a dead one. Best effort; what was refused is shown in `status`.
#![allow(unsafe_code, reason = "two system calls that no safe wrapper offers")]

/// Priority of the core's and the transport's threads, above ordinary work and below the kernel's own.
const PRIORITY: libc::c_int = 20;

/// Gives the calling thread real-time priority.
///
/// # Errors
/// Why it was refused, as a sentence.
pub(crate) fn raise_this_thread() -> Result<(), String> {
    let parameters = libc::sched_param {
        sched_priority: PRIORITY,
    };
    // SAFETY: the pointer is to a live value of the right type, and 0 names the calling thread.
    let result = unsafe {
        libc::sched_setscheduler(
            0,
            libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK,
            &raw const parameters,
        )
    };
    if result == 0 {
        return Ok(());
    }
    Err(format!(
        "real-time priority was refused: {}",
        std::io::Error::last_os_error()
    ))
}

/// Keeps every page of this process that is ever touched in memory.
///
/// # Errors
/// Why it was refused, as a sentence.
pub(crate) fn lock_memory() -> Result<(), String> {
    // SAFETY: takes no pointers.
    let result =
        unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT) };
    if result == 0 {
        return Ok(());
    }
    Err(format!(
        "locking memory was refused: {}",
        std::io::Error::last_os_error()
    ))
}
