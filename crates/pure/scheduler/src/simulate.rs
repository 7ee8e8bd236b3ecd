//! The state after a plan: everything in it succeeds and is recorded as a node would record it; then
//! the status is read again.
//!
//! Not for partial failures.

use crate::build::build;
use crate::input::Cluster;
use crate::outcome::Outcome;
use crate::recorder::{Done, Recorder};
use crate::role::{Role, Task};
use crate::schedule::decide;
use crate::work::{ActionId, NodeId, Own, RscId, Work, flag};

/// Decides, carries out in thought, and says what is there then.
#[must_use]
pub fn simulate(input: &Cluster) -> Outcome {
    let work = decide(input);
    let plan = work.planned();
    let mut after = Recorder::new(work.states, input.now, work.nodes.len());
    let mut fenced = Vec::new();
    for id in &plan {
        work.carry_out(*id, &mut after, &mut fenced);
    }
    work.record_cancelled(&mut after);
    let mut planned = vec![false; work.actions.len()];
    for id in &plan {
        if let Some(planned) = planned.get_mut(id.at()) {
            *planned = true;
        }
    }
    for rsc in work.rscs.ids() {
        work.record_monitors(rsc, &planned, &mut after);
    }
    let states = after.into_states();
    let mut end = build(input, &states);
    end.unpack_status();
    Outcome {
        resources: end.resource_outcomes(),
        nodes: end.node_outcomes(&fenced),
        actions: work.steps(&plan),
    }
}

impl Work<'_> {
    fn carry_out(&self, id: ActionId, after: &mut Recorder, fenced: &mut Vec<String>) {
        let action = &self.actions[id];
        let Some(node) = action.node else {
            return;
        };
        if action.task == Task::Fence {
            fenced.push(self.nodes[node].name.clone());
            after.fence(node, &self.nodes[node]);
            return;
        }
        let Some(rsc) = action.rsc else {
            return;
        };
        let recorded = matches!(
            action.task,
            Task::Start
                | Task::Stop
                | Task::Promote
                | Task::Demote
                | Task::Probe
                | Task::MigrateTo
                | Task::MigrateFrom
        );
        if action.is(flag::PSEUDO) || !recorded {
            return;
        }
        let name = |node: NodeId| self.nodes[node].name.clone();
        let done = Done {
            task: action.task.name(),
            interval_ms: 0,
            rc: action.expected_rc,
            migration: action.migration.map(|(from, to)| (name(from), name(to))),
        };
        self.record(rsc, node, &done, after);
    }

    fn record(&self, rsc: RscId, node: NodeId, done: &Done<'_>, after: &mut Recorder) {
        let place = after.place(node, &self.nodes[node]);
        let name = self.recorded_name(rsc, place, after);
        let me = &self.rscs[rsc];
        let agent = me.orphan.then_some(&me.spec.config.agent);
        after.record(place, (name, agent), done);
    }

    /// The name that a node records a resource under. A copy without a name of its own goes on with
    /// the name that the node has for it, else by its plain name.
    fn recorded_name(&self, rsc: RscId, place: usize, after: &Recorder) -> &str {
        let me = &self.rscs[rsc];
        let history = me.history_name.as_ref();
        if me.orphan
            && let Some(name) = history
        {
            return name;
        }
        if me.spec.unique {
            return &me.id;
        }
        let plain = &me.spec.config.id;
        let numbered = history.filter(|name| *name != plain).unwrap_or(&me.id);
        if after.knows(place, numbered) && self.find(plain).is_none() {
            return numbered;
        }
        plain
    }

    /// The end of a recurring check is recorded too.
    fn record_cancelled(&self, after: &mut Recorder) {
        for cancelled in &self.cancelled {
            let there = &self.nodes[cancelled.node];
            let migrates = self.first_action(cancelled.rsc, Task::MigrateTo, None);
            let migrates = migrates.is_some_and(|id| !self.actions[id].is(flag::OPTIONAL));
            let stays = self.rscs[cancelled.rsc].assigned.is_some() && !migrates;
            if stays && there.online && !there.unclean {
                let done = Done {
                    task: "cancel",
                    interval_ms: cancelled.interval_ms,
                    rc: 0,
                    migration: None,
                };
                self.record(cancelled.rsc, cancelled.node, &done, after);
            }
        }
    }

    /// Recurring checks begin with what they check.
    fn record_monitors(&self, rsc: RscId, planned: &[bool], after: &mut Recorder) {
        let me = &self.rscs[rsc];
        let Some(node) = me.assigned.filter(|_| me.managed && self.is_primitive(rsc)) else {
            return;
        };
        let there = &self.nodes[node];
        if me.next_role < Role::Started || there.maintenance || !there.online || there.unclean {
            return;
        }
        let changes = |own: &&Own| {
            own.node == Some(node)
                && matches!(own.task, Task::Start | Task::Promote | Task::Demote)
                && !self.actions[own.id].is(flag::OPTIONAL)
        };
        let own: Vec<&Own> = me.actions.iter().filter(changes).collect();
        let begun = !own.is_empty();
        let is_planned = |own: &&Own| planned.get(own.id.at()).copied().unwrap_or(false);
        if !own.iter().all(is_planned) || !(begun || me.running_on.contains(&node)) {
            return;
        }
        let has = |task| own.iter().any(|own| own.task == task);
        if me.next_role == Role::Promoted && has(Task::Start) && !has(Task::Promote) {
            return;
        }
        let place = after.place(node, there);
        let name = self.recorded_name(rsc, place, after);
        for operation in &me.spec.config.operations {
            let for_role = operation.role.as_deref().and_then(Role::parse);
            let promoted = me.next_role == Role::Promoted;
            let fits = match for_role {
                Some(Role::Promoted) => promoted,
                Some(Role::Stopped) => false,
                Some(Role::Unpromoted) => !promoted,
                Some(Role::Unknown | Role::Started) | None => true,
            };
            let recurs = operation.interval_ms > 0 && operation.enabled && fits;
            let wanted = (operation.name.as_str(), operation.interval_ms);
            if recurs && (begun || !after.has_done(&there.name, name, wanted)) {
                let done = Done {
                    task: &operation.name,
                    interval_ms: operation.interval_ms,
                    rc: i32::from(promoted) * 8,
                    migration: None,
                };
                self.record(rsc, node, &done, after);
            }
        }
    }
}
