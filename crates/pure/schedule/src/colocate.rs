//! Colocation: groups that are placed with respect to where others are, as Pacemaker does it.
//!
//! The one that follows is placed after the one it is to be with or apart from, and hears where that one is
//! ([`follow`]). Before, that one has heard where its followers would like to be and where they cannot be ([`hear`]), each
//! wish scaled by the constraint's share of infinity, so that it does not go where those cannot follow that must.
//!
//! Where several copies of a group are, each of their nodes is as good to be with.
//!
//! Not for when something starts: that is the leader's work, in crate `cluster`.

use crate::{
    place::{Candidate, Facts, Placing, able, about, prefer},
    score::add,
};
use standfast_model::{
    config::{ClusterConfig, GroupConfig},
    constraint::Colocation,
    copies::written,
    id::{GroupId, NodeId},
    plan::{INFINITY, Reason},
};
use std::collections::BTreeSet;

/// Those that a group is placed with respect to.
pub(crate) fn followed_by<'f>(
    config: &'f ClusterConfig,
    group: &GroupId,
) -> impl Iterator<Item = &'f GroupId> {
    let colocations = config.constraints.colocations.values();
    colocations
        .filter(move |colocation| colocation.group == *group)
        .map(|colocation| &colocation.with)
}

/// What follows from where those are that a group is to be with or apart from. All of them are placed.
pub(crate) fn follow(placing: &Placing<'_>, group: &GroupId, candidates: &mut [Candidate<'_>]) {
    let config = placing.facts.config;
    let colocations = config.constraints.colocations.iter();
    let mut seen = BTreeSet::new();
    for (name, colocation) in colocations.filter(|(_, one)| one.group == *group) {
        let name = written(name);
        let place = placing.placements.get(&colocation.with);
        let node = place.and_then(|placement| placement.node.as_ref());
        let copy = config.copy_of(&colocation.with);
        let several = config.copy_of(group).is_none() && colocation.score > 0;
        if let Some(copy) = copy.filter(|_| several) {
            if seen.insert(&copy.group) {
                near_any(placing, (name, colocation), &copy.group, candidates);
            }
            continue;
        }
        match node {
            Some(node) => near(name, colocation, node, candidates),
            None => near_nothing(name, colocation, candidates),
        }
    }
}

