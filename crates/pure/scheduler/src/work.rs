//! The working set: nodes, instances, actions and how they hang together, by index.
//!
//! Every stage takes it and adds to it. Not for deciding anything itself.

use std::cell::{Cell, OnceCell};
use std::collections::BTreeMap;
use std::rc::Rc;

pub(crate) use crate::arena::{ActionId, Arena, ColocationId, Discovery, NodeId, RscId, Table};
use crate::input::{Attributes, Cluster, Kind, NodeKind, NodeState};
use crate::names::Names;
use crate::role::{Role, Task};
use crate::score;
use crate::settings::{Options, Spec};

/// A node as the scheduler sees it.
#[derive(Debug, Clone, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "states of a node are not exclusive"
)]
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) kind: NodeKind,
    pub(crate) attributes: Attributes,
    /// Those attributes that count failures or give their time, with their values.
    pub(crate) failures: Vec<(String, String)>,
    /// Its place when the names of all are sorted.
    pub(crate) rank: usize,
    /// Its place in the reference's tables, see `slots`.
    pub(crate) slot: usize,
    /// What marks that there is room again.
    pub(crate) room: Option<ActionId>,
    pub(crate) capacity: BTreeMap<String, i32>,
    pub(crate) weight: i32,
    pub(crate) online: bool,
    pub(crate) unclean: bool,
    pub(crate) unseen: bool,
    pub(crate) standby: bool,
    pub(crate) pending: bool,
    pub(crate) shutdown: bool,
    pub(crate) expected_up: bool,
    pub(crate) maintenance: bool,
    pub(crate) is_dc: bool,
    pub(crate) unpacked: bool,
    pub(crate) remote_was_fenced: bool,
    pub(crate) remote_needs_reset: bool,
    pub(crate) remote_resource: Option<RscId>,
    pub(crate) resources: i32,
}

impl Node {
    /// Whether it can run resources at all.
    pub(crate) fn is_available(&self) -> bool {
        self.online && !self.shutdown && !self.unclean && !self.standby && !self.maintenance
    }
}

/// An instance, group or clone.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "states of an instance are not exclusive"
)]
pub(crate) struct Rsc<'a> {
    pub(crate) id: String,
    pub(crate) spec: Rc<Spec<'a>>,
    pub(crate) parent: Option<RscId>,
    pub(crate) children: Vec<RscId>,
    /// Number within the clone.
    pub(crate) instance: Option<usize>,
    pub(crate) managed: bool,
    pub(crate) maintenance: bool,
    pub(crate) blocked: bool,
    pub(crate) failed: bool,
    pub(crate) stop_if_failed: bool,
    pub(crate) failure_ignored: bool,
    pub(crate) orphan: bool,
    pub(crate) unassigned: bool,
    pub(crate) assigning: bool,
    pub(crate) allow_migrate: bool,
    pub(crate) start_pending: bool,
    pub(crate) stop_unexpected: bool,
    pub(crate) restarting: bool,
    pub(crate) exclusive_discovery: bool,
    pub(crate) promotion_added: bool,
    pub(crate) promotion_sorted: bool,
    pub(crate) merging: Cell<bool>,
    pub(crate) role: Role,
    pub(crate) next_role: Role,
    pub(crate) priority: i32,
    pub(crate) sort_index: i32,
    pub(crate) failure_timeout_s: i64,
    pub(crate) history_name: Option<String>,
    pub(crate) allowed: Table,
    pub(crate) known_on: Vec<NodeId>,
    pub(crate) running_on: Vec<NodeId>,
    pub(crate) pending_node: Option<NodeId>,
    pub(crate) lock_node: Option<NodeId>,
    pub(crate) assigned: Option<NodeId>,
    pub(crate) assigned_score: i32,
    pub(crate) dangling: Vec<NodeId>,
    pub(crate) partial: Option<(NodeId, NodeId)>,
    /// A ticket is missing without which nothing of it is promoted.
    pub(crate) no_promotion_ticket: bool,
    pub(crate) container: Option<RscId>,
    pub(crate) fillers: Vec<RscId>,
    /// Its actions but for probes, of which there are many; oldest first.
    pub(crate) actions: Vec<Own>,
    pub(crate) probes: Vec<Own>,
    pub(crate) this_with: Vec<ColocationId>,
    pub(crate) with_this: Vec<ColocationId>,
    /// Indices of location constraints, newest first.
    pub(crate) locations: Vec<usize>,
}

/// An action of a resource, with what it is looked for by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Own {
    pub(crate) id: ActionId,
    pub(crate) node: Option<NodeId>,
    pub(crate) task: Task,
}

