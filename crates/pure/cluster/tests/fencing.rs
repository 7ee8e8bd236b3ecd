//! Scenarios of fencing: one act for a node at a time, level after level, executor after executor; a failed one releases
//! nothing, and a machine that is heard after "off" was not off.
#![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

mod net;

use net::fences::{NODES, act, answer, cluster, cluster_with, fence, last};
use standfast_model::{
    config::{Profile, Timing},
    event::Event,
    fence_act::{FenceOutcome, FenceResult},
    id::{NodeId, ResourceId},
    request::{RefusalKind, Request, Response},
    time::Micros,
};

#[test]
fn everybody_who_asks_meanwhile_means_the_same_act() {
    let mut net = cluster();
    for node in NODES {
        assert!(
            matches!(net.ask(node, fence("beta")), Response::Done { .. }),
            "{node}"
        );
    }
    net.run(5000);
    assert_eq!(net.orders.len(), 1);
    assert_eq!(last(&net).0, "alpha");
    assert_eq!(last(&net).3, ["first"]);
    net.crash("beta");
    answer(&mut net, "");
    assert_eq!(act(&net, "gamma").outcome, FenceOutcome::Off);
    assert_eq!(net.orders.len(), 1);
    assert_eq!(net.runs_on("web").len(), 1);
}

#[test]
fn a_failed_level_is_followed_by_the_next_and_then_by_another_node() {
    let mut net = cluster();
    net.ask("gamma", fence("beta"));
    net.run(500);
    for (who, device) in [
        ("alpha", "first"),
        ("alpha", "second"),
        ("gamma", "first"),
        ("gamma", "second"),
    ] {
        assert_eq!(
            (last(&net).0.as_str(), last(&net).3.as_slice()),
            (who, [device.to_owned()].as_slice())
        );
        assert!(act(&net, "alpha").is_under_way());
        answer(&mut net, "does not answer");
    }
    let ended = act(&net, "beta");
    assert_eq!(ended.outcome, FenceOutcome::Failed);
    assert_eq!(ended.tries.len(), 4);
    // Nothing was released: it runs where it ran.
    assert_eq!(net.runs_on("web"), ["beta"]);
    let holders = &net.core("alpha").inspect().state.may_hold[&ResourceId::from("web")];
    assert!(holders.contains(&NodeId::from("beta")));
    net.run(10_000);
    assert_eq!(net.orders.len(), 4);
}

#[test]
fn an_answer_to_an_earlier_order_changes_nothing() {
    let mut net = cluster();
    net.ask("gamma", fence("beta"));
    net.run(500);
    let early = last(&net);
    answer(&mut net, "does not answer");
    let result = FenceResult {
        id: early.1,
        turn: early.2,
        problem: String::new(),
        note: String::new(),
        took: Micros::ZERO,
    };
    net.deliver(&NodeId::from(early.0), Event::Fenced(result));
    net.run(5000);
    assert!(act(&net, "alpha").is_under_way());
}

#[test]
fn an_executor_that_is_lost_is_followed_by_another_one() {
    let mut net = cluster();
    net.ask("gamma", fence("beta"));
    net.run(500);
    assert_eq!(last(&net).0, "alpha");
    net.crash("alpha");
    net.run(5000);
    assert_eq!(last(&net).0, "gamma");
    answer(&mut net, "");
    let tries = act(&net, "gamma").tries.join("\n");
    assert!(tries.contains("alpha went away; gamma goes on"), "{tries}");
    assert!(
        tries.contains("beta is off, as first said to gamma"),
        "{tries}"
    );
}

/// The device may be what ended it: wired to the executor instead of the machine that it names. The next run would do the
/// same to itself, and so would the one after that.
#[test]
fn an_executor_that_started_anew_does_not_begin_again() {
    let mut net = cluster();
    net.ask("alpha", fence("beta"));
    net.run(500);
    let (executor, id, ..) = last(&net);
    let number = if executor == "alpha" { 1 } else { 3 };
    net.crash(&executor);
    net.start_agent(&executor, standfast_model::id::MemberId(number));
    net.run(6000);
    let given = net.orders.iter().filter(|(_, order)| order.id == id);
    let given: Vec<(String, u32)> = given
        .map(|(node, order)| (node.to_string(), order.turn))
        .collect();
    let twice = given.iter().filter(|(node, _)| *node == executor);
    let levels = act(&net, "gamma").levels.len();
    assert!(twice.count() <= levels, "{given:?}");
    assert!(
        act(&net, "gamma")
            .tries
            .iter()
            .any(|tried| tried.contains("started anew")),
        "{:?}",
        act(&net, "gamma")
    );
}

