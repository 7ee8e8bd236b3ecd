//! Orderings and colocations that every resource brings along.
//!
//! Not for those that are configured: see `constrain`.

use crate::input::Kind;
use crate::role::{Role, Task};
use crate::score::INFINITY;
use crate::settings::Strategy;
use crate::sort::merge_sort;
use crate::work::{Colocation, End, Ordering, RscId, Work, flag, order};

const STARTS: u32 = order::IMPLIES_THEN | order::RUNNABLE_LEFT;

impl Work<'_> {
    pub(crate) fn add_internal_constraints(&mut self, rsc: RscId) {
        match self.kind(rsc) {
            Kind::Primitive | Kind::Bundle => self.add_primitive_constraints(rsc),
            Kind::Group => self.add_group_constraints(rsc),
            Kind::Clone => self.add_clone_constraints(rsc),
        }
    }

    fn chain(&mut self, rsc: RscId, steps: &[(Task, Task, u32)]) {
        for (first, then, flags) in steps {
            self.order_tasks((rsc, *first), (rsc, *then), *flags);
        }
    }

    fn add_primitive_constraints(&mut self, rsc: RscId) {
        if !self.rscs[rsc].managed {
            return;
        }
        let restart = order::OPTIONAL | order::IMPLIES_THEN | order::RESTART;
        self.chain(rsc, &[(Task::Stop, Task::Start, restart)]);
        let top = self.top_of(rsc);
        if self.rscs[top].spec.promotable || self.rscs[rsc].role > Role::Unpromoted {
            self.chain(
                rsc,
                &[
                    (Task::Demote, Task::Stop, order::PROMOTED_IMPLIES_FIRST),
                    (Task::Start, Task::Promote, order::RUNNABLE_LEFT),
                ],
            );
        }
        if self.rscs[rsc].spec.needs_unfencing {
            for node in self.rscs[rsc].allowed.nodes() {
                let unfence = self.fence(node, Task::Unfence, true);
                let (stop, start) = (End::Task(rsc, Task::Stop), End::Task(rsc, Task::Start));
                self.order(
                    stop,
                    End::Action(unfence),
                    order::OPTIONAL | order::SAME_NODE,
                );
                let flags = order::IMPLIES_THEN_ON_NODE | order::SAME_NODE;
                self.order(End::Action(unfence), start, flags);
            }
        }
        let counts = self.options.strategy != Strategy::Default;
        if counts && !self.rscs[rsc].spec.config.utilization.is_empty() {
            self.order_by_load(rsc);
        }
        if let Some(container) = self.rscs[rsc].container {
            self.add_container_constraints(rsc, container);
        }
        let off_limits = self.rscs[rsc].spec.fence_device
            || (self.rscs[rsc].spec.remote && self.rscs[rsc].container.is_none());
        if off_limits {
            let behind = |node: &crate::work::NodeId| self.nodes[*node].remote_resource.is_some();
            let behind: Vec<_> = self.nodes.ids().filter(behind).collect();
            for node in behind {
                self.locate(rsc, Some(node), -INFINITY, false);
            }
        }
    }

    fn add_container_constraints(&mut self, rsc: RscId, container: RscId) {
        self.order_tasks((container, Task::Start), (rsc, Task::Start), STARTS);
        self.order_tasks(
            (rsc, Task::Stop),
            (container, Task::Stop),
            order::IMPLIES_FIRST,
        );
        self.add_colocation(Colocation {
            dependent: rsc,
            primary: container,
            dependent_role: Role::Unknown,
            primary_role: Role::Unknown,
            score: INFINITY,
            attribute: None,
            influence: true,
            source: None,
        });
    }

    /// What leaves a node makes room before something else comes.
    fn order_by_load(&mut self, rsc: RscId) {
        let leaving = self.rscs[rsc].running_on.clone();
        let coming = self.rscs[rsc].allowed.nodes();
        for node in leaving {
            let point = self.room_on(node);
            self.order_load(End::Task(rsc, Task::Stop), point);
        }
        for node in coming {
            let point = self.room_on(node);
            self.order_load(point, End::Task(rsc, Task::Start));
            self.order_load(point, End::Task(rsc, Task::MigrateTo));
        }
    }

    fn order_load(&mut self, first: End, then: End) {
        let flags = order::LOAD;
        self.orderings.push(Ordering { first, then, flags });
    }

    fn room_on(&mut self, node: crate::work::NodeId) -> End {
        if let Some(point) = self.nodes[node].room {
            return End::Action(point);
        }
        let name = format!("load_stopped_{}", self.nodes[node].name);
        let point = self.pseudo(&name, Task::LoadStopped);
        self.nodes[node].room = Some(point);
        self.actions[point].node = Some(node);
        self.actions[point].flags &= !flag::OPTIONAL;
        End::Action(point)
    }

    fn add_group_constraints(&mut self, group: RscId) {
        self.chain(
            group,
            &[
                (Task::Stop, Task::Stopped, order::RUNNABLE_LEFT),
                (Task::Stopped, Task::Start, order::OPTIONAL),
                (Task::Start, Task::Started, order::RUNNABLE_LEFT),
            ],
        );
        let members = self.rscs[group].children.clone();
        let (mut previous, mut last_active) = (None, None);
        for member in members {
            self.add_internal_constraints(member);
            self.colocate_members(group, member, previous);
            self.frame_member(group, member, previous.is_none());
            match previous {
                Some(previous) if self.rscs[group].spec.ordered => {
                    self.chain_members(group, member, previous, last_active);
                }
                None if self.rscs[group].spec.ordered => {}
                _ => self.release_member(group, member),
            }
            if !self.rscs[member].running_on.is_empty() {
                last_active = Some(member);
            }
            previous = Some(member);
        }
    }

    fn is_promotable(&self, group: RscId) -> bool {
        self.rscs[self.top_of(group)].spec.promotable
    }

    fn colocate_members(&mut self, group: RscId, member: RscId, previous: Option<RscId>) {
        let Some(previous) = previous.filter(|_| self.rscs[group].spec.colocated) else {
            return;
        };
        self.add_colocation(Colocation {
            dependent: member,
            primary: previous,
            dependent_role: Role::Unknown,
            primary_role: Role::Unknown,
            score: INFINITY,
            attribute: None,
            influence: self.rscs[member].spec.critical,
            source: None,
        });
    }

    fn frame_member(&mut self, group: RscId, member: RscId, first: bool) {
        let (mut down, mut after) = (order::PRINTED_FIRST, order::PRINTED_THEN);
        if first && self.rscs[group].spec.ordered {
            down |= order::OPTIONAL;
            after = order::IMPLIES_THEN;
        }
        let up = STARTS | order::PRINTED_THEN;
        if self.is_promotable(group) {
            self.order_tasks((group, Task::Demote), (member, Task::Demote), down);
            self.order_tasks((member, Task::Demote), (group, Task::Demoted), after);
            self.order_tasks((member, Task::Promote), (group, Task::Promoted), up);
            let flags = order::PRINTED_FIRST;
            self.order_tasks((group, Task::Promote), (member, Task::Promote), flags);
        }
        self.order_tasks((group, Task::Stop), (member, Task::Stop), down);
        self.order_tasks((member, Task::Stop), (group, Task::Stopped), after);
        self.order_tasks(
            (group, Task::Start),
            (member, Task::Start),
            order::PRINTED_FIRST,
        );
        self.order_tasks((member, Task::Start), (group, Task::Started), up);
    }

    fn release_member(&mut self, group: RscId, member: RscId) {
        let flags = STARTS | order::PRINTED_FIRST;
        self.order_tasks((group, Task::Start), (member, Task::Start), flags);
        if self.is_promotable(group) {
            self.order_tasks((group, Task::Promote), (member, Task::Promote), flags);
        }
    }

    fn chain_members(
        &mut self,
        group: RscId,
        member: RscId,
        previous: RscId,
        last_active: Option<RscId>,
    ) {
        self.order_tasks((previous, Task::Start), (member, Task::Start), STARTS);
        let flags = order::OPTIONAL | order::RESTART;
        self.order_tasks((member, Task::Stop), (previous, Task::Stop), flags);
        if self.is_promotable(group) {
            self.order_tasks((previous, Task::Promote), (member, Task::Promote), STARTS);
            self.order_tasks(
                (member, Task::Demote),
                (previous, Task::Demote),
                order::OPTIONAL,
            );
        }
        let gap = self.rscs[previous].running_on.is_empty();
        if !self.rscs[member].running_on.is_empty()
            && gap
            && let Some(active) = last_active
        {
            self.order_tasks((member, Task::Stop), (active, Task::Stop), order::OPTIONAL);
        }
    }

    fn add_clone_constraints(&mut self, clone: RscId) {
        let spec = self.spec(clone);
        self.chain(
            clone,
            &[
                (Task::Stopped, Task::Start, order::OPTIONAL),
                (Task::Start, Task::Started, order::RUNNABLE_LEFT),
                (Task::Stop, Task::Stopped, order::RUNNABLE_LEFT),
            ],
        );
        if spec.promotable {
            self.chain(
                clone,
                &[
                    (Task::Demoted, Task::Stop, order::OPTIONAL),
                    (Task::Started, Task::Promote, order::RUNNABLE_LEFT),
                ],
            );
        }
        let mut children = self.rscs[clone].children.clone();
        if spec.ordered {
            merge_sort(&mut children, &mut |one, other| {
                self.rscs[one].instance.cmp(&self.rscs[other].instance)
            });
        }
        let mut previous = None;
        for child in &children {
            let child = *child;
            self.add_internal_constraints(child);
            let (first, then) = (order::PRINTED_FIRST, order::PRINTED_THEN);
            let start = order::RUNNABLE_LEFT | first;
            self.order_tasks((clone, Task::Start), (child, Task::Start), start);
            self.order_tasks((child, Task::Start), (clone, Task::Started), then);
            self.order_tasks((clone, Task::Stop), (child, Task::Stop), first);
            self.order_tasks((child, Task::Stop), (clone, Task::Stopped), then);
            if let Some(previous) = previous.filter(|_| spec.ordered) {
                self.order_tasks(
                    (previous, Task::Start),
                    (child, Task::Start),
                    order::OPTIONAL,
                );
                self.order_tasks((child, Task::Stop), (previous, Task::Stop), order::OPTIONAL);
            }
            previous = Some(child);
        }
        if spec.promotable {
            self.add_promotable_constraints(clone, &children, spec.ordered);
        }
    }

    fn add_promotable_constraints(&mut self, clone: RscId, children: &[RscId], ordered: bool) {
        let after = order::OPTIONAL;
        self.chain(
            clone,
            &[
                (Task::Stopped, Task::Start, after),
                (Task::Stopped, Task::Promote, after),
                (Task::Demoted, Task::Start, after),
                (Task::Started, Task::Promote, after),
                (Task::Demoted, Task::Stop, after),
                (Task::Demote, Task::Demoted, after),
                (Task::Demoted, Task::Promote, after),
            ],
        );
        let mut previous = None;
        for child in children.iter().copied() {
            self.chain(child, &[(Task::Demote, Task::Promote, after)]);
            self.order_tasks((clone, Task::Promote), (child, Task::Promote), after);
            self.order_tasks((child, Task::Promote), (clone, Task::Promoted), after);
            let flags = order::PRINTED_FIRST;
            self.order_tasks((clone, Task::Demote), (child, Task::Demote), flags);
            self.order_tasks(
                (child, Task::Demote),
                (clone, Task::Demoted),
                order::PRINTED_THEN,
            );
            if let Some(previous) = previous.filter(|_| ordered) {
                self.order_tasks((previous, Task::Promote), (child, Task::Promote), after);
                self.order_tasks((child, Task::Demote), (previous, Task::Demote), after);
            }
            previous = Some(child);
        }
    }
}
