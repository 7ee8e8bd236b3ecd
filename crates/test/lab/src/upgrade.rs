//! Rolling upgrades: a cluster of older agents gets new ones, one command, with a client that asks all the time; then an old agent
//! tries to come back. Also how long it takes to make a cluster from bare machines. Not for what goes wrong in the middle
//! (`upgrade_safety`).
//!
//! The older build is either a program that was built from an older commit, or this build with `--feature-level`: it writes no
//! report field, takes no command and keeps no state of the newer level. Building an older commit takes as long as all other checks.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;

use crate::check::{self, Problem, Weight, problem};
use crate::enclosure::Enclosure;
use crate::error::{LabError, Result};
use crate::lab::Lab;
use crate::load::Load;
use crate::measure;
use crate::probe::Probe;
use crate::standfast_system::{Build, Standfast};
use crate::sys;
use crate::system::{Handicap, System};
use crate::trial::{Patience, settle};
use crate::{evidence, upgrade_state};

/// What the previous build speaks, when it is this build.
const PREVIOUS: u32 = 1;

/// The client is watched for so long after the command has ended.
const AFTERWARDS: Duration = Duration::from_secs(2);

/// How an upgrade is tried.
#[derive(Debug, Clone, Default)]
pub struct Setting {
    /// All cores are kept busy.
    pub loaded: bool,
    /// Every fsync of the agents takes so much longer, milliseconds.
    pub fsync_delay_ms: u64,
    /// The program that is upgraded from; none: this build with an older feature level.
    pub from: Option<PathBuf>,
}

/// One upgrade of three nodes.
#[derive(Debug, Clone, Serialize)]
pub struct Upgrade {
    /// Whether all cores were kept busy.
    pub loaded: bool,
    /// Added to every fsync, milliseconds.
    pub fsync_delay_ms: u64,
    /// The nodes in the order in which they were taken, with how long each took, milliseconds.
    pub nodes: Vec<(String, u64)>,
    /// From the command to its end, milliseconds.
    pub took_ms: u64,
    /// Requests of the client from the command to two seconds after its end.
    pub requests: usize,
    /// Those without an answer.
    pub failed_requests: usize,
    /// Longest time without an answer, milliseconds.
    pub longest_gap_ms: f64,
    /// Time in which two nodes answered for the address, milliseconds.
    pub dual_owner_ms: f64,
    /// Everything that was not as it should be.
    pub problems: Vec<Problem>,
}

/// Runs one.
///
/// # Errors
/// When the laboratory fails, or the cluster does not even form.
pub fn run(enclosure: &Enclosure, number: u8, setting: &Setting) -> Result<Upgrade> {
    let lab = bare(enclosure, number, 3)?;
    let old = old_build(setting);
    let mut system = Standfast::deploy_as(lab, "lan", &old)?;
    let result = on(&mut system, setting, &old);
    if !result.as_ref().is_ok_and(|trial| trial.problems.is_empty()) {
        evidence::ask(&system);
    }
    result
}

fn old_build(setting: &Setting) -> Build {
    Build {
        program: setting.from.clone(),
        level: setting.from.is_none().then_some(PREVIOUS),
    }
}

