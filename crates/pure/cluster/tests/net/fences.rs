//! Scenarios of fencing begin here: three nodes, two devices, a service on beta; what is asked and what devices answer.

use super::Net;
use standfast_model::{
    config::{
        ClusterConfig, FailurePolicy, GroupConfig, ProcessConfig, ResourceConfig, ResourceKind,
    },
    event::Event,
    fence::FenceDevice,
    fence_act::{FenceAct, FenceResult},
    id::{DeviceId, GroupId, NodeId, ResourceId},
    request::{Request, Response},
    time::Micros,
};
use std::collections::BTreeMap;

pub(crate) const NODES: [&str; 3] = ["alpha", "beta", "gamma"];

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
pub(crate) fn cluster() -> Net {
    cluster_with(|_| {})
}

/// The same, with something else in the configuration.
pub(crate) fn cluster_with(change: impl Fn(&mut ClusterConfig)) -> Net {
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

pub(crate) fn apply(config: ClusterConfig) -> Request {
    Request::Apply {
        config: Box::new(config),
        text: String::new(),
        based_on: None,
        author: "root".to_owned(),
        reason: String::new(),
        draft: None,
    }
}

pub(crate) fn web_needs_fencing(config: &mut ClusterConfig) {
    for resource in config.resources.values_mut() {
        resource.needs_fencing = true;
    }
}

pub(crate) fn fence(node: &str) -> Request {
    Request::Fence {
        node: NodeId::from(node),
        power_on: false,
        force: false,
        author: "root".to_owned(),
    }
}

pub(crate) fn act(net: &Net, node: &str) -> FenceAct {
    net.core(node)
        .inspect()
        .state
        .fences
        .back()
        .unwrap()
        .clone()
}

/// The order that was given last, with who got it.
pub(crate) fn last(net: &Net) -> (String, u64, u32, Vec<String>) {
    let (node, order) = net.orders.last().unwrap();
    let devices = order.devices.iter().map(|(id, _)| id.to_string());
    (node.to_string(), order.id, order.turn, devices.collect())
}

pub(crate) fn answer(net: &mut Net, problem: &str) {
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
