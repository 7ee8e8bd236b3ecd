//! What an operator should know and cannot see from the tables, with what to do about it.

use super::{
    authority,
    groups::{in_brackets, until_fenced},
    summary::NodeLine,
    text::{count, utc},
};
use standfast_model::{
    agent::Severity,
    id::GroupId,
    pair::PING_WARNING,
    request::View,
    state::{NodeState, Phase},
};
use std::collections::BTreeSet;

/// All warnings, most urgent first.
pub(crate) fn list(view: &View, nodes: &[NodeLine]) -> Vec<String> {
    let mut warnings = Vec::new();
    no_quorum(view, &mut warnings);
    pings(view, &mut warnings);
    storage(view, &mut warnings);
    let fences = super::fence_alarms(view);
    warnings.extend(fences.into_iter().map(|(text, _)| text));
    stops(view, &mut warnings);
    holders(view, &mut warnings);
    failures(view, &mut warnings);
    moves(view, &mut warnings);
    turns(view, &mut warnings);
    orders(view, &mut warnings);
    maintenance(view, &mut warnings);
    warnings.extend(authority::sentence(view));
    for node in nodes {
        of_node(
            node,
            view.state.nodes.get(&node.name.as_str().into()),
            &mut warnings,
        );
    }
    versions(nodes, &mut warnings);
    warnings
}

fn no_quorum(view: &View, warnings: &mut Vec<String>) {
    if view.quorum || !view.removed.is_empty() || view.pair.is_some() {
        return;
    }
    let voters = view.state.members.values().filter(|m| m.voter).count();
    if voters > 0 {
        let majority = voters / 2 + 1;
        warnings.push(format!(
            "{majority} of the {voters} voters have to hear each other before anything is started; \
             bring machines or the network between them back. The other side may have a majority and run everything: ask a node there"
        ));
    }
}

/// Said as long as it is so: nobody chooses this arbiter for what it cannot do.
fn pings(view: &View, warnings: &mut Vec<String>) {
    let pair = view.pair.as_ref();
    if pair.is_some_and(|pair| pair.ping.is_some() && pair.state != "dissolved") {
        warnings.push(PING_WARNING.to_owned());
    }
}

fn storage(view: &View, warnings: &mut Vec<String>) {
    let node = &view.node;
    if !view.storage_problem.is_empty() {
        let problem = &view.storage_problem;
        warnings.push(format!("storage of {node}: {problem}"));
    }
    if !view.no_vote.is_empty() {
        warnings.push(format!("{node} has no vote: {}", view.no_vote));
    }
}

fn stops(view: &View, warnings: &mut Vec<String>) {
    for (node, known) in view.state.nodes.iter().filter(|(_, known)| known.online) {
        for (resource, instance) in &known.report.instances {
            if instance.phase == Phase::StopFailed {
                let why = in_brackets(&instance.last_failure);
                warnings.push(format!(
                    "the stop of {resource} on {node} is not confirmed{why}: nothing is started elsewhere meanwhile; \
                     end it on {node} by hand, or switch {node} off"
                ));
            }
        }
    }
}

fn holders(view: &View, warnings: &mut Vec<String>) {
    for (resource, holders) in &view.state.may_hold {
        let names: Vec<&str> = holders.iter().map(|node| node.as_str()).collect();
        if names.len() > 1 {
            let names = names.join(" and ");
            let mut waits = holders
                .iter()
                .filter_map(|holder| until_fenced(view, holder, resource));
            if let Some(until) = waits.next() {
                warnings.push(format!(
                    "{resource} is being handed over between {names}: it requires fencing, and starts anew once {until}"
                ));
                continue;
            }
            warnings.push(format!(
                "{resource} is being handed over between {names}: it starts anew once the old one has released it or its lease is over"
            ));
        }
    }
}

