//! What a pair did about the other one's power, as `fence history` has it: when it is written down, and what of it outlives an agent.
#![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

mod net;

use net::{
    Net,
    pairs::{assert_state, device_says, done, fenced, order, pair, pair_at, settings, view},
};
use standfast_model::{
    event::Event,
    fence_act::FenceResult,
    id::MemberId,
    pair::{Arbiter, PairOrder},
    time::Micros,
};

/// What the first order to a device came to.
fn device_answers(net: &mut Net, problem: &str) {
    let (executor, newest) = net.orders.first().cloned().unwrap();
    let result = FenceResult {
        id: newest.id,
        turn: newest.turn,
        problem: problem.to_owned(),
        note: String::new(),
        took: Micros::ZERO,
    };
    net.deliver(&executor, Event::Fenced(result));
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
