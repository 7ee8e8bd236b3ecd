//! What differs between two configurations, as lines for an operator.

mod constraints;

use crate::timing::{ms, percent};
use standfast_model::{
    config::{
        AgentConfig, CheckConfig, CheckKind, ClusterConfig, GroupConfig, NodeConfig, ProcessConfig,
        ResourceConfig, ResourceKind, Timing, VipConfig,
    },
    constraint::{Colocation, Location, Sequence},
    copies::{Copied, is_written},
    fence::{FenceDevice, Fencing},
    id::{GroupId, NodeId, ResourceId},
    pair::{PAIR_ADDRESSES, PairConfig, Survivor},
    plan::INFINITY,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
};

/// One line for each thing that differs, in the order of the file's sections.
#[must_use]
pub fn differences(old: &ClusterConfig, new: &ClusterConfig) -> Vec<String> {
    let mut lines = Lines::default();
    lines.of("cluster");
    lines.value("name", &old.name, &new.name);
    lines.value(
        "profile",
        &format!("{:?}", old.profile).to_lowercase(),
        &format!("{:?}", new.profile).to_lowercase(),
    );
    lines.value(
        "mode",
        &format!("{:?}", old.mode).to_lowercase(),
        &format!("{:?}", new.mode).to_lowercase(),
    );
    lines.value("maintenance", &old.maintenance, &new.maintenance);
    let word = |fencing: &Fencing| match (fencing.off, fencing.manual) {
        (true, _) => "off",
        (false, true) => "manual",
        (false, false) => "on",
    };
    lines.value("fencing", &word(&old.fencing), &word(&new.fencing));
    let action = |fencing: &Fencing| if fencing.stay_off { "off" } else { "reboot" };
    lines.value("fence_action", &action(&old.fencing), &action(&new.fencing));
    let patience = |fencing: &Fencing| ms(fencing.patience());
    lines.value(
        "fence_lost_after",
        &patience(&old.fencing),
        &patience(&new.fencing),
    );
    lines.of("timing");
    timing(&mut lines, &old.timing, &new.timing);
    lines.map("node", &old.nodes, &new.nodes, (node_summary, node));
    fencing(&mut lines, &old.fencing, &new.fencing);
    pair(&mut lines, old, new);
    let (old, new) = (as_written(old), as_written(new));
    let how = (resource_summary as Summary<_>, resource as Compare<_>);
    lines.map("resource", &old.resources, &new.resources, how);
    let how = (group_summary as Summary<_>, group as Compare<_>);
    lines.map("group", &old.groups, &new.groups, how);
    constraints::differ(&mut lines, &old, &new);
    lines.list
}

/// What a file has: groups with copies once, and with how many.
#[derive(Default)]
struct Written<'c> {
    resources: BTreeMap<&'c ResourceId, &'c ResourceConfig>,
    groups: BTreeMap<&'c GroupId, (&'c GroupConfig, Option<&'c Copied>)>,
    locations: BTreeMap<&'c String, &'c Location>,
    colocations: BTreeMap<&'c String, &'c Colocation>,
    sequences: BTreeMap<&'c String, &'c Sequence>,
}

fn as_written(config: &ClusterConfig) -> Written<'_> {
    let single = is_written;
    let mut written = Written::default();
    let resources = config.resources.iter();
    let own = resources.filter(|(id, _)| single(id.as_str()));
    written.resources.extend(own);
    let groups = config.groups.iter().filter(|(id, _)| single(id.as_str()));
    let groups = groups.map(|(id, group)| (id, (group, None)));
    written.groups.extend(groups);
    for (id, copied) in &config.copies.groups {
        written.resources.extend(&copied.resources);
        written.groups.insert(id, (&copied.group, Some(copied)));
    }
    for constraints in [&config.constraints, &config.copies.constraints] {
        let locations = constraints.locations.iter();
        let own = locations.filter(|(name, _)| single(name));
        written.locations.extend(own);
        let colocations = constraints.colocations.iter();
        let own = colocations.filter(|(name, _)| single(name));
        written.colocations.extend(own);
        let sequences = constraints.sequences.iter();
        let own = sequences.filter(|(name, _)| single(name));
        written.sequences.extend(own);
    }
    written
}

/// Longer lists of addresses are not shown whole.
const FEW: usize = 8;

