//! What comes out: steps in their order, and what is there in the end.
//!
//! Not for how it comes about.

use serde::{Deserialize, Serialize};

use crate::work::{NodeId, RscId, Work};

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Number within the plan.
    pub id: usize,
    /// Task name.
    pub task: String,
    /// Resource, with the number of the instance.
    pub resource: Option<String>,
    /// Node it is done on, or to.
    pub node: Option<String>,
    /// Numbers of the steps that have to be over first.
    pub after: Vec<usize>,
}

/// A resource on a node, or nowhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ResourceOutcome {
    /// Resource, without the number of the instance.
    pub resource: String,
    /// Number of the instance within its clone.
    pub instance: Option<usize>,
    /// Node, if it is active.
    pub node: Option<String>,
    /// `Started`, `Stopped`, `Promoted` or `Unpromoted`.
    pub role: String,
    /// Whether it is managed.
    pub managed: bool,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "states of a node are not exclusive"
)]
pub struct NodeOutcome {
    /// Name.
    pub name: String,
    /// Whether it is a working member.
    pub online: bool,
    /// Whether it only waits.
    pub standby: bool,
    /// Whether it is left alone.
    pub maintenance: bool,
    /// Whether it is fenced on the way.
    pub fenced: bool,
}

/// Everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// Where everything is in the end.
    pub resources: Vec<ResourceOutcome>,
    /// The nodes in the end.
    pub nodes: Vec<NodeOutcome>,
    /// What was done for it.
    pub actions: Vec<Step>,
}

impl Work<'_> {
    /// What is there now.
    pub(crate) fn resource_outcomes(&self) -> Vec<ResourceOutcome> {
        let primitives = self.top.iter().flat_map(|rsc| self.primitives(*rsc));
        primitives
            .flat_map(|rsc| self.resource_outcome(rsc))
            .collect()
    }

    fn resource_outcome(&self, rsc: RscId) -> Vec<ResourceOutcome> {
        let me = &self.rscs[rsc];
        let promotable = self.rscs[self.top_of(rsc)].spec.promotable;
        let row = |node: Option<NodeId>| ResourceOutcome {
            resource: me.spec.config.id.clone(),
            instance: me.instance,
            node: node.map(|node| self.nodes[node].name.clone()),
            role: match (node, me.role) {
                (None, _) => "Stopped",
                (Some(_), crate::role::Role::Promoted) => "Promoted",
                (Some(_), crate::role::Role::Unpromoted) => "Unpromoted",
                (Some(_), _) if promotable => "Unpromoted",
                (Some(_), _) => "Started",
            }
            .to_owned(),
            managed: me.managed,
        };
        if !me.running_on.is_empty() {
            return me.running_on.iter().map(|node| row(Some(*node))).collect();
        }
        if me.orphan {
            Vec::new()
        } else {
            vec![row(None)]
        }
    }

    /// The nodes as they are now.
    pub(crate) fn node_outcomes(&self, fenced: &[String]) -> Vec<NodeOutcome> {
        let rows = self.nodes.ids().map(|node| {
            let node = &self.nodes[node];
            NodeOutcome {
                name: node.name.clone(),
                online: node.online,
                standby: node.standby && !node.pending,
                maintenance: node.maintenance,
                fenced: fenced.contains(&node.name),
            }
        });
        rows.collect()
    }
}
