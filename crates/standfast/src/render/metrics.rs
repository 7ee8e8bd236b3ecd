//! A view as metrics, in Prometheus text or OpenMetrics. Names and labels are listed in `docs/metrics.md`.
//!
//! Numbers come from [`Status`] and the measured outages of the replicated state; nothing is computed
//! that `status` would not say. Base units: seconds. One series with 0 or 1 for each value of a state.

mod exposition;
mod fencing;
mod groups;
mod nodes;

use super::summary::{Health, Status};
pub(crate) use exposition::Form;
use exposition::{Exposition, Kind};
use standfast_model::{request::View, time::Micros};
use std::collections::BTreeMap;

/// What only the agent's own machine knows.
#[derive(Clone, Debug, Default)]
pub(crate) struct Local {
    /// When each certificate of this node ends, seconds since 1970, by its file name.
    pub(crate) certificates: BTreeMap<String, i64>,
    /// What each fence device said to this node, by its name.
    pub(crate) devices: BTreeMap<String, DeviceSeen>,
}

/// How a fence device answered.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DeviceSeen {
    /// It did when it was asked last.
    pub(crate) up: bool,
    /// When it did last, seconds since 1970.
    pub(crate) last_good: Option<u64>,
}

/// All metrics.
pub(crate) fn metrics(view: &View, local: &Local, form: Form) -> String {
    let status = Status::of(view);
    let mut out = Exposition::new(form);
    cluster(&mut out, view, &status);
    nodes::nodes(&mut out, view, &status);
    groups::groups(&mut out, view, &status);
    fencing::fencing(&mut out, view, &status, local);
    let change = super::authority::line(view);
    let step = "standfast_ca_rotation_step";
    out.family(
        step,
        Kind::Gauge,
        "Step of a change of the certificate authority, 0 when there is none.",
    );
    out.integer(step, &[], change.as_ref().map_or(0, |change| change.step));
    let waits = "standfast_ca_rotation_waits_for";
    out.family(
        waits,
        Kind::Gauge,
        "1 for each node that a change of the certificate authority waits for.",
    );
    for node in change.iter().flat_map(|change| &change.waits_for) {
        out.integer(waits, &[("node", node)], 1);
    }
    let expiry = "standfast_certificate_expiry_timestamp_seconds";
    out.family(expiry, Kind::Gauge, "When a certificate of this node ends.");
    for (file, ends) in &local.certificates {
        out.integer(expiry, &[("node", &status.asked), ("file", file)], *ends);
    }
    out.finish()
}

fn cluster(out: &mut Exposition, view: &View, status: &Status) {
    let info = "standfast_cluster_info";
    out.family(
        info,
        Kind::Gauge,
        "Names of what is in force, as labels; always 1.",
    );
    let labels = [
        ("cluster", status.cluster.as_str()),
        ("node", &status.asked),
        ("version", env!("CARGO_PKG_VERSION")),
    ];
    out.integer(info, &labels, 1);

    let health = "standfast_health";
    out.family(health, Kind::Gauge, "1 for how the cluster is.");
    for (name, value) in [
        ("ok", Health::Ok),
        ("degraded", Health::Degraded),
        ("outage", Health::Outage),
        ("no-quorum", Health::NoQuorum),
    ] {
        out.flag(health, &[("state", name)], status.health == value);
    }
    numbers(out, view, status);
}

fn numbers(out: &mut Exposition, view: &View, status: &Status) {
    let numbers: [(&str, &str, u64); 6] = [
        (
            "standfast_quorum",
            "Whether this node hears a leader with a majority.",
            u64::from(view.quorum),
        ),
        (
            "standfast_term",
            "The term that this node is in.",
            view.term,
        ),
        (
            "standfast_config_version",
            "Version of the configuration in force.",
            view.state.config_version,
        ),
        (
            "standfast_plan_generation",
            "Generation of the plan in force.",
            view.state.plan.number.generation,
        ),
        (
            "standfast_maintenance",
            "Whether the whole cluster is in maintenance.",
            u64::from(view.state.all_in_maintenance()),
        ),
        (
            "standfast_storage_problem",
            "Whether this node cannot write to its state directory.",
            u64::from(!view.storage_problem.is_empty()),
        ),
    ];
    for (name, help, value) in numbers {
        out.family(name, Kind::Gauge, help);
        out.integer(name, &[], value);
    }
    let applied = "standfast_commands_applied_total";
    out.family(
        applied,
        Kind::Counter,
        "Commands of the log that this node has applied.",
    );
    out.integer(applied, &[], view.state.applied);
    let warnings = "standfast_warnings";
    out.family(
        warnings,
        Kind::Gauge,
        "How many warnings `standfast status` shows.",
    );
    out.integer(warnings, &[], status.warnings.len());
}

/// Seconds, as exactly as they are known.
fn seconds(time: Micros) -> String {
    let (whole, rest) = (time.0 / 1_000_000, time.0 % 1_000_000);
    let text = format!("{whole}.{rest:06}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
