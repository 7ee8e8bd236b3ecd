//! What may happen in the middle of an upgrade: the command is killed, two are given at once on two nodes, a node is lost. Whatever it
//! is, never are two agents restarted at the same time, and none while a node is missing. Not for upgrades that nothing disturbs.

use std::process::{Child, Output};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;

use crate::check::{Problem, Weight, problem};
use crate::enclosure::Enclosure;
use crate::error::{LabError, Result};
use crate::evidence;
use crate::probe::Probe;
use crate::standfast_system::Standfast;
use crate::system::System;
use crate::trial::{Patience, settle};
use crate::upgrade::bare;
use crate::{measure, processes, sys};

/// Patience of a command that cannot go on, seconds.
const WAIT: &str = "6";

/// A node that was asked has begun its restart after this time at most, if it is going to.
const BEGUN: Duration = Duration::from_secs(60);

/// One disturbance and what came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Disturbed {
    /// What was done.
    pub what: &'static str,
    /// Agents that were restarted, in order.
    pub restarted: Vec<String>,
    /// Everything that was not as it should be.
    pub problems: Vec<Problem>,
}

/// Disturbs upgrades of one cluster, one after the other.
///
/// # Errors
/// When the laboratory fails.
pub fn run(enclosure: &Enclosure, number: u8) -> Result<Vec<Disturbed>> {
    let lab = bare(enclosure, number, 3)?;
    let mut system = Standfast::deploy(lab, "lan")?;
    let result = all(&mut system);
    let fine = |all: &Vec<Disturbed>| all.iter().all(|one| one.problems.is_empty());
    if !result.as_ref().is_ok_and(fine) {
        evidence::ask(&system);
    }
    result
}

fn all(system: &mut Standfast) -> Result<Vec<Disturbed>> {
    let probe = system.lab().probe()?;
    settle(system, &probe, Patience::default().settle)?;
    let mut done = Vec::new();
    done.push(undisturbed_service(system, &probe, killed)?);
    done.push(undisturbed_service(system, &probe, two_at_once)?);
    settle(system, &probe, Patience::default().settle)?;
    done.push(node_lost(system, &probe)?);
    Ok(done)
}

/// Nothing has to move: no request fails.
fn undisturbed_service(
    system: &mut Standfast,
    probe: &Probe,
    disturb: fn(&mut Standfast) -> Result<Disturbed>,
) -> Result<Disturbed> {
    settle(system, probe, Patience::default().settle)?;
    let first = probe.request_count().saturating_sub(200);
    let began_ns = sys::now_ns();
    let mut disturbed = disturb(system)?;
    let view = measure::client_view(&probe.requests(first), began_ns);
    if view.failed_requests > 0 || view.new_node.is_some() {
        let text = format!("{} requests failed", view.failed_requests);
        disturbed.problems.push(problem(Weight::Timed, text));
    }
    Ok(disturbed)
}

/// The command is killed when the first agent restarts; that agent comes back, the others are left alone. Given again, it does
/// what is left.
fn killed(system: &mut Standfast) -> Result<Disturbed> {
    let before = journal(system, 1)?.len();
    let mut command = system.begin(1, &["upgrade", "--again", "--json"])?;
    wait_for_restart(system, 1, before)?;
    // What enters the host is only its parent.
    processes::kill_descendants(command.id());
    command
        .kill()
        .map_err(|error| LabError::system("kill a command", error))?;
    drop(command.wait());
    let mut problems = Vec::new();
    back(system, 1, before, 1)?;
    std::thread::sleep(Duration::from_secs(2));
    let restarted = restarts(&journal(system, 1)?, before, &mut problems);
    if restarted.len() > 1 {
        problems.push(problem(
            Weight::Broken,
            "agents were restarted after the command had been killed",
        ));
    }
    let output = finish(system.begin(1, &["upgrade", "--again", "--json"])?)?;
    let restarted = restarts(&journal(system, 1)?, before, &mut problems);
    if !output.status.success() || restarted.len() != 4 {
        let text = format!("given again, it failed: {}", said(&output));
        problems.push(problem(Weight::Broken, text));
    }
    Ok(Disturbed {
        what: "the command is killed",
        restarted,
        problems,
    })
}

/// Two operators, on two nodes, at the same moment: each node is restarted once for each command at most, one at a time.
fn two_at_once(system: &mut Standfast) -> Result<Disturbed> {
    let before = journal(system, 1)?.len();
    let arguments = ["upgrade", "--again", "--json"];
    let commands = [system.begin(1, &arguments)?, system.begin(2, &arguments)?];
    let mut problems = Vec::new();
    for command in commands {
        let output = finish(command)?;
        if !output.status.success() {
            let text = format!("one of them failed: {}", said(&output));
            problems.push(problem(Weight::Broken, text));
        }
    }
    let restarted = restarts(&journal(system, 1)?, before, &mut problems);
    if !(3..=6).contains(&restarted.len()) {
        let text = format!("{} restarts", restarted.len());
        problems.push(problem(Weight::Broken, text));
    }
    Ok(Disturbed {
        what: "two commands at once",
        restarted,
        problems,
    })
}

