//! Runs the comparison and says how much of it agrees.

use std::{
    io::Write as _,
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use clap::Parser;
use standfast_differential::{
    NOW,
    element::Element,
    generate::generate,
    judge,
    knobs::FEATURES,
    odd::odd,
    shrink::shrink,
    speed::{self, SHAPES, SIZES, Shape},
};

/// Compares the scheduler with `crm_simulate`.
#[derive(Debug, Parser)]
struct Args {
    /// Only this feature.
    #[arg(long)]
    feature: Option<String>,
    /// Cases for each feature.
    #[arg(long, default_value_t = 30)]
    count: u64,
    /// First seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print the first so many differing cases of each feature, made small.
    #[arg(long, default_value_t = 0)]
    show: usize,
    /// Print the cluster that the feature and the first seed make.
    #[arg(long)]
    print: bool,
    /// Print the plan for each file.
    #[arg(long)]
    plan: bool,
    /// Measure how long decisions take, so many times each.
    #[arg(long, default_value_t = 0)]
    speed: usize,
    /// Make so many odd variants of each file.
    #[arg(long, default_value_t = 0)]
    odd: u64,
    /// Compare these files instead of random clusters.
    files: Vec<String>,
}

fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").ok();
}

fn main() -> ExitCode {
    let args = Args::parse();
    if !args.files.is_empty() {
        return files(&args);
    }
    if args.print {
        let feature = args.feature.as_deref().unwrap_or("mixed");
        say(&generate(feature, args.seed).text());
        return ExitCode::SUCCESS;
    }
    if args.speed > 0 {
        return measure(args.speed);
    }
    let mut failed = false;
    for (feature, _) in FEATURES {
        if args
            .feature
            .as_deref()
            .is_none_or(|wanted| wanted == feature)
        {
            failed |= run(feature, &args);
        }
    }
    if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// Prints a table of how long decisions take.
fn measure(times: usize) -> ExitCode {
    let head = "| resources | nodes | reading | deciding | text to final state | crm_simulate |";
    for (shape, name) in SHAPES {
        say(&format!(
            "\n{name}; ms of processor time (least, median, most)\n\n{head}\n|---|---|---|---|---|---|"
        ));
        for size in SIZES {
            say(&row(shape, size, times));
        }
    }
    ExitCode::SUCCESS
}

fn row(shape: Shape, (resources, nodes): (usize, usize), times: usize) -> String {
    let runs = speed::measure(shape, (resources, nodes), times);
    let spread = |all: &[f64]| {
        if all.is_empty() {
            return "not waited for".to_owned();
        }
        let at = |index: usize| all.get(index).copied().unwrap_or(f64::NAN);
        let last = all.len().saturating_sub(1);
        format!("{:.1}, {:.1}, {:.1}", at(0), at(last / 2), at(last))
    };
    let columns = [&runs.reading, &runs.deciding, &runs.ours, &runs.theirs];
    let columns = columns.map(|column| spread(column)).join(" | ");
    format!("| {resources} | {nodes} | {columns} |")
}

fn files(args: &Args) -> ExitCode {
    let mut same = 0;
    for file in &args.files {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        if args.plan {
            plan(&text);
        }
        match judge(&text, NOW) {
            Ok(differences) if differences.is_empty() => same += 1,
            Ok(differences) => {
                say(&format!("{file}:\n  {}", differences.join("\n  ")));
                if let Some(case) = Element::parse(&text).ok().filter(|_| args.show > 0) {
                    say(&shrink(&case, NOW).0.text());
                }
            }
            Err(error) => say(&format!("{file}: {error}")),
        }
    }
    say(&format!("{same} of {} are the same", args.files.len()));
    if args.odd > 0 {
        odd_files(args);
    }
    ExitCode::SUCCESS
}

/// Compares variants of files; prints the first of those that differ.
fn odd_files(args: &Args) {
    let (mut same, mut total, mut shown) = (0, 0, 0);
    for file in &args.files {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let Ok(cluster) = Element::parse(&text) else {
            continue;
        };
        for seed in args.seed..args.seed + args.odd {
            let places = usize::try_from(1 + seed % 6).unwrap_or(1);
            let variant = odd(&cluster, seed, places);
            let Ok(differences) = judge(&variant.text(), NOW) else {
                continue;
            };
            total += 1;
            if differences.is_empty() {
                same += 1;
                continue;
            }
            say(&format!("{file} variant {seed}"));
            if shown < args.show {
                shown += 1;
                let (small, why) = shrink(&variant, NOW);
                say(&format!("  {}\n{}", why.join("\n  "), small.text()));
            }
        }
    }
    say(&format!("{same} of {total} variants are the same"));
}

fn plan(text: &str) {
    let Ok(cluster) = standfast_cib::read(text, standfast_cib::When::At(NOW)) else {
        return;
    };
    for step in standfast_scheduler::plan(&cluster) {
        let name = |name: &Option<String>| name.clone().unwrap_or_default();
        let (task, resource) = (&step.task, name(&step.resource));
        let (id, after) = (step.id, &step.after);
        say(&format!(
            "  {id} {task} {resource} {} after {after:?}",
            name(&step.node)
        ));
    }
}

/// What became of one seed.
enum Verdict {
    Same,
    Refused(String),
    Different,
}

fn run(feature: &str, args: &Args) -> bool {
    let next = AtomicU64::new(args.seed);
    let end = args.seed + args.count;
    let verdicts = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        break;
                    }
                    let verdict = match judge(&generate(feature, seed).text(), NOW) {
                        Ok(differences) if differences.is_empty() => Verdict::Same,
                        Ok(_) => Verdict::Different,
                        Err(error) => Verdict::Refused(error),
                    };
                    if let Ok(mut all) = verdicts.lock() {
                        all.push((seed, verdict));
                    }
                }
            });
        }
    });
    let mut verdicts = verdicts.into_inner().unwrap_or_default();
    verdicts.sort_by_key(|(seed, _)| *seed);
    report(feature, args, &verdicts)
}

fn report(feature: &str, args: &Args, verdicts: &[(u64, Verdict)]) -> bool {
    let (mut same, mut refused, mut different) = (0, 0, Vec::new());
    for (seed, verdict) in verdicts {
        match verdict {
            Verdict::Same => same += 1,
            Verdict::Different => different.push(*seed),
            Verdict::Refused(error) => {
                refused += 1;
                if refused == 1 {
                    say(&format!("{feature} {seed} refused: {error}"));
                }
            }
        }
    }
    for seed in different.iter().take(args.show) {
        let (small, why) = shrink(&generate(feature, *seed), NOW);
        say(&format!(
            "{feature} {seed}:\n  {}\n{}",
            why.join("\n  "),
            small.text()
        ));
    }
    let total = verdicts.len() - refused;
    say(&format!(
        "{feature}: {same} of {total} the same, {refused} refused; different: {different:?}"
    ));
    different.len() * 20 > total
}
