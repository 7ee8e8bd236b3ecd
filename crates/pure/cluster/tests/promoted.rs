//! Groups with a promoted copy, in a cluster of real cores: who is promoted, that nobody is where its copy does not run,
//! and that there are never two.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod net;

use net::{Net, configs::process};
use standfast_model::{
    config::GroupConfig,
    copies::Copied,
    event::InstanceChange,
    id::{GroupId, MemberId, NodeId},
    order::Order,
    plan::INFINITY,
    request::{Request, Response},
};
use std::collections::BTreeMap;

const NODES: [&str; 3] = ["alpha", "beta", "gamma"];
const ROLE: &str = "postgres:promoted";

fn cluster(stickiness: i64) -> Net {
    let mut net = Net::cluster(&NODES);
    net.must_configure(|config| {
        let copied = Copied {
            most: None,
            promoted: true,
            group: GroupConfig {
                members: vec!["postgres".into()],
                stickiness,
                ..GroupConfig::default()
            },
            resources: BTreeMap::from([("postgres".into(), process("postgres"))]),
        };
        config.copies.groups.insert("db".into(), copied);
        config.spread_copies();
    });
    run(&mut net, 3000);
    net
}

/// Lets time pass, and sees at every instant that the role is only where a copy runs. `Net` sees that there are not two.
fn run(net: &mut Net, millis: u64) {
    for _ in 0..millis {
        net.run(1);
        for node in net.runs_on(ROLE) {
            let copy = net.runs_on(&format!("postgres:{node}"));
            assert_eq!(copy, [node], "{}", net.log.join("\n"));
        }
    }
}

fn say(net: &mut Net, scores: &[(&str, i64)]) {
    for (node, score) in scores {
        let copy = format!("postgres:{node}");
        net.report(node, &copy, InstanceChange::Promotion(Some(*score)));
    }
    run(net, 2000);
}

fn reasons(net: &Net) -> String {
    let leader = net.leader().unwrap();
    let plan = &net.core(&leader).inspect().state.plan;
    let given = &plan.groups[&GroupId::from("db:promoted")];
    let reasons = given.reasons.iter();
    let reasons = reasons.map(|reason| format!("{} {}", reason.score, reason.text));
    reasons.collect::<Vec<String>>().join("\n")
}

#[test]
fn nobody_is_promoted_before_an_agent_has_said_so_and_then_the_best() {
    let mut net = cluster(INFINITY);
    assert_eq!(net.runs_on(ROLE), Vec::<String>::new());
    let why = reasons(&net);
    assert!(why.contains("db:beta has no promotion score yet"), "{why}");
    say(&mut net, &[("alpha", -1)]);
    assert_eq!(net.runs_on(ROLE), Vec::<String>::new());
    let why = reasons(&net);
    let refused = "db:alpha is not to be promoted (its agent says -1)";
    assert!(why.contains(refused), "{why}");
    say(&mut net, &[("gamma", 10)]);
    assert_eq!(net.runs_on(ROLE), ["gamma"]);
    let why = reasons(&net);
    assert!(why.contains("10 promotion score of db:gamma"), "{why}");
    // It stays, however good another one is, until it is not to be promoted any more.
    say(&mut net, &[("beta", 1000)]);
    assert_eq!(net.runs_on(ROLE), ["gamma"]);
    say(&mut net, &[("gamma", -INFINITY)]);
    assert_eq!(net.runs_on(ROLE), ["beta"]);
}

#[test]
fn with_finite_stickiness_a_better_copy_takes_over() {
    let mut net = cluster(50);
    say(&mut net, &[("alpha", 100)]);
    say(&mut net, &[("beta", 149)]);
    assert_eq!(net.runs_on(ROLE), ["alpha"]);
    say(&mut net, &[("beta", 151)]);
    assert_eq!(net.runs_on(ROLE), ["beta"]);
}

#[test]
fn the_best_of_the_others_is_promoted_when_a_node_is_lost() {
    let mut net = cluster(INFINITY);
    let leader = net.leader().unwrap();
    let others: Vec<&str> = NODES.into_iter().filter(|node| *node != leader).collect();
    say(&mut net, &[(others[0], 100)]);
    assert_eq!(net.runs_on(ROLE), [others[0]]);
    say(&mut net, &[(leader.as_str(), 5), (others[1], 7)]);
    net.crash(others[0]);
    run(&mut net, 3000);
    assert_eq!(net.runs_on(ROLE), [others[1]]);
    let number = NODES.iter().position(|node| *node == others[0]).unwrap();
    net.power_on(others[0], MemberId(u64::try_from(number).unwrap() + 1));
    run(&mut net, 4000);
    say(&mut net, &[(others[0], 1000)]);
    assert_eq!(net.runs_on(ROLE), [others[1]], "no failback");
}

#[test]
fn it_is_demoted_before_its_copy_is_stopped_and_moves_on_demand() {
    let mut net = cluster(INFINITY);
    let leader = net.leader().unwrap();
    say(&mut net, &[("alpha", 10), ("beta", 5), ("gamma", 1)]);
    assert_eq!(net.runs_on(ROLE), ["alpha"]);
    let drain = Request::Drain {
        node: NodeId::from("alpha"),
        drained: true,
        author: "ada".into(),
    };
    net.ask(&leader, drain);
    run(&mut net, 3000);
    assert_eq!(net.runs_on(ROLE), ["beta"], "{}", net.log.join("\n"));
    assert_eq!(net.runs_on("postgres:alpha"), Vec::<String>::new());
    let switchover = Request::Switchover {
        group: "db:promoted".into(),
        to: Some("gamma".into()),
        author: "ada".into(),
    };
    let response = net.ask(&leader, switchover);
    assert!(matches!(response, Response::Done { .. }), "{response:?}");
    run(&mut net, 3000);
    assert_eq!(net.runs_on(ROLE), ["gamma"]);
    assert_eq!(net.runs_on("postgres:beta"), ["beta"]);
}

#[test]
fn a_restart_of_the_promoted_copy_demotes_it_first_and_what_is_ordered_for_all_holds() {
    let mut net = cluster(INFINITY);
    let leader = net.leader().unwrap();
    say(&mut net, &[("alpha", 10)]);
    let failed = InstanceChange::Unhealthy("it does not answer".into());
    net.report("alpha", "postgres:alpha", failed);
    run(&mut net, 2000);
    assert_eq!(net.runs_on("postgres:alpha"), ["alpha"]);
    assert_eq!(net.runs_on(ROLE), Vec::<String>::new(), "its score is gone");
    say(&mut net, &[("beta", 1)]);
    assert_eq!(net.runs_on(ROLE), ["beta"]);
    let disable = Request::Order {
        group: "db".into(),
        order: Order::Disable,
        author: "ada".into(),
    };
    net.ask(&leader, disable);
    run(&mut net, 3000);
    for resource in [ROLE, "postgres:alpha", "postgres:beta", "postgres:gamma"] {
        assert_eq!(net.runs_on(resource), Vec::<String>::new());
    }
}
