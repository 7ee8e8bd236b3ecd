//! `status` as text.

use super::{
    style::{Style, Tone},
    summary::{GroupLine, Health, NodeLine, ResourceLine, Status},
    table::{Cell, table},
    text::{length, utc},
};
use standfast_model::{copies::written, time::Micros};

/// The sentence, the nodes, the resources, the warnings.
#[must_use]
pub fn status(status: &Status, style: Style) -> String {
    let tone = match status.health {
        Health::Ok => Tone::Good,
        Health::Degraded => Tone::Doubtful,
        Health::Outage | Health::NoQuorum => Tone::Bad,
    };
    let mut text = style.paint(tone, &status.sentence);
    text.push_str("\n\n");
    if status.nodes.is_empty() {
        return text;
    }
    text.push_str(&heading(status));
    text.push_str("\n\n");
    text.push_str("Nodes\n");
    text.push_str(&nodes(style, status));
    if !status.groups.is_empty() {
        text.push_str("\nResources\n");
        text.push_str(&resources(style, status));
    }
    if !status.warnings.is_empty() {
        text.push_str("\nWarnings\n");
        for warning in &status.warnings {
            text.push_str(&format!("  - {warning}\n"));
        }
    }
    text
}

/// What is in force, as one line.
pub(crate) fn heading(status: &Status) -> String {
    let leader = match &status.leader {
        Some(leader) => format!("leader {leader}"),
        None => String::from("no leader"),
    };
    format!(
        "Cluster {}, configuration {}, plan {}, {leader} in term {}, seen from {}.",
        status.cluster, status.config_version, status.plan, status.term, status.asked
    )
}

fn nodes(style: Style, status: &Status) -> String {
    let mut rows = node_rows(status);
    let mut headings = NODE_HEADINGS.to_vec();
    // Where nothing depends on them they only make the table wide.
    let asked = status.nodes.iter().map(|node| &node.asked_attributes);
    if asked.clone().any(|attributes| !attributes.is_empty()) {
        headings.push("ATTRIBUTES");
        for (row, attributes) in rows.iter_mut().zip(asked) {
            row.push(Cell::from(attributes.join(" ")));
        }
    }
    table(style, &headings, rows)
}

/// Headings of [`node_rows`].
pub(crate) const NODE_HEADINGS: [&str; 6] =
    ["NAME", "STATE", "ROLE", "LINKS", "LEASE LEFT", "GUARDS"];

/// One row for each node.
pub(crate) fn node_rows(status: &Status) -> Vec<Vec<Cell>> {
    let rows = status.nodes.iter().map(|node| {
        vec![
            Cell::from(node.name.as_str()),
            state_of(status, node),
            Cell::from(role_of(node)),
            links_of(node),
            Cell::from(
                node.lease_left_ms
                    .map_or_else(dash, |ms| format!("{ms} ms")),
            ),
            guards_of(node),
        ]
    });
    rows.collect()
}

fn dash() -> String {
    String::from("-")
}

fn state_of(status: &Status, node: &NodeLine) -> Cell {
    // Without a majority nobody here knows how the others are.
    if !status.quorum && node.name != status.asked {
        let was = if node.online {
            "was online"
        } else {
            "was offline"
        };
        return Cell::new(Tone::Doubtful, was);
    }
    if !node.joined {
        Cell::new(Tone::Doubtful, "not joined")
    } else if !node.online && node.restarting {
        Cell::new(Tone::Doubtful, "restarting")
    } else if !node.online {
        Cell::new(Tone::Bad, "offline")
    } else if node.drained {
        Cell::new(Tone::Doubtful, "drained")
    } else {
        Cell::new(Tone::Good, "online")
    }
}

fn role_of(node: &NodeLine) -> String {
    let role = if node.role == "none" { "-" } else { node.role };
    if node.witness {
        format!("{role}, witness")
    } else {
        role.to_owned()
    }
}

fn links_of(node: &NodeLine) -> Cell {
    match node.links {
        None => Cell::from(dash()),
        Some((heard, all)) => {
            let tone = if heard < all { Tone::Bad } else { Tone::Plain };
            Cell::new(tone, format!("{heard}/{all}"))
        }
    }
}

fn guards_of(node: &NodeLine) -> Cell {
    if !node.reported {
        return Cell::from("?");
    }
    let watchdog = node.watchdog.as_ref();
    let watchdog = watchdog.map(|found| format!("watchdog {} s", found.timeout_ms / 1000));
    let names: Vec<&str> = node.missing_guards.keys().map(String::as_str).collect();
    match (names.as_slice(), watchdog) {
        ([], None) => Cell::from("all"),
        ([], Some(watchdog)) => Cell::from(format!("all, {watchdog}")),
        (names, None) => Cell::new(Tone::Doubtful, format!("no {}", names.join(", "))),
        (names, Some(watchdog)) => {
            let text = format!("no {}; {watchdog}", names.join(", "));
            Cell::new(Tone::Doubtful, text)
        }
    }
}

