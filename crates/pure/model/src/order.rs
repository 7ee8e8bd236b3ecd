//! What operators have ordered for groups and what holds until it is over or taken back: disabled, kept on a node, kept
//! away from one. And a restart that is not decided yet.
//!
//! Not for a switchover, which leaves nothing behind, and not for the configuration.

use crate::id::{NodeId, ResourceId};
use serde::{Deserialize, Serialize};

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
