//! Constraints: which nodes are good for a group by their attributes, which groups are to be on one node or apart, and
//! which start after others.
//!
//! Not for members of one group: they are together and in order anyway. Not for what operators order (`order`).

use crate::{
    attribute::{Attributes, Test},
    config::ClusterConfig,
    id::{GroupId, NodeId},
    plan::INFINITY,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// All constraints, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Constraints {
    /// Who is better or worse off on nodes with certain attributes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub locations: BTreeMap<String, Location>,
    /// Who is to be where somebody else is, or not there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub colocations: BTreeMap<String, Colocation>,
    /// Who starts after somebody else.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sequences: BTreeMap<String, Sequence>,
}

/// Nodes of which all of this is true have so much more, or less, for a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// The group.
    pub group: GroupId,
    /// What is asked of a node's attributes, by their names. One attribute may be asked for more than one thing.
    pub tests: Vec<(String, Test)>,
    /// For being on such a node; the negative of [`INFINITY`]: never there.
    pub score: i64,
}

impl Location {
    /// Whether a node with these attributes is meant.
    #[must_use]
    pub fn holds(&self, attributes: &Attributes) -> bool {
        let mut tests = self.tests.iter();
        tests.all(|(name, test)| test.holds(attributes.get(name).map(String::as_str)))
    }

    /// What of a node it is that it holds for.
    #[must_use]
    pub fn met_by(&self, attributes: &Attributes) -> String {
        let mut all: Vec<String> = Vec::new();
        for (name, test) in &self.tests {
            let have = attributes.get(name).map(String::as_str);
            let said = test.met_by(name, have);
            // Of two about one attribute one may be the beginning of the other.
            let begins =
                |known: &&mut String| known.starts_with(&said) || said.starts_with(known.as_str());
            match all.iter_mut().find(begins) {
                Some(known) if known.len() < said.len() => *known = said,
                Some(_) => {}
                None => all.push(said),
            }
        }
        all.join(" and ")
    }

    /// What is asked for: `rack is a and cores is at least 8`.
    #[must_use]
    pub fn asks(&self) -> String {
        let tests = self.tests.iter();
        let tests = tests.map(|(name, test)| format!("{name} {test}"));
        tests.collect::<Vec<_>>().join(" and ")
    }
}

impl ClusterConfig {
    /// The locations of a group that hold for a node, with their names.
    pub fn locations_on<'c>(
        &'c self,
        group: &'c GroupId,
        node: &NodeId,
    ) -> impl Iterator<Item = (&'c str, &'c Location)> + use<'c> {
        let attributes = self.nodes.get(node).map(|node| &node.attributes);
        let all = self.constraints.locations.iter();
        all.filter(move |(_, location)| {
            location.group == *group && attributes.is_some_and(|all| location.holds(all))
        })
        .map(|(name, location)| (name.as_str(), location))
    }
}

/// One group is placed with respect to where another one is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Colocation {
    /// The one that follows.
    pub group: GroupId,
    /// The one that is placed first.
    pub with: GroupId,
    /// For being on the same node. [`INFINITY`]: nowhere else; its negative: anywhere else.
    pub score: i64,
}

impl Colocation {
    /// Whether the follower may be nowhere but there.
    #[must_use]
    pub const fn is_must(&self) -> bool {
        self.score >= INFINITY
    }
}

/// One group starts after another, and stops before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    /// The one that starts first.
    pub first: GroupId,
    /// The one that starts when the first is active.
    pub then: GroupId,
    /// Only where both would start, or both would stop, anyway.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
    /// Stops are not ordered.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub one_way: bool,
}

impl Sequence {
    /// Whether the second one never runs when the first one does not.
    #[must_use]
    pub const fn is_strict(&self) -> bool {
        !self.optional && !self.one_way
    }
}

impl Constraints {
    /// There are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.locations.is_empty() && self.colocations.is_empty() && self.sequences.is_empty()
    }
}
