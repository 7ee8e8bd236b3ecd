//! A group with copies as one line: how many run and where, and what is wrong with those that do not.
//!
//! A copy that has nothing to do is no trouble: its node is lost, drained or has enough others beside it, and the nodes' own
//! lines say so. Not for a single copy, which is a group like any other (`groups`).

use super::{
    groups,
    summary::{CopiesLine, CopyLine, GroupLine},
};
use standfast_model::{
    config::GroupConfig,
    id::{GroupId, NodeId},
    order::Wish,
    request::View,
};

/// The line of a group with copies.
pub(crate) fn line(view: &View, id: &GroupId) -> GroupLine {
    let state = &view.state;
    let all: Vec<(&NodeId, GroupLine)> = state
        .config
        .copies_of(id)
        .filter_map(|(copy, settings)| {
            let of = settings.copy.as_ref()?;
            Some((&of.node, groups::line(view, copy)))
        })
        .collect();
    let runs = all.iter().filter(|(_, line)| line.running);
    let nodes: Vec<String> = runs.map(|(node, _)| node.to_string()).collect();
    let missing: Vec<CopyLine> = all
        .iter()
        .filter(|(_, line)| !line.running)
        .map(|(node, line)| CopyLine {
            node: node.to_string(),
            problem: line.problem.clone().unwrap_or_default(),
            trouble: is_trouble(view, (id, node), line),
        })
        .collect();
    let orders = state.orders.get(id);
    let disabled = orders.and_then(|orders| orders.disabled.as_ref());
    let wishes = orders.iter().flat_map(|orders| &orders.wishes);
    let each = missing.iter();
    let each: Vec<&str> = each.map(|copy| copy.problem.as_str()).collect();
    let problem = format!("no copy of it runs ({})", each.join("; "));
    let able = super::other_homes(view, id).len();
    GroupLine {
        name: id.to_string(),
        running: !nodes.is_empty(),
        node: None,
        problem: nodes.is_empty().then_some(problem),
        waits_for: None,
        maintenance: !all.is_empty() && all.iter().all(|(_, line)| line.maintenance),
        disabled_by: disabled.map(|given| given.by.clone()),
        wishes: wishes.map(|wish: &Wish| groups::wish_line(wish)).collect(),
        since_ms: None,
        predicted_rto_ms: None,
        predicted_rto_leader_lost_ms: None,
        other_homes: able.saturating_sub(1),
        copies: Some(CopiesLine {
            wanted: state.config.copies_wanted(id),
            nodes,
            missing,
        }),
        resources: all
            .into_iter()
            .flat_map(|(_, line)| line.resources)
            .filter(|line| line.node.is_some())
            .collect(),
    }
}

/// Whether a copy that does not run should.
fn is_trouble(view: &View, (id, node): (&GroupId, &NodeId), line: &GroupLine) -> bool {
    if line.node.is_some() || line.waits_for.is_some() {
        return true;
    }
    let state = &view.state;
    let copy = GroupId::from(line.name.as_str());
    let given = state.plan.groups.get(&copy);
    let waits = given.is_some_and(|given| {
        let about = given.reasons.iter().filter(|reason| reason.node.is_none());
        about
            .into_iter()
            .any(|reason| reason.text.starts_with("waits until "))
    });
    let members = state.config.groups.get(&copy);
    let failed = members.is_some_and(|members| has_failed(view, node, members));
    let enough = state.config.copies_wanted(id);
    let running = state.config.copies_of(id);
    let running = running.filter(|(copy, _)| groups::running_on(view, copy).is_some());
    waits || (failed && running.count() < enough)
}

/// Whether a member may not run on a node because it has failed there too often.
fn has_failed(view: &View, node: &NodeId, group: &GroupConfig) -> bool {
    group.members.iter().any(|member| {
        let counted = view.state.failures.get(member).and_then(|by| by.get(node));
        let limit = view.state.config.resources.get(member);
        counted.is_some_and(|record| {
            let often = limit.is_some_and(|r| record.count >= r.failure.threshold);
            often || !record.severity.is_soft()
        })
    })
}

/// What is wrong with a group that runs, as an operator would say it; none when nothing is.
pub(crate) fn trouble(line: &GroupLine) -> Option<String> {
    let copies = line.copies.as_ref()?;
    let wrong = copies.missing.iter().filter(|copy| copy.trouble);
    let wrong: Vec<&str> = wrong.map(|copy| copy.problem.as_str()).collect();
    if wrong.is_empty() || line.maintenance || line.disabled_by.is_some() {
        return None;
    }
    let (name, running, wanted) = (&line.name, copies.nodes.len(), copies.wanted);
    let wrong = wrong.join("; ");
    Some(format!(
        "{running} of {wanted} copies of {name} running ({wrong})"
    ))
}
