//! Which node a primitive or a group gets.
//!
//! Not for the instances of clones: see `clones`.

use crate::account::Cause;
use crate::colocate::{Gather, fraction};
use crate::input::Kind;
use crate::role::{Role, Task};
use crate::score::INFINITY;
use crate::settings::NoQuorum;
use crate::work::{ColocationId, NodeId, RscId, Work, flag};

impl Work<'_> {
    /// Assigns everything.
    pub(crate) fn assign_resources(&mut self) {
        if self.options.strategy != crate::settings::Strategy::Default {
            self.sort_by_need();
        }
        let top = self.top.clone();
        let connections: Vec<RscId> = top
            .iter()
            .copied()
            .filter(|rsc| self.rscs[*rsc].spec.remote)
            .collect();
        for rsc in connections.iter().chain(&top) {
            let target = self.rscs[*rsc].partial.map(|(_, target)| target);
            let prefer = target.filter(|_| connections.contains(rsc));
            self.assign(*rsc, prefer);
        }
    }

    pub(crate) fn assign(&mut self, rsc: RscId, prefer: Option<NodeId>) -> Option<NodeId> {
        match self.kind(rsc) {
            Kind::Primitive | Kind::Bundle => self.assign_primitive(rsc, prefer),
            Kind::Group => self.assign_group(rsc, prefer),
            Kind::Clone => {
                self.assign_clone(rsc, prefer);
                None
            }
        }
    }

    /// Whether the follower's wishes count for `primary`.
    pub(crate) fn has_influence(&self, id: ColocationId, primary: RscId) -> bool {
        self.colocations[id].influence || self.rscs[primary].running_on.is_empty()
    }

    fn assign_primitive(&mut self, rsc: RscId, prefer: Option<NodeId>) -> Option<NodeId> {
        if let Some(parent) = self.rscs[rsc].parent
            && !self.rscs[parent].assigning
        {
            self.assign(parent, prefer);
        }
        if !self.rscs[rsc].unassigned {
            return self.rscs[rsc].assigned;
        }
        if self.rscs[rsc].assigning {
            return None;
        }
        self.rscs[rsc].assigning = true;
        for id in self.rscs[rsc].this_with.clone() {
            self.follow(rsc, id);
        }
        self.hear_followers(rsc);
        self.limit_next_role(rsc);
        if !self.rscs[rsc].managed {
            let role = self.rscs[rsc].role;
            self.rscs[rsc].next_role = role;
            let node = self.current_node(rsc);
            self.finalize(rsc, node, true);
        } else if self.options.stop_all {
            self.finalize(rsc, None, true);
        } else if self.rscs[rsc].unassigned {
            self.assign_best(rsc, prefer);
        }
        self.rscs[rsc].assigning = false;
        if self.rscs[rsc].spec.remote {
            self.adopt_connection(rsc);
        }
        self.rscs[rsc].assigned
    }

    fn follow(&mut self, rsc: RscId, id: ColocationId) {
        let colocation = &self.colocations[id];
        let (primary, score) = (colocation.primary, colocation.score);
        let soft = score < 0 && score > -INFINITY;
        let before = (colocation.dependent_role >= Role::Promoted || soft)
            .then(|| self.rscs[rsc].allowed.clone());
        self.assign(primary, None);
        self.apply_colocation(rsc, primary, id);
        if let Some(before) = before
            && !self.any_available(&self.rscs[rsc].allowed)
        {
            self.rscs[rsc].allowed = before;
        }
        self.note(|work| work.because_of_colocation(id, false));
    }

    fn hear_followers(&mut self, rsc: RscId) {
        for id in self.rscs[rsc].with_this.clone() {
            if !self.has_influence(id, rsc) {
                continue;
            }
            let colocation = &self.colocations[id];
            let how = Gather {
                factor: fraction(colocation.score),
                nonnegative: false,
                active: true,
                this_with: false,
            };
            let attribute = colocation.attribute.clone();
            let dependent = colocation.dependent;
            let mut table = Some(std::mem::take(&mut self.rscs[rsc].allowed));
            // Whoever asks for this resource's own scores meanwhile must find them.
            self.rscs[rsc].allowed = table.clone().unwrap_or_default();
            self.gather(dependent, &mut table, attribute.as_deref(), how);
            self.rscs[rsc].allowed = table.unwrap_or_default();
            self.note(|work| work.because_of_colocation(id, true));
        }
    }

    fn limit_next_role(&mut self, rsc: RscId) {
        let me = &self.rscs[rsc];
        let (role, next) = (me.role, me.next_role);
        if next == Role::Stopped {
            self.locate(rsc, None, -INFINITY, false);
            self.note(|_| Cause::new("it is to be stopped"));
        } else if next > role
            && !self.input.have_quorum
            && self.options.no_quorum == NoQuorum::Freeze
        {
            self.rscs[rsc].next_role = role;
        }
        if self.options.fencing && !self.have_fence_device {
            self.rscs[rsc].managed = false;
        }
    }

    fn assign_best(&mut self, rsc: RscId, prefer: Option<NodeId>) {
        let roomiest = if prefer.is_none() {
            self.ban_without_room(rsc)
        } else {
            None
        };
        let prefer = prefer.or(roomiest);
        let allowed = &self.rscs[rsc].allowed;
        let Some(best) = self.best_node(allowed, self.current_node(rsc)) else {
            self.finalize(rsc, None, false);
            return;
        };
        let score = |node: NodeId| allowed.score(node).unwrap_or(-INFINITY);
        let chosen = prefer.filter(|node| {
            allowed.get(*node).is_some()
                && score(*node) >= score(best)
                && score(*node) >= 0
                && self.nodes[*node].is_available()
        });
        let chosen = chosen.unwrap_or_else(|| {
            let unique = self.rscs[rsc]
                .parent
                .is_some_and(|parent| self.is_clone(parent) && self.rscs[parent].spec.unique);
            let free = !unique && score(best) > 0 && self.nodes[best].is_available();
            let running = self.current_node(rsc).filter(|node| {
                let there = &self.nodes[*node];
                free && there.is_available() && there.weight >= 0
            });
            let equal = running.filter(|node| score(*node) == score(best));
            equal.unwrap_or(best)
        });
        self.finalize(rsc, Some(chosen), false);
    }

    /// Fixes the node of a primitive.
    pub(crate) fn finalize(&mut self, rsc: RscId, node: Option<NodeId>, force: bool) -> bool {
        let mut chosen = node;
        self.rscs[rsc].unassigned = false;
        if !force && let Some(node) = chosen {
            let score = self.rscs[rsc].allowed.score(node).unwrap_or(-INFINITY);
            let there = &self.nodes[node];
            if score < 0 || !(there.is_available() || self.is_guest(node)) {
                self.rscs[rsc].next_role = Role::Stopped;
                chosen = None;
            }
        }
        let previous = self.rscs[rsc].assigned;
        if let Some(previous) = previous {
            self.nodes[previous].resources -= 1;
            self.consume(rsc, previous, true);
            self.rscs[rsc].assigned = None;
        }
        let Some(node) = chosen else {
            self.rscs[rsc].next_role = Role::Stopped;
            for stop in self.actions_of(rsc, Task::Stop, None) {
                self.actions[stop].flags &= !flag::OPTIONAL;
            }
            for start in self.actions_of(rsc, Task::Start, None) {
                self.actions[start].flags &= !flag::RUNNABLE;
            }
            return previous.is_some();
        };
        let score = self.rscs[rsc].allowed.score(node).unwrap_or(0);
        self.rscs[rsc].assigned = Some(node);
        self.rscs[rsc].assigned_score = score;
        self.nodes[node].resources += 1;
        self.consume(rsc, node, false);
        previous != chosen
    }

    /// Fixes the node of everything in a resource.
    pub(crate) fn assign_all(&mut self, rsc: RscId, node: Option<NodeId>, force: bool) -> bool {
        if self.is_primitive(rsc) {
            return self.finalize(rsc, node, force);
        }
        let mut changed = false;
        for child in self.rscs[rsc].children.clone() {
            changed |= self.assign_all(child, node, force);
        }
        changed
    }

    /// Takes back what was assigned; a group keeps what its members have.
    pub(crate) fn unassign(&mut self, rsc: RscId) {
        if let Some(node) = self.rscs[rsc].assigned.take() {
            self.nodes[node].resources -= 1;
            self.consume(rsc, node, true);
            self.rscs[rsc].unassigned = true;
        }
    }

    fn adopt_connection(&mut self, rsc: RscId) {
        let Some(node) = self.node_named(&self.rscs[rsc].id.clone()) else {
            return;
        };
        let up = self.rscs[rsc].assigned.is_some() && self.rscs[rsc].next_role != Role::Stopped;
        let node = &mut self.nodes[node];
        if up {
            node.online = true;
            if node.unseen {
                node.unclean = false;
            }
        } else {
            node.shutdown = true;
        }
    }

    fn assign_group(&mut self, rsc: RscId, prefer: Option<NodeId>) -> Option<NodeId> {
        let members = self.rscs[rsc].children.clone();
        if !self.rscs[rsc].unassigned {
            return self.rscs[rsc].assigned;
        }
        let (Some(first), Some(last)) = (members.first().copied(), members.last().copied()) else {
            self.rscs[rsc].unassigned = false;
            return None;
        };
        if self.rscs[rsc].assigning {
            return None;
        }
        self.rscs[rsc].assigning = true;
        self.rscs[rsc].role = self.rscs[first].role;
        for id in std::mem::take(&mut self.rscs[rsc].this_with) {
            self.add_this_with(first, id);
        }
        for id in std::mem::take(&mut self.rscs[rsc].with_this) {
            self.add_with_this(last, id);
        }
        let mut node = None;
        for member in members {
            let there = self.assign(member, prefer);
            node = node.or(there);
        }
        self.rscs[rsc].next_role = self.rscs[first].next_role;
        self.rscs[rsc].assigning = false;
        self.rscs[rsc].unassigned = false;
        node.filter(|_| self.rscs[rsc].spec.colocated)
    }
}
