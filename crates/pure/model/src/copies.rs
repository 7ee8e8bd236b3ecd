//! Groups with copies (Pacemaker: clones): such a group is written once and runs on several nodes at once.
//!
//! Each node that can run something has a copy of its own, `web:alpha` of `nginx:alpha`: a group like any other, with its
//! own lease, plan entry, failures and history, that is never placed on another node. So two copies on one node cannot
//! be, nothing ever moves because something else did, and what is true of exclusive groups is true of each copy. Names
//! have no `:` in them otherwise.
//!
//! One of the copies may have the promoted role (`promoted = 1`). The role is a group too, `db:promoted` of
//! `postgres:promoted`: exclusive, with a lease of its own, and only where a copy of `db` is. So what keeps an exclusive
//! resource from running twice keeps two copies from being promoted.
//!
//! Here is the one place where copies come from: [`ClusterConfig::spread_copies`]. Not for which of them run: that is
//! placement (crate `schedule`), and that there are never more than there may be is the leader's turns (crate `cluster`).

use crate::{
    config::{ClusterConfig, GroupConfig, ResourceConfig, ResourceKind, Role},
    constraint::{Colocation, Constraints, Location, Sequence},
    id::{GroupId, NodeId, ResourceId},
    order::Orders,
    plan::INFINITY,
    state::ClusterState,
};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, collections::BTreeMap};

/// Stands between the name of what was written and the node of the copy.
pub const BETWEEN: char = ':';
/// Stands where a copy has its node: the role that one of the copies has. No node of such a cluster may be called so.
pub const PROMOTED: &str = "promoted";

/// All groups with copies, as they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copies {
    /// The groups, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<GroupId, Copied>,
    /// The constraints that name one of them.
    #[serde(default, skip_serializing_if = "Constraints::is_empty")]
    pub constraints: Constraints,
}

/// One group with copies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copied {
    /// So many run at once; none means on every node.
    pub most: Option<u32>,
    /// One of them has the promoted role.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub promoted: bool,
    /// Its settings, with the scores of all nodes.
    pub group: GroupConfig,
    /// Its members.
    pub resources: BTreeMap<ResourceId, ResourceConfig>,
}

/// What a copy is one of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyOf {
    /// The group as it is written.
    pub group: GroupId,
    /// The node that this copy is for.
    pub node: NodeId,
}

impl Copies {
    /// There are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }
}

/// The name as it is written: of a copy of `nginx` it is `nginx`.
#[must_use]
pub fn written(name: &str) -> &str {
    name.split_once(BETWEEN)
        .map_or(name, |(written, _)| written)
}

/// The node that a copy is for, by its name; none where it is no copy.
#[must_use]
pub fn node_of(name: &str) -> Option<&str> {
    let (_, node) = name.split_once(BETWEEN)?;
    (node != PROMOTED).then_some(node)
}

/// Whether a name stands in a file, and was not made from one that does.
#[must_use]
pub fn is_written(name: &str) -> bool {
    !name.contains(BETWEEN)
}

/// Whether it is the promoted role of something, by its name.
#[must_use]
pub fn is_role(name: &str) -> bool {
    name.split_once(BETWEEN)
        .is_some_and(|(_, role)| role == PROMOTED)
}

/// The name of the promoted role.
#[must_use]
pub fn role_of(name: &str) -> String {
    format!("{}{BETWEEN}{PROMOTED}", written(name))
}

/// The name of a copy.
#[must_use]
pub fn named(name: &str, node: &NodeId) -> String {
    format!("{name}{BETWEEN}{node}")
}

