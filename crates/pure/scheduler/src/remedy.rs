//! What would have to change for a resource to be on a node: tried, not guessed.
//!
//! All changes that might help are imagined at once, and decided. If the resource ends up on the node, changes are
//! taken back for as long as it stays there: what is left is enough, and nothing of it can be left out. Not for changing anything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::input::{
    Cluster, Constraint, History, Kind, Location, NodeState, OrderEnd, Record, Resource,
};
use crate::outcome::Outcome;
use crate::score::INFINITY;
use crate::simulate::simulate;

/// A node with what it would take to be there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elsewhere {
    /// Node.
    pub node: String,
    /// The resource ends up there as things are.
    pub there: bool,
    /// Changes that together bring it there, as sentences; none if nothing was found that does.
    pub changes: Option<Vec<String>>,
}

/// So many constraints at most are tried; in larger clusters those that name the resource come first.
const TRIED: usize = 200;

/// What would have to change for a resource to be on each node.
#[must_use]
pub fn elsewhere(input: &Cluster, resource: &str) -> Vec<Elsewhere> {
    let found = find(&input.resources, resource, &mut Vec::new());
    let Some(family) = found else {
        return Vec::new();
    };
    let as_it_is = simulate(input);
    // What is enough on one node is often enough on the next one, or nearly.
    let mut guess = None;
    let mut told = Vec::new();
    for node in &input.nodes {
        let wanted = Wanted {
            input,
            family: &family,
            node: &node.name,
            guess,
        };
        let there = wanted.is_in(&as_it_is);
        let changes = if there { None } else { wanted.least() };
        let preferred = changes.iter().flatten().find_map(|change| {
            if let Change::Preferred(score) = change {
                Some(*score)
            } else {
                None
            }
        });
        guess = preferred.or(guess);
        let said =
            |changes: Vec<Change>| changes.iter().map(|change| wanted.said(change)).collect();
        told.push(Elsewhere {
            node: node.name.clone(),
            there,
            changes: changes.map(said),
        });
    }
    told
}

/// A resource with what is around it and in it.
struct Family {
    id: String,
    /// The primitives that have to be there: of a group the first one.
    primitives: Vec<String>,
    /// The resource, all that is in it and all that it is in.
    names: BTreeSet<String>,
}

fn find(resources: &[Resource], id: &str, around: &mut Vec<String>) -> Option<Family> {
    for resource in resources {
        if resource.id == id {
            let mut names: BTreeSet<String> = around.iter().cloned().collect();
            let mut primitives = Vec::new();
            collect(resource, &mut names, &mut primitives);
            if resource.kind == Kind::Group {
                primitives.truncate(1);
            }
            return Some(Family {
                id: id.to_owned(),
                primitives,
                names,
            });
        }
        around.push(resource.id.clone());
        if let Some(found) = find(&resource.children, id, around) {
            return Some(found);
        }
        around.pop();
    }
    None
}

fn collect(resource: &Resource, names: &mut BTreeSet<String>, primitives: &mut Vec<String>) {
    names.insert(resource.id.clone());
    if resource.children.is_empty() {
        primitives.push(resource.id.clone());
    }
    for child in &resource.children {
        collect(child, names, primitives);
    }
}

/// One thing that might be otherwise. The order is that of taking back: what would be the greatest change comes first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    Quorum,
    NoFencing,
    OthersMayRun(String),
    Without(String),
    Room,
    OptionOff(&'static str),
    Managed,
    MayRun,
    Forgotten,
    ForgottenHere,
    Healthy,
    NoMaintenance,
    NoStandby,
    Online,
    Preferred(i32),
}

struct Wanted<'w> {
    input: &'w Cluster,
    family: &'w Family,
    node: &'w str,
    /// A preference that may be nearly what is needed.
    guess: Option<i32>,
}

