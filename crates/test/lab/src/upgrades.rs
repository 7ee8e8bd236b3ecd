//! The subcommand `upgrade`: options, printing, files. Not for running upgrades.

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use standfast_lab::attempts;
use standfast_lab::enclosure::{Enclosure, Mode};
use standfast_lab::error::{LabError, Result};
use standfast_lab::upgrade::{self, SetUp, Setting, Upgrade};
use standfast_lab::upgrade_safety;

use crate::run::{commit, machine};

/// Machines of a cluster whose making is timed.
const BARE: usize = 2;

/// Numbers of the labs.
const UPGRADED: u8 = 1;
const MADE: u8 = 2;
const DISTURBED: u8 = 3;

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
    /// Every fsync of the agents takes so much longer, milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 0)]
    fsync_ms: u64,
    /// Program of an older build to upgrade from, and to go back to; this build with an older feature level when left out.
    #[arg(long, value_name = "PROGRAM")]
    from: Option<PathBuf>,
    /// What that build is, for the results.
    #[arg(long, value_name = "TEXT", requires = "from")]
    from_name: Option<String>,
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
        let setting = Setting {
            loaded,
            fsync_delay_ms: options.fsync_ms,
            from: options.from.clone(),
        };
        let (trial, good) = attempts::run(
            (enclosure, UPGRADED),
            &mut out,
            || upgrade::run(enclosure, UPGRADED, &setting),
            |trial| trial.problems.clone(),
        )?;
        if let Some(trial) = trial {
            writeln!(out, "{}", line(&trial)).map_err(failed)?;
            upgrades.push(trial);
        }
        if good {
            passed += 1;
        } else {
            bad += 1;
        }
        if options.out.is_some() && options.from.is_none() && !loaded {
            setups.push(upgrade::set_up(enclosure, MADE, BARE)?);
        }
    }
    if options.from.is_none() {
        let (all, good) = attempts::run(
            (enclosure, DISTURBED),
            &mut out,
            || upgrade_safety::run(enclosure, DISTURBED),
            |all| all.iter().flat_map(|one| one.problems.clone()).collect(),
        )?;
        bad += u32::from(!good);
        for disturbed in all.into_iter().flatten() {
            let restarted = disturbed.restarted.join(", ");
            writeln!(out, "{}: restarted {restarted}", disturbed.what).map_err(failed)?;
            passed += u32::from(good);
        }
    }
    if let Some(folder) = &options.out {
        write(
            &folder.join("upgrade.md"),
            &upgrades_text(&upgrades, options),
        )?;
        if !setups.is_empty() {
            write(&folder.join("setup.md"), &setups_text(&setups))?;
        }
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
        "upgrade of three nodes{}{}: {} ms ({}), {} of {} requests failed, longest gap {:.0} ms, two owners {:.0} ms",
        if trial.loaded { ", all cores busy" } else { "" },
        match trial.fsync_delay_ms {
            0 => String::new(),
            more => format!(", each fsync {more} ms longer"),
        },
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

fn upgrades_text(trials: &[Upgrade], options: &Options) -> String {
    let mut text = head("A rolling upgrade of three nodes");
    match (&options.from, &options.from_name) {
        (None, _) => {
            text.push_str("From agents that speak the previous feature level to this build,")
        }
        (Some(_), name) => {
            let name = name.as_deref().unwrap_or("an older build");
            text.push_str(&format!(
                "From {name} to this build, with a configuration that uses what the older build can say, two versions of it in the history, a \
                 draft and a journal, which the newer one has to give back as they were; afterwards one agent of the older build takes over \
                 from a newer one and back, or is refused where the feature level has risen;"
            ));
        }
    }
    text.push_str(
        " by `standfast upgrade` on a node that does not lead. A client \
         asks the service every 5 ms from the command to two seconds after its end; a watcher asks every node who has the address.\n\n\
         | all cores busy | added to each fsync | duration | nodes in order | requests | failed | longest gap | two owners | other problems \
         |\n|---|---|---|---|---|---|---|---|---|\n",
    );
    for trial in trials {
        text.push_str(&format!(
            "| {} | {} ms | {} ms | {} | {} | {} | {:.0} ms | {:.0} ms | {} |\n",
            if trial.loaded { "yes" } else { "no" },
            trial.fsync_delay_ms,
            trial.took_ms,
            steps(trial),
            trial.requests,
            trial.failed_requests,
            trial.longest_gap_ms,
            trial.dual_owner_ms,
            if trial.problems.is_empty() {
                "none".to_owned()
            } else {
                problems(trial)
            },
        ));
    }
    text
}

fn problems(trial: &Upgrade) -> String {
    let texts: Vec<&str> = trial.problems.iter().map(|one| one.text.as_str()).collect();
    texts.join("; ")
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