/// One line about something that came or went.
type Summary<V> = fn(&V) -> String;

/// Adds the lines about something that stayed.
type Compare<V> = fn(&mut Lines, &V, &V);

#[derive(Default)]
struct Lines {
    subject: String,
    list: Vec<String>,
}

impl Lines {
    fn of(&mut self, subject: impl Into<String>) {
        self.subject = subject.into();
    }

    fn value(&mut self, what: &str, old: &impl Display, new: &impl Display) {
        let (old, new) = (old.to_string(), new.to_string());
        if old != new {
            self.list
                .push(format!("{}: {what} {old} -> {new}", self.subject));
        }
    }

    fn map<K: Ord + Display, V>(
        &mut self,
        kind: &str,
        old: &BTreeMap<K, V>,
        new: &BTreeMap<K, V>,
        (summary, compare): (Summary<V>, Compare<V>),
    ) {
        for (key, value) in old {
            if !new.contains_key(key) {
                self.list
                    .push(format!("{kind} {key}: removed ({})", summary(value)));
            }
        }
        for (key, value) in new {
            match old.get(key) {
                None => self
                    .list
                    .push(format!("{kind} {key}: added ({})", summary(value))),
                Some(before) => {
                    self.of(format!("{kind} {key}"));
                    compare(self, before, value);
                }
            }
        }
    }
}

fn timing(lines: &mut Lines, old: &Timing, new: &Timing) {
    lines.value("heartbeat", &ms(old.heartbeat), &ms(new.heartbeat));
    lines.value("lease", &ms(old.lease), &ms(new.lease));
    lines.value("leadership", &ms(old.leadership), &ms(new.leadership));
    lines.value("election_min", &ms(old.election_min), &ms(new.election_min));
    lines.value("election_max", &ms(old.election_max), &ms(new.election_max));
    lines.value("stop_budget", &ms(old.stop_budget), &ms(new.stop_budget));
    lines.value("drift", &percent(old.drift_ppm), &percent(new.drift_ppm));
    lines.value(
        "restart_grant",
        &ms(old.restart_grant),
        &ms(new.restart_grant),
    );
}

fn node_summary(node: &NodeConfig) -> String {
    let witness = if node.witness { ", witness" } else { "" };
    let given = if node.attributes.is_empty() {
        String::new()
    } else {
        format!(", {}", attributes(node))
    };
    format!("{}{witness}{given}", node.addresses.join(" "))
}

fn node(lines: &mut Lines, old: &NodeConfig, new: &NodeConfig) {
    lines.value("addresses", &list(&old.addresses), &list(&new.addresses));
    lines.value("witness", &old.witness, &new.witness);
    let names = old.attributes.keys().chain(new.attributes.keys());
    for name in names.collect::<BTreeSet<_>>() {
        let value = |node: &NodeConfig| option(node.attributes.get(name));
        lines.value(&format!("attribute {name}"), &value(old), &value(new));
    }
}

/// `rack=a disk=ssd`.
fn attributes(node: &NodeConfig) -> String {
    let all = node.attributes.iter();
    let all = all.map(|(name, value)| format!("{name}={value}"));
    all.collect::<Vec<_>>().join(" ")
}

fn fencing(lines: &mut Lines, old: &Fencing, new: &Fencing) {
    let nodes: BTreeSet<&NodeId> = old.levels.keys().chain(new.levels.keys()).collect();
    for node in nodes {
        lines.of(format!("node {node}"));
        let levels = |fencing: &Fencing| {
            let given = fencing.levels.get(node);
            given.map_or_else(|| "not given".to_owned(), |levels| format!("{levels:?}"))
        };
        lines.value("fence_levels", &levels(old), &levels(new));
    }
    lines.map(
        "fence device",
        &old.devices,
        &new.devices,
        (device_summary, device),
    );
}

