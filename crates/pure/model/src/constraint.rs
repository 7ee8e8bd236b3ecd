//! Constraints between groups: which are to be on one node or apart, and which start after others.
//!
//! Not for members of one group: they are together and in order anyway. Not for what operators order (`order`).

use crate::{id::GroupId, plan::INFINITY};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// All constraints, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Constraints {
    /// Who is to be where somebody else is, or not there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub colocations: BTreeMap<String, Colocation>,
    /// Who starts after somebody else.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sequences: BTreeMap<String, Sequence>,
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
        self.colocations.is_empty() && self.sequences.is_empty()
    }
}
