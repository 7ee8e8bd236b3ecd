//! From configuration to the working set: nodes in their order, every instance of every clone.
//!
//! Not for the status: histories come afterwards.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::input::{self, Cluster, Kind, NodeKind, NodeState, Resource};
use crate::names::Names;
use crate::role::Role;
use crate::settings::{Options, Spec, Within};
use crate::slots::slots;
use crate::sort;
use crate::work::{Arena, Node, NodeId, Rsc, RscId, Table, Work};

/// The working set of a configuration, before any status; `states` takes the place of the input's.
pub(crate) fn build<'a>(input: &'a Cluster, states: &'a [NodeState]) -> Work<'a> {
    let options = Options::read(input);
    let mut work = Work {
        input,
        states,
        have_fence_device: options.watchdog,
        options,
        nodes: Arena::new(),
        rscs: Arena::new(),
        node_names: Names::default(),
        names: Names::default(),
        histories: OnceCell::new(),
        top: Vec::new(),
        colocations: Arena::new(),
        locations: Vec::new(),
        actions: Arena::new(),
        orderings: Vec::new(),
        fences: Vec::new(),
        pseudo: BTreeMap::new(),
        stop_needed: Vec::new(),
        cancelled: Vec::new(),
        ledger: None,
    };
    add_nodes(&mut work);
    let configured = input.resources.iter();
    let specs: Vec<Rc<Spec<'_>>> = configured
        .map(|config| work.spec_for(Cow::Borrowed(config)))
        .collect();
    for spec in specs {
        let rsc = work.add_rsc(&spec, None, None);
        work.top.push(rsc);
    }
    let mut top = std::mem::take(&mut work.top);
    top.sort_by_key(|rsc| std::cmp::Reverse(work.rscs[*rsc].priority));
    work.top = top;
    work.link_containers();
    work.link_remotes();
    work
}

fn add_nodes(work: &mut Work<'_>) {
    let mut nodes: Vec<_> = work.input.nodes.iter().collect();
    nodes.sort_by(|one, other| sort::natural(&one.name, &other.name));
    for node in nodes {
        let unclean = work.options.startup_fencing && node.kind != NodeKind::Remote;
        let state = input::state_among(work.states, node);
        let attributes = work.input.attributes_with(node, state);
        let counts =
            |name: &str| name.starts_with("fail-count-") || name.starts_with("last-failure-");
        let failures = attributes.iter().filter(|(name, _)| counts(name));
        let failures = failures.map(|(name, value)| (name.clone(), value.clone()));
        let id = work.nodes.add(Node {
            id: node.id.clone(),
            name: node.name.clone(),
            kind: node.kind,
            failures: failures.collect(),
            attributes,
            capacity: node.capacity.clone(),
            weight: node.score,
            unclean,
            unseen: true,
            is_dc: work.input.dc.as_deref() == Some(node.id.as_str()),
            ..Node::default()
        });
        work.node_names.note(&node.name, id.at());
    }
    rank_nodes(work);
}

/// Notes where each node stands among all, by name and in the reference's tables.
fn rank_nodes(work: &mut Work<'_>) {
    let ids: Vec<String> = work
        .nodes
        .ids()
        .map(|node| work.nodes[node].id.clone())
        .collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    for (node, slot) in work.nodes.ids().zip(slots(&ids)) {
        work.nodes[node].slot = slot;
    }
    let mut by_name: Vec<NodeId> = work.nodes.ids().collect();
    by_name.sort_by(|one, other| work.nodes[*one].name.cmp(&work.nodes[*other].name));
    let mut rank = 0;
    let mut before: Option<NodeId> = None;
    for node in by_name {
        // Nodes of the same name, should there be any, are equal.
        rank += usize::from(
            before.is_some_and(|before| work.nodes[before].name != work.nodes[node].name),
        );
        work.nodes[node].rank = rank;
        before = Some(node);
    }
}

