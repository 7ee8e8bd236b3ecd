//! The actions that bring a primitive from its role and node to where it belongs.
//!
//! Not for collectives: see `instances`. Not for how actions wait for each other: see `relate`.

use crate::role::{Role, Task};
use crate::settings::MultipleActive;
use crate::work::{ActionId, End, NodeId, Ordering, RscId, Work, flag, order};

/// What the present state demands.
#[derive(Debug, Clone, Copy, Default)]
struct Needs {
    stop: bool,
    promote: bool,
    moving: bool,
    migrate: bool,
}

impl Work<'_> {
    /// The actions of a primitive.
    pub(crate) fn create_primitive_actions(&mut self, rsc: RscId) {
        if self.rscs[rsc].next_role == Role::Unknown {
            let idle = self.rscs[rsc].assigned.is_none();
            self.rscs[rsc].next_role = if idle { Role::Stopped } else { Role::Started };
        }
        let current = self.current_node(rsc);
        for node in self.rscs[rsc].dangling.clone() {
            let stop = self.act(rsc, Task::Stop, Some(node), false);
            self.actions[stop].flags |= flag::DANGLE;
        }
        let mut needs = Needs::default();
        let assigned = self.rscs[rsc].assigned;
        if let (Some(from), Some(to)) = (current, assigned)
            && from != to
            && self.rscs[rsc].next_role >= Role::Started
        {
            needs.moving = true;
            needs.stop = true;
            needs.migrate = self.can_migrate(rsc, from, to);
        }
        self.judge_partial(rsc, current, &mut needs);
        self.judge_multiple(rsc, &mut needs);
        if !needs.moving {
            self.judge_in_place(rsc, current, &mut needs);
        }
        self.bring_down(rsc, current, needs);
        self.bring_up(rsc, needs);
        self.change_role(rsc);
        self.keep_running(rsc);
        if needs.migrate
            && let Some(from) = current
            && let Some(to) = assigned
        {
            self.create_migration(rsc, from, to);
        }
    }

    fn is_clean(&self, node: NodeId) -> bool {
        self.nodes[node].online && !self.nodes[node].unclean
    }

    fn can_migrate(&self, rsc: RscId, from: NodeId, to: NodeId) -> bool {
        let me = &self.rscs[rsc];
        me.allow_migrate
            && me.managed
            && !me.failed
            && !me.start_pending
            && self.is_clean(from)
            && self.nodes[to].is_available()
    }

    fn judge_partial(&mut self, rsc: RscId, current: Option<NodeId>, needs: &mut Needs) {
        let Some((source, target)) = self.rscs[rsc].partial else {
            return;
        };
        let (_, all, _) = self.active(rsc);
        let assigned = self.rscs[rsc].assigned;
        let goes_on =
            needs.migrate && all == 2 && current == Some(source) && assigned == Some(target);
        if !goes_on {
            needs.stop = true;
            needs.migrate = false;
            self.rscs[rsc].partial = None;
        }
    }

    fn judge_multiple(&mut self, rsc: RscId, needs: &mut Needs) {
        let fencing = self.rscs[rsc].spec.requires == crate::settings::Requires::Fencing;
        let (_, all, clean) = self.active(rsc);
        let count = if fencing { all } else { clean };
        let partial = self.rscs[rsc].partial.is_some();
        if count > 1 && !partial {
            match self.rscs[rsc].spec.multiple_active {
                MultipleActive::StopStart => needs.stop = true,
                MultipleActive::StopUnexpected => {
                    needs.stop = true;
                    self.rscs[rsc].stop_unexpected = true;
                }
                MultipleActive::StopOnly | MultipleActive::Block => {}
            }
        }
        if self.rscs[rsc].start_pending
            && let Some(node) = self.rscs[rsc].assigned
        {
            let start = self.act(rsc, Task::Start, Some(node), true);
            self.actions[start].flags |= flag::PRINT;
        }
    }

    fn judge_in_place(&mut self, rsc: RscId, current: Option<NodeId>, needs: &mut Needs) {
        let me = &self.rscs[rsc];
        if me.failed {
            if me.stop_if_failed {
                needs.stop = true;
            } else if me.next_role == Role::Promoted {
                needs.promote = true;
            }
        } else if me.blocked {
            needs.stop = true;
        } else if me.role > Role::Started
            && current.is_some()
            && let Some(node) = me.assigned
        {
            let start = self.act(rsc, Task::Start, Some(node), true);
            needs.stop |= !self.actions[start].is(flag::OPTIONAL);
        }
    }

    /// Down to stopped, only if that is needed.
    fn bring_down(&mut self, rsc: RscId, current: Option<NodeId>, needs: Needs) {
        self.rscs[rsc].restarting = true;
        let mut role = self.rscs[rsc].role;
        while role != Role::Stopped {
            let (next, task) = match role {
                Role::Promoted => (Role::Unpromoted, Task::Demote),
                Role::Started | Role::Unpromoted => (Role::Stopped, Task::Stop),
                Role::Unknown | Role::Stopped => break,
            };
            if current.is_none() {
                break;
            }
            self.create(rsc, task, None, !needs.stop);
            role = next;
        }
        self.rscs[rsc].restarting = true;
    }

    /// Up again to the present role, only if it went down.
    fn bring_up(&mut self, rsc: RscId, needs: Needs) {
        let target = self.rscs[rsc].role;
        let mut role = Role::Stopped;
        while target <= self.rscs[rsc].next_role && role != target && !self.rscs[rsc].blocked {
            let Some((next, task)) = step(role, target) else {
                break;
            };
            let required = needs.stop || (task == Some(Task::Promote) && needs.promote);
            if let Some(task) = task {
                self.create(rsc, task, self.rscs[rsc].assigned, !required);
            }
            role = next;
        }
        self.rscs[rsc].restarting = false;
    }

    /// From the present role to the next.
    fn change_role(&mut self, rsc: RscId) {
        let target = self.rscs[rsc].next_role;
        let mut role = self.rscs[rsc].role;
        let mut guard = 0;
        while role != target && guard < 8 {
            guard += 1;
            let Some((next, task)) = step(role, target) else {
                break;
            };
            let Some(task) = task else {
                break;
            };
            self.create(rsc, task, self.rscs[rsc].assigned, false);
            role = next;
        }
    }

    fn create(&mut self, rsc: RscId, task: Task, node: Option<NodeId>, optional: bool) {
        match (task, node) {
            (Task::Stop, _) => self.create_stops(rsc, optional),
            (Task::Demote, _) => self.create_demotions(rsc, optional),
            (Task::Start, Some(node)) => self.create_start(rsc, node, optional),
            (Task::Promote, Some(node)) => self.create_promotion(rsc, node, optional),
            _ => {}
        }
    }

    /// With `stop_unexpected`, what runs in the right place is left alone.
    fn is_expected(&self, rsc: RscId, node: NodeId) -> bool {
        let me = &self.rscs[rsc];
        me.stop_unexpected
            && me.restarting
            && me.next_role > Role::Stopped
            && me.assigned == Some(node)
    }

    fn create_stops(&mut self, rsc: RscId, optional: bool) {
        for node in self.rscs[rsc].running_on.clone() {
            if self.is_expected(rsc, node) {
                continue;
            }
            let me = &self.rscs[rsc];
            let arrives = me.partial.is_some_and(|(_, target)| target == node);
            if arrives && me.assigned == Some(node) {
                continue;
            }
            let optional = optional && me.partial.is_none();
            let stop = self.act(rsc, Task::Stop, Some(node), optional);
            if !self.rscs[rsc].managed {
                self.actions[stop].flags &= !flag::RUNNABLE;
            }
            if self.rscs[rsc].spec.needs_unfencing {
                let unfence = self.fence(node, Task::Unfence, true);
                self.relate(stop, unfence, order::IMPLIES_FIRST);
            }
        }
    }

    fn create_start(&mut self, rsc: RscId, node: NodeId, optional: bool) {
        let start = self.act(rsc, Task::Start, Some(node), true);
        self.order_vs_unfence(rsc, node, start, order::IMPLIES_THEN);
        if self.actions[start].is(flag::RUNNABLE) && !optional {
            self.actions[start].flags &= !flag::OPTIONAL;
        }
        if self.is_expected(rsc, node) {
            self.actions[start].flags |= flag::PSEUDO;
        }
    }

    /// Whatever needs unfencing waits for the node to be let in.
    pub(crate) fn order_vs_unfence(
        &mut self,
        rsc: RscId,
        node: NodeId,
        action: ActionId,
        flags: u32,
    ) {
        let spec = &self.rscs[rsc].spec;
        let device = spec.fence_device && self.options.unfencing;
        if spec.needs_unfencing || device && !spec.fence_device {
            let unfence = self.fence(node, Task::Unfence, true);
            self.relate(unfence, action, flags);
        }
    }

    fn create_promotion(&mut self, rsc: RscId, node: NodeId, optional: bool) {
        let starts = self.actions_of(rsc, Task::Start, Some(node));
        if starts
            .iter()
            .all(|start| self.actions[*start].is(flag::RUNNABLE))
        {
            let promote = self.act(rsc, Task::Promote, Some(node), optional);
            if self.is_expected(rsc, node) {
                self.actions[promote].flags |= flag::PSEUDO;
            }
            return;
        }
        for promote in self.actions_of(rsc, Task::Promote, Some(node)) {
            self.actions[promote].flags &= !flag::RUNNABLE;
        }
    }

    fn create_demotions(&mut self, rsc: RscId, optional: bool) {
        for node in self.rscs[rsc].running_on.clone() {
            if !self.is_expected(rsc, node) {
                self.act(rsc, Task::Demote, Some(node), optional);
            }
        }
    }

    /// What stays where it is has a start too, that others can wait for.
    fn keep_running(&mut self, rsc: RscId) {
        let me = &self.rscs[rsc];
        if me.blocked || me.maintenance {
            return;
        }
        let Some(node) = me.assigned.filter(|node| !self.nodes[*node].maintenance) else {
            return;
        };
        if me.next_role != Role::Stopped || !me.managed {
            self.act(rsc, Task::Start, Some(node), true);
        }
    }

    fn create_migration(&mut self, rsc: RscId, from: NodeId, to: NodeId) {
        let start = self.act(rsc, Task::Start, Some(to), true);
        let stop = self.act(rsc, Task::Stop, Some(from), true);
        self.actions[start].flags |= flag::MIGRATABLE | flag::PSEUDO;
        self.actions[stop].flags |= flag::MIGRATABLE;
        let partial = self.rscs[rsc].partial.is_some();
        let arrive = self.act(rsc, Task::MigrateFrom, Some(to), true);
        self.actions[arrive].flags |= flag::MIGRATABLE;
        self.actions[arrive].migration = Some((from, to));
        let mut add = |first: Task, then: Task, flags: u32| {
            let (first, then) = (End::Task(rsc, first), End::Task(rsc, then));
            self.orderings.push(Ordering { first, then, flags });
        };
        let follows = order::OPTIONAL | order::IMPLIES_FIRST_MIGRATABLE;
        if partial {
            add(Task::Probe, Task::MigrateFrom, order::OPTIONAL);
        } else {
            add(Task::Probe, Task::MigrateTo, order::OPTIONAL);
            add(Task::MigrateTo, Task::MigrateFrom, follows);
        }
        add(Task::MigrateFrom, Task::Stop, follows);
        add(Task::MigrateFrom, Task::Start, follows | order::PSEUDO_LEFT);
        if !partial {
            let leave = self.act(rsc, Task::MigrateTo, Some(from), true);
            self.actions[leave].flags |= flag::MIGRATABLE;
            self.actions[leave].migration = Some((from, to));
        }
    }
}

