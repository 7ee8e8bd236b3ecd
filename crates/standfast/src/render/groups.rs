//! Whether each group runs, where, and why not.

use super::{
    copies,
    health::other_homes,
    history::decision,
    summary::{GroupLine, ResourceLine, TurnLine, WishLine},
};
use standfast_model::{
    config::ResourceKind,
    id::{GroupId, NodeId, ResourceId},
    order::Wish,
    plan::{Assignment, INFINITY, Waiting},
    request::View,
    state::{InstanceReport, Phase},
};

pub(crate) fn lines(view: &View) -> Vec<GroupLine> {
    let mut lines: Vec<GroupLine> = view
        .state
        .config
        .written_groups()
        .map(|id| match view.state.config.groups.contains_key(id) {
            true => line(view, id),
            false => copies::line(view, id),
        })
        .collect();
    lines.sort_by(|one, other| one.name.cmp(&other.name));
    lines
}

/// The node that runs the whole group, as its plan says and its node reports.
#[must_use]
pub fn running_on<'v>(view: &'v View, group: &GroupId) -> Option<&'v NodeId> {
    if !view.quorum {
        // What was reported last may be over by now.
        return None;
    }
    let assignment = view.state.plan.groups.get(group)?;
    let node = assignment.node.as_ref()?;
    let online = view.state.nodes.get(node)?.online;
    let active = |member| phase(view, node, member) == Phase::Active;
    (online && assignment.members.iter().all(active)).then_some(node)
}

pub(crate) fn line(view: &View, id: &GroupId) -> GroupLine {
    let state = &view.state;
    let assignment = state.plan.groups.get(id);
    let running = running_on(view, id).is_some();
    let config = state.config.groups.get(id);
    let maintenance = state.config.observes() || state.in_maintenance(id);
    let rto = view.predicted_rto.get(id);
    let decided = assignment.and_then(|a| decision(view, a.since));
    let members = config.map(|g| g.members.as_slice()).unwrap_or_default();
    let orders = state.orders_of(id);
    let orders = orders.as_deref();
    let disabled = orders.and_then(|orders| orders.disabled.as_ref());
    let wishes = orders.iter().flat_map(|orders| &orders.wishes);
    GroupLine {
        name: id.to_string(),
        running,
        node: assignment
            .and_then(|a| a.node.as_ref())
            .map(ToString::to_string),
        waits_for: assignment
            .and_then(|a| a.waiting.as_ref())
            .map(|waiting| TurnLine {
                group: waiting.on.to_string(),
                order: waiting.order.clone(),
                node: waiting.node.as_ref().map(ToString::to_string),
            }),
        problem: (!running).then(|| problem(view, assignment)),
        maintenance,
        disabled_by: disabled.map(|given| given.by.clone()),
        wishes: wishes.map(wish_line).collect(),
        since_ms: decided.map(|e| e.wall_ms),
        predicted_rto_ms: rto.map(|p| p.node_lost.as_millis_ceil()),
        predicted_rto_leader_lost_ms: rto.map(|p| p.node_and_leader_lost.as_millis_ceil()),
        other_homes: other_homes(view, id).len(),
        copies: None,
        resources: members
            .iter()
            .flat_map(|member| resource_lines(view, assignment, member))
            .collect(),
    }
}

pub(crate) fn wish_line(wish: &Wish) -> WishLine {
    WishLine {
        node: wish.node.to_string(),
        ban: wish.ban,
        by: wish.given.by.clone(),
        until_ms: wish.until_ms,
    }
}

fn instance<'v>(
    view: &'v View,
    node: &NodeId,
    resource: &ResourceId,
) -> Option<&'v InstanceReport> {
    view.state.nodes.get(node)?.report.instances.get(resource)
}

fn phase(view: &View, node: &NodeId, resource: &ResourceId) -> Phase {
    instance(view, node, resource).map_or(Phase::Inactive, |i| i.phase)
}

/// One line where it belongs, and one for every other node that has something of it.
fn resource_lines(
    view: &View,
    assignment: Option<&Assignment>,
    resource: &ResourceId,
) -> Vec<ResourceLine> {
    let state = &view.state;
    let kind = match state.config.resources.get(resource).map(|r| &r.kind) {
        Some(ResourceKind::Process(process)) => process.kind(),
        Some(ResourceKind::Vip(_)) => "vip",
        None => "",
    };
    let agent = match state.config.resources.get(resource).map(|r| &r.kind) {
        Some(ResourceKind::Process(process)) => process.started_by().map(str::to_owned),
        Some(ResourceKind::Vip(_)) | None => None,
    };
    let home = assignment.and_then(|a| a.node.as_ref());
    let mut lines = Vec::new();
    let mut push = |node: Option<&NodeId>, phase: String| {
        lines.push(ResourceLine {
            name: resource.to_string(),
            kind,
            agent: agent.clone(),
            node: node.map(ToString::to_string),
            phase,
        });
    };
    match home {
        Some(home) => push(Some(home), phase_on(view, home, resource)),
        None => push(None, phase_name(Phase::Inactive).to_owned()),
    }
    for node in state.nodes.keys().filter(|node| Some(*node) != home) {
        let shown = phase_on(view, node, resource);
        if shown != phase_name(Phase::Inactive) {
            push(Some(node), shown);
        }
    }
    lines
}