impl Rsc<'_> {
    /// The list that actions of a task are in.
    pub(crate) fn own(&self, task: Task) -> &[Own] {
        if task == Task::Probe {
            &self.probes
        } else {
            &self.actions
        }
    }

    pub(crate) fn own_mut(&mut self, task: Task) -> &mut Vec<Own> {
        if task == Task::Probe {
            &mut self.probes
        } else {
            &mut self.actions
        }
    }
}

/// A colocation between two resources of the working set.
#[derive(Debug, Clone)]
pub(crate) struct Colocation {
    pub(crate) dependent: RscId,
    pub(crate) primary: RscId,
    pub(crate) dependent_role: Role,
    pub(crate) primary_role: Role,
    pub(crate) score: i32,
    pub(crate) attribute: Option<String>,
    pub(crate) influence: bool,
    /// Its place among the constraints, if it is one.
    pub(crate) source: Option<usize>,
}

/// A location constraint with its nodes.
#[derive(Debug, Clone)]
pub(crate) struct Location {
    pub(crate) rsc: RscId,
    pub(crate) role: Role,
    pub(crate) discovery: Discovery,
    pub(crate) nodes: Vec<(NodeId, i32)>,
    /// Its place among the constraints, if it is one.
    pub(crate) source: Option<usize>,
}

/// Flags of actions.
pub(crate) mod flag {
    pub(crate) const PSEUDO: u32 = 1;
    pub(crate) const RUNNABLE: u32 = 1 << 1;
    pub(crate) const OPTIONAL: u32 = 1 << 2;
    pub(crate) const PRINT: u32 = 1 << 3;
    pub(crate) const MIGRATABLE: u32 = 1 << 4;
    pub(crate) const REQUIRES_ANY: u32 = 1 << 5;
    pub(crate) const DANGLE: u32 = 1 << 6;
}

/// How one action follows another.
pub(crate) mod order {
    pub(crate) const NONE: u32 = 0;
    /// If both happen.
    pub(crate) const OPTIONAL: u32 = 1;
    /// If the second is needed, the first is.
    pub(crate) const IMPLIES_FIRST: u32 = 1 << 1;
    /// If the first is needed, the second is.
    pub(crate) const IMPLIES_THEN: u32 = 1 << 2;
    pub(crate) const PROMOTED_IMPLIES_FIRST: u32 = 1 << 3;
    pub(crate) const IMPLIES_FIRST_MIGRATABLE: u32 = 1 << 4;
    /// The second only runs if the first can.
    pub(crate) const RUNNABLE_LEFT: u32 = 1 << 5;
    pub(crate) const PSEUDO_LEFT: u32 = 1 << 6;
    pub(crate) const IMPLIES_THEN_ON_NODE: u32 = 1 << 7;
    pub(crate) const RESTART: u32 = 1 << 8;
    pub(crate) const SERIALIZE: u32 = 1 << 9;
    pub(crate) const SAME_NODE: u32 = 1 << 10;
    pub(crate) const PRINTED_FIRST: u32 = 1 << 11;
    pub(crate) const PRINTED_THEN: u32 = 1 << 12;
    pub(crate) const ASYMMETRICAL: u32 = 1 << 13;
    pub(crate) const LOAD: u32 = 1 << 14;
    pub(crate) const ONE_OR_MORE: u32 = 1 << 15;
    pub(crate) const ANTI_COLOCATION: u32 = 1 << 16;
    pub(crate) const PRESERVE: u32 = 1 << 17;
    pub(crate) const THEN_CANCELS_FIRST: u32 = 1 << 18;
    pub(crate) const FIRST_NOT_MIGRATING: u32 = 1 << 19;
}

/// One side of a relation between two actions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    pub(crate) action: ActionId,
    pub(crate) flags: u32,
}

/// Something that may be done.
#[derive(Debug, Clone)]
pub(crate) struct Action {
    pub(crate) rsc: Option<RscId>,
    pub(crate) task: Task,
    pub(crate) node: Option<NodeId>,
    pub(crate) flags: u32,
    pub(crate) expected_rc: i32,
    pub(crate) required_before: i32,
    pub(crate) runnable_before: i32,
    pub(crate) migration: Option<(NodeId, NodeId)>,
    /// Oldest first; looked at newest first.
    pub(crate) before: Vec<Link>,
    /// Oldest first; looked at newest first.
    pub(crate) after: Vec<Link>,
}

impl Action {
    pub(crate) const fn is(&self, flags: u32) -> bool {
        self.flags & flags == flags
    }
}

/// One end of an ordering: an action, or every action of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Action(ActionId),
    Task(RscId, Task),
}

/// An ordering that is applied once all actions exist.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ordering {
    pub(crate) first: End,
    pub(crate) then: End,
    pub(crate) flags: u32,
}