impl ClusterConfig {
    /// Makes the copies anew: one of each group for every node that can run something. What is there already stays what it is.
    pub fn spread_copies(&mut self) {
        self.resources.retain(|id, _| is_written(id.as_str()));
        self.groups.retain(|id, _| is_written(id.as_str()));
        let constraints = &mut self.constraints;
        constraints.locations.retain(|name, _| is_written(name));
        constraints.colocations.retain(|name, _| is_written(name));
        constraints.sequences.retain(|name, _| is_written(name));
        if self.copies.is_empty() {
            return;
        }
        let nodes = self.nodes.iter().filter(|(_, node)| !node.witness);
        let nodes: Vec<NodeId> = nodes.map(|(node, _)| node.clone()).collect();
        let copies = self.copies.clone();
        for node in &nodes {
            for (group, copied) in &copies.groups {
                self.add_copy((group, copied), node);
            }
        }
        for (group, copied) in copies.groups.iter().filter(|(_, one)| one.promoted) {
            self.add_role(group, copied);
        }
        for (name, one) in &copies.constraints.locations {
            self.spread_location(name, one, &nodes);
        }
        for (name, one) in &copies.constraints.colocations {
            self.spread_colocation(name, one, &nodes);
        }
        for (name, one) in &copies.constraints.sequences {
            self.spread_sequence(name, one, &nodes);
        }
    }

    /// The promoted role, as a group of its own.
    fn add_role(&mut self, id: &GroupId, copied: &Copied) {
        let at_once = self.copies_at_once(copied);
        for (resource, settings) in &copied.resources {
            let mut settings = settings.clone();
            tell_agent(&mut settings, at_once, Some(Role::Promoted));
            let name = ResourceId::from(role_of(resource.as_str()));
            self.resources.insert(name, settings);
        }
        let of = &copied.group;
        let members = of.members.iter();
        let group = GroupConfig {
            members: members
                .map(|member| ResourceId::from(role_of(member.as_str())))
                .collect(),
            promoted_of: Some(id.clone()),
            ..of.clone()
        };
        self.groups
            .insert(GroupId::from(role_of(id.as_str())), group);
    }

    fn copies_at_once(&self, copied: &Copied) -> u32 {
        let able = self.nodes.values().filter(|node| !node.witness).count();
        let able = u32::try_from(able).unwrap_or(u32::MAX);
        copied.most.map_or(able, |most| most.min(able))
    }

    fn add_copy(&mut self, (id, copied): (&GroupId, &Copied), node: &NodeId) {
        // The name would be the role's.
        if copied.promoted && node.as_str() == PROMOTED {
            return;
        }
        let at_once = self.copies_at_once(copied);
        let role = copied.promoted.then_some(Role::Unpromoted);
        for (resource, settings) in &copied.resources {
            let mut settings = settings.clone();
            tell_agent(&mut settings, at_once, role);
            let name = ResourceId::from(named(resource.as_str(), node));
            self.resources.insert(name, settings);
        }
        let of = &copied.group;
        let members = of.members.iter();
        let prefer = of.prefer.get(node).map(|score| (node.clone(), *score));
        let group = GroupConfig {
            members: members
                .map(|member| ResourceId::from(named(member.as_str(), node)))
                .collect(),
            prefer: prefer.into_iter().collect(),
            copy: Some(CopyOf {
                group: id.clone(),
                node: node.clone(),
            }),
            ..of.clone()
        };
        let name = GroupId::from(named(id.as_str(), node));
        self.groups.insert(name, group);
    }

    /// A group or, where it has copies, the one of that node.
    fn on(&self, group: &GroupId, node: &NodeId) -> GroupId {
        if self.copies.groups.contains_key(group) {
            GroupId::from(named(group.as_str(), node))
        } else {
            group.clone()
        }
    }

    fn spread_location(&mut self, name: &str, one: &Location, nodes: &[NodeId]) {
        for node in nodes {
            let copy = Location {
                group: self.on(&one.group, node),
                ..one.clone()
            };
            let locations = &mut self.constraints.locations;
            locations.insert(named(name, node), copy);
        }
    }

    /// Of two groups with copies, those of one node belong together.
    fn spread_colocation(&mut self, name: &str, one: &Colocation, nodes: &[NodeId]) {
        for node in nodes {
            let copy = Colocation {
                group: self.on(&one.group, node),
                with: self.on(&one.with, node),
                score: one.score,
            };
            let colocations = &mut self.constraints.colocations;
            colocations.insert(named(name, node), copy);
        }
    }

