//! Invariant 25: of a group with copies each runs on the node that it is for, and no more nodes run one at any instant than
//! are to. Judged by what really runs, whatever any core believes. And once faults have stopped, as many run as can.

use crate::{coverage::Case, scenario::Scenario, world::World};
use standfast_cluster::Inspect;
use standfast_model::{
    config::ClusterConfig,
    copies::{node_of, written},
    id::GroupId,
};
use std::collections::BTreeSet;

/// The largest numbers of copies that have ever been in force, or on their way.
pub(crate) fn note(world: &mut World, config: &ClusterConfig) {
    for (group, copied) in &config.copies.groups {
        let most = copied.most.map_or(usize::MAX, |most| {
            usize::try_from(most).unwrap_or(usize::MAX)
        });
        let known = world.truth.most_copies.entry(group.clone()).or_default();
        *known = (*known).max(most);
    }
}

/// Something of a resource begins to run on a node.
pub(crate) fn on_start(world: &mut World, node: usize, resource: usize) {
    let name = world.scenario.resources[resource].clone();
    let Some(own) = node_of(name.as_str()) else {
        return;
    };
    if own != Scenario::node_name(node).as_str() {
        let text = format!(
            "{name} starts on n{}, which has a copy of its own",
            node + 1
        );
        world.broken(25, text);
        return;
    }
    let mut all = world.scenario.config.copies.groups.iter();
    let of = written(name.as_str());
    let group = all.find(|(_, copied)| copied.resources.keys().any(|member| member.as_str() == of));
    let Some((group, copied)) = group else { return };
    let members: BTreeSet<&str> = copied.resources.keys().map(|id| id.as_str()).collect();
    let numbers = world.scenario.resources.iter().enumerate();
    let numbers = numbers.filter(|(_, other)| members.contains(written(other.as_str())));
    let mut nodes: BTreeSet<usize> = numbers
        .flat_map(|(number, _)| world.runs_on(number))
        .collect();
    nodes.insert(node);
    let most = world.truth.most_copies.get(group).copied();
    let most = most.unwrap_or(usize::MAX);
    if nodes.len() > most {
        let group = group.clone();
        let text = format!(
            "a copy of {group} starts on n{}, and {} run at once, which are to be {most}",
            node + 1,
            nodes.len()
        );
        world.broken(25, text);
    } else if nodes.len() > 1 {
        world.hit(Case::CopyBeside);
        if most < world.nodes.len() && nodes.len() == most {
            world.hit(Case::CopyInstead);
        }
    }
}

/// Too few or too many copies that have a place, once all is well.
pub(crate) fn misplaced(world: &World, head: &Inspect<'_>) -> Option<String> {
    let config = &head.state.config;
    for group in config.copies.groups.keys() {
        let given = |copy: &GroupId| {
            let given = head.state.plan.groups.get(copy);
            given.is_some_and(|given| given.node.is_some())
        };
        let copies = config.copies_of(group);
        let (placed, spare): (Vec<_>, Vec<_>) = copies.partition(|(copy, _)| given(copy));
        let wanted = config.copies_wanted(group);
        if placed.len() != wanted {
            return Some(format!(
                "{} copies of {group} have a place, and {wanted} are to run",
                placed.len()
            ));
        }
        let left = spare.into_iter().flat_map(|(_, copy)| &copy.members);
        let mut left = left.filter_map(|member| world.resource_number(member));
        if let Some(number) = left.find(|number| world.runner(*number).is_some()) {
            return Some(format!(
                "{} is not to run",
                world.scenario.resources[number]
            ));
        }
    }
    None
}