/// Everything at once.
#[derive(Debug, Clone)]
pub(crate) struct Work<'a> {
    pub(crate) input: &'a Cluster,
    /// What is known of nodes: the input's, or what a simulation has made of it.
    pub(crate) states: &'a [NodeState],
    pub(crate) options: Options,
    pub(crate) nodes: Arena<NodeId, Node>,
    pub(crate) rscs: Arena<RscId, Rsc<'a>>,
    /// Nodes by name.
    pub(crate) node_names: Names,
    /// Resources by their id, by that of their configuration and by the name that a history gave them.
    pub(crate) names: Names,
    /// Histories by the name of the resource, for each state; made when first asked for.
    pub(crate) histories: OnceCell<Vec<Names>>,
    /// Top-level resources in the order of treatment.
    pub(crate) top: Vec<RscId>,
    pub(crate) colocations: Arena<ColocationId, Colocation>,
    pub(crate) locations: Vec<Location>,
    pub(crate) actions: Arena<ActionId, Action>,
    pub(crate) orderings: Vec<Ordering>,
    pub(crate) fences: Vec<(NodeId, Task, ActionId)>,
    pub(crate) pseudo: BTreeMap<String, ActionId>,
    pub(crate) have_fence_device: bool,
    pub(crate) stop_needed: Vec<RscId>,
    pub(crate) cancelled: Vec<crate::leftovers::Cancelled>,
    /// What was added to scores, if somebody has asked.
    pub(crate) ledger: Option<Box<crate::account::Ledger>>,
}

impl<'a> Work<'a> {
    /// The node by name, whatever its case.
    pub(crate) fn node_named(&self, name: &str) -> Option<NodeId> {
        let same = |node: &NodeId| self.nodes[*node].name.eq_ignore_ascii_case(name);
        let mut candidates = self.node_names.candidates(name).map(NodeId::from);
        candidates.find(same)
    }

