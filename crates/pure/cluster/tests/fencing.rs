//! Scenarios of fencing: one act for a node at a time, level after level, executor after executor; a failed one releases
//! nothing, and a machine that is heard after "off" was not off.
#![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

mod net;

use net::Net;
use standfast_model::{
    config::{
        AgentConfig, ClusterConfig, FailurePolicy, GroupConfig, ProcessConfig, Profile,
        ResourceConfig, ResourceKind, Timing,
    },
    event::Event,
    fence::FenceDevice,
    fence_act::{FenceAct, FenceOutcome, FenceResult},
    guards::GuardSupport,
    id::{DeviceId, GroupId, NodeId, ResourceId},
    request::{RefusalKind, Request, Response},
    time::Micros,
};
use std::collections::BTreeMap;

const NODES: [&str; 3] = ["alpha", "beta", "gamma"];

fn device() -> FenceDevice {
    FenceDevice {
        agent: "fence_test".to_owned(),
        parameters: BTreeMap::new(),
        secret_parameters: BTreeMap::new(),
        nodes: NODES.iter().map(|n| (NodeId::from(*n), None)).collect(),
        timeout: Micros::from_millis(1000),
        retries: 0,
        delay: Micros::ZERO,
        monitor: Micros::from_millis(60_000),
    }
}

/// Three nodes with two devices, each a level, and one service that has to be fenced when it does not stop.
fn cluster() -> Net {
    cluster_with(|_| {})
}

/// The same, with something else in the configuration.
fn cluster_with(change: impl Fn(&mut ClusterConfig)) -> Net {
    let mut net = Net::cluster(&NODES);
    let mut config: ClusterConfig = net.core("alpha").inspect().state.config.clone();
    for name in ["first", "second"] {
        config
            .fencing
            .devices
            .insert(DeviceId::from(name), device());
    }
    let failure = FailurePolicy {
        fence_on_stop_failure: true,
        ..FailurePolicy::default()
    };
    let web = ResourceConfig {
        kind: ResourceKind::Process(ProcessConfig::default()),
        failure,
        needs_fencing: false,
    };
    config.resources.insert(ResourceId::from("web"), web);
    let group = GroupConfig {
        members: vec![ResourceId::from("web")],
        stickiness: 100,
        prefer: BTreeMap::from([(NodeId::from("beta"), 50)]),
        ..GroupConfig::default()
    };
    config.groups.insert(GroupId::from("web"), group);
    change(&mut config);
    let answer = net.ask("alpha", apply(config));
    assert!(matches!(answer, Response::Done { .. }), "{answer:?}");
    for node in NODES {
        for peer in NODES.into_iter().filter(|peer| *peer != node) {
            let (peer, link, up) = (NodeId::from(peer), 0, true);
            net.deliver(&NodeId::from(node), Event::Link { peer, link, up });
        }
    }
    net.run(2000);
    assert_eq!(net.runs_on("web"), ["beta"]);
    net
}

fn apply(config: ClusterConfig) -> Request {
    Request::Apply {
        config: Box::new(config),
        text: String::new(),
        based_on: None,
        author: "root".to_owned(),
        reason: String::new(),
        draft: None,
    }
}

fn web_needs_fencing(config: &mut ClusterConfig) {
    for resource in config.resources.values_mut() {
        resource.needs_fencing = true;
    }
}

fn fence(node: &str) -> Request {
    Request::Fence {
        node: NodeId::from(node),
        power_on: false,
        force: false,
        author: "root".to_owned(),
    }
}

fn act(net: &Net, node: &str) -> FenceAct {
    net.core(node)
        .inspect()
        .state
        .fences
        .back()
        .unwrap()
        .clone()
}

/// The order that was given last, with who got it.
fn last(net: &Net) -> (String, u64, u32, Vec<String>) {
    let (node, order) = net.orders.last().unwrap();
    let devices = order.devices.iter().map(|(id, _)| id.to_string());
    (node.to_string(), order.id, order.turn, devices.collect())
}

