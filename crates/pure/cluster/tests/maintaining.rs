//! Maintenance and standby by an order: what they do, that they outlive leaders, and that their end touches nothing healthy.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod net;

use net::{Net, configs::web_on};
use standfast_model::{
    event::InstanceChange,
    id::{GroupId, MemberId, NodeId},
    order::{Maintained, Order},
    request::{RefusalKind, Request, Response},
};

const NODES: [&str; 3] = ["alpha", "beta", "gamma"];

/// Group `site` of `web` on beta.
fn cluster() -> Net {
    let mut net = Net::cluster(&NODES);
    net.must_configure(|config| web_on(config, "beta"));
    net.run(2000);
    assert_eq!(net.runs_on("web"), ["beta"]);
    net
}

fn maintain(what: Maintained, on: bool) -> Request {
    let author = String::from("ada");
    Request::Maintain { what, on, author }
}

fn order(order: Order) -> Request {
    Request::Order {
        group: "site".into(),
        order,
        author: "ada".into(),
    }
}

fn node(name: &str) -> Maintained {
    Maintained::Node(name.into())
}

/// Asks somebody who is there.
fn done(net: &mut Net, request: Request) {
    let there = NODES
        .iter()
        .find(|name| net.cores.contains_key(&NodeId::from(**name)));
    let response = net.ask(there.unwrap(), request);
    assert!(matches!(response, Response::Done { .. }), "{response:?}");
    net.run(1500);
}

fn refused(net: &mut Net, request: Request) -> RefusalKind {
    match net.ask("alpha", request) {
        Response::Refused(refusal) => refusal.kind,
        other => panic!("{other:?}"),
    }
}

fn fails(net: &mut Net) {
    let why = InstanceChange::Exited(String::from("exit status 1"));
    net.report("beta", "web", why);
    net.run(2000);
}

fn each() -> Vec<(Request, Request)> {
    let whole = |on| maintain(Maintained::Cluster, on);
    let one = |on| maintain(node("beta"), on);
    vec![
        (whole(true), whole(false)),
        (one(true), one(false)),
        (order(Order::Unmanage), order(Order::Manage)),
    ]
}

#[test]
fn what_fails_in_maintenance_is_left_alone_until_it_is_over_whoever_leads() {
    for (begin, end) in each() {
        let mut net = cluster();
        let starts = net.starts;
        done(&mut net, begin.clone());
        assert_eq!(refused(&mut net, begin.clone()), RefusalKind::Exists);
        fails(&mut net);
        assert_eq!(net.starts, starts, "{begin:?}");
        let leader = net.leader().unwrap();
        if leader != "beta" {
            net.crash(&leader);
            net.run(4000);
        }
        assert_eq!(net.starts, starts, "whoever leads: {begin:?}");
        done(&mut net, end.clone());
        net.run(2000);
        assert_eq!(net.starts, starts + 1, "{end:?}: {}", net.log.join("\n"));
    }
}

#[test]
fn the_end_of_a_maintenance_restarts_nothing_that_is_healthy() {
    for (begin, end) in each() {
        let mut net = cluster();
        let starts = net.starts;
        done(&mut net, begin);
        done(&mut net, end.clone());
        net.run(3000);
        assert_eq!(net.starts, starts, "{end:?}");
        assert_eq!(net.runs_on("web"), ["beta"]);
        assert_eq!(refused(&mut net, end), RefusalKind::Exists);
    }
}

#[test]
fn what_a_lost_node_ran_in_maintenance_starts_nowhere_until_it_is_over() {
    let mut net = cluster();
    let starts = net.starts;
    done(&mut net, maintain(node("beta"), true));
    net.crash("beta");
    net.run(6000);
    assert_eq!(net.starts, starts, "{}", net.log.join("\n"));
    net.power_on("beta", MemberId(2));
    net.run(4000);
    assert_eq!(net.starts, starts, "not when it is back either");
    done(&mut net, maintain(node("beta"), false));
    net.run(3000);
    assert_eq!(net.starts, starts + 1);
}

#[test]
fn nothing_new_comes_to_a_node_in_maintenance() {
    let mut net = cluster();
    done(&mut net, maintain(node("alpha"), true));
    done(&mut net, maintain(node("gamma"), true));
    let drain = Request::Drain {
        node: "beta".into(),
        drained: true,
        author: "ada".into(),
    };
    done(&mut net, drain);
    let plan = &net.core("alpha").inspect().state.plan;
    assert_eq!(plan.groups[&GroupId::from("site")].node, None);
}

#[test]
fn a_standby_ends_by_itself_and_a_later_one_does_not() {
    let mut net = cluster();
    let standby = |lifetime_ms| Request::Standby {
        node: "beta".into(),
        lifetime_ms,
        author: "ada".into(),
    };
    done(&mut net, standby(Some(20_000)));
    net.run(2000);
    assert_ne!(net.runs_on("web"), ["beta"]);
    let drained = |net: &Net| {
        let state = net.core("alpha").inspect().state;
        state.nodes[&NodeId::from("beta")].drained
    };
    assert!(drained(&net));
    net.run(25_000);
    assert!(!drained(&net), "{}", net.log.join("\n"));
    done(&mut net, standby(Some(20_000)));
    done(&mut net, standby(None));
    net.run(25_000);
    assert!(drained(&net), "the later order holds");
    let resume = Request::Drain {
        node: "beta".into(),
        drained: false,
        author: "ada".into(),
    };
    done(&mut net, resume);
    assert!(!drained(&net));
}
