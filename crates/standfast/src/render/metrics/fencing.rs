//! Metrics about fencing: acts, and what this node hears of the devices.

use super::{
    Local,
    exposition::{Exposition, Kind},
};
use crate::render::{fencing::unresolved, summary::Status};
use standfast_model::{fence_act::FenceOutcome, request::View};

const OUTCOMES: [(FenceOutcome, &str); 5] = [
    (FenceOutcome::Off, "off"),
    (FenceOutcome::Confirmed, "confirmed"),
    (FenceOutcome::Failed, "failed"),
    (FenceOutcome::CalledOff, "called-off"),
    (FenceOutcome::Void, "void"),
];

pub(super) fn fencing(out: &mut Exposition, view: &View, status: &Status, local: &Local) {
    let settings = &view.state.config.fencing;
    let name = "standfast_fencing_state";
    out.family(
        name,
        Kind::Gauge,
        "1 for how fence devices are used; none: there are none.",
    );
    for (state, so) in [
        ("on", settings.is_on() && !settings.manual),
        ("manual", settings.is_on() && settings.manual),
        ("off", settings.off && !settings.devices.is_empty()),
        ("none", settings.devices.is_empty()),
    ] {
        out.flag(name, &[("state", state)], so);
    }
    let name = "standfast_fence_acts_total";
    out.family(
        name,
        Kind::Counter,
        "Acts of fencing that have ended, by outcome; one that became void counts under both.",
    );
    // Every outcome is there from the start: the first failure is then an increase from 0.
    for (outcome, word) in OUTCOMES {
        let count = view.state.fence_totals.get(&outcome).copied();
        out.integer(name, &[("outcome", word)], count.unwrap_or(0));
    }
    acts(out, view);
    devices(out, status, local);
}

fn acts(out: &mut Exposition, view: &View) {
    let name = "standfast_fence_under_way";
    out.family(name, Kind::Gauge, "Whether a node is being fenced.");
    for node in view.state.config.nodes.keys() {
        let mut acts = view.state.fences.iter();
        let so = acts.any(|act| act.node == *node && act.is_under_way());
        out.flag(name, &[("node", node.as_str())], so);
    }
    let name = "standfast_fence_problem";
    out.family(
        name,
        Kind::Gauge,
        "1 while the last fencing of a node is one that nobody can rely on: failed, or void.",
    );
    for node in view.state.config.nodes.keys() {
        let last = unresolved(view, node);
        for (outcome, word) in [
            (FenceOutcome::Failed, "failed"),
            (FenceOutcome::Void, "void"),
        ] {
            let labels = [("node", node.as_str()), ("outcome", word)];
            out.flag(name, &labels, last == Some(outcome));
        }
    }
}

/// As this node hears them: another one may reach a device that this one does not.
fn devices(out: &mut Exposition, status: &Status, local: &Local) {
    let up = "standfast_fence_device_up";
    out.family(
        up,
        Kind::Gauge,
        "Whether a fence device answered the node that says so, when it was asked last.",
    );
    for (device, seen) in &local.devices {
        out.flag(up, &[("node", &status.asked), ("device", device)], seen.up);
    }
    let last = "standfast_fence_device_last_good_timestamp_seconds";
    out.family(
        last,
        Kind::Gauge,
        "When a fence device last answered the node that says so.",
    );
    for (device, seen) in &local.devices {
        if let Some(at) = seen.last_good {
            out.integer(last, &[("node", &status.asked), ("device", device)], at);
        }
    }
}
