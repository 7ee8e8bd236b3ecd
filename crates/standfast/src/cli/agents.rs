//! Resource agents of a proposed configuration, as far as this machine can judge them: what their own descriptions say of
//! the parameters. Before anything starts.
//!
//! Not for agents that are not installed here: every node judges those that it has (`agent/agents.rs`).

use standfast_config::{Mistake, Warning, mistake_at, warning_at};
use standfast_model::{
    config::{ClusterConfig, ProcessConfig, ResourceKind},
    id::ResourceId,
    time::Micros,
};
use standfast_ocf::{Metadata, Problem, ROOT, find_script, metadata, problems, repeated};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// What was found in a text.
#[derive(Debug, Default)]
struct Found {
    mistakes: Vec<Mistake>,
    warnings: Vec<Warning>,
    /// Parameters that an agent of this name takes over while it runs.
    reloadable: BTreeMap<String, BTreeSet<String>>,
}

/// Reads a configuration, and judges its agents. What they say of themselves is recorded in it.
///
/// # Errors
/// Everything that is wrong with it.
pub(crate) fn parse(text: &str, name: &str) -> Result<(ClusterConfig, Vec<Warning>), Vec<Mistake>> {
    let (mut config, mut warnings) = standfast_config::parse(text, name)?;
    let mut found = judge(&config, (text, name));
    warnings.append(&mut found.warnings);
    if !found.mistakes.is_empty() {
        return Err(found.mistakes);
    }
    found.record(&mut config);
    Ok((config, warnings))
}

impl Found {
    /// Records in the configuration what its agents have said of themselves.
    fn record(&self, config: &mut ClusterConfig) {
        let copied = config.copies.groups.values_mut();
        let copied = copied.flat_map(|copied| copied.resources.values_mut());
        for resource in config.resources.values_mut().chain(copied) {
            if let ResourceKind::Process(process) = &mut resource.kind
                && let Some(agent) = &mut process.agent
            {
                let names = self.reloadable.get(&agent.name);
                agent.reloadable = names.cloned().unwrap_or_default();
            }
        }
    }
}

/// Judges all agents of a configuration. `text` is what it was read from, with the file's name.
fn judge(config: &ClusterConfig, text: (&str, &str)) -> Found {
    let mut found = Found::default();
    let mut described: BTreeMap<&str, Result<Metadata, String>> = BTreeMap::new();
    let mut before: Vec<(&ResourceId, &ProcessConfig)> = Vec::new();
    for (id, resource) in config.written_resources() {
        let ResourceKind::Process(process) = &resource.kind else {
            continue;
        };
        if let Some(script) = process.script()
            && let Err(why) = find_script(script)
        {
            let path = ["resources", id.as_str(), "script"];
            found.warnings.extend(warning_at(text, &path, &why));
        }
        if let Some(unit) = process.unit()
            && let Err(why) = standfast_unit::examine(unit)
        {
            let path = ["resources", id.as_str(), "unit"];
            found.warnings.extend(warning_at(text, &path, &why));
        }
        let Some(agent) = &process.agent else {
            continue;
        };
        let answer = described
            .entry(&agent.name)
            .or_insert_with(|| metadata(Path::new(ROOT), &agent.name));
        match answer {
            Ok(metadata) => {
                let mut all = problems(process, metadata);
                all.extend(
                    before.iter().flat_map(|(name, other)| {
                        repeated((other, name.as_str()), process, metadata)
                    }),
                );
                if config.is_promotable(id) {
                    all.extend(unpromotable(&agent.name, metadata));
                    found.warnings.extend(unnotified(text, id, metadata));
                }
                let mistakes = all.iter().map(|problem| mistake(text, id, problem));
                found.mistakes.extend(mistakes);
                found.warnings.extend(short(text, id, process, metadata));
            }
            Err(why) => {
                let what = format!(
                    "{why}; its parameters are not checked here, but on every node that has it"
                );
                let path = ["resources", id.as_str(), "agent"];
                found.warnings.extend(warning_at(text, &path, &what));
            }
        }
        before.push((id, process));
    }
    let reloadable = described
        .into_iter()
        .filter_map(|(name, answer)| Some((name.to_owned(), answer.ok()?.reloadable())));
    found.reloadable = reloadable.collect();
    found
        .mistakes
        .sort_by_key(|mistake| (mistake.line, mistake.column));
    found
}

/// What an agent lacks whose copies are to be promoted.
fn unpromotable(name: &str, metadata: &Metadata) -> Option<Problem> {
    let has = |action: &str| metadata.actions.iter().any(|(own, _)| own == action);
    let lacking = ["promote", "demote"]
        .into_iter()
        .find(|action| !has(action))?;
    Some(Problem {
        parameter: None,
        problem: format!("{name} has no action {lacking}, so none of its copies can be promoted"),
        allowed: "an agent for promotable clones; or no `promoted` in its group".to_owned(),
        nearest: None,
    })
}

/// An agent that has the action may need it.
fn unnotified(text: (&str, &str), id: &ResourceId, metadata: &Metadata) -> Option<Warning> {
    metadata.actions.iter().find(|(own, _)| own == "notify")?;
    let what = "it has an action notify, which is not called: what it is told there in Pacemaker (who starts, stops, is \
                promoted) it has to do without";
    warning_at(text, &["resources", id.as_str(), "agent"], what)
}

fn mistake(text: (&str, &str), id: &ResourceId, problem: &Problem) -> Mistake {
    let mut path = vec!["resources", id.as_str()];
    match &problem.parameter {
        Some(parameter) => path.extend(["parameters", parameter.as_str()]),
        None => path.push("agent"),
    }
    let what = (problem.problem.as_str(), problem.allowed.as_str());
    mistake_at(text, &path, what, problem.nearest.clone())
}

/// Time limits below what the agent recommends.
fn short(
    text: (&str, &str),
    id: &ResourceId,
    process: &ProcessConfig,
    metadata: &Metadata,
) -> Vec<Warning> {
    let monitor = process.health.as_ref().map(|health| health.timeout);
    let limits = [
        ("start", "start_timeout_ms", Some(process.start_timeout)),
        ("stop", "stop_timeout_ms", Some(process.stop_timeout)),
        ("monitor", "monitor_timeout_ms", monitor),
    ];
    let short = limits.iter().filter_map(|(action, key, limit)| {
        let (recommended, limit) = (metadata.timeout(action)?, (*limit)?);
        (limit < Micros::from_millis(recommended)).then_some((key, limit, recommended))
    });
    let warnings = short.filter_map(|(key, limit, recommended)| {
        let limit = limit.as_millis_ceil();
        let what = format!("{limit} is less than the {recommended} that the agent recommends");
        warning_at(text, &["resources", id.as_str(), key], &what)
    });
    warnings.collect()
}
