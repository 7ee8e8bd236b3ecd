//! Metrics about nodes.

use super::{
    exposition::{Exposition, Kind},
    seconds,
};
use crate::render::summary::{NodeLine, Status};
use standfast_model::{id::Incarnation, request::View, time::Micros};

const GUARDS: [&str; 6] = [
    "cgroup",
    "privatepids",
    "network",
    "address guard",
    "address lifetime",
    "realtime",
];

pub(super) fn nodes(out: &mut Exposition, view: &View, status: &Status) {
    states(out, status);
    links(out, status);
    let lease = "standfast_node_lease_left_seconds";
    out.family(
        lease,
        Kind::Gauge,
        "What is left of a node's lease; the leader alone knows.",
    );
    for node in &status.nodes {
        if let Some(left) = node.lease_left_ms {
            out.integer(lease, &of(node), seconds(Micros::from_millis(left)));
        }
    }
    measured(out, view);
    let guard = "standfast_node_guard";
    out.family(guard, Kind::Gauge, "Whether a guard of the lease is there.");
    for node in status.nodes.iter().filter(|node| node.reported) {
        for name in GUARDS {
            let labels = [("node", node.name.as_str()), ("guard", name)];
            out.flag(guard, &labels, !node.missing_guards.contains_key(name));
        }
    }
    let watchdog = "standfast_node_watchdog_timeout_seconds";
    out.family(
        watchdog,
        Kind::Gauge,
        "So long after it was last fed a node's hardware watchdog resets it; only where one is fed.",
    );
    for node in &status.nodes {
        if let Some(found) = &node.watchdog {
            let timeout = seconds(Micros::from_millis(found.timeout_ms));
            out.integer(watchdog, &of(node), timeout);
        }
    }
    let sick = "standfast_node_client_network_problem";
    out.family(
        sick,
        Kind::Gauge,
        "1 for each interface whose client network does not work.",
    );
    for (node, known) in &view.state.nodes {
        for interface in known.report.sick_interfaces.keys() {
            out.integer(
                sick,
                &[("node", node.as_str()), ("interface", interface)],
                1,
            );
        }
    }
}

fn of(node: &NodeLine) -> [(&'static str, &str); 1] {
    [("node", node.name.as_str())]
}

/// Several may hold at once, as in `ha_cluster_pacemaker_nodes`.
fn states(out: &mut Exposition, status: &Status) {
    let name = "standfast_node_state";
    out.family(name, Kind::Gauge, "1 for each thing that is so of a node.");
    for node in &status.nodes {
        for (state, so) in [
            ("online", node.online),
            ("offline", !node.online),
            ("drained", node.drained),
            ("restarting", node.restarting),
            ("witness", node.witness),
            ("joined", node.joined),
        ] {
            out.flag(name, &[("node", &node.name), ("state", state)], so);
        }
    }
    let name = "standfast_node_role";
    out.family(name, Kind::Gauge, "1 for the node's part in deciding.");
    for node in &status.nodes {
        for role in ["leader", "voter", "learner", "none"] {
            out.flag(
                name,
                &[("node", &node.name), ("role", role)],
                node.role == role,
            );
        }
    }
}

fn links(out: &mut Exposition, status: &Status) {
    let heard = "standfast_links_heard";
    out.family(
        heard,
        Kind::Gauge,
        "Links to a node on which this node hears it.",
    );
    let linked = || {
        status
            .nodes
            .iter()
            .filter_map(|node| Some((node, node.links?)))
    };
    for (node, (count, _)) in linked() {
        out.integer(heard, &of(node), count);
    }
    let all = "standfast_links_configured";
    out.family(all, Kind::Gauge, "Links to a node that there should be.");
    for (node, (_, count)) in linked() {
        out.integer(all, &of(node), count);
    }
}

fn measured(out: &mut Exposition, view: &View) {
    let reported = || {
        let nodes = view.state.nodes.iter();
        nodes.filter(|(_, known)| known.report.incarnation != Incarnation::default())
    };
    let fsync = "standfast_node_fsync_seconds";
    out.family(
        fsync,
        Kind::Gauge,
        "How long a durable write takes, rounded up to a power of two milliseconds.",
    );
    for (node, known) in reported() {
        out.integer(
            fsync,
            &[("node", node.as_str())],
            seconds(known.report.fsync),
        );
    }
    let stall = "standfast_node_stall_seconds";
    out.family(
        stall,
        Kind::Gauge,
        "The agent's longest stall within the last 10 minutes, rounded up to a power of two milliseconds.",
    );
    for (node, known) in reported() {
        out.integer(
            stall,
            &[("node", node.as_str())],
            seconds(known.report.stall),
        );
    }
}
