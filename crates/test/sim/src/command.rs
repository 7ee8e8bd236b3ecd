//! The command line: which runs, and how their results are shown.

use crate::{
    coverage::Coverage,
    directed, measure, pairs,
    planted::{self, Caught},
    run::{Case, Outcome},
    scenario::MOST_VOTERS,
    seeds, shrink,
};
use clap::Parser;
use serde_json::{Value, json};
use standfast_model::planted::Planted;
use std::io::{self, Write};

/// Violations after which no further seeds are started.
const GIVE_UP_AFTER: usize = 5;
/// Lines of a timeline.
const LINES: usize = 150;
/// Runs of this many seeds have to hit every case.
const ENOUGH_SEEDS: u64 = 200;
/// Runs of this many seeds with fence devices have to hit every case of fencing.
const ENOUGH_FENCING: u64 = 40;
/// Seeds tried for one planted bug.
const HUNT: u64 = 240;

/// Deterministic simulator of Standfast.
#[derive(Debug, Parser)]
pub struct Options {
    /// Seeds to run: from A (included) to B (not included).
    #[arg(long, value_name = "A..B", value_parser = range)]
    seeds: Option<(u64, u64)>,
    /// Hunt planted bugs: `all`, a name, or `list`.
    #[arg(long, value_name = "NAME")]
    planted: Option<String>,
    /// Let operators act meanwhile: restarts, shutdowns, removals, upgrades, other configurations.
    #[arg(long)]
    acts: bool,
    /// Let operators give orders meanwhile: move and ban for a time, disable, restart, maintenance, standby.
    #[arg(long, conflicts_with = "acts")]
    orders: bool,
    /// Runs of pairs: two nodes with one arbiter, in a world of their own.
    #[arg(long, conflicts_with_all = ["acts", "orders", "messages"])]
    pairs: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
    /// Threads [default: one for each core].
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Print everything that happens in the run of this seed; with a planted bug, in its directed run.
    #[arg(long, value_name = "SEED")]
    trace: Option<u64>,
    /// Print messages a second by number of nodes, up to this many.
    #[arg(long, value_name = "NODES")]
    messages: Option<usize>,
}

fn range(text: &str) -> Result<(u64, u64), String> {
    let wrong = || format!("`{text}` is not a range of seeds like 0..200");
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    let (from, to) = (from.parse().ok(), to.parse().ok());
    match (from, to) {
        (Some(from), Some(to)) if from < to => Ok((from, to)),
        _ => Err(wrong()),
    }
}

/// Does what the options say. True when everything is well.
///
/// # Errors
/// When the output cannot be written.
pub fn start(options: &Options, out: &mut dyn Write) -> io::Result<bool> {
    let jobs = options
        .jobs
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    if options.pairs && options.trace.is_none() && options.planted.is_none() {
        return pairs::start(options.seeds, jobs, out);
    }
    if let Some(seed) = options.trace {
        return trace(seed, options, out);
    }
    if let Some(nodes) = options.messages {
        return messages(nodes, options.json, out);
    }
    if let Some(name) = &options.planted {
        return hunt(name, options, jobs, out);
    }
    let (from, to) = options.seeds.unwrap_or((0, ENOUGH_SEEDS));
    let case_of = case_of(options);
    let began = std::time::Instant::now();
    let outcomes = seeds::run_all((from, to), jobs, GIVE_UP_AFTER, case_of);
    let summary = Summary::of(
        (&outcomes, case_of),
        to - from,
        began.elapsed().as_secs_f64(),
        jobs,
    );
    if options.json {
        serde_json::to_writer_pretty(&mut *out, &summary.json(&outcomes))?;
        writeln!(out)?;
    } else {
        summary.print(&outcomes, out)?;
    }
    Ok(summary.is_well())
}

/// The runs of seeds, with what operators do or without it.
const fn case_of(options: &Options) -> fn(u64) -> Case {
    if options.acts {
        Case::with_acts
    } else if options.orders {
        Case::with_orders
    } else {
        Case::of_seed
    }
}

fn trace(seed: u64, options: &Options, out: &mut dyn Write) -> io::Result<bool> {
    let bug = options.planted.as_deref().and_then(Planted::from_name);
    let case = match bug {
        Some(Planted::Pair(bug)) => return pairs::trace(seed, Some(bug), out),
        None if options.pairs => return pairs::trace(seed, None, out),
        Some(planted) => Case {
            planted: bug,
            ..directed::case(planted, seed)
        },
        None => case_of(options)(seed),
    };
    let (outcome, lines) = case.explain(usize::MAX);
    for line in lines {
        writeln!(out, "{line}")?;
    }
    writeln!(out, "seed {seed}: trace hash {:016x}", outcome.hash)?;
    Ok(outcome.violation.is_none())
}