impl Wanted<'_> {
    /// Whether it ends up there with these changes.
    fn holds(&self, changes: &[Change]) -> bool {
        let mut cluster = self.input.clone();
        for change in changes {
            self.apply(change, &mut cluster);
        }
        self.is_in(&simulate(&cluster))
    }

    fn is_in(&self, outcome: &Outcome) -> bool {
        self.family.primitives.iter().any(|primitive| {
            let mut rows = outcome.resources.iter();
            rows.any(|row| row.resource == *primitive && row.node.as_deref() == Some(self.node))
        })
    }

    /// Enough changes of which none can be left out.
    fn least(&self) -> Option<Vec<Change>> {
        let preferred = [Change::Preferred(INFINITY)];
        let mut changes = if self.holds(&preferred) {
            preferred.to_vec()
        } else {
            let all = self.candidates();
            if !self.holds(&all) {
                return None;
            }
            self.without_the_rest(all)
        };
        let others: Vec<Change> = changes
            .iter()
            .filter(|c| !matches!(c, Change::Preferred(_)))
            .cloned()
            .collect();
        if others.len() < changes.len() {
            changes = others;
            let least = self.least_preference(&changes);
            changes.push(Change::Preferred(least));
        }
        Some(changes)
    }

    /// Takes back halves, then quarters and so on, and in the end each change alone.
    fn without_the_rest(&self, mut changes: Vec<Change>) -> Vec<Change> {
        let mut size = changes.len().div_ceil(2);
        loop {
            changes = self.without_pieces(changes, size);
            if size <= 1 {
                return changes;
            }
            size = size.div_ceil(2);
        }
    }

    /// Takes back every piece of a size that is not needed.
    fn without_pieces(&self, mut changes: Vec<Change>, size: usize) -> Vec<Change> {
        let mut at = 0;
        while at < changes.len() {
            let before = changes.iter().take(at);
            let behind = changes.iter().skip(at + size);
            let rest: Vec<Change> = before.chain(behind).cloned().collect();
            if self.holds(&rest) {
                changes = rest;
            } else {
                at += size;
            }
        }
        changes
    }

    /// The smallest preference that is enough with the other changes. Looked for around the guess first, in steps that double.
    fn least_preference(&self, others: &[Change]) -> i32 {
        let enough = |score| {
            let changes: Vec<Change> = others
                .iter()
                .cloned()
                .chain([Change::Preferred(score)])
                .collect();
            self.holds(&changes)
        };
        let (mut little, mut much) = (0, INFINITY);
        let mut try_next = self.guess.filter(|guess| (1..INFINITY).contains(guess));
        let mut step = 1;
        while let Some(score) = try_next {
            if enough(score) {
                much = score;
            } else {
                little = score;
            }
            let next = if much < INFINITY {
                much - step
            } else {
                little.saturating_add(step)
            };
            step *= 2;
            try_next = Some(next).filter(|next| *next > little && *next < much);
        }
        // Nothing short of INFINITY may be.
        if much == INFINITY && !enough(INFINITY - 1) {
            return INFINITY;
        }
        much = much.min(INFINITY - 1);
        while much - little > 1 {
            let middle = i32::midpoint(little, much);
            if enough(middle) {
                much = middle;
            } else {
                little = middle;
            }
        }
        much
    }

    /// Everything that might help and is not so already.
    fn candidates(&self) -> Vec<Change> {
        let input = self.input;
        let mut all = vec![
            Change::NoFencing,
            Change::Room,
            Change::OptionOff("maintenance-mode"),
            Change::OptionOff("stop-all-resources"),
            Change::Managed,
            Change::MayRun,
            Change::Forgotten,
            Change::ForgottenHere,
            Change::Healthy,
            Change::NoMaintenance,
            Change::NoStandby,
            Change::Online,
            Change::Preferred(INFINITY),
        ];
        if !input.have_quorum {
            all.push(Change::Quorum);
        }
        let (constraints, others) = self.related();
        all.extend(constraints.into_iter().take(TRIED).map(Change::Without));
        all.extend(others.into_iter().take(TRIED).map(Change::OthersMayRun));
        let changes = |change: &Change| {
            let mut cluster = input.clone();
            self.apply(change, &mut cluster);
            cluster != *input
        };
        all.retain(changes);
        all.sort();
        all
    }

    /// Constraints that have to do with the resource, near ones first, and the resources that they name.
    fn related(&self) -> (Vec<String>, Vec<String>) {
        let (mut ids, mut names) = (Vec::new(), self.family.names.clone());
        loop {
            let before = (ids.len(), names.len());
            self.relate(&mut ids, &mut names);
            if before == (ids.len(), names.len()) {
                break;
            }
        }
        let others = names.difference(&self.family.names);
        (ids, others.cloned().collect())
    }

    /// Adds the constraints that name one of these resources, and the resources that they tie to them.
    fn relate(&self, ids: &mut Vec<String>, names: &mut BTreeSet<String>) {
        for constraint in &self.input.constraints {
            let (id, ends, spreads) = parts(constraint);
            let concerns = ends.iter().any(|end| names.contains(*end));
            if concerns && !ids.iter().any(|known| known == id) {
                ids.push(id.to_owned());
            }
            if concerns && spreads {
                names.extend(ends.into_iter().map(str::to_owned));
            }
        }
    }

    fn apply(&self, change: &Change, cluster: &mut Cluster) {
        match change {
            Change::Quorum => cluster.have_quorum = true,
            Change::NoFencing => {
                let devices = cluster.resources.iter().any(is_device);
                if !devices {
                    set(&mut cluster.options, "stonith-enabled", "false");
                }
            }
            Change::OthersMayRun(id) => {
                may_run(&mut cluster.resources, &|known| known == id);
            }
            Change::Without(id) => cluster.constraints.retain(|known| parts(known).0 != id),
            Change::Room => self.make_room(cluster),
            Change::OptionOff(name) => {
                if cluster.options.contains_key(*name) {
                    cluster.options.remove(*name);
                }
            }
            Change::Managed => managed(&mut cluster.resources, &self.family.names),
            Change::MayRun => {
                may_run(&mut cluster.resources, &|id| self.family.names.contains(id));
            }
            Change::Forgotten => {
                cluster
                    .states
                    .iter_mut()
                    .for_each(|state| self.forget(state));
            }
            Change::ForgottenHere => {
                if let Some(state) = self.state_in(cluster) {
                    self.forget(state);
                }
            }
            Change::Healthy => self.drop_attributes(cluster, &|name| name.starts_with("#health")),
            Change::NoMaintenance => self.drop_attributes(cluster, &|name| name == "maintenance"),
            Change::NoStandby => self.drop_attributes(cluster, &|name| name == "standby"),
            Change::Online => self.bring_online(cluster),
            Change::Preferred(score) => cluster.constraints.push(Constraint::Location(Location {
                id: String::from("(preferred)"),
                resource: self.family.id.clone(),
                scores: vec![(self.node.to_owned(), *score)],
                ..Location::default()
            })),
        }
    }

    fn make_room(&self, cluster: &mut Cluster) {
        let needed: BTreeSet<String> = needs(&cluster.resources);
        let node = cluster.nodes.iter_mut().find(|node| node.name == self.node);
        if let Some(node) = node.filter(|_| {
            cluster
                .options
                .get("placement-strategy")
                .is_some_and(|s| s != "default")
        }) {
            node.capacity = needed
                .into_iter()
                .map(|name| (name, i32::MAX / 2))
                .collect();
        }
    }

    fn state_in<'c>(&self, cluster: &'c mut Cluster) -> Option<&'c mut NodeState> {
        let node = cluster.nodes.iter().find(|node| node.name == self.node)?;
        let (id, name) = (node.id.clone(), node.name.clone());
        let states = &mut cluster.states;
        let at = states
            .iter()
            .position(|state| state.id == id || state.name == name);
        at.and_then(|at| states.get_mut(at))
    }

    fn drop_attributes(&self, cluster: &mut Cluster, which: &dyn Fn(&str) -> bool) {
        let node = cluster.nodes.iter_mut().find(|node| node.name == self.node);
        if let Some(node) = node {
            node.attributes.retain(|name, _| !which(name));
        }
        if let Some(state) = self.state_in(cluster) {
            state.attributes.retain(|name, _| !which(name));
        }
    }

    fn bring_online(&self, cluster: &mut Cluster) {
        if self.state_in(cluster).is_none() {
            let node = cluster.nodes.iter().find(|node| node.name == self.node);
            let state = node.map(|node| NodeState {
                id: node.id.clone(),
                name: node.name.clone(),
                ..NodeState::default()
            });
            cluster.states.extend(state);
        }
        let Some(state) = self.state_in(cluster) else {
            return;
        };
        let up = |value: &Option<String>, words: &[&str]| {
            value.as_deref().is_some_and(|value| words.contains(&value))
        };
        let joined = up(&state.in_ccm, &["true", "1"])
            && up(&state.crmd, &["online"])
            && up(&state.join, &["member"])
            && !state.attributes.contains_key("shutdown");
        if joined {
            return;
        }
        let given = |text: &str| Some(text.to_owned());
        state.in_ccm = given("true");
        state.crmd = given("online");
        state.join = given("member");
        state.expected = given("member");
        state.attributes.remove("shutdown");
    }

    /// As a cleanup would: counts, and results that were not expected.
    fn forget(&self, state: &mut NodeState) {
        let ours = |name: &str| {
            let name = name.split('#').next().unwrap_or(name);
            let name = name.rsplit_once(':').map_or(name, |(base, _)| base);
            self.family.names.contains(name)
        };
        state.attributes.retain(|name, _| {
            let counted = name
                .strip_prefix("fail-count-")
                .or(name.strip_prefix("last-failure-"));
            !counted.is_some_and(ours)
        });
        for history in &mut state.history {
            if ours(&history.resource) && history.operations.iter().any(failed) {
                let kept: &mut History = Arc::make_mut(history);
                kept.operations.retain(|record| !failed(record));
            }
        }
    }

    fn said(&self, change: &Change) -> String {
        let (id, node) = (&self.family.id, self.node);
        match change {
            Change::Quorum => String::from("there is quorum"),
            Change::NoFencing => {
                String::from("there is a fence device, or fencing is switched off")
            }
            Change::OthersMayRun(other) => format!("{other} may run (its target-role)"),
            Change::Without(constraint) => format!("without the constraint {constraint}"),
            Change::Room => format!("{node} has more room"),
            Change::OptionOff(name) => format!("{name} is not set"),
            Change::Managed => format!("{id} is managed and not in maintenance"),
            Change::MayRun => format!("{id} may run (its target-role)"),
            Change::Forgotten => format!("failures of {id} are forgotten on all nodes (cleanup)"),
            Change::ForgottenHere => format!("failures of {id} on {node} are forgotten (cleanup)"),
            Change::Healthy => format!("{node} is healthy"),
            Change::NoMaintenance => format!("{node} is not in maintenance"),
            Change::NoStandby => format!("{node} is not in standby"),
            Change::Online => format!("{node} is online"),
            Change::Preferred(score) if *score >= INFINITY => {
                format!("{id} prefers {node} by INFINITY more")
            }
            Change::Preferred(score) => format!("{id} prefers {node} by {score} more"),
        }
    }
}

