//! Scenarios of a pair: two nodes, one arbiter, no third voter. Who takes over, and after what; who runs on; who hands
//! over; and what becomes of a copy that came back.
#![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

mod net;

use net::{
    Net,
    pairs::{apply, assert_state, change, device_says, done, fenced, name_of, order, pair, view},
};
use standfast_model::{
    config::{ResourceConfig, ResourceKind, VipConfig},
    event::Event,
    fence_act::FenceResult,
    id::{GroupId, MemberId, NodeId, ResourceId},
    message::Body,
    pair::{Arbiter, PairConfig, PairOrder, Survivor},
    request::{RefusalKind, Request, Response},
    time::Micros,
};
use std::{cell::RefCell, rc::Rc};

#[test]
fn a_secondary_takes_over_when_the_primary_is_confirmed_off() {
    let mut net = pair(Arbiter::Fence);
    done(change(&mut net, "alpha", "precious"));
    net.crash("alpha");
    net.run(900);
    assert!(net.orders.is_empty(), "the delay of a secondary");
    net.run(700);
    let (executor, order) = net.orders.last().cloned().unwrap();
    assert_eq!((executor.as_str(), order.node.as_str()), ("beta", "alpha"));
    net.run(3000);
    assert!(
        net.runs_on("web").is_empty(),
        "nothing before the device said so"
    );
    assert_state(&mut net, "beta", "primary-down");
    device_says(&mut net, "");
    net.run(700);
    assert_eq!(net.runs_on("web"), ["beta"], "{}", net.log.join("\n"));
    assert_state(&mut net, "beta", "took-over");
    assert_eq!(name_of(&net, "beta"), "precious");
    done(change(&mut net, "beta", "alone"));
    let told = "Off: the pair, beta had lost it: alpha is off, as power said to beta after 0 ms";
    assert_eq!(fenced(&net, "beta"), [told]);
    let journal = &net.core("beta").inspect().state.journal;
    let text = "the pair had alpha fenced, because beta had lost it";
    assert_eq!(journal.iter().filter(|entry| entry.text == text).count(), 1);
}

#[test]
fn a_failed_fence_releases_nothing_and_an_operator_may() {
    let mut net = pair(Arbiter::Fence);
    net.crash("alpha");
    net.run(1600);
    device_says(&mut net, "the device does not answer");
    net.run(1000);
    assert_eq!(net.orders.len(), 1);
    net.run(6000);
    assert_eq!(net.orders.len(), 2, "it is tried again");
    device_says(&mut net, "the device does not answer");
    net.run(1000);
    assert!(net.runs_on("web").is_empty());
    let view = view(&mut net, "beta");
    assert!(
        view.sentence.contains("fencing failed"),
        "{}",
        view.sentence
    );
    let node = NodeId::from("alpha");
    let author = "t".to_owned();
    done(net.ask("beta", Request::FenceConfirm { node, author }));
    net.run(1000);
    assert_eq!(net.runs_on("web"), ["beta"]);
    let tried = "level 1 (power) from beta, 0 ms: the device does not answer";
    let told = format!(
        "Confirmed: the pair, beta had lost it: {tried}; {tried}; t confirms that alpha is off"
    );
    assert_eq!(fenced(&net, "beta"), [told]);
}

#[test]
fn a_primary_runs_on_when_the_secondary_is_lost() {
    let mut net = pair(Arbiter::Fence);
    net.crash("beta");
    net.run(3000);
    assert_eq!(
        (net.runs_on("web"), net.starts),
        (vec!["alpha".to_owned()], 1)
    );
    assert_state(&mut net, "alpha", "undecided");
    let Response::Refused(refusal) = change(&mut net, "alpha", "too early") else {
        panic!("a change was confirmed that the secondary may never see")
    };
    assert_eq!(refusal.kind, RefusalKind::NoQuorum);
    device_says(&mut net, "");
    net.run(200);
    assert_state(&mut net, "alpha", "secondary-down");
    done(change(&mut net, "alpha", "alone"));
    net.power_on("beta", MemberId(2));
    net.run(4000);
    assert_state(&mut net, "alpha", "normal");
    assert_state(&mut net, "beta", "normal");
    assert_eq!(name_of(&net, "beta"), "alone");
    assert_eq!(
        (net.runs_on("web"), net.starts),
        (vec!["alpha".to_owned()], 1)
    );
}