#[test]
fn a_machine_that_is_heard_after_it_was_said_to_be_off_voids_the_fence() {
    let mut net = cluster();
    net.ask("gamma", fence("beta"));
    net.run(500);
    answer(&mut net, "");
    net.run(3000);
    let voided = act(&net, "alpha");
    assert_eq!(voided.outcome, FenceOutcome::Void);
    assert!(
        voided.tries.last().unwrap().contains("was heard"),
        "{voided:?}"
    );
    // One that is off, and comes back as another run, does not.
    net.ask("gamma", fence("beta"));
    net.run(500);
    net.crash("beta");
    answer(&mut net, "");
    net.run(2000);
    net.start_agent("beta", standfast_model::id::MemberId(2));
    net.run(5000);
    assert_eq!(act(&net, "alpha").outcome, FenceOutcome::Off);
}

#[test]
fn a_leader_that_is_said_to_be_off_contradicts_by_itself() {
    let mut net = cluster();
    let leader = net.leader().unwrap();
    let other = NODES.into_iter().find(|node| *node != leader.as_str());
    net.ask(other.unwrap(), fence(leader.as_str()));
    net.run(500);
    answer(&mut net, "");
    net.run(1000);
    assert_eq!(act(&net, leader.as_str()).outcome, FenceOutcome::Void);
}

#[test]
fn an_operator_confirms_only_what_can_be_true() {
    let mut net = cluster();
    let confirm = || Request::FenceConfirm {
        node: NodeId::from("beta"),
        author: "root".to_owned(),
    };
    let Response::Refused(refusal) = net.ask("alpha", confirm()) else {
        panic!("a node that is heard was confirmed to be off");
    };
    assert_eq!(refusal.kind, RefusalKind::Unsafe);
    net.ask("gamma", fence("beta"));
    net.crash("beta");
    net.run(3000);
    assert!(matches!(net.ask("alpha", confirm()), Response::Done { .. }));
    net.run(500);
    assert_eq!(act(&net, "gamma").outcome, FenceOutcome::Confirmed);
    assert!(matches!(net.ask("alpha", confirm()), Response::Refused(_)));
}

#[test]
fn a_stop_that_is_not_confirmed_has_the_node_fenced_where_that_is_configured() {
    let mut net = cluster();
    net.failing_stops = 1000;
    net.stuck_guards = true;
    let drain = Request::Drain {
        node: NodeId::from("beta"),
        drained: true,
        author: "root".to_owned(),
    };
    net.ask("alpha", drain);
    net.run(1200);
    assert!(
        net.core("alpha").inspect().state.fences.is_empty(),
        "the lease's end may still stop it"
    );
    net.run(4000);
    let begun = act(&net, "alpha");
    assert_eq!(
        (begun.node.as_str(), begun.by.as_str()),
        ("beta", "the cluster")
    );
    assert_eq!(begun.why, "the stop of web is not confirmed");
    assert!(begun.power_on);
    assert_eq!(net.runs_on("web"), ["beta"]);
    net.failing_stops = 0;
    net.stuck_guards = false;
    net.crash("beta");
    answer(&mut net, "");
    net.run(3000);
    assert_eq!(net.runs_on("web").len(), 1);
    assert_ne!(net.runs_on("web"), ["beta"]);
}

/// The stop is tried again before twice the lease is over. It has not ceased to be unconfirmed by that.
#[test]
fn a_stop_that_fails_again_and_again_has_the_node_fenced_under_a_long_lease_too() {
    let mut net = cluster_with(|config| config.timing = Timing::of(Profile::Wan));
    net.failing_stops = 1000;
    net.stuck_guards = true;
    let drain = Request::Drain {
        node: NodeId::from("beta"),
        drained: true,
        author: "root".to_owned(),
    };
    net.ask("alpha", drain);
    net.run(15_000);
    assert_eq!(act(&net, "alpha").why, "the stop of web is not confirmed");
}

#[test]
fn what_cannot_be_fenced_is_refused_with_a_reason() {
    let mut net = cluster();
    let kind = |response: Response| match response {
        Response::Refused(refusal) => refusal.kind,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        kind(net.ask("alpha", fence("delta"))),
        RefusalKind::NoSuchItem
    );
    net.crash("gamma");
    net.run(3000);
    assert_eq!(kind(net.ask("alpha", fence("beta"))), RefusalKind::Unsafe);
    assert!(net.orders.is_empty());
}

#[test]
fn an_executor_that_restarts_does_not_carry_out_again_what_has_ended() {
    let mut net = cluster();
    net.ask("gamma", fence("beta"));
    net.run(500);
    net.crash("beta");
    let (node, id, turn, _) = last(&net);
    assert_eq!(node, "alpha");
    let result = FenceResult {
        id,
        turn,
        problem: String::new(),
        note: String::new(),
        took: Micros::ZERO,
    };
    net.deliver(&NodeId::from("alpha"), Event::Fenced(result));
    while act(&net, "alpha").outcome != FenceOutcome::Off {
        net.run(1);
    }
    // That the result is committed is not on its disk yet.
    net.crash("alpha");
    net.start_agent("alpha", standfast_model::id::MemberId(1));
    assert!(act(&net, "alpha").is_under_way());
    net.run(20_000);
    assert_eq!(act(&net, "alpha").outcome, FenceOutcome::Off);
    assert_eq!(net.orders.len(), 1);
}
