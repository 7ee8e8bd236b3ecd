//! `[colocation.NAME]` and `[order.NAME]`: which groups are to be together or apart, and which start after others.
//!
//! Not for what members of a group have in common: they are always together, and start in order. Not for `[location.NAME]`,
//! which is about one group and nodes (`location`).

use crate::{
    location,
    mistake::{Mistake, Report},
    references::score_of,
    section::{Found, Section, check_name},
};
use standfast_model::{
    config::NodeConfig,
    constraint::{Colocation, Constraints, Sequence},
    id::{GroupId, NodeId},
    plan::INFINITY,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

/// Most constraints of one kind.
const MOST: usize = 500;

/// What constraints may name.
pub(crate) type Groups = BTreeSet<GroupId>;

/// Places of names that are right so far: key, where, from which group, to which.
type Links = Vec<(String, Range<usize>, GroupId, GroupId)>;

pub(crate) fn read(
    root: &mut Section<'_>,
    report: &mut Report<'_>,
    groups: &Groups,
    nodes: &BTreeMap<NodeId, NodeConfig>,
) -> Constraints {
    let locations = root.section(report, "location");
    let colocations = root.section(report, "colocation");
    let orders = root.section(report, "order");
    Constraints {
        locations: location::read(locations, report, groups, nodes),
        colocations: read_colocations(colocations, report, groups),
        sequences: read_orders(orders, report, groups),
    }
}

fn read_orders(
    section: Option<Section<'_>>,
    report: &mut Report<'_>,
    groups: &Groups,
) -> BTreeMap<String, Sequence> {
    let mut found: BTreeMap<String, Sequence> = BTreeMap::new();
    let mut links = Links::new();
    for (name, value) in named(section.as_ref(), report) {
        let Some(mut table) = Section::of(value, name.path, report) else {
            continue;
        };
        let pair = two_groups(&mut table, ("first", "then"), report, groups);
        let kinds = [("mandatory", false), ("optional", true)];
        let optional = table.choice(report, "kind", &kinds);
        let symmetrical = table.boolean(report, "symmetrical");
        table.finish(report);
        let Some((first, then)) = pair else { continue };
        let sequence = Sequence {
            first: first.value,
            then: then.value,
            optional: optional.unwrap_or_default(),
            one_way: symmetrical == Some(false),
        };
        let same =
            |known: &Sequence| (&known.first, &known.then) == (&sequence.first, &sequence.then);
        if let Some((other, _)) = found.iter().find(|(_, known)| same(known)) {
            let problem = format!("order {other} is about the same two groups");
            report.mistake(then.at, Mistake::new(&then.path, problem));
            continue;
        }
        links.push((
            then.path,
            then.at,
            sequence.first.clone(),
            sequence.then.clone(),
        ));
        found.insert(name.value, sequence);
    }
    let circle = |path: &str| format!("in a circle: {path}; none of them could start");
    in_a_circle(&links, report, &circle);
    found
}

fn read_colocations(
    section: Option<Section<'_>>,
    report: &mut Report<'_>,
    groups: &Groups,
) -> BTreeMap<String, Colocation> {
    let mut found = BTreeMap::new();
    let mut links = Links::new();
    for (name, value) in named(section.as_ref(), report) {
        let Some(mut table) = Section::of(value, name.path, report) else {
            continue;
        };
        let score = table
            .required(report, "score")
            .and_then(|(value, path)| score_of(value, path, report, -INFINITY));
        let pair = two_groups(&mut table, ("group", "with"), report, groups);
        table.finish(report);
        let (Some(score), Some((group, with))) = (score, pair) else {
            continue;
        };
        let colocation = Colocation {
            group: group.value,
            with: with.value,
            score,
        };
        let ends = (colocation.group.clone(), colocation.with.clone());
        let other = found.iter().find(|(_, known): &(_, &Colocation)| {
            (&known.group, &known.with) == (&colocation.group, &colocation.with)
        });
        if let Some((other, _)) = other {
            let problem = format!("colocation {other} is about the same two groups");
            report.mistake(with.at, Mistake::new(&with.path, problem));
            continue;
        }
        links.push((with.path, with.at, ends.0, ends.1));
        found.insert(name.value, colocation);
    }
    let circle = |path: &str| format!("in a circle: {path}; one of them has to be placed first");
    if !in_a_circle(&links, report, &circle) {
        contradictions(&found, &links, report);
    }
    found
}

/// The tables of a section, by name.
pub(crate) fn named<'t>(
    section: Option<&Section<'t>>,
    report: &mut Report<'_>,
) -> Vec<(Found<String>, &'t toml::Spanned<toml::de::DeValue<'t>>)> {
    let Some(section) = section else {
        return Vec::new();
    };
    let entries: Vec<_> = section.entries().collect();
    if entries.len() > MOST {
        let mistake = Mistake::new(&section.path, format!("has {} entries", entries.len()));
        report.mistake(
            section.at.clone(),
            mistake.allowed(format!("at most {MOST}")),
        );
        return Vec::new();
    }
    for (name, _) in &entries {
        check_name(report, &name.at, &name.path, &name.value);
    }
    entries
}

