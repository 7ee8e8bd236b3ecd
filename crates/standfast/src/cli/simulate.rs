//! `simulate`: where the resources of a Pacemaker cluster end up. Asks no agent and changes nothing.

use super::{SimulateArgs, exit, print};
use crate::failure::Failure;
use serde::Serialize;
use standfast_cib::When;
use standfast_scheduler::Outcome;
use std::{
    fmt::Write as _,
    fs,
    io::{self, Read as _},
    path::Path,
    thread,
    time::{SystemTime, UNIX_EPOCH},
};

/// Chains of thousands of resources are followed one call deep each.
const STACK: usize = 512 << 20;

#[derive(Serialize)]
struct Simulated<'o> {
    schema: &'static str,
    #[serde(flatten)]
    outcome: &'o Outcome,
}

pub(super) fn simulate(args: &SimulateArgs) -> Result<(), Failure> {
    let text = read(&args.cib)?;
    let when = when(args.at.as_deref())?;
    let cluster = standfast_cib::read(&text, when)
        .map_err(|error| Failure::data(format!("{}: {error}", args.cib.display())))?;
    let deep = thread::Builder::new().stack_size(STACK);
    let worker = deep
        .spawn(move || standfast_scheduler::simulate(&cluster))
        .map_err(|error| Failure::cannot("start a thread", &error))?;
    let Ok(outcome) = worker.join() else {
        return Err(Failure::new(
            70,
            "the simulation ended early; this is a bug",
        ));
    };
    if args.json {
        return print(&json(&outcome)?);
    }
    print(&said(&outcome))
}

fn json(outcome: &Outcome) -> Result<String, Failure> {
    let simulated = Simulated {
        schema: "standfast/simulate/1",
        outcome,
    };
    let mut line =
        serde_json::to_string(&simulated).map_err(|error| Failure::cannot("write JSON", &error))?;
    line.push('\n');
    Ok(line)
}

/// The text of a file, or of the standard input.
pub(super) fn read(file: &Path) -> Result<String, Failure> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(file)
    };
    text.map_err(|error| {
        Failure::new(
            exit::NO_INPUT,
            format!("cannot read {}: {error}", file.display()),
        )
    })
}

/// Seconds since 1970.
pub(super) fn now() -> i64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}

fn when(at: Option<&str>) -> Result<When, Failure> {
    let Some(at) = at else {
        return Ok(When::RecordedOr(now()));
    };
    let time = standfast_cib::date(at);
    let time = time.ok_or_else(|| Failure::usage(format!("--at {at}: not a date and time")))?;
    Ok(When::At(time))
}

fn said(outcome: &Outcome) -> String {
    let mut text = String::new();
    for row in &outcome.resources {
        let instance = row
            .instance
            .map_or(String::new(), |number| format!(":{number}"));
        let place = row
            .node
            .as_ref()
            .map_or(String::new(), |node| format!(" on {node}"));
        let unmanaged = if row.managed { "" } else { ", unmanaged" };
        writeln!(
            text,
            "{}{instance}: {}{place}{unmanaged}",
            row.resource, row.role
        )
        .ok();
    }
    for node in &outcome.nodes {
        let mut states = vec![if node.online { "online" } else { "offline" }];
        states.extend(node.standby.then_some("standby"));
        states.extend(node.maintenance.then_some("maintenance"));
        states.extend(node.fenced.then_some("fenced"));
        writeln!(text, "{}: {}", node.name, states.join(", ")).ok();
    }
    text
}
