//! `copies` in `[groups.NAME]`: groups that run on several nodes at once. Reads the number, refuses what cannot be on two
//! nodes, and hands groups, resources and constraints over as they are written (`standfast_model::copies`).
//!
//! Not for making the copies: the model does that, also when a node joins.

use crate::{
    mistake::{Mistake, Report},
    section::{Section, integer_of, string_of, wrong_type},
};
use standfast_model::{
    agent::lacks_for_promotion,
    config::{ClusterConfig, ResourceKind},
    constraint::Colocation,
    copies::{Copied, PROMOTED, role_of},
    id::{GroupId, NodeId, ResourceId},
};
use std::{collections::BTreeMap, ops::Range};
use toml::de::DeValue;

/// What is allowed as `copies`.
const ALLOWED: &str = "1 to 16, or \"all\" for one on each node";
/// Most characters of a member's name and a node's together: they become the name of a copy, and of its folders.
const MOST_CHARACTERS: usize = 62;
/// Most resources of a cluster, each copy counted.
pub(crate) const MOST_RESOURCES: usize = 500;

/// What was written of a group's copies.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    /// So many at once; none means on every node.
    most: Option<u32>,
    /// One of them is promoted: where that stands.
    promoted: Option<(Range<usize>, String)>,
    at: Range<usize>,
    path: String,
}

/// All groups with copies, by name.
pub(crate) type AllWritten = BTreeMap<GroupId, Written>;

/// The promoted roles, by the name that constraints give them.
pub(crate) fn roles(written: &AllWritten) -> impl Iterator<Item = GroupId> {
    let promoted = written
        .iter()
        .filter(|(_, copies)| copies.promoted.is_some());
    promoted.map(|(id, _)| GroupId::from(role_of(id.as_str())))
}

/// The keys `copies` and `promoted`, if they are there.
pub(crate) fn read(table: &mut Section<'_>, report: &mut Report<'_>) -> Option<Written> {
    // A node has one copy, so more than one promoted copy would be several primaries.
    let promoted = table.integer(report, "promoted", 1..=1);
    let promoted = promoted.map(|found| (found.at, found.path));
    if let Some((at, path)) = promoted.as_ref().filter(|_| !table.has("copies")) {
        let mistake = Mistake::new(
            path,
            "a group without copies has none that could be promoted",
        );
        report.mistake(at.clone(), mistake.allowed("with `copies` beside it"));
    }
    let (value, path) = table.take("copies")?;
    let at = value.span();
    let most = match value.get_ref() {
        DeValue::String(_) => {
            let word = string_of(value, path.clone(), report)?;
            if word.value != "all" {
                let problem = format!("\"{}\" is no number of copies", word.value);
                report.mistake(at, Mistake::new(&path, problem).allowed(ALLOWED));
                return None;
            }
            None
        }
        DeValue::Integer(_) => {
            let number = integer_of(value, path.clone(), report, 1..=16)?;
            u32::try_from(number.value).ok()
        }
        DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => {
            wrong_type(report, value, &path, ALLOWED);
            return None;
        }
    };
    Some(Written {
        most,
        promoted,
        at,
        path,
    })
}

