//! What the scheduler decides about: configuration and history as one value, already free of rules,
//! templates and references. Options and meta-attributes keep the names and values that users know.
//!
//! Not for reading any format: `standfast-cib` makes this value from a CIB.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Names and values.
pub type Attributes = BTreeMap<String, String>;

/// Everything there is to know.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// Cluster options by name.
    pub options: Attributes,
    /// Seconds since 1970 that the decision is made at.
    pub now: i64,
    /// Whether this partition has quorum.
    pub have_quorum: bool,
    /// Whether nodes that lose quorum are to panic.
    pub quorum_panic: bool,
    /// Id of the coordinating node.
    pub dc: Option<String>,
    /// Version of the feature set that wrote the history.
    pub feature_set: String,
    /// Configured nodes.
    pub nodes: Vec<Node>,
    /// Configured resources in their order.
    pub resources: Vec<Resource>,
    /// Configured constraints in their order.
    pub constraints: Vec<Constraint>,
    /// What is known of nodes.
    pub states: Vec<NodeState>,
    /// Tickets by name.
    pub tickets: BTreeMap<String, Ticket>,
    /// Defaults for what only the history knows of.
    pub orphan_meta: Attributes,
    /// Whether any device or resource asks for unfencing.
    pub unfencing: bool,
}

/// A ticket of a multi-site cluster.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// Granted to this site.
    pub granted: bool,
    /// Granted, but asleep.
    pub standby: bool,
}

/// Kinds of node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeKind {
    /// A full member.
    #[default]
    Member,
    /// Takes no part.
    Ping,
    /// Reached through a connection resource.
    Remote,
}

/// A configured node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Unique id.
    pub id: String,
    /// Name.
    pub name: String,
    /// Kind.
    pub kind: NodeKind,
    /// Base score of every resource here.
    pub score: i32,
    /// Attributes that outlive a restart.
    pub attributes: Attributes,
    /// Capacity by name.
    pub capacity: BTreeMap<String, i32>,
}

/// Kinds of resource.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// One service.
    #[default]
    Primitive,
    /// Services that start in order on one node.
    Group,
    /// Copies of one service or group.
    Clone,
    /// Containers with what runs in them.
    Bundle,
}

/// A configured resource.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// Id.
    pub id: String,
    /// Kind.
    pub kind: Kind,
    /// Written as the old `master` element.
    pub legacy_promotable: bool,
    /// Agent class, provider and type.
    pub agent: [String; 3],
    /// Meta-attributes, with what the parents and the defaults give.
    pub meta: Attributes,
    /// Parameters of the agent.
    pub parameters: Attributes,
    /// Configured operations.
    pub operations: Vec<Operation>,
    /// What to do when an operation fails.
    pub policies: Vec<Policy>,
    /// Needed capacity.
    pub utilization: BTreeMap<String, i32>,
    /// Members of a group, or what a clone copies.
    pub children: Vec<Resource>,
}

/// A configured operation.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// Task name.
    pub name: String,
    /// Milliseconds, zero for once.
    pub interval_ms: u64,
    /// Role it is for.
    pub role: Option<String>,
    /// Explicit failure policy on the operation itself.
    pub on_fail: Option<String>,
    /// Milliseconds that it may take.
    #[serde(default)]
    pub timeout_ms: u64,
    /// How closely a monitor looks (`OCF_CHECK_LEVEL`).
    #[serde(default)]
    pub depth: u32,
    /// Not switched off.
    pub enabled: bool,
}

/// What to do when an operation fails, as configured.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Task name.
    pub task: String,
    /// Milliseconds, zero for once.
    pub interval_ms: u64,
    /// Configured policy, defaults included.
    pub on_fail: Option<String>,
    /// Role after a failure.
    pub role_after: Option<String>,
}

/// Any constraint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Constraint {
    /// Where.
    Location(Location),
    /// With whom.
    Colocation(Colocation),
    /// After what.
    Order(Order),
    /// Only with a ticket.
    Ticket(TicketConstraint),
}

/// Where a resource likes or must not be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// Id.
    pub id: String,
    /// Resource it is for.
    pub resource: String,
    /// Only for this role.
    pub role: Option<String>,
    /// Where to look for the resource: `always`, `never`, `exclusive`.
    pub discovery: Option<String>,
    /// Scores by node name.
    pub scores: Vec<(String, i32)>,
}

/// Which resource goes with, or away from, which.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Colocation {
    /// Id.
    pub id: String,
    /// The one that follows.
    pub dependent: String,
    /// The one that is followed.
    pub primary: String,
    /// Role of the follower.
    pub dependent_role: Option<String>,
    /// Role of the followed.
    pub primary_role: Option<String>,
    /// How strongly.
    pub score: i32,
    /// Nodes alike in this attribute count as one.
    pub attribute: Option<String>,
    /// Whether the follower's wishes move the followed.
    pub influence: Option<bool>,
}

/// How strong an order is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrderKind {
    /// Only if both happen.
    Optional,
    /// The second needs the first.
    #[default]
    Mandatory,
    /// Never at once.
    Serialize,
}

