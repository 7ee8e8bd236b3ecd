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
    constraint::{Colocation, Sequence},
    event::InstanceChange,
    id::{GroupId, MemberId, NodeId, ResourceId},
    order::Order,
    outage::Cause,
    plan::INFINITY,
    request::{RefusalKind, Request, Response},
    simulation::Imagined,
    time::Micros,
};
use std::collections::{BTreeMap, BTreeSet};

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

fn order(config: &mut ClusterConfig, first: &str, then: &str, change: impl FnOnce(&mut Sequence)) {
    let mut sequence = Sequence {
        first: first.into(),
        then: then.into(),
        optional: false,
        one_way: false,
    };
    change(&mut sequence);
    let sequences = &mut config.constraints.sequences;
    sequences.insert(format!("{first}-{then}"), sequence);
}

/// `web` on beta starts after `db` on alpha.
fn ordered(change: impl FnOnce(&mut Sequence)) -> Net {
    let mut net = Net::cluster(&NODES);
    net.must_configure(|config| {
        group(config, "db", "alpha");
        group(config, "web", "beta");
        order(config, "db", "web", change);
    });
    net
}

fn running(net: &Net) -> BTreeSet<String> {
    let each = |(resource, nodes): (&ResourceId, &BTreeSet<NodeId>)| {
        let nodes = nodes.iter();
        nodes
            .map(|node| format!("{resource} on {node}"))
            .collect::<Vec<_>>()
    };
    net.active.iter().flat_map(each).collect()
}

/// What starts and what stops meanwhile, in its order.
fn watch(net: &mut Net, millis: u64) -> Vec<String> {
    let mut seen = Vec::new();
    let mut before = running(net);
    for _ in 0..millis {
        net.run(1);
        let now = running(net);
        seen.extend(before.difference(&now).map(|what| format!("-{what}")));
        seen.extend(now.difference(&before).map(|what| format!("+{what}")));
        before = now;
    }
    seen
}

fn waits(net: &Net, group: &str) -> Option<String> {
    let state = net.core("gamma").inspect().state;
    let waiting = state.plan.groups[&GroupId::from(group)].waiting.clone();
    waiting.map(|waiting| waiting.on.to_string())
}

fn give(net: &mut Net, group: &str, order: Order) {
    let request = Request::Order {
        group: group.into(),
        order,
        author: "ada".into(),
    };
    let response = net.ask("gamma", request);
    assert!(matches!(response, Response::Done { .. }), "{response:?}");
}

fn ask_move(net: &mut Net, group: &str, to: &str) {
    let request = Request::Switchover {
        group: group.into(),
        to: Some(to.into()),
        author: "ada".into(),
    };
    let response = net.ask("gamma", request);
    assert!(matches!(response, Response::Done { .. }), "{response:?}");
}

#[test]
fn what_comes_after_waits_and_stops_before() {
    let mut net = ordered(|_| {});
    assert_eq!(watch(&mut net, 2000), ["+db on alpha", "+web on beta"]);
    ask_move(&mut net, "db", "gamma");
    let moved = [
        "-web on beta",
        "-db on alpha",
        "+db on gamma",
        "+web on beta",
    ];
    assert_eq!(watch(&mut net, 2000), moved, "{}", net.log.join("\n"));
    assert!(net.core("gamma").inspect().state.moves.is_empty());
    give(&mut net, "db", Order::Restart { from: None });
    let restarted = [
        "-web on beta",
        "-db on gamma",
        "+db on gamma",
        "+web on beta",
    ];
    assert_eq!(watch(&mut net, 2000), restarted, "{}", net.log.join("\n"));
    give(&mut net, "db", Order::Disable);
    let stopped = ["-web on beta", "-db on gamma"];
    assert_eq!(watch(&mut net, 2000), stopped, "{}", net.log.join("\n"));
    assert_eq!(waits(&net, "web").as_deref(), Some("db"));
    give(&mut net, "db", Order::Enable);
    assert_eq!(watch(&mut net, 2000).last().unwrap(), "+web on beta");
    assert_eq!(waits(&net, "web"), None);
}