/// What may differ of a pair: who it is of, and its arbiter, are settled when it is made.
fn pair(lines: &mut Lines, before: &ClusterConfig, after: &ClusterConfig) {
    let (Some(old), Some(new)) = (&before.pair, &after.pair) else {
        return;
    };
    lines.of("pair");
    lines.value("keep_alive", &ms(old.keep_alive), &ms(new.keep_alive));
    lines.value("misses", &old.misses, &new.misses);
    lines.value("downtime", &ms(old.downtime), &ms(new.downtime));
    let survivor = |pair: &PairConfig| match &pair.survivor {
        Survivor::Primary => "primary".to_owned(),
        Survivor::Node(node) => node.to_string(),
    };
    lines.value("survivor", &survivor(old), &survivor(new));
    lines.value("fence_delay", &ms(old.fence_delay), &ms(new.fence_delay));
    lines.value(
        "fence_random_delay",
        &ms(old.fence_random_delay),
        &ms(new.fence_random_delay),
    );
    lines.value("fence_retry", &ms(old.fence_retry), &ms(new.fence_retry));
    if let (Some(old), Some(new)) = (&old.ping, &new.ping) {
        lines.value("ping.iterations", &old.iterations, &new.iterations);
        lines.value("ping.interval", &ms(old.interval), &ms(new.interval));
        lines.value("ping.gateway", &old.gateway, &new.gateway);
        lines.value("ping.targets", &list(&old.targets), &list(&new.targets));
    }
    let boot = |pair: &PairConfig| format!("{:?}", pair.boot).to_lowercase();
    lines.value("boot", &boot(old), &boot(new));
    lines.value("failback", &old.failback, &new.failback);
    let file = |pair: &PairConfig| option(pair.addresses_file.as_ref());
    lines.value("addresses_file", &file(old), &file(new));
    let texts = before
        .pair_addresses
        .as_ref()
        .zip(after.pair_addresses.as_ref());
    let id = ResourceId::from(PAIR_ADDRESSES);
    if texts.is_some_and(|(old, new)| old != new)
        && before.resources.get(&id) == after.resources.get(&id)
    {
        let file = file(new);
        lines.list.push(format!(
            "pair: only comments or the layout of {file} differ"
        ));
    }
}

fn device_summary(device: &FenceDevice) -> String {
    let nodes: Vec<&str> = device.nodes.keys().map(NodeId::as_str).collect();
    format!("{} for {}", device.agent, nodes.join(", "))
}

fn device(lines: &mut Lines, old: &FenceDevice, new: &FenceDevice) {
    let nodes = |device: &FenceDevice| {
        let all = device.nodes.iter().map(|(node, plug)| match plug {
            Some(plug) => format!("{node}={plug}"),
            None => node.to_string(),
        });
        list(&all.collect::<Vec<_>>())
    };
    let given = |device: &FenceDevice| {
        let values = device
            .parameters
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        let files = device.secret_parameters.iter();
        let files = files.map(|(name, file)| format!("{name} from {file}"));
        list(&values.chain(files).collect::<Vec<_>>())
    };
    lines.value("agent", &old.agent, &new.agent);
    lines.value("nodes", &nodes(old), &nodes(new));
    lines.value("parameters", &given(old), &given(new));
    lines.value("timeout", &ms(old.timeout), &ms(new.timeout));
    lines.value("retries", &old.retries, &new.retries);
    lines.value("delay", &ms(old.delay), &ms(new.delay));
    lines.value("monitor_interval", &ms(old.monitor), &ms(new.monitor));
}

/// Whether one of the copies is promoted.
fn promoted(copied: Option<&Copied>) -> bool {
    copied.is_some_and(|copied| copied.promoted)
}

/// How many copies a group has, as the file says it.
fn copies(copied: Option<&Copied>) -> String {
    match copied.map(|copied| copied.most) {
        None => String::from("none"),
        Some(None) => String::from("all"),
        Some(Some(most)) => most.to_string(),
    }
}

fn group_summary((group, copied): &(&GroupConfig, Option<&Copied>)) -> String {
    let members = list(&group.members);
    if copied.is_none() {
        return members;
    }
    let promoted = if promoted(*copied) {
        ", one promoted"
    } else {
        ""
    };
    format!("{members}, copies {}{promoted}", copies(*copied))
}

type Group<'c> = (&'c GroupConfig, Option<&'c Copied>);

fn group(lines: &mut Lines, (old, had): &Group<'_>, (new, has): &Group<'_>) {
    lines.value("copies", &copies(*had), &copies(*has));
    lines.value("promoted", &promoted(*had), &promoted(*has));
    lines.value("members", &list(&old.members), &list(&new.members));
    lines.value("prefer", &preferences(old), &preferences(new));
    lines.value("priority", &old.priority, &new.priority);
    lines.value("stickiness", &score(old.stickiness), &score(new.stickiness));
    lines.value("maintenance", &old.maintenance, &new.maintenance);
}