fn on(system: &mut Standfast, setting: &Setting, old: &Build) -> Result<Upgrade> {
    let probe = system.lab().probe()?;
    settle(system, &probe, Patience::default().settle)?;
    let mut problems = Vec::new();
    let changed = setting.from.is_some();
    let before = changed.then(|| upgrade_state::change(system)).transpose()?;
    if !changed {
        let early = draft(system);
        if !early.is_err_and(|error| error.to_string().contains("standfast upgrade")) {
            let text = "a cluster of old agents did not refuse what they do not know";
            problems.push(problem(Weight::Broken, text));
        }
    }
    if setting.fsync_delay_ms > 0 {
        system.handicap(Handicap {
            fsync_delay_ms: setting.fsync_delay_ms,
            ..Handicap::default()
        })?;
    }
    settle(system, &probe, Patience::default().settle)?;
    let load = Load::default();
    let program = system.lab().program.clone();
    let busy = setting.loaded.then(|| load.wish(&program)).transpose()?;
    let mut trial = watched(system, &probe, setting)?;
    drop(busy);
    problems.append(&mut trial.problems);
    if let Some(before) = before {
        let lost = upgrade_state::lost(&before, system)?;
        problems.extend(lost.into_iter().map(|text| problem(Weight::Firm, text)));
    }
    if draft(system).is_err() {
        let text = "what is new is refused after the upgrade";
        problems.push(problem(Weight::Broken, text));
    }
    if !changed {
        let again = system.ask_anything(2, &["upgrade", "--json"]);
        let left = serde_json::from_str(&again?).map(|said: Value| steps(&said));
        if !left.is_ok_and(|left| left.is_empty()) {
            problems.push(problem(
                Weight::Broken,
                "there was something left to upgrade",
            ));
        }
    }
    problems.extend(downgrade(system, &probe, old)?);
    trial.problems = problems;
    Ok(trial)
}

fn folder(enclosure: &Enclosure, number: u8) -> PathBuf {
    enclosure.folder.join(format!("lab{number}"))
}

/// Machines that hold nothing, whatever an earlier lab of this number left.
///
/// # Errors
/// When the folder cannot be removed or the lab not be made.
pub(crate) fn bare(enclosure: &Enclosure, number: u8, nodes: usize) -> Result<Lab> {
    let folder = folder(enclosure, number);
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(LabError::file("remove", &folder, error))
        }
        _ => Lab::create(enclosure, number, nodes),
    }
}

/// Something that the newer level brought.
fn draft(system: &Standfast) -> Result<String> {
    let file = system.configuration_file(1)?;
    system.ask_anything(1, &["config", "draft", "save", "next", &file])
}

/// The upgrade itself, with a client and a watcher.
fn watched(system: &mut Standfast, probe: &Probe, setting: &Setting) -> Result<Upgrade> {
    let leader = system
        .leader()
        .and_then(|index| system.lab().nodes.get(index))
        .map(|host| host.name().to_owned());
    system.install(&Build::default())?;
    let first = probe.request_count().saturating_sub(200);
    let began_ns = sys::now_ns();
    // Two builds may have the same version.
    let again: &[&str] = if setting.from.is_some() {
        &["upgrade", "--json", "--again"]
    } else {
        &["upgrade", "--json"]
    };
    let printed = system.ask_anything(1, again);
    std::thread::sleep(AFTERWARDS);
    probe.check()?;
    let view = measure::client_view(&probe.requests(first), began_ns);
    let owners = measure::owner_view(&probe.evidence(began_ns));
    let mut problems = check::owners(&owners);
    let said: Value = match &printed {
        Ok(text) => serde_json::from_str(text)
            .map_err(|error| LabError::Unexpected(format!("upgrade --json: {error}")))?,
        Err(error) => {
            problems.push(problem(Weight::Broken, error.to_string()));
            Value::Null
        }
    };
    let nodes = steps(&said);
    let level = said.get("feature_level").and_then(Value::as_u64);
    let findings = [
        (view.failed_requests > 0, Weight::Timed, "requests failed"),
        (
            view.new_node.is_some(),
            Weight::Timed,
            "the service was moved or restarted",
        ),
        (nodes.len() != 3, Weight::Broken, "not every node was taken"),
        (
            nodes.last().map(|(node, _)| node) != leader.as_ref(),
            Weight::Broken,
            "the leader was not the last",
        ),
        (
            level.is_none_or(|level| level <= u64::from(PREVIOUS)),
            Weight::Broken,
            "the feature level was not raised",
        ),
    ];
    let found = findings.iter().filter(|(is, _, _)| *is);
    problems.extend(found.map(|(_, weight, what)| problem(*weight, *what)));
    Ok(Upgrade {
        loaded: setting.loaded,
        fsync_delay_ms: setting.fsync_delay_ms,
        nodes,
        took_ms: said.get("took_ms").and_then(Value::as_u64).unwrap_or(0),
        requests: view.requests,
        failed_requests: view.failed_requests,
        longest_gap_ms: view.longest_gap_ms,
        dual_owner_ms: owners.dual_owner_ms,
        problems,
    })
}

