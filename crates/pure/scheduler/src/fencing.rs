//! Which nodes are fenced or let go, and what waits for that.
//!
//! Not for deciding that a node is unclean: see `online` and `history`.

use crate::role::Task;
use crate::settings::Requires;
use crate::work::{ActionId, NodeId, RscId, Work, flag, order};

impl Work<'_> {
    pub(crate) fn schedule_fencing(&mut self) {
        let any_managed = self.rscs.ids().any(|rsc| self.rscs[rsc].managed);
        let (mut fences, mut last) = (Vec::new(), None);
        let mut dc = None;
        for node in self.nodes.ids() {
            if self.is_guest(node) {
                continue;
            }
            let there = &self.nodes[node];
            let down = if there.unclean && any_managed && self.can_fence(node) {
                let fence = self.fence(node, Task::Fence, false);
                self.order_vs_fence(fence, node);
                Some((fence, true))
            } else if there.online && there.shutdown && !self.is_remote(node) {
                Some((self.shut_down_after_stops(node), false))
            } else {
                None
            };
            let Some((action, is_fence)) = down else {
                continue;
            };
            if self.nodes[node].is_dc {
                dc = Some(action);
            } else if is_fence {
                let chained = !self.options.concurrent_fencing;
                let before = last.replace(action).filter(|_| chained);
                before.map(|before| self.relate(before, action, order::OPTIONAL));
                fences.push(action);
            }
        }
        for fence in fences {
            if let Some(dc) = dc {
                self.relate(fence, dc, order::OPTIONAL);
            }
        }
    }

    fn shut_down_after_stops(&mut self, node: NodeId) -> ActionId {
        let down = self.shut_down(node);
        for id in self.actions.ids() {
            let action = &self.actions[id];
            let Some(rsc) = action.rsc.filter(|_| action.task == Task::Stop) else {
                continue;
            };
            let me = &self.rscs[rsc];
            let waits = action.node == Some(node)
                && !me.maintenance
                && !self.nodes[node].maintenance
                && (me.managed || me.blocked);
            if waits {
                self.actions[id].flags &= !flag::OPTIONAL;
                self.relate(id, down, order::OPTIONAL | order::RUNNABLE_LEFT);
            }
        }
        down
    }

    fn order_vs_fence(&mut self, fence: ActionId, node: NodeId) {
        for rsc in self.rscs.ids() {
            if !self.is_primitive(rsc) || !self.rscs[rsc].managed {
                continue;
            }
            self.order_starts_vs_fence(rsc, fence, node);
            self.order_stops_vs_fence(rsc, fence, node);
        }
    }

    fn order_starts_vs_fence(&mut self, rsc: RscId, fence: ActionId, node: NodeId) {
        for own in self.rscs[rsc].actions.clone() {
            let (id, task) = (own.id, own.task);
            match self.requires(rsc, task) {
                Requires::Nothing => {}
                Requires::Fencing => {
                    self.relate(fence, id, order::OPTIONAL);
                }
                Requires::Quorum => {
                    let unknown = task == Task::Start
                        && self.rscs[rsc].allowed.get(node).is_some()
                        && !self.is_known_on(rsc, node);
                    let strong = order::OPTIONAL | order::RUNNABLE_LEFT;
                    self.relate(fence, id, u32::from(unknown) * strong);
                }
            }
        }
    }

    fn is_known_on(&self, rsc: RscId, node: NodeId) -> bool {
        if self.rscs[rsc].known_on.contains(&node) {
            return true;
        }
        let parent = self.rscs[rsc].parent;
        parent.is_some_and(|parent| {
            let group = (!self.is_clone(parent))
                .then(|| self.rscs[parent].parent)
                .flatten();
            let clone = group.unwrap_or(parent);
            self.is_anonymous_clone(clone) && self.rscs[clone].known_on.contains(&node)
        })
    }

    fn order_stops_vs_fence(&mut self, rsc: RscId, fence: ActionId, node: NodeId) {
        let implied = self.rscs[rsc].spec.requires == Requires::Fencing || self.is_guest(node);
        let top = self.top_of(rsc);
        let top_stop = self.first_action(top, Task::Stop, None);
        for stop in self.on_node(rsc, Task::Stop, node) {
            self.actions[stop].flags |= flag::PSEUDO | flag::RUNNABLE;
            let stops = [Some(stop), top_stop].into_iter().flatten();
            for stop in stops.filter(|_| implied) {
                self.relate(fence, stop, order::PRESERVE);
            }
        }
        let there = &self.nodes[node];
        let gone = !there.online || there.unclean || self.rscs[rsc].failed;
        for demote in self.on_node(rsc, Task::Demote, node) {
            if !gone {
                continue;
            }
            self.actions[demote].flags |= flag::PSEUDO | flag::RUNNABLE;
            if implied {
                self.relate(fence, demote, order::PRESERVE | order::OPTIONAL);
            }
        }
    }

    fn on_node(&self, rsc: RscId, task: Task, node: NodeId) -> Vec<ActionId> {
        let all = self.rscs[rsc].own(task).iter();
        let wanted = all.filter(|own| own.task == task && own.node == Some(node));
        wanted.map(|own| own.id).collect()
    }
}