#[test]
fn without_an_arbiter_the_primary_goes_on_alone_and_the_secondary_waits() {
    let mut net = pair(Arbiter::None);
    net.cut.insert("beta".into());
    net.run(3000);
    assert_state(&mut net, "alpha", "secondary-down");
    assert_state(&mut net, "beta", "primary-down");
    done(change(&mut net, "alpha", "alone"));
    assert_eq!(net.runs_on("web"), ["alpha"]);
    net.cut.clear();
    net.run(4000);
    assert_state(&mut net, "alpha", "normal");
    assert_eq!(name_of(&net, "beta"), "alone");
}

#[test]
fn they_change_places_and_back() {
    let mut net = pair(Arbiter::Fence);
    done(change(&mut net, "alpha", "before"));
    done(order(&mut net, "alpha", PairOrder::Swap));
    net.run(1500);
    assert_eq!(net.runs_on("web"), ["beta"], "{}", net.log.join("\n"));
    net.run(3000);
    assert_state(&mut net, "alpha", "normal");
    assert_state(&mut net, "beta", "normal");
    assert_eq!(view(&mut net, "alpha").primary, Some("beta".into()));
    assert_eq!(name_of(&net, "beta"), "before");
    done(change(&mut net, "alpha", "by way of beta"));
    done(order(&mut net, "alpha", PairOrder::Promote));
    net.run(4500);
    assert_eq!(net.runs_on("web"), ["alpha"], "{}", net.log.join("\n"));
    assert_state(&mut net, "alpha", "normal");
    assert_eq!(name_of(&net, "alpha"), "by way of beta");
    assert!(net.orders.is_empty(), "nobody was fenced");
}

#[test]
fn an_old_primary_comes_back_as_secondary_and_can_take_over_again() {
    let mut net = pair(Arbiter::Fence);
    net.crash("alpha");
    net.run(1600);
    device_says(&mut net, "");
    net.run(1000);
    done(change(&mut net, "beta", "meanwhile"));
    net.power_on("alpha", MemberId(1));
    net.run(4000);
    assert_state(&mut net, "beta", "normal");
    assert_state(&mut net, "alpha", "normal");
    assert_eq!(net.runs_on("web"), ["beta"], "no failback by itself");
    net.crash("beta");
    net.run(1600);
    let before = net.orders.len();
    assert_eq!(net.orders[before - 1].1.node.as_str(), "beta");
    device_says(&mut net, "");
    net.run(1000);
    assert_eq!(net.runs_on("web"), ["alpha"], "{}", net.log.join("\n"));
    assert_eq!(name_of(&net, "alpha"), "meanwhile");
}

#[test]
fn histories_that_went_apart_are_kept_apart() {
    let mut net = pair(Arbiter::None);
    net.cut.insert("beta".into());
    net.run(2000);
    done(change(&mut net, "alpha", "only alpha has it"));
    let before = view(&mut net, "alpha").index;
    net.crash("alpha");
    net.cut.clear();
    net.run(2000);
    done(order(&mut net, "beta", PairOrder::ForcePrimary));
    net.run(8000);
    assert_eq!(net.runs_on("web"), ["beta"], "{}", net.log.join("\n"));
    done(change(&mut net, "beta", "only beta has it"));
    net.power_on("alpha", MemberId(1));
    net.run(4000);
    assert_state(&mut net, "alpha", "diverged");
    assert_state(&mut net, "beta", "diverged");
    assert_eq!(
        view(&mut net, "alpha").index,
        before,
        "its copy is as it was"
    );
    assert_eq!(net.runs_on("web"), ["beta"]);
    done(order(&mut net, "alpha", PairOrder::Rebuild));
    net.run(4000);
    assert_state(&mut net, "alpha", "normal");
    assert_eq!(name_of(&net, "alpha"), "only beta has it");
}