fn preferences(group: &GroupConfig) -> String {
    let items: Vec<String> = group
        .prefer
        .iter()
        .map(|(node, value)| format!("{node}={}", score(*value)))
        .collect();
    list(&items)
}

fn score(value: i64) -> String {
    if value >= INFINITY {
        String::from("INFINITY")
    } else if value <= -INFINITY {
        String::from("-INFINITY")
    } else {
        value.to_string()
    }
}

fn resource_summary(resource: &&ResourceConfig) -> String {
    match &resource.kind {
        ResourceKind::Process(process) => match process.started_by() {
            Some(agent) if process.agent.is_some() => format!("agent {agent}"),
            Some(other) => format!("{} {other}", process.kind()),
            None => format!("process {}", process.command.join(" ")),
        },
        ResourceKind::Vip(vip) if vip.addresses.len() > FEW => {
            format!("vip with {} addresses", vip.addresses.len())
        }
        ResourceKind::Vip(vip) => format!("vip {}", vip.addresses.join(" ")),
    }
}

fn resource(lines: &mut Lines, old: &&ResourceConfig, new: &&ResourceConfig) {
    match (&old.kind, &new.kind) {
        (ResourceKind::Process(old), ResourceKind::Process(new)) => process(lines, old, new),
        (ResourceKind::Vip(old), ResourceKind::Vip(new)) => vip(lines, old, new),
        (ResourceKind::Process(_), ResourceKind::Vip(_))
        | (ResourceKind::Vip(_), ResourceKind::Process(_)) => {
            lines.value("kind", &resource_summary(old), &resource_summary(new));
        }
    }
    lines.value(
        "max_failures",
        &old.failure.threshold,
        &new.failure.threshold,
    );
    lines.value(
        "failure_window",
        &ms(old.failure.window),
        &ms(new.failure.window),
    );
    lines.value(
        "restart_delay",
        &ms(old.failure.restart_delay),
        &ms(new.failure.restart_delay),
    );
    let word = |fences: bool| if fences { "fence" } else { "block" };
    lines.value(
        "on_stop_failure",
        &word(old.failure.fence_on_stop_failure),
        &word(new.failure.fence_on_stop_failure),
    );
    let word = |fencing: bool| if fencing { "fencing" } else { "lease" };
    lines.value(
        "requires",
        &word(old.needs_fencing),
        &word(new.needs_fencing),
    );
}

fn vip(lines: &mut Lines, old: &VipConfig, new: &VipConfig) {
    vip_addresses(lines, &old.addresses, &new.addresses);
    lines.value(
        "interface",
        &option(old.interface.as_ref()),
        &option(new.interface.as_ref()),
    );
    lines.value(
        "gateway",
        &option(old.gateway.as_ref()),
        &option(new.gateway.as_ref()),
    );
}

fn agent(lines: &mut Lines, old: &ProcessConfig, new: &ProcessConfig) {
    let none = AgentConfig::default();
    let (old, new) = (old.agent.as_deref(), new.agent.as_deref());
    let name = |agent: Option<&AgentConfig>| option(agent.map(|agent| &agent.name));
    lines.value("agent", &name(old), &name(new));
    let (old, new) = (old.unwrap_or(&none), new.unwrap_or(&none));
    let ended_by = |agent: &AgentConfig| {
        let what = if agent.outlives {
            "machine"
        } else {
            "processes"
        };
        what.to_owned()
    };
    lines.value("effects", &ended_by(old), &ended_by(new));
    let monitors = |agent: &AgentConfig| {
        let monitors = agent.monitors.iter().map(|one| {
            let (every, limit) = (one.interval.as_millis_ceil(), one.timeout.as_millis_ceil());
            format!(
                "depth {} every {every} ms within {limit} ms, {} in a row",
                one.depth, one.failures
            )
        });
        list(&monitors.collect::<Vec<_>>())
    };
    lines.value("monitors", &monitors(old), &monitors(new));
    let names: BTreeSet<&String> = old.parameters.keys().chain(new.parameters.keys()).collect();
    for name in names {
        let value = |agent: &AgentConfig| option(agent.parameters.get(name));
        lines.value(&format!("parameter {name}"), &value(old), &value(new));
    }
}