    fn spread_sequence(&mut self, name: &str, one: &Sequence, nodes: &[NodeId]) {
        for node in nodes {
            let copy = Sequence {
                first: self.on(&one.first, node),
                then: self.on(&one.then, node),
                ..one.clone()
            };
            let sequences = &mut self.constraints.sequences;
            sequences.insert(named(name, node), copy);
        }
    }

    /// What a group is a copy of.
    #[must_use]
    pub fn copy_of(&self, group: &GroupId) -> Option<&CopyOf> {
        self.groups.get(group)?.copy.as_ref()
    }

    /// The copies of a group, by node.
    pub fn copies_of<'c>(
        &'c self,
        group: &GroupId,
    ) -> impl Iterator<Item = (&'c GroupId, &'c GroupConfig)> + use<'c> {
        let group = group.clone();
        let of = move |copy: &CopyOf| copy.group == group;
        let groups = self.groups.iter();
        groups.filter(move |(_, settings)| settings.copy.as_ref().is_some_and(&of))
    }

    /// How many copies of a group run at once where everything is well: on nodes that its scores do not exclude.
    #[must_use]
    pub fn copies_wanted(&self, group: &GroupId) -> usize {
        let excluded = |id: &GroupId, group: &GroupConfig| {
            let node = group.copy.as_ref().map(|copy| &copy.node);
            let mut located = node
                .into_iter()
                .flat_map(|node| self.locations_on(id, node));
            group.prefer.values().any(|score| *score <= -INFINITY)
                || located.any(|(_, location)| location.score <= -INFINITY)
        };
        let all = self
            .copies_of(group)
            .filter(|(id, copy)| !excluded(id, copy));
        let all = all.count();
        let most = self.copies.groups.get(group).and_then(|copied| copied.most);
        most.map_or(all, |most| all.min(usize::try_from(most).unwrap_or(all)))
    }

    /// Whether there is a group of that name: one that has copies, one of them, or any other.
    #[must_use]
    pub fn has_group(&self, group: &GroupId) -> bool {
        self.groups.contains_key(group) || self.copies.groups.contains_key(group)
    }

    /// All resources as they are written.
    pub fn written_resources(&self) -> impl Iterator<Item = (&ResourceId, &ResourceConfig)> {
        let single = self.resources.iter();
        let single = single.filter(|(id, _)| node_of(id.as_str()).is_none());
        let copied = self.copies.groups.values();
        single.chain(copied.flat_map(|copied| &copied.resources))
    }

    /// Whether a resource, as it is written, is a member of a group one copy of which is promoted.
    #[must_use]
    pub fn is_promotable(&self, resource: &ResourceId) -> bool {
        let mut groups = self.copies.groups.values();
        groups.any(|group| group.promoted && group.resources.contains_key(resource))
    }

    /// All settings of resources, wherever they stand: as they are written, and each copy's.
    pub fn every_resource_mut(&mut self) -> impl Iterator<Item = &mut ResourceConfig> {
        let copied = self.copies.groups.values_mut();
        let copied = copied.flat_map(|copied| copied.resources.values_mut());
        self.resources.values_mut().chain(copied)
    }

    /// All groups as they are written.
    pub fn written_groups(&self) -> impl Iterator<Item = &GroupId> {
        let single = self.groups.iter().filter(|(_, group)| group.copy.is_none());
        let single = single.map(|(id, _)| id);
        single.chain(self.copies.groups.keys())
    }
}

/// What an agent is told of the copies.
fn tell_agent(settings: &mut ResourceConfig, at_once: u32, role: Option<Role>) {
    if let ResourceKind::Process(process) = &mut settings.kind
        && let Some(agent) = &mut process.agent
    {
        agent.copies = Some(at_once);
        agent.role = role;
    }
}

impl ClusterState {
    /// What the agents of a node's copy have said by how much it is to be promoted, all members together; none where none
    /// has said anything. `role`: the group of the promoted role.
    #[must_use]
    pub fn promotion_score(&self, role: &GroupId, node: &NodeId) -> Option<i64> {
        let members = &self.config.groups.get(role)?.members;
        let report = &self.nodes.get(node)?.report;
        let said = members.iter().filter_map(|member| {
            let copy = ResourceId::from(named(written(member.as_str()), node));
            report.instances.get(&copy)?.promotion
        });
        said.reduce(|sum, score| {
            if sum.min(score) <= -INFINITY {
                -INFINITY
            } else {
                sum.saturating_add(score).min(INFINITY)
            }
        })
    }