#[test]
fn an_agent_that_restarts_in_time_is_primary_again() {
    let mut net = pair(Arbiter::Fence);
    net.kill_agent("alpha");
    net.run(200);
    net.start_agent("alpha", MemberId(1));
    net.run(2000);
    assert_eq!(
        (net.runs_on("web"), net.starts),
        (vec!["alpha".to_owned()], 1),
        "{}",
        net.log.join("\n")
    );
    assert_state(&mut net, "alpha", "normal");
    assert_state(&mut net, "beta", "normal");
    assert!(net.orders.is_empty());
}

/// Somebody wants that name of the cluster, and nobody waits for the answer.
fn ask_alpha(net: &mut Net, id: u64, name: &str) {
    let mut config = net.core("alpha").inspect().state.config.clone();
    config.name = name.to_owned();
    let request = Request::Apply {
        config: Box::new(config),
        text: String::new(),
        based_on: None,
        author: "t".to_owned(),
        reason: String::new(),
        draft: None,
    };
    net.deliver(&"alpha".into(), Event::Request { id, request });
}

#[test]
fn nothing_is_confirmed_before_the_secondary_has_it() {
    let mut net = pair(Arbiter::Fence);
    net.lose = Some(Box::new(|from, _, message| {
        from.as_str() == "alpha" && matches!(message.body, Some(Body::PairConsensus(_)))
    }));
    ask_alpha(&mut net, 900, "both");
    net.run(3000);
    assert_eq!(name_of(&net, "alpha"), "both", "it is in the primary's log");
    assert!(!net.replies.contains_key(&900), "and nobody was told");
    net.lose = None;
    net.run(3000);
    assert!(
        matches!(net.replies.get(&900), Some(Response::Done { .. })),
        "{}",
        net.log.join("\n")
    );
}

/// What a primary adds while the generation in which it is alone is on its way to the disk is not sent under the one before. The
/// secondary is back meanwhile: it has to ask for what it was not sent.
#[test]
fn what_was_not_sent_while_a_generation_began_is_asked_for() {
    let mut net = pair(Arbiter::None);
    let sent = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&sent);
    net.lose = Some(Box::new(move |from, _, message| {
        if let (Some(Body::PairConsensus(log)), "alpha") = (&message.body, from.as_str())
            && let Some(last) = log.inner.entries.last()
        {
            seen.borrow_mut().push((log.generation, last.index));
        }
        false
    }));
    let generation = |net: &Net| {
        let history = net.core("alpha").inspect().pair?.record().history.clone();
        Some(history?.last()?.number)
    };
    let begins = |net: &Net| net.core("alpha").inspect().pair?.beginning();
    let before = generation(&net).unwrap();
    net.slow_disk = Some(("alpha".into(), 1_000_000));
    net.cut.insert("beta".into());
    for _ in 0..5_000 {
        if begins(&net).is_some() {
            break;
        }
        net.run(1);
    }
    let from = begins(&net).unwrap();
    sent.borrow_mut().clear();
    net.cut.clear();
    let sees = |net: &Net| net.core("alpha").inspect().pair.unwrap().sees_peer();
    for _ in 0..1_000 {
        if sees(&net) {
            break;
        }
        net.run(1);
    }
    ask_alpha(&mut net, 901, "meanwhile");
    let length = |net: &Net| net.core("alpha").inspect().pair.unwrap().length();
    for _ in 0..20_000 {
        if length(&net) > from {
            break;
        }
        net.run(1);
    }
    assert!(
        begins(&net).is_some(),
        "the record is on its way still:\n{}",
        net.log.join("\n")
    );
    for _ in 0..20_000 {
        if begins(&net).is_none() {
            break;
        }
        net.run(1);
    }
    let early = sent.take();
    let wrong = |(number, last): &&(u64, u64)| *number == before && *last > from;
    assert_eq!(early.iter().find(wrong), None, "{early:?}");
    // Its disk stays slow: writes end in their order.
    net.run(20_000);
    assert_state(&mut net, "alpha", "normal");
    assert_state(&mut net, "beta", "normal");
    assert_eq!(name_of(&net, "beta"), "meanwhile");
    let later = [early, sent.take()].concat();
    let asked = |(number, last): &(u64, u64)| *number > before && *last > from;
    assert!(later.iter().any(asked), "{later:?}");
}

