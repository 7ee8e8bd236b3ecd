//! Groups with copies, in a cluster of real cores: how many run and where, what stays untouched, what waits.
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
    copies::Copied,
    event::InstanceChange,
    id::{GroupId, MemberId, NodeId, ResourceId},
    order::Order,
    plan::{INFINITY, PlanNumber},
    request::{RefusalKind, Request, Response},
};
use std::collections::BTreeMap;

const NODES: [&str; 3] = ["alpha", "beta", "gamma"];

fn settings(member: &str) -> GroupConfig {
    GroupConfig {
        members: vec![member.into()],
        stickiness: INFINITY,
        ..GroupConfig::default()
    }
}

/// `web` with the process `nginx`.
fn web(config: &mut ClusterConfig, most: Option<u32>) {
    let copied = Copied {
        most,
        promoted: false,
        group: settings("nginx"),
        resources: BTreeMap::from([("nginx".into(), process("nginx"))]),
    };
    config.copies.groups.insert("web".into(), copied);
    config.spread_copies();
}

fn cluster(most: Option<u32>) -> Net {
    let mut net = Net::cluster(&NODES);
    net.must_configure(|config| web(config, most));
    net.run(3000);
    net
}

/// The nodes that run a copy. No copy is anywhere but on its own node.
fn copies(net: &Net) -> Vec<String> {
    let mut nodes = Vec::new();
    for node in ["alpha", "beta", "delta", "gamma"] {
        let on = net.runs_on(&format!("nginx:{node}"));
        assert!(on.is_empty() || on == [node], "{on:?}");
        nodes.extend(on);
    }
    nodes
}

fn since(net: &Net, node: &str) -> PlanNumber {
    let leader = net.leader().unwrap();
    let plan = &net.core(&leader).inspect().state.plan;
    plan.groups[&GroupId::from(format!("web:{node}"))].since
}

fn give(net: &mut Net, group: &str, order: Order) -> Response {
    let request = Request::Order {
        group: group.into(),
        order,
        author: "ada".into(),
    };
    let leader = net.leader().unwrap();
    let response = net.ask(&leader, request);
    net.run(2000);
    response
}

fn refused(response: Response) -> (RefusalKind, String) {
    match response {
        Response::Refused(refusal) => (refusal.kind, refusal.text),
        other => panic!("{other:?}"),
    }
}

/// Lets time pass, and never sees more than so many at once.
fn run_counting(net: &mut Net, millis: u64, most: usize) {
    for _ in 0..millis {
        net.run(1);
        let there = copies(net);
        assert!(there.len() <= most, "{there:?}\n{}", net.log.join("\n"));
    }
}

#[test]
fn a_lost_node_takes_only_its_own_copy_and_gets_it_back() {
    let mut net = cluster(None);
    assert_eq!(copies(&net), NODES);
    let leader = net.leader().unwrap();
    let lost = NODES.iter().position(|node| *node != leader).unwrap();
    let before: Vec<PlanNumber> = NODES.iter().map(|node| since(&net, node)).collect();
    net.crash(NODES[lost]);
    net.run(3000);
    assert_eq!(copies(&net).len(), 2);
    let member = u64::try_from(lost).unwrap() + 1;
    net.power_on(NODES[lost], MemberId(member));
    net.run(4000);
    assert_eq!(copies(&net), NODES, "{}", net.log.join("\n"));
    for (number, node) in NODES.iter().enumerate() {
        let same = since(&net, node) == before[number];
        assert_eq!(same, number != lost, "{node}");
    }
    let leader = net.leader().unwrap();
    let state = net.core(&leader).inspect().state;
    let said = state.journal.iter().find(|entry| entry.kind == "restored");
    assert_eq!(said, None, "others ran all the time: that is no outage");
}

#[test]
fn who_joins_gets_a_copy_and_who_is_removed_takes_it_along() {
    let mut net = cluster(None);
    net.join("alpha", "delta");
    net.run(4000);
    assert_eq!(copies(&net), ["alpha", "beta", "delta", "gamma"]);
    let leader = net.leader().unwrap();
    let drain = Request::Drain {
        node: "delta".into(),
        drained: true,
        author: "ada".into(),
    };
    net.ask(&leader, drain);
    net.run(2000);
    assert_eq!(copies(&net), NODES);
    let remove = Request::Remove {
        node: "delta".into(),
        author: "ada".into(),
    };
    let response = net.ask(&leader, remove);
    assert!(matches!(response, Response::Done { .. }), "{response:?}");
    net.run(2000);
    let state = net.core(&leader).inspect().state;
    let names: Vec<&str> = state.config.groups.keys().map(GroupId::as_str).collect();
    assert_eq!(names, ["web:alpha", "web:beta", "web:gamma"]);
    assert_eq!(state.plan.groups.len(), 3);
    assert_eq!(copies(&net), NODES);
}

