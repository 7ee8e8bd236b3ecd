//! The command line of the runs of pairs, and the hunt for bugs planted in them.

use super::{
    cases::{Case, Counts},
    explain, run,
    world::Outcome,
};
use crate::{invariants::Violation, planted};
use standfast_model::planted::{PairPlanted, Planted};
use std::{
    io::{self, Write},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Seeds when none are named.
const SEEDS: u64 = 200;
/// Runs of this many seeds have to meet every case.
const ENOUGH_SEEDS: usize = 100;
/// Violations after which no further seeds are started.
const GIVE_UP_AFTER: usize = 5;

/// Prints a run of a pair. True when nothing was broken.
///
/// # Errors
/// When the output cannot be written.
pub(crate) fn trace(
    seed: u64,
    planted: Option<PairPlanted>,
    out: &mut dyn Write,
) -> io::Result<bool> {
    let (outcome, lines) = explain(seed, planted, usize::MAX);
    for line in lines {
        writeln!(out, "{line}")?;
    }
    writeln!(out, "seed {seed}: trace hash {:016x}", outcome.hash)?;
    Ok(outcome.violation.is_none())
}

/// Runs seeds. True when everything is well.
///
/// # Errors
/// When the output cannot be written.
pub(crate) fn start(
    seeds: Option<(u64, u64)>,
    jobs: usize,
    out: &mut dyn Write,
) -> io::Result<bool> {
    let began = std::time::Instant::now();
    let outcomes = run_all(seeds.unwrap_or((0, SEEDS)), jobs);
    let mut counts = Counts::new();
    let mut broken = 0;
    for outcome in &outcomes {
        for (case, count) in &outcome.cases {
            *counts.entry(*case).or_default() += count;
        }
        if let Some(Violation {
            invariant, text, ..
        }) = &outcome.violation
        {
            broken += 1;
            let seed = outcome.seed;
            writeln!(out, "seed {seed}: invariant {invariant}: {text}")?;
        }
    }
    let mut holes = 0;
    for case in Case::ALL {
        let count = counts.get(&case).copied().unwrap_or(0);
        writeln!(out, "{:<45} {count:>10}", case.name())?;
        // Histories part only where an operator forces one against another that was alone.
        let rare = case == Case::Diverged;
        if count == 0 && !rare && outcomes.len() >= ENOUGH_SEEDS {
            holes += 1;
            writeln!(out, "NEVER MET: {}", case.name())?;
        }
    }
    writeln!(
        out,
        "{} runs of pairs, {broken} violations, in {:.1} s on {jobs} threads",
        outcomes.len(),
        began.elapsed().as_secs_f64(),
    )?;
    Ok(broken == 0 && holes == 0)
}

/// Hunts a bug that is planted in pairs: the first of these seeds on which it breaks what it may break, and the right
/// code nothing.
pub(crate) fn hunt(bug: PairPlanted, from: u64, most: u64) -> Option<(u64, Violation)> {
    let breaks = planted::breaks(Planted::Pair(bug));
    (from..from + most).find_map(|seed| {
        let violation = run(seed, Some(bug)).violation?;
        let proves = breaks.contains(&violation.invariant) && run(seed, None).violation.is_none();
        proves.then_some((seed, violation))
    })
}

fn run_all((from, to): (u64, u64), jobs: usize) -> Vec<Outcome> {
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
                    let outcome = run(seed, None);
                    let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                    done.push(outcome);
                    let broken = |outcome: &&Outcome| outcome.violation.is_some();
                    if done.iter().filter(broken).count() >= GIVE_UP_AFTER {
                        break;
                    }
                }
            });
        }
    });
    let mut outcomes = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    outcomes.sort_by_key(|outcome| outcome.seed);
    outcomes
}
