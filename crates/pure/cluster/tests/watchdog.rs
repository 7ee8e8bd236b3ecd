//! Scenarios of the hardware watchdog: until when it may be fed. That no permission outlives what a guard would end is
//! looked at after every step of every scenario (`net`).
#![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

mod net;

use net::Net;
use standfast_cluster::Feeding;
use standfast_model::{
    config::{
        ClusterConfig, GroupConfig, ProcessConfig, Profile, ResourceConfig, ResourceKind, Timing,
    },
    event::InstanceChange,
    id::{GroupId, MemberId, NodeId, ResourceId},
    request::{Request, Response},
};
use std::collections::BTreeMap;

/// Three nodes; web runs on beta.
fn cluster() -> Net {
    cluster_of(Profile::Lan)
}

fn cluster_of(profile: Profile) -> Net {
    let mut net = Net::cluster(&["alpha", "beta", "gamma"]);
    let mut config: ClusterConfig = net.core("alpha").inspect().state.config.clone();
    let web = ResourceConfig {
        kind: ResourceKind::Process(ProcessConfig::default()),
        failure: standfast_model::config::FailurePolicy::default(),
        needs_fencing: false,
    };
    config.resources.insert(ResourceId::from("web"), web);
    config.timing = Timing::of(profile);
    let group = GroupConfig {
        members: vec![ResourceId::from("web")],
        stickiness: 100,
        prefer: BTreeMap::from([(NodeId::from("beta"), 50)]),
        ..GroupConfig::default()
    };
    config.groups.insert(GroupId::from("web"), group);
    let request = Request::Apply {
        config: Box::new(config),
        text: String::new(),
        based_on: None,
        author: "root".to_owned(),
        reason: String::new(),
        draft: None,
    };
    assert!(matches!(net.ask("alpha", request), Response::Done { .. }));
    net.run(2000);
    assert_eq!(net.runs_on("web"), ["beta"]);
    net
}

fn feeding(net: &Net, node: &str) -> Feeding {
    net.core(node).feeding(net.clock())
}

/// For how long it may be fed, milliseconds.
fn left(net: &Net, node: &str) -> u64 {
    feeding(net, node)
        .until_boot
        .saturating_sub(net.clock().boot)
        / 1000
}

#[test]
fn a_holder_is_fed_to_its_leases_end_and_the_others_by_their_health_alone() {
    let net = cluster();
    let beta = left(&net, "beta");
    assert!((1..=800).contains(&beta), "{beta} ms");
    assert!(!feeding(&net, "beta").idle);
    assert_eq!(left(&net, "alpha"), 3000);
    assert!(feeding(&net, "alpha").idle);
}

#[test]
fn a_machine_that_cannot_stop_what_its_lease_was_for_is_not_fed_and_its_reset_frees_the_group() {
    let mut net = cluster();
    net.failing_stops = 1000;
    net.stuck_guards = true;
    let drain = Request::Drain {
        node: NodeId::from("beta"),
        drained: true,
        author: "root".to_owned(),
    };
    net.ask("alpha", drain);
    for _ in 0..20 {
        net.run(500);
        assert_eq!(net.runs_on("web"), ["beta"], "nothing is released");
    }
    assert_eq!(feeding(&net, "beta"), Feeding::default());
    // The reset.
    net.failing_stops = 0;
    net.stuck_guards = false;
    net.crash("beta");
    net.run(3000);
    assert_eq!(net.runs_on("web").len(), 1);
    assert_ne!(net.runs_on("web"), ["beta"]);
}

#[test]
fn a_lease_ends_that_is_longer_than_the_time_between_two_attempts_to_stop() {
    let mut net = cluster_of(Profile::Wan);
    net.failing_stops = 1000;
    net.stuck_guards = true;
    let drain = Request::Drain {
        node: NodeId::from("beta"),
        drained: true,
        author: "root".to_owned(),
    };
    net.ask("alpha", drain);
    net.run(10_000);
    assert_eq!(feeding(&net, "beta"), Feeding::default());
    assert!(net.failing_stops < 998, "it is tried again");
    assert_eq!(net.runs_on("web"), ["beta"], "nothing is released");
    // What hung is released after all.
    net.failing_stops = 0;
    net.stuck_guards = false;
    net.run(8000);
    assert!(feeding(&net, "beta").idle);
    assert_eq!(net.runs_on("web").len(), 1);
    assert_ne!(net.runs_on("web"), ["beta"]);
}

/// A service that hangs where it runs, and cannot be stopped to be started anew there.
#[test]
fn what_could_not_be_stopped_starts_elsewhere_when_its_machine_is_reset() {
    let mut net = cluster_of(Profile::Wan);
    net.failing_stops = 1000;
    net.stuck_guards = true;
    let hangs = InstanceChange::Unhealthy("its health check failed".to_owned());
    net.report("beta", "web", hangs);
    net.run(15_000);
    assert_eq!(feeding(&net, "beta"), Feeding::default());
    assert_eq!(net.runs_on("web"), ["beta"], "nothing is released");
    net.failing_stops = 0;
    net.stuck_guards = false;
    net.crash("beta");
    net.run(15_000);
    assert_eq!(net.runs_on("web").len(), 1, "{}", net.log.join("\n"));
}

#[test]
fn a_machine_that_is_cut_off_and_stops_in_time_is_fed_on() {
    let mut net = cluster();
    net.cut.insert(NodeId::from("beta"));
    net.run(3000);
    assert!(feeding(&net, "beta").idle, "it has stopped what it had");
    assert!(left(&net, "beta") > 0);
}

#[test]
fn a_new_agent_feeds_nothing_before_it_knows_what_runs() {
    let mut net = cluster();
    net.silent_probes = true;
    net.kill_agent("beta");
    net.start_agent("beta", MemberId(2));
    net.run(200);
    assert_eq!(net.runs_on("web"), ["beta"], "it may be running here");
    assert_eq!(feeding(&net, "beta"), Feeding::default());
    net.silent_probes = false;
    net.kill_agent("beta");
    net.start_agent("beta", MemberId(2));
    net.run(3000);
    assert!(left(&net, "beta") > 0);
}