/// A result that nobody expected, or one that is kept only because it failed.
fn failed(record: &Record) -> bool {
    let unexpected = record
        .expected
        .is_some_and(|expected| expected != record.rc);
    record.id.ends_with("_last_failure_0") || (unexpected && record.call >= 0)
}

/// Id of a constraint, the resources that it names, and whether it ties them to each other.
fn parts(constraint: &Constraint) -> (&str, Vec<&str>, bool) {
    match constraint {
        Constraint::Location(location) => (&location.id, vec![&location.resource], false),
        Constraint::Colocation(colocation) => (
            &colocation.id,
            vec![&colocation.dependent, &colocation.primary],
            true,
        ),
        Constraint::Order(order) => {
            let ends = [&order.first, &order.then];
            let named = ends.into_iter().filter_map(|end| match end {
                OrderEnd::Resource(id, _) => Some(id.as_str()),
                OrderEnd::AnyOf(_) => None,
            });
            (&order.id, named.collect(), true)
        }
        Constraint::Ticket(ticket) => (&ticket.id, vec![&ticket.resource], false),
    }
}

fn is_device(resource: &Resource) -> bool {
    let [class, _, _] = &resource.agent;
    class == "stonith" || resource.children.iter().any(is_device)
}

fn set(values: &mut BTreeMap<String, String>, name: &str, value: &str) {
    values.insert(name.to_owned(), value.to_owned());
}

fn may_run(resources: &mut [Resource], which: &dyn Fn(&str) -> bool) {
    for resource in resources {
        let stopped = resource.meta.get("target-role");
        if which(&resource.id) && stopped.is_some_and(|role| role.eq_ignore_ascii_case("stopped")) {
            resource.meta.remove("target-role");
        }
        may_run(&mut resource.children, which);
    }
}

fn managed(resources: &mut [Resource], which: &BTreeSet<String>) {
    for resource in resources {
        if which.contains(&resource.id) {
            resource.meta.remove("is-managed");
            resource.meta.remove("maintenance");
        }
        managed(&mut resource.children, which);
    }
}

fn needs(resources: &[Resource]) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for resource in resources {
        all.extend(resource.utilization.keys().cloned());
        all.extend(needs(&resource.children));
    }
    all
}