#[test]
fn two_of_three_stay_where_they_are_until_one_is_missing() {
    let mut net = cluster(Some(2));
    let first = copies(&net);
    assert_eq!(first.len(), 2, "{}", net.log.join("\n"));
    let leader = net.leader().unwrap();
    let lost = first.iter().find(|node| **node != leader).unwrap().clone();
    let stays = first.iter().find(|node| **node != lost).unwrap().clone();
    let before = since(&net, &stays);
    net.crash(&lost);
    run_counting(&mut net, 4000, 2);
    let second = copies(&net);
    assert!(second.len() == 2 && second.contains(&stays), "{second:?}");
    let number = NODES.iter().position(|node| *node == lost).unwrap();
    net.power_on(&lost, MemberId(u64::try_from(number).unwrap() + 1));
    run_counting(&mut net, 4000, 2);
    assert_eq!(copies(&net), second, "who comes back finds enough of them");
    assert_eq!(since(&net, &stays), before);
}

#[test]
fn a_drained_node_is_replaced_only_when_its_copy_has_stopped() {
    let mut net = cluster(Some(2));
    let leader = net.leader().unwrap();
    let first = copies(&net);
    let drain = Request::Drain {
        node: NodeId::from(first[0].as_str()),
        drained: true,
        author: "ada".into(),
    };
    net.ask(&leader, drain);
    run_counting(&mut net, 4000, 2);
    let second = copies(&net);
    assert!(
        second.len() == 2 && !second.contains(&first[0]),
        "{second:?}"
    );
}

#[test]
fn another_number_starts_or_stops_only_the_difference() {
    let mut net = cluster(Some(2));
    let two = copies(&net);
    let before = since(&net, &two[0]);
    net.must_configure(|config| web(config, Some(3)));
    net.run(3000);
    assert_eq!(copies(&net), NODES);
    assert_eq!(since(&net, &two[0]), before);
    net.must_configure(|config| web(config, Some(1)));
    net.run(3000);
    let one = copies(&net);
    assert_eq!(one.len(), 1, "{one:?}");
    // Back to the first file, as a rollback does it.
    net.must_configure(|config| web(config, Some(2)));
    run_counting(&mut net, 3000, 2);
    assert!(copies(&net).len() == 2 && copies(&net).contains(&one[0]));
}

#[test]
fn copies_instead_of_one_group_wait_until_that_has_stopped_and_the_other_way_round() {
    let mut net = Net::cluster(&NODES);
    let alone = |config: &mut ClusterConfig| {
        config.copies.groups.clear();
        config.spread_copies();
        config.resources.insert("nginx".into(), process("nginx"));
        config.groups.insert("web".into(), settings("nginx"));
    };
    net.must_configure(alone);
    net.run(3000);
    assert_eq!(net.runs_on("nginx").len(), 1);
    net.must_configure(|config| {
        config.resources.clear();
        config.groups.clear();
        web(config, None);
    });
    for _ in 0..3000 {
        net.run(1);
        let both = !net.runs_on("nginx").is_empty() && !copies(&net).is_empty();
        assert!(!both, "{}", net.log.join("\n"));
    }
    assert_eq!(copies(&net), NODES);
    net.must_configure(alone);
    for _ in 0..3000 {
        net.run(1);
        let both = !net.runs_on("nginx").is_empty() && !copies(&net).is_empty();
        assert!(!both, "{}", net.log.join("\n"));
    }
    assert_eq!(net.runs_on("nginx").len(), 1);
}

#[test]
fn orders_are_for_all_copies_or_for_one_and_none_moves() {
    let mut net = cluster(None);
    let done = |response: Response| assert!(matches!(response, Response::Done { .. }));
    done(give(&mut net, "web", Order::Disable));
    assert_eq!(copies(&net), Vec::<String>::new());
    // Also what joins meanwhile.
    net.join("alpha", "delta");
    net.run(3000);
    assert_eq!(copies(&net), Vec::<String>::new());
    done(give(&mut net, "web", Order::Enable));
    assert_eq!(copies(&net).len(), 4);
    let ban = Order::Ban {
        node: "beta".into(),
        lifetime_ms: None,
    };
    done(give(&mut net, "web", ban));
    assert_eq!(copies(&net), ["alpha", "delta", "gamma"]);
    done(give(&mut net, "web", Order::Clear { node: None }));
    done(give(&mut net, "web:gamma", Order::Disable));
    assert_eq!(copies(&net), ["alpha", "beta", "delta"]);
    let keep = Order::Keep {
        node: "beta".into(),
        lifetime_ms: None,
    };
    for (group, order) in [("web", keep), ("web", Order::Restart { from: None })] {
        let (kind, text) = refused(give(&mut net, group, order));
        assert_eq!(kind, RefusalKind::Invalid, "{text}");
    }
    let leader = net.leader().unwrap();
    let request = Request::Switchover {
        group: "web:alpha".into(),
        to: Some("beta".into()),
        author: "ada".into(),
    };
    let (kind, text) = refused(net.ask(&leader, request));
    assert_eq!(kind, RefusalKind::Invalid, "{text}");
    let before = since(&net, "alpha");
    done(give(&mut net, "web:alpha", Order::Restart { from: None }));
    assert!(since(&net, "alpha") > before && copies(&net).contains(&"alpha".to_owned()));
}