#[test]
fn what_is_simulated_takes_turns_as_the_cluster_does() {
    let mut net = ordered(|_| {});
    net.run(2000);
    let request = Request::Switchover {
        group: "db".into(),
        to: Some("gamma".into()),
        author: "ada".into(),
    };
    let asked = Imagined::Asked {
        request: Box::new(request),
    };
    let lost = Imagined::NodesLost {
        nodes: vec!["gamma".into()],
    };
    let fails = Imagined::ResourceFails {
        resource: "db".into(),
    };
    let imagined = vec![asked, fails, lost];
    let Response::Simulation(said) = net.ask("alpha", Request::Simulate { imagined }) else {
        panic!("no simulation");
    };
    let steps = |stage: usize| -> Vec<&str> {
        let steps = said.stages[stage].steps.iter();
        steps.map(|step| step.what.as_str()).collect()
    };
    let moved = [
        "stop web on beta",
        "wait until db is active (order db-web)",
        "stop db on alpha",
        "release and grant",
        "start db on gamma",
        "start web on beta",
    ];
    assert_eq!(steps(0), moved);
    let failed = [
        "stop web on beta",
        "start db on gamma",
        "wait until db is active (order db-web)",
        "start web on beta",
    ];
    let mut seen = steps(1);
    seen.sort_unstable();
    let mut expected = failed.to_vec();
    expected.sort_unstable();
    assert_eq!(seen, expected);
    assert_eq!(steps(1).last(), Some(&"start web on beta"));
    assert_eq!(steps(2).last(), Some(&"start web on beta"), "{said:?}");
    let away = |group: &str| {
        let mut found = said.stages[2].interruptions.iter();
        found
            .find(|found| found.group.as_str() == group)
            .unwrap()
            .length
    };
    assert!(away("web") > away("db").map(|length| length.minus(Micros::from_millis(50))));
}

#[test]
fn a_failure_that_is_mended_where_it_happened_restarts_what_comes_after() {
    let mut net = ordered(|_| {});
    net.run(2000);
    net.report("alpha", "db", InstanceChange::Exited("gone".to_owned()));
    let seen = watch(&mut net, 2000);
    let expected = ["+db on alpha", "-web on beta", "+web on beta"];
    assert_eq!(seen, expected, "{}", net.log.join("\n"));
    let state = net.core("alpha").inspect().state;
    let outage = state.service[&GroupId::from("web")].last.back().unwrap();
    assert_eq!(outage.cause, Cause::Failure, "it was not planned");
    // Once for each failure, and not for one that was before.
    net.run(3000);
    assert_eq!(watch(&mut net, 1000), [""; 0]);
}

#[test]
fn a_lost_node_is_not_waited_for() {
    let took = |order: bool| {
        let mut net = ordered(|_| {});
        if !order {
            net.must_configure(|config| config.constraints.sequences.clear());
        }
        net.run(3000);
        let begun = net.now;
        net.crash("alpha");
        while net.runs_on("db").is_empty() && net.now < begun + 5_000_000 {
            net.run(1);
        }
        let took = net.now - begun;
        net.run(2000);
        assert_eq!(net.runs_on("web"), ["beta"], "{}", net.log.join("\n"));
        took
    };
    let (with, without) = (took(true), took(false));
    assert!(with < without + 120_000, "{with} µs, else {without} µs");
}

/// All machines lose their power, one after the other of them comes back, and who leads then finds a plan of before.
#[test]
fn after_an_outage_of_everything_turns_are_taken_again() {
    for late in 0..20 {
        let mut net = ordered(|_| {});
        net.run(2000 + 17 * late);
        for name in NODES {
            net.crash(name);
        }
        net.run(500);
        for (place, name) in NODES.into_iter().enumerate() {
            let member = MemberId(place as u64 + 1);
            net.power_on(name, member);
            net.run(late * place as u64);
        }
        let seen = watch(&mut net, 8000);
        let log = net.log.join("\n");
        assert_eq!(seen, ["+db on alpha", "+web on beta"], "{late}\n{log}");
    }
}

