//! The subcommand `upgrade`: options, printing, files. Not for running upgrades.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use standfast_lab::enclosure::{Enclosure, Mode};
use standfast_lab::error::{LabError, Result};
use standfast_lab::upgrade::{self, SetUp, Upgrade};

use crate::run::{commit, machine};

/// Machines of a cluster whose making is timed.
const BARE: usize = 2;

/// Numbers of the labs.
const UPGRADED: u8 = 1;
const MADE: u8 = 2;

/// Options of `standfast-lab upgrade`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How often.
    #[arg(long, default_value_t = 1)]
    trials: u32,
    /// How to keep hosts apart; the strongest way that works when left out.
    #[arg(long)]
    pub(crate) mode: Option<Mode>,
    /// Afterwards as often again with all cores busy.
    #[arg(long)]
    loaded: bool,
    /// Folder for upgrade.md and setup.md, for which the making of a cluster is timed as often.
    #[arg(long)]
    out: Option<PathBuf>,
}

fn failed(error: std::io::Error) -> LabError {
    LabError::system("print", error)
}

/// Upgrades and checks. Exit code 1 when something was not as it should be.
pub(crate) fn run(options: &Options, enclosure: &Enclosure) -> Result<u8> {
    let mut out = std::io::stdout();
    writeln!(out, "using {}", enclosure.mode.explanation()).map_err(failed)?;
    let (mut passed, mut bad) = (0_u32, 0_u32);
    let (mut upgrades, mut setups) = (Vec::new(), Vec::new());
    let each = if options.loaded { 2 } else { 1 };
    for count in 0..options.trials * each {
        let loaded = count >= options.trials;
        let trial = upgrade::run(enclosure, UPGRADED, loaded)?;
        writeln!(out, "{}", line(&trial)).map_err(failed)?;
        for problem in &trial.problems {
            writeln!(out, "    FAILED: {problem}").map_err(failed)?;
        }
        if trial.problems.is_empty() {
            passed += 1;
        } else {
            bad += 1;
        }
        upgrades.push(trial);
        if options.out.is_some() && !loaded {
            setups.push(upgrade::set_up(enclosure, MADE, BARE)?);
        }
    }
    if let Some(folder) = &options.out {
        write(&folder.join("upgrade.md"), &upgrades_text(&upgrades))?;
        write(&folder.join("setup.md"), &setups_text(&setups))?;
    }
    writeln!(out, "upgrade: {passed} passed, {bad} failed, 0 skipped").map_err(failed)?;
    Ok(u8::from(bad > 0))
}

fn write(file: &Path, text: &str) -> Result<()> {
    std::fs::write(file, text).map_err(|error| LabError::file("write", file, error))
}

fn steps(trial: &Upgrade) -> String {
    let nodes = trial.nodes.iter();
    let steps: Vec<String> = nodes
        .map(|(node, took)| format!("{node} {took} ms"))
        .collect();
    steps.join(", ")
}

fn line(trial: &Upgrade) -> String {
    format!(
        "upgrade of three nodes{}: {} ms ({}), {} of {} requests failed, longest gap {:.0} ms, two owners {:.0} ms",
        if trial.loaded { ", all cores busy" } else { "" },
        trial.took_ms,
        steps(trial),
        trial.failed_requests,
        trial.requests,
        trial.longest_gap_ms,
        trial.dual_owner_ms,
    )
}

fn head(title: &str) -> String {
    format!(
        "# {title}\n\nMachine: {}. Commit: {}.\n\n",
        machine(),
        commit()
    )
}

fn upgrades_text(trials: &[Upgrade]) -> String {
    let mut text = head("A rolling upgrade of three nodes");
    text.push_str(
        "From agents that speak the previous feature level to this build, by `standfast upgrade` on a node that does not lead. A client \
         asks the service every 5 ms from the command to two seconds after its end; a watcher asks every node who has the address.\n\n\
         | all cores busy | duration | nodes in order | requests | failed | longest gap | two owners |\n|---|---|---|---|---|---|---|\n",
    );
    for trial in trials {
        text.push_str(&format!(
            "| {} | {} ms | {} | {} | {} | {:.0} ms | {:.0} ms |\n",
            if trial.loaded { "yes" } else { "no" },
            trial.took_ms,
            steps(trial),
            trial.requests,
            trial.failed_requests,
            trial.longest_gap_ms,
            trial.dual_owner_ms,
        ));
    }
    text
}

fn setups_text(trials: &[SetUp]) -> String {
    let mut text = head("From two bare machines to a working cluster");
    text.push_str(
        "Six commands are typed, the package being installed: `standfast init`, `systemctl start standfast`, `standfast token`, on the second \
         machine `standfast join` and `systemctl start standfast`, and `standfast apply`. The times are those of the machines, without \
         the typing.\n\n| machines | configuration in force | a client is answered |\n|---|---|---|\n",
    );
    for trial in trials {
        let (applied, answered) = (seconds(trial.applied_ms), seconds(trial.answered_ms));
        text.push_str(&format!("| {} | {applied} | {answered} |\n", trial.nodes));
    }
    text
}

fn seconds(millis: u64) -> String {
    format!("{}.{:02} s", millis / 1000, millis % 1000 / 10)
}
