//! `standfast demo`: a handful of faults in a script, with a table. The command `standfast demo` ends up here; everything it shows is measured
//! from the client's side.

use std::io::Write;

use serde::Serialize;

use crate::enclosure::{Enclosure, Entered, Mode, enter};
use crate::error::{LabError, Result};
use crate::fault::{Expected, Fault};
use crate::live;
use crate::session::{self, Next, Plan};
use crate::trial::{Patience, Trial};

/// The script.
const FAULTS: [Fault; 7] = [
    Fault::PowerLoss,
    Fault::ServiceKilled,
    Fault::AgentKilled,
    Fault::SilentPartition,
    Fault::HealedPartition,
    Fault::Switchover,
    Fault::LeaderLost,
];

/// How to run the demonstration.
#[derive(Debug, Clone, Default)]
pub struct DemoOptions {
    /// One JSON object a fault instead of a table.
    pub json: bool,
    /// The script also on a terminal, where it is a live view with keys otherwise.
    pub script: bool,
    /// How to keep the nodes apart; none: the strongest way that works here.
    pub mode: Option<Mode>,
    /// The profile; none: `lan`.
    pub profile: Option<String>,
}

/// One fault, as `--json` prints it.
#[derive(Debug, Serialize)]
struct Line {
    fault: Fault,
    rto_ms: Option<f64>,
    requests: usize,
    failed_requests: usize,
    dual_owner_ms: f64,
}

/// Runs the demonstration and returns the exit status: 0 when the service always came back and never had two owners, else 1.
/// The process starts itself again inside namespaces, with the same arguments: call this first, before starting threads.
///
/// # Errors
/// When the laboratory cannot be built.
pub fn run(options: &DemoOptions, out: &mut dyn Write) -> Result<u8> {
    match enter(options.mode)? {
        Entered::Finished(code) => Ok(code),
        Entered::Inside(enclosure) => inside(options, &enclosure, out),
    }
}

fn inside(options: &DemoOptions, enclosure: &Enclosure, out: &mut dyn Write) -> Result<u8> {
    let failed = |error| LabError::system("print", error);
    if !options.json && !options.script && live::is_wanted() {
        writeln!(
            out,
            "Starting three agents on this machine, using {} ...",
            enclosure.mode.explanation()
        )
        .map_err(failed)?;
        return live::run(options.profile.as_deref().unwrap_or("lan"), enclosure);
    }
    if !options.json {
        writeln!(
            out,
            "Three agents on this machine, using {}.",
            enclosure.mode.explanation()
        )
        .map_err(failed)?;
        writeln!(
            out,
            "A client asks the service every 5 ms; a watcher asks every node who has the address.\n"
        )
        .map_err(failed)?;
        out.write_all(line(&HEAD).as_bytes()).map_err(failed)?;
        out.flush().map_err(failed)?;
    }
    let name = options.profile.as_ref().map_or_else(
        || "standfast".to_owned(),
        |profile| format!("standfast={profile}"),
    );
    let mut systems = vec![session::deploy(&name, 1, enclosure)?];
    let plan = Plan {
        faults: FAULTS.to_vec(),
        loads: vec![false],
        trials: 1,
        patience: Patience::default(),
    };
    let mut good = true;
    session::run(&mut systems, &plan, &mut |result, _attempt| {
        let text = match result {
            Ok(trial) => {
                good &= is_good(&trial);
                if options.json {
                    json(&trial)?
                } else {
                    row(&trial)
                }
            }
            Err(broken) => {
                good = false;
                format!("{}: {}\n", broken.fault.name(), broken.error)
            }
        };
        out.write_all(text.as_bytes()).map_err(failed)?;
        out.flush().map_err(failed)?;
        Ok(Next::Go)
    })?;
    if !options.json {
        let verdict = if good {
            "The service came back every time and never had two owners."
        } else {
            "NOT GOOD: the service did not come back, or had two owners."
        };
        writeln!(out, "\n{verdict}").map_err(failed)?;
    }
    Ok(u8::from(!good))
}

/// Whether the service came back, to the end of watching, and never had two owners.
fn is_good(trial: &Trial) -> bool {
    let moved = trial.fault.expected() != Expected::Moves || trial.client.new_node.is_some();
    let watched = trial.owners_healed.answers > 0;
    moved && watched && trial.client.steady_ms.is_some() && trial.owners_healed.dual_owner_ms == 0.0
}

const HEAD: [&str; 5] = ["fault", "RTO ms", "requests", "failed", "two owners ms"];

fn line(cells: &[&str; 5]) -> String {
    let [fault, rto, requests, failed, dual] = cells;
    format!("{fault:<20} {rto:>8} {requests:>9} {failed:>7} {dual:>14}\n")
}

fn row(trial: &Trial) -> String {
    let client = &trial.client;
    let rto = client
        .rto_ms
        .map_or_else(|| "never".to_owned(), |rto| format!("{rto:.0}"));
    line(&[
        &trial.fault.name(),
        &rto,
        &client.requests.to_string(),
        &client.failed_requests.to_string(),
        &format!("{:.1}", trial.owners_healed.dual_owner_ms),
    ])
}

fn json(trial: &Trial) -> Result<String> {
    let line = Line {
        fault: trial.fault,
        rto_ms: trial.client.rto_ms,
        requests: trial.client.requests,
        failed_requests: trial.client.failed_requests,
        dual_owner_ms: trial.owners_healed.dual_owner_ms,
    };
    let mut text =
        serde_json::to_string(&line).map_err(|error| LabError::Unexpected(error.to_string()))?;
    text.push('\n');
    Ok(text)
}
