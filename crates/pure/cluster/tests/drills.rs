//! Scenarios of drills: one level of a node's devices is tried for real, by one node.
#![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

mod net;

use net::{
    Net,
    fences::{act, answer, cluster, cluster_with, fence, last, web_needs_fencing},
};
use standfast_model::{
    fence_act::FenceOutcome,
    id::{MemberId, NodeId},
    request::{Request, Response},
};

/// Whatever stops meanwhile.
fn drill(node: &str, level: u32) -> Request {
    Request::FenceDrill {
        node: NodeId::from(node),
        level,
        force: true,
        author: "root".to_owned(),
    }
}

/// Asks, and gives what a refusal says.
fn refused(net: &mut Net, request: Request) -> String {
    match net.ask("alpha", request) {
        Response::Refused(refusal) => refusal.text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_drill_tries_its_level_once_and_releases_nothing_when_it_fails() {
    let mut net = cluster();
    for level in [0, 3] {
        let text = refused(&mut net, drill("beta", level));
        assert!(text.contains("it has 2"), "{text}");
    }
    assert!(matches!(
        net.ask("gamma", drill("beta", 2)),
        Response::Done { .. }
    ));
    net.run(500);
    assert_eq!(last(&net).3, ["second"]);
    // Whose power is it, while somebody else cuts it?
    assert!(matches!(
        net.ask("gamma", drill("beta", 1)),
        Response::Refused(_)
    ));
    answer(&mut net, "broken");
    net.run(5000);
    let failed = act(&net, "alpha");
    assert_eq!(failed.outcome, FenceOutcome::Failed);
    assert!(
        failed
            .tries
            .first()
            .unwrap()
            .starts_with("level 2 (second) from alpha"),
        "{failed:?}"
    );
    assert_eq!(
        net.orders.len(),
        1,
        "neither another level nor another node"
    );
    assert_eq!(net.runs_on("web"), ["beta"]);
}

/// It tried one level: that is no reason not to fence the run when it is lost.
#[test]
fn a_drill_that_failed_does_not_stand_for_a_fencing() {
    let mut net = cluster();
    net.ask("gamma", drill("beta", 2));
    net.run(500);
    answer(&mut net, "broken");
    net.crash("beta");
    net.run(20_000);
    assert_eq!(net.orders.len(), 2);
    assert_eq!(act(&net, "alpha").why, "it is lost and may still run web");
}

#[test]
fn who_asks_for_a_fencing_meanwhile_gets_all_levels() {
    let mut net = cluster();
    net.ask("gamma", drill("beta", 2));
    net.run(500);
    net.ask("gamma", fence("beta"));
    answer(&mut net, "broken");
    net.run(500);
    assert_eq!(last(&net).3, ["first"]);
    net.crash("beta");
    answer(&mut net, "");
    let done = act(&net, "alpha");
    assert_eq!((done.outcome, done.drill), (FenceOutcome::Off, None));
    assert!(!done.power_on, "as it was asked for");
}

/// A device that is to be proven proves nothing: what it says releases nothing.
#[test]
fn what_needs_fencing_does_not_believe_a_drill() {
    let mut net = cluster_with(web_needs_fencing);
    net.ask("gamma", drill("beta", 1));
    net.run(500);
    net.crash("beta");
    answer(&mut net, "");
    net.run(8000);
    assert_eq!(act(&net, "alpha").outcome, FenceOutcome::Off);
    assert!(net.runs_on("web").is_empty());
    // Its new run says that it does not run it.
    net.start_agent("beta", MemberId(2));
    net.run(5000);
    assert_eq!(net.runs_on("web").len(), 1);
}

#[test]
fn one_node_at_a_time_that_is_heard() {
    let mut net = cluster();
    net.ask("alpha", drill("beta", 1));
    net.run(500);
    let text = refused(&mut net, drill("gamma", 1));
    assert!(text.contains("beta is being fenced"), "{text}");
    net.crash("beta");
    answer(&mut net, "");
    net.run(3000);
    let text = refused(&mut net, drill("gamma", 1));
    assert!(text.contains("beta was fenced and is not back"), "{text}");
    let text = refused(&mut net, drill("beta", 1));
    assert!(text.contains("beta is not heard"), "{text}");
    net.start_agent("beta", MemberId(2));
    net.run(5000);
    let again = net.ask("alpha", drill("gamma", 1));
    assert!(matches!(again, Response::Done { .. }), "{again:?}");
}

#[test]
fn a_drill_ends_with_the_one_that_carries_it_out() {
    let mut net = cluster();
    net.ask("alpha", drill("beta", 1));
    net.run(500);
    let (executor, ..) = last(&net);
    net.crash(&executor);
    net.run(5000);
    let failed = act(&net, "beta");
    assert_eq!(failed.outcome, FenceOutcome::Failed);
    assert!(failed.tries.iter().any(|tried| tried.contains("went away")));
    assert!(
        net.orders
            .iter()
            .all(|(node, order)| node.as_str() == executor || order.node.as_str() != "beta")
    );
}

/// What failed for an earlier run says nothing of this one.
#[test]
fn a_confirmation_is_of_the_run_that_is_lost() {
    let mut net = cluster_with(|config| {
        web_needs_fencing(config);
        config.fencing.manual = true;
    });
    net.ask("gamma", drill("beta", 1));
    net.run(500);
    answer(&mut net, "broken");
    net.crash("beta");
    net.start_agent("beta", MemberId(2));
    net.run(5000);
    net.crash("beta");
    net.run(8000);
    let confirm = Request::FenceConfirm {
        node: NodeId::from("beta"),
        author: "root".to_owned(),
    };
    net.ask("gamma", confirm);
    net.run(2000);
    assert_eq!(net.runs_on("web").len(), 1);
}