fn answer(net: &mut Net, problem: &str) {
    let (node, id, turn, _) = last(net);
    let result = FenceResult {
        id,
        turn,
        problem: problem.to_owned(),
        note: String::new(),
        took: Micros::from_millis(100),
    };
    net.deliver(&NodeId::from(node), Event::Fenced(result));
    net.run(1000);
}

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
fn a_drill_tries_its_level_once_and_releases_nothing_when_it_fails() {
    let drill = |level| Request::FenceDrill {
        node: NodeId::from("beta"),
        level,
        force: false,
        author: "root".to_owned(),
    };
    let mut net = cluster();
    for level in [0, 3] {
        let refused = net.ask("alpha", drill(level));
        let Response::Refused(refusal) = &refused else {
            panic!("{refused:?}");
        };
        assert!(refusal.text.contains("it has 2"), "{refusal:?}");
    }
    assert!(matches!(net.ask("gamma", drill(2)), Response::Done { .. }));
    net.run(500);
    assert_eq!(last(&net).3, ["second"]);
    // Whose power is it, while somebody else cuts it?
    assert!(matches!(net.ask("gamma", drill(1)), Response::Refused(_)));
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
fn a_lost_node_is_fenced_by_itself_and_only_once() {
    let mut net = cluster();
    net.crash("beta");
    net.run(9000);
    assert_eq!(net.runs_on("web").len(), 1, "the lease's end is enough");
    assert!(net.orders.is_empty(), "it may come back by itself");
    net.run(4000);
    let begun = act(&net, "alpha");
    assert_eq!(begun.why, "it is lost and may still run web");
    assert_eq!((begun.by.as_str(), begun.lost), ("the cluster", true));
    assert!(begun.power_on);
    answer(&mut net, "");
    // It boots for minutes.
    net.run(300_000);
    assert_eq!(net.orders.len(), 1);
    net.start_agent("beta", standfast_model::id::MemberId(2));
    net.run(5000);
    assert_eq!(act(&net, "gamma").outcome, FenceOutcome::Off);
    // Whoever is lost and ran nothing needs no fencing.
    net.crash("beta");
    net.run(60_000);
    assert_eq!(net.orders.len(), 1);
}

/// A device that takes longer than the machine's boot cuts the run that follows the lost one. If that one were fenced in
/// turn, and so on, the machine would never come back.
#[test]
fn a_device_slower_than_the_boot_does_not_fence_for_ever() {
    let mut net = cluster_with(|config| {
        config.fencing.lost_after = Some(Micros::from_millis(1000));
    });
    let beta = |net: &mut Net| net.start_agent("beta", standfast_model::id::MemberId(2));
    net.crash("beta");
    net.run(4000);
    assert_eq!(net.orders.len(), 1);
    beta(&mut net);
    net.run(5000);
    let back = Request::Switchover {
        group: GroupId::from("web"),
        to: Some(NodeId::from("beta")),
        author: "root".to_owned(),
    };
    net.ask("alpha", back);
    net.run(3000);
    assert_eq!(net.runs_on("web"), ["beta"]);
    // Now the device does it.
    net.crash("beta");
    answer(&mut net, "");
    net.run(60_000);
    assert_eq!(net.orders.len(), 1, "it boots");
    beta(&mut net);
    net.run(180_000);
    assert_eq!(act(&net, "alpha").outcome, FenceOutcome::Off);
    assert_eq!(net.orders.len(), 1);
}

/// Once it is heard it boots no more, whoever leads then.
#[test]
fn who_is_back_from_its_fencing_and_lost_again_is_fenced_again() {
    for leaders in 1..=2 {
        let mut net = cluster();
        net.ask("alpha", fence("beta"));
        net.run(500);
        net.crash("beta");
        answer(&mut net, "");
        net.run(1000);
        net.start_agent("beta", standfast_model::id::MemberId(2));
        net.run(5000);
        if leaders == 2 {
            let leader = net.leader().unwrap();
            net.cut.insert(NodeId::from(leader.as_str()));
            net.run(5000);
            assert_ne!(net.leader(), Some(leader));
            net.cut.clear();
            net.run(3000);
        }
        let back = Request::Switchover {
            group: GroupId::from("web"),
            to: Some(NodeId::from("beta")),
            author: "root".to_owned(),
        };
        net.ask("alpha", back);
        net.run(3000);
        assert_eq!(net.runs_on("web"), ["beta"]);
        net.crash("beta");
        net.run(20_000);
        assert_eq!(net.orders.len(), 2, "{leaders}");
    }
}

#[test]
fn a_node_that_is_back_in_time_is_not_fenced() {
    let mut net = cluster_with(|config| {
        for device in config.fencing.devices.values_mut() {
            device.delay = Micros::from_millis(8000);
        }
    });
    net.cut.insert(NodeId::from("beta"));
    net.run(15_000);
    assert!(act(&net, "alpha").is_under_way());
    net.cut.clear();
    net.run(3000);
    assert_eq!(act(&net, "alpha").outcome, FenceOutcome::CalledOff);
    net.run(60_000);
    assert!(net.orders.is_empty());
    let totals = &net.core("gamma").inspect().state.fence_totals;
    assert_eq!(totals.get(&FenceOutcome::CalledOff), Some(&1));
    // Lost once more, the same run is fenced after all: nothing was done to it. It runs nothing any more, so it is not.
    net.cut.insert(NodeId::from("beta"));
    net.run(60_000);
    assert!(net.orders.is_empty());
}

#[test]
fn a_level_that_failed_is_not_followed_by_another_one_when_the_node_is_back() {
    let mut net = cluster();
    net.cut.insert(NodeId::from("beta"));
    net.run(13_000);
    assert_eq!(last(&net).3, ["first"]);
    net.cut.clear();
    net.run(3000);
    answer(&mut net, "does not answer");
    assert_eq!(act(&net, "alpha").outcome, FenceOutcome::CalledOff);
    assert_eq!(net.orders.len(), 1);
}

#[test]
fn who_was_shut_down_is_not_lost_and_manual_means_that_somebody_asks() {
    let mut net = cluster();
    net.deliver(
        &NodeId::from("beta"),
        Event::Request {
            id: 77,
            request: Request::Leave,
        },
    );
    net.run(3000);
    net.crash("beta");
    net.run(60_000);
    assert!(net.orders.is_empty());
    let mut net = cluster_with(|config| config.fencing.manual = true);
    net.crash("beta");
    net.run(60_000);
    assert!(net.orders.is_empty());
    net.ask("gamma", fence("beta"));
    net.run(500);
    assert_eq!(net.orders.len(), 1);
}

#[test]
fn a_machine_that_starts_gives_the_others_time_to_boot() {
    let mut net = cluster();
    // The power fails everywhere, and beta boots slowly.
    for node in NODES {
        net.crash(node);
    }
    net.run(10_000);
    net.start_agent("alpha", standfast_model::id::MemberId(1));
    net.start_agent("gamma", standfast_model::id::MemberId(3));
    net.run(100_000);
    assert!(net.leader().is_some());
    assert_eq!(net.runs_on("web").len(), 1);
    assert!(net.orders.is_empty(), "{:?}", net.orders);
    net.run(60_000);
    assert_eq!(net.orders.len(), 1, "in the end it is lost");
}

#[test]
fn what_needs_fencing_waits_for_it() {
    let mut net = cluster_with(web_needs_fencing);
    net.crash("beta");
    net.run(13_000);
    assert_eq!(act(&net, "alpha").why, "it is lost and may still run web");
    assert!(
        net.runs_on("web").is_empty(),
        "the lease's end is not enough"
    );
    answer(&mut net, "");
    net.run(1000);
    assert_eq!(net.runs_on("web").len(), 1);
    assert_ne!(net.runs_on("web"), ["beta"]);
}

/// An agent of which only its own word ends what it does.
fn web_outlives_its_processes(config: &mut ClusterConfig) {
    for resource in config.resources.values_mut() {
        let agent = AgentConfig {
            name: "ocf:heartbeat:Filesystem".to_owned(),
            outlives: true,
            ..AgentConfig::default()
        };
        resource.kind = ResourceKind::Process(ProcessConfig {
            agent: Some(Box::new(agent)),
            ..ProcessConfig::default()
        });
    }
}

/// No lease ends it: it waits whether it asks for fencing or not, and a node that is back and has not confirmed its stop has
/// released nothing.
#[test]
fn what_outlives_its_processes_waits_for_a_fence_or_for_its_own_word() {
    let mut net = cluster_with(web_outlives_its_processes);
    net.crash("beta");
    net.run(13_000);
    assert!(net.runs_on("web").is_empty());
    answer(&mut net, "");
    net.run(1000);
    assert_eq!(net.runs_on("web").len(), 1);

    let mut net = cluster_with(|config| {
        web_outlives_its_processes(config);
        for resource in config.resources.values_mut() {
            resource.failure.fence_on_stop_failure = false;
        }
    });
    net.stuck_guards = true;
    net.failing_stops = u32::MAX;
    net.cut.insert(NodeId::from("beta"));
    net.run(5000);
    assert_eq!(net.runs_on("web"), ["beta"]);
    net.cut.clear();
    net.run(4000);
    assert_eq!(net.runs_on("web"), ["beta"], "its stop is not confirmed");
    net.failing_stops = 0;
    net.run(5000);
    assert_eq!(net.runs_on("web").len(), 1, "{}", net.log.join("\n"));
    assert!(net.orders.is_empty(), "{:?}", net.orders);
}

/// The address guard silences it on every node that has one: the end of the lease is enough there, and nowhere else.
#[test]
fn an_address_that_a_guard_silences_waits_for_no_fence() {
    let silenced = |config: &mut ClusterConfig| {
        web_outlives_its_processes(config);
        for resource in config.resources.values_mut() {
            if let ResourceKind::Process(process) = &mut resource.kind
                && let Some(agent) = &mut process.agent
            {
                agent.address = Some([10, 80, 1, 100].into());
            }
        }
    };
    let mut net = cluster_with(silenced);
    net.crash("beta");
    net.run(1500);
    assert_eq!(net.runs_on("web").len(), 1, "{}", net.log.join("\n"));

    let config = net.core("alpha").inspect().state.config.clone();
    let web = &config.resources[&ResourceId::from("web")];
    let bare = GuardSupport {
        address: false,
        ..GuardSupport::full()
    };
    assert!(GuardSupport::full().covers(&web.kind) && !web.kind.only_power_ends());
    assert!(!bare.covers(&web.kind), "the address would stay, for ever");
}

#[test]
fn what_needs_fencing_waits_after_one_that_failed_until_an_operator_or_the_node_itself_says_so() {
    let mut net = cluster_with(web_needs_fencing);
    net.cut.insert(NodeId::from("beta"));
    net.run(13_000);
    for _ in 0..4 {
        answer(&mut net, "does not answer");
    }
    assert_eq!(act(&net, "alpha").outcome, FenceOutcome::Failed);
    net.run(60_000);
    assert!(net.runs_on("web").is_empty());
    // It is back, and says that it does not run it.
    net.cut.clear();
    net.run(5000);
    assert_eq!(net.runs_on("web").len(), 1);

    let mut net = cluster_with(|config| {
        web_needs_fencing(config);
        config.fencing.manual = true;
    });
    net.crash("beta");
    net.run(13_000);
    assert!(net.runs_on("web").is_empty());
    let confirm = Request::FenceConfirm {
        node: NodeId::from("beta"),
        author: "root".to_owned(),
    };
    assert!(matches!(net.ask("alpha", confirm), Response::Done { .. }));
    net.run(1000);
    assert_eq!(net.runs_on("web").len(), 1);
    assert_eq!(act(&net, "gamma").outcome, FenceOutcome::Confirmed);
}

#[test]
fn what_needs_fencing_is_not_released_by_an_off_that_was_not_one() {
    let mut net = cluster_with(web_needs_fencing);
    net.ask("gamma", fence("beta"));
    net.run(500);
    answer(&mut net, "");
    net.run(3000);
    assert_eq!(act(&net, "alpha").outcome, FenceOutcome::Void);
    net.crash("beta");
    net.run(5000);
    assert!(net.runs_on("web").is_empty());
}

#[test]
fn a_configuration_in_which_nothing_could_end_it_is_refused() {
    let mut net = cluster();
    let config = net.core("alpha").inspect().state.config.clone();
    let refused = |net: &mut Net, config: ClusterConfig| match net.ask("alpha", apply(config)) {
        Response::Refused(refusal) => refusal.text,
        other => panic!("{other:?}"),
    };
    let mut off = config.clone();
    web_needs_fencing(&mut off);
    off.fencing.off = true;
    assert!(
        refused(&mut net, off).starts_with("web requires fencing, and nothing can fence alpha")
    );
    let mut bare = config;
    bare.fencing.devices.clear();
    if let Some(web) = bare.resources.get_mut(&ResourceId::from("web")) {
        web.kind = ResourceKind::Vip(standfast_model::config::VipConfig::default());
    }
    net.deliver(
        &NodeId::from("gamma"),
        Event::Guards(GuardSupport::default()),
    );
    // Told with the next report.
    net.report(
        "gamma",
        "web",
        standfast_model::event::InstanceChange::Healthy,
    );
    net.run(1000);
    assert!(refused(&mut net, bare).starts_with("no guard of gamma ends web with its lease"));
}

#[test]
fn what_needs_fencing_is_not_started_where_a_device_keeps_the_node_out() {
    let mut net = cluster();
    net.lets_in = false;
    let mut config = net.core("alpha").inspect().state.config.clone();
    web_needs_fencing(&mut config);
    for device in config.fencing.devices.values_mut() {
        device.retries = 3;
    }
    assert!(matches!(
        net.ask("alpha", apply(config)),
        Response::Done { .. }
    ));
    net.run(1000);
    let switchover = Request::Switchover {
        group: GroupId::from("web"),
        to: Some(NodeId::from("gamma")),
        author: "root".to_owned(),
    };
    assert!(matches!(
        net.ask("alpha", switchover),
        Response::Done { .. }
    ));
    net.run(3000);
    assert!(net.runs_on("web").is_empty());
    let devices = ["first", "second"].map(DeviceId::from);
    net.deliver(&NodeId::from("gamma"), Event::Unfenced(devices.to_vec()));
    net.run(1000);
    assert_eq!(net.runs_on("web"), ["gamma"]);
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