fn failures(view: &View, warnings: &mut Vec<String>) {
    for (resource, by_node) in &view.state.failures {
        let config = view.state.config.resources.get(resource);
        let limit = config.map_or(0, |r| r.failure.threshold);
        let group = view.state.config.group_of(resource);
        let group = group.map_or(resource.as_str(), |group| group.as_str());
        let is_copy = view.state.config.copy_of(&group.into()).is_some();
        for (node, record) in by_node.iter().filter(|(_, record)| record.count > 0) {
            let times = count(usize::try_from(record.count).unwrap_or(usize::MAX), "time");
            let last = in_brackets(&record.last);
            let cleanup = format!("`standfast resource cleanup {group}`");
            let moved = match record.severity {
                Severity::Fatal => format!(
                    ": it may not run anywhere until its configuration has changed, or until {cleanup} once the cause is mended"
                ),
                Severity::Hard => format!(
                    ": another try would not help, so it may not run there until {cleanup} once the cause is mended, or until \
                     its configuration has changed"
                ),
                Severity::Soft if record.count >= limit => {
                    format!(": it may not run there until {cleanup}")
                }
                Severity::Soft if is_copy => format!("; at {limit} it is stopped there"),
                Severity::Soft => format!("; at {limit} it moves away"),
            };
            warnings.push(format!("{resource} failed {times} on {node}{last}{moved}"));
        }
    }
}

fn moves(view: &View, warnings: &mut Vec<String>) {
    for (group, request) in &view.state.moves {
        let to = request.to.as_ref();
        let to = to.map_or_else(|| String::from("another node"), ToString::to_string);
        let by = &request.by;
        let mut plan = view.state.plan.groups.values();
        let yet = if plan.any(|given| given.waiting.is_some()) {
            "its turn has not come"
        } else {
            "not decided yet"
        };
        warnings.push(format!("{group} is to move to {to}, as {by} asked; {yet}"));
    }
}

/// Who stays for now because something else has to stop before. Who is not started says so itself.
fn turns(view: &View, warnings: &mut Vec<String>) {
    for (group, given) in &view.state.plan.groups {
        let (Some(here), Some(waiting)) = (&given.node, &given.waiting) else {
            continue;
        };
        let (on, order) = (&waiting.on, &waiting.order);
        let then = match &waiting.node {
            Some(there) if there == here => format!("is restarted on {here}"),
            Some(there) => format!("moves to {there}"),
            None => String::from("is stopped"),
        };
        warnings.push(format!(
            "{group} {then} when {on} is stopped, which comes before that (order {order})"
        ));
    }
}

/// What operators have ordered and what still holds: who, since when, until when, and what ends it.
fn orders(view: &View, warnings: &mut Vec<String>) {
    for (group, orders) in &view.state.orders {
        if let Some(given) = &orders.disabled {
            let (by, since) = (&given.by, utc(given.wall_ms));
            warnings.push(format!(
                "{group} is disabled by {by} since {since}; `standfast resource enable {group}` starts it"
            ));
        }
        if let Some(restart) = &orders.restart {
            let by = &restart.given.by;
            warnings.push(format!(
                "{group} is to be restarted, as {by} asked; not decided yet"
            ));
        }
        for wish in &orders.wishes {
            let kept = if wish.ban {
                "kept away from"
            } else {
                "kept on"
            };
            let until = wish.until_ms.map_or_else(
                || String::from("until that is cleared"),
                |until| format!("until {}", utc(until)),
            );
            let (node, by) = (&wish.node, &wish.given.by);
            warnings.push(format!(
                "{group} is {kept} {node} {until}, as {by} ordered; `standfast resource clear {group}` ends that"
            ));
        }
    }
}