#[test]
fn a_copy_that_fails_too_often_is_stopped_there_and_nowhere_else() {
    let mut net = cluster(Some(2));
    let first = copies(&net);
    let resource = format!("nginx:{}", first[0]);
    for _ in 0..3 {
        net.report(
            &first[0],
            &resource,
            InstanceChange::Exited("exit 1".to_owned()),
        );
        net.run(1500);
    }
    run_counting(&mut net, 3000, 2);
    let second = copies(&net);
    assert!(
        second.len() == 2 && !second.contains(&first[0]),
        "{second:?}"
    );
    assert!(second.contains(&first[1]));
}

fn one(config: &mut ClusterConfig, name: &str) {
    config.resources.insert(name.into(), process(name));
    config.groups.insert(name.into(), settings(name));
}

#[test]
fn an_address_goes_where_a_copy_is() {
    let mut net = Net::cluster(&NODES);
    net.must_configure(|config| {
        one(config, "ip");
        let colocation = Colocation {
            group: "ip".into(),
            with: "web".into(),
            score: INFINITY,
        };
        let constraints = &mut config.copies.constraints;
        constraints.colocations.insert("ip-web".into(), colocation);
        web(config, Some(2));
    });
    net.run(3000);
    for _ in 0..2 {
        let here = net.runs_on("ip");
        assert!(
            here.len() == 1 && copies(&net).contains(&here[0]),
            "{here:?}"
        );
        let ban = Order::Ban {
            node: NodeId::from(here[0].as_str()),
            lifetime_ms: None,
        };
        give(&mut net, "web", ban);
        net.run(2000);
        let there = net.runs_on("ip");
        assert!(there.len() == 1 && there != here, "{there:?}");
        assert!(copies(&net).contains(&there[0]), "{}", net.log.join("\n"));
        give(&mut net, "web", Order::Clear { node: None });
    }
}

fn in_turn(config: &mut ClusterConfig, first: &str, then: &str) {
    let sequence = Sequence {
        first: first.into(),
        then: then.into(),
        optional: false,
        one_way: false,
    };
    let constraints = &mut config.copies.constraints;
    constraints
        .sequences
        .insert(format!("{first}-{then}"), sequence);
}

#[test]
fn copies_start_after_what_comes_first_and_what_comes_after_them_waits_for_all() {
    let mut net = Net::cluster(&NODES);
    net.must_configure(|config| {
        one(config, "db");
        one(config, "mail");
        in_turn(config, "db", "web");
        in_turn(config, "web", "mail");
        web(config, None);
    });
    let mut order: Vec<ResourceId> = Vec::new();
    for _ in 0..4000 {
        net.run(1);
        for name in ["db", "nginx:alpha", "nginx:beta", "nginx:gamma", "mail"] {
            if !net.runs_on(name).is_empty() && !order.contains(&name.into()) {
                order.push(name.into());
            }
        }
    }
    assert_eq!(order.len(), 5, "{order:?}");
    assert_eq!((order[0].as_str(), order[4].as_str()), ("db", "mail"));
    // One copy that is missing stops nothing.
    let leader = net.leader().unwrap();
    let (mail, db) = (net.runs_on("mail"), net.runs_on("db"));
    let idle = |node: &&&str| {
        ![&mail[0], &db[0], &leader]
            .iter()
            .any(|busy| **busy == ***node)
    };
    let Some(lost) = NODES.iter().find(idle) else {
        panic!("{mail:?} {db:?} {leader}");
    };
    let plan = |net: &Net| {
        let leader = net.leader().unwrap();
        net.core(&leader).inspect().state.plan.groups[&"mail".into()].since
    };
    let before = plan(&net);
    net.crash(lost);
    net.run(3000);
    assert_eq!((net.runs_on("mail"), plan(&net)), (mail, before));
    // But without what comes first none of them goes on.
    give(&mut net, "db", Order::Disable);
    net.run(2000);
    assert!(copies(&net).is_empty() && net.runs_on("mail").is_empty());
    give(&mut net, "db", Order::Enable);
    net.run(3000);
    assert_eq!((copies(&net).len(), net.runs_on("mail").len()), (2, 1));
}

#[test]
fn copies_wait_for_the_last_program_that_does_not_know_them() {
    let mut net = Net::at_level("alpha", 3);
    for name in &NODES[1..] {
        net.join("alpha", name);
    }
    net.run(1000);
    let (kind, _) = refused(net.configure("alpha", |config| web(config, None)));
    assert_eq!(kind, RefusalKind::Unsafe);
}
