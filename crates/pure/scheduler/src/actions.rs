//! Making actions: each exists once, and knows at once whether it can run.
//!
//! Not for how actions follow each other.

use crate::role::{Role, Task};
use crate::settings::{NoQuorum, Requires};
use crate::work::{Action, ActionId, Link, NodeId, Own, RscId, Work, flag, order};

impl Work<'_> {
    fn new_action(&mut self, action: Action) -> ActionId {
        let (rsc, task, node) = (action.rsc, action.task, action.node);
        let id = self.actions.add(action);
        if let Some(rsc) = rsc {
            self.rscs[rsc].own_mut(task).push(Own { id, node, task });
        }
        id
    }

    /// The action of a resource; an existing one becomes required if this one is.
    pub(crate) fn act(
        &mut self,
        rsc: RscId,
        task: Task,
        node: Option<NodeId>,
        optional: bool,
    ) -> ActionId {
        let mut found = None;
        self.visit(rsc, task, node, |id| {
            found.get_or_insert(id);
        });
        let id = found.unwrap_or_else(|| self.new_action(blank(Some(rsc), task, node, optional)));
        let unmanaged = !self.rscs[rsc].managed;
        let action = &mut self.actions[id];
        if action.node.is_some() && !action.is(flag::PSEUDO) && unmanaged {
            action.flags |= flag::OPTIONAL;
        } else if !optional {
            action.flags &= !flag::OPTIONAL;
        }
        self.update_runnable(id, rsc);
        id
    }

    fn update_runnable(&mut self, id: ActionId, rsc: RscId) {
        let action = &self.actions[id];
        if action.is(flag::PSEUDO) {
            return;
        }
        let task = action.task;
        let Some(node) = action.node else {
            self.actions[id].flags &= !flag::RUNNABLE;
            return;
        };
        let (online, unclean) = (self.nodes[node].online, self.nodes[node].unclean);
        let reachable = online || (self.is_guest(node) && !self.nodes[node].remote_needs_reset);
        if !reachable {
            self.actions[id].flags &= !flag::RUNNABLE;
            if self.rscs[rsc].managed && task == Task::Stop && !unclean {
                self.fence_node(node);
            }
        } else if self.nodes[node].pending {
            self.actions[id].flags &= !flag::RUNNABLE;
        } else if self.requires(rsc, task) == Requires::Nothing {
            self.actions[id].flags |= flag::RUNNABLE;
        } else {
            self.update_for_quorum(id, rsc);
        }
    }

    fn update_for_quorum(&mut self, id: ActionId, rsc: RscId) {
        match self.effective_policy(rsc) {
            NoQuorum::Stop => self.actions[id].flags &= !flag::RUNNABLE,
            NoQuorum::Freeze => {
                let rises = self.rscs[rsc].next_role > self.rscs[rsc].role;
                if !self.is_active(rsc, true) || rises {
                    self.actions[id].flags &= !flag::RUNNABLE;
                }
            }
            NoQuorum::Ignore | NoQuorum::Demote | NoQuorum::Suicide => {
                self.actions[id].flags |= flag::RUNNABLE;
            }
        }
    }

    fn effective_policy(&mut self, rsc: RscId) -> NoQuorum {
        if self.input.have_quorum {
            return NoQuorum::Ignore;
        }
        if self.options.no_quorum != NoQuorum::Demote {
            return self.options.no_quorum;
        }
        match self.rscs[rsc].role {
            Role::Promoted | Role::Unpromoted => {
                if self.rscs[rsc].next_role > Role::Unpromoted {
                    self.rscs[rsc].next_role = Role::Unpromoted;
                }
                NoQuorum::Ignore
            }
            Role::Unknown | Role::Stopped | Role::Started => NoQuorum::Stop,
        }
    }

    /// What an action needs of the cluster.
    pub(crate) fn requires(&self, rsc: RscId, task: Task) -> Requires {
        if matches!(task, Task::Start | Task::Promote) {
            self.rscs[rsc].spec.requires
        } else {
            Requires::Nothing
        }
    }

    /// Whether a resource is active; of a collective, all or any of it.
    pub(crate) fn is_active(&self, rsc: RscId, all: bool) -> bool {
        let me = &self.rscs[rsc];
        if self.is_primitive(rsc) {
            return me.running_on.iter().any(|node| {
                let node = &self.nodes[*node];
                node.unclean || node.online || !me.managed
            });
        }
        let mut children = me.children.iter();
        if all {
            children.all(|child| self.is_active(*child, all))
        } else {
            children.any(|child| self.is_active(*child, all))
        }
    }

    /// Actions of a task, oldest first. One without a node gets `node`.
    pub(crate) fn actions_of(
        &mut self,
        rsc: RscId,
        task: Task,
        node: Option<NodeId>,
    ) -> Vec<ActionId> {
        let mut found = Vec::new();
        self.visit(rsc, task, node, |id| found.push(id));
        found
    }

    fn visit(
        &mut self,
        rsc: RscId,
        task: Task,
        node: Option<NodeId>,
        mut each: impl FnMut(ActionId),
    ) {
        for own in self.rscs[rsc].own_mut(task) {
            if own.task != task || (node.is_some() && own.node.is_some() && own.node != node) {
                continue;
            }
            if own.node.is_none() && node.is_some() {
                own.node = node;
                self.actions[own.id].node = node;
            }
            each(own.id);
        }
    }

    /// The newest action of a task, on a node if one is given.
    pub(crate) fn first_action(
        &self,
        rsc: RscId,
        task: Task,
        node: Option<NodeId>,
    ) -> Option<ActionId> {
        let mut newest = self.rscs[rsc].own(task).iter().rev();
        let newest = newest.find(|own| own.task == task && (node.is_none() || own.node == node));
        newest.map(|own| own.id)
    }

    /// A marker of a collective.
    pub(crate) fn act_pseudo(
        &mut self,
        rsc: RscId,
        task: Task,
        optional: bool,
        runnable: bool,
    ) -> ActionId {
        let id = self.act(rsc, task, None, optional);
        self.actions[id].flags |= flag::PSEUDO;
        if runnable {
            self.actions[id].flags |= flag::RUNNABLE;
        }
        id
    }

    /// A marker that belongs to no resource.
    pub(crate) fn pseudo(&mut self, name: &str, task: Task) -> ActionId {
        if let Some(id) = self.pseudo.get(name) {
            return *id;
        }
        let id = self.new_action(blank(None, task, None, true));
        self.actions[id].flags |= flag::PSEUDO | flag::RUNNABLE;
        self.pseudo.insert(name.to_owned(), id);
        id
    }

    /// The fencing or unfencing of a node.
    pub(crate) fn fence(&mut self, node: NodeId, task: Task, optional: bool) -> ActionId {
        let found = self
            .fences
            .iter()
            .find(|known| known.0 == node && known.1 == task);
        let id = match found {
            Some((_, _, id)) => *id,
            None => {
                let id = self.new_action(blank(None, task, Some(node), true));
                self.fences.push((node, task, id));
                id
            }
        };
        if !optional && self.can_fence(node) {
            self.actions[id].flags &= !flag::OPTIONAL;
        }
        id
    }

    /// Declares that a node has to be fenced.
    pub(crate) fn fence_node(&mut self, node: NodeId) {
        if self.is_guest(node) {
            let connection = self.nodes[node].remote_resource;
            if let Some(container) = connection.and_then(|rsc| self.rscs[rsc].container)
                && !self.rscs[container].failed
                && self.rscs[container].managed
            {
                self.nodes[node].remote_needs_reset = true;
                self.rscs[container].failed = true;
                self.rscs[container].stop_if_failed = true;
            }
            return;
        }
        if self.is_remote(node) {
            let connection = self.nodes[node].remote_resource;
            if connection.is_none_or(|rsc| self.rscs[rsc].managed) {
                self.nodes[node].remote_needs_reset = true;
            }
            self.nodes[node].unclean = true;
            self.fence(node, Task::Fence, true);
        } else if !self.nodes[node].unclean {
            self.nodes[node].unclean = true;
            self.fence(node, Task::Fence, true);
        }
    }

    /// A node's shutdown.
    pub(crate) fn shut_down(&mut self, node: NodeId) -> ActionId {
        self.new_action(blank(None, Task::Shutdown, Some(node), false))
    }

    /// Relates two actions; says whether that is new.
    pub(crate) fn relate(&mut self, first: ActionId, then: ActionId, flags: u32) -> bool {
        if flags == order::NONE || first == then {
            return false;
        }
        // Both ends hold the same links: the shorter list says as much as the longer.
        let (after, before) = (&self.actions[first].after, &self.actions[then].before);
        let (links, other) = if after.len() <= before.len() {
            (after, then)
        } else {
            (before, first)
        };
        let known = |link: &Link| link.action == other && link.flags & flags != 0;
        if links.iter().any(known) {
            return false;
        }
        self.actions[first].after.push(Link {
            action: then,
            flags,
        });
        self.actions[then].before.push(Link {
            action: first,
            flags,
        });
        true
    }
}

fn blank(rsc: Option<RscId>, task: Task, node: Option<NodeId>, optional: bool) -> Action {
    Action {
        rsc,
        task,
        node,
        flags: flag::RUNNABLE | if optional { flag::OPTIONAL } else { 0 },
        expected_rc: 0,
        required_before: 0,
        runnable_before: 0,
        migration: None,
        before: Vec::new(),
        after: Vec::new(),
    }
}