/// The next role on the way and what leads to it; no task means that nothing has to be done.
const fn step(role: Role, target: Role) -> Option<(Role, Option<Task>)> {
    Some(match (role, target) {
        (Role::Unknown, Role::Stopped) => (Role::Stopped, Some(Task::Stop)),
        (Role::Unknown, Role::Started) => (Role::Started, None),
        (Role::Unknown, _) => (Role::Unpromoted, None),
        (Role::Stopped, Role::Started) => (Role::Started, Some(Task::Start)),
        (Role::Stopped, Role::Unpromoted | Role::Promoted) => (Role::Unpromoted, Some(Task::Start)),
        (Role::Started, Role::Stopped) => (Role::Stopped, Some(Task::Stop)),
        (Role::Started, Role::Unpromoted) => (Role::Unpromoted, None),
        (Role::Started | Role::Unpromoted, Role::Promoted) => (Role::Promoted, Some(Task::Promote)),
        (Role::Unpromoted, Role::Stopped | Role::Started | Role::Unknown) => {
            (Role::Stopped, Some(Task::Stop))
        }
        (Role::Promoted, Role::Stopped | Role::Started | Role::Unpromoted | Role::Unknown) => {
            (Role::Unpromoted, Some(Task::Demote))
        }
        _ => return None,
    })
}
