//! The subcommands `lab`, `bench-failover`, `fencing` and `exercises`: options, printing, files. Not for running trials.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use standfast_lab::attempts;
use standfast_lab::check::{self, Verdict};
use standfast_lab::enclosure::{self, Enclosure, Mode};
use standfast_lab::error::{LabError, Result};
use standfast_lab::exercises;
use standfast_lab::fault::{Expected, Fault};
use standfast_lab::fencing as fences;
use standfast_lab::report;
use standfast_lab::session::{self, Broken, Next, Plan};
use standfast_lab::standfast_system::Arbiter;
use standfast_lab::system::System;
use standfast_lab::trial::{self, Patience, Trial};
use standfast_lab::usage::{self, Usage};

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
    /// Systems to run: standfast[=PROFILE], pair[=PROFILE], keepalived[=ADVERT_INT], pacemaker[=VARIANT]. Of the others is checked only that they take over.
    #[arg(long, default_value = "standfast")]
    pub(crate) system: Vec<String>,
    /// The arbiter of every pair among them.
    #[arg(long)]
    pub(crate) arbiter: Option<Arbiter>,
    /// Write every trial as JSON to this file.
    #[arg(long)]
    pub(crate) json: Option<PathBuf>,
}

impl LabOptions {
    /// The systems, with the arbiter that is asked for.
    fn systems(&self) -> Vec<String> {
        let pings = self.arbiter == Some(Arbiter::Ping);
        let named = self.system.iter().map(|name| match name.as_str() {
            "pair" if pings => "pair=lan,ping".to_owned(),
            pair if pings && pair.starts_with("pair=") && !pair.contains(',') => {
                format!("{pair},ping")
            }
            other => other.to_owned(),
        });
        named.collect()
    }
}

/// What is compared when nothing else is asked for.
const SYSTEMS: [&str; 9] = [
    "standfast=lan",
    "standfast=fast",
    "pair",
    "keepalived",
    "keepalived=0.1",
    "pacemaker",
    "pacemaker=3",
    "pacemaker=token:300",
    "pacemaker=fencing",
];

/// Options of `standfast-lab bench-failover`.
#[derive(Debug, Args)]
pub(crate) struct BenchOptions {
    /// Trials of every fault, for each system, idle and loaded.
    #[arg(long, default_value_t = 10)]
    pub(crate) trials: u32,
    /// Run only these faults; all when left out.
    #[arg(long)]
    pub(crate) fault: Vec<Fault>,
    /// Systems to compare.
    #[arg(long, default_values = SYSTEMS)]
    pub(crate) system: Vec<String>,
    /// Leave out the trials with all cores busy.
    #[arg(long)]
    pub(crate) idle_only: bool,
    /// Seconds over which idle processor time is measured; 0: not at all.
    #[arg(long, default_value_t = 60)]
    pub(crate) usage_seconds: u64,
    /// Folder for failover.json and failover.md.
    #[arg(long, default_value = ".")]
    pub(crate) out: PathBuf,
    /// How to keep hosts apart; the strongest way that works when left out.
    #[arg(long)]
    pub(crate) mode: Option<Mode>,
}

fn failed(error: std::io::Error) -> LabError {
    LabError::system("print", error)
}

fn faults(chosen: &[Fault]) -> Vec<Fault> {
    if chosen.is_empty() {
        Fault::all().to_vec()
    } else {
        chosen.to_vec()
    }
}

fn deploy(names: &[String], enclosure: &Enclosure) -> Result<Vec<Box<dyn System>>> {
    (1..)
        .zip(names)
        .map(|(number, name)| session::deploy(name, number, enclosure))
        .collect()
}

/// Fences for real. Exit code 1 when something was not as it should be.
pub(crate) fn fencing(enclosure: &Enclosure) -> Result<u8> {
    let mut out = std::io::stdout();
    let failed = |error| LabError::system("print", error);
    let (all, good) = attempts::run(
        (enclosure, 1),
        &mut out,
        || fences::run(enclosure, 1),
        |all| all.iter().flat_map(|one| one.problems.clone()).collect(),
    )?;
    let all = all.unwrap_or_default();
    for one in &all {
        writeln!(
            out,
            "{}: {:.1} s until the machine was off and had its power back, {:.2} s without an answer",
            one.what,
            Duration::from_millis(one.took_ms).as_secs_f64(),
            one.gap_ms / 1000.0
        )
        .map_err(failed)?;
    }
    let (passed, bad) = if good { (all.len(), 0) } else { (0, 1) };
    writeln!(out, "fencing: {passed} passed, {bad} failed, 0 skipped").map_err(failed)?;
    Ok(u8::from(!good))
}