/// A group that exists.
pub(crate) fn group_named(
    table: &mut Section<'_>,
    key: &'static str,
    report: &mut Report<'_>,
    groups: &Groups,
) -> Option<Found<GroupId>> {
    let name = table.required_string(report, key)?;
    let id = GroupId::from(name.value.as_str());
    if !groups.contains(&id) {
        let known: Vec<&str> = groups.iter().map(GroupId::as_str).collect();
        let mistake = Mistake::new(&name.path, format!("no group \"{id}\""));
        report.mistake(name.at, mistake.names(&name.value, &known));
        return None;
    }
    Some(Found {
        value: id,
        at: name.at,
        path: name.path,
    })
}

/// Two groups that exist and are not the same one.
fn two_groups(
    table: &mut Section<'_>,
    keys: (&'static str, &'static str),
    report: &mut Report<'_>,
    groups: &Groups,
) -> Option<(Found<GroupId>, Found<GroupId>)> {
    let one = group_named(table, keys.0, report, groups);
    let other = group_named(table, keys.1, report, groups);
    let (one, other) = (one?, other?);
    if one.value == other.value {
        let problem = format!("{} is \"{}\" already", keys.0, one.value);
        let mistake = Mistake::new(&other.path, problem).allowed("another group");
        report.mistake(other.at, mistake);
        return None;
    }
    Some((one, other))
}

/// Reports the last link of each circle that begins a new one.
fn in_a_circle(links: &Links, report: &mut Report<'_>, problem: &dyn Fn(&str) -> String) -> bool {
    let mut known: BTreeMap<&GroupId, Vec<&GroupId>> = BTreeMap::new();
    let mut any = false;
    for (path, at, from, to) in links {
        if let Some(way) = way(&known, to, from) {
            let names: Vec<&str> = way.iter().map(|group| group.as_str()).collect();
            let circle = format!("{from}, {}", names.join(", "));
            report.mistake(at.clone(), Mistake::new(path, problem(&circle)));
            any = true;
            continue;
        }
        known.entry(from).or_default().push(to);
    }
    any
}

/// How to come from one group to another.
fn way<'l>(
    links: &BTreeMap<&'l GroupId, Vec<&'l GroupId>>,
    from: &'l GroupId,
    to: &GroupId,
) -> Option<Vec<&'l GroupId>> {
    let mut before: BTreeMap<&GroupId, &GroupId> = BTreeMap::new();
    let mut seen = BTreeSet::from([from]);
    let mut open = vec![from];
    while let Some(group) = open.pop() {
        if group == to {
            let mut way = vec![group];
            while let Some(previous) = way.last().and_then(|last| before.get(last)) {
                way.push(previous);
            }
            way.reverse();
            return Some(way);
        }
        for next in links.get(group).into_iter().flatten() {
            if seen.insert(next) {
                before.insert(next, group);
                open.push(next);
            }
        }
    }
    None
}

/// Two groups that have to be together by some and apart by another.
fn contradictions(found: &BTreeMap<String, Colocation>, links: &Links, report: &mut Report<'_>) {
    let must: Vec<(&String, &Colocation)> = found.iter().filter(|(_, c)| c.is_must()).collect();
    for colocation in found.values().filter(|c| c.score <= -INFINITY) {
        let (together, by) = all_with(&colocation.group, &must);
        if !together.contains(&colocation.with) {
            continue;
        }
        let same = |(_, _, group, with): &&(_, _, GroupId, GroupId)| {
            (group, with) == (&colocation.group, &colocation.with)
        };
        if let Some((path, at, group, with)) = links.iter().find(same) {
            let by: Vec<&str> = by.into_iter().collect();
            let problem = format!(
                "{group} and {with} have to be together by {}, and apart by this",
                by.join(", ")
            );
            report.mistake(at.clone(), Mistake::new(path, problem));
        }
    }
}

/// All that have to be where one group is, and by which constraints.
fn all_with<'c>(
    group: &'c GroupId,
    must: &[(&'c String, &'c Colocation)],
) -> (BTreeSet<&'c GroupId>, BTreeSet<&'c str>) {
    let mut together = BTreeSet::from([group]);
    let mut by = BTreeSet::new();
    loop {
        let before = together.len();
        for (name, one) in must {
            let ends = [&one.group, &one.with];
            if ends.iter().any(|end| together.contains(end)) {
                together.extend(ends);
                by.insert(name.as_str());
            }
        }
        if together.len() == before {
            return (together, by);
        }
    }
}
