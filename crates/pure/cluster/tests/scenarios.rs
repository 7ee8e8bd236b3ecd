//! Scenarios of a whole cluster, as short as they can be told. Random ones are the simulator's.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod net;

use net::{Net, configs::web_on};
use standfast_model::{
    event::Event,
    id::{GroupId, NodeId},
    request::{Request, Response},
    time::Micros,
};

fn apply(net: &mut Net, through: &str, prefer: &str) {
    let response = net.configure(through, |config| web_on(config, prefer));
    assert!(matches!(response, Response::Done { .. }));
    net.run(2000);
}

#[test]
fn three_nodes_join_and_vote() {
    let net = Net::cluster(&["alpha", "beta", "gamma"]);
    let members = &net.core("gamma").inspect().state.members;
    assert_eq!(
        members.values().filter(|member| member.voter).count(),
        3,
        "{}",
        net.log.join("\n")
    );
    assert!(net.leader().is_some());
}

#[test]
fn a_service_starts_where_it_is_preferred() {
    let mut net = Net::cluster(&["alpha", "beta", "gamma"]);
    apply(&mut net, "gamma", "beta");
    assert_eq!(net.runs_on("web"), ["beta"], "{}", net.log.join("\n"));
}

#[test]
fn the_loss_of_its_node_moves_a_service_after_its_lease() {
    let mut net = Net::cluster(&["alpha", "beta", "gamma"]);
    apply(&mut net, "alpha", "beta");
    net.crash("beta");
    net.run(600);
    assert_eq!(
        net.runs_on("web"),
        [""; 0],
        "before the lease is over nobody may start it"
    );
    net.run(500);
    assert_eq!(net.runs_on("web").len(), 1, "{}", net.log.join("\n"));
}

#[test]
fn the_loss_of_the_leader_does_not_touch_a_service_elsewhere() {
    let mut net = Net::cluster(&["alpha", "beta", "gamma"]);
    apply(&mut net, "alpha", "beta");
    net.run(10_000);
    let leader = net.leader().unwrap();
    assert_ne!(leader, "beta");
    let starts = net
        .log
        .iter()
        .filter(|line| line.contains("web: start"))
        .count();
    net.crash(&leader);
    net.run(5000);
    assert_eq!(net.runs_on("web"), ["beta"]);
    assert_eq!(
        net.log
            .iter()
            .filter(|line| line.contains("web: start"))
            .count(),
        starts
    );
    assert!(
        net.log.iter().all(|line| !line.contains("web: stop")),
        "{}",
        net.log.join("\n")
    );
}

#[test]
fn leader_and_node_lost_at_once_cost_little_more() {
    let mut net = Net::cluster(&["alpha", "beta", "gamma", "delta", "epsilon"]);
    apply(&mut net, "alpha", "beta");
    net.run(10_000);
    let leader = net.leader().unwrap();
    net.crash("beta");
    net.crash(&leader);
    net.log
        .push(format!("crash at {} leader {leader}", net.now));
    net.run(1100);
    assert_eq!(net.runs_on("web").len(), 1, "{}", net.log.join("\n"));
}

#[test]
fn a_cut_off_node_stops_its_service_by_itself() {
    let mut net = Net::cluster(&["alpha", "beta", "gamma"]);
    apply(&mut net, "alpha", "beta");
    net.cut.insert(NodeId::from("beta"));
    net.run(3000);
    let there = net.runs_on("web");
    assert_eq!(there.len(), 1, "{}", net.log.join("\n"));
    assert_ne!(there, ["beta"]);
}

#[test]
fn a_switchover_moves_and_stays() {
    let mut net = Net::cluster(&["alpha", "beta", "gamma"]);
    apply(&mut net, "alpha", "beta");
    let request = Request::Switchover {
        group: GroupId::from("site"),
        to: Some(NodeId::from("gamma")),
        author: "test".into(),
    };
    assert!(matches!(net.ask("beta", request), Response::Done { .. }));
    net.run(200);
    assert_eq!(net.runs_on("web"), ["gamma"], "{}", net.log.join("\n"));
    net.run(60_000);
    assert_eq!(net.runs_on("web"), ["gamma"]);
    assert!(
        net.core("alpha").inspect().state.moves.is_empty(),
        "a move leaves nothing behind"
    );
}

#[test]
fn the_majority_lost_ends_the_service_within_its_lease() {
    let mut net = Net::cluster(&["alpha", "beta", "gamma"]);
    apply(&mut net, "alpha", "beta");
    net.crash("alpha");
    net.crash("gamma");
    net.run(900);
    assert_eq!(net.runs_on("web"), [""; 0], "{}", net.log.join("\n"));
}

#[test]
fn an_idle_cluster_sends_few_messages() {
    let mut net = Net::cluster(&["alpha", "beta", "gamma"]);
    net.run(2000);
    let before = net.messages;
    net.run(10_000);
    let per_second = (net.messages - before) / 10;
    assert!(per_second < 200, "{per_second} messages a second");
}

#[test]
fn a_pause_is_told_for_ten_minutes_and_then_forgotten() {
    let mut net = Net::cluster(&["alpha", "beta", "gamma"]);
    net.run(2000);
    let pause = Event::Paused(Micros::from_millis(700));
    net.deliver(&NodeId::from("beta"), pause);
    net.run(1000);
    let told = |net: &Net| {
        let state = net.core("alpha").inspect().state;
        let report = &state.nodes[&NodeId::from("beta")].report;
        let warned = report
            .warnings
            .iter()
            .any(|text| text.contains("stood still for up to 1024 ms"));
        (report.stall, warned)
    };
    assert_eq!(told(&net), (Micros::from_millis(1024), true));
    net.run(9 * 60_000);
    assert_eq!(told(&net), (Micros::from_millis(1024), true));
    net.run(61_000);
    assert_eq!(told(&net), (Micros::ZERO, false));
}
