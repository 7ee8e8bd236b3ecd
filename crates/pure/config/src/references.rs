//! `[groups.NAME]` and what names something else: members, preferred nodes, the groups that resources
//! without one get.

use crate::{
    copies::{self, AllWritten},
    mistake::{Mistake, Report},
    section::{Found as Text, Section, check_name, integer_of, string_of, strings_of, wrong_type},
};
use standfast_model::{
    config::{GroupConfig, NodeConfig},
    id::{GroupId, NodeId, ResourceId},
    plan::INFINITY,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};
use toml::{Spanned, de::DeValue};

/// What has been found so far that other parts refer to, right or wrong: a resource with a mistake in
/// it exists all the same.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Every resource with its place.
    pub(crate) resources: BTreeMap<ResourceId, Range<usize>>,
    /// Resources with `maintenance = true`.
    pub(crate) maintained: BTreeSet<ResourceId>,
    /// Every address of a `vip` in normal form, with its key and place.
    pub(crate) vip_addresses: Vec<(String, String, Range<usize>)>,
    /// Groups that have copies.
    pub(crate) copies: AllWritten,
    /// The group that names each resource.
    grouped: BTreeMap<ResourceId, GroupId>,
}

type Nodes = BTreeMap<NodeId, NodeConfig>;

pub(crate) fn read_groups(
    section: Option<Section<'_>>,
    report: &mut Report<'_>,
    nodes: &Nodes,
    found: &mut Found,
) -> BTreeMap<GroupId, GroupConfig> {
    let mut groups = BTreeMap::new();
    for (name, value) in section.iter().flat_map(Section::entries) {
        check_name(report, &name.at, &name.path, &name.value);
        let id = GroupId::from(name.value);
        let mut group = GroupConfig {
            stickiness: INFINITY,
            ..GroupConfig::default()
        };
        if let Some(table) = Section::of(value, name.path, report) {
            read_group(table, report, (&id, &mut group), nodes, found);
        }
        groups.insert(id, group);
    }
    add_groups_of_their_own(&mut groups, report, found);
    groups
}

fn read_group(
    mut table: Section<'_>,
    report: &mut Report<'_>,
    (id, group): (&GroupId, &mut GroupConfig),
    nodes: &Nodes,
    found: &mut Found,
) {
    for member in table.required_strings(report, "members") {
        read_member(member, report, (id, group), found);
    }
    if let Some((value, path)) = table.take("prefer") {
        read_preferences(value, &path, report, group, nodes);
    }
    let finite = 1 - INFINITY..=INFINITY - 1;
    if let Some(priority) = table.integer(report, "priority", finite) {
        group.priority = priority.value;
    }
    if let Some((value, path)) = table.take("stickiness")
        && let Some(score) = score_of(value, path, report, 0)
    {
        group.stickiness = score;
    }
    if let Some(copies) = copies::read(&mut table, report) {
        found.copies.insert(id.clone(), copies);
    }
    let own = table.boolean(report, "maintenance").unwrap_or(false);
    group.maintenance = own || group.members.iter().any(|m| found.maintained.contains(m));
    table.finish(report);
}

fn read_member(
    member: Text<String>,
    report: &mut Report<'_>,
    (id, group): (&GroupId, &mut GroupConfig),
    found: &mut Found,
) {
    let resource = ResourceId::from(member.value.as_str());
    if !found.resources.contains_key(&resource) {
        let known: Vec<&str> = found.resources.keys().map(ResourceId::as_str).collect();
        let mistake = Mistake::new(&member.path, format!("no resource \"{resource}\""));
        report.mistake(member.at, mistake.names(&member.value, &known));
        return;
    }
    if let Some(other) = found.grouped.insert(resource.clone(), id.clone()) {
        let problem = format!("{resource} is a member of group {other} already");
        let mistake = Mistake::new(&member.path, problem);
        report.mistake(
            member.at,
            mistake.allowed("each resource in at most one group, once"),
        );
        return;
    }
    group.members.push(resource);
}

