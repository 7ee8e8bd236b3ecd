//! The actions of groups and clones: those of their members, and the marks around them.
//!
//! Not for which member goes where.

use crate::input::Kind;
use crate::role::Task;
use crate::sort::merge_sort;
use crate::work::{RscId, Work, flag, order};

/// What the instances of a clone do.
#[derive(Debug, Clone, Copy, Default)]
struct Doing {
    starting: bool,
    stopping: bool,
    promoting: bool,
    demoting: bool,
    active: bool,
    both: bool,
}

impl Work<'_> {
    /// All actions of a resource.
    pub(crate) fn create_actions(&mut self, rsc: RscId) {
        match self.kind(rsc) {
            Kind::Primitive | Kind::Bundle => self.create_primitive_actions(rsc),
            Kind::Group => self.create_group_actions(rsc),
            Kind::Clone => self.create_clone_actions(rsc),
        }
    }

    fn create_group_actions(&mut self, group: RscId) {
        for member in self.rscs[group].children.clone() {
            self.create_actions(member);
        }
        let top = self.top_of(group);
        let promotable = self.rscs[top].spec.promotable;
        let mut tasks = vec![Task::Start, Task::Started, Task::Stop, Task::Stopped];
        if promotable {
            tasks.extend([Task::Demote, Task::Demoted, Task::Promote, Task::Promoted]);
        }
        for task in tasks {
            self.act_pseudo(group, task, true, true);
        }
    }

    fn create_clone_actions(&mut self, clone: RscId) {
        self.create_instances(clone);
        if !self.rscs[clone].spec.promotable {
            return;
        }
        let mut doing = Doing::default();
        for child in self.rscs[clone].children.clone() {
            self.create_actions(child);
            self.note_promotions(child, &mut doing);
        }
        self.act_pseudo(clone, Task::Promote, !doing.promoting, true);
        self.act_pseudo(clone, Task::Promoted, !doing.promoting, true);
        self.act_pseudo(clone, Task::Demote, !doing.demoting, true);
        self.act_pseudo(clone, Task::Demoted, !doing.demoting, true);
        let own = self.rscs[clone].spec.priority;
        for child in self.rscs[clone].children.clone() {
            self.rscs[child].priority = own;
        }
    }

    fn create_instances(&mut self, clone: RscId) {
        let mut doing = Doing::default();
        for child in self.rscs[clone].children.clone() {
            self.create_actions(child);
            self.note_instance(child, &mut doing);
        }
        self.act_pseudo(clone, Task::Start, !doing.starting, true);
        let up = doing.active || doing.starting;
        let started = self.act_pseudo(clone, Task::Started, !doing.starting, false);
        self.set_runnable(started, up);
        let stop = self.act_pseudo(clone, Task::Stop, !doing.stopping, true);
        self.act_pseudo(clone, Task::Stopped, !doing.stopping, true);
        if !doing.both {
            self.actions[stop].flags |= flag::MIGRATABLE;
        }
        if self.rscs[clone].spec.ordered {
            self.chain_instances(clone);
        }
    }

    fn set_runnable(&mut self, action: crate::work::ActionId, runnable: bool) {
        if runnable {
            self.actions[action].flags |= flag::RUNNABLE;
        } else {
            self.actions[action].flags &= !flag::RUNNABLE;
        }
    }

    fn note_instance(&self, child: RscId, doing: &mut Doing) {
        let me = &self.rscs[child];
        if !me.children.is_empty() {
            for member in &me.children {
                self.note_instance(*member, doing);
            }
            return;
        }
        doing.active |= !me.running_on.is_empty();
        let (mut starting, mut stopping) = (false, false);
        for own in &me.actions {
            let action = &self.actions[own.id];
            let happens = !action.is(flag::OPTIONAL)
                && (action.is(flag::RUNNABLE) || action.is(flag::PSEUDO));
            stopping |= happens && action.task == Task::Stop;
            starting |= happens && action.task == Task::Start && action.is(flag::RUNNABLE);
        }
        doing.both |= starting && stopping;
        doing.starting |= starting;
        doing.stopping |= stopping;
    }

    fn note_promotions(&self, child: RscId, doing: &mut Doing) {
        let me = &self.rscs[child];
        for member in &me.children {
            self.note_promotions(*member, doing);
        }
        for own in &me.actions {
            let action = &self.actions[own.id];
            if action.is(flag::OPTIONAL) {
                continue;
            }
            doing.promoting |= action.task == Task::Promote;
            doing.demoting |= action.task == Task::Demote;
        }
    }

    /// Instances of an ordered clone start one after the other, and stop the other way round.
    fn chain_instances(&mut self, clone: RscId) {
        let mut children = self.rscs[clone].children.clone();
        merge_sort(&mut children, &mut |one, other| {
            self.rscs[one].instance.cmp(&self.rscs[other].instance)
        });
        let (mut last_start, mut last_stop) = (None, None);
        for child in children {
            if let Some(start) = self.needed(child, Task::Start) {
                let last = last_start.replace(start);
                last.map(|last| self.relate(last, start, order::OPTIONAL));
            }
            if let Some(stop) = self.needed(child, Task::Stop) {
                let last = last_stop.replace(stop);
                last.map(|last| self.relate(stop, last, order::OPTIONAL));
            }
        }
    }

    fn needed(&self, rsc: RscId, task: Task) -> Option<crate::work::ActionId> {
        let action = self.first_action(rsc, task, None);
        action.filter(|id| !self.actions[*id].is(flag::OPTIONAL))
    }
}