fn resources(style: Style, status: &Status) -> String {
    table(style, &RESOURCE_HEADINGS, resource_rows(status))
}

/// Headings of [`resource_rows`].
pub(crate) const RESOURCE_HEADINGS: [&str; 7] = [
    "GROUP",
    "RESOURCE",
    "KIND",
    "NODE",
    "PHASE",
    "SINCE",
    "PREDICTED RTO",
];

/// One row for each resource, group by group; the group's own cells are in its first row.
pub(crate) fn resource_rows(status: &Status) -> Vec<Vec<Cell>> {
    let groups = status.groups.iter();
    groups.flat_map(|group| group_rows(status, group)).collect()
}

/// The rows of one group: one for each resource, of copies one for all that run and one for each other.
pub(crate) fn group_rows(status: &Status, group: &GroupLine) -> Vec<Vec<Cell>> {
    let Some(copies) = &group.copies else {
        let lines = group.resources.iter().enumerate();
        let rows = lines.map(|(index, line)| row(status, group, line, index == 0));
        return rows.collect();
    };
    let mut members: Vec<(&str, &ResourceLine)> = Vec::new();
    for line in &group.resources {
        let name = written(&line.name);
        if !members.iter().any(|(known, _)| *known == name) {
            members.push((name, line));
        }
    }
    let mut rows = Vec::new();
    for (name, first) in members {
        let of_it = group
            .resources
            .iter()
            .filter(|line| written(&line.name) == name);
        let (active, others): (Vec<_>, Vec<_>) = of_it.partition(|line| line.phase == "active");
        let nodes: Vec<&str> = active
            .iter()
            .filter_map(|line| line.node.as_deref())
            .collect();
        let all = ResourceLine {
            name: name.to_owned(),
            node: (!nodes.is_empty()).then(|| nodes.join(" ")),
            ..first.clone()
        };
        let mut cells = row(status, group, &all, rows.is_empty());
        let tone = if nodes.len() < copies.wanted {
            Tone::Doubtful
        } else {
            Tone::Good
        };
        if let Some(cell) = cells.get_mut(PHASE) {
            let text = format!("{} of {} active", nodes.len(), copies.wanted);
            *cell = Cell::new(tone, text);
        }
        rows.push(cells);
        let others = others.into_iter();
        rows.extend(others.map(|line| row(status, group, line, false)));
    }
    if rows.is_empty() {
        let text = format!("0 of {} active", copies.wanted);
        let mut cells: Vec<Cell> = RESOURCE_HEADINGS
            .iter()
            .map(|_| Cell::from(dash()))
            .collect();
        if let Some(cell) = cells.first_mut() {
            *cell = Cell::from(group.name.as_str());
        }
        if let Some(cell) = cells.get_mut(PHASE) {
            *cell = Cell::new(Tone::Bad, text);
        }
        rows.push(cells);
    }
    rows
}

/// Where the phase stands in a row.
const PHASE: usize = 4;

fn row(status: &Status, group: &GroupLine, line: &ResourceLine, first: bool) -> Vec<Cell> {
    let tone = match line.phase.as_str() {
        "active" => Tone::Good,
        "starting" | "stopping" => Tone::Doubtful,
        "inactive" if !status.quorum => Tone::Plain,
        "inactive" if group.maintenance || group.disabled_by.is_some() => Tone::Doubtful,
        _ => Tone::Bad,
    };
    let of_group = |text: String| if first { text } else { String::new() };
    vec![
        Cell::from(of_group(group.name.clone())),
        Cell::from(line.name.as_str()),
        Cell::from(line.agent.as_deref().unwrap_or(line.kind)),
        Cell::from(line.node.as_deref().unwrap_or("-")),
        Cell::new(tone, line.phase.as_str()),
        Cell::from(of_group(group.since_ms.map_or_else(dash, utc))),
        Cell::from(of_group(if status.quorum { rto(group) } else { dash() })),
    ]
}

fn rto(group: &GroupLine) -> String {
    if group.copies.is_some() {
        return String::from("none: the other copies go on");
    }
    let Some(alone) = group.predicted_rto_ms else {
        return dash();
    };
    if group.other_homes == 0 {
        return String::from("none: no other node can run it");
    }
    let alone = length(Micros::from_millis(alone));
    let with = group.predicted_rto_leader_lost_ms.unwrap_or_default();
    let with = length(Micros::from_millis(with));
    if with == alone {
        alone
    } else {
        format!("{alone}, {with} if the leader goes too")
    }
}
