//! How the cluster is, as one word and one sentence.

use super::{
    copies,
    groups::in_brackets,
    summary::{GroupLine, Health, NodeLine},
    takeover,
    text::{count, length},
};
use standfast_model::{
    agent::Severity,
    config::ResourceConfig,
    id::{GroupId, NodeId},
    request::View,
    state::{FailureRecord, Phase},
};
use std::collections::BTreeMap;

/// Groups that one sentence names.
const MOST_PLACES: usize = 5;

/// Judges a cluster. That nobody can be fenced, although devices are configured, stands in front of everything.
pub(crate) fn judge(view: &View, nodes: &[NodeLine], groups: &[GroupLine]) -> (Health, String) {
    let (health, sentence) = judge_services(view, nodes, groups);
    let fencing = &view.state.config.fencing;
    if fencing.off && !fencing.devices.is_empty() {
        return (health, format!("FENCING IS SWITCHED OFF. {sentence}"));
    }
    (health, sentence)
}

fn judge_services(view: &View, nodes: &[NodeLine], groups: &[GroupLine]) -> (Health, String) {
    if view.state.members.is_empty() {
        return (Health::NoQuorum, no_state(view));
    }
    if !view.removed.is_empty() {
        return (Health::NoQuorum, removed(view));
    }
    if let Some(pair) = view.pair.as_ref().filter(|_| !view.state.config.observes()) {
        return super::pair::judge(pair, groups, &problems(view, nodes, groups));
    }
    if !view.quorum {
        return (Health::NoQuorum, no_quorum(view));
    }
    if view.state.config.observes() {
        return observing(view, nodes, groups);
    }
    let down: Vec<&GroupLine> = groups
        .iter()
        .filter(|group| !group.running && !group.maintenance && group.disabled_by.is_none())
        .collect();
    if !down.is_empty() {
        return (Health::Outage, outage(&down, groups.len()));
    }
    let problems = problems(view, nodes, groups);
    let survives = survives(view, nodes, groups);
    if problems.is_empty() {
        return (Health::Ok, all_well(view, nodes, groups, survives));
    }
    let running = match groups {
        [] => String::from("nothing is configured to run, and the cluster"),
        [only] if only.running && only.copies.is_some() => {
            let nodes = only
                .copies
                .as_ref()
                .map_or_else(String::new, |copies| copies.nodes.join(" and "));
            format!("{} runs on {nodes}, and", only.name)
        }
        [only] if only.running => {
            let node = only.node.as_deref().unwrap_or("");
            match takeover::clause(view, &only.name) {
                Some(clause) => format!("{} runs on {node}, {clause}, and", only.name),
                None => format!("{} runs on {node}, and", only.name),
            }
        }
        _ => {
            let running = groups.iter().filter(|g| g.running).count();
            format!(
                "{running} of {} running, and the cluster",
                count(groups.len(), "group")
            )
        }
    };
    let problems = problems.join("; ");
    let survives = match survives {
        0 => String::from("can survive no further loss"),
        1 => String::from("can survive the loss of one more node"),
        n => format!("can survive the loss of {n} more nodes"),
    };
    let sentence = format!("Degraded: {problems}; {running} {survives}.");
    (Health::Degraded, sentence)
}

/// A cluster that does nothing is not in an outage: what it would do is what matters.
fn observing(view: &View, nodes: &[NodeLine], groups: &[GroupLine]) -> (Health, String) {
    let online = nodes.iter().filter(|node| node.online).count();
    let mut places: Vec<String> = view
        .state
        .observed
        .iter()
        .take(MOST_PLACES)
        .map(|(group, node)| match node {
            Some(node) => format!("{group} on {node}"),
            None => format!("{group} nowhere"),
        })
        .collect();
    let more = view.state.observed.len().saturating_sub(places.len());
    if more > 0 {
        places.push(format!("{more} more"));
    }
    let places = if places.is_empty() {
        String::new()
    } else {
        format!("; acting, it would have {}", places.join(", "))
    };
    let problems = problems(view, nodes, groups);
    let also: String = problems
        .iter()
        .map(|problem| format!("; {problem}"))
        .collect();
    let sentence = format!(
        "OBSERVING ONLY, nothing is started, stopped or moved: {online} of {} nodes online{also}{places}.",
        nodes.len()
    );
    if problems.is_empty() {
        (Health::Ok, sentence)
    } else {
        (Health::Degraded, sentence)
    }
}