/// Of long lists only what came and went.
fn vip_addresses(lines: &mut Lines, old: &[String], new: &[String]) {
    if old.len().max(new.len()) <= FEW {
        return lines.value("addresses", &list(old), &list(new));
    }
    let without = |all: &[String], others: &[String]| {
        let others: BTreeSet<&String> = others.iter().collect();
        let left: Vec<String> = all
            .iter()
            .filter(|address| !others.contains(address))
            .cloned()
            .collect();
        left
    };
    let mut say = |what: &str, found: &[String]| {
        let shown = found.get(..FEW).unwrap_or(found);
        let more = match found.len().saturating_sub(shown.len()) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        if !found.is_empty() {
            let subject = &lines.subject;
            let line = format!(
                "{subject}: {} addresses {what}: {}{more}",
                found.len(),
                shown.join(" ")
            );
            lines.list.push(line);
        }
    };
    let (added, removed) = (without(new, old), without(old, new));
    say("added", &added);
    say("removed", &removed);
    if added.is_empty() && removed.is_empty() && old != new {
        let line = format!("{}: addresses in another order", lines.subject);
        lines.list.push(line);
    }
}

fn process(lines: &mut Lines, old: &ProcessConfig, new: &ProcessConfig) {
    agent(lines, old, new);
    let text = |found: Option<&str>| option(found.map(str::to_owned).as_ref());
    lines.value("script", &text(old.script()), &text(new.script()));
    lines.value("unit", &text(old.unit()), &text(new.unit()));
    lines.value("command", &list(&old.command), &list(&new.command));
    lines.value(
        "user",
        &option(old.user.as_ref()),
        &option(new.user.as_ref()),
    );
    lines.value(
        "directory",
        &option(old.directory.as_ref()),
        &option(new.directory.as_ref()),
    );
    // Values may be secrets: only the names are shown.
    if old.environment != new.environment {
        let changed: Vec<&String> = old
            .environment
            .keys()
            .chain(
                new.environment
                    .keys()
                    .filter(|k| !old.environment.contains_key(*k)),
            )
            .filter(|key| old.environment.get(*key) != new.environment.get(*key))
            .collect();
        lines.list.push(format!(
            "{}: environment of {} differs",
            lines.subject,
            list(&changed)
        ));
    }
    let files = |process: &ProcessConfig| {
        let files = process.secret_environment.iter();
        let files: Vec<String> = files.map(|(name, file)| format!("{name}={file}")).collect();
        list(&files)
    };
    lines.value("secret files of the environment", &files(old), &files(new));
    lines.value(
        "readiness",
        &check(old.readiness.as_ref()),
        &check(new.readiness.as_ref()),
    );
    lines.value(
        "health",
        &check(old.health.as_ref()),
        &check(new.health.as_ref()),
    );
    lines.value(
        "start_timeout",
        &ms(old.start_timeout),
        &ms(new.start_timeout),
    );
    lines.value("stop_timeout", &ms(old.stop_timeout), &ms(new.stop_timeout));
    lines.value("stop_signal", &old.stop_signal, &new.stop_signal);
    lines.value("private_pids", &old.private_pids, &new.private_pids);
}

fn check(check: Option<&CheckConfig>) -> String {
    let Some(check) = check else {
        return option(None);
    };
    let probe = match &check.probe {
        CheckKind::Exec(command) => format!("exec {}", list(command)),
        CheckKind::Tcp(target) => format!("tcp {target}"),
        CheckKind::Http(url) => format!("http {url}"),
        CheckKind::Agent => "monitor".to_owned(),
    };
    let (interval, timeout) = (ms(check.interval), ms(check.timeout));
    format!(
        "({probe} every {interval}, timeout {timeout}, failures {})",
        check.failures
    )
}

fn option(value: Option<&String>) -> String {
    value.map_or_else(|| String::from("none"), String::clone)
}

fn list(items: &[impl Display]) -> String {
    let items: Vec<String> = items.iter().map(ToString::to_string).collect();
    format!("[{}]", items.join(", "))
}