impl<'a> Work<'a> {
    pub(crate) fn spec_for(&self, config: Cow<'a, Resource>) -> Rc<Spec<'a>> {
        let within = Within::default();
        Rc::new(Spec::read(config, within, &self.options, self.nodes.len()))
    }

    /// Adds a resource with all its children and instances.
    pub(crate) fn add_rsc(
        &mut self,
        spec: &Rc<Spec<'a>>,
        parent: Option<RscId>,
        instance: Option<usize>,
    ) -> RscId {
        let id = match instance {
            Some(number) => format!("{}:{number}", spec.config.id),
            None => spec.config.id.clone(),
        };
        self.have_fence_device |= spec.fence_device;
        let rsc = self.rscs.add(fresh(id, spec, parent, instance));
        self.names.note(&self.rscs[rsc].id, rsc.at());
        self.names.note(&spec.config.id, rsc.at());
        match spec.kind {
            Kind::Primitive | Kind::Bundle => {}
            Kind::Group => {
                for child in &spec.children {
                    let child = self.add_rsc(child, Some(rsc), instance);
                    self.rscs[rsc].children.push(child);
                }
            }
            Kind::Clone => {
                for _ in 0..spec.clone_max.max(1) {
                    self.add_instance(rsc);
                }
            }
        }
        if self.options.symmetric {
            self.locate(rsc, None, 0, true);
        }
        rsc
    }

    /// Adds the next instance of a clone; beyond the configured number it is an orphan.
    pub(crate) fn add_instance(&mut self, clone: RscId) -> RscId {
        let spec = self.spec(clone);
        let number = self.rscs[clone].children.len();
        let Some(child) = spec.children.first() else {
            return clone;
        };
        let instance = self.add_rsc(child, Some(clone), Some(number));
        self.rscs[clone].children.push(instance);
        if number >= spec.clone_max {
            self.mark_orphan(instance);
        }
        instance
    }

    fn mark_orphan(&mut self, rsc: RscId) {
        self.rscs[rsc].orphan = true;
        for child in self.rscs[rsc].children.clone() {
            self.mark_orphan(child);
        }
    }

    /// Ties resources to those that they run inside.
    fn link_containers(&mut self) {
        for rsc in self.rscs.ids() {
            let me = &self.rscs[rsc];
            let named = me.spec.config.meta.get("container");
            let named = named.filter(|id| **id != me.id && self.is_primitive(rsc));
            if let Some(container) = named.and_then(|id| self.find(id)) {
                self.rscs[rsc].container = Some(container);
                self.rscs[container].fillers.push(rsc);
            }
        }
    }

    /// Ties connection resources to the nodes that they make.
    fn link_remotes(&mut self) {
        for rsc in self.rscs.ids() {
            if !self.rscs[rsc].spec.remote {
                continue;
            }
            let Some(node) = self.node_named(&self.rscs[rsc].id.clone()) else {
                continue;
            };
            self.nodes[node].remote_resource = Some(rsc);
            if self.rscs[rsc].container.is_some() {
                let kind = ("#kind".to_owned(), "container".to_owned());
                self.nodes[node].attributes.extend([kind]);
            } else {
                self.nodes[node].unclean = self.options.startup_fencing;
            }
        }
    }

    /// A resource by its id or by the name that a history gave it.
    ///
    /// Of several, the first in the order of treatment.
    pub(crate) fn find(&self, id: &str) -> Option<RscId> {
        let candidates = self.names.candidates(id).map(RscId::from);
        let mut known = candidates.filter(|rsc| self.is_called(*rsc, id));
        let first = known.next()?;
        let top = self.top_of(first);
        let (mut several, mut apart) = (false, false);
        for other in known {
            several = true;
            apart |= self.top_of(other) != top;
        }
        if apart {
            self.top.iter().find_map(|rsc| self.find_below(*rsc, id))
        } else if several {
            self.find_below(top, id)
        } else {
            Some(first)
        }
    }

    fn is_called(&self, rsc: RscId, name: &str) -> bool {
        let me = &self.rscs[rsc];
        me.id == name || me.history_name.as_deref() == Some(name)
    }

    /// Notes the name that a node knows a resource by.
    pub(crate) fn call(&mut self, rsc: RscId, name: &str) {
        self.names.note(name, rsc.at());
        self.rscs[rsc].history_name = Some(name.to_owned());
    }

    fn find_below(&self, rsc: RscId, id: &str) -> Option<RscId> {
        if self.is_called(rsc, id) {
            return Some(rsc);
        }
        let me = &self.rscs[rsc];
        me.children
            .iter()
            .find_map(|child| self.find_below(*child, id))
    }

    /// The resource that a constraint means. A name that a history gave an instance means the clone.
    pub(crate) fn find_for_constraint(&self, id: &str) -> Option<RscId> {
        let found = self.find(id)?;
        Some(if self.rscs[found].id == id {
            found
        } else {
            self.top_of(found)
        })
    }

    /// Whether the node is reached through a connection, with nothing around it that can be stopped.
    pub(crate) fn is_remote(&self, node: NodeId) -> bool {
        self.nodes[node].kind == NodeKind::Remote && !self.is_guest(node)
    }

    /// Whether the node is a guest within a resource.
    pub(crate) fn is_guest(&self, node: NodeId) -> bool {
        let connection = self.nodes[node].remote_resource;
        connection.is_some_and(|rsc| self.rscs[rsc].container.is_some())
    }
}

fn fresh<'a>(
    id: String,
    spec: &Rc<Spec<'a>>,
    parent: Option<RscId>,
    instance: Option<usize>,
) -> Rsc<'a> {
    Rsc {
        id,
        spec: Rc::clone(spec),
        parent,
        children: Vec::new(),
        instance,
        managed: spec.managed,
        maintenance: spec.maintenance,
        blocked: false,
        failed: false,
        stop_if_failed: false,
        failure_ignored: false,
        orphan: false,
        unassigned: true,
        assigning: false,
        allow_migrate: spec.allow_migrate,
        start_pending: false,
        stop_unexpected: false,
        restarting: false,
        exclusive_discovery: false,
        promotion_added: false,
        promotion_sorted: false,
        merging: Cell::new(false),
        role: Role::Stopped,
        next_role: spec.target_role.unwrap_or(Role::Unknown),
        priority: spec.priority,
        sort_index: 0,
        failure_timeout_s: spec.failure_timeout_s,
        history_name: None,
        allowed: Table::default(),
        known_on: Vec::new(),
        running_on: Vec::new(),
        pending_node: None,
        lock_node: None,
        assigned: None,
        assigned_score: 0,
        dangling: Vec::new(),
        partial: None,
        no_promotion_ticket: false,
        container: None,
        fillers: Vec::new(),
        actions: Vec::new(),
        probes: Vec::new(),
        this_with: Vec::new(),
        with_this: Vec::new(),
        locations: Vec::new(),
    }
}
