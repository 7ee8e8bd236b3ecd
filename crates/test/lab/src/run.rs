//! The subcommand `lab`: runs faults and prints what came of them.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use standfast_lab::enclosure::{Enclosure, Mode};
use standfast_lab::error::{LabError, Result};
use standfast_lab::fault::{Fault, Injector};
use standfast_lab::keepalived::Keepalived;
use standfast_lab::lab::Lab;
use standfast_lab::report;
use standfast_lab::system::System;
use standfast_lab::trial::{self, Patience};

/// Options of `standfast-lab lab`.
#[derive(Debug, Args)]
pub(crate) struct LabOptions {
    /// Run only these faults; all when left out.
    #[arg(long)]
    pub(crate) fault: Vec<Fault>,
    /// List the faults and end.
    #[arg(long)]
    pub(crate) list: bool,
    /// How often to run each fault.
    #[arg(long, default_value_t = 1)]
    pub(crate) trials: u32,
    /// How to keep hosts apart; the strongest way that works when left out.
    #[arg(long)]
    pub(crate) mode: Option<Mode>,
    /// Keep all cores busy.
    #[arg(long)]
    pub(crate) loaded: bool,
    /// Watch every fault at least this long, instead of as long as the fault needs.
    #[arg(long)]
    pub(crate) watch_ms: Option<u64>,
    /// Systems to run: keepalived, keepalived=INTERVAL.
    #[arg(long, default_value = "keepalived")]
    pub(crate) system: Vec<String>,
    /// Write every trial as JSON to this file.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
}

/// Runs the faults.
pub(crate) fn lab(options: &LabOptions, enclosure: &Enclosure) -> Result<u8> {
    let failed = |error| LabError::system("print", error);
    let mut out = std::io::stdout();
    if options.list {
        for fault in Fault::all() {
            writeln!(out, "{}", fault.name()).map_err(failed)?;
        }
        return Ok(0);
    }
    writeln!(out, "using {}", enclosure.mode.explanation()).map_err(failed)?;
    let mut systems: Vec<Box<dyn System>> = Vec::new();
    for (number, name) in (1..).zip(&options.system) {
        systems.push(deploy(name, number, enclosure)?);
    }
    let faults = if options.fault.is_empty() {
        Fault::all()
    } else {
        &options.fault
    };
    let mut trials = Vec::new();
    let mut injector = Injector::default();
    let patience = Patience {
        least: options.watch_ms.map(Duration::from_millis),
        ..Patience::default()
    };
    for number in 1..=options.trials {
        for fault in faults {
            for system in &mut systems {
                if !system.supports(*fault) {
                    continue;
                }
                let probe = system.lab().probe()?;
                let what = (*fault, options.loaded, number);
                let trial = trial::run(system.as_mut(), &probe, &mut injector, what, patience)?;
                let row = report::summary(&[&trial]).join("  ");
                writeln!(out, "{:<22} {:<16} {row}", fault.name(), trial.system).map_err(failed)?;
                trials.push(trial);
            }
        }
    }
    write!(out, "\n{}", report::markdown(&trials)).map_err(failed)?;
    if let Some(file) = &options.json {
        let text = serde_json::to_string_pretty(&trials)
            .map_err(|error| LabError::Unexpected(error.to_string()))?;
        std::fs::write(file, text).map_err(|error| LabError::file("write", file, error))?;
    }
    Ok(0)
}

fn deploy(name: &str, number: u8, enclosure: &Enclosure) -> Result<Box<dyn System>> {
    let interval = match name.split_once('=') {
        Some(("keepalived", interval)) => interval,
        None if name == "keepalived" => "1",
        _ => {
            return Err(LabError::Unexpected(format!(
                "no system {name}; keepalived or keepalived=INTERVAL"
            )));
        }
    };
    let mut system = Keepalived::new(Lab::create(enclosure, number, 2)?, interval);
    system.start()?;
    Ok(Box::new(system))
}
