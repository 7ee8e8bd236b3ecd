//! Finding out what nobody has looked for yet.
//!
//! Not for recurring checks.

use crate::input::Kind;
use crate::role::{Role, Task};
use crate::work::{Discovery, End, NodeId, Ordering, RscId, Work, flag, order};

impl Work<'_> {
    pub(crate) fn schedule_probes(&mut self) {
        if !self.options.probes {
            return;
        }
        for node in self.nodes.ids() {
            let there = &self.nodes[node];
            if !there.online || there.unclean {
                continue;
            }
            for rsc in self.top.clone() {
                self.probe(rsc, node);
            }
        }
    }

    fn probe(&mut self, rsc: RscId, node: NodeId) {
        match self.kind(rsc) {
            Kind::Primitive | Kind::Bundle => self.probe_primitive(rsc, node),
            Kind::Clone if !self.rscs[rsc].spec.unique => {
                let there = |rsc: RscId| {
                    let me = &self.rscs[rsc];
                    me.running_on.contains(&node) || me.assigned == Some(node)
                };
                let here = |child: &&RscId| self.any_primitive(**child, &there);
                let asked = |rsc: RscId| self.rscs[rsc].known_on.contains(&node);
                let known = |child: &&RscId| self.any_primitive(**child, &asked);
                let children = &self.rscs[rsc].children;
                // Whichever copy was looked for, they are all alike.
                let child = children.iter().find(known);
                let child = child.or_else(|| children.iter().find(here));
                let child = child.or(children.first()).copied();
                if let Some(child) = child {
                    self.probe(child, node);
                }
            }
            Kind::Group | Kind::Clone => {
                let mut at = 0;
                while let Some(child) = self.child(rsc, at) {
                    self.probe(child, node);
                    at += 1;
                }
            }
        }
    }

    fn probe_primitive(&mut self, rsc: RscId, node: NodeId) {
        if !self.wants_probe(rsc, node) {
            return;
        }
        let probe = self.act(rsc, Task::Probe, Some(node), false);
        self.actions[probe].flags &= !flag::OPTIONAL;
        self.order_vs_unfence(rsc, node, probe, order::OPTIONAL);
        self.actions[probe].expected_rc = if !self.rscs[rsc].running_on.contains(&node) {
            7
        } else if self.rscs[rsc].role == Role::Promoted {
            8
        } else {
            0
        };
        let mut flags = order::OPTIONAL;
        if !self.actions[probe].is(flag::RUNNABLE) && self.rscs[rsc].running_on.is_empty() {
            flags |= order::RUNNABLE_LEFT;
        }
        let top = self.top_of(rsc);
        let waits = if self.is_clone(top) { top } else { rsc };
        self.orderings.push(Ordering {
            first: End::Action(probe),
            then: End::Task(waits, Task::Start),
            flags,
        });
    }

    fn wants_probe(&self, rsc: RscId, node: NodeId) -> bool {
        let me = &self.rscs[rsc];
        let behind = self.nodes[node].remote_resource.is_some();
        if me.orphan
            || (me.container.is_some() && !me.spec.remote)
            || me.known_on.contains(&node)
            || (behind && (me.spec.fence_device || me.spec.remote))
        {
            return false;
        }
        let slot = me.allowed.get(node);
        if me.exclusive_discovery && slot.is_none_or(|slot| slot.discovery != Discovery::Exclusive)
        {
            return false;
        }
        slot.is_none_or(|slot| slot.discovery != Discovery::Never)
    }
}
