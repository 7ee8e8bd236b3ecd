//! Locations by attributes of nodes, in a cluster of real cores.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod net;

use net::{Net, configs::process};
use standfast_model::{
    attribute::Test,
    config::{ClusterConfig, GroupConfig},
    constraint::Location,
    copies::Copied,
    id::NodeId,
    plan::INFINITY,
    request::{RefusalKind, Request, Response},
};
use std::collections::BTreeMap;

const NODES: [&str; 3] = ["alpha", "beta", "gamma"];

/// A group of one process of its own name, that goes where it is best.
fn group(config: &mut ClusterConfig, name: &str) {
    config.resources.insert(name.into(), process(name));
    let group = GroupConfig {
        members: vec![name.into()],
        ..GroupConfig::default()
    };
    config.groups.insert(name.into(), group);
}

fn give(config: &mut ClusterConfig, node: &str, value: &str) {
    let node = config.nodes.entry(node.into()).or_default();
    node.attributes.insert("rack".into(), value.into());
}

fn location(group: &str, test: Test, score: i64) -> Location {
    Location {
        group: group.into(),
        tests: vec![("rack".into(), test)],
        score,
    }
}

/// What speaks for and against nodes, by the plan in force.
fn reasons(net: &Net, group: &str) -> Vec<(i64, String)> {
    let leader = net.leader().unwrap();
    let plan = &net.core(&leader).inspect().state.plan;
    let reasons = plan.groups[&group.into()].reasons.iter();
    reasons
        .map(|reason| (reason.score, reason.text.clone()))
        .collect()
}

#[test]
fn a_group_goes_where_attributes_say_and_follows_them() {
    let mut net = Net::cluster(&NODES);
    net.must_configure(|config| {
        group(config, "web");
        for (node, rack) in NODES.iter().zip(["a", "b", "c"]) {
            give(config, node, rack);
        }
        let near = location("web", Test::Is(vec!["b".into()]), 500);
        config.constraints.locations.insert("near".into(), near);
    });
    net.run(3000);
    assert_eq!(net.runs_on("web"), ["beta"], "{}", net.log.join("\n"));
    net.must_configure(|config| {
        give(config, "beta", "d");
        give(config, "gamma", "B");
    });
    net.run(3000);
    assert_eq!(net.runs_on("web"), ["gamma"], "{}", net.log.join("\n"));
    let reasons = reasons(&net, "web");
    assert!(
        reasons.contains(&(500, "location near: rack is B".into())),
        "{reasons:?}"
    );
    // What it may never be on is left for what is worse.
    net.must_configure(|config| {
        let never = location("web", Test::Is(vec!["b".into(), "a".into()]), -INFINITY);
        config.constraints.locations.insert("never".into(), never);
    });
    net.run(3000);
    assert_eq!(net.runs_on("web"), ["beta"], "{}", net.log.join("\n"));
    let request = Request::Switchover {
        group: "web".into(),
        to: Some("gamma".into()),
        author: "ada".into(),
    };
    let response = net.ask("alpha", request);
    let Response::Refused(refusal) = response else {
        panic!("{response:?}");
    };
    assert_eq!(
        refusal.text,
        "location never keeps web away from gamma: rack is B"
    );
    net.crash("beta");
    net.run(4000);
    assert!(net.runs_on("web").is_empty(), "{}", net.log.join("\n"));
}

#[test]
fn copies_run_where_their_nodes_have_what_they_need_and_no_others_are_waited_for() {
    let mut net = Net::cluster(&NODES);
    net.must_configure(|config| {
        give(config, "beta", "b");
        let copied = Copied {
            group: GroupConfig {
                members: vec!["web".into()],
                ..GroupConfig::default()
            },
            resources: BTreeMap::from([("web".into(), process("web"))]),
            ..Copied::default()
        };
        config.copies.groups.insert("web".into(), copied);
        let only = location("web", Test::Defined(true), -INFINITY);
        let constraints = &mut config.copies.constraints;
        constraints.locations.insert("not-in-a-rack".into(), only);
        config.spread_copies();
        assert_eq!(config.copies_wanted(&"web".into()), 2);
    });
    net.run(3000);
    for node in NODES {
        let runs = !net.runs_on(&format!("web:{node}")).is_empty();
        assert_eq!(runs, node != "beta", "{node}: {}", net.log.join("\n"));
    }
}

#[test]
fn attributes_wait_for_the_last_program_that_does_not_know_them() {
    let mut net = Net::at_level("alpha", 3);
    for name in &NODES[1..] {
        net.join("alpha", name);
    }
    net.run(1000);
    let response = net.configure("alpha", |config| {
        config.nodes.entry(NodeId::from("alpha")).or_default();
        give(config, "alpha", "a");
    });
    let Response::Refused(refusal) = response else {
        panic!("{response:?}");
    };
    assert_eq!(refusal.kind, RefusalKind::Unsafe);
}
