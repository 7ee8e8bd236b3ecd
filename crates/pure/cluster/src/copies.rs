//! Room for copies: one that is to start waits until those that are to stop have stopped, where no more than so many may run
//! at once. And what is to run under another name than before, because its group has copies now or has none any more, waits
//! until what ran under the old one has stopped.
//!
//! Both come from who may still be running what, as the log knows it, so a lost node is waited for no longer than its leases
//! last. Not for which copies run (crate `schedule`).

use crate::stages::Stage;
use standfast_model::{
    config::ClusterConfig,
    copies::{node_of, written},
    id::{GroupId, NodeId, ResourceId},
    plan::Reason,
    state::{ClusterState, Phase},
};

/// What is known, and who is there.
type Known<'k> = (
    &'k ClusterState,
    &'k ClusterConfig,
    &'k dyn Fn(&NodeId) -> bool,
);

/// Takes the node from every group that has to wait for others to be stopped.
pub(crate) fn make_room(known: Known<'_>, stage: &mut Stage) {
    let config = known.1;
    for (group, copied) in &config.copies.groups {
        if copied.most.is_some() {
            hold_back(known, group, stage);
        }
    }
    if !known.0.removed.is_empty() {
        wait_for_renamed(known, stage);
    }
    for (role, settings) in &config.groups {
        if let Some(of) = &settings.promoted_of {
            wait_for_scores(known, (role, of), stage);
        }
    }
}

/// Nobody is promoted, where nobody is, before all copies that start for the first time have said by how much they are to be.
fn wait_for_scores(known: Known<'_>, (role, of): (&GroupId, &GroupId), stage: &mut Stage) {
    let (state, config, online) = known;
    let before = state.plan.groups.get(role).and_then(|a| a.node.as_ref());
    if before.is_some_and(online) {
        return;
    }
    let starts = |copy: &GroupId| {
        let node = stage.placements.get(copy)?.node.as_ref()?;
        let report = &state.nodes.get(node)?.report;
        let members = config.groups.get(copy)?.members.iter();
        let seen = members.map(|member| report.instances.get(member));
        let mut begins = seen.map(|seen| {
            seen.is_none_or(|seen| {
                let begins = matches!(seen.phase, Phase::Inactive | Phase::Starting);
                begins && seen.failures == 0
            })
        });
        begins.any(|begins| begins).then(|| copy.clone())
    };
    let mut copies = config.copies_of(of).map(|(copy, _)| copy);
    if let Some(copy) = copies.find_map(starts) {
        let text = format!("waits until {copy} has started and has said its promotion score");
        wait(stage, role, &text);
    }
}

/// Where a member of a group may still be running: on a node that is there, or on one that has to be fenced first.
fn may_run(known: Known<'_>, member: &ResourceId) -> bool {
    let (state, _, online) = known;
    let holders = state.may_hold.get(member);
    let mut holders = holders.into_iter().flatten();
    holders.any(|node| online(node) || state.waits_for_fencing(node, member))
}

fn has_begun(known: Known<'_>, group: &GroupId) -> bool {
    let members = known.1.groups.get(group);
    let mut members = members.into_iter().flat_map(|group| &group.members);
    members.any(|member| may_run(known, member))
}

fn hold_back(known: Known<'_>, group: &GroupId, stage: &mut Stage) {
    let config = known.1;
    let most = config.copies_wanted(group);
    let given = |stage: &Stage, copy: &GroupId| {
        let placement = stage.placements.get(copy);
        placement.is_some_and(|placement| placement.node.is_some())
    };
    let copies = config.copies_of(group).map(|(copy, _)| copy);
    let (there, new): (Vec<&GroupId>, Vec<&GroupId>) =
        copies.partition(|copy| has_begun(known, copy));
    let new: Vec<&GroupId> = new.into_iter().filter(|new| given(stage, new)).collect();
    let room = most.saturating_sub(there.len());
    // One that is held back for now has its node still, and is to stop all the same.
    let leaves = |copy: &&&GroupId| stage.held.contains(**copy) || !given(stage, copy);
    let first = there.iter().find(leaves);
    let first = first.map_or_else(|| format!("another copy of {group}"), ToString::to_string);
    let text = format!("waits until {first} is stopped: no more than {most} run at once");
    for copy in new.into_iter().skip(room) {
        wait(stage, copy, &text);
    }
}

/// What is in the configuration under another name now, and may still be running under the old one.
fn wait_for_renamed(known: Known<'_>, stage: &mut Stage) {
    let (state, config, _) = known;
    let is_copy = |id: &ResourceId| node_of(id.as_str()).is_some();
    for (group, settings) in &config.groups {
        // A role waits for what its copies wait for.
        if settings.promoted_of.is_some() || has_begun(known, group) {
            continue;
        }
        let before = |member: &ResourceId| {
            let mut removed = state.removed.keys().filter(|old| {
                written(old.as_str()) == written(member.as_str()) && is_copy(old) != is_copy(member)
            });
            removed.find(|old| may_run(known, old))
        };
        if let Some(old) = settings.members.iter().find_map(before) {
            wait(stage, group, &format!("waits until {old} is stopped"));
        }
    }
}

fn wait(stage: &mut Stage, group: &GroupId, text: &str) {
    if let Some(placement) = stage.placements.get_mut(group)
        && placement.node.take().is_some()
    {
        let turn = Reason {
            node: None,
            score: 0,
            text: text.to_owned(),
        };
        placement.reasons.insert(0, turn);
    }
}