/// Which half of a symmetric order this is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Symmetry {
    /// There is no inverse.
    Asymmetric,
    /// The first half; the inverse is to be made too.
    #[default]
    Symmetric,
    /// The inverse of a symmetric order.
    Inverse,
}

/// One end of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrderEnd {
    /// An action of a resource.
    Resource(String, String),
    /// A point that any member of a set reaches.
    AnyOf(String),
}

/// What comes before what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Id.
    pub id: String,
    /// First.
    pub first: OrderEnd,
    /// Then.
    pub then: OrderEnd,
    /// How strong.
    pub kind: OrderKind,
    /// Which half.
    pub symmetry: Symmetry,
    /// Make the inverse of this one as well.
    pub invert: bool,
    /// `require-all` as configured.
    pub require_all: Option<bool>,
}

/// A resource that needs a ticket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketConstraint {
    /// Id.
    pub id: String,
    /// Resource it is for.
    pub resource: String,
    /// Role that needs it.
    pub role: Option<String>,
    /// Ticket name.
    pub ticket: String,
    /// `stop`, `demote`, `fence` or `freeze`.
    pub loss_policy: String,
}

/// What is known of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeState {
    /// Node id.
    pub id: String,
    /// Node name.
    pub name: String,
    /// Member of the cluster layer.
    pub in_ccm: Option<String>,
    /// The controller's state.
    pub crmd: Option<String>,
    /// How far it has joined.
    pub join: Option<String>,
    /// How far it should have.
    pub expected: Option<String>,
    /// A remote node that has been fenced.
    pub fenced: bool,
    /// Attributes that a restart forgets.
    pub attributes: Attributes,
    /// What was done there; shared, because a simulation changes few of many.
    pub history: Vec<Arc<History>>,
}

/// What was done with one resource on one node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Resource as the node knows it.
    pub resource: String,
    /// Agent class, provider and type.
    pub agent: [String; 3],
    /// Container, for what ran in one.
    pub container: Option<String>,
    /// Seconds since 1970 since when it waits for this node to come back.
    #[serde(default)]
    pub locked: Option<i64>,
    /// Results in the order of recording.
    pub operations: Vec<Record>,
}

/// A result.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Id of the entry.
    pub id: String,
    /// Key of the operation.
    pub key: String,
    /// Task name.
    pub task: String,
    /// Milliseconds, zero for once.
    pub interval_ms: u64,
    /// Number of the call; minus one while pending.
    pub call: i64,
    /// Agent's exit status.
    pub rc: i32,
    /// Executor's status.
    pub status: Option<i32>,
    /// Expected exit status, if the entry says.
    pub expected: Option<i32>,
    /// Transition number and id that ordered it.
    pub transition: Option<(i64, String)>,
    /// Seconds since 1970 of the last change of the result.
    pub changed: Option<i64>,
    /// Node it ran on, if the entry says.
    pub on_node: Option<String>,
    /// Migration source.
    pub source: Option<String>,
    /// Migration target.
    pub target: Option<String>,
    /// Whether the parameters differ from today's: known by the digest, if there is one.
    pub parameters_changed: bool,
    /// The result is known to be about other parameters than today's.
    #[serde(default)]
    pub outdated: bool,
}

impl Cluster {
    /// Attributes of a node: the permanent ones, overlaid by those of its state.
    #[must_use]
    pub fn attributes_of(&self, node: &Node) -> Attributes {
        self.attributes_with(node, self.state_of(node))
    }

    /// Attributes of a node with those of a given state.
    pub(crate) fn attributes_with(&self, node: &Node, state: Option<&NodeState>) -> Attributes {
        let mut all = Attributes::new();
        let is_dc = self.dc.as_deref() == Some(node.id.as_str());
        all.insert("#uname".to_owned(), node.name.clone());
        all.insert("#id".to_owned(), node.id.clone());
        all.insert("#is_dc".to_owned(), is_dc.to_string());
        let kind = match node.kind {
            NodeKind::Remote => "remote",
            NodeKind::Member | NodeKind::Ping => "cluster",
        };
        all.insert("#kind".to_owned(), kind.to_owned());
        if let Some(name) = self.options.get("cluster-name") {
            all.insert("#cluster-name".to_owned(), name.clone());
        }
        all.extend(node.attributes.clone());
        if let Some(state) = state {
            all.extend(state.attributes.clone());
        }
        if !all.contains_key("#site-name") {
            let site = all.get("site-name").or(all.get("#cluster-name")).cloned();
            all.extend(site.map(|site| ("#site-name".to_owned(), site)));
        }
        all
    }

    /// What is known of a node.
    #[must_use]
    pub fn state_of(&self, node: &Node) -> Option<&NodeState> {
        state_among(&self.states, node)
    }
}

/// What is known of a node, among some states.
pub(crate) fn state_among<'s>(states: &'s [NodeState], node: &Node) -> Option<&'s NodeState> {
    let by_id = states.iter().find(|state| state.id == node.id);
    by_id.or_else(|| {
        let same = |state: &&NodeState| state.name.eq_ignore_ascii_case(&node.name);
        states.iter().find(same)
    })
}
