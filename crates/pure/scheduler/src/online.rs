//! Which nodes are there, which of them may run something, and which have to be fenced.
//!
//! Not for what runs there: see `history`.

use crate::input::{NodeKind, NodeState};
use crate::role::{Role, Task};
use crate::score::{INFINITY, is_true, leading_integer};
use crate::settings::NoQuorum;
use crate::work::{NodeId, Work};

impl Work<'_> {
    /// Takes over everything that is known of nodes, histories included.
    pub(crate) fn unpack_status(&mut self) {
        for state in self.states {
            self.unpack_state(state);
        }
        while self.unpack_histories(false) {}
        self.unpack_histories(self.options.fencing);
        for container in std::mem::take(&mut self.stop_needed) {
            if let Some(node) = self.current_node(container) {
                self.act(container, Task::Stop, Some(node), false);
            }
        }
        for node in self.nodes.ids() {
            if self.nodes[node].kind != NodeKind::Remote {
                continue;
            }
            if self.nodes[node].shutdown
                && let Some(rsc) = self.nodes[node].remote_resource
            {
                self.rscs[rsc].next_role = Role::Stopped;
            }
            if !self.nodes[node].unpacked {
                self.update_remote(node);
            }
        }
    }

    pub(crate) fn node_of(&self, state: &NodeState) -> Option<NodeId> {
        let by_id = self
            .nodes
            .ids()
            .find(|node| self.nodes[*node].id == state.id);
        by_id.or_else(|| self.node_named(&state.name))
    }

    fn unpack_state(&mut self, state: &NodeState) {
        let Some(id) = self.node_of(state).filter(|_| !state.name.is_empty()) else {
            return;
        };
        if self.nodes[id].kind == NodeKind::Remote {
            self.nodes[id].remote_was_fenced = state.fenced;
            return;
        }
        let standby = is_true(self.attribute(id, "standby"));
        let maintenance = is_true(self.attribute(id, "maintenance"));
        let node = &mut self.nodes[id];
        node.standby |= standby;
        node.maintenance |= maintenance;
        node.unclean = false;
        node.unseen = false;
        self.update_online(id, state);
        let lost = !self.input.have_quorum && self.options.no_quorum == NoQuorum::Suicide;
        if lost && self.nodes[id].online {
            self.fence_node(id);
        }
    }

    fn update_online(&mut self, id: NodeId, state: &NodeState) {
        let shutdown = self.shutdown_requested(id);
        let node = &mut self.nodes[id];
        node.shutdown = shutdown;
        node.expected_up = !shutdown && same(state.expected.as_deref(), "member");
        let online = if node.kind == NodeKind::Ping {
            node.unclean = false;
            false
        } else if self.options.fencing {
            self.is_online_with_fencing(id, state)
        } else {
            self.is_online_without_fencing(id, state)
        };
        let node = &mut self.nodes[id];
        node.online |= online;
        if !online || node.shutdown {
            node.weight = -INFINITY;
        }
    }

    /// Whether a node asked to be let go.
    fn shutdown_requested(&self, node: NodeId) -> bool {
        let value = self.attribute(node, "shutdown");
        value.is_some_and(|value| !value.is_empty() && value != "0")
    }

    fn is_online_without_fencing(&mut self, id: NodeId, state: &NodeState) -> bool {
        if !is_true(state.in_ccm.as_deref()) {
            return false;
        }
        if same(state.crmd.as_deref(), "online") {
            return same(state.join.as_deref(), "member");
        }
        if self.nodes[id].expected_up {
            self.fence_node(id);
        }
        false
    }

    fn is_online_with_fencing(&mut self, id: NodeId, state: &NodeState) -> bool {
        let terminate = self.attribute(id, "terminate");
        let terminate = is_true(terminate) || terminate.is_some_and(is_a_time);
        let member = is_true(state.in_ccm.as_deref());
        let peer = same(state.crmd.as_deref(), "online");
        let join = state.join.as_deref();
        let expected_down = same(Some(state.expected.as_deref().unwrap_or("down")), "down");
        if self.nodes[id].shutdown {
            return peer;
        }
        if state.in_ccm.is_none() || same(join, "banned") {
            self.fence_node(id);
        } else if !terminate && expected_down {
            if member || peer {
                self.nodes[id].standby = true;
                self.nodes[id].pending = true;
            }
        } else if terminate && same(join, "down") && !member && !peer {
            return false;
        } else if !member || !peer || terminate {
            self.fence_node(id);
        } else if same(join, "pending") || same(join, "down") {
            self.nodes[id].standby = true;
            self.nodes[id].pending = true;
        } else if !same(join, "member") {
            self.fence_node(id);
        }
        member
    }

    /// The state of a node behind a connection follows from that connection.
    fn update_remote(&mut self, id: NodeId) {
        let Some(rsc) = self.nodes[id].remote_resource else {
            self.nodes[id].online = false;
            return;
        };
        let connection = &self.rscs[rsc];
        let container = connection.container.map(|rsc| &self.rscs[rsc]);
        let host = match connection.running_on.as_slice() {
            [host] if container.is_some() => Some(&self.nodes[*host]),
            _ => None,
        };
        let host_lost = host.is_some_and(|host| !host.online && host.unclean);
        let started = connection.role == Role::Started;
        let stopping = started && connection.next_role == Role::Stopped;
        let container_failed = container.is_some_and(|rsc| rsc.failed);
        let stopped = connection.role == Role::Stopped
            || container.is_some_and(|rsc| rsc.role == Role::Stopped);
        let failed = connection.failed;
        let node = &mut self.nodes[id];
        node.online |= started;
        node.shutdown |= stopping;
        if container_failed {
            node.online = false;
            node.remote_needs_reset = true;
        } else if failed {
            node.online = false;
        } else if stopped {
            node.online = false;
            node.remote_needs_reset = false;
        } else if host_lost {
            node.online = false;
            node.remote_needs_reset = true;
        }
    }

    fn unpack_remote_attributes(&mut self, id: NodeId) {
        if !self.nodes[id].remote_needs_reset {
            self.nodes[id].unclean = false;
            self.nodes[id].unseen = false;
        }
        let shutdown = self.shutdown_requested(id);
        let standby = is_true(self.attribute(id, "standby"));
        let connection = self.nodes[id].remote_resource;
        let unmanaged = connection.is_some_and(|rsc| !self.rscs[rsc].managed);
        let maintenance = is_true(self.attribute(id, "maintenance")) || unmanaged;
        let node = &mut self.nodes[id];
        node.shutdown |= shutdown;
        node.standby |= standby;
        node.maintenance |= maintenance;
    }

    /// Takes over the histories that can be understood by now; says whether there were any.
    fn unpack_histories(&mut self, all: bool) -> bool {
        let mut any = false;
        for state in self.states {
            let Some(id) = self.node_of(state).filter(|_| !state.name.is_empty()) else {
                continue;
            };
            if self.nodes[id].unpacked || (!all && !self.is_ready(id)) {
                continue;
            }
            if self.nodes[id].kind == NodeKind::Remote {
                self.update_remote(id);
                self.unpack_remote_attributes(id);
            }
            self.nodes[id].unpacked = true;
            for history in &state.history {
                self.unpack_history(id, history);
            }
            any = true;
        }
        any
    }

    fn is_ready(&self, id: NodeId) -> bool {
        let node = &self.nodes[id];
        if node.kind != NodeKind::Remote {
            return self.options.fencing || self.options.shutdown_lock || node.online;
        }
        let Some(rsc) = node.remote_resource else {
            return false;
        };
        let up = |rsc| self.rscs[rsc].role == Role::Started;
        match self.rscs[rsc].container {
            Some(container) => up(rsc) && up(container),
            None => self.options.shutdown_lock || up(rsc),
        }
    }
}

fn same(value: Option<&str>, word: &str) -> bool {
    value.is_some_and(|value| value.eq_ignore_ascii_case(word))
}

fn is_a_time(value: &str) -> bool {
    leading_integer(value).is_some_and(|value| value > 0) && !value.starts_with('0')
}