/// Does the exercises. Exit code 1 when something was not as it should be.
pub(crate) fn exercises(enclosure: &Enclosure) -> Result<u8> {
    let mut out = std::io::stdout();
    let failed = |error| LabError::system("print", error);
    let (all, good) = attempts::run(
        (enclosure, 1),
        &mut out,
        || exercises::run(enclosure, 1),
        |all| all.iter().flat_map(|one| one.problems.clone()).collect(),
    )?;
    let all = all.unwrap_or_default();
    for one in &all {
        writeln!(out, "{}", one.what).map_err(failed)?;
        for seen in &one.seen {
            writeln!(out, "    {seen}").map_err(failed)?;
        }
    }
    let (passed, bad) = if good { (all.len(), 0) } else { (0, 1) };
    writeln!(out, "exercises: {passed} passed, {bad} failed, 0 skipped").map_err(failed)?;
    Ok(u8::from(!good))
}

/// Lists the faults.
pub(crate) fn list() -> Result<u8> {
    let mut out = std::io::stdout();
    for fault in Fault::all() {
        writeln!(out, "{}", fault.name()).map_err(failed)?;
    }
    Ok(0)
}

fn line(trial: &Trial) -> String {
    let load = if trial.loaded { " (loaded)" } else { "" };
    let cells = report::summary(&[trial]);
    let cell = |at: usize| cells.get(at).map(String::as_str).unwrap_or_default();
    format!(
        "{:<32} {:<18} rto {:>7}  steady {:>7}  gap {:>7}  failed {:>10}  two owners {:>7}  {}{}{}",
        format!("{}{load}", trial.fault.name()),
        trial.system,
        cell(1),
        cell(2),
        cell(3),
        cell(4),
        cell(5),
        moved(trial),
        fenced(trial),
        measured(trial),
    )
}

/// What is told and not judged.
fn measured(trial: &Trial) -> &'static str {
    let nothing = trial.fault.expected_with_ping_targets() == Expected::Measured;
    if nothing && check::pings(trial) {
        "  (how long there are two owners is measured here, not judged)"
    } else {
        ""
    }
}

/// What was fenced meanwhile.
fn fenced(trial: &Trial) -> String {
    match &trial.fence {
        None => String::new(),
        Some(seen) => {
            let back = if seen.power_back { ", on again" } else { "" };
            let how = if seen.already { "found off" } else { "fenced" };
            format!("  {how} in {:.0} ms{back}", seen.took_ms)
        }
    }
}

/// Who answered before and after.
fn moved(trial: &Trial) -> String {
    let name = |node: &Option<String>| node.clone().unwrap_or_else(|| "nobody".to_owned());
    match &trial.client.new_node {
        None => name(&trial.client.old_node),
        new => format!("{} > {}", name(&trial.client.old_node), name(new)),
    }
}

/// Runs the faults and checks what came of them. Exit code 1 when something did that should not have.
pub(crate) fn lab(options: &LabOptions, enclosure: &Enclosure) -> Result<u8> {
    let mut out = std::io::stdout();
    writeln!(out, "using {}", enclosure.mode.explanation()).map_err(failed)?;
    if std::env::var_os(enclosure::KEEP).is_some() {
        writeln!(out, "files stay in {}", enclosure.folder.display()).map_err(failed)?;
    }
    let mut systems = deploy(&options.systems(), enclosure)?;
    let plan = Plan {
        faults: faults(&options.fault),
        loads: vec![options.loaded],
        trials: options.trials,
        patience: Patience {
            least: options.watch_ms.map(Duration::from_millis),
            ..Patience::default()
        },
    };
    let missing = |system: &dyn System| {
        let small = system.lab().nodes.len() < 3;
        let own = plan
            .faults
            .iter()
            .filter(|fault| !(fault.is_foreign() || small && fault.needs_three_nodes()));
        own.filter(|fault| !system.supports(**fault)).count()
    };
    let skipped: usize = systems
        .iter()
        .filter(|system| is_checked(system.name()))
        .map(|system| missing(system.as_ref()))
        .sum();
    let (mut passed, mut bad) = (0_u32, 0_u32);
    let mut trials = Vec::new();
    session::run(&mut systems, &plan, &mut |result, attempt| {
        match &result {
            Ok(trial) => writeln!(out, "{}", line(trial)).map_err(failed)?,
            Err(broken) => writeln!(out, "{:<32} {:<18}", broken.fault.name(), broken.system)
                .map_err(failed)?,
        }
        let verdict = judge(&result, attempt, &mut out)?;
        trials.extend(result.ok());
        match verdict {
            Verdict::Good | Verdict::Untimed => passed += 1,
            Verdict::Bad => bad += 1,
            Verdict::Again => return Ok(Next::Again),
        }
        Ok(Next::Go)
    })?;
    if let Some(file) = &options.json {
        write_json(file, &trials)?;
    }
    if options.trials > 1 {
        write!(out, "\n{}\n", report::markdown(&trials)).map_err(failed)?;
    }
    writeln!(out, "lab: {passed} passed, {bad} failed, {skipped} skipped").map_err(failed)?;
    Ok(u8::from(bad > 0))
}