/// One machine is gone so shortly that nobody misses it: what ran there is started anew, in turns.
#[test]
fn after_a_short_loss_of_power_turns_are_taken_again() {
    let mut net = Net::cluster(&NODES);
    net.must_configure(|config| {
        group(config, "db", "alpha");
        group(config, "web", "alpha");
        order(config, "db", "web", |_| {});
    });
    net.run(2000);
    net.crash("alpha");
    net.power_on("alpha", MemberId(1));
    let seen = watch(&mut net, 8000);
    let log = net.log.join("\n");
    assert_eq!(seen.last().unwrap(), "+web on alpha", "{log}");
    let at = |what: &str| seen.iter().position(|one| one == what);
    assert!(at("+db on alpha") < at("+web on alpha"), "{seen:?}\n{log}");
    assert_eq!(seen.len(), 2, "{seen:?}\n{log}");
}

#[test]
fn a_chain_stops_from_its_end_and_starts_from_its_beginning() {
    let mut net = ordered(|_| {});
    net.must_configure(|config| {
        group(config, "shop", "gamma");
        order(config, "web", "shop", |_| {});
    });
    net.run(2000);
    ask_move(&mut net, "db", "gamma");
    // Whoever leads in the middle of it goes on with it.
    let leader = net.leader().unwrap();
    let seen = watch(&mut net, 2000);
    let moved = [
        "-shop on gamma",
        "-web on beta",
        "-db on alpha",
        "+db on gamma",
        "+web on beta",
        "+shop on gamma",
    ];
    assert_eq!(seen, moved, "{leader}\n{}", net.log.join("\n"));
}

#[test]
fn one_that_is_left_alone_is_neither_stopped_nor_waited_for() {
    let mut net = ordered(|_| {});
    net.run(2000);
    net.must_configure(|config| {
        config
            .groups
            .get_mut(&GroupId::from("web"))
            .unwrap()
            .maintenance = true;
    });
    net.run(2000);
    ask_move(&mut net, "db", "gamma");
    assert_eq!(
        watch(&mut net, 2000),
        ["-db on alpha", "+db on gamma"],
        "{}",
        net.log.join("\n")
    );
    assert_eq!(net.runs_on("web"), ["beta"]);
}

#[test]
fn an_order_may_be_about_starts_only_or_about_what_happens_at_once() {
    let mut net = ordered(|sequence| sequence.one_way = true);
    assert_eq!(watch(&mut net, 2000), ["+db on alpha", "+web on beta"]);
    ask_move(&mut net, "db", "gamma");
    assert_eq!(watch(&mut net, 2000), ["-db on alpha", "+db on gamma"]);

    let mut net = ordered(|sequence| sequence.optional = true);
    assert_eq!(watch(&mut net, 2000), ["+db on alpha", "+web on beta"]);
    ask_move(&mut net, "db", "gamma");
    assert_eq!(watch(&mut net, 2000), ["-db on alpha", "+db on gamma"]);
    give(&mut net, "db", Order::Disable);
    assert_eq!(watch(&mut net, 2000), ["-db on gamma"]);
}

#[test]
fn what_must_be_together_and_in_order_moves_as_one() {
    let mut net = ordered(|_| {});
    net.must_configure(|config| colocate(config, "web", "db", INFINITY));
    net.run(2000);
    assert_eq!(net.runs_on("web"), ["alpha"], "{}", net.log.join("\n"));
    ask_move(&mut net, "web", "gamma");
    let moved = [
        "-web on alpha",
        "-db on alpha",
        "+db on gamma",
        "+web on gamma",
    ];
    assert_eq!(watch(&mut net, 2000), moved, "{}", net.log.join("\n"));
    let state = net.core("beta").inspect().state;
    assert!(state.moves.is_empty());
}