/// Messages a second by number of nodes. True when they grow no faster than the number of nodes does:
/// a node of the largest cluster sends at most half as much again as one of the first with all voters.
fn messages(most: usize, json: bool, out: &mut dyn Write) -> io::Result<bool> {
    let sizes = [3, 5, 7, 10, 20, 50, 100];
    let mut rows: Vec<(usize, u64)> = Vec::new();
    for size in sizes.into_iter().filter(|size| *size <= most) {
        match measure::messages(size) {
            Ok(rate) => rows.push((size, rate)),
            Err(why) => {
                writeln!(out, "{size} nodes: {why}")?;
                return Ok(false);
            }
        }
    }
    let per_node = |(nodes, rate): &(usize, u64)| rate / u64::try_from(*nodes).unwrap_or(1);
    if json {
        let rows: Vec<Value> = rows
            .iter()
            .map(|row| {
                json!({"nodes": row.0, "messages_per_second": row.1, "per_node": per_node(row)})
            })
            .collect();
        serde_json::to_writer_pretty(&mut *out, &Value::from(rows))?;
        writeln!(out)?;
    } else {
        writeln!(out, "nodes  messages/s  per node")?;
        for row in &rows {
            writeln!(out, "{:>5}  {:>10}  {:>8}", row.0, row.1, per_node(row))?;
        }
    }
    let voters = rows.iter().find(|(nodes, _)| *nodes >= MOST_VOTERS);
    let largest = rows.iter().map(per_node).max().unwrap_or(0);
    Ok(voters.is_none_or(|row| 2 * largest <= 3 * per_node(row)))
}

fn hunt(name: &str, options: &Options, jobs: usize, out: &mut dyn Write) -> io::Result<bool> {
    if name == "list" {
        for planted in Planted::ALL {
            writeln!(out, "{}", planted.name())?;
        }
        return Ok(true);
    }
    let all = name == "all";
    let of_pairs = |each: &Planted| !options.pairs || matches!(each, Planted::Pair(_));
    let fits = |each: &Planted| of_pairs(each) && (all || each.name() == name);
    let wanted: Vec<Planted> = Planted::ALL.into_iter().filter(fits).collect();
    if wanted.is_empty() {
        writeln!(
            out,
            "there is no planted bug {name}; --planted list names them"
        )?;
        return Ok(false);
    }
    let (from, most) = options
        .seeds
        .map_or((0, HUNT), |(from, to)| (from, to - from));
    let caught = hunt_all(&wanted, jobs, from, most);
    let all = caught.iter().all(|each| each.by.is_some());
    if options.json {
        let rows: Vec<Value> = caught.iter().map(caught_json).collect();
        writeln!(out, "{}", json!({"planted": rows, "all_caught": all}))?;
    } else {
        for each in &caught {
            each.print(out)?;
        }
    }
    Ok(all)
}

fn hunt_all(wanted: &[Planted], jobs: usize, from: u64, most: u64) -> Vec<Caught> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let done = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while let Some(planted) =
                    wanted.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
                {
                    let caught = planted::hunt(*planted, from, most);
                    done.lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner)
                        .push(caught);
                }
            });
        }
    });
    let mut caught = done
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    caught.sort_by_key(|each| each.planted);
    caught
}

impl Caught {
    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let name = self.planted.name();
        match &self.by {
            Some((seed, violation)) => writeln!(
                out,
                "{name:<24} caught by invariant {} at seed {seed}: {}",
                violation.invariant, violation.text
            ),
            None => writeln!(out, "{name:<24} NOT CAUGHT in {} seeds", self.seeds_tried),
        }
    }
}

fn caught_json(caught: &Caught) -> Value {
    json!({
        "name": caught.planted.name(),
        "caught": caught.by.is_some(),
        "seeds_tried": caught.seeds_tried,
        "seed": caught.by.as_ref().map(|(seed, _)| seed),
        "invariant": caught.by.as_ref().map(|(_, violation)| violation.invariant),
        "text": caught.by.as_ref().map(|(_, violation)| violation.text.clone()),
    })
}

/// What many runs came to.
#[derive(Debug)]
struct Summary {
    coverage: Coverage,
    holes: Vec<&'static str>,
    simulated_seconds: f64,
    wall_seconds: f64,
    jobs: usize,
    faults: usize,
    settled_worst: u64,
    moved_worst: Option<u64>,
    failure: Option<Failure>,
    failed: usize,
}

/// The first violation, explained.
#[derive(Debug)]
struct Failure {
    case: Case,
    outcome: Outcome,
    lines: Vec<String>,
}

