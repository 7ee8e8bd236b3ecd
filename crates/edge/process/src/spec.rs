//! From a resource's configuration to what a keeper is asked to run.

use crate::{driver::ProcessSettings, secret};
use standfast_guard::{
    KeeperSpec, Output, StopRequest, cgroup::find_hierarchy, clock::boot_now_ns,
};
use standfast_model::{config::ProcessConfig, id::ResourceId, plan::PlanNumber, time::Micros};
use standfast_ocf::{Deep, Dialect, Order, Task};
use std::{collections::BTreeMap, path::PathBuf};

/// Kept output of each resource, twice at most.
const OUTPUT_BYTES: u64 = 4 * 1024 * 1024;
/// After a kill the tree may take this long to be gone before the stop counts as not confirmed.
pub(crate) const CONFIRM_MS: u64 = 1000;
/// A monitor has this long where no health is asked for.
const MONITOR_MS: u64 = 30_000;
/// The plan that an instance was started under, kept with the keeper (in the environment, where
/// nothing of it can be lost) for the next agent.
const SINCE: &str = "STANDFAST_SINCE";

/// What the keeper is asked to run.
///
/// # Errors
/// A secret file that cannot be read.
pub(crate) fn keeper_spec(
    settings: &ProcessSettings,
    resource: &ResourceId,
    config: &ProcessConfig,
    since: PlanNumber,
    program: Option<PathBuf>,
) -> Result<KeeperSpec, String> {
    let mut environment = environment(settings, resource, config);
    environment.extend(secret::read(config)?);
    environment.insert(SINCE.to_owned(), since.to_string());
    let slice = config
        .unit()
        .map(|_| standfast_unit::slice(resource.as_str(), boot_now_ns()));
    let command = match (config.started_by(), program) {
        (Some(name), Some(program)) => {
            let (dialect, arguments) = match (&config.agent, &slice) {
                (Some(agent), _) => {
                    let (root, node) = (&settings.agents, &settings.node);
                    let given = standfast_ocf::environment(root, node, resource.as_str(), agent);
                    environment.extend(given);
                    (Dialect::Ocf, Vec::new())
                }
                (None, Some(slice)) => (Dialect::Unit, unit_action(resource, name, slice)?),
                (None, None) => {
                    environment.extend(standfast_ocf::environment_of_script());
                    (Dialect::Script, Vec::new())
                }
            };
            let called = (dialect, name, program);
            runner(settings, resource, config, called, arguments)?
        }
        _ => config.command.clone(),
    };
    Ok(KeeperSpec {
        name: resource.to_string(),
        run_dir: run_dir(settings, resource),
        command,
        environment,
        working_directory: config.directory.as_ref().map(PathBuf::from),
        user: config.user.clone(),
        group: None,
        cgroup_parent: settings.cgroup_parent.clone(),
        slice,
        private_pids: config.private_pids,
        network_guard: settings.network_guard,
        output: Output {
            directory: settings.output_dir.join(resource.as_str()),
            max_bytes: OUTPUT_BYTES,
        },
        stop: StopRequest {
            grace_ms: millis(config.stop_timeout),
            signal: config.stop_signal,
        },
        confirm_ms: CONFIRM_MS,
    })
}

/// What a resource's runner calls, if it has one: its agent, its script, or for a unit this very program.
///
/// # Errors
/// It is not installed here, as a sentence.
pub(crate) fn program(
    settings: &ProcessSettings,
    config: &ProcessConfig,
) -> Result<Option<PathBuf>, String> {
    if let Some(agent) = &config.agent {
        return standfast_ocf::find(&settings.agents, &agent.name).map(Some);
    }
    if let Some(script) = config.script() {
        return standfast_ocf::find_script(script).map(Some);
    }
    Ok(config.unit().map(|_| settings.keeper.path.clone()))
}

/// The command line of a runner.
fn runner(
    settings: &ProcessSettings,
    resource: &ResourceId,
    config: &ProcessConfig,
    (dialect, name, program): (Dialect, &str, PathBuf),
    arguments: Vec<String>,
) -> Result<Vec<String>, String> {
    let health = config.health.as_ref();
    let order = Order {
        name: name.to_owned(),
        dialect,
        program,
        arguments,
        run_dir: run_dir(settings, resource),
        start_ms: millis(config.start_timeout),
        stop_ms: millis(config.stop_timeout),
        monitor_ms: health.map_or(MONITOR_MS, |health| millis(health.timeout)),
        interval_ms: health.map_or(0, |health| millis(health.interval)),
        deep: deep(config),
        outlives: config.outlives(),
        promoted_interval_ms: config.is_promotable().then(|| {
            let agent = config.agent.as_ref();
            let own = agent.and_then(|agent| agent.promoted_interval);
            own.map_or_else(
                || health.map_or(0, |health| millis(health.interval)),
                millis,
            )
        }),
        task: Task::Run,
    };
    let order = serde_json::to_string(&order).map_err(|error| error.to_string())?;
    // Where the keeper executes its own program, so does the runner.
    let program = settings.keeper.path.display().to_string();
    Ok(vec![program, "ocf-runner".to_owned(), order])
}

/// The monitors of an agent beside the first one.
fn deep(config: &ProcessConfig) -> Vec<Deep> {
    let monitors = config.agent.iter().flat_map(|agent| &agent.monitors);
    let deep = monitors.map(|monitor| Deep {
        depth: monitor.depth,
        monitor_ms: millis(monitor.timeout),
        interval_ms: millis(monitor.interval),
    });
    deep.collect()
}

/// What our own program is told so that it has systemd start, stop and watch a unit; the action comes after it.
fn unit_action(resource: &ResourceId, unit: &str, slice: &str) -> Result<Vec<String>, String> {
    let order = standfast_unit::Order {
        resource: resource.to_string(),
        unit: unit.to_owned(),
        slice: slice.to_owned(),
        slices: find_hierarchy()?.join(standfast_unit::SLICES),
    };
    let order = serde_json::to_string(&order).map_err(|error| error.to_string())?;
    Ok(vec!["unit".to_owned(), order])
}

/// A small clean environment, who it is, and what the configuration adds.
fn environment(
    settings: &ProcessSettings,
    resource: &ResourceId,
    config: &ProcessConfig,
) -> BTreeMap<String, String> {
    let mut environment = BTreeMap::from([
        (
            "PATH".to_owned(),
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned(),
        ),
        ("STANDFAST_NODE".to_owned(), settings.node.clone()),
        ("STANDFAST_RESOURCE".to_owned(), resource.to_string()),
    ]);
    environment.extend(config.environment.clone());
    environment
}

/// What checks get: the environment of the process as it was started, secrets included.
pub(crate) fn environment_of_checks(spec: &KeeperSpec) -> BTreeMap<String, String> {
    let mut environment = spec.environment.clone();
    environment.remove(SINCE);
    environment
}

/// The keeper's own folder.
pub(crate) fn run_dir(settings: &ProcessSettings, resource: &ResourceId) -> PathBuf {
    settings.run_dir.join(resource.as_str())
}

/// The plan that an adopted instance was started under.
pub(crate) fn since(spec: &KeeperSpec) -> Option<PlanNumber> {
    plan_number(spec.environment.get(SINCE)?)
}

/// A plan's number, as it was written down.
pub(crate) fn plan_number(text: &str) -> Option<PlanNumber> {
    let (term, generation) = text.split_once('.')?;
    Some(PlanNumber {
        term: term.parse().ok()?,
        generation: generation.parse().ok()?,
    })
}

fn millis(length: Micros) -> u64 {
    length.as_millis_ceil()
}
