//! The state after a plan: everything in it succeeds and is recorded as a node would record it; then
//! the status is read again.
//!
//! Not for partial failures.

use std::collections::BTreeSet;

use crate::build::build;
use crate::input::{Cluster, History, NodeState, Record};
use crate::outcome::Outcome;
use crate::role::{Role, Task};
use crate::schedule::decide;
use crate::work::{ActionId, NodeId, RscId, Work, flag};

/// Decides, carries out in thought, and says what is there then.
#[must_use]
pub fn simulate(input: &Cluster) -> Outcome {
    let work = decide(input);
    let plan = work.planned();
    let mut after = input.clone();
    let mut fenced = Vec::new();
    for id in &plan {
        work.carry_out(*id, &mut after, &mut fenced);
    }
    work.record_cancelled(&mut after);
    let planned: BTreeSet<ActionId> = plan.iter().copied().collect();
    for rsc in work.rscs.ids() {
        work.record_monitors(rsc, &planned, &mut after);
    }
    let mut end = build(&after);
    end.unpack_status();
    Outcome {
        resources: end.resource_outcomes(),
        nodes: end.node_outcomes(&fenced),
        actions: work.steps(&plan),
    }
}

/// What an agent was asked, and what it answers.
struct Done<'a> {
    task: &'a str,
    interval_ms: u64,
    rc: i32,
    migration: Option<(String, String)>,
}

impl Work<'_> {
    fn carry_out(&self, id: ActionId, after: &mut Cluster, fenced: &mut Vec<String>) {
        let action = &self.actions[id];
        let Some(node) = action.node else {
            return;
        };
        if action.task == Task::Fence {
            fenced.push(self.nodes[node].name.clone());
            let state = self.state_for(node, after);
            state.in_ccm = Some("false".to_owned());
            state.crmd = Some("offline".to_owned());
            state.join = Some("down".to_owned());
            state.expected = Some("down".to_owned());
            state.history.clear();
            state.attributes.clear();
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

    fn state_for<'b>(&self, node: NodeId, after: &'b mut Cluster) -> &'b mut NodeState {
        let me = &self.nodes[node];
        let same = |state: &NodeState| state.id == me.id || state.name == me.name;
        if !after.states.iter().any(same) {
            after.states.push(NodeState {
                id: me.id.clone(),
                name: me.name.clone(),
                ..NodeState::default()
            });
        }
        let position = after.states.iter().position(same).unwrap_or(0);
        #[expect(
            clippy::indexing_slicing,
            reason = "there is one, added above if need be"
        )]
        &mut after.states[position]
    }

    fn record(&self, rsc: RscId, node: NodeId, done: &Done<'_>, after: &mut Cluster) {
        let now = after.now;
        let me = &self.rscs[rsc];
        let agent = me.spec.config.agent.clone();
        let state = self.state_for(node, after);
        let name = self.recorded_name(rsc, state);
        let known = |history: &History| history.resource == name;
        let at = state.history.iter().position(known).unwrap_or_else(|| {
            state.history.push(History {
                resource: name.clone(),
                agent,
                ..History::default()
            });
            state.history.len() - 1
        });
        let Some(history) = state.history.get_mut(at) else {
            return;
        };
        let call = history
            .operations
            .iter()
            .map(|record| record.call)
            .max()
            .unwrap_or(0)
            .max(0)
            + 1;
        let key = format!("{name}_{}_{}", done.task, done.interval_ms);
        let once = done.interval_ms == 0 && done.migration.is_none();
        let id = if once {
            format!("{name}_last_0")
        } else {
            key.clone()
        };
        history.operations.retain(|record| record.id != id);
        history.operations.push(Record {
            id,
            key,
            task: done.task.to_owned(),
            interval_ms: done.interval_ms,
            call,
            rc: done.rc,
            status: Some(0),
            expected: Some(done.rc),
            transition: Some((-1, "simulated".to_owned())),
            changed: Some(now),
            on_node: None,
            source: done.migration.as_ref().map(|(from, _)| from.clone()),
            target: done.migration.as_ref().map(|(_, to)| to.clone()),
            parameters_changed: false,
            outdated: false,
        });
    }

    /// The name that a node records a resource under. A copy without a name of its own goes on with
    /// the name that the node has for it, else by its plain name.
    fn recorded_name(&self, rsc: RscId, state: &NodeState) -> String {
        let me = &self.rscs[rsc];
        let history = me.history_name.as_ref();
        if me.orphan
            && let Some(name) = history
        {
            return name.clone();
        }
        if me.spec.unique {
            return me.id.clone();
        }
        let plain = &me.spec.config.id;
        let numbered = history.filter(|name| *name != plain).unwrap_or(&me.id);
        let known = state
            .history
            .iter()
            .any(|history| history.resource == *numbered);
        if known && self.find(plain).is_none() {
            return numbered.clone();
        }
        plain.clone()
    }

    /// The end of a recurring check is recorded too.
    fn record_cancelled(&self, after: &mut Cluster) {
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
    fn record_monitors(&self, rsc: RscId, plan: &BTreeSet<ActionId>, after: &mut Cluster) {
        let me = &self.rscs[rsc];
        let Some(node) = me.assigned.filter(|_| me.managed && self.is_primitive(rsc)) else {
            return;
        };
        let there = &self.nodes[node];
        if me.next_role < Role::Started || there.maintenance || !there.online || there.unclean {
            return;
        }
        let changes = |id: &ActionId| {
            let action = &self.actions[*id];
            action.node == Some(node)
                && matches!(action.task, Task::Start | Task::Promote | Task::Demote)
                && !action.is(flag::OPTIONAL)
        };
        let own: Vec<ActionId> = me.actions.iter().copied().filter(changes).collect();
        let begun = !own.is_empty();
        if !own.iter().all(|id| plan.contains(id)) || !(begun || me.running_on.contains(&node)) {
            return;
        }
        let has = |task| own.iter().any(|id| self.actions[*id].task == task);
        if me.next_role == Role::Promoted && has(Task::Start) && !has(Task::Promote) {
            return;
        }
        let name = self.recorded_name(rsc, self.state_for(node, after));
        for operation in &me.spec.config.operations {
            let for_role = operation.role.as_deref().and_then(Role::parse);
            let promoted = me.next_role == Role::Promoted;
            let fits = match for_role {
                Some(Role::Promoted) => promoted,
                Some(Role::Stopped) => false,
                Some(Role::Unpromoted) => !promoted,
                Some(Role::Unknown | Role::Started) | None => true,
            };
            let states = after.states.iter().filter(|state| state.name == there.name);
            let histories = states.flat_map(|state| &state.history);
            let own = histories.filter(|history| history.resource == name);
            let known = own.flat_map(|history| &history.operations).any(|record| {
                record.task == operation.name && record.interval_ms == operation.interval_ms
            });
            let recurs = operation.interval_ms > 0 && operation.enabled && fits;
            if recurs && (begun || !known) {
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
