//! What is known of nodes: their state and what was done on them.
//!
//! Not for what it means: the scheduler interprets it.

use std::collections::BTreeMap;
use std::sync::Arc;

use standfast_scheduler::input::{History, NodeState, Record, Ticket};
use standfast_scheduler::score::is_true;

use crate::rule::About;
use crate::{Reader, Xml, child, children};

impl<'a> Reader<'a> {
    pub(crate) fn states(&self) -> Vec<NodeState> {
        let states = self
            .status
            .into_iter()
            .flat_map(|status| children(status, "node_state"));
        states.filter_map(|state| self.state(state)).collect()
    }

    fn state(&self, state: Xml<'a>) -> Option<NodeState> {
        let text = |name| state.attribute(name).map(str::to_owned);
        let transient: Vec<Xml<'a>> = children(state, "transient_attributes").collect();
        let histories = child(state, "lrm").and_then(|lrm| child(lrm, "lrm_resources"));
        let histories = histories
            .into_iter()
            .flat_map(|all| children(all, "lrm_resource"));
        let name = text("uname").or_else(|| self.name_of(state.attribute("id")?));
        Some(NodeState {
            id: text("id")?,
            name: name.unwrap_or_default(),
            in_ccm: text("in_ccm"),
            crmd: text("crmd"),
            join: text("join"),
            expected: text("expected"),
            fenced: state
                .attribute("node_fenced")
                .is_some_and(|value| value != "0"),
            attributes: self.values(&transient, "instance_attributes", About::default()),
            history: histories
                .filter_map(|history| self.history(history).map(Arc::new))
                .collect(),
        })
    }

    fn history(&self, resource: Xml<'a>) -> Option<History> {
        let text = |name| resource.attribute(name).unwrap_or_default().to_owned();
        let id = resource.attribute("id")?;
        let base = id.rsplit_once(':').map_or(id, |(base, _)| base);
        let parameters = self
            .parameters
            .get(id)
            .or_else(|| self.parameters.get(base));
        let usual = self.timeout_ms(None);
        let operations = children(resource, "lrm_rsc_op").map(|element| {
            let mut record = record(element);
            let is_start = matches!(record.task.as_str(), "start" | "promote" | "migrate_from");
            if let Some(known) = parameters {
                let (task, interval) = (record.task.as_str(), record.interval_ms);
                record.outdated = matches!(task, "start" | "monitor")
                    && known.is_outdated(element, task, interval, usual);
                record.parameters_changed = is_start && known.differs(element);
            }
            record
        });
        Some(History {
            resource: id.to_owned(),
            agent: [text("class"), text("provider"), text("type")],
            container: resource.attribute("container").map(str::to_owned),
            locked: resource
                .attribute("shutdown-lock")
                .and_then(|time| time.trim().parse().ok())
                .filter(|time| *time != 0),
            operations: operations.collect(),
        })
    }

    fn name_of(&self, id: &str) -> Option<String> {
        let nodes = child(self.configuration, "nodes")?;
        let node = children(nodes, "node").find(|node| node.attribute("id") == Some(id))?;
        node.attribute("uname").map(str::to_owned)
    }

    pub(crate) fn tickets(&self) -> BTreeMap<String, Ticket> {
        let all = self.status.and_then(|status| child(status, "tickets"));
        let states = all
            .into_iter()
            .flat_map(|all| children(all, "ticket_state"));
        let read = |state: Xml<'a>| {
            let ticket = Ticket {
                granted: is_true(state.attribute("granted")),
                standby: is_true(state.attribute("standby")),
            };
            Some((state.attribute("id")?.to_owned(), ticket))
        };
        states.filter_map(read).collect()
    }
}

/// The attributes of a result, found in one go: there are tens of thousands of results.
#[derive(Debug, Clone, Copy, Default)]
struct Written<'x> {
    id: Option<&'x str>,
    operation_key: Option<&'x str>,
    operation: Option<&'x str>,
    interval: Option<&'x str>,
    call: Option<&'x str>,
    rc: Option<&'x str>,
    status: Option<&'x str>,
    key: Option<&'x str>,
    magic: Option<&'x str>,
    changed: Option<&'x str>,
    run: Option<&'x str>,
    on_node: Option<&'x str>,
    source: Option<&'x str>,
    target: Option<&'x str>,
}

impl<'x> Written<'x> {
    fn of(element: Xml<'x>) -> Self {
        let mut written = Self::default();
        for attribute in element.attributes() {
            let place = match attribute.name() {
                "id" => &mut written.id,
                "operation_key" => &mut written.operation_key,
                "operation" => &mut written.operation,
                "interval" => &mut written.interval,
                "call-id" => &mut written.call,
                "rc-code" => &mut written.rc,
                "op-status" => &mut written.status,
                "transition-key" => &mut written.key,
                "transition-magic" => &mut written.magic,
                "last-rc-change" => &mut written.changed,
                "last-run" => &mut written.run,
                "on_node" => &mut written.on_node,
                "migrate_source" => &mut written.source,
                "migrate_target" => &mut written.target,
                _ => continue,
            };
            *place = Some(attribute.value());
        }
        written
    }
}

fn record(element: Xml<'_>) -> Record {
    let written = Written::of(element);
    let text = |value: Option<&str>| value.map(str::to_owned);
    let number = |value: Option<&str>| value.and_then(|text| text.trim().parse::<i64>().ok());
    let magic = written.magic.unwrap_or_default();
    let from_magic = magic.split_once(';').map(|(_, key)| key);
    let key = written.key.or(from_magic).unwrap_or_default();
    let mut parts = key.splitn(4, ':');
    let (_, transition, expected) = (parts.next(), parts.next(), parts.next());
    let uuid = parts.next();
    // Before version 2 a key had no expected status.
    let (expected, uuid) = match (expected, uuid) {
        (Some(expected), Some(uuid)) => (expected.parse::<i32>().ok(), Some(uuid)),
        (old, _) => (None, old),
    };
    let small = |value: Option<i64>| value.and_then(|value| i32::try_from(value).ok());
    Record {
        id: text(written.id).unwrap_or_default(),
        key: text(written.operation_key.or(written.id)).unwrap_or_default(),
        task: text(written.operation).unwrap_or_default(),
        interval_ms: written
            .interval
            .and_then(|text| text.parse().ok())
            .unwrap_or(0),
        call: number(written.call).unwrap_or(0),
        rc: small(number(written.rc)).unwrap_or(0),
        status: small(number(written.status)),
        expected: expected.filter(|_| written.key.is_some()),
        transition: transition
            .and_then(|number| number.parse().ok())
            .zip(uuid.map(str::to_owned)),
        changed: number(written.changed).or_else(|| number(written.run)),
        on_node: text(written.on_node),
        source: text(written.source),
        target: text(written.target),
        parameters_changed: false,
        outdated: false,
    }
}