/// Takes the groups with copies out of what was read, and puts a copy for each node in their place.
pub(crate) fn spread(config: &mut ClusterConfig, written: AllWritten, report: &mut Report<'_>) {
    for (id, copies) in &written {
        check(config, (id, copies), report);
        if let Some(at) = &copies.promoted {
            check_promoted(config, id, at, report);
        }
    }
    warn_of_orders(config, &written, report);
    let size = |id: &GroupId| config.groups.get(id).map_or(0, |group| group.members.len());
    let largest = written.iter().max_by_key(|(id, _)| size(id));
    let largest = largest.map(|(_, copies)| copies.clone());
    for (id, copies) in written {
        let Some(group) = config.groups.remove(&id) else {
            continue;
        };
        let members = group.members.iter();
        let resources = members.filter_map(|member| config.resources.remove_entry(member));
        let copied = Copied {
            most: copies.most,
            promoted: copies.promoted.is_some(),
            resources: resources.collect(),
            group,
        };
        config.copies.groups.insert(id, copied);
    }
    let groups = &config.copies.groups;
    let copied = |id: &GroupId| groups.contains_key(id);
    let all = std::mem::take(&mut config.constraints.locations);
    let (with, without) = all.into_iter().partition(|(_, one)| copied(&one.group));
    config.copies.constraints.locations = with;
    config.constraints.locations = without;
    let all = std::mem::take(&mut config.constraints.colocations);
    let (with, without) = all
        .into_iter()
        .partition(|(_, one)| copied(&one.group) || copied(&one.with));
    config.copies.constraints.colocations = with;
    config.constraints.colocations = without;
    let all = std::mem::take(&mut config.constraints.sequences);
    let (with, without) = all
        .into_iter()
        .partition(|(_, one)| copied(&one.first) || copied(&one.then));
    config.copies.constraints.sequences = with;
    config.constraints.sequences = without;
    config.spread_copies();
    if let Some(largest) = largest {
        count(config, &largest, report);
    }
}

/// What cannot be on two nodes at once.
fn check(config: &ClusterConfig, (id, copies): (&GroupId, &Written), report: &mut Report<'_>) {
    let refuse = |report: &mut Report<'_>, problem: String, allowed: String| {
        let mistake = Mistake::new(&copies.path, problem);
        report.mistake(copies.at.clone(), mistake.allowed(allowed));
    };
    if config.pair.is_some() {
        refuse(
            report,
            format!("everything of a pair runs on its primary, so {id} can have no copies"),
            String::from("no `copies` in a cluster with [pair]"),
        );
    }
    let able = config.nodes.values().filter(|node| !node.witness).count();
    let most = copies.most.and_then(|most| usize::try_from(most).ok());
    if let Some(most) = most.filter(|most| *most > able) {
        let text = format!("{id} is to have {most} copies, and only {able} nodes can run one each");
        report.warning(copies.at.clone(), &copies.path, text);
    }
    let Some(group) = config.groups.get(id) else {
        return;
    };
    for member in &group.members {
        let kind = config.resources.get(member).map(|resource| &resource.kind);
        if matches!(kind, Some(ResourceKind::Vip(_))) {
            refuse(
                report,
                format!("{member} is an address, which can be on one node only"),
                String::from(
                    "members of kind process and ocf; the address in a group of its own, and a [colocation.NAME] of it with this one",
                ),
            );
        }
        if let Some(ResourceKind::Process(process)) = kind
            && let Some(agent) = process.agent.as_ref().filter(|agent| agent.outlives)
        {
            refuse(
                report,
                format!(
                    "what {} does for {member} outlives its processes (a mount, an address), and is for one node only",
                    agent.name
                ),
                String::from(
                    "agents that consist of processes; the other one in a group of its own",
                ),
            );
        }
        let length = |node: &NodeId| member.as_str().len() + node.as_str().len();
        let able = config.nodes.iter().filter(|(_, node)| !node.witness);
        let longest = able.map(|(node, _)| node).max_by_key(|node| length(node));
        if let Some(node) = longest.filter(|node| length(node) > MOST_CHARACTERS) {
            refuse(
                report,
                format!("the names {member} and {node} are too long for a copy {member}:{node}"),
                format!("at most {MOST_CHARACTERS} characters together"),
            );
        }
    }
}

