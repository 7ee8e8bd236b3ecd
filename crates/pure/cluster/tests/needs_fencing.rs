//! Scenarios of what only fencing ends: it waits for an act, for an operator's word or for the node itself.
#![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

mod net;

use net::{
    Net,
    fences::{act, answer, apply, cluster, cluster_with, fence, web_needs_fencing},
};
use standfast_model::{
    config::{AgentConfig, ClusterConfig, ProcessConfig, ResourceKind},
    event::Event,
    fence_act::FenceOutcome,
    guards::GuardSupport,
    id::{DeviceId, GroupId, NodeId, ResourceId},
    request::{Request, Response},
};

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