fn maintenance(view: &View, warnings: &mut Vec<String>) {
    let config = &view.state.config;
    if config.observes() {
        warnings.push(String::from(
            "the cluster only observes: what it would do is in `standfast history`; `mode = \"active\"` in [cluster] \
             lets it act",
        ));
        return;
    }
    let maintenance = &view.state.maintenance;
    if let Some(given) = &maintenance.cluster {
        let (by, since) = (&given.by, utc(given.wall_ms));
        warnings.push(format!(
            "the cluster is in maintenance by {by} since {since}: nothing is started, stopped, moved or restarted; \
             `standfast cluster maintenance off` ends that"
        ));
    }
    for (node, maintained) in &maintenance.nodes {
        let (by, since) = (&maintained.given.by, utc(maintained.given.wall_ms));
        let groups: Vec<&str> = maintained.groups.iter().map(GroupId::as_str).collect();
        let groups = match groups.as_slice() {
            [] => String::from("nothing"),
            groups => groups.join(", "),
        };
        warnings.push(format!(
            "{node} is in maintenance by {by} since {since}: {groups} on it is left alone, and nothing new comes to it; \
             `standfast node maintenance {node} off` ends that"
        ));
    }
    for (group, orders) in &view.state.orders {
        if let Some(given) = &orders.unmanaged {
            let (by, since) = (&given.by, utc(given.wall_ms));
            warnings.push(format!(
                "{group} is left alone by {by} since {since}; `standfast resource manage {group}` ends that"
            ));
        }
    }
    if config.maintenance {
        warnings.push(String::from(
            "the cluster is in maintenance: nothing is started, stopped, moved or restarted until maintenance = false is applied",
        ));
        return;
    }
    let copied = config.copies.groups.iter();
    let copied = copied.map(|(id, copied)| (id, &copied.group));
    let single = config
        .groups
        .iter()
        .filter(|(_, group)| group.copy.is_none());
    for (group, _) in single.chain(copied).filter(|(_, group)| group.maintenance) {
        warnings.push(format!(
            "{group} is in maintenance: nothing of it is started, stopped, moved or restarted"
        ));
    }
}

fn of_node(node: &NodeLine, known: Option<&NodeState>, warnings: &mut Vec<String>) {
    let name = &node.name;
    if !node.joined {
        warnings.push(format!("{name} has not joined: run `standfast join` there"));
    }
    if node.drained {
        let standby = known.and_then(|known| known.standby.as_ref());
        let whose = standby.map_or_else(String::new, |standby| {
            let (by, since) = (&standby.given.by, utc(standby.given.wall_ms));
            let until = standby.until_ms;
            let until = until.map_or_else(String::new, |until| format!(", until {}", utc(until)));
            format!(" by {by} since {since}{until}")
        });
        warnings.push(format!(
            "{name} is drained{whose}; `standfast node resume {name}` lets it work again"
        ));
    }
    if known.is_some_and(|known| known.online && known.is_leaving()) {
        warnings.push(format!(
            "{name} is shutting down: what it runs moves away first"
        ));
    }
    if node.restarting {
        warnings.push(format!(
            "the agent of {name} is restarting: its leases run on meanwhile"
        ));
    }
    if !node.missing_guards.is_empty() && !node.witness {
        let list: Vec<String> = node
            .missing_guards
            .iter()
            .map(|(guard, why)| format!("{guard}{}", in_brackets(why)))
            .collect();
        warnings.push(format!("{name} lacks guards: {}", list.join(", ")));
    }
    if !node.certificate_problem.is_empty() {
        let until = node
            .certificate_until_ms
            .map_or_else(String::new, |ms| format!(", which ends at {},", utc(ms)));
        warnings.push(format!(
            "the certificate of {name}{until} cannot be renewed: {}; it goes on working when it has ended, but repair this",
            node.certificate_problem
        ));
    }
    let Some(known) = known.filter(|known| known.online) else {
        return;
    };
    for (interface, why) in &known.report.sick_interfaces {
        warnings.push(format!("client network of {name} on {interface}: {why}"));
    }
    let said = known.report.warnings.iter();
    warnings.extend(said.map(|text| format!("{name}: {text}")));
}

fn versions(nodes: &[NodeLine], warnings: &mut Vec<String>) {
    let versions: BTreeSet<&str> = nodes
        .iter()
        .filter(|node| node.online && !node.program_version.is_empty())
        .map(|node| node.program_version.as_str())
        .collect();
    if versions.len() > 1 {
        let list: Vec<&str> = versions.into_iter().collect();
        let list = list.join(", ");
        warnings.push(format!(
            "nodes run different versions: {list}; where the newest is installed everywhere, `standfast upgrade` finishes it"
        ));
    }
}