fn near(name: &str, colocation: &Colocation, there: &NodeId, candidates: &mut [Candidate<'_>]) {
    let Colocation { with, score, .. } = colocation;
    for candidate in candidates {
        let same = candidate.node == there;
        if same && *score > 0 {
            let text = format!("colocation {name}: with {with}, which is on {there}");
            candidate.reason(*score, text);
        } else if same {
            let text = format!("colocation {name}: apart from {with}, which is on {there}");
            candidate.reason(*score, text);
        } else if colocation.is_must() {
            let text = format!("colocation {name}: only with {with}, which is on {there}");
            candidate.exclude(text);
        }
    }
}

/// With one of the copies of a group, wherever they are.
fn near_any(
    placing: &Placing<'_>,
    (name, colocation): (&str, &Colocation),
    with: &GroupId,
    candidates: &mut [Candidate<'_>],
) {
    let copies = placing.facts.config.copies_of(with);
    let placed = copies.filter_map(|(copy, _)| placing.placements.get(copy)?.node.as_ref());
    let there: Vec<&NodeId> = placed.collect();
    let names: Vec<&str> = there.iter().map(|node| node.as_str()).collect();
    for candidate in candidates {
        if there.contains(&candidate.node) {
            let text = format!("colocation {name}: with a copy of {with}");
            candidate.reason(colocation.score, text);
        } else if colocation.is_must() {
            let text = if there.is_empty() {
                format!("colocation {name}: only with {with}, which runs nowhere")
            } else {
                let names = names.join(" and ");
                format!("colocation {name}: only with {with}, which is on {names}")
            };
            candidate.exclude(text);
        }
    }
}

/// Nothing is apart from what runs nowhere. What would rather be with it is no better off on any node.
fn near_nothing(name: &str, colocation: &Colocation, candidates: &mut [Candidate<'_>]) {
    if !colocation.is_must() {
        return;
    }
    let with = &colocation.with;
    for candidate in candidates {
        candidate.exclude(format!(
            "colocation {name}: only with {with}, which runs nowhere"
        ));
    }
}

/// What those would like that follow a group, and those that follow them. What would leave no node for it is not heard.
pub(crate) fn hear(
    facts: &Facts<'_>,
    (id, group): (&GroupId, &GroupConfig),
    candidates: &mut [Candidate<'_>],
    about_group: &mut Vec<Reason>,
) {
    let liked = |candidate: &Candidate<'_>| {
        let prefers = group.prefer.get(candidate.node).copied();
        add(candidate.score(), prefers.unwrap_or(0))
    };
    let mut table = Table {
        nodes: candidates.iter().map(|one| one.node.clone()).collect(),
        scores: candidates.iter().map(liked).collect(),
        wishes: vec![Vec::new(); candidates.len()],
    };
    let colocations = facts.config.constraints.colocations.iter();
    for (name, colocation) in colocations.filter(|(_, one)| one.with == *id) {
        let name = written(name);
        let mut seen = BTreeSet::from([id.clone()]);
        if !table.gather(facts, (name, colocation), 1, &mut seen) {
            let follower = &colocation.group;
            about_group.push(about(format!(
                "colocation {name}: {follower} can be nowhere that {id} can be, and does not count"
            )));
        }
    }
    for (candidate, wishes) in candidates.iter_mut().zip(table.wishes) {
        for wish in wishes {
            candidate.target |= wish.target;
            if candidate.eligible() || wish.score > 0 {
                candidate.reason(wish.score, wish.text);
            }
        }
    }
}

/// What a follower makes of a node.
#[derive(Clone)]
struct Wish {
    score: i64,
    text: String,
    /// An operator asked for it to be there, and it can be nowhere else.
    target: bool,
}

/// A group's nodes while wishes are added: the sum so far, and the wishes.
#[derive(Clone)]
struct Table {
    nodes: Vec<NodeId>,
    scores: Vec<i64>,
    wishes: Vec<Vec<Wish>>,
}

impl Table {
    /// Whether some node is left. As long as one is no bad place, a wish that would leave only bad ones leaves none.
    fn has_left(&self, before: &Self) -> bool {
        let best = |table: &Self| table.scores.iter().max().copied().unwrap_or(-INFINITY);
        if best(before) >= 0 {
            best(self) >= 0
        } else {
            best(self) > -INFINITY || best(before) <= -INFINITY
        }
    }

    /// Adds what a follower would like, and then what those would like that follow it: each as far as it leaves a node.
    /// `sign`: of what is between. Over a chain, as in Pacemaker, the sign of what is before counts, and not its size.
    fn gather(
        &mut self,
        facts: &Facts<'_>,
        (name, colocation): (&str, &Colocation),
        sign: i64,
        seen: &mut BTreeSet<GroupId>,
    ) -> bool {
        let follower = &colocation.group;
        let Some(settings) = facts.config.groups.get(follower) else {
            return true;
        };
        if !seen.insert(follower.clone()) || facts.disabled_by(follower).is_some() {
            return true;
        }
        let score = colocation.score.saturating_mul(sign);
        let own = own(facts, follower, settings);
        let mut work = self.clone();
        for (at, node) in self.nodes.iter().enumerate() {
            let Some(candidate) = own.iter().find(|candidate| candidate.node == node) else {
                continue;
            };
            let likes = candidate.score();
            let more = if score < 0 && likes < 0 {
                0
            } else {
                scaled(likes, score)
            };
            let target = candidate.target && score >= INFINITY;
            if more == 0 && !target {
                continue;
            }
            let text = format!("colocation {name}: {}", said(follower, candidate));
            if let Some(sum) = work.scores.get_mut(at) {
                *sum = add(*sum, more);
            }
            if let Some(wishes) = work.wishes.get_mut(at) {
                let score = more;
                wishes.push(Wish {
                    score,
                    text,
                    target,
                });
            }
        }
        if !work.has_left(self) {
            return false;
        }
        let further = facts.config.constraints.colocations.iter();
        for (name, one) in further.filter(|(_, one)| one.with == *follower) {
            work.gather(facts, (written(name), one), score.signum(), seen);
        }
        *self = work;
        true
    }
}

/// What a group makes of the nodes by itself. One that is left alone stays where it is.
fn own<'f>(facts: &'f Facts<'_>, id: &GroupId, group: &GroupConfig) -> Vec<Candidate<'f>> {
    let stuck = facts.blocked.get(id).map(|(node, _)| node);
    let maintained = facts.current.get(id).filter(|_| facts.is_maintained(group));
    let mut candidates = able(facts, id, group);
    if stuck.is_none() && !facts.is_maintained(group) {
        for candidate in &mut candidates {
            prefer(facts, id, group, false, candidate);
        }
        return candidates;
    }
    let Some(node) = stuck.or(maintained) else {
        return Vec::new();
    };
    candidates.retain(|candidate| candidate.node == node);
    for candidate in &mut candidates {
        candidate.reasons.clear();
        candidate.reason(INFINITY, format!("it stays on {node}"));
    }
    candidates
}

/// The share of a wish that counts over a constraint: never nothing.
fn scaled(wish: i64, score: i64) -> i64 {
    let wish = wish.clamp(-INFINITY, INFINITY);
    let score = score.clamp(-INFINITY, INFINITY);
    let product = wish.saturating_mul(score);
    let half = INFINITY / 2;
    let rounded = (product.saturating_add(half * product.signum())) / INFINITY;
    if rounded == 0 {
        product.signum()
    } else {
        rounded
    }
}

/// What a follower makes of a node, as an operator would say it.
fn said(follower: &GroupId, candidate: &Candidate<'_>) -> String {
    let node = candidate.node;
    let against = candidate.reasons.iter().find(|r| r.score <= -INFINITY);
    let decides = candidate
        .reasons
        .iter()
        .max_by_key(|reason| reason.score.unsigned_abs());
    match (against, decides) {
        (Some(reason), _) => format!("{follower} cannot be on {node} ({})", reason.text),
        (None, Some(reason)) => format!("{follower} counts {node} too ({})", reason.text),
        (None, None) => format!("{follower} counts {node} too"),
    }
}

/// A switchover that was asked for a group itself, or for one that can be nowhere but with it.
pub(crate) fn asked<'f>(
    facts: &'f Facts<'_>,
    group: &'f GroupId,
) -> Option<(&'f GroupId, Option<&'f NodeId>)> {
    let mut seen = BTreeSet::from([group]);
    let mut open = vec![group];
    while let Some(one) = open.pop() {
        if let Some(target) = facts.moves.get(one) {
            return Some((one, target.as_ref()));
        }
        for colocation in facts.config.constraints.colocations.values() {
            let follower = &colocation.group;
            let settings = facts.config.groups.get(follower);
            let free = settings.is_some_and(|settings| !facts.is_maintained(settings))
                && facts.disabled_by(follower).is_none();
            if colocation.with == *one && colocation.is_must() && free && seen.insert(follower) {
                open.push(follower);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_counts_by_the_share_of_infinity_and_never_nothing() {
        assert_eq!(scaled(INFINITY, 500), 500);
        assert_eq!(scaled(-INFINITY, INFINITY), -INFINITY);
        assert_eq!(scaled(100, INFINITY), 100);
        assert_eq!(scaled(100, -INFINITY), -100);
        assert_eq!(scaled(100, 15_000), 2);
        assert_eq!(scaled(100, 500), 1);
        assert_eq!(scaled(-100, 500), -1);
        assert_eq!(scaled(0, 500), 0);
    }
}
