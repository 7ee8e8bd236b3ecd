//! Orders for a group with copies: for all of them at once, or one after the other. Not for what is ordered for one copy,
//! which is a group like any other (`resource`).

use super::{
    ask::no_such,
    resource::{left_alone, may_run, restart_group},
    resource_args::{OrderHow, RestartArgs},
};
use crate::{failure::Failure, render::running_on};
use standfast_model::{
    copies::{named, written},
    id::{GroupId, NodeId, ResourceId},
    request::View,
};
use std::path::Path;

/// What an order is about: the group, or each of its copies.
pub(super) fn targets(view: &View, group: &GroupId) -> Vec<GroupId> {
    let copies = view.state.config.copies_of(group);
    let copies: Vec<GroupId> = copies.map(|(copy, _)| copy.clone()).collect();
    if copies.is_empty() {
        vec![group.clone()]
    } else {
        copies
    }
}

/// Whether a group has copies.
pub(super) fn has_copies(view: &View, group: &GroupId) -> bool {
    view.state.config.copies.groups.contains_key(group)
}

/// Nothing of it is to run, and nothing does.
pub(super) fn is_stopped(view: &View, group: &GroupId) -> bool {
    targets(view, group).iter().all(|target| {
        let given = view.state.plan.groups.get(target);
        let planned = given.is_some_and(|given| given.node.is_some());
        !planned && !may_run(view, target)
    })
}

/// It runs where it is to: every copy that is to run does.
pub(super) fn is_started(view: &View, group: &GroupId) -> bool {
    let targets = targets(view, group);
    let planned = targets.iter().filter(|target| {
        let given = view.state.plan.groups.get(*target);
        given.is_some_and(|given| given.node.is_some())
    });
    let planned: Vec<&GroupId> = planned.collect();
    !planned.is_empty() && planned.iter().all(|copy| running_on(view, copy).is_some())
}

/// Whether the plan says of all of it whether it is left alone.
pub(super) fn all_left_alone(view: &View, group: &GroupId, wanted: bool) -> bool {
    let targets = targets(view, group);
    targets
        .iter()
        .all(|target| left_alone(view, target) == wanted)
}

/// Where it runs, for people.
pub(super) fn places(view: &View, group: &GroupId) -> String {
    let targets = targets(view, group);
    let nodes = targets.iter().filter_map(|copy| running_on(view, copy));
    let nodes: Vec<&str> = nodes.map(NodeId::as_str).collect();
    nodes.join(" and ")
}

/// The copy of a group on a node.
pub(super) fn on(view: &View, group: &GroupId, node: &NodeId) -> Result<GroupId, Failure> {
    let copy = GroupId::from(named(group.as_str(), node));
    if view.state.config.groups.contains_key(&copy) {
        return Ok(copy);
    }
    let names: Vec<String> = targets(view, group)
        .iter()
        .map(ToString::to_string)
        .collect();
    let text = format!(
        "{group} has no copy on {node}; its copies are: {}",
        names.join(", ")
    );
    Err(no_such(text))
}

/// The group with copies that a name stands for: its own, or that of a member, with that member.
pub(super) fn named_by(view: &View, name: &str) -> Option<(GroupId, Option<ResourceId>)> {
    let copies = &view.state.config.copies;
    let id = GroupId::from(name);
    if copies.groups.contains_key(&id) {
        return Some((id, None));
    }
    let member = ResourceId::from(name);
    let mut groups = copies.groups.iter();
    let (group, _) = groups.find(|(_, copied)| copied.resources.contains_key(&member))?;
    Some((group.clone(), Some(member)))
}

/// Restarts the copies that run, each when the one before runs again. The first that does not ends it.
pub(super) fn restart(
    socket: &Path,
    view: &View,
    (group, member): (&GroupId, Option<&ResourceId>),
    how: &OrderHow,
) -> Result<(), Failure> {
    let running = targets(view, group);
    let running = running.into_iter().filter_map(|copy| {
        let node = running_on(view, &copy)?.clone();
        Some((copy, node))
    });
    let running: Vec<(GroupId, NodeId)> = running.collect();
    if running.is_empty() {
        let text = format!("no copy of {group} runs; `standfast explain {group}` says why");
        return Err(Failure::new(super::exit::UNAVAILABLE, text));
    }
    if how.wait == 0 && !how.dry_run {
        let name = written(group.as_str());
        return Err(Failure::usage(format!(
            "one copy of {name} is restarted after the other, which takes waiting: leave --wait 0 out, or name one copy"
        )));
    }
    for (copy, node) in running {
        let from = member.map(|member| ResourceId::from(named(member.as_str(), &node)));
        let group = from.as_ref().map_or(copy.as_str(), |from| from.as_str());
        let args = RestartArgs {
            group: group.to_owned(),
            how: how.clone(),
        };
        restart_group(socket, &args)?;
    }
    Ok(())
}
