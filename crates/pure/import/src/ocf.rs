//! Primitives of OCF agents that consist of processes: the same agents run here.
//!
//! Not for agents that have a kind of their own (`vip`, `process`), nor for clones of them.

use standfast_model::{
    agent::{Effects, effects, parts},
    fence::is_secret,
};
use standfast_scheduler::input::{Operation, Resource};

use crate::{
    draft::{Draft, Key},
    source::{Source, agent},
    write,
};

const DAY_MS: u64 = 86_400_000;
/// As configurations allow.
const DEEPEST: u32 = 1000;
const MOST_DEEP: usize = 8;

/// Whether the agent of a primitive runs here as it is.
pub(crate) fn runs(resource: &Resource) -> bool {
    effects(&agent(resource)) == Effects::Processes
}

/// Why another agent does not: nothing where that is not a matter of the agent.
pub(crate) fn why_not(resource: &Resource) -> Option<String> {
    let name = agent(resource);
    parts(&name)?;
    match effects(&name) {
        Effects::Processes => None,
        Effects::Outlive(left) => {
            let fenced = if left.fenced {
                "; kind = \"ocf\" with requires = \"fencing\" and fence devices, or "
            } else {
                "; "
            };
            let (what, instead) = (left.what, left.instead);
            Some(format!("when its processes are killed {what}{fenced}{instead}"))
        }
        Effects::Unknown => Some(
            "it is not known whether all that it does ends with its processes; if it does: kind = \"ocf\" with \
             effects = \"processes\""
                .to_owned(),
        ),
    }
}

/// The keys of a resource that its agent runs.
pub(crate) fn read(source: &Source<'_>, resource: &Resource, draft: &mut Draft) -> Vec<Key> {
    let mut keys = vec![("agent", write::text_value(&agent(resource)))];
    let parameters = parameters(resource, draft);
    if !parameters.is_empty() {
        keys.push(("parameters", format!("{{ {} }}", parameters.join(", "))));
    }
    add_times(source, resource, &mut keys, draft);
    let deep: Vec<String> = deep_monitors(resource)
        .iter()
        .map(|monitor| {
            format!(
                "{{ depth = {}, interval_ms = {}, timeout_ms = {} }}",
                monitor.depth,
                monitor.interval_ms.clamp(100, DAY_MS),
                monitor.timeout_ms.clamp(1, DAY_MS)
            )
        })
        .collect();
    if !deep.is_empty() {
        keys.push(("monitors", format!("[{}]", deep.join(", "))));
    }
    keys
}

/// How long each action may take and how often it is asked.
pub(crate) fn add_times(
    source: &Source<'_>,
    resource: &Resource,
    keys: &mut Vec<Key>,
    draft: &mut Draft,
) {
    add_limits(source, resource, keys);
    match first_monitor(resource) {
        Some(monitor) => {
            let interval = monitor.interval_ms.clamp(100, DAY_MS);
            keys.push(("monitor_interval_ms", interval.to_string()));
            let limit = monitor.timeout_ms.clamp(1, DAY_MS);
            keys.push(("monitor_timeout_ms", limit.to_string()));
        }
        None => draft.changed(
            &format!("{} without a monitor", resource.id),
            "it is asked every 10 s here (monitor_interval_ms)",
        ),
    }
}

/// How long a start and a stop may take.
pub(crate) fn add_limits(source: &Source<'_>, resource: &Resource, keys: &mut Vec<Key>) {
    for (task, key) in [("start", "start_timeout_ms"), ("stop", "stop_timeout_ms")] {
        let mut operations = resource.operations.iter();
        let operation = operations.find(|operation| operation.name == task);
        let own = operation.map(|operation| operation.timeout_ms);
        if let Some(limit) = own.or(source.usual_timeout_ms()) {
            keys.push((key, limit.clamp(1, DAY_MS).to_string()));
        }
    }
}

/// The one that asks whether it runs at all; of those with a depth, if there are no others.
fn first_monitor(resource: &Resource) -> Option<&Operation> {
    let plain = monitors(resource).find(|monitor| monitor.depth == 0);
    plain.or_else(|| monitors(resource).next())
}

/// Those that look more closely: the first of each depth that can be said here.
fn deep_monitors(resource: &Resource) -> Vec<&Operation> {
    let mut deep: Vec<&Operation> = Vec::new();
    for monitor in monitors(resource).filter(|monitor| (1..=DEEPEST).contains(&monitor.depth)) {
        if deep.len() < MOST_DEEP && deep.iter().all(|other| other.depth != monitor.depth) {
            deep.push(monitor);
        }
    }
    deep
}

/// The recurring ones.
fn monitors(resource: &Resource) -> impl Iterator<Item = &Operation> {
    let operations = resource.operations.iter();
    operations.filter(|each| each.name == "monitor" && each.interval_ms > 0 && each.enabled)
}

/// What is to be noted of a `monitor`.
pub(crate) fn note_monitor(
    resource: &Resource,
    operation: &Operation,
    kind: &str,
    draft: &mut Draft,
) {
    let what = format!(
        "{} monitor every {} s",
        resource.id,
        operation.interval_ms / 1000
    );
    if operation.interval_ms == 0 || !operation.enabled {
        draft.not_needed(&what, "every start begins with one");
    } else if kind == "ocf" && deep_monitors(resource).contains(&operation) {
        if first_monitor(resource) == Some(operation) {
            let text = format!(
                "it looks with depth {} and, as often, without",
                operation.depth
            );
            draft.changed(&what, &text);
        }
    } else if first_monitor(resource) != Some(operation) {
        draft.not_expressed(&what, "there is one monitor of each depth here");
    }
}

fn parameters(resource: &Resource, draft: &mut Draft) -> Vec<String> {
    let mut written = Vec::new();
    for (name, value) in &resource.parameters {
        let what = format!("{} {name}", resource.id);
        let letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(letter) {
            draft.not_expressed(&what, "it is no name of a parameter");
        } else if is_secret(name) {
            let id = resource.id.replace('/', "-");
            let file = format!("/etc/standfast/secrets/{id}-{name}");
            let text =
                format!("write the secret into {file} on every node, readable for root only");
            draft.leave_to_do(&what, &text);
            let file = write::text_value(&file);
            written.push(format!("{name} = {{ secret_file = {file} }}"));
        } else if value.contains(['\n', '\r']) {
            draft.not_expressed(&what, "it has more than one line");
        } else if value.is_empty() {
            draft.not_needed(&what, "it is empty");
        } else {
            written.push(format!("{name} = {}", write::text_value(value)));
        }
    }
    written
}
