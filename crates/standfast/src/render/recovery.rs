//! What is said before a new cluster is made from one node, or from a backup.
//!
//! Not for making it.

use super::text::{count, length, utc};
use crate::cli::Head;
use standfast_cluster::{Survey, longest_lease};
use standfast_model::{
    id::{GroupId, NodeId},
    state::ClusterState,
};
use std::collections::BTreeSet;

/// What a surviving node knows.
pub(crate) fn what_is_known(node: &str, survey: &Survey) -> String {
    let state = &survey.state;
    format!(
        "{node} knows cluster {} up to entry {} of term {}; the last decision in it is of {}.",
        state.cluster_id,
        state.applied,
        survey.term,
        last_decision(state)
    )
}

/// What a backup holds.
pub(crate) fn backup_title(head: &Head, state: &ClusterState) -> String {
    format!(
        "Backup of cluster {}, made by {} at {}: configuration {}, up to entry {}; the last decision in it is of {}.",
        state.cluster_id,
        head.node,
        utc(head.wall_ms),
        state.config_version,
        state.applied,
        last_decision(state)
    )
}

fn last_decision(state: &ClusterState) -> String {
    let last = state.journal.back().map(|entry| utc(entry.wall_ms));
    last.unwrap_or_else(|| String::from("no known time"))
}

/// The title and what to mind.
pub(crate) fn text(title: &str, notes: &[String]) -> String {
    let notes: String = notes.iter().map(|note| format!("  - {note}\n")).collect();
    format!("{title}\n\nBefore you go on:\n{notes}")
}

/// What may be lost, and what has to be so, when one node goes on alone.
pub(crate) fn losses(node: &str, survey: &Survey) -> Vec<String> {
    let mut notes = Vec::new();
    for (other, index) in &survey.ahead {
        notes.push(format!(
            "{other} has acknowledged entry {index}, {node} has only {}: if {other}'s disk still works, recover there instead",
            survey.state.applied
        ));
    }
    let others = others(&survey.state, node);
    if !others.is_empty() {
        notes.push(must_be_off(&others));
    }
    notes.push(format!(
        "lost is whatever was decided without {node} after that entry: changes of the configuration, moves, drains"
    ));
    if survey.uncertain > 0 {
        notes.push(format!(
            "{} taken over although {node} does not know that the cluster ever decided so",
            match survey.uncertain {
                1 => String::from("1 entry is"),
                n => format!("{n} entries are"),
            }
        ));
    }
    notes.extend(waits(&survey.state, node));
    notes.push(String::from(
        "the new cluster has an identity and keys of its own: what comes back of the old one is not let in, and has to join anew",
    ));
    let witness = survey.state.config.nodes.get(&NodeId::from(node));
    if witness.is_some_and(|config| config.witness) {
        notes.push(format!(
            "{node} is a witness: it runs nothing until other nodes have joined"
        ));
    }
    notes
}

/// The same for a backup.
pub(crate) fn restored(head: &Head, state: &ClusterState) -> Vec<String> {
    let others = others(state, "");
    let mut notes = vec![must_be_off(&others)];
    notes.push(format!(
        "lost is whatever was decided after {}: changes of the configuration, moves, drains, joins",
        utc(head.wall_ms)
    ));
    notes.extend(waits(state, ""));
    notes.push(String::from(
        "the data of services is not in a backup of the cluster: bring it back by their own means before the agent starts",
    ));
    notes
}

fn must_be_off(others: &BTreeSet<&NodeId>) -> String {
    let names: Vec<&str> = others.iter().map(|node| node.as_str()).collect();
    format!(
        "{} must be off, or cut off for good: if a majority of the old cluster still runs, it goes on, and what it runs then runs twice",
        names.join(" and ")
    )
}

fn others<'s>(state: &'s ClusterState, node: &str) -> BTreeSet<&'s NodeId> {
    let members = state.members.values().map(|info| &info.node);
    members.filter(|other| other.as_str() != node).collect()
}

fn waits(state: &ClusterState, node: &str) -> Option<String> {
    let away: Vec<String> = state
        .plan
        .groups
        .iter()
        .filter_map(|(group, assignment)| {
            let home = assignment.node.as_ref()?;
            (home.as_str() != node).then(|| on(group, home))
        })
        .collect();
    if away.is_empty() {
        return None;
    }
    let wait = length(longest_lease(state));
    let what = count(away.len(), "group");
    Some(format!(
        "{what} ran elsewhere ({}): it starts anew when the agent has waited {wait} for the leases that the lost nodes may still have",
        away.join(", ")
    ))
}

fn on(group: &GroupId, node: &NodeId) -> String {
    format!("{group} on {node}")
}
