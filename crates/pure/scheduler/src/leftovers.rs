//! What a history shows to be out of date: recurring checks that are no longer configured or that
//! maintenance suspends, and starts with other parameters than today's.
//!
//! Not for checks that begin: see `simulate`.

use crate::history::sorted;
use crate::input::{History, Kind, Record};
use crate::role::Task;
use crate::score::is_true;
use crate::work::{NodeId, RscId, Work};

/// A recurring check that ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cancelled {
    pub(crate) rsc: RscId,
    pub(crate) node: NodeId,
    pub(crate) interval_ms: u64,
}

impl Work<'_> {
    /// Finds the checks that go on on some node and should not.
    pub(crate) fn cancel_leftovers(&mut self) {
        for state in self.states {
            let Some(node) = self.node_of(state) else {
                continue;
            };
            if !self.nodes[node].maintenance && !self.nodes[node].is_available() {
                continue;
            }
            for history in &state.history {
                self.cancel_in(node, history);
            }
        }
    }

    fn cancel_in(&mut self, node: NodeId, history: &History) {
        let here = self.known_there(&history.resource, node);
        if here.is_empty() {
            return;
        }
        let records = sorted(history);
        for rsc in here {
            self.cancel_on(rsc, node, &records);
        }
    }

    /// Primitives on a node that its history may mean by a name.
    fn known_there(&self, name: &str, node: NodeId) -> Vec<RscId> {
        let means = |rsc: &RscId| {
            let me = &self.rscs[*rsc];
            me.running_on.contains(&node)
                && me.spec.kind == Kind::Primitive
                && !me.orphan
                && (me.id == name
                    || me.history_name.as_deref() == Some(name)
                    || (!me.spec.unique && me.spec.config.id == name))
        };
        let candidates = self.names.candidates(name).map(RscId::from);
        candidates.filter(means).collect()
    }

    fn cancel_on(&mut self, rsc: RscId, node: NodeId, records: &[&Record]) {
        let (start, stop) = active_part(records);
        if start < stop {
            return;
        }
        let options = &self.input.options;
        let orphans = options.get("stop-orphan-actions").map(String::as_str);
        let orphans = orphans.is_none_or(|value| is_true(Some(value)));
        let suspended = self.rscs[rsc].maintenance || self.nodes[node].maintenance;
        let operations = &self.rscs[rsc].spec.config.operations;
        let mut cancelled = Vec::new();
        for (at, record) in (1..).zip(records) {
            let interval_ms = record.interval_ms;
            let configured = operations.iter().any(|operation| {
                operation.enabled
                    && operation.name == record.task
                    && operation.interval_ms == interval_ms
            });
            let over = suspended || (!configured && orphans);
            if at >= start && interval_ms > 0 && over {
                cancelled.push(Cancelled {
                    rsc,
                    node,
                    interval_ms,
                });
            }
        }
        self.cancelled.extend(cancelled);
        let all = (1..).zip(records);
        for (_, record) in all.filter(|(at, record)| *at >= start && record.parameters_changed) {
            if let Some(task) = Task::parse(&record.task) {
                self.act(rsc, task, None, false);
            }
        }
    }
}

/// Where in a history the present activity begins, and where the last stop is.
fn active_part(records: &[&Record]) -> (i64, i64) {
    let (mut start, mut stop, mut by_monitor, mut by_role) = (-1, -1, -1, -1);
    for (at, record) in (1..).zip(records) {
        match record.task.as_str() {
            "stop" if record.status == Some(0) => stop = at,
            "start" | "migrate_from" => start = at,
            "monitor" if by_monitor <= stop && matches!(record.rc, 0 | 8) => by_monitor = at,
            "promote" | "demote" => by_role = at,
            _ => {}
        }
    }
    if start == -1 {
        start = if by_role == -1 { by_monitor } else { by_role };
    }
    (start, stop)
}
