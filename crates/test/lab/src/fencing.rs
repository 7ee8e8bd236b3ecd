//! Fencing for real: `fence_ipmilan` on the nodes, boards that cut their power and give it back. An operator fences the primary; then the
//! primary is cut off and the cluster fences it by itself. Each time the service moves, nobody ever sees two owners, the node comes back, and
//! the history tells it. Not for devices that fail or lie: the simulator has those.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::bmc::Boards;
use crate::check::{self, Problem, Weight, problem};
use crate::enclosure::Enclosure;
use crate::error::{LabError, Result};
use crate::network::Cut;
use crate::probe::Probe;
use crate::standfast_system::Standfast;
use crate::system::System;
use crate::trial::{Patience, settle};
use crate::upgrade::bare;
use crate::{evidence, measure, sys};

/// A board that is asked over and over answers within this time, also on a busy machine.
const LIMIT: Duration = Duration::from_secs(90);

/// A machine that is lost sooner after the end of its fencing counts as booting still: what it had sent before may arrive for three
/// heartbeats. Hosts of the laboratory boot so fast that they are back before that end.
const BOOTED: Duration = Duration::from_secs(1);

/// What came of one fencing.
#[derive(Debug)]
pub struct Fenced {
    /// Who wanted it.
    pub what: &'static str,
    /// From the order, or the cut, to its confirmed end, milliseconds.
    pub took_ms: u64,
    /// Longest time for which no request was answered, milliseconds.
    pub gap_ms: f64,
    /// Everything that was not as it should be.
    pub problems: Vec<Problem>,
}

/// Fences twice.
///
/// # Errors
/// When the laboratory fails, or what was to happen does not.
pub fn run(enclosure: &Enclosure, number: u8) -> Result<Vec<Fenced>> {
    let lab = bare(enclosure, number, 3)?;
    let mut system = Standfast::deploy(lab, "lan")?;
    let boards = Boards::start(system.lab())?;
    let result = both(&mut system, &boards);
    let fine = |all: &Vec<Fenced>| all.iter().all(|one| one.problems.is_empty());
    if !result.as_ref().is_ok_and(fine) {
        evidence::ask(&system);
    }
    result
}

fn both(system: &mut Standfast, boards: &Boards) -> Result<Vec<Fenced>> {
    configure(system, boards)?;
    let probe = system.lab().probe()?;
    let asked = by_operator(system, boards, &probe)?;
    let lost = by_itself(system, boards, &probe)?;
    Ok(vec![asked, lost])
}

/// A board for each node, with its password in a file, and a short patience with lost nodes.
fn configure(system: &Standfast, boards: &Boards) -> Result<()> {
    let lab = system.lab();
    let text = system.configuration();
    let mut text = text.replacen("[cluster]\n", "[cluster]\nfence_lost_after_ms = 2000\n", 1);
    text.push_str(&boards.configuration(lab)?);
    let file = system.file_of(0, "fencing.toml", &text)?;
    system.ask_anything(0, &["apply", &file]).map(|_| ())
}

/// The name of a node, and another one that can be asked.
fn name_and_other(system: &Standfast, primary: usize) -> Result<(String, usize)> {
    let nodes = &system.lab().nodes;
    let missing = || LabError::Unexpected(format!("no node {primary}"));
    let name = nodes.get(primary).ok_or_else(missing)?.name().to_owned();
    Ok((name, (primary + 1) % nodes.len()))
}

