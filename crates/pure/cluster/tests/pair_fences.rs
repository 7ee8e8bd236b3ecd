//! What a pair did about the other one's power, as `fence history` has it: when it is written down, and what of it outlives an agent.
#![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

mod net;

use net::{
    Net,
    pairs::{
        apply, assert_state, device_says, done, fenced, order, order_and_leave, pair, pair_at,
        settings, view,
    },
};
use standfast_model::{
    config::ClusterConfig,
    event::Event,
    fence_act::{FenceOrder, FenceResult},
    id::MemberId,
    pair::{Arbiter, PairOrder},
    time::Micros,
};

fn result_of(order: &FenceOrder, problem: &str) -> Event {
    Event::Fenced(FenceResult {
        id: order.id,
        turn: order.turn,
        problem: problem.to_owned(),
        note: String::new(),
        took: Micros::ZERO,
    })
}

/// What the first order to a device came to.
fn device_answers(net: &mut Net, problem: &str) {
    let (executor, first) = net.orders.first().cloned().unwrap();
    net.deliver(&executor, result_of(&first, problem));
}

const FAILED: &str =
    "the pair, alpha had lost it: level 1 (power) from alpha, 0 ms: it does not answer";

/// Both agents know no more than the level before: nothing is in the log that they could not read.
#[test]
fn what_a_pair_fenced_waits_until_everybody_can_read_it() {
    let mut net = pair_at(3, &settings(Arbiter::Fence));
    net.crash("beta");
    net.run(1600);
    device_says(&mut net, "");
    net.run(3000);
    assert_state(&mut net, "alpha", "secondary-down");
    assert_eq!(net.core("alpha").inspect().state.level(), 3);
    assert_eq!(fenced(&net, "alpha"), Vec::<String>::new());
    assert_eq!(net.runs_on("web"), ["alpha"]);
}

#[test]
fn a_fence_that_is_called_off_because_the_other_one_is_back_is_told_by_the_primary() {
    let mut net = pair(Arbiter::Fence);
    net.cut.insert("beta".into());
    net.run(1600);
    device_answers(&mut net, "it does not answer");
    net.run(500);
    net.cut.clear();
    net.run(3000);
    assert_state(&mut net, "alpha", "normal");
    assert_eq!(fenced(&net, "alpha"), [format!("CalledOff: {FAILED}")]);
}

#[test]
fn what_a_pair_did_outlives_the_agent_that_did_it() {
    let mut net = pair(Arbiter::Fence);
    net.crash("beta");
    net.run(1600);
    device_answers(&mut net, "it does not answer");
    net.run(500);
    net.kill_agent("alpha");
    net.run(500);
    net.start_agent("alpha", MemberId(1));
    net.run(1000);
    net.power_on("beta", MemberId(3));
    net.run(5000);
    assert_state(&mut net, "alpha", "normal");
    let unknown = "the agent ended meanwhile, and does not know how far it had come";
    assert_eq!(
        fenced(&net, "alpha"),
        [format!("Failed: {FAILED}; {unknown}")]
    );
}

/// The agent ends right after the device has answered, and the other one leads when both are back: it is told once this one does.
#[test]
fn what_a_device_confirmed_is_told_by_the_next_agent_too() {
    let mut net = pair(Arbiter::Fence);
    net.crash("alpha");
    net.run(1600);
    device_answers(&mut net, "");
    net.kill_agent("beta");
    net.run(500);
    net.start_agent("beta", MemberId(3));
    net.run(1000);
    net.power_on("alpha", MemberId(1));
    net.run(6000);
    assert_state(&mut net, "alpha", "normal");
    if view(&mut net, "alpha")
        .primary
        .is_some_and(|primary| primary.as_str() == "alpha")
    {
        done(order(&mut net, "alpha", PairOrder::Swap));
        net.run(3000);
    }
    let told = "Off: the pair, beta had lost it: alpha is off, as power said to beta after 0 ms";
    let known = [fenced(&net, "alpha"), fenced(&net, "beta")];
    assert_eq!(known, [[told], [told]], "{}", net.log.join("\n"));
}

/// A primary that cannot stop what it runs has itself fenced by its secondary, which takes over and gives the power back.
#[test]
fn a_primary_whose_stop_is_not_confirmed_is_fenced_where_that_is_configured() {
    let mut net = pair(Arbiter::Fence);
    let mut config: ClusterConfig = net.core("alpha").inspect().state.config.clone();
    for resource in config.resources.values_mut() {
        resource.failure.fence_on_stop_failure = true;
    }
    done(apply(&mut net, "alpha", config));
    net.run(1000);
    net.failing_stops = 1000;
    net.stuck_guards = true;
    order_and_leave(&mut net, "alpha", PairOrder::Swap);
    net.run(1200);
    assert!(net.orders.is_empty(), "the lease's end may still stop it");
    net.run(4000);
    let (executor, order) = net.orders.last().cloned().unwrap();
    assert_eq!((executor.as_str(), order.node.as_str()), ("beta", "alpha"));
    assert!(!order.power_on, "whoever takes over gives it back");
    assert_eq!(net.runs_on("web"), ["alpha"]);
    net.failing_stops = 0;
    net.stuck_guards = false;
    net.crash("alpha");
    device_says(&mut net, "");
    net.run(900);
    let (executor, look) = net.looks.pop().unwrap();
    assert_eq!(executor.as_str(), "beta");
    net.deliver(&executor, result_of(&look, ""));
    net.run(3000);
    assert_eq!(net.runs_on("web"), ["beta"], "{}", net.log.join("\n"));
    let (_, back) = net.looks.pop().unwrap();
    assert!(back.power_on, "it boots again");
    let told = fenced(&net, "beta").join("\n");
    assert!(
        told.contains("Off: the cluster, the stop of web is not confirmed"),
        "{told}"
    );
}
