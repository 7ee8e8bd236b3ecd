//! How relations of groups and clones reach their members.
//!
//! Not for primitives: see `rules`.

use crate::input::Kind;
use crate::role::{Role, Task};
use crate::rules::{FIRST, Relation, THEN};
use crate::work::{ActionId, NodeId, Place, RscId, Work, flag, order};

impl Work<'_> {
    /// The node that a relation looks at: for a group's start, the group's.
    pub(crate) fn node_for(&self, action: ActionId) -> Option<NodeId> {
        let it = &self.actions[action];
        match it.rsc {
            Some(rsc) if it.task == Task::Start && self.kind(rsc) == Kind::Group => {
                self.location(rsc, Place::Assigned).or(it.node)
            }
            _ => it.node,
        }
    }

    /// The flags of an action as a relation sees them; a collective's follow from its members'.
    pub(crate) fn flags_for(&mut self, action: ActionId, node: Option<NodeId>) -> u32 {
        let Some(rsc) = self.actions[action].rsc else {
            return self.actions[action].flags;
        };
        let flags = self.member_flags(rsc, action, None);
        if node.is_none() || !self.is_clone(rsc) {
            return flags;
        }
        self.member_flags(rsc, action, node) | (flags & flag::RUNNABLE)
    }

    pub(crate) fn member_flags(
        &mut self,
        rsc: RscId,
        action: ActionId,
        node: Option<NodeId>,
    ) -> u32 {
        match self.kind(rsc) {
            Kind::Primitive | Kind::Bundle => self.actions[action].flags,
            Kind::Group => self.group_flags(rsc, action, node),
            Kind::Clone => self.clone_flags(rsc, action, node),
        }
    }

    fn group_flags(&mut self, group: RscId, action: ActionId, node: Option<NodeId>) -> u32 {
        let mut flags = flag::OPTIONAL | flag::RUNNABLE | flag::PSEUDO;
        let named = self.actions[action].task;
        let task = named.atomic();
        for member in self.rscs[group].children.clone() {
            let Some(own) = self.first_action(member, task, node) else {
                let down = matches!(task, Task::Stop | Task::Demote);
                flags &= !(u32::from(!down) * flag::RUNNABLE);
                continue;
            };
            let theirs = self.member_flags(member, own, node);
            if theirs & flag::OPTIONAL == 0 && flags & flag::OPTIONAL != 0 {
                flags &= !flag::OPTIONAL;
                self.actions[action].flags &= !flag::OPTIONAL;
            }
            if named != task && theirs & flag::RUNNABLE == 0 && flags & flag::RUNNABLE != 0 {
                flags &= !flag::RUNNABLE;
                self.actions[action].flags &= !flag::RUNNABLE;
            }
        }
        flags
    }

    fn clone_flags(&mut self, clone: RscId, action: ActionId, node: Option<NodeId>) -> u32 {
        let mut flags = flag::OPTIONAL | flag::RUNNABLE | flag::PSEUDO;
        let task = self.task_of_copies(clone, self.actions[action].task);
        let mut any_runnable = false;
        for child in self.rscs[clone].children.clone() {
            let where_to_look = if self.rscs[child].children.is_empty() {
                node
            } else {
                None
            };
            let Some(own) = self.first_action(child, task, where_to_look) else {
                continue;
            };
            let theirs = self.member_flags(child, own, node);
            if theirs & flag::OPTIONAL == 0 && flags & flag::OPTIONAL != 0 {
                flags &= !flag::OPTIONAL;
                self.actions[action].flags &= !flag::OPTIONAL;
            }
            any_runnable |= theirs & flag::RUNNABLE != 0;
        }
        if !any_runnable {
            flags &= !flag::RUNNABLE;
            if node.is_none() {
                self.actions[action].flags &= !flag::RUNNABLE;
            }
        }
        flags
    }

    /// What marks the end for a clone is the end too for a group, and the task itself for a primitive.
    fn task_of_copies(&self, clone: RscId, task: Task) -> Task {
        let first = self.rscs[clone].children.first();
        if first.is_some_and(|child| !self.is_primitive(*child)) {
            return task;
        }
        task.atomic()
    }

    /// A relation to an action of a resource.
    pub(crate) fn apply_rule(&mut self, whose: RscId, relation: Relation) -> u32 {
        match self.kind(whose) {
            Kind::Primitive | Kind::Bundle => self.apply_plain(relation),
            Kind::Group => self.apply_to_group(whose, relation),
            Kind::Clone => self.apply_to_clone(relation),
        }
    }

    fn apply_to_group(&mut self, group: RscId, relation: Relation) -> u32 {
        let task = self.actions[relation.then].task;
        let mut changed = self.apply_plain(relation);
        for member in self.rscs[group].children.clone() {
            if let Some(then) = self.first_action(member, task, relation.node) {
                changed |= self.apply_rule(member, Relation { then, ..relation });
            }
        }
        changed
    }

    fn apply_to_clone(&mut self, relation: Relation) -> u32 {
        let (first, then) = (&self.actions[relation.first], &self.actions[relation.then]);
        let (first_task, then_task) = (first.task, then.task);
        let Some(then_rsc) = then.rsc else {
            return 0;
        };
        if let Some(first_rsc) = first.rsc
            && first_rsc != then_rsc
            && self.is_clone(first_rsc)
            && self.is_clone(then_rsc)
        {
            let down = matches!(then_task, Task::Stop | Task::Demote);
            let decides = if down { first_rsc } else { then_rsc };
            if self.rscs[decides].spec.interleave {
                return self.apply_in_pairs(first_rsc, then_rsc, relation);
            }
        }
        let mut changed = self.apply_plain(relation);
        for child in self.rscs[then_rsc].children.clone() {
            let Some(then) = self.first_action(child, then_task, relation.node) else {
                continue;
            };
            if self.member_flags(child, then, relation.node) & flag::RUNNABLE == 0 {
                continue;
            }
            let theirs = self.apply_rule(child, Relation { then, ..relation });
            changed |= theirs;
            if theirs & THEN != 0 {
                self.update_after(then);
            }
        }
        let _ = first_task;
        changed
    }

    /// Instances of interleaved clones only wait for those on their own node.
    fn apply_in_pairs(&mut self, first_rsc: RscId, then_rsc: RscId, relation: Relation) -> u32 {
        let first_task = self.actions[relation.first].task;
        let then_task = self.actions[relation.then].task;
        let current = matches!(first_task, Task::Stopped | Task::Demoted);
        let mut changed = 0;
        for then_child in self.rscs[then_rsc].children.clone() {
            let pair = self.compatible(then_child, first_rsc, Role::Unknown, current);
            let Some(first_child) = pair else {
                let needs = relation.kind & (order::RUNNABLE_LEFT | order::IMPLIES_THEN) != 0;
                let lost = !current && needs && self.assign_all(then_child, None, true);
                changed |= u32::from(lost) * THEN;
                continue;
            };
            let task = self.task_of_copies(first_rsc, first_task);
            let first = self.first_action(first_child, task, relation.node);
            let then = self.first_action(then_child, then_task, relation.node);
            let (Some(first), Some(then)) = (first, then) else {
                continue;
            };
            if self.relate(first, then, relation.kind) {
                changed |= FIRST | THEN;
            }
            let flags = self.member_flags(first_child, first, relation.node);
            let own = Relation {
                first,
                then,
                flags,
                ..relation
            };
            changed |= self.apply_rule(then_child, own);
        }
        changed
    }
}
