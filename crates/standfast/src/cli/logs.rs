//! `logs`: the agents' log lines and what services print, of one node or all, from any node.

use super::{LogsArgs, ask::look, ask::no_such, exit, nodes, print};
use crate::failure::Failure;
use serde::Serialize;
use standfast_model::{
    id::{GroupId, NodeId, ResourceId},
    query::{AGENT, Line, Page, Query},
    request::View,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write as _},
    path::Path,
    thread,
    time::Duration,
};

/// Between two looks with `-f`.
const PAUSE: Duration = Duration::from_millis(500);
/// Pages of one node in one look.
const PAGES: usize = 64;

type Positions = BTreeMap<NodeId, BTreeMap<String, u64>>;

#[derive(Serialize)]
struct Printed<'l> {
    schema: &'static str,
    node: &'l NodeId,
    source: &'l str,
    text: &'l str,
}

pub(super) fn logs(socket: &Path, args: &LogsArgs) -> Result<(), Failure> {
    let (_, view) = look(socket)?;
    let nodes = which_nodes(&view, args.node.as_deref())?;
    let only = args
        .group
        .as_deref()
        .map(|group| members(&view, group))
        .transpose()?;
    let mut positions = Positions::new();
    loop {
        let failed = show(socket, args, &nodes, only.as_deref(), &mut positions)?;
        if !args.follow {
            return match failed {
                Some(failure) => Err(failure),
                None => Ok(()),
            };
        }
        thread::sleep(PAUSE);
    }
}

fn which_nodes(view: &View, named: Option<&str>) -> Result<BTreeSet<NodeId>, Failure> {
    let all = nodes::all(view);
    let Some(named) = named else { return Ok(all) };
    let node = NodeId::from(named);
    if all.contains(&node) {
        return Ok(BTreeSet::from([node]));
    }
    let names: Vec<&str> = all.iter().map(NodeId::as_str).collect();
    let text = format!("there is no node {named}; nodes are: {}", names.join(", "));
    Err(no_such(text))
}

fn members(view: &View, group: &str) -> Result<Vec<ResourceId>, Failure> {
    let groups = &view.state.config.groups;
    if let Some(group) = groups.get(&GroupId::from(group)) {
        return Ok(group.members.clone());
    }
    let name = GroupId::from(group);
    let copies = view.state.config.copies_of(&name);
    let copies: Vec<ResourceId> = copies.flat_map(|(_, copy)| copy.members.clone()).collect();
    if !copies.is_empty() {
        return Ok(copies);
    }
    let resource = ResourceId::from(group);
    if view.state.config.resources.contains_key(&resource) {
        return Ok(vec![resource]);
    }
    let names: Vec<&str> = groups.keys().map(GroupId::as_str).collect();
    Err(no_such(format!(
        "there is no group or resource {group}; groups are: {}",
        names.join(", ")
    )))
}

/// Prints what is new everywhere. Gives the failure of a node that did not answer.
fn show(
    socket: &Path,
    args: &LogsArgs,
    nodes: &BTreeSet<NodeId>,
    only: Option<&[ResourceId]>,
    positions: &mut Positions,
) -> Result<Option<Failure>, Failure> {
    let before = positions.clone();
    let answers = nodes::ask_all(socket, nodes.clone(), |socket, node| {
        let after = before.get(&node).cloned().unwrap_or_default();
        read(socket, &node, only, after, args.number)
    });
    let mut lines: Vec<(NodeId, Line)> = Vec::new();
    let mut failed = None;
    for (node, answer) in answers {
        match answer {
            Ok(page) => {
                positions.insert(node.clone(), page.next);
                lines.extend(page.lines.into_iter().map(|line| (node.clone(), line)));
            }
            Err(failure) => {
                if !args.follow {
                    writeln!(io::stderr(), "standfast: {node}: {}", failure.text).ok();
                }
                let text = String::new();
                failed = Some(Failure::new(failure.code, text));
            }
        }
    }
    sort(&mut lines);
    if before.is_empty() {
        let keep = lines.len().saturating_sub(args.number);
        lines.drain(..keep);
    }
    for (node, line) in &lines {
        print(&line_of(node, line, args.json))?;
    }
    Ok(failed)
}

/// By time as far as there is one: output of services stays behind what its node logged before.
fn sort(lines: &mut [(NodeId, Line)]) {
    lines.sort_by(|(_, a), (_, b)| {
        let time = |line: &Line| {
            let timed = line.source == AGENT;
            timed.then(|| line.text.split(' ').next().unwrap_or("").to_owned())
        };
        match (time(a), time(b)) {
            (Some(a), Some(b)) => a.cmp(&b),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (None, None) => std::cmp::Ordering::Equal,
        }
    });
}

fn line_of(node: &NodeId, line: &Line, json: bool) -> String {
    let source = line.source.as_str();
    if json {
        let printed = Printed {
            schema: "standfast/log/1",
            node,
            source,
            text: &line.text,
        };
        let mut text = serde_json::to_string(&printed).unwrap_or_default();
        text.push('\n');
        return text;
    }
    if source == AGENT {
        format!("{node}  {}\n", line.text)
    } else {
        format!("{node}  {source} | {}\n", line.text)
    }
}

/// Everything of one node from where the last look ended.
pub(super) fn read(
    socket: &Path,
    node: &NodeId,
    only: Option<&[ResourceId]>,
    after: BTreeMap<String, u64>,
    number: usize,
) -> Result<Page, Failure> {
    let mut all = Page {
        next: after,
        ..Page::default()
    };
    for _ in 0..PAGES {
        let query = Query::Logs {
            only: only.map(<[_]>::to_vec),
            after: all.next.clone(),
            lines: u32::try_from(number).unwrap_or(u32::MAX),
        };
        let page = nodes::page(socket, node.clone(), query)?;
        all.lines.extend(page.lines);
        all.next.extend(page.next);
        if !page.more {
            return Ok(all);
        }
    }
    let text = format!("{node} logs faster than it can be read");
    Err(Failure::new(exit::UNAVAILABLE, text))
}
