//! Metrics about groups and resources: what runs where, predicted and measured RTO.

use super::{
    exposition::{Exposition, Kind},
    seconds,
};
use crate::render::{
    groups::phase_name,
    summary::{GroupLine, Status},
};
use standfast_model::{
    id::GroupId,
    outage::{BOUNDS_MS, Cause, Outage, Totals},
    request::View,
    state::Phase,
    time::Micros,
};

const PHASES: [Phase; 7] = [
    Phase::Inactive,
    Phase::Starting,
    Phase::Active,
    Phase::Stopping,
    Phase::StopFailed,
    Phase::Failed,
    Phase::Lapsed,
];

pub(super) fn groups(out: &mut Exposition, view: &View, status: &Status) {
    running(out, status);
    resources(out, view, status);
    predicted(out, status);
    measured(out, view);
}

fn running(out: &mut Exposition, status: &Status) {
    let name = "standfast_group_running";
    out.family(
        name,
        Kind::Gauge,
        "Whether all of a group runs where the plan puts it.",
    );
    for group in &status.groups {
        let node = group.node.as_deref().unwrap_or("");
        out.flag(
            name,
            &[("group", &group.name), ("node", node)],
            group.running,
        );
    }
    let name = "standfast_group_maintenance";
    out.family(name, Kind::Gauge, "Whether a group is in maintenance.");
    for group in &status.groups {
        out.flag(name, &of(group), group.maintenance);
    }
    let name = "standfast_group_disabled";
    out.family(
        name,
        Kind::Gauge,
        "Whether an operator has disabled a group.",
    );
    for group in &status.groups {
        out.flag(name, &of(group), group.disabled_by.is_some());
    }
    let name = "standfast_group_other_homes";
    out.family(
        name,
        Kind::Gauge,
        "How many other nodes could run a group now.",
    );
    for group in &status.groups {
        out.integer(name, &of(group), group.other_homes);
    }
}

fn of(group: &GroupLine) -> [(&'static str, &str); 1] {
    [("group", group.name.as_str())]
}

fn resources(out: &mut Exposition, view: &View, status: &Status) {
    let name = "standfast_resource_state";
    out.family(
        name,
        Kind::Gauge,
        "1 for what a resource is doing on a node.",
    );
    for group in &status.groups {
        for line in &group.resources {
            let Some(node) = line.node.as_deref() else {
                continue;
            };
            let labels = |state| {
                [
                    ("group", group.name.as_str()),
                    ("resource", line.name.as_str()),
                    ("kind", line.kind),
                    ("node", node),
                    ("state", state),
                ]
            };
            let mut known = false;
            for phase in PHASES {
                let phase = phase_name(phase);
                known |= line.phase == phase;
                out.flag(name, &labels(phase), line.phase == phase);
            }
            out.flag(name, &labels("unknown"), !known);
        }
    }
    let name = "standfast_resource_failures";
    out.family(
        name,
        Kind::Gauge,
        "Failures that count against a resource on a node at present.",
    );
    for (resource, by_node) in &view.state.failures {
        for (node, record) in by_node {
            let labels = [("resource", resource.as_str()), ("node", node.as_str())];
            out.integer(name, &labels, record.count);
        }
    }
}

fn predicted(out: &mut Exposition, status: &Status) {
    let name = "standfast_group_predicted_rto_seconds";
    out.family(
        name,
        Kind::Gauge,
        "Predicted time without service when the node is lost, alone or with the leader.",
    );
    for group in status.groups.iter().filter(|group| group.other_homes > 0) {
        for (lost, ms) in [
            ("node", group.predicted_rto_ms),
            ("node-and-leader", group.predicted_rto_leader_lost_ms),
        ] {
            let labels = [("group", group.name.as_str()), ("lost", lost)];
            if let Some(ms) = ms {
                out.integer(name, &labels, seconds(Micros::from_millis(ms)));
            }
        }
    }
}

/// What every cause has from the start: a first failover is then an increase from 0, which can be alerted on.
fn measured(out: &mut Exposition, view: &View) {
    let none = Totals::default();
    let name = "standfast_group_outage_seconds";
    out.family(
        name,
        Kind::Histogram,
        "Measured times without service, by cause; over since the group was configured.",
    );
    for (group, service) in &view.state.service {
        for cause in [Cause::Failover, Cause::Failure, Cause::Planned] {
            let totals = service.totals.get(&cause).unwrap_or(&none);
            histogram(out, name, group, cause, totals);
        }
    }
    let name = "standfast_group_last_outage_seconds";
    out.family(
        name,
        Kind::Gauge,
        "How long the last time without service took.",
    );
    for (group, outage, length) in last(view) {
        let labels = [("group", group), ("cause", outage.cause.name())];
        out.integer(name, &labels, seconds(Micros::from_millis(length)));
    }
    let name = "standfast_group_last_outage_timestamp_seconds";
    out.family(
        name,
        Kind::Gauge,
        "When the last time without service began.",
    );
    for (group, outage, _) in last(view) {
        let began = seconds(Micros::from_millis(outage.began_ms));
        out.integer(
            name,
            &[("group", group), ("cause", outage.cause.name())],
            began,
        );
    }
    let name = "standfast_group_down_since_timestamp_seconds";
    out.family(
        name,
        Kind::Gauge,
        "Since when a group that had been served is not.",
    );
    for (group, service) in &view.state.service {
        if let Some(open) = &service.open {
            let labels = [("group", group.as_str()), ("cause", open.cause.name())];
            out.integer(name, &labels, seconds(Micros::from_millis(open.began_ms)));
        }
    }
}

fn last(view: &View) -> impl Iterator<Item = (&str, &Outage, u64)> {
    view.state.service.iter().filter_map(|(group, service)| {
        let outage = service.last.back()?;
        Some((group.as_str(), outage, outage.length_ms()?))
    })
}

fn histogram(out: &mut Exposition, name: &str, group: &GroupId, cause: Cause, totals: &Totals) {
    let own = [("group", group.as_str()), ("cause", cause.name())];
    let bucket = format!("{name}_bucket");
    for (index, bound) in BOUNDS_MS.iter().enumerate() {
        let mut le = seconds(Micros::from_millis(*bound));
        if !le.contains('.') {
            le.push_str(".0");
        }
        let counted = totals.at_most.get(index).copied().unwrap_or(0);
        let [g, c] = own;
        out.integer(&bucket, &[g, c, ("le", &le)], counted);
    }
    let [g, c] = own;
    out.integer(&bucket, &[g, c, ("le", "+Inf")], totals.count);
    out.integer(&format!("{name}_count"), &own, totals.count);
    let sum = seconds(Micros::from_millis(totals.sum_ms));
    out.integer(&format!("{name}_sum"), &own, sum);
}
