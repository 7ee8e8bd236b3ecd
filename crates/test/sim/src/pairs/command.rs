//! The command line of the runs of pairs.

use super::{explain, run, world::Outcome};
use standfast_model::planted::PairPlanted;
use std::{
    io::{self, Write},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Seeds when none are named.
const SEEDS: u64 = 200;
/// Seeds tried for one planted bug.
const HUNT: u64 = 300;
/// Violations after which no further seeds are started.
const GIVE_UP_AFTER: usize = 5;

/// Does what was asked. True when everything is well.
///
/// # Errors
/// When the output cannot be written.
pub(crate) fn start(
    trace: Option<u64>,
    seeds: Option<(u64, u64)>,
    planted: Option<&str>,
    jobs: usize,
    out: &mut dyn Write,
) -> io::Result<bool> {
    let bugs: Vec<PairPlanted> = match planted {
        None => Vec::new(),
        Some("all") => PairPlanted::ALL.to_vec(),
        Some(name) => PairPlanted::ALL
            .into_iter()
            .filter(|bug| bug.name() == name)
            .collect(),
    };
    if let Some(seed) = trace {
        let (outcome, lines) = explain(seed, bugs.first().copied(), usize::MAX);
        for line in lines {
            writeln!(out, "{line}")?;
        }
        writeln!(out, "{outcome:?}")?;
        return Ok(outcome.violation.is_none());
    }
    if planted.is_some() {
        return hunt(&bugs, out);
    }
    let (from, to) = seeds.unwrap_or((0, SEEDS));
    let outcomes = run_all((from, to), jobs);
    let broken = outcomes.iter().filter_map(|outcome| {
        let violation = outcome.violation.as_ref()?;
        Some((outcome.seed, violation))
    });
    let broken: Vec<_> = broken.collect();
    for (seed, violation) in &broken {
        writeln!(
            out,
            "seed {seed}: invariant {}: {}",
            violation.invariant, violation.text
        )?;
    }
    let sum = |of: fn(&Outcome) -> u64| outcomes.iter().map(of).sum::<u64>();
    writeln!(
        out,
        "{} runs of pairs, {} violations; the service moved {} times, {} orders to fence of which {} worked, {} changes confirmed",
        outcomes.len(),
        broken.len(),
        sum(|outcome| outcome.moves),
        sum(|outcome| outcome.fences.0),
        sum(|outcome| outcome.fences.1),
        sum(|outcome| outcome.confirmed),
    )?;
    Ok(broken.is_empty())
}

fn hunt(bugs: &[PairPlanted], out: &mut dyn Write) -> io::Result<bool> {
    let mut all = !bugs.is_empty();
    for bug in bugs {
        let caught = (0..HUNT).find_map(|seed| {
            let violation = run(seed, Some(*bug)).violation?;
            Some((seed, violation))
        });
        match caught {
            Some((seed, violation)) => writeln!(
                out,
                "{}: seed {seed}, invariant {}: {}",
                bug.name(),
                violation.invariant,
                violation.text
            )?,
            None => {
                all = false;
                writeln!(out, "{}: not caught in {HUNT} seeds", bug.name())?;
            }
        }
    }
    Ok(all)
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
