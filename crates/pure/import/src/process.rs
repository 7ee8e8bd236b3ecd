//! Commands that stay in the foreground: the agent `anything`.
//!
//! Not for agents that know one certain service (`ocf`).

use standfast_scheduler::input::Resource;

use crate::{
    draft::{Draft, Key},
    source::{Source, agent},
    write,
};

/// The keys of a command, unless it cannot be one.
pub(crate) fn read(
    source: &Source<'_>,
    resource: &Resource,
    draft: &mut Draft,
) -> Option<Vec<Key>> {
    let what = format!("{} {}", resource.id, agent(resource));
    let get = |name: &str| resource.parameters.get(name).map(|value| value.trim());
    let program = get("binfile").unwrap_or_default();
    if !program.starts_with('/') {
        draft.not_expressed(&what, "binfile is no absolute path");
        return None;
    }
    let command = command(program, get("cmdline_options").unwrap_or_default());
    let mut keys = vec![("command", write::list(command.iter().map(String::as_str)))];
    if let Some(user) = get("user").filter(|user| !user.is_empty()) {
        keys.push(("user", write::text_value(user)));
    }
    match get("workdir") {
        Some(folder) if folder.starts_with('/') => {
            keys.push(("directory", write::text_value(folder)));
        }
        Some(_) => draft.not_expressed(&format!("{} workdir", resource.id), "no absolute path"),
        None => {}
    }
    if let Some(hook) = get("monitor_hook").filter(|hook| !hook.is_empty()) {
        let check = write::list(["/bin/sh", "-c", hook]);
        let mut operations = resource.operations.iter();
        let monitor = operations.find(|operation| operation.name == "monitor");
        let interval = monitor.map_or(0, |monitor| monitor.interval_ms.min(86_400_000));
        let interval = if interval < 5 { 1000 } else { interval };
        let health = format!("{{ exec = {check}, interval_ms = {interval} }}");
        keys.push(("health", health));
    }
    for (task, key) in [("start", "start_timeout_ms"), ("stop", "stop_timeout_ms")] {
        let mut operations = resource.operations.iter();
        let operation = operations.find(|operation| operation.name == task);
        let own = operation.map(|operation| operation.timeout_ms);
        if let Some(limit) = own.or(source.usual_timeout_ms()) {
            keys.push((key, limit.clamp(1, 86_400_000).to_string()));
        }
    }
    let known = [
        "binfile",
        "cmdline_options",
        "user",
        "workdir",
        "monitor_hook",
    ];
    for name in resource.parameters.keys() {
        let what = format!("{} {name}", resource.id);
        match name.as_str() {
            name if known.contains(&name) => {}
            "pidfile" => draft.not_needed(&what, "the process is known from its keeper"),
            "logfile" | "errlogfile" => {
                draft.not_needed(&what, "what it prints is in `standfast logs`");
            }
            "stop_timeout" => draft.not_needed(&what, "the time of the stop operation counts"),
            _ => draft.not_expressed(&what, "a command has no such setting here"),
        }
    }
    Some(keys)
}

/// Program and arguments; through a shell only if the arguments need one.
fn command(program: &str, arguments: &str) -> Vec<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,@%+ \t".contains(c);
    if arguments.chars().all(plain) {
        let words = arguments.split_whitespace().map(str::to_owned);
        return std::iter::once(program.to_owned()).chain(words).collect();
    }
    let line = format!("exec {program} {arguments}");
    vec!["/bin/sh".to_owned(), "-c".to_owned(), line]
}