/// What cannot be promoted.
fn check_promoted(
    config: &ClusterConfig,
    id: &GroupId,
    (at, path): &(Range<usize>, String),
    report: &mut Report<'_>,
) {
    let mut refuse = |problem: String, allowed: &str| {
        let mistake = Mistake::new(path, problem);
        report.mistake(at.clone(), mistake.allowed(allowed));
    };
    let members = config.groups.get(id).map(|group| &group.members);
    for member in members.into_iter().flatten() {
        let kind = config.resources.get(member).map(|resource| &resource.kind);
        let is_agent = match kind {
            Some(ResourceKind::Process(process)) => process.agent.is_some(),
            Some(ResourceKind::Vip(_)) => false,
            None => true,
        };
        if !is_agent {
            refuse(
                format!("{member} cannot be promoted: only a resource agent knows how"),
                "members of kind ocf; others in a group of their own, and a [colocation.NAME] of it with this one",
            );
        }
        if let Some(ResourceKind::Process(process)) = kind
            && let Some(agent) = &process.agent
            && let Some(lacking) = lacks_for_promotion(&agent.name)
        {
            refuse(
                format!(
                    "copies of {} are promoted by {lacking}, which are not there",
                    agent.name
                ),
                "agents that need neither, as the guide says",
            );
        }
        let needs_fencing = config
            .resources
            .get(member)
            .is_some_and(|one| one.needs_fencing);
        if needs_fencing {
            refuse(
                format!("{member} needs fencing, which is not there for promoted copies"),
                "requires = \"lease\"",
            );
        }
        if member.as_str().len() + PROMOTED.len() > MOST_CHARACTERS {
            refuse(
                format!("the name {member} is too long for its role {member}:{PROMOTED}"),
                "at most 54 characters",
            );
        }
    }
    if config.nodes.contains_key(&NodeId::from(PROMOTED)) {
        refuse(
            format!("a node is called {PROMOTED}, which is the name of the role"),
            "another name for the node",
        );
    }
}

/// An interval of promoted copies is for agents that may be promoted.
pub(crate) fn check_intervals(
    config: &ClusterConfig,
    written: &AllWritten,
    places: &BTreeMap<ResourceId, Range<usize>>,
    report: &mut Report<'_>,
) {
    for (id, resource) in &config.resources {
        let ResourceKind::Process(process) = &resource.kind else {
            continue;
        };
        let agent = process.agent.as_ref();
        let given = agent.is_some_and(|agent| agent.promoted_interval.is_some());
        let group = config.group_of(id).and_then(|group| written.get(group));
        if !given || group.is_some_and(|group| group.promoted.is_some()) {
            continue;
        }
        if let Some(at) = places.get(id) {
            let path = format!("resources.{id}.promoted_monitor_interval_ms");
            let mistake = Mistake::new(&path, format!("{id} is in no group with a promoted copy"));
            report.mistake(
                at.clone(),
                mistake.allowed("only with `promoted = 1` in its group"),
            );
        }
    }
}

/// An order between two groups with copies goes node by node: without the first one's copy a node never starts the other.
fn warn_of_orders(config: &ClusterConfig, written: &AllWritten, report: &mut Report<'_>) {
    let colocations = config.constraints.colocations.values();
    let together: Vec<_> = colocations.filter(|one| one.is_must()).collect();
    for (name, order) in &config.constraints.sequences {
        let (first, then) = (written.get(&order.first), written.get(&order.then));
        let (Some(first), Some(then)) = (first, then) else {
            continue;
        };
        let follows = |one: &&&Colocation| one.group == order.then && one.with == order.first;
        if first.most.is_none() || together.iter().any(|one| follows(&one)) {
            continue;
        }
        let (first, second) = (&order.first, &order.then);
        let text = format!(
            "order {name} goes node by node: a copy of {second} on a node without a copy of {first} waits for ever; a \
             [colocation.NAME] of {second} with {first} of score \"INFINITY\" lets it go only where one is"
        );
        report.warning(then.at.clone(), &then.path, text);
    }
}

/// Every copy counts.
fn count(config: &ClusterConfig, largest: &Written, report: &mut Report<'_>) {
    let all = config.resources.len();
    if all > MOST_RESOURCES {
        let problem = format!("{all} resources, with a copy for each node");
        let mistake = Mistake::new(&largest.path, problem);
        let allowed = format!("at most {MOST_RESOURCES}, each copy counted");
        report.mistake(largest.at.clone(), mistake.allowed(allowed));
    }
}
