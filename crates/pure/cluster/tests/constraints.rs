//! Constraints between groups, in a cluster of real cores: who is where, and who waits for whom.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod net;

use net::{Net, configs::process};
use standfast_model::{
    config::{ClusterConfig, GroupConfig},
    constraint::Colocation,
    id::NodeId,
    plan::INFINITY,
    request::{RefusalKind, Request, Response},
};
use std::collections::BTreeMap;

const NODES: [&str; 3] = ["alpha", "beta", "gamma"];

/// A group of one process of its own name.
fn group(config: &mut ClusterConfig, name: &str, prefer: &str) {
    config.resources.insert(name.into(), process(name));
    let group = GroupConfig {
        members: vec![name.into()],
        prefer: BTreeMap::from([(prefer.into(), 100)]),
        stickiness: INFINITY,
        ..GroupConfig::default()
    };
    config.groups.insert(name.into(), group);
}

fn colocate(config: &mut ClusterConfig, name: &str, with: &str, score: i64) {
    let colocation = Colocation {
        group: name.into(),
        with: with.into(),
        score,
    };
    let colocations = &mut config.constraints.colocations;
    colocations.insert(format!("{name}-{with}"), colocation);
}

/// `web` must be with `db`, `log` apart from it.
fn together() -> Net {
    let mut net = Net::cluster(&NODES);
    net.must_configure(|config| {
        group(config, "db", "alpha");
        group(config, "web", "beta");
        group(config, "log", "alpha");
        colocate(config, "web", "db", INFINITY);
        colocate(config, "log", "db", -INFINITY);
    });
    net.run(3000);
    net
}

fn settled(net: &Net) {
    let log = net.log.join("\n");
    assert_eq!(net.runs_on("db").len(), 1, "{log}");
    assert_eq!(net.runs_on("web"), net.runs_on("db"), "{log}");
    assert_eq!(net.runs_on("log").len(), 1, "{log}");
    assert_ne!(net.runs_on("log"), net.runs_on("db"), "{log}");
}

fn switch(net: &mut Net, group: &str, to: Option<&str>) {
    let request = Request::Switchover {
        group: group.into(),
        to: to.map(NodeId::from),
        author: "ada".into(),
    };
    let response = net.ask("alpha", request);
    assert!(matches!(response, Response::Done { .. }), "{response:?}");
    net.run(3000);
}

#[test]
fn groups_are_together_and_apart_through_switchovers_and_losses() {
    let mut net = together();
    settled(&net);
    switch(&mut net, "web", Some("gamma"));
    assert_eq!(net.runs_on("db"), ["gamma"], "{}", net.log.join("\n"));
    settled(&net);
    switch(&mut net, "db", None);
    assert_ne!(net.runs_on("db"), ["gamma"], "{}", net.log.join("\n"));
    settled(&net);
    let node = net.runs_on("db")[0].clone();
    net.crash(&node);
    net.run(4000);
    assert_ne!(net.runs_on("db"), [node]);
    settled(&net);
}

#[test]
fn constraints_wait_for_the_last_program_that_does_not_know_them() {
    let mut net = Net::at_level("alpha", 3);
    for name in &NODES[1..] {
        net.join("alpha", name);
    }
    net.run(1000);
    let response = net.configure("alpha", |config| {
        group(config, "db", "alpha");
        group(config, "web", "beta");
        colocate(config, "web", "db", INFINITY);
    });
    let Response::Refused(refusal) = response else {
        panic!("{response:?}");
    };
    assert_eq!(refusal.kind, RefusalKind::Unsafe);
}
