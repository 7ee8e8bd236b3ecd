//! Constraints between two groups: colocations and orders as they are written here.
//!
//! Not for which groups become one: see `constraints`.

use standfast_scheduler::score::{self, INFINITY};

use crate::{
    clones,
    constraints::{Follows, Together},
    draft::{Between, Draft, PROMOTED},
    names::Names,
    write::{score_value, text_value},
};

/// The names of two groups by ids, if they are not the same one.
fn ends(draft: &mut Draft, what: &str, (one, other): (&str, &str)) -> Option<(String, String)> {
    let (first, second) = (draft.group_of(one)?, draft.group_of(other)?);
    if first == second {
        return None;
    }
    for (at, id) in [(first, one), (second, other)] {
        let id = id.strip_suffix(PROMOTED).unwrap_or(id);
        let group = draft.groups.get(at)?;
        let (name, all) = (group.name.clone(), group.members.len());
        let mut parts = group.parts.iter();
        let whole = parts.any(|(whole, members)| whole == id && members.len() == all);
        if all > 1 && !whole {
            let text = format!("about all of group {name} here, where {id} is a part of it");
            draft.changed(what, &text);
        }
    }
    let name = |at: usize, id: &str| {
        let role = if id.ends_with(PROMOTED) { PROMOTED } else { "" };
        let group = draft.groups.get(at)?;
        Some(format!("{}{role}", group.name))
    };
    Some((name(first, one)?, name(second, other)?))
}

/// Whether somebody comes from one group to another by what is written already.
fn leads(all: &[Between], from: &str, to: &str) -> bool {
    let mut open = vec![from];
    let mut seen = Vec::new();
    while let Some(group) = open.pop() {
        if group == to {
            return true;
        }
        if seen.contains(&group) {
            continue;
        }
        seen.push(group);
        let next = all.iter().filter(|one| one.ends.0 == group);
        open.extend(next.map(|one| one.ends.1.as_str()));
    }
    false
}

fn fresh(all: &[Between], id: &str) -> String {
    let mut names = Names::default();
    for one in all {
        names.fresh(&one.name);
    }
    names.fresh(id)
}

fn score_of(one: &Between) -> i32 {
    let mut keys = one.keys.iter();
    let score = keys.find(|(key, _)| *key == "score");
    score.map_or(0, |(_, value)| match value.as_str() {
        "\"INFINITY\"" => INFINITY,
        "\"-INFINITY\"" => -INFINITY,
        number => number.parse().unwrap_or(0),
    })
}

/// Writes a colocation.
pub(crate) fn colocate(one: &Together, draft: &mut Draft) {
    let ids = (one.dependent.as_str(), one.primary.as_str());
    let Some((group, with)) = ends(draft, &one.what, ids) else {
        return draft.not_needed(&one.what, "members of a group are together");
    };
    let keys = |score: i32| {
        vec![
            ("group", text_value(&group)),
            ("with", text_value(&with)),
            ("score", score_value(score)),
        ]
    };
    let same = (group.clone(), with.clone());
    let comment = format!("By {}.", one.what);
    let mut known = draft.colocations.iter_mut();
    if let Some(known) = known.find(|known| known.ends == same) {
        known.keys = keys(score::add(score_of(known), one.score));
        if !known.comments.contains(&comment) {
            known.comments.push(comment);
        }
        return;
    }
    if one.score > 0 && must_be_together(&draft.colocations, &group, &with) {
        return draft.not_needed(&one.what, "they have to be together by others");
    }
    if leads(&draft.colocations, &with, &group) {
        let reason =
            format!("{with} follows {group} already, and one of them has to be placed first");
        return draft.not_expressed(&one.what, &reason);
    }
    if one.score <= -INFINITY && must_be_together(&draft.colocations, &group, &with) {
        let reason = format!("{group} and {with} have to be together by others");
        return draft.not_expressed(&one.what, &reason);
    }
    let parted = |known: &&Between| score_of(known) <= -INFINITY;
    let apart: Vec<(String, String)> = draft
        .colocations
        .iter()
        .filter(parted)
        .map(|known| known.ends.clone())
        .collect();
    let written = Between {
        name: fresh(&draft.colocations, &one.id),
        comments: vec![comment],
        ends: same,
        keys: keys(one.score),
    };
    draft.colocations.push(written);
    let broken = |(one, other): &(String, String)| must_be_together(&draft.colocations, one, other);
    if apart.iter().any(broken) {
        draft.colocations.pop();
        let reason = "others keep apart what would have to be together by this";
        draft.not_expressed(&one.what, reason);
    }
}

/// Whether two groups have to be on one node.
fn must_be_together(all: &[Between], one: &str, other: &str) -> bool {
    let must: Vec<&Between> = all
        .iter()
        .filter(|known| score_of(known) >= INFINITY)
        .collect();
    let mut found = vec![one];
    let mut next = 0;
    while let Some(group) = found.get(next).copied() {
        next += 1;
        let ends = must.iter().map(|known| (&known.ends.0, &known.ends.1));
        let near = ends.filter_map(|(a, b)| match group {
            group if group == a => Some(b.as_str()),
            group if group == b => Some(a.as_str()),
            _ => None,
        });
        let new: Vec<&str> = near.filter(|near| !found.contains(near)).collect();
        found.extend(new);
    }
    found.contains(&other)
}

/// Writes an order.
pub(crate) fn follow(one: &Follows, draft: &mut Draft) {
    let ids = (one.first.as_str(), one.then.as_str());
    let Some((first, then)) = ends(draft, &one.what, ids) else {
        return;
    };
    let same = (first.clone(), then.clone());
    let comment = format!("By {}.", one.what);
    let mut keys = vec![("first", text_value(&first)), ("then", text_value(&then))];
    if one.optional {
        keys.push(("kind", text_value("optional")));
    }
    if one.one_way {
        keys.push(("symmetrical", String::from("false")));
    }
    let mut known = draft.orders.iter_mut();
    if let Some(known) = known.find(|known| known.ends == same) {
        // The stronger one says it all.
        if keys.len() < known.keys.len() {
            known.keys = keys;
        }
        if !known.comments.contains(&comment) {
            known.comments.push(comment);
        }
        return;
    }
    if leads(&draft.orders, &then, &first) {
        let reason =
            format!("{then} starts before {first} by others, and none of them could start");
        return draft.not_expressed(&one.what, &reason);
    }
    let group = |name: &String| draft.groups.iter().find(|group| group.name == *name);
    if let (Some(before), Some(after)) = (group(&first), group(&then))
        && let Some(text) = clones::of_order(before, after)
    {
        draft.changed(&one.what, &text);
    }
    let written = Between {
        name: fresh(&draft.orders, &one.id),
        comments: vec![comment],
        ends: same,
        keys,
    };
    draft.orders.push(written);
}
