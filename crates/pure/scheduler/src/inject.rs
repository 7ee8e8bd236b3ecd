//! Imagined failures: a status edited as if a node had just been lost or a check had just failed.
//!
//! Not for deciding what follows: that is `simulate`, as ever. Quorum stays as the input says.

use std::sync::Arc;

use crate::input::{Cluster, History, Node, NodeState, Record, Resource};
use crate::score;

/// The id of a transition that nobody ordered.
const NOBODY: &str = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

/// A check that finds nothing running where something should.
const NOT_RUNNING: i32 = 7;

/// Why a failure cannot be imagined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// There is no such node; these there are.
    NoNode(Vec<String>),
    /// There is no such primitive; these there are.
    NoResource(Vec<String>),
    /// Nothing checks it again and again, so that nobody would notice.
    NoMonitor,
    /// It is not known to run.
    NotActive,
    /// It runs on several nodes, and one has to be named.
    OnSeveral(Vec<String>),
}

/// The node is lost from one moment to the next: its peers do not see it any more, and nobody expected that.
///
/// # Errors
///
/// If there is no such node.
pub fn fail_node(cluster: &mut Cluster, name: &str) -> Result<(), Error> {
    let state = state_of(cluster, name)?;
    let set = |value: &str| Some(value.to_owned());
    state.in_ccm = set("false");
    state.crmd = set("online");
    state.join = set("member");
    state.expected = set("member");
    Ok(())
}

/// The recurring check of a primitive fails on a node; without one named, on the only one that runs it.
///
/// # Errors
///
/// If there is no such resource, if it is not checked, or if it is not clear where it fails.
pub fn fail_resource(cluster: &mut Cluster, id: &str, node: Option<&str>) -> Result<(), Error> {
    let mut all = Vec::new();
    primitives(&cluster.resources, &mut all);
    let known = all.iter().find(|resource| resource.id == id);
    let Some(resource) = known.map(|resource| (*resource).clone()) else {
        let names = all.iter().map(|resource| resource.id.clone());
        return Err(Error::NoResource(names.collect()));
    };
    let node = match node {
        Some(node) => node.to_owned(),
        None => only_home(cluster, id)?,
    };
    let now = cluster.now;
    let state = state_of(cluster, &node)?;
    let found = state
        .history
        .iter()
        .position(|history| is_of(history, &resource.id));
    let seen = found.and_then(|at| state.history.get(at));
    let interval_ms = interval(&resource, seen.map(Arc::as_ref)).ok_or(Error::NoMonitor)?;
    let failure = format!("{id}#monitor_{interval_ms}");
    let count = state
        .attributes
        .entry(format!("fail-count-{failure}"))
        .or_default();
    *count = score::add(score::parse(count), 1).to_string();
    state
        .attributes
        .insert(format!("last-failure-{failure}"), now.to_string());
    let mut history = seen.map_or_else(|| unseen(&resource), |seen| History::clone(seen));
    record(&mut history, interval_ms, now);
    match found.and_then(|at| state.history.get_mut(at)) {
        Some(place) => *place = Arc::new(history),
        None => state.history.push(Arc::new(history)),
    }
    Ok(())
}

fn state_of<'c>(cluster: &'c mut Cluster, name: &str) -> Result<&'c mut NodeState, Error> {
    let Some(node) = cluster.nodes.iter().find(|node| node.name == name) else {
        let names = cluster.nodes.iter().map(|node| node.name.clone());
        return Err(Error::NoNode(names.collect()));
    };
    let Node { id, name, .. } = node;
    let states = &mut cluster.states;
    let at = states
        .iter()
        .position(|state| state.id == *id)
        .unwrap_or_else(|| {
            states.push(NodeState {
                id: id.clone(),
                name: name.clone(),
                ..NodeState::default()
            });
            states.len() - 1
        });
    states
        .get_mut(at)
        .ok_or_else(|| Error::NoNode(vec![name.clone()]))
}

fn primitives<'r>(resources: &'r [Resource], all: &mut Vec<&'r Resource>) {
    for resource in resources {
        if resource.children.is_empty() {
            all.push(resource);
        }
        primitives(&resource.children, all);
    }
}

/// Whether a history is of a resource, or of one of its copies.
fn is_of(history: &History, id: &str) -> bool {
    let base = history.resource.rsplit_once(':');
    history.resource == id || base.is_some_and(|(base, _)| base == id)
}

fn only_home(cluster: &Cluster, id: &str) -> Result<String, Error> {
    let runs = |state: &&NodeState| {
        let mut histories = state.history.iter();
        histories.any(|history| is_of(history, id) && is_active(history))
    };
    let homes = cluster.states.iter().filter(runs);
    let mut homes: Vec<String> = homes.map(|state| state.name.clone()).collect();
    match (homes.pop(), homes.is_empty()) {
        (None, _) => Err(Error::NotActive),
        (Some(home), true) => Ok(home),
        (Some(home), false) => {
            homes.push(home);
            Err(Error::OnSeveral(homes))
        }
    }
}

