//! What the agent knows of its own node: links, measured times, guards, client networks, storage.

use super::Findings;
use standfast_model::{
    guards::GuardSupport, id::NodeId, query::Severity, request::View, time::Micros,
};
use std::path::Path;

/// Where the first hardware watchdog of a machine is.
const WATCHDOG: &str = "/dev/watchdog";

/// A stall that leases feel.
const STALL: Micros = Micros::from_millis(100);

pub(super) fn examine(view: &View, found: &mut Findings) {
    found.check("quorum");
    if !view.quorum {
        found.add(
            Severity::Critical,
            "quorum",
            "this node hears no leader with a majority",
            "bring the other voters, or the network to them, back; the findings on links say which",
        );
    }
    if !view.no_vote.is_empty() {
        found.add(
            Severity::Warning,
            "quorum",
            format!("this node has no vote: {}", view.no_vote),
            "it comes back by itself when the reason is gone; `standfast history` shows it",
        );
    }
    links(view, found);
    found.check("storage");
    if !view.storage_problem.is_empty() {
        found.add(
            Severity::Critical,
            "storage",
            format!("the state cannot be written: {}", view.storage_problem),
            "make room on the disk or replace it; the agent goes on by itself",
        );
    }
    of_node(view, found);
}

fn links(view: &View, found: &mut Findings) {
    found.check("links");
    for (peer, (heard, all)) in &view.links {
        if heard >= all {
            continue;
        }
        let addresses = view.state.config.nodes.get(peer);
        let addresses = addresses.map_or_else(String::new, |node| node.addresses.join(", "));
        let severity = if *heard == 0 {
            Severity::Critical
        } else {
            Severity::Warning
        };
        found.add(
            severity,
            "links",
            format!("{peer} is heard on {heard} of {all} links ({addresses})"),
            "is that machine up? Then look at cable, switch port, and the firewall for that UDP port in both directions",
        );
    }
}

fn of_node(view: &View, found: &mut Findings) {
    let Some(known) = view.state.nodes.get(&NodeId::from(view.node.as_str())) else {
        return;
    };
    let report = &known.report;
    found.check("stalls");
    if report.stall > STALL {
        found.add(
            Severity::Warning,
            "stalls",
            format!("this machine stood still for about {} ms in the last ten minutes", report.stall.as_millis_ceil()),
            "snapshots, live migration and overloaded hosts do that; without fencing a machine that can be paused is not safe. Real-time priority helps against busy processors",
        );
    }
    found.check("guards");
    for (guard, why) in &report.guards.missing {
        found.add(
            Severity::Warning,
            "guards",
            format!("the guard \"{guard}\" is missing: {why}"),
            remedy_of(guard),
        );
    }
    watchdog(&report.guards, found);
    found.check("client networks");
    for (interface, why) in &report.sick_interfaces {
        found.add(
            Severity::Critical,
            "client networks",
            format!("{interface}: {why}"),
            "look at cable and switch port, or at the gateway; nothing with an address there runs on this node until then",
        );
    }
    for warning in &report.warnings {
        found.add(
            Severity::Warning,
            "agent",
            warning.clone(),
            "`standfast logs` says more",
        );
    }
    if known.drained {
        let node = &view.node;
        found.add(
            Severity::Note,
            "drained",
            "an operator drained this node: it runs nothing",
            format!("`standfast node resume {node}` lets it work again"),
        );
    }
}

fn watchdog(guards: &GuardSupport, found: &mut Findings) {
    found.check("watchdog");
    match &guards.watchdog {
        Some(watchdog) if !watchdog.stoppable => found.add(
            Severity::Note,
            "watchdog",
            format!(
                "the watchdog ({}) cannot be stopped: this machine is reset {} s after its agent was stopped",
                watchdog.identity,
                watchdog.timeout.as_millis_ceil() / 1000
            ),
            "load its driver without nowayout=1, or stop the agent only together with the machine",
        ),
        None if !guards.missing.contains_key("watchdog") && Path::new(WATCHDOG).exists() => found
            .add(
                Severity::Note,
                "watchdog",
                format!("this machine has a hardware watchdog, {WATCHDOG}, which is not used"),
                "[watchdog] in /etc/standfast/node.toml has it reset the machine when it hangs",
            ),
        Some(_) | None => {}
    }
}

fn remedy_of(guard: &str) -> &'static str {
    match guard {
        "cgroup" | "kill" => {
            "mount cgroup2 (systemd does), with a kernel of 5.14 or newer; in a container, delegate it"
        }
        "privatepids" => {
            "allow process-id namespaces, or switch them off for services that need none"
        }
        "network" => {
            "a kernel with CONFIG_CGROUP_BPF, and CAP_BPF with CAP_NET_ADMIN for the agent"
        }
        "address guard" => {
            "a kernel with nf_tables, and CAP_NET_ADMIN for the agent; until then everybody waits 1.5 s longer"
        }
        "realtime" | "lockedmemory" => {
            "give the agent CAP_SYS_NICE and CAP_IPC_LOCK, as the shipped unit does; without them a busy machine may look dead"
        }
        "watchdog" => {
            "`modprobe` its driver, and let nothing else open it; [watchdog] in /etc/standfast/node.toml asks for it"
        }
        _ => "`standfast status` counts the longer wait in the predicted RTO",
    }
}