fn by_operator(system: &mut Standfast, boards: &Boards, probe: &Probe) -> Result<Fenced> {
    let primary = settle(system, probe, Patience::default().settle)?;
    let (name, asked) = name_and_other(system, primary)?;
    let began = Began::now(probe);
    let mut command = system.begin(asked, &["fence", &name, "--yes", "--json"])?;
    let ended = until(system, boards, |_| {
        let status = command.try_wait();
        Ok(status.is_ok_and(|status| status.is_some()).then_some(()))
    });
    if ended.is_err() {
        drop(command.kill());
    }
    let output = command
        .wait_with_output()
        .map_err(|error| LabError::system("wait for a command", error))?;
    ended?;
    let took_ms = began.millis();
    let mut problems = Vec::new();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let outcome = said.pointer("/act/outcome").and_then(Value::as_str);
    if !output.status.success() || outcome != Some("off") {
        let text = format!(
            "fence ended with {}: {said} {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
        problems.push(problem(Weight::Broken, text));
    }
    let telling = format!("{name} is off, as ipmi-{name} said to ");
    finish(system, probe, &began, (asked, &telling), &mut problems)?;
    Ok(Fenced {
        what: "an operator fences the primary",
        took_ms,
        gap_ms: began.gap(probe),
        problems,
    })
}

/// The primary is cut off from the others, its board is not.
fn by_itself(system: &mut Standfast, boards: &Boards, probe: &Probe) -> Result<Fenced> {
    std::thread::sleep(BOOTED);
    let primary = settle(system, probe, Patience::default().settle)?;
    let (name, asked) = name_and_other(system, primary)?;
    let began = Began::now(probe);
    system.lab().cut(primary, Cut::Both)?;
    until(system, boards, |system| {
        let printed = system.ask_anything(asked, &["fence", "history", "--json"])?;
        let history: Value = serde_json::from_str(&printed).unwrap_or_default();
        let acts = history.get("acts").and_then(Value::as_array);
        let text = |act: &Value, key: &str| act.get(key).and_then(Value::as_str).map(str::to_owned);
        let done = acts.into_iter().flatten().any(|act| {
            text(act, "by").as_deref() == Some("the cluster")
                && text(act, "node").as_ref() == Some(&name)
                && text(act, "outcome").is_some_and(|outcome| outcome != "under-way")
        });
        Ok(done.then_some(()))
    })?;
    let took_ms = began.millis();
    let mut problems = Vec::new();
    let telling =
        format!("off        {name}, by the cluster, because it is lost and may still run");
    finish(system, probe, &began, (asked, &telling), &mut problems)?;
    Ok(Fenced {
        what: "the primary is cut off, and the cluster fences it",
        took_ms,
        gap_ms: began.gap(probe),
        problems,
    })
}

/// When something began, for the client and for us.
struct Began {
    at: Instant,
    ns: u64,
    first: usize,
}

impl Began {
    fn now(probe: &Probe) -> Self {
        Self {
            at: Instant::now(),
            ns: sys::now_ns(),
            first: probe.request_count().saturating_sub(200),
        }
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.at.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn gap(&self, probe: &Probe) -> f64 {
        measure::client_view(&probe.requests(self.first), self.ns).longest_gap_ms
    }
}

/// Gives power back where it is wanted, and starts what runs on a node after its boot, until something is so.
fn until(
    system: &mut Standfast,
    boards: &Boards,
    mut so: impl FnMut(&Standfast) -> Result<Option<()>>,
) -> Result<()> {
    let began = Instant::now();
    while so(system)?.is_none() {
        if began.elapsed() > LIMIT {
            let text = format!("the fencing had not ended after {} s", LIMIT.as_secs());
            return Err(LabError::Unexpected(text));
        }
        if boards.tend(system.lab_mut())? {
            system.start()?;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// The service has moved, the node is back, and the history says what happened.
fn finish(
    system: &mut Standfast,
    probe: &Probe,
    began: &Began,
    (asked, telling): (usize, &str),
    problems: &mut Vec<Problem>,
) -> Result<()> {
    settle(system, probe, Patience::default().settle)?;
    let view = measure::client_view(&probe.requests(began.first), began.ns);
    let owners = measure::owner_view(&probe.evidence(began.ns));
    if view.new_node.is_none() {
        problems.push(problem(Weight::Broken, "the service did not move"));
    }
    problems.extend(check::owners(&owners));
    let history = system.ask_anything(asked, &["fence", "history"])?;
    if !history.contains(telling) {
        let text = format!("the history does not tell it:\n{history}");
        problems.push(problem(Weight::Broken, text));
    }
    Ok(())
}