/// A node that is not heard says nothing: what it has is over, unless it may still hold it.
fn phase_on(view: &View, node: &NodeId, resource: &ResourceId) -> String {
    let online = view.state.nodes.get(node).is_some_and(|n| n.online);
    let name = phase_name(phase(view, node, resource));
    if !view.quorum && name != phase_name(Phase::Inactive) {
        return format!("was {name}");
    }
    if online {
        return name.to_owned();
    }
    let holders = view.state.may_hold.get(resource);
    if holders.is_some_and(|h| h.contains(node)) {
        String::from("unknown")
    } else {
        phase_name(Phase::Inactive).to_owned()
    }
}

pub(crate) const fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Inactive => "inactive",
        Phase::Starting => "starting",
        Phase::Active => "active",
        Phase::Stopping => "stopping",
        Phase::StopFailed => "stop failed",
        Phase::Failed => "failed",
        Phase::Lapsed => "lapsed",
    }
}

/// Why a group does not run, as the end of a sentence.
fn problem(view: &View, assignment: Option<&Assignment>) -> String {
    if !view.quorum {
        return String::from("no majority is reached from here, so nobody here knows");
    }
    if view.state.config.observes() {
        return String::from("the cluster only observes");
    }
    let Some(assignment) = assignment else {
        return String::from("no plan names it yet");
    };
    let Some(node) = &assignment.node else {
        return assignment
            .waiting
            .as_ref()
            .map_or_else(|| nowhere(assignment), turn);
    };
    let waiting = assignment
        .members
        .iter()
        .find(|member| phase(view, node, member) != Phase::Active);
    let offline = view.state.nodes.get(node).filter(|n| !n.online);
    if offline.is_some() || !view.state.nodes.contains_key(node) {
        let why = offline.map_or("", |n| n.offline_reason.as_str());
        return format!(
            "{node} is offline{} and nobody has taken over yet",
            in_brackets(why)
        );
    }
    waiting.map_or_else(
        || format!("{node} has not reported it"),
        |member| problem_of_member(view, node, member),
    )
}

/// It is not its turn yet.
fn turn(waiting: &Waiting) -> String {
    let (on, order) = (&waiting.on, &waiting.order);
    let there = waiting.node.as_ref();
    let there = there.map_or_else(String::new, |node| format!(" to start on {node}"));
    format!("it waits{there} until {on} is active (order {order})")
}

fn nowhere(assignment: &Assignment) -> String {
    let excluded = assignment
        .reasons
        .iter()
        .filter(|reason| reason.score <= -INFINITY && !reason.text.contains("witness"));
    // What holds for several nodes is said once, and what does not name its node gets its name.
    let mut found: Vec<(&str, Vec<&NodeId>)> = Vec::new();
    for reason in excluded {
        let text = reason.text.as_str();
        let known = found.iter_mut().find(|(known, _)| *known == text);
        match known {
            Some((_, nodes)) => nodes.extend(&reason.node),
            None => found.push((text, reason.node.iter().collect())),
        }
    }
    let texts = found.iter().map(|(text, nodes)| match nodes.as_slice() {
        [node] if !text.contains(node.as_str()) => format!("{text} on {node}"),
        _ => (*text).to_owned(),
    });
    let texts: Vec<String> = texts.collect();
    let about = assignment
        .reasons
        .iter()
        .find(|reason| reason.node.is_none());
    let about = about.map_or("no node can run it", |reason| reason.text.as_str());
    if texts.is_empty() {
        about.to_owned()
    } else {
        format!("{about}: {}", texts.join(", "))
    }
}

fn problem_of_member(view: &View, node: &NodeId, member: &ResourceId) -> String {
    let failed_stop = view
        .state
        .nodes
        .iter()
        .find(|(name, known)| known.online && phase(view, name, member) == Phase::StopFailed);
    if let Some((elsewhere, _)) = failed_stop {
        let why = instance(view, elsewhere, member).map_or("", |i| i.last_failure.as_str());
        let why = in_brackets(why);
        return format!("the stop of {member} on {elsewhere} is not confirmed{why}");
    }
    let mut holders = view.state.may_hold.get(member).into_iter().flatten();
    if let Some(holder) = holders.find(|holder| *holder != node) {
        if let Some(until) = until_fenced(view, holder, member) {
            return format!(
                "{member} may still run on {holder}, and starts on {node} once {until}"
            );
        }
        return format!(
            "{member} may still run on {holder}, and starts on {node} once {holder} has released it or its lease is over"
        );
    }
    let found = instance(view, node, member);
    match phase(view, node, member) {
        Phase::Starting => format!("{member} is starting on {node}"),
        Phase::Stopping => format!("{member} is stopping on {node}"),
        Phase::Failed => {
            let why = found.map_or("", |i| i.last_failure.as_str());
            format!("{member} failed on {node}{}", in_brackets(why))
        }
        Phase::Lapsed => format!("the lease of {node} ended while {member} ran there"),
        Phase::Inactive | Phase::Active | Phase::StopFailed => {
            format!("{member} is not started on {node} yet")
        }
    }
}

/// What a resource waits for that its lost holder's lease does not end.
pub(crate) fn until_fenced(view: &View, holder: &NodeId, resource: &ResourceId) -> Option<String> {
    let lost = view
        .state
        .nodes
        .get(holder)
        .is_none_or(|known| !known.online);
    (lost && view.state.waits_for_fencing(holder, resource))
        .then(|| format!("{holder} is fenced, or back"))
}

pub(crate) fn in_brackets(text: &str) -> String {
    if text.is_empty() {
        String::new()
    } else {
        format!(" ({text})")
    }
}
