//! What is known of each node.

use super::summary::{NodeLine, WatchdogLine};
use standfast_model::{
    guards::GuardSupport,
    id::{Incarnation, NodeId},
    request::View,
    state::NodeReport,
};
use std::collections::{BTreeMap, BTreeSet};

/// One line for each node that is configured, a member, or was ever heard.
pub(crate) fn lines(view: &View) -> Vec<NodeLine> {
    let state = &view.state;
    let mut names: BTreeSet<&NodeId> = state.config.nodes.keys().collect();
    names.extend(state.members.values().map(|member| &member.node));
    names.into_iter().map(|name| line(view, name)).collect()
}

fn line(view: &View, name: &NodeId) -> NodeLine {
    let state = &view.state;
    let known = state.nodes.get(name);
    let none = NodeReport::default();
    let report = known.map_or(&none, |node| &node.report);
    let reported = report.incarnation != Incarnation::default();
    let asked = name.as_str() == view.node;
    let config = state.config.nodes.get(name);
    let attributes = config.map(|node| node.attributes.clone());
    let attributes = attributes.unwrap_or_default();
    NodeLine {
        name: name.to_string(),
        online: known.is_some_and(|node| node.online),
        offline_reason: known.map_or_else(String::new, |node| node.offline_reason.clone()),
        joined: role(view, name) != "none",
        drained: known.is_some_and(|node| node.drained),
        restarting: state.restart_grants.contains_key(name),
        witness: config.is_some_and(|node| node.witness),
        asked_attributes: asked_for(view, &attributes),
        attributes,
        role: super::pair::role(view, name, role(view, name)),
        links: view.links.get(name).copied().filter(|_| !asked),
        lease_left_ms: lease_left(view, name),
        missing_guards: if reported {
            missing(&report.guards)
        } else {
            BTreeMap::new()
        },
        watchdog: report
            .guards
            .watchdog
            .as_ref()
            .map(|watchdog| WatchdogLine {
                identity: watchdog.identity.clone(),
                timeout_ms: watchdog.timeout.as_millis_ceil(),
                stoppable: watchdog.stoppable,
            }),
        reported,
        fsync_ms: report.fsync.as_millis_ceil(),
        stall_ms: report.stall.as_millis_ceil(),
        program_version: report.program_version.clone(),
        certificate_until_ms: Some(report.certificate.until_ms).filter(|until| *until > 0),
        certificate_problem: report.certificate.problem.clone(),
    }
}

/// The attributes that some location asks for, as `rack=a`.
fn asked_for(view: &View, attributes: &BTreeMap<String, String>) -> Vec<String> {
    let locations = view.state.config.constraints.locations.values();
    let tests = locations.flat_map(|location| &location.tests);
    let asked: BTreeSet<&String> = tests.map(|(name, _)| name).collect();
    let all = attributes.iter();
    all.filter(|(name, _)| asked.contains(name))
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}

/// A node that holds nothing has no lease.
fn lease_left(view: &View, name: &NodeId) -> Option<u64> {
    let left = view.lease_left.get(name)?;
    (left.0 > 0).then(|| left.as_millis_ceil())
}

fn role(view: &View, name: &NodeId) -> &'static str {
    // The last number counts: an older one of the same node is on its way out.
    let member = view.state.members.values().rev().find(|m| m.node == *name);
    match member {
        None => "none",
        Some(_) if view.leader.as_ref() == Some(name) => "leader",
        Some(member) if member.voter => "voter",
        Some(_) => "learner",
    }
}

/// Guards that are not there, with the reason where the agent gave one.
fn missing(guards: &GuardSupport) -> BTreeMap<String, String> {
    let offered = [
        ("cgroup", guards.cgroup),
        ("privatepids", guards.pid_namespace),
        ("network", guards.network),
        ("address guard", guards.address),
        ("address lifetime", guards.address_lifetime),
        ("realtime", guards.realtime),
    ];
    let mut missing = guards.missing.clone();
    for (name, offered) in offered {
        if !offered {
            missing.entry(name.to_owned()).or_default();
        }
    }
    missing
}
