//! A cluster that only observes says what it would do, once, and does nothing.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod net;

use net::{Net, configs::web_on};
use standfast_model::{
    config::{FailurePolicy, Mode, ResourceConfig, ResourceKind, VipConfig},
    id::{GroupId, NodeId, ResourceId},
    request::{RefusalKind, Request, Response},
};

const NODES: [&str; 3] = ["alpha", "beta", "gamma"];

fn state(net: &Net) -> &standfast_model::state::ClusterState {
    net.cores.values().next().unwrap().inspect().state
}

fn apply(net: &mut Net, mode: Mode, prefer: &str) {
    let through = net.cores.keys().next().unwrap().to_string();
    let response = net.configure(&through, |config| {
        config.mode = mode;
        web_on(config, prefer);
        let ip = ResourceId::from("ip");
        let vip = VipConfig {
            addresses: vec!["10.0.0.100/24".into()],
            ..VipConfig::default()
        };
        let resource = ResourceConfig {
            kind: ResourceKind::Vip(vip),
            failure: FailurePolicy::default(),
            needs_fencing: false,
        };
        config.resources.insert(ip.clone(), resource);
        let site = config.groups.get_mut(&GroupId::from("site")).unwrap();
        site.members.insert(0, ip);
    });
    assert!(matches!(response, Response::Done { .. }));
    net.run(2000);
}

fn would(net: &Net) -> Vec<String> {
    let entries = state(net).journal.iter();
    let observed = entries.filter(|entry| entry.kind == "observe");
    observed.map(|entry| entry.text.clone()).collect()
}

fn starts(net: &Net) -> usize {
    net.log
        .iter()
        .filter(|line| line.contains("start under plan"))
        .count()
}

fn stops(net: &Net) -> usize {
    net.log
        .iter()
        .filter(|line| line.contains(": stop"))
        .count()
}

#[test]
fn from_the_beginning_nothing_is_started_and_each_event_is_told_once() {
    let mut net = Net::cluster(&NODES);
    apply(&mut net, Mode::Observe, "beta");
    assert_eq!(would(&net).len(), 1, "{:?}", would(&net));
    assert!(would(&net)[0].contains("site would start on beta"));
    net.run(5000);
    net.crash("beta");
    net.run(5000);
    let said = would(&net);
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(
        said[1].contains("beta is lost; a failover would happen now: site would move from beta to")
    );
    // Another leader does not say it again.
    let leader = net.leader().unwrap();
    net.cut.insert(NodeId::from(leader.as_str()));
    net.run(3000);
    net.cut.clear();
    net.run(5000);
    assert_eq!(would(&net).len(), 2, "{:?}", would(&net));
    assert_eq!((starts(&net), net.runs_on("web").len()), (0, 0));
    // Guards that were prepared would silence addresses that somebody else has.
    assert!(net.touched.is_empty(), "{:?}", net.touched);
    apply(&mut net, Mode::Active, "alpha");
    assert_eq!(net.touched.len(), 4, "two resources, two nodes");
}

#[test]
fn what_runs_goes_on_and_nothing_takes_its_place() {
    let mut net = Net::cluster(&NODES);
    apply(&mut net, Mode::Active, "beta");
    assert_eq!(net.runs_on("web"), ["beta"]);
    let (started, stopped) = (starts(&net), stops(&net));
    apply(&mut net, Mode::Observe, "alpha");
    net.run(20_000);
    assert_eq!(net.runs_on("web"), ["beta"], "its lease is renewed");
    assert_eq!(would(&net), [""; 0], "where it is is where it would be");
    let request = Request::Switchover {
        group: "site".into(),
        to: Some("alpha".into()),
        author: "test".into(),
    };
    let leader = net.leader().unwrap();
    let Response::Refused(refusal) = net.ask(&leader, request) else {
        panic!("moved")
    };
    assert_eq!(refusal.kind, RefusalKind::Unsafe);
    net.crash("beta");
    net.run(10_000);
    assert_eq!((starts(&net), stops(&net)), (started, stopped));
    assert_eq!(would(&net).len(), 1, "{:?}", would(&net));
    // Acting again: what is lost is made up for, after the lease of the lost node, as ever.
    apply(&mut net, Mode::Active, "alpha");
    assert_eq!(
        net.runs_on("web").len(),
        1,
        "{:#?} {:?}",
        state(&net).journal.iter().rev().take(6).collect::<Vec<_>>(),
        state(&net).may_hold
    );
    assert!(state(&net).observed.is_empty());
}

#[test]
fn leaving_touches_nothing_that_runs_also_after_a_restart_of_its_agent() {
    let mut net = Net::cluster(&NODES);
    apply(&mut net, Mode::Active, "beta");
    apply(&mut net, Mode::Observe, "beta");
    let (started, stopped) = (starts(&net), stops(&net));
    let member = net.core("beta").inspect().member;
    net.kill_agent("beta");
    net.run(100);
    net.start_agent("beta", member);
    net.run(10_000);
    assert_eq!(net.runs_on("web"), ["beta"], "{}", net.log.join("\n"));
    apply(&mut net, Mode::Active, "beta");
    net.run(5000);
    assert_eq!(net.runs_on("web"), ["beta"]);
    assert_eq!((starts(&net), stops(&net)), (started, stopped));
}

#[test]
fn what_fails_meanwhile_is_left_alone_until_the_cluster_acts() {
    let mut net = Net::cluster(&NODES);
    apply(&mut net, Mode::Active, "beta");
    apply(&mut net, Mode::Observe, "beta");
    let started = starts(&net);
    let exit = standfast_model::event::InstanceChange::Exited("gone".into());
    net.report("beta", "web", exit);
    net.run(5000);
    assert_eq!((starts(&net), net.runs_on("web").len()), (started, 0));
    apply(&mut net, Mode::Active, "beta");
    assert_eq!(net.runs_on("web"), ["beta"], "{}", net.log.join("\n"));
}
