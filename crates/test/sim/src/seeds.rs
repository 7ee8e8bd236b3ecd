//! Many seeds on several threads, with their results in order.

use crate::run::{Case, Outcome};
use std::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering},
};

/// Runs all seeds of a range; stops handing out new ones after so many violations.
pub(crate) fn run_all(
    (from, to): (u64, u64),
    jobs: usize,
    give_up_after: usize,
    case_of: fn(u64) -> Case,
) -> Vec<Outcome> {
    let next = AtomicU64::new(from);
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= to {
                        break;
                    }
                    let outcome = case_of(seed).run();
                    let mut done = done
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner);
                    done.push(outcome);
                    let failed = done
                        .iter()
                        .filter(|outcome| outcome.violation.is_some())
                        .count();
                    if failed >= give_up_after {
                        break;
                    }
                }
            });
        }
    });
    let mut outcomes = done
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    outcomes.sort_by_key(|outcome| outcome.seed);
    outcomes
}
