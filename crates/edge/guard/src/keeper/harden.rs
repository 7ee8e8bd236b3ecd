//! What makes a keeper hard to starve: locked memory, real-time priority, out of the out-of-memory killer's reach. All
//! best effort; what could not be had is reported. Not inherited by the service.

use std::fs;

use rustix::mm::{MlockAllFlags, mlockall};

use crate::status::{Guard, Missing};
use crate::sys;

/// Above ordinary real-time work: the keeper sleeps until a deadline and then has 1 ms of work.
pub(crate) const PRIORITY: i32 = 80;
const OOM_SCORE_FILE: &str = "/proc/self/oom_score_adj";

/// Hardens this process. Returns the `oom_score_adj` for the service, which is to have no part in it, and what could not
/// be had.
pub(crate) fn harden() -> (i32, Vec<Missing>) {
    let mut missing = Vec::new();
    let mut note = |guard, what: &str, error: std::io::Error| {
        missing.push(Missing {
            guard,
            why: format!("{what}: {error}"),
        })
    };
    if let Err(error) = mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE) {
        note(Guard::LockedMemory, "mlockall", error.into());
    }
    if let Err(error) = sys::set_real_time(PRIORITY) {
        note(Guard::RealTime, "real-time priority", error);
    }
    let before = fs::read_to_string(OOM_SCORE_FILE)
        .ok()
        .and_then(|text| text.trim().parse::<i32>().ok());
    // The agent may be out of the killer's reach itself.
    let service = before.unwrap_or(0).max(0);
    if let Err(error) = fs::write(OOM_SCORE_FILE, "-1000") {
        note(Guard::OutOfMemory, "oom_score_adj -1000", error);
    }
    (service, missing)
}