/// Either a list, best first, or a table with a score for each.
fn read_preferences(
    value: &Spanned<DeValue<'_>>,
    path: &str,
    report: &mut Report<'_>,
    group: &mut GroupConfig,
    nodes: &Nodes,
) {
    if matches!(value.get_ref(), DeValue::Array(_)) {
        let list = strings_of(value, path, report).unwrap_or_default();
        // The last gets 100, and each before it 100 more.
        let scores = (1..).map(|rank: i64| rank * 100);
        for (name, score) in list.into_iter().rev().zip(scores) {
            prefer(name, score, report, group, nodes);
        }
    } else if matches!(value.get_ref(), DeValue::Table(_)) {
        let table = Section::of(value, path.to_owned(), report);
        for (name, value) in table.iter().flat_map(Section::entries) {
            if let Some(score) = score_of(value, name.path.clone(), report, -INFINITY) {
                prefer(name, score, report, group, nodes);
            }
        }
    } else {
        wrong_type(
            report,
            value,
            path,
            "a list of nodes, best first, or a table with a score for each",
        );
    }
}

fn prefer(
    name: Text<String>,
    score: i64,
    report: &mut Report<'_>,
    group: &mut GroupConfig,
    nodes: &Nodes,
) {
    let able: Vec<&str> = nodes
        .iter()
        .filter(|(_, node)| !node.witness)
        .map(|(id, _)| id.as_str())
        .collect();
    let id = NodeId::from(name.value.as_str());
    match nodes.get(&id) {
        None => {
            let mistake = Mistake::new(&name.path, format!("no node \"{id}\""));
            report.mistake(name.at, mistake.names(&name.value, &able));
        }
        Some(node) if node.witness => {
            let mistake = Mistake::new(&name.path, format!("{id} is a witness and runs nothing"));
            report.mistake(name.at, mistake.allowed(able.join(", ")));
        }
        Some(_) => {
            if group.prefer.insert(id.clone(), score).is_some() {
                report.mistake(
                    name.at,
                    Mistake::new(&name.path, format!("{id} is named twice")),
                );
            }
        }
    }
}

/// A score: a number, or the word for the one that decides alone.
pub(crate) fn score_of(
    value: &Spanned<DeValue<'_>>,
    path: String,
    report: &mut Report<'_>,
    least: i64,
) -> Option<i64> {
    if !matches!(value.get_ref(), DeValue::String(_)) {
        return integer_of(value, path, report, least..=INFINITY).map(|found| found.value);
    }
    let word = string_of(value, path, report)?;
    match word.value.as_str() {
        "INFINITY" | "+INFINITY" => Some(INFINITY),
        "-INFINITY" if least < 0 => Some(-INFINITY),
        _ => {
            let mistake = Mistake::new(&word.path, format!("\"{}\" is no score", word.value));
            let allowed = format!("{least} to {INFINITY}, or \"INFINITY\"");
            report.mistake(word.at, mistake.allowed(allowed));
            None
        }
    }
}

fn add_groups_of_their_own(
    groups: &mut BTreeMap<GroupId, GroupConfig>,
    report: &mut Report<'_>,
    found: &Found,
) {
    for (resource, at) in &found.resources {
        if found.grouped.contains_key(resource) {
            continue;
        }
        let id = GroupId::from(resource.as_str());
        if groups.contains_key(&id) {
            let problem = format!(
                "it is in no group, so it would get one of its own name, but group {id} is something else"
            );
            let mistake = Mistake::new(&format!("resources.{resource}"), problem);
            report.mistake(
                at.clone(),
                mistake.allowed("membership in a group, or another name"),
            );
            continue;
        }
        let group = GroupConfig {
            members: vec![resource.clone()],
            stickiness: INFINITY,
            maintenance: found.maintained.contains(resource),
            ..GroupConfig::default()
        };
        groups.insert(id, group);
    }
}