fn steps(said: &Value) -> Vec<(String, u64)> {
    let nodes = said.get("nodes").and_then(Value::as_array);
    let step = |step: &Value| {
        let name = step.get("name")?.as_str()?.to_owned();
        Some((name, step.get("took_ms")?.as_u64()?))
    };
    nodes.into_iter().flatten().filter_map(step).collect()
}

/// An agent of an older level does not start again in a cluster that uses the new one, and says why. One of the same level
/// takes over like any other. The service is answered all the time in both cases, and the others go on.
fn downgrade(system: &mut Standfast, probe: &Probe, old: &Build) -> Result<Vec<Problem>> {
    let primary = settle(system, probe, Patience::default().settle)?;
    let other = (0..3).find(|index| *index != primary).unwrap_or(0);
    let began_ns = sys::now_ns();
    let first = probe.request_count().saturating_sub(200);
    system.install(old)?;
    system.restart_agent(other)?;
    std::thread::sleep(Duration::from_secs(3));
    let log = system.agent_log(other)?;
    let refused = log.contains("a downgrade below it is not possible");
    let answers = system.ask_anything(other, &["status"]).is_ok();
    let mut problems = Vec::new();
    // A build of an older commit may speak the same level.
    let known = old.level.is_none() && !refused;
    if answers != known || refused == known {
        let text = format!(
            "an old agent that came back {} and {}",
            if answers {
                "answers"
            } else {
                "does not answer"
            },
            if refused {
                "said why not"
            } else {
                "was not refused"
            },
        );
        problems.push(problem(Weight::Broken, text));
    }
    if known {
        settle(system, probe, Patience::default().settle)?;
    }
    system.install(&Build::default())?;
    if known {
        system.restart_agent(other)?;
    }
    settle(system, probe, Patience::default().settle)?;
    let view = measure::client_view(&probe.requests(first), began_ns);
    if view.failed_requests > 0 || view.new_node.is_some() {
        let text = format!(
            "{} requests failed while an old agent tried to come back",
            view.failed_requests
        );
        problems.push(problem(Weight::Timed, text));
    }
    Ok(problems)
}

/// How long it takes to make a cluster of bare machines, in seconds: until its service answers from the first command on.
#[derive(Debug, Clone, Serialize)]
pub struct SetUp {
    /// Machines.
    pub nodes: usize,
    /// Until the configuration was applied, milliseconds.
    pub applied_ms: u64,
    /// Until a client was answered, milliseconds.
    pub answered_ms: u64,
}

/// Makes a cluster of so many machines.
///
/// # Errors
/// When that fails.
pub fn set_up(enclosure: &Enclosure, number: u8, nodes: usize) -> Result<SetUp> {
    let lab = bare(enclosure, number, nodes)?;
    let began = Instant::now();
    let system = Standfast::deploy(lab, "lan")?;
    let applied_ms = millis(began);
    let probe = system.lab().probe()?;
    while !answered(&probe) {
        if began.elapsed() > Patience::default().settle {
            return Err(LabError::Unexpected(
                "the service never answered".to_owned(),
            ));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(SetUp {
        nodes,
        applied_ms,
        answered_ms: millis(began),
    })
}

fn answered(probe: &Probe) -> bool {
    let requests = probe.requests(0);
    requests
        .iter()
        .any(|request| matches!(request.outcome, crate::probe::Outcome::Answered(_)))
}

fn millis(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX)
}