/// Whether the last thing that says so says that it runs.
fn is_active(history: &History) -> bool {
    let mut operations: Vec<&Record> = history.operations.iter().collect();
    operations.sort_by_key(|record| record.call);
    let says = |record: &&Record| match (record.task.as_str(), record.rc) {
        ("stop", 0) => Some(false),
        // What a check has found gone is to be recovered; what a probe has not found was never there.
        ("monitor", NOT_RUNNING) => Some(record.interval_ms > 0),
        ("start" | "promote" | "demote" | "migrate_from", 0) | ("monitor", 0 | 8) => Some(true),
        _ => None,
    };
    operations.iter().rev().find_map(says).unwrap_or(false)
}

/// Of its check: the one that was seen last, or else the most frequent one.
fn interval(resource: &Resource, seen: Option<&History>) -> Option<u64> {
    let recurring = |task: &str, interval_ms: u64| task == "monitor" && interval_ms > 0;
    let records = seen.into_iter().flat_map(|history| &history.operations);
    let recorded = records.filter(|record| recurring(&record.task, record.interval_ms));
    let last = recorded.max_by_key(|record| record.call);
    let operations = resource.operations.iter();
    let configured = operations.filter(|op| op.enabled && recurring(&op.name, op.interval_ms));
    last.map(|record| record.interval_ms)
        .or_else(|| configured.map(|op| op.interval_ms).min())
}

fn unseen(resource: &Resource) -> History {
    History {
        resource: resource.id.clone(),
        agent: resource.agent.clone(),
        ..History::default()
    }
}

fn record(history: &mut History, interval_ms: u64, now: i64) {
    let name = history.resource.clone();
    let id = format!("{name}_last_failure_0");
    history.operations.retain(|record| record.id != id);
    let last = history.operations.iter().map(|record| record.call).max();
    history.operations.push(Record {
        id,
        key: format!("{name}_monitor_{interval_ms}"),
        task: "monitor".to_owned(),
        interval_ms,
        call: last.unwrap_or(0).max(0) + 1,
        rc: NOT_RUNNING,
        status: Some(0),
        expected: Some(0),
        transition: Some((-1, NOBODY.to_owned())),
        changed: Some(now),
        ..Record::default()
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::Operation;

    fn cluster() -> Cluster {
        let record = |task: &str, interval_ms, call, rc| Record {
            task: task.to_owned(),
            interval_ms,
            call,
            rc,
            ..Record::default()
        };
        let history = |operations| {
            vec![Arc::new(History {
                resource: "web".to_owned(),
                operations,
                ..History::default()
            })]
        };
        let node = |name: &str| Node {
            id: name.to_owned(),
            name: name.to_owned(),
            ..Node::default()
        };
        let state = |name: &str, operations| NodeState {
            id: name.to_owned(),
            name: name.to_owned(),
            history: history(operations),
            ..NodeState::default()
        };
        Cluster {
            now: 100,
            nodes: vec![node("n1"), node("n2")],
            resources: vec![Resource {
                id: "web".to_owned(),
                operations: vec![Operation {
                    name: "monitor".to_owned(),
                    interval_ms: 5000,
                    enabled: true,
                    ..Operation::default()
                }],
                ..Resource::default()
            }],
            states: vec![
                state("n1", vec![record("start", 0, 3, 0)]),
                state("n2", vec![record("monitor", 0, 9, NOT_RUNNING)]),
            ],
            ..Cluster::default()
        }
    }

    #[test]
    fn a_resource_fails_where_it_runs_and_each_failure_counts() {
        let mut cluster = cluster();
        assert_eq!(fail_resource(&mut cluster, "web", None), Ok(()));
        assert_eq!(fail_resource(&mut cluster, "web", None), Ok(()));
        let [one, other] = cluster.states.as_slice() else {
            panic!("two nodes");
        };
        let counted = one.attributes.get("fail-count-web#monitor_5000");
        assert_eq!(counted.map(String::as_str), Some("2"));
        let last = one.history.first().and_then(|seen| seen.operations.last());
        assert_eq!(
            last.map(|record| (record.rc, record.call)),
            Some((NOT_RUNNING, 4)),
            "one record, after all others"
        );
        assert!(other.attributes.is_empty());
    }

    #[test]
    fn what_cannot_be_imagined_is_said() {
        let mut cluster = cluster();
        let names = vec!["n1".to_owned(), "n2".to_owned()];
        assert_eq!(fail_node(&mut cluster, "n3"), Err(Error::NoNode(names)));
        let none = fail_resource(&mut cluster, "db", None);
        assert_eq!(none, Err(Error::NoResource(vec!["web".to_owned()])));
        if let Some(web) = cluster.resources.first_mut() {
            web.operations.clear();
        }
        let unseen = fail_resource(&mut cluster, "web", None);
        assert_eq!(unseen, Err(Error::NoMonitor));
        cluster.states.clear();
        let nowhere = fail_resource(&mut cluster, "web", None);
        assert_eq!(nowhere, Err(Error::NotActive));
    }
}
