//! Invariant 7: once faults stop, the cluster settles at the scheduler's placement within a bounded
//! time (`world::settle::BOUND`).

use crate::{
    invariants::{copies, turns},
    node::{Agent, Machine},
    scenario::MOST_VOTERS,
    world::World,
};
use standfast_cluster::Inspect;
use standfast_model::{id::GroupId, plan::PlanNumber};

/// Why the cluster has not settled; `None` when it has.
pub(crate) fn unsettled(world: &World) -> Option<String> {
    let mut seen: Vec<(usize, Inspect<'_>)> = Vec::new();
    for (number, node) in world.nodes.iter().enumerate() {
        if node.machine == Machine::Absent && !node.joining {
            continue;
        }
        let up = node.machine == Machine::On && node.agent == Agent::Running;
        match &node.core {
            Some(core) if up => seen.push((number, core.inspect())),
            _ => return Some(format!("n{} is not up", number + 1)),
        }
    }
    let leaders: Vec<usize> = seen
        .iter()
        .filter(|(_, each)| each.leads.is_some())
        .map(|(node, _)| *node)
        .collect();
    let [leader] = leaders.as_slice() else {
        return Some(format!("{} nodes lead", leaders.len()));
    };
    let (_, head) = seen.iter().find(|(node, _)| node == leader)?;
    for (node, each) in &seen {
        if (each.term, each.applied) != (head.term, head.applied) {
            return Some(format!(
                "n{} is at term {} index {}, the leader at {} {}",
                node + 1,
                each.term,
                each.applied,
                head.term,
                head.applied
            ));
        }
        let votes = head
            .state
            .members
            .get(&each.member)
            .is_some_and(|member| member.voter);
        let full = head
            .state
            .members
            .values()
            .filter(|member| member.voter)
            .count()
            >= MOST_VOTERS;
        if !(votes || full) || !each.votes {
            return Some(format!("n{} ({}) does not vote", node + 1, each.member));
        }
    }
    misplaced(world, head)
}

fn misplaced(world: &World, head: &Inspect<'_>) -> Option<String> {
    if let Some((name, _)) = head.state.nodes.iter().find(|(_, known)| known.drained) {
        return Some(format!("{name} is drained"));
    }
    if !head.state.orders.is_empty() || !head.state.maintenance.is_empty() {
        return Some("something is ordered".to_owned());
    }
    if !world.is_original(&head.state.config) {
        return Some("the configuration is not the one from the beginning".to_owned());
    }
    for group in head.state.config.groups.keys() {
        let Some(place) = head
            .state
            .plan
            .groups
            .get(group)
            .and_then(|assignment| assignment.node.as_ref())
        else {
            if head.state.config.copy_of(group).is_some() || waits_for_score(head, group) {
                continue;
            }
            return Some(format!(
                "{group} has no place in plan {}",
                head.state.plan.number
            ));
        };
        let settings = head.state.config.groups.get(group)?;
        for resource in &settings.members {
            let number = world.resource_number(resource)?;
            let mut runs = world.runs_on(number);
            let here = runs.next().map(crate::scenario::Scenario::node_name);
            if here.as_ref() != Some(place) {
                return Some(format!(
                    "{resource} belongs on {place} and runs on {here:?}"
                ));
            }
        }
    }
    copies::misplaced(world, head).or_else(|| turns::misplaced(world))
}

/// Whether no copy that runs is to be promoted, so that nobody is, and nothing that has to be with or after who is.
fn waits_for_score(head: &Inspect<'_>, group: &GroupId) -> bool {
    let state = head.state;
    let role = |group: &GroupId| {
        let settings = state.config.groups.get(group);
        settings.is_some_and(|settings| settings.promoted_of.is_some())
    };
    let mut before = state.config.constraints.colocations.values();
    let follows = before.find(|one| one.group == *group && role(&one.with));
    let role = follows.map_or(group, |one| &one.with);
    let promoted = state.config.groups.get(role);
    promoted.is_some_and(|settings| settings.promoted_of.is_some())
        && !state.nodes.keys().any(|node| {
            let score = state.promotion_score(role, node);
            score.is_some_and(|score| score >= 0)
        })
}

/// The leader's plan.
pub(crate) fn plan_in_force(world: &World) -> PlanNumber {
    let leader = world
        .leader()
        .and_then(|leader| world.nodes[leader].core.as_ref());
    leader.map_or(PlanNumber::default(), |core| {
        core.inspect().state.plan.number
    })
}
