//! Failures: what counts of them, and when they no longer do: once the last one is older than its resource's window, or when
//! an operator says so. Hard and fatal ones do not grow old: they end with an operator's word or another configuration.
//!
//! Not for what failures lead to: that is placement.

use crate::{apply::Entry, core::Core};
use standfast_model::{
    agent::Severity,
    command::Change,
    config::ClusterConfig,
    id::NodeId,
    planted::Planted,
    state::{ClusterState, FailureRecord, NodeReport},
    time::Now,
};
use std::collections::BTreeMap;

/// Counts what a report has that was not counted yet.
pub(crate) fn count(
    state: &mut ClusterState,
    entry: &mut Entry,
    node: &NodeId,
    report: &NodeReport,
) {
    let mut lines = Vec::new();
    for (resource, instance) in &report.instances {
        if instance.failures == 0 || !state.config.resources.contains_key(resource) {
            continue;
        }
        let records: &mut BTreeMap<NodeId, FailureRecord> =
            state.failures.entry(resource.clone()).or_default();
        let record = records.entry(node.clone()).or_default();
        if record.incarnation != report.incarnation {
            record.incarnation = report.incarnation;
            record.seen = 0;
        }
        let new = instance.failures.saturating_sub(record.seen);
        if new > 0 {
            record.seen = instance.failures;
            record.count = record.count.saturating_add(new);
            record.severity = record.severity.max(instance.severity);
            record.last.clone_from(&instance.last_failure);
            record.wall_ms = entry.wall_ms;
            lines.push(format!(
                "{resource} failed on {node}: {}",
                instance.last_failure
            ));
        }
    }
    for line in lines {
        entry.write(state, "failure", line, Vec::new());
    }
}

/// They no longer count, unless others have come meanwhile.
pub(crate) fn forget(state: &mut ClusterState, entry: &mut Entry, change: &Change) {
    let Change::ForgetFailures {
        resource,
        node,
        by,
        counted,
    } = change
    else {
        return;
    };
    let records = state.failures.get_mut(resource);
    let Some(record) = records.and_then(|records| records.get_mut(node)) else {
        return;
    };
    if counted.is_some_and(|counted| counted != (record.incarnation, record.seen)) {
        // Another one has come while this was on its way.
        return;
    }
    if by.is_none() && !record.severity.is_soft() {
        return;
    }
    record.count = 0;
    record.severity = Severity::Soft;
    let by = by.as_ref().map_or_else(
        || String::from(", being old enough"),
        |by| format!(": cleaned up by {by}"),
    );
    let text = format!("failures of {resource} on {node} no longer count{by}");
    entry.write(state, "failure", text, Vec::new());
}

/// What could not run as it was configured may run as it is configured now.
pub(crate) fn reconfigured(state: &mut ClusterState, entry: &mut Entry, config: &ClusterConfig) {
    let mut lines = Vec::new();
    for (resource, records) in &mut state.failures {
        let [before, after] = [&state.config, config].map(|config| config.resources.get(resource));
        if before.map(|before| &before.kind) == after.map(|after| &after.kind) {
            continue;
        }
        for (node, record) in records.iter_mut().filter(|(_, r)| !r.severity.is_soft()) {
            (record.count, record.severity) = (0, Severity::Soft);
            lines.push(format!(
                "failures of {resource} on {node} no longer count: its configuration has changed"
            ));
        }
    }
    for line in lines {
        entry.write(state, "failure", line, Vec::new());
    }
}

impl Core {
    /// Failures that are old enough no longer count.
    pub(crate) fn forget_failures(&mut self, now: Now) {
        let forgets = self.forgets(Planted::FailuresForgotten);
        let mut old = Vec::new();
        // Nodes of an earlier version forget whatever has been counted when it is applied.
        let exact = self.state.level() >= 4;
        let Some(lead) = &mut self.lead else { return };
        let counted = self.state.failures.iter().flat_map(|(resource, records)| {
            records
                .iter()
                .filter(|(_, record)| record.count > 0 && record.severity.is_soft())
                .map(move |(node, record)| (resource, node, record))
        });
        for (resource, node, record) in counted {
            let window = self
                .state
                .config
                .resources
                .get(resource)
                .map(|resource| resource.failure.window);
            let key = (resource.clone(), node.clone());
            let counted = (record.incarnation, record.seen);
            if forgets && !lead.failures_since.contains_key(&key) {
                old.push((key.clone(), counted));
            }
            let seen = lead
                .failures_since
                .entry(key.clone())
                .or_insert((counted, now));
            if seen.0 != counted {
                *seen = (counted, now);
            } else if window.is_none_or(|window| now.waited_since(seen.1) > window) {
                seen.1 = now;
                old.push((key, counted));
            }
        }
        for ((resource, node), counted) in old {
            self.propose(
                now,
                None,
                Change::ForgetFailures {
                    resource,
                    node,
                    by: None,
                    counted: exact.then_some(counted),
                },
            );
        }
    }
}