    /// What is ordered for a group: for itself, and for the group that it is a copy of.
    #[must_use]
    pub fn orders_of(&self, group: &GroupId) -> Option<Cow<'_, Orders>> {
        let own = self.orders.get(group);
        let all = (!is_written(group.as_str())).then(|| GroupId::from(written(group.as_str())));
        let Some(all) = all.and_then(|all| self.orders.get(&all)) else {
            return own.map(Cow::Borrowed);
        };
        let mut orders = own.cloned().unwrap_or_default();
        orders.disabled = orders.disabled.or_else(|| all.disabled.clone());
        orders.unmanaged = orders.unmanaged.or_else(|| all.unmanaged.clone());
        orders.wishes.extend(all.wishes.iter().cloned());
        Some(Cow::Owned(orders))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{NodeConfig, ProcessConfig};

    fn config(most: Option<u32>) -> ClusterConfig {
        let mut config = ClusterConfig::default();
        for node in ["alpha", "beta", "gamma"] {
            config.nodes.insert(node.into(), NodeConfig::default());
        }
        let witness = NodeConfig {
            witness: true,
            ..NodeConfig::default()
        };
        config.nodes.insert("judge".into(), witness);
        let resource = ResourceConfig {
            kind: ResourceKind::Process(ProcessConfig::default()),
            failure: crate::config::FailurePolicy::default(),
            needs_fencing: false,
        };
        let copied = Copied {
            most,
            promoted: false,
            group: GroupConfig {
                members: vec!["nginx".into()],
                prefer: BTreeMap::from([("beta".into(), 100)]),
                ..GroupConfig::default()
            },
            resources: BTreeMap::from([("nginx".into(), resource)]),
        };
        config.copies.groups.insert("web".into(), copied);
        config.spread_copies();
        config
    }

    fn names(config: &ClusterConfig) -> Vec<&str> {
        config.groups.keys().map(GroupId::as_str).collect()
    }

    #[test]
    fn every_node_that_can_run_something_has_a_copy() {
        let mut config = config(Some(2));
        let location = Location {
            group: "web".into(),
            tests: Vec::new(),
            score: 1,
        };
        let locations = &mut config.copies.constraints.locations;
        locations.insert("in-a".into(), location);
        config.spread_copies();
        assert_eq!(names(&config), ["web:alpha", "web:beta", "web:gamma"]);
        assert!(config.resources.contains_key(&"nginx:gamma".into()));
        let beta = &config.groups[&"web:beta".into()];
        assert_eq!(beta.prefer, BTreeMap::from([("beta".into(), 100)]));
        assert_eq!(config.groups[&"web:alpha".into()].prefer, BTreeMap::new());
        assert_eq!(config.copies_wanted(&"web".into()), 2);
        config.nodes.insert("delta".into(), NodeConfig::default());
        config.nodes.remove(&"alpha".into());
        config.spread_copies();
        assert_eq!(names(&config), ["web:beta", "web:delta", "web:gamma"]);
        assert!(!config.resources.contains_key(&"nginx:alpha".into()));
        let locations: Vec<&str> = config
            .constraints
            .locations
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(locations, ["in-a:beta", "in-a:delta", "in-a:gamma"]);
        config.copies = Copies::default();
        config.spread_copies();
        assert!(config.groups.is_empty() && config.resources.is_empty());
    }

    #[test]
    fn what_is_ordered_for_all_copies_is_ordered_for_each() {
        let mut state = ClusterState {
            config: config(None),
            ..ClusterState::default()
        };
        assert_eq!(state.orders_of(&"web:beta".into()), None);
        let disabled = Orders {
            disabled: Some(crate::order::Given::default()),
            ..Orders::default()
        };
        state.orders.insert("web".into(), disabled);
        let found = state.orders_of(&"web:beta".into()).unwrap();
        assert!(found.disabled.is_some());
    }
}
