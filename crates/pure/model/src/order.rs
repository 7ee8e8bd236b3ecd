//! What operators have ordered for groups and what holds until it is over or taken back: disabled, kept on a node, kept
//! away from one, left alone. And a restart that is not decided yet. Also what they have ordered for nodes and for the whole
//! cluster: maintenance, and standby for a time.
//!
//! Not for a switchover, which leaves nothing behind, and not for the configuration.

use crate::id::{GroupId, NodeId, ResourceId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// An order about a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// It runs nowhere, until it is enabled.
    Disable,
    /// It runs again.
    Enable,
    /// It is stopped and started where it runs.
    Restart {
        /// This member and all that start after it; none means all.
        from: Option<ResourceId>,
    },
    /// It is kept on a node, as long as that can run it. Takes the place of an earlier such order.
    Keep {
        /// Where.
        node: NodeId,
        /// For so long, milliseconds; none means until it is cleared.
        lifetime_ms: Option<u64>,
    },
    /// It is kept away from a node.
    Ban {
        /// From where.
        node: NodeId,
        /// For so long, milliseconds; none means until it is cleared.
        lifetime_ms: Option<u64>,
    },
    /// It may be where it likes again.
    Clear {
        /// Only what is about this node.
        node: Option<NodeId>,
    },
    /// The time of an earlier order is over. From the leader only.
    Over {
        /// Index of the command that gave it.
        index: u64,
    },
    /// It is left alone, as in maintenance by its configuration.
    Unmanage,
    /// It is looked after again.
    Manage,
    /// Every node looks again at what it has of it.
    Refresh,
}

/// The orders for a group that are in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orders {
    /// It is to run nowhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<Given>,
    /// It is to be restarted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<Restart>,
    /// Nodes that it is kept on or away from. At most one for each node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wishes: Vec<Wish>,
    /// It is left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unmanaged: Option<Given>,
}

impl Orders {
    /// Nothing is in force.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Who gave an order, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Given {
    /// Who.
    pub by: String,
    /// Index of the command.
    pub index: u64,
    /// Wall clock of the leader then, milliseconds since 1970.
    pub wall_ms: u64,
}

/// A restart that is not decided yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// This member and all that start after it; none means all.
    pub from: Option<ResourceId>,
    /// Who asked for it.
    pub given: Given,
}

/// A node that a group is kept on, or away from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// The node.
    pub node: NodeId,
    /// Away from it.
    pub ban: bool,
    /// Who wants it.
    pub given: Given,
    /// Until when, milliseconds since 1970, by the leader's wall clock; none means until it is cleared.
    pub until_ms: Option<u64>,
}

/// What can be in maintenance by an order, besides a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Maintained {
    /// Everything.
    Cluster,
    /// What a node runs. Nothing else comes to it.
    Node(NodeId),
}

/// What operators have put into maintenance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Maintenance {
    /// Everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Given>,
    /// Nodes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub nodes: BTreeMap<NodeId, NodeMaintenance>,
}

impl Maintenance {
    /// Nothing is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A node in maintenance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeMaintenance {
    /// Who wants it.
    pub given: Given,
    /// The groups that were on it by the plan: they are left alone until it is over, even if the node is lost.
    pub groups: BTreeSet<GroupId>,
}

/// A drain with a name to it, and perhaps an end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standby {
    /// Who wants it.
    pub given: Given,
    /// Until when, milliseconds since 1970, by the leader's wall clock; none means until the node is resumed.
    pub until_ms: Option<u64>,
}