/// Judges an attempt at a trial and prints what was wrong with it.
fn judge(
    result: &std::result::Result<Trial, Broken>,
    attempt: u32,
    out: &mut impl Write,
) -> Result<Verdict> {
    let (problems, unrest) = match result {
        Ok(trial) if is_checked(&trial.system) => (check::problems(trial), trial.unrest),
        Ok(trial) => (check::baseline_problems(trial), trial.unrest),
        Err(broken) => (vec![check::broken(&broken.error)], broken.unrest),
    };
    let verdict = check::verdict(&problems, &unrest, attempt);
    check::print(&problems, &unrest, verdict, out).map_err(failed)?;
    Ok(verdict)
}

/// Systems that are judged; of the others is checked only that they take over.
fn is_checked(name: &str) -> bool {
    name.starts_with("standfast")
}

/// Everything that a benchmark publishes.
#[derive(Debug, serde::Serialize)]
struct Published {
    mode: Mode,
    machine: String,
    commit: String,
    usage: Vec<Usage>,
    broken: Vec<String>,
    trials: Vec<Trial>,
}

/// Compares the systems and writes failover.json and failover.md.
pub(crate) fn bench(options: &BenchOptions, enclosure: &Enclosure) -> Result<u8> {
    let mut out = std::io::stdout();
    writeln!(out, "using {}", enclosure.mode.explanation()).map_err(failed)?;
    let mut published = Published {
        mode: enclosure.mode,
        machine: machine(),
        commit: commit(),
        usage: idle_usage(options, enclosure)?,
        broken: Vec::new(),
        trials: Vec::new(),
    };
    let mut systems = deploy(&options.system, enclosure)?;
    let plan = Plan {
        faults: faults(&options.fault),
        loads: if options.idle_only {
            vec![false]
        } else {
            vec![false, true]
        },
        trials: options.trials,
        patience: Patience::default(),
    };
    session::run(&mut systems, &plan, &mut |result, _attempt| {
        match result {
            Ok(trial) => {
                writeln!(out, "{}", line(&trial)).map_err(failed)?;
                published.trials.push(trial);
            }
            Err(broken) => {
                let text = format!(
                    "{} {}: {}",
                    broken.fault.name(),
                    broken.system,
                    broken.error
                );
                writeln!(out, "{text}").map_err(failed)?;
                published.broken.push(text);
            }
        }
        // Written after every trial: an interrupted benchmark keeps what it has.
        write_json(&options.out.join("failover.json"), &published)?;
        Ok(Next::Go)
    })?;
    let file = options.out.join("failover.md");
    let text = markdown(&published);
    std::fs::write(&file, &text).map_err(|error| LabError::file("write", &file, error))?;
    write!(out, "\n{text}").map_err(failed)?;
    Ok(u8::from(!published.broken.is_empty()))
}

/// Memory and processor time of idle agents, before anything else runs.
fn idle_usage(options: &BenchOptions, enclosure: &Enclosure) -> Result<Vec<Usage>> {
    let name = options
        .system
        .iter()
        .find(|name| name.starts_with("standfast"));
    let (Some(name), true) = (name, options.usage_seconds > 0) else {
        return Ok(Vec::new());
    };
    let mut system = session::deploy(name, 9, enclosure)?;
    let probe = system.lab().probe()?;
    let primary = trial::settle(system.as_mut(), &probe, Patience::default().settle)?;
    drop(probe);
    usage::measure(
        system.as_mut(),
        primary,
        Duration::from_secs(options.usage_seconds),
    )
}

fn markdown(published: &Published) -> String {
    let mut text = format!(
        "# Failover, measured from the client\n\nMachine: {}. Commit: {}. Hosts: {}.\n\n\
         Median, and the longest in brackets. Every trial is in failover.json. In the second table: median (minimum–maximum); `never ×N`:\n\
         N trials in which it did not happen while it was watched.\n\n",
        published.machine,
        published.commit,
        published.mode.explanation(),
    );
    text.push_str(&report::comparison(&published.trials));
    text.push_str("\n## Every figure, in milliseconds\n\n");
    text.push_str(&report::markdown(&published.trials));
    if !published.usage.is_empty() {
        text.push_str("\n## One idle agent\n\n");
        text.push_str(&report::usage(&published.usage));
    }
    for broken in &published.broken {
        text.push_str(&format!("\nNot run to its end: {broken}\n"));
    }
    text
}

fn write_json(file: &Path, what: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(what)
        .map_err(|error| LabError::Unexpected(error.to_string()))?;
    std::fs::write(file, text).map_err(|error| LabError::file("write", file, error))
}

pub(crate) fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let information = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = information
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("unknown processor", |(_, model)| model);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{cores} cores of {model}, Linux {}", kernel.trim())
}

pub(crate) fn commit() -> String {
    standfast_lab::command::run(
        &["git", "describe", "--always", "--dirty", "--abbrev=12"],
        "",
    )
    .map_or_else(|_| "unknown".to_owned(), |text| text.trim().to_owned())
}
