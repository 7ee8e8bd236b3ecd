//! Scenarios of nodes that are lost: the cluster fences them by itself, once each run, and not while they boot.
#![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

mod net;

use net::{
    Net,
    fences::{NODES, act, answer, cluster, cluster_with, fence, last},
};
use standfast_model::{
    event::Event,
    fence_act::FenceOutcome,
    id::{GroupId, NodeId},
    request::Request,
    time::Micros,
};

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