/// A node that has just joined.
fn no_state(view: &View) -> String {
    let node = &view.node;
    let heard = match &view.leader {
        Some(leader) => format!("it hears the leader {leader}"),
        None => String::from("it hears no leader"),
    };
    format!(
        "NO QUORUM: {node} has not received the cluster's state yet, {heard}; nothing is started here."
    )
}

/// A node that an operator removed while it was away, or that is cut off since.
fn removed(view: &View) -> String {
    format!(
        "REMOVED: {} is no member of the cluster any more ({}); it runs nothing, and its certificate is worth nothing. \
         What follows is what was known last. `standfast destroy` here takes it away; then the machine can join anew.",
        view.node, view.removed
    )
}

fn no_quorum(view: &View) -> String {
    let voters = view.state.members.values().filter(|m| m.voter).count();
    format!(
        "NO QUORUM: {} hears no leader with a majority of the {}; it renews no lease, so everything here \
         is stopped, or stops within {}, until a majority is back. What follows is what was known last.",
        view.node,
        count(voters, "voter"),
        length(view.state.config.timing.lease)
    )
}

fn outage(down: &[&GroupLine], all: usize) -> String {
    let each: Vec<String> = down
        .iter()
        .map(|group| {
            let why = group.problem.as_deref().unwrap_or("nobody knows why");
            format!("{} is not running, because {why}", group.name)
        })
        .collect();
    let each = each.join("; ");
    if down.len() == all {
        format!("OUTAGE: {each}.")
    } else {
        let running = all - down.len();
        format!(
            "OUTAGE: {each}. {running} of {} running.",
            count(all, "group")
        )
    }
}

fn all_well(view: &View, nodes: &[NodeLine], groups: &[GroupLine], survives: usize) -> String {
    let online = format!("{0} of {0} nodes online", nodes.len());
    let what = match groups.len() {
        0 => String::from("nothing is configured to run yet"),
        n => format!("{} running", count(n, "group")),
    };
    let but = if survives == 0 {
        ", but no loss can be survived"
    } else {
        ""
    };
    let returned = takeover::returned(view).map_or_else(String::new, |said| format!(" {said}."));
    format!("All well: {online}, {what}{but}.{returned}")
}

/// What makes a cluster less than it should be, although everything runs.
fn problems(view: &View, nodes: &[NodeLine], groups: &[GroupLine]) -> Vec<String> {
    let counts = nodes
        .iter()
        .filter(|node| super::pair::problem_counts(view, node));
    let mut problems: Vec<String> = counts.filter_map(problem_of_node).collect();
    if !view.storage_problem.is_empty() {
        let problem = &view.storage_problem;
        problems.push(format!("storage of {}: {problem}", view.node));
    }
    if !view.no_vote.is_empty() {
        problems.push(format!("{} has no vote ({})", view.node, view.no_vote));
    }
    let alarms = super::fence_alarms(view).into_iter();
    problems.extend(alarms.filter(|(_, serious)| *serious).map(|(text, _)| {
        // The sentence says what; the warning below it says what to do.
        let what = text.split([';']).next().unwrap_or_default();
        what.to_owned()
    }));
    for (node, known) in view.state.nodes.iter().filter(|(_, known)| known.online) {
        for (resource, instance) in &known.report.instances {
            if instance.phase == Phase::StopFailed {
                let why = in_brackets(&instance.last_failure);
                problems.push(format!(
                    "the stop of {resource} on {node} is not confirmed{why}"
                ));
            }
        }
    }
    problems.extend(groups.iter().filter_map(copies::trouble));
    let disabled = groups.iter().filter(|group| group.disabled_by.is_some());
    problems.extend(disabled.map(|group| format!("{} is disabled", group.name)));
    if view.state.config.observes() {
        // Said before everything else already.
    } else if view.state.all_in_maintenance() {
        problems.push(String::from("the cluster is in maintenance"));
    } else {
        let maintained = groups.iter().filter(|group| group.maintenance);
        problems.extend(maintained.map(|group| {
            let down = if group.running {
                ""
            } else {
                " and not running"
            };
            format!("{} is in maintenance{down}", group.name)
        }));
    }
    problems
}

