//! From orderings to relations between actions, and on until nothing changes any more.
//!
//! Not for what one relation does to two actions: see `rules`.

use crate::input::Kind;
use crate::role::{Role, Task};
use crate::rules::{FIRST, THEN};
use crate::score::INFINITY;
use crate::work::{ActionId, End, Link, Ordering, RscId, Work, flag, order};

impl Work<'_> {
    pub(crate) fn apply_orderings(&mut self) {
        for ordering in std::mem::take(&mut self.orderings) {
            self.apply_ordering(&ordering);
        }
        for action in self.actions.ids() {
            self.block_companions(action);
        }
        for action in self.actions.ids().rev() {
            self.update(action);
        }
        self.drop_load_loops();
    }

    fn apply_ordering(&mut self, ordering: &Ordering) {
        match ordering.first {
            End::Action(id) => {
                let rsc = self.actions[id].rsc;
                self.apply_ordering_from(id, rsc, ordering);
            }
            End::Task(rsc, task) => {
                for id in self.first_side(rsc, task, ordering) {
                    self.apply_ordering_from(id, Some(rsc), ordering);
                }
            }
        }
    }

    fn apply_ordering_from(&mut self, first: ActionId, whose: Option<RscId>, ordering: &Ordering) {
        let mut flags = ordering.flags;
        match ordering.then {
            End::Action(then) => {
                self.relate(first, then, flags);
            }
            End::Task(rsc, task) => {
                if self.actions[first].is(flag::DANGLE) && whose == Some(rsc) {
                    flags &= !order::IMPLIES_THEN;
                }
                self.relate_task(first, (rsc, task), flags);
            }
        }
    }

    /// Relates an action to all of a resource's that have a task.
    fn relate_task(&mut self, first: ActionId, (rsc, task): (RscId, Task), flags: u32) {
        let mut at = 0;
        while let Some(own) = self.rscs[rsc].own(task).get(at).copied() {
            at += 1;
            if own.task == task {
                self.relate(first, own.id, flags);
            }
        }
    }

    /// The actions that come first; one that nothing else needs is made if there is none.
    fn first_side(&mut self, rsc: RscId, task: Task, ordering: &Ordering) -> Vec<ActionId> {
        let found = self.actions_of(rsc, task, None);
        let itself = matches!(ordering.then, End::Task(then, _) if then == rsc);
        if !found.is_empty() || itself {
            return found;
        }
        let role = self.role_of(rsc, true);
        let over = (role == Role::Stopped && task == Task::Stop)
            || (role == Role::Unpromoted && task == Task::Demote);
        if over {
            return found;
        }
        vec![self.act(rsc, task, None, true)]
    }

    /// Works the relations of an action, and of what that changes.
    pub(crate) fn update(&mut self, then: ActionId) {
        let mut changed = 0;
        let before = self.actions[then].flags;
        let any = self.actions[then].is(flag::REQUIRES_ANY);
        if any {
            let action = &mut self.actions[then];
            action.runnable_before = 0;
            action.required_before = action.required_before.max(1);
            action.flags &= !flag::RUNNABLE;
        }
        for index in (0..self.actions[then].before.len()).rev() {
            changed |= self.update_link(then, index);
        }
        if any {
            changed = if self.actions[then].flags == before {
                0
            } else {
                THEN
            };
        }
        if changed & THEN == 0 {
            return;
        }
        if before & flag::RUNNABLE != 0 && !self.actions[then].is(flag::RUNNABLE) {
            self.block_companions(then);
        }
        self.update(then);
        self.update_after(then);
    }

    pub(crate) fn update_after(&mut self, action: ActionId) {
        for index in (0..self.actions[action].after.len()).rev() {
            if let Some(link) = self.actions[action].after.get(index).copied() {
                self.update(link.action);
            }
        }
    }

    fn disable(&mut self, then: ActionId, index: usize) {
        let Some(link) = self.actions[then].before.get_mut(index) else {
            return;
        };
        let (first, flags) = (link.action, link.flags);
        link.flags = order::NONE;
        let after = &mut self.actions[first].after;
        let mut same = after
            .iter_mut()
            .filter(|link| link.action == then && link.flags == flags);
        if let Some(link) = same.next() {
            link.flags = order::NONE;
        }
    }

    fn update_link(&mut self, then: ActionId, index: usize) -> u32 {
        let Some(link) = self.actions[then].before.get(index).copied() else {
            return 0;
        };
        if link.flags == order::NONE {
            return 0;
        }
        let (first_node, then_node) = (self.node_for(link.action), self.node_for(then));
        if link.flags & order::SAME_NODE != 0 && first_node.is_some() && first_node != then_node {
            self.disable(then, index);
            return 0;
        }
        let mut changed = 0;
        if link.flags & order::THEN_CANCELS_FIRST != 0
            && !self.actions[then].is(flag::OPTIONAL)
            && !self.actions[link.action].is(flag::OPTIONAL)
        {
            self.actions[link.action].flags |= flag::OPTIONAL;
            changed |= FIRST;
        }
        let first = self.remapped(link.action, then);
        if first == link.action {
            let first_flags = self.flags_for(first, then_node);
            let then_flags = self.flags_for(then, first_node);
            changed |= self.apply_link(link, then, first_flags, then_flags);
        } else if self.relate(first, then, link.flags) {
            self.disable(then, index);
            changed |= THEN;
        }
        if changed & FIRST != 0 {
            self.update_after(first);
            self.update(first);
        }
        changed
    }

    /// The end of a collective's task in place of its beginning.
    fn remapped(&self, first: ActionId, then: ActionId) -> ActionId {
        let action = &self.actions[first];
        let (Some(one), Some(other)) = (action.rsc, self.actions[then].rsc) else {
            return first;
        };
        if one == other || self.is_within(other, one) || self.is_primitive(one) {
            return first;
        }
        let completed = action.task.completed();
        if completed == action.task {
            return first;
        }
        self.first_action(one, completed, None).unwrap_or(first)
    }

    /// What must be with something that cannot start, cannot start either.
    pub(crate) fn block_companions(&mut self, action: ActionId) {
        let it = &self.actions[action];
        let task = it.task;
        if it.is(flag::RUNNABLE) || !matches!(task, Task::Start | Task::Promote) {
            return;
        }
        let Some(rsc) = it.rsc else {
            return;
        };
        let top = self.top_of(rsc);
        let lively = self.rscs[top].children.iter().any(|child| {
            let own = self.first_action(*child, task, None);
            own.is_none_or(|own| self.actions[own].is(flag::RUNNABLE))
        });
        if lively {
            return;
        }
        let mut with = self.rscs[rsc].with_this.clone();
        for id in self.rscs[top].with_this.clone() {
            if !with.contains(&id) {
                with.push(id);
            }
        }
        for id in with {
            let colocation = self.colocations[id].clone();
            let other_role = task == Task::Promote && colocation.primary_role != Role::Promoted;
            if colocation.score < INFINITY || other_role {
                continue;
            }
            let blocked = if colocation.dependent_role == Role::Promoted {
                Task::Promote
            } else {
                Task::Start
            };
            self.block(colocation.dependent, blocked, action);
        }
    }

    fn block(&mut self, rsc: RscId, task: Task, because: ActionId) {
        if self.kind(rsc) != Kind::Primitive {
            for child in self.rscs[rsc].children.clone() {
                self.block(child, task, because);
            }
            return;
        }
        for own in self.rscs[rsc].actions.clone() {
            let id = own.id;
            if id == because || own.task != task || !self.actions[id].is(flag::RUNNABLE) {
                continue;
            }
            self.actions[id].flags &= !flag::RUNNABLE;
            self.block_companions(id);
            self.update_after(id);
        }
    }

    /// A migration does not wait for room that it makes itself.
    fn drop_load_loops(&mut self) {
        for id in self.actions.ids() {
            if self.actions[id].task != Task::LoadStopped {
                continue;
            }
            let stops: Vec<Link> = self.actions[id].before.clone();
            let loops = |link: &Link| link.flags & order::LOAD != 0 && self.migrates(link.action);
            let all = stops.iter().enumerate().filter(|(_, link)| loops(link));
            let all: Vec<usize> = all.map(|(index, _)| index).collect();
            all.into_iter().for_each(|index| self.disable(id, index));
        }
    }

    /// Whether an action is part of a migration.
    fn migrates(&self, action: ActionId) -> bool {
        let rsc = self.actions[action].rsc;
        let leave = rsc.and_then(|rsc| self.first_action(rsc, Task::MigrateTo, None));
        leave.is_some_and(|leave| !self.actions[leave].is(flag::OPTIONAL))
    }
}
