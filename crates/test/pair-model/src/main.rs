//! `standfast-pair-model`: checks the pair within bounds and prints what was explored.

use clap::Parser;
use standfast_pair::Planted;
use standfast_pair_model::{bounds, run};
use std::{
    io::{self, Write},
    process::ExitCode,
};

/// Checks the pair exhaustively within bounds.
#[derive(Debug, Parser)]
struct Arguments {
    /// Only the bounds of this name.
    #[arg(long)]
    bounds: Option<String>,
    /// The larger bounds too; they take minutes.
    #[arg(long)]
    long: bool,
    /// Every planted bug, each until a property notices it.
    #[arg(long)]
    planted: bool,
    /// Only the planted bug of this name.
    #[arg(long)]
    bug: Option<String>,
    /// Give up after so many steps; 0: never.
    #[arg(long, default_value_t = 0)]
    most: usize,
    /// Threads that look.
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

fn main() -> io::Result<ExitCode> {
    let arguments = Arguments::parse();
    let mut out = io::stdout().lock();
    let (passed, failed) = if arguments.planted {
        planted(&arguments, &mut out)?
    } else {
        bounded(&arguments, &mut out)?
    };
    writeln!(out, "{passed} passed, {failed} failed, 0 skipped")?;
    let good = failed == 0 && passed > 0;
    Ok(if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn bounded(arguments: &Arguments, out: &mut impl Write) -> io::Result<(usize, usize)> {
    let long = if arguments.long { bounds::LONG } else { &[] };
    let mut chosen: Vec<_> = bounds::SHORT.iter().chain(long).copied().collect();
    if let Some(name) = &arguments.bounds {
        chosen = bounds::by_name(name).into_iter().collect();
    }
    let mut counts = (0, 0);
    for bounds in chosen {
        let outcome = run::check(bounds, arguments.threads, arguments.most);
        let (name, states, depth) = (bounds.name, outcome.states, outcome.depth);
        let seconds = outcome.took.as_secs_f64();
        writeln!(
            out,
            "{name:<18} {states:>10} states, depth {depth:>3}, {seconds:>6.1} s"
        )?;
        for (property, path) in &outcome.broken {
            writeln!(out, "  does not hold: {property}\n{path}")?;
        }
        for property in &outcome.unseen {
            writeln!(out, "  never came up: {property}")?;
        }
        if outcome.is_good() {
            counts.0 += 1;
        } else {
            counts.1 += 1;
        }
    }
    Ok(counts)
}

fn planted(arguments: &Arguments, out: &mut impl Write) -> io::Result<(usize, usize)> {
    let named = |bug: &Planted| {
        let wanted = arguments.bug.as_ref();
        wanted.is_none_or(|name| name == bug.name())
    };
    let mut counts = (0, 0);
    for bug in Planted::ALL.into_iter().filter(named) {
        let (name, property) = bounds::finds(bug);
        let Some(bounds) = bounds::by_name(name) else {
            continue;
        };
        let planted = Some(bug);
        let only = Some(property);
        let bounds = bounds::Bounds {
            planted,
            only,
            ..bounds
        };
        let outcome = run::check(bounds, arguments.threads, arguments.most);
        let seconds = outcome.took.as_secs_f64();
        let bug = bug.name();
        if let Some((property, path)) = outcome.broken.first() {
            let steps = path.lines().count();
            writeln!(
                out,
                "{bug:<26} {name:<22} {steps:>3} events, {seconds:>5.1} s: {property}"
            )?;
            counts.0 += 1;
        } else {
            writeln!(
                out,
                "{bug:<26} {name:<22} NOT CAUGHT, {seconds:>5.1} s: {property}"
            )?;
            counts.1 += 1;
        }
    }
    Ok(counts)
}