fn problem_of_node(node: &NodeLine) -> Option<String> {
    let name = &node.name;
    if !node.joined {
        return Some(format!("node {name} has not joined"));
    }
    if !node.online {
        let what = if node.restarting {
            format!("the agent of {name} is restarting")
        } else {
            format!(
                "node {name} is offline{}",
                in_brackets(&node.offline_reason)
            )
        };
        return Some(what);
    }
    if node.drained {
        return Some(format!("node {name} is drained"));
    }
    if !node.certificate_problem.is_empty() {
        return Some(format!("the certificate of {name} cannot be renewed"));
    }
    if node.role == "learner" {
        return Some(format!("node {name} does not vote yet"));
    }
    match node.links {
        Some((heard, all)) if heard < all => Some(format!(
            "{heard} of {} to {name} heard",
            count(usize::try_from(all).unwrap_or(0), "link")
        )),
        _ => None,
    }
}

/// How many more nodes can be lost: by votes, and by places to run.
fn survives(view: &View, nodes: &[NodeLine], groups: &[GroupLine]) -> usize {
    let voters = view.state.members.values().filter(|m| m.voter);
    let voters = voters.count();
    let online = nodes
        .iter()
        .filter(|n| n.online && matches!(n.role, "leader" | "voter" | "primary"))
        .count();
    let by_votes = online.saturating_sub(voters / 2 + 1);
    let places = groups.iter().map(|group| group.other_homes).min();
    places.map_or(by_votes, |places| places.min(by_votes))
}

/// Whether a failure keeps a resource from every node.
fn has_fatal(records: &BTreeMap<NodeId, FailureRecord>) -> bool {
    let mut records = records.values();
    records.any(|record| record.severity == Severity::Fatal)
}

/// Nodes besides its own that could run a group now. Of a group with copies, all that could run one; of one copy, the others.
#[must_use]
pub fn other_homes<'v>(view: &'v View, group: &GroupId) -> Vec<&'v NodeId> {
    let config = &view.state.config;
    let of = config.copy_of(group).map_or(group, |copy| &copy.group);
    if !config.copies.groups.contains_key(of) {
        return homes(view, group).collect();
    }
    let copies = config.copies_of(of).filter(|(copy, _)| *copy != group);
    let able = copies.filter_map(|(copy, settings)| {
        let node = settings.copy.as_ref().map(|copy| &copy.node)?;
        let home = view
            .state
            .plan
            .groups
            .get(copy)
            .and_then(|given| given.node.as_ref());
        let able = home == Some(node) || homes(view, copy).any(|able| able == node);
        able.then_some(node)
    });
    able.collect()
}

/// Nodes besides its own that could run a group now, whatever it is.
fn homes<'v>(view: &'v View, group: &GroupId) -> impl Iterator<Item = &'v NodeId> + use<'v> {
    let state = &view.state;
    let home = state.plan.groups.get(group).and_then(|a| a.node.as_ref());
    let members = state.config.groups.get(group);
    let members = members.map(|g| g.members.as_slice()).unwrap_or_default();
    let orders = state.orders_of(group);
    let able = move |node: &NodeId| {
        let Some(known) = state.nodes.get(node) else {
            return false;
        };
        let report = &known.report;
        let failed = members.iter().any(|member| {
            let count = state.failures.get(member).and_then(|by| by.get(node));
            let limit = state.config.resources.get(member);
            let fatal = state.failures.get(member).is_some_and(has_fatal);
            let counted = |r: &ResourceConfig| {
                count.is_some_and(|c| c.count >= r.failure.threshold || !c.severity.is_soft())
            };
            fatal || limit.is_some_and(counted)
        });
        let sick = members.iter().any(|member| {
            let interface = report.interfaces.get(member);
            interface.is_some_and(|i| report.sick_interfaces.contains_key(i))
        });
        let orders = orders.as_deref();
        let mut wishes = orders.iter().flat_map(|orders| &orders.wishes);
        let banned = wishes.any(|wish| wish.ban && wish.node == *node);
        known.online && !known.drained && !failed && !sick && !banned
    };
    let nodes = state.config.nodes.iter();
    nodes
        .filter(move |(node, config)| !config.witness && Some(*node) != home && able(node))
        .map(|(node, _)| node)
}