impl Summary {
    fn of(
        (outcomes, case_of): (&[Outcome], fn(u64) -> Case),
        wanted: u64,
        wall_seconds: f64,
        jobs: usize,
    ) -> Self {
        let mut coverage = Coverage::default();
        for outcome in outcomes {
            coverage.add(&outcome.coverage);
        }
        let fences = outcomes.iter().any(|outcome| outcome.fences);
        let simulated: u64 = outcomes.iter().map(|outcome| outcome.simulated).sum();
        let first = outcomes.iter().find(|outcome| outcome.violation.is_some());
        let failure = first.map(|outcome| {
            let (case, _) = shrink::shrink(&case_of(outcome.seed), outcome);
            let (outcome, lines) = case.explain(LINES);
            Failure {
                case,
                outcome,
                lines,
            }
        });
        Self {
            holes: if failure.is_some() {
                Vec::new()
            } else if wanted >= ENOUGH_SEEDS {
                coverage.holes(outcomes.iter().any(|outcome| outcome.acts), fences)
            } else if wanted >= ENOUGH_FENCING && fences {
                coverage.holes_of_fencing()
            } else {
                Vec::new()
            },
            coverage,
            simulated_seconds: std::time::Duration::from_micros(simulated).as_secs_f64(),
            wall_seconds,
            jobs,
            faults: outcomes.iter().map(|outcome| outcome.faults).sum(),
            moved_worst: outcomes.iter().filter_map(|outcome| outcome.moved).max(),
            settled_worst: outcomes
                .iter()
                .filter_map(|outcome| outcome.settled)
                .max()
                .unwrap_or(0),
            failed: outcomes
                .iter()
                .filter(|outcome| outcome.violation.is_some())
                .count(),
            failure,
        }
    }

    fn is_well(&self) -> bool {
        self.failure.is_none() && self.holes.is_empty()
    }

    fn json(&self, outcomes: &[Outcome]) -> Value {
        let hashes: Vec<Value> = outcomes
            .iter()
            .map(|outcome| json!({"seed": outcome.seed, "hash": format!("{:016x}", outcome.hash)}))
            .collect();
        json!({
            "seeds": outcomes.len(),
            "failed": self.failed,
            "simulated_seconds": self.simulated_seconds,
            "wall_seconds": self.wall_seconds,
            "jobs": self.jobs,
            "faults": self.faults,
            "steps": outcomes.iter().map(|outcome| outcome.steps).sum::<u64>(),
            "slowest_settling_us": self.settled_worst,
            "slowest_move_away_us": self.moved_worst,
            "coverage": self.coverage.table(),
            "never_hit": self.holes,
            "runs": hashes,
            "violation": self.failure.as_ref().map(Failure::json),
        })
    }

    fn print(&self, outcomes: &[Outcome], out: &mut dyn Write) -> io::Result<()> {
        if let Some(failure) = &self.failure {
            failure.print(out)?;
        }
        for (name, count) in self.coverage.table() {
            writeln!(out, "{name:<55} {count:>10}")?;
        }
        for hole in &self.holes {
            writeln!(out, "NEVER HIT: {hole}")?;
        }
        for outcome in outcomes {
            if let Some(violation) = &outcome.violation {
                writeln!(
                    out,
                    "seed {}: invariant {}: {}",
                    outcome.seed, violation.invariant, violation.text
                )?;
            }
        }
        let speed = self.simulated_seconds / self.wall_seconds.max(0.001);
        writeln!(
            out,
            "{} seeds, {} failed; {:.0} simulated seconds with {} faults in {:.1} s on {} threads: {:.0} a second; \
             slowest settling {:.1} s",
            outcomes.len(),
            self.failed,
            self.simulated_seconds,
            self.faults,
            self.wall_seconds,
            self.jobs,
            speed,
            std::time::Duration::from_micros(self.settled_worst).as_secs_f64()
        )?;
        if let Some(moved) = self.moved_worst {
            let took = std::time::Duration::from_micros(moved).as_secs_f64();
            writeln!(
                out,
                "slowest to stop where a location forbids it: {took:.2} s"
            )?;
        }
        Ok(())
    }
}

impl Failure {
    fn violation(&self) -> (u8, u64, &str) {
        self.outcome
            .violation
            .as_ref()
            .map_or((0, 0, ""), |violation| {
                (violation.invariant, violation.at, violation.text.as_str())
            })
    }

    fn json(&self) -> Value {
        let (invariant, at, text) = self.violation();
        json!({
            "seed": self.outcome.seed,
            "invariant": invariant,
            "at_us": at,
            "text": text,
            "faults": self.case.faults.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "timeline": self.lines,
        })
    }

    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let (invariant, _, text) = self.violation();
        for line in &self.lines {
            writeln!(out, "{line}")?;
        }
        writeln!(
            out,
            "seed {}: invariant {invariant} is broken: {text}",
            self.outcome.seed
        )?;
        writeln!(out, "  {}", crate::invariants::name(invariant))?;
        writeln!(out, "fewest faults that still break it:")?;
        for fault in &self.case.faults {
            writeln!(out, "  {fault}")?;
        }
        Ok(())
    }
}