#[test]
fn after_both_lost_their_power_the_newer_copy_leads() {
    let mut net = pair(Arbiter::Fence);
    net.crash("alpha");
    net.run(1600);
    device_says(&mut net, "");
    net.run(1000);
    done(change(&mut net, "beta", "newer"));
    net.crash("beta");
    net.power_on("alpha", MemberId(1));
    net.run(5000);
    assert!(net.runs_on("web").is_empty(), "it waits for the other one");
    assert_state(&mut net, "alpha", "waiting");
    net.power_on("beta", MemberId(2));
    net.run(6000);
    assert_eq!(net.runs_on("web"), ["beta"], "{}", net.log.join("\n"));
    assert_state(&mut net, "alpha", "normal");
    assert_eq!(name_of(&net, "alpha"), "newer");
}

/// It has heard a later term than that of its own log by then.
#[test]
fn whoever_handed_over_takes_over_again_when_the_successor_is_lost_at_once() {
    let mut net = pair(Arbiter::Fence);
    done(order(&mut net, "alpha", PairOrder::Swap));
    for _ in 0..2000 {
        if net.core("beta").inspect().leads.is_some() {
            break;
        }
        net.run(1);
    }
    net.run(60);
    net.crash("beta");
    net.run(3000);
    assert!(!net.orders.is_empty(), "{}", net.log.join("\n"));
    device_says(&mut net, "");
    net.run(8000);
    assert_eq!(net.runs_on("web"), ["alpha"], "{}", net.log.join("\n"));
}

#[test]
fn who_is_fenced_gets_its_power_back_unless_the_configuration_says_off() {
    for stay_off in [false, true] {
        let mut net = pair(Arbiter::Fence);
        let mut config = net.core("alpha").inspect().state.config.clone();
        config.fencing.stay_off = stay_off;
        done(apply(&mut net, "alpha", config));
        net.run(500);
        net.crash("alpha");
        net.run(1600);
        let (_, order) = net.orders.last().unwrap();
        assert_eq!(order.power_on, !stay_off);
        assert!(order.told_when_off, "nobody waits for the power");
    }
}

#[test]
fn a_fenced_machine_that_is_back_and_still_cut_off_fences_nobody() {
    let mut net = pair(Arbiter::Fence);
    net.cut.insert("beta".into());
    net.run(900);
    let (executor, order) = net.orders.last().cloned().unwrap();
    assert_eq!(
        (executor.as_str(), order.node.as_str()),
        ("alpha", "beta"),
        "the primary is first"
    );
    net.crash("beta");
    device_says(&mut net, "");
    net.power_on("beta", MemberId(2));
    net.run(60_000);
    assert_eq!(net.orders.len(), 1, "{}", net.log.join("\n"));
    assert_state(&mut net, "beta", "waiting");
    assert_state(&mut net, "alpha", "secondary-down");
    assert_eq!(
        (net.runs_on("web"), net.starts),
        (vec!["alpha".to_owned()], 1)
    );
    net.cut.clear();
    net.run(4000);
    assert_state(&mut net, "alpha", "normal");
    assert_state(&mut net, "beta", "normal");
}

/// Cut off from each other, alpha being the primary: who is fenced first.
fn first_fenced(change: impl Fn(&mut PairConfig)) -> String {
    let mut net = pair(Arbiter::Fence);
    let mut config = net.core("alpha").inspect().state.config.clone();
    change(config.pair.as_mut().unwrap());
    done(apply(&mut net, "alpha", config));
    net.run(500);
    net.cut.insert("beta".into());
    while net.orders.is_empty() {
        net.run(10);
    }
    net.orders[0].1.node.to_string()
}

#[test]
fn the_survivor_is_the_primary_or_who_is_named() {
    assert_eq!(first_fenced(|_| ()), "beta");
    assert_eq!(
        first_fenced(|pair| pair.survivor = Survivor::Node("beta".into())),
        "alpha"
    );
}

#[test]
fn by_hand_means_that_an_operator_says_who_is_off() {
    let mut net = pair(Arbiter::Fence);
    let mut config = net.core("alpha").inspect().state.config.clone();
    config.fencing.manual = true;
    done(apply(&mut net, "alpha", config));
    net.run(500);
    net.crash("alpha");
    net.run(30_000);
    assert!(net.orders.is_empty());
    assert!(net.runs_on("web").is_empty());
    let (node, author) = (NodeId::from("alpha"), "t".to_owned());
    done(net.ask("beta", Request::FenceConfirm { node, author }));
    net.run(1000);
    assert_eq!(net.runs_on("web"), ["beta"]);
}

