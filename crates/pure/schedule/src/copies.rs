//! Which copies of a group run, where fewer are to run than there are nodes: the best by score, then those that run, then
//! those whose node has fewest groups. So nothing that runs is given up for an equal, and who comes back starts what is missing.
//!
//! And where the promoted role of one of them may be.
//!
//! Not for when the chosen ones start: the leader waits until those that stop have stopped (crate `cluster`).

use crate::{
    place::{Candidate, Facts, Placement, Placing, about, load},
    score::add,
};
use standfast_model::{
    copies::named,
    id::{GroupId, NodeId},
    plan::INFINITY,
};
use std::{cmp::Reverse, collections::BTreeMap};

/// The promoted role is only where a copy is that wants it: one whose agent has said a score that is not negative, as in
/// Pacemaker. The copies are placed.
pub(crate) fn follow(
    placing: &Placing<'_>,
    (role, of): (&GroupId, &GroupId),
    candidates: &mut [Candidate<'_>],
) {
    let said = placing.facts.promotion.get(role);
    for candidate in candidates {
        let node = candidate.node;
        let copy = GroupId::from(named(of.as_str(), node));
        let place = placing.placements.get(&copy);
        if place.and_then(|place| place.node.as_ref()) != Some(node) {
            candidate.exclude(format!(
                "only with a copy of {of}, and none is to run on {node}"
            ));
            continue;
        }
        match said.and_then(|said| said.get(node)) {
            Some(score) if *score >= 0 => {
                candidate.reason(*score, format!("promotion score of {copy}"));
            }
            Some(score) => {
                candidate.exclude(format!(
                    "{copy} is not to be promoted (its agent says {score})"
                ));
            }
            None => candidate.exclude(format!("{copy} has no promotion score yet")),
        }
    }
}

/// Takes the node from those copies that are too many. `placed`: each as if it were alone.
pub(crate) fn choose(
    facts: &Facts<'_>,
    hosts: &BTreeMap<GroupId, NodeId>,
    group: &GroupId,
    placed: &mut BTreeMap<GroupId, Placement>,
) {
    let most = facts.config.copies_wanted(group);
    let mut able: Vec<(&GroupId, &NodeId, i64)> = Vec::new();
    for (id, placement) in &*placed {
        if let Some(node) = &placement.node {
            let reasons = placement.reasons.iter();
            let score = reasons.fold(0, |sum, reason| add(sum, reason.score));
            able.push((id, node, score));
        }
    }
    let is_bound = |id: &GroupId| {
        let settings = facts.config.groups.get(id);
        let maintained = settings.is_some_and(|settings| facts.is_maintained(settings));
        maintained || facts.blocked.contains_key(id)
    };
    able.sort_by_key(|(id, node, score)| {
        (
            Reverse(is_bound(id)),
            Reverse((*score).min(INFINITY)),
            Reverse(facts.current.get(*id) == Some(*node)),
            load(hosts, node),
            (*node).clone(),
        )
    });
    let over = able.split_off(most.min(able.len()));
    let nodes: Vec<&str> = able.iter().map(|(_, node, _)| node.as_str()).collect();
    let text = format!(
        "no more than {most} run at once, on {}",
        nodes.join(" and ")
    );
    let over = over.into_iter().map(|(id, _, _)| id.clone());
    let over: Vec<GroupId> = over.filter(|id| !is_bound(id)).collect();
    for id in over {
        if let Some(placement) = placed.get_mut(&id) {
            placement.node = None;
            placement.reasons.insert(0, about(text.clone()));
        }
    }
}