    pub(crate) fn spec(&self, rsc: RscId) -> Rc<Spec<'a>> {
        Rc::clone(&self.rscs[rsc].spec)
    }

    pub(crate) fn kind(&self, rsc: RscId) -> Kind {
        self.rscs[rsc].spec.kind
    }

    pub(crate) fn is_clone(&self, rsc: RscId) -> bool {
        self.kind(rsc) == Kind::Clone
    }

    pub(crate) fn is_primitive(&self, rsc: RscId) -> bool {
        self.kind(rsc) == Kind::Primitive
    }

    /// The outermost collective that the resource belongs to, or itself.
    pub(crate) fn top_of(&self, rsc: RscId) -> RscId {
        let mut top = rsc;
        while let Some(parent) = self.rscs[top].parent {
            top = parent;
        }
        top
    }

    pub(crate) fn is_within(&self, child: RscId, ancestor: RscId) -> bool {
        let mut at = self.rscs[child].parent;
        while let Some(parent) = at {
            if parent == ancestor {
                return true;
            }
            at = self.rscs[parent].parent;
        }
        false
    }

    pub(crate) fn is_anonymous_clone(&self, rsc: RscId) -> bool {
        self.is_clone(rsc) && !self.rscs[rsc].spec.unique
    }

    /// All primitives of a resource, itself included, in their order.
    pub(crate) fn primitives(&self, rsc: RscId) -> Vec<RscId> {
        if self.is_primitive(rsc) {
            return vec![rsc];
        }
        let children = self.rscs[rsc].children.iter();
        children.flat_map(|child| self.primitives(*child)).collect()
    }

    /// Whether any primitive of a resource, itself included, is of a kind.
    pub(crate) fn any_primitive(&self, rsc: RscId, is: &dyn Fn(RscId) -> bool) -> bool {
        if self.is_primitive(rsc) {
            return is(rsc);
        }
        let mut children = self.rscs[rsc].children.iter();
        children.any(|child| self.any_primitive(*child, is))
    }

    /// Adds to the score of a node, or of all nodes, in the resource and all its children.
    pub(crate) fn locate(&mut self, rsc: RscId, node: Option<NodeId>, value: i32, default: bool) {
        match node {
            Some(node) => self.locate_one(rsc, node, value, default),
            None => {
                self.locate_everywhere(rsc, value, default);
                if value <= -score::INFINITY {
                    self.rscs[rsc].assigned = None;
                }
            }
        }
    }

    fn locate_everywhere(&mut self, rsc: RscId, value: i32, default: bool) {
        if default && self.rscs[rsc].exclusive_discovery {
            return;
        }
        let mut at = 0;
        while let Some(child) = self.child(rsc, at) {
            self.locate_everywhere(child, value, default);
            at += 1;
        }
        let allowed = &mut self.rscs[rsc].allowed;
        allowed.reserve(self.nodes.len());
        for node in self.nodes.ids() {
            let slot = allowed.entry(node, self.nodes[node].weight);
            slot.score = score::add(slot.score, value);
        }
    }

    /// A child of a group or clone by its place.
    pub(crate) fn child(&self, rsc: RscId, at: usize) -> Option<RscId> {
        self.rscs[rsc].children.get(at).copied()
    }

    fn locate_one(&mut self, rsc: RscId, node: NodeId, value: i32, default: bool) {
        if default && self.rscs[rsc].exclusive_discovery {
            return;
        }
        let mut at = 0;
        while let Some(child) = self.child(rsc, at) {
            self.locate_one(child, node, value, default);
            at += 1;
        }
        let weight = self.nodes[node].weight;
        let slot = self.rscs[rsc].allowed.entry(node, weight);
        slot.score = score::add(slot.score, value);
    }

    /// Whether the table has a node that can run something.
    pub(crate) fn any_available(&self, table: &Table) -> bool {
        let mut slots = table.slots();
        slots.any(|(node, slot)| slot.score >= 0 && self.nodes[node].is_available())
    }

    /// Where an active resource is, all its nodes, and those of them that are clean.
    pub(crate) fn active(&self, rsc: RscId) -> (Option<NodeId>, usize, usize) {
        let me = &self.rscs[rsc];
        let fine = |node: &NodeId| self.nodes[*node].online && !self.nodes[*node].unclean;
        let clean = me.running_on.iter().filter(|node| fine(node)).count();
        let first = me.running_on.first().copied();
        let preferred = if let Some((source, _)) = me.partial {
            me.running_on.iter().find(|node| **node == source).copied()
        } else if me.spec.requires == crate::settings::Requires::Fencing {
            None
        } else {
            me.running_on.iter().find(|node| fine(node)).copied()
        };
        (preferred.or(first), me.running_on.len(), clean)
    }

    pub(crate) fn current_node(&self, rsc: RscId) -> Option<NodeId> {
        self.active(rsc).0
    }

    /// The role now or next; of a collective, the highest of its members'.
    pub(crate) fn role_of(&self, rsc: RscId, current: bool) -> Role {
        let me = &self.rscs[rsc];
        if self.is_primitive(rsc) {
            return if current { me.role } else { me.next_role };
        }
        let roles = me
            .children
            .iter()
            .map(|child| self.role_of(*child, current));
        roles.max().unwrap_or(Role::Unknown)
    }

    /// All nodes where a resource is, or is assigned to.
    pub(crate) fn locations_of(&self, rsc: RscId, place: Place) -> Vec<NodeId> {
        let me = &self.rscs[rsc];
        let mut found: Vec<NodeId> = Vec::new();
        if me.children.is_empty() {
            match place {
                Place::Assigned => found.extend(me.assigned),
                Place::Current => found.extend(&me.running_on),
                Place::CurrentOrPending => {
                    found.extend(&me.running_on);
                    found.extend(me.pending_node.filter(|node| !me.running_on.contains(node)));
                }
            }
        }
        for child in &me.children {
            let theirs = self.locations_of(*child, place);
            let new = theirs.into_iter().filter(|node| !found.contains(node));
            let new: Vec<NodeId> = new.collect();
            found.extend(new);
        }
        found
    }

    /// The only node where a resource is, or is assigned to.
    pub(crate) fn location(&self, rsc: RscId, place: Place) -> Option<NodeId> {
        let me = &self.rscs[rsc];
        if me.children.is_empty() && place == Place::Assigned {
            return me.assigned;
        }
        if me.children.is_empty() && place == Place::Current {
            return match me.running_on.as_slice() {
                [one] => Some(*one),
                _ => None,
            };
        }
        match self.locations_of(rsc, place).as_slice() {
            [one] => Some(*one),
            _ => None,
        }
    }

    /// Whether any of the resource's primitives is blocked.
    pub(crate) fn any_blocked(&self, rsc: RscId) -> bool {
        let me = &self.rscs[rsc];
        me.blocked || me.children.iter().any(|child| self.any_blocked(*child))
    }

    /// Whether the node can be fenced.
    pub(crate) fn can_fence(&self, node: NodeId) -> bool {
        self.options.fencing
            && self.have_fence_device
            && (self.input.have_quorum
                || self.options.no_quorum == crate::settings::NoQuorum::Ignore
                || self.nodes[node].online)
    }

    /// A node's attribute.
    pub(crate) fn attribute(&self, node: NodeId, name: &str) -> Option<&str> {
        self.nodes[node].attributes.get(name).map(String::as_str)
    }
}

/// Which place of a resource is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Assigned,
    Current,
    CurrentOrPending,
}