#[test]
fn a_primary_that_is_off_already_is_not_waited_for() {
    let mut net = pair(Arbiter::Fence);
    net.crash("alpha");
    net.run(900);
    let (executor, look) = net.looks.pop().unwrap();
    assert_eq!((executor.as_str(), look.node.as_str()), ("beta", "alpha"));
    assert!(net.looks.is_empty() && net.orders.is_empty());
    assert!(!look.power_on, "its answer may come too late");
    let says = |problem: &str| {
        Event::Fenced(FenceResult {
            id: look.id,
            turn: look.turn,
            problem: problem.to_owned(),
            note: String::new(),
            took: Micros::ZERO,
        })
    };
    net.deliver(&executor, says(""));
    let (_, order) = net.looks.pop().unwrap();
    assert!(order.power_on && order.look, "nothing is cut for it");
    net.run(700);
    assert_eq!(net.runs_on("web"), ["beta"], "{}", net.log.join("\n"));
    assert_state(&mut net, "beta", "took-over");
}

#[test]
fn a_primary_that_has_power_is_fenced_after_the_delay_and_the_late_answer_of_a_look_is_nothing() {
    let mut net = pair(Arbiter::Fence);
    net.crash("alpha");
    net.run(1600);
    let (executor, look) = net.looks.pop().unwrap();
    assert_eq!(net.orders.len(), 1, "a look that hangs holds nothing up");
    for problem in ["", "it has power"] {
        let result = FenceResult {
            id: look.id,
            turn: look.turn,
            problem: problem.to_owned(),
            note: String::new(),
            took: Micros::ZERO,
        };
        net.deliver(&executor, Event::Fenced(result));
    }
    net.run(1000);
    assert!(net.runs_on("web").is_empty(), "the newer order counts");
    device_says(&mut net, "");
    net.run(700);
    assert_eq!(net.runs_on("web"), ["beta"]);
}

/// The address of the service is on eth0 of either node.
fn with_an_address(net: &mut Net) {
    let mut config = net.core("alpha").inspect().state.config.clone();
    let vip = VipConfig {
        addresses: vec!["10.0.0.100/24".to_owned()],
        interface: Some("eth0".to_owned()),
        gateway: None,
    };
    let ip = ResourceConfig {
        kind: ResourceKind::Vip(vip),
        failure: Default::default(),
        needs_fencing: false,
    };
    config.resources.insert(ResourceId::from("ip"), ip);
    let group = config.groups.get_mut(&GroupId::from("web")).unwrap();
    group.members.insert(0, ResourceId::from("ip"));
    group.prefer.insert("alpha".into(), 1000);
    done(apply(net, "alpha", config));
    net.run(1500);
    assert_eq!(net.runs_on("ip"), ["alpha"], "{}", net.log.join("\n"));
}

fn carrier(net: &mut Net, node: &str, problem: Option<&str>) {
    let event = Event::LinkHealth {
        interface: "eth0".to_owned(),
        problem: problem.map(str::to_owned),
    };
    net.deliver(&node.into(), event);
    net.run(6000);
}

#[test]
fn they_change_places_when_only_the_secondary_can_run_everything() {
    let mut net = pair(Arbiter::Fence);
    with_an_address(&mut net);
    carrier(&mut net, "alpha", Some("no carrier"));
    assert_eq!(net.runs_on("ip"), ["beta"], "{}", net.log.join("\n"));
    assert_state(&mut net, "beta", "normal");
    carrier(&mut net, "alpha", None);
    assert_eq!(
        net.runs_on("ip"),
        ["beta"],
        "a preference moves nothing back"
    );
    carrier(&mut net, "alpha", Some("no carrier"));
    carrier(&mut net, "beta", Some("no carrier"));
    assert_eq!(net.runs_on("ip"), ["beta"], "the other one is no better");
    carrier(&mut net, "alpha", None);
    assert_eq!(net.runs_on("ip"), ["alpha"], "{}", net.log.join("\n"));
    assert!(net.orders.is_empty(), "nobody was fenced");
}
