//! What recorded migrations say about where a resource is.
//!
//! Not for migrations to come.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::history::compare;
use crate::input::{History, Record};
use crate::names::Names;
use crate::role::Role;
use crate::work::{NodeId, RscId, Work};

impl<'a> Work<'a> {
    /// What the node of that name has recorded of a resource.
    pub(crate) fn recorded(&self, resource: &str, node: &str) -> Vec<&'a Record> {
        let all = self.histories.get_or_init(|| {
            let states = self.states.iter();
            states.map(|state| by_resource(&state.history)).collect()
        });
        let mut records = Vec::new();
        for (state, names) in self.states.iter().zip(all) {
            if state.name != node {
                continue;
            }
            let histories = names.candidates(resource);
            let histories = histories.filter_map(|at| state.history.get(at));
            for history in histories.filter(|history| history.resource == resource) {
                records.extend(&history.operations);
            }
        }
        records
    }

    fn records_of(&self, rsc: RscId, node: &str) -> Vec<&'a Record> {
        self.recorded(&self.rscs[rsc].id, node)
    }

    fn migrate_record(&self, rsc: RscId, task: &str, node: &str, peer: &str) -> Option<Record> {
        let records = self.records_of(rsc, node);
        let mut matching = records.into_iter().filter(|record| {
            let other = if task == "migrate_to" {
                &record.target
            } else {
                &record.source
            };
            record.task == task && other.as_deref() == Some(peer)
        });
        matching.next().cloned()
    }

    fn is_unknown_on(&self, rsc: RscId, node: &str) -> bool {
        self.records_of(rsc, node)
            .iter()
            .all(|record| record.rc == 193)
    }

    fn acted_after(&self, rsc: RscId, node: &str, than: &Record, same_node: bool) -> bool {
        let tasks = ["start", "stop", "migrate_to", "migrate_from"];
        self.records_of(rsc, node).iter().any(|record| {
            *record != than
                && tasks.contains(&record.task.as_str())
                && compare(record, than, same_node) == Ordering::Greater
        })
    }

    fn found_stopped_after(&self, rsc: RscId, node: &str, than: &Record, same_node: bool) -> bool {
        let records = self.records_of(rsc, node);
        let monitor = records.iter().find(|record| record.task == "monitor");
        monitor.is_some_and(|record| {
            record.rc == 7
                && record.status == Some(0)
                && compare(record, than, same_node) == Ordering::Greater
        })
    }

    /// Whether something newer than a migration is known on a node.
    fn newer_state(
        &self,
        rsc: RscId,
        node: &str,
        to: Option<&Record>,
        from: Option<&Record>,
    ) -> bool {
        let Some(record) = from.or(to) else {
            return false;
        };
        let here = |name: &Option<String>| {
            name.as_deref()
                .is_some_and(|name| name.eq_ignore_ascii_case(node))
        };
        let (than, same_node) = if here(&record.target) {
            (from.or(to), from.is_some())
        } else if here(&record.source) {
            (to.or(from), to.is_some())
        } else {
            (Some(record), false)
        };
        let than = than.unwrap_or(record);
        self.acted_after(rsc, node, than, same_node)
            || self.found_stopped_after(rsc, node, than, same_node)
    }

    fn peers<'r>(
        &self,
        record: &'r Record,
        node: NodeId,
        is_source: bool,
    ) -> Option<(&'r str, &'r str)> {
        let (source, target) = (record.source.as_deref()?, record.target.as_deref()?);
        let own = if is_source { source } else { target };
        own.eq_ignore_ascii_case(&self.nodes[node].name)
            .then_some((source, target))
    }

    pub(crate) fn take_migrate_to(&mut self, rsc: RscId, node: NodeId, record: &Record) {
        let Some((source, target)) = self.peers(record, node, true) else {
            return;
        };
        let left = self.acted_after(rsc, source, record, true);
        let from = self.migrate_record(rsc, "migrate_from", target, source);
        if from.is_some() && left {
            return;
        }
        let newer = self.newer_state(rsc, target, Some(record), from.as_ref());
        if left && newer {
            return;
        }
        let arrived = from
            .as_ref()
            .map(|from| (from.rc, from.status.unwrap_or(-1)));
        if arrived == Some((0, 0)) {
            self.rscs[rsc].role = Role::Stopped;
            self.rscs[rsc].dangling.insert(0, node);
            return;
        }
        self.rscs[rsc].role = Role::Started;
        let target_node = self.node_named(target);
        let target_up = target_node.filter(|node| self.nodes[*node].online);
        let there = target_up.filter(|_| !newer);
        if arrived.is_some_and(|(_, status)| status != -1) {
            match there {
                Some(there) => self.add_running(rsc, there),
                None => self.cannot_migrate(rsc),
            }
            return;
        }
        if target_up.is_some() && self.is_unknown_on(rsc, target) {
            return;
        }
        if let Some(there) = there {
            self.add_running(rsc, there);
            let source = self.node_named(source);
            if let Some(source) = source.filter(|node| self.nodes[*node].online) {
                self.rscs[rsc].partial = Some((source, there));
            }
        } else if !left {
            self.cannot_migrate(rsc);
        }
    }

    fn cannot_migrate(&mut self, rsc: RscId) {
        let me = &mut self.rscs[rsc];
        me.failed = true;
        me.stop_if_failed = true;
        me.allow_migrate = false;
    }

    pub(crate) fn take_failed_migrate_to(&mut self, rsc: RscId, node: NodeId, record: &Record) {
        let Some((source, target)) = self.peers(record, node, true) else {
            return;
        };
        self.rscs[rsc].role = Role::Started;
        let from = self.migrate_record(rsc, "migrate_from", target, source);
        let from = from.filter(|from| from.rc == 0 && from.status == Some(0));
        if !self.is_unknown_on(rsc, target)
            && !self.newer_state(rsc, target, Some(record), from.as_ref())
        {
            let there = self
                .node_named(target)
                .filter(|node| self.nodes[*node].online);
            if let Some(there) = there {
                self.add_running(rsc, there);
            }
        } else if !self.acted_after(rsc, source, record, true) {
            self.rscs[rsc].dangling.insert(0, node);
        }
    }

    pub(crate) fn take_failed_migrate_from(&mut self, rsc: RscId, node: NodeId, record: &Record) {
        let Some((source, target)) = self.peers(record, node, false) else {
            return;
        };
        self.rscs[rsc].role = Role::Started;
        let to = self.migrate_record(rsc, "migrate_to", source, target);
        let to = to.filter(|to| to.rc == 0 && to.status == Some(0));
        if !self.is_unknown_on(rsc, source)
            && !self.newer_state(rsc, source, to.as_ref(), Some(record))
        {
            let there = self
                .node_named(source)
                .filter(|node| self.nodes[*node].online);
            if let Some(there) = there {
                self.add_running(rsc, there);
            }
        }
    }
}

/// The places of histories by the name of their resource.
pub(crate) fn by_resource(histories: &[Arc<History>]) -> Names {
    let mut names = Names::default();
    for (at, history) in histories.iter().enumerate() {
        names.note(&history.resource, at);
    }
    names
}