/// A node loses its power when the first agent has been restarted: the command stops and says why, and nobody else is
/// restarted until the node is back.
fn node_lost(system: &mut Standfast, probe: &Probe) -> Result<Disturbed> {
    let primary = settle(system, probe, Patience::default().settle)?;
    let leader = system.leader().unwrap_or(primary);
    // Neither the service nor leadership is lost with it, and it is not the one that is asked first.
    let count = system.lab().nodes.len();
    let mut idle = (0..count).filter(|index| *index != primary && *index != leader);
    let lost = idle.next_back().unwrap_or(0);
    let asked = (0..count).find(|index| *index != lost).unwrap_or(0);
    let before = journal(system, asked)?.len();
    let command = system.begin(asked, &["upgrade", "--again", "--json", "--wait", WAIT])?;
    wait_for_restart(system, asked, before)?;
    system.lab_mut().power_off(&[lost])?;
    let output = finish(command)?;
    let mut problems = Vec::new();
    if output.status.success() {
        problems.push(problem(
            Weight::Broken,
            "the command went on without the node",
        ));
    }
    let early = restarts(&journal(system, asked)?, before, &mut problems).len();
    std::thread::sleep(Duration::from_secs(3));
    let restarted = restarts(&journal(system, asked)?, before, &mut problems);
    if restarted.len() > early {
        problems.push(problem(
            Weight::Broken,
            "an agent was restarted after the command had given up",
        ));
    }
    system.lab_mut().boot_all()?;
    system.start()?;
    settle(system, probe, Patience::default().settle)?;
    Ok(Disturbed {
        what: "a node is lost",
        restarted,
        problems,
    })
}

fn finish(command: Child) -> Result<Output> {
    command
        .wait_with_output()
        .map_err(|error| LabError::system("wait for a command", error))
}

fn said(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    format!("{}: {}", output.status, errors.trim())
}

/// The journal's texts, oldest first.
fn journal(system: &Standfast, index: usize) -> Result<Vec<String>> {
    let began = Instant::now();
    let text = loop {
        match system.ask_anything(index, &["history", "--number", "500", "--json"]) {
            Ok(text) => break text,
            // Its agent may be the one that is restarted just now.
            Err(error) if began.elapsed() > BEGUN => return Err(error),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    };
    let said: Value = serde_json::from_str(&text)
        .map_err(|error| LabError::Unexpected(format!("history --json: {error}")))?;
    let entries = said.get("entries").and_then(Value::as_array);
    let mut entries: Vec<(u64, String)> = entries
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let index = entry.get("index")?.as_u64()?;
            Some((index, entry.get("text")?.as_str()?.to_owned()))
        })
        .collect();
    entries.sort_by_key(|(index, _)| *index);
    Ok(entries.into_iter().map(|(_, text)| text).collect())
}

fn restart_of(text: &str) -> Option<&str> {
    let name = text.strip_prefix("agent on ")?;
    name.split_once(" restarts; ").map(|(name, _)| name)
}

fn return_of(text: &str) -> Option<&str> {
    let name = text.strip_prefix("agent on ")?;
    name.strip_suffix(" is back from its restart")
}

fn wait_for_restart(system: &Standfast, index: usize, before: usize) -> Result<()> {
    wait_for(system, index, before, |texts| {
        texts.iter().any(|text| restart_of(text).is_some())
    })
}

fn back(system: &Standfast, index: usize, before: usize, count: usize) -> Result<()> {
    wait_for(system, index, before, |texts| {
        texts
            .iter()
            .filter(|text| return_of(text).is_some())
            .count()
            >= count
    })
}

fn wait_for(
    system: &Standfast,
    index: usize,
    before: usize,
    done: impl Fn(&[String]) -> bool,
) -> Result<()> {
    let began = Instant::now();
    while began.elapsed() < BEGUN {
        if journal(system, index)?.get(before..).is_some_and(&done) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err(LabError::Unexpected(
        "no agent was restarted in time".to_owned(),
    ))
}

/// Who was restarted since then, in order; by the journal, which has everything in the order in which all nodes agreed on it.
fn restarts(journal: &[String], before: usize, problems: &mut Vec<Problem>) -> Vec<String> {
    let mut away: Option<&str> = None;
    let mut lost = false;
    let mut restarted = Vec::new();
    let mut firm = |text: String| {
        if problems.iter().all(|problem| problem.text != text) {
            problems.push(problem(Weight::Firm, text));
        }
    };
    for text in journal.get(before..).unwrap_or_default() {
        if let Some(node) = restart_of(text) {
            if let Some(other) = away.filter(|other| *other != node) {
                firm(format!("{node} was restarted while {other} was away"));
            }
            if lost {
                firm(format!("{node} was restarted while a node was missing"));
            }
            away = Some(node);
            restarted.push(node.to_owned());
        } else if return_of(text) == away {
            away = None;
        }
        lost = (lost || text.contains(" is lost"))
            && !text.contains(" is back;")
            && !text.ends_with(" is back");
    }
    restarted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(texts: &[&str]) -> (Vec<String>, Vec<String>) {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        let mut problems = Vec::new();
        let restarted = restarts(&texts, 0, &mut problems);
        let texts = problems.into_iter().map(|problem| problem.text);
        (restarted, texts.collect())
    }

    #[test]
    fn two_agents_that_are_away_at_once_are_noticed() {
        let away = |node: &str| format!("agent on {node} restarts; its leases run on for 10000 ms");
        let back = |node: &str| format!("agent on {node} is back from its restart");
        let one = [away("beta"), back("beta"), away("gamma"), back("gamma")];
        let one: Vec<&str> = one.iter().map(String::as_str).collect();
        assert_eq!(judge(&one).1, Vec::<String>::new());
        assert_eq!(judge(&one).0, ["beta", "gamma"]);
        let two = [away("beta"), away("gamma")];
        let two: Vec<&str> = two.iter().map(String::as_str).collect();
        assert_eq!(judge(&two).1, ["gamma was restarted while beta was away"]);
        let beta = away("beta");
        let missing = ["gamma is lost", beta.as_str()];
        assert_eq!(
            judge(&missing).1,
            ["beta was restarted while a node was missing"]
        );
    }
}
