//! What a run of a pair starts from: two machines, what they are to run, and the state after the second one has joined.

use super::{faults::SECOND, machine::Machine};
use crate::{clock::Clock, disk::Disk, rng::Rng};
use standfast_model::{
    config::{
        ClusterConfig, FailurePolicy, GroupConfig, NodeConfig, ProcessConfig, Profile,
        ResourceConfig, ResourceKind, Timing,
    },
    event::DiskCondition,
    fence::FenceDevice,
    id::{DeviceId, GroupId, MemberId, NodeId, ResourceId},
    message::LogSnapshot,
    pair::{Arbiter, PairConfig, PingConfig},
    state::{ClusterState, Member, NodeState},
    time::Micros,
};
use std::collections::BTreeMap;

pub(super) fn machine(number: usize, rng: &mut Rng, genesis: &LogSnapshot) -> Machine {
    let rate = |rng: &mut Rng| i64::try_from(rng.below(10_001)).unwrap_or(0) - 5_000;
    let low = rng.spread(300, 8_000);
    let mut disk = Disk::new((low, low * 3));
    // The second one begins with an empty log, as after its joining.
    if number == 0 {
        disk.install(genesis.clone());
    } else {
        disk.condition = DiskCondition::Intact;
    }
    Machine {
        name: NodeId::from(format!("n{}", number + 1)),
        member: MemberId(u64::try_from(number).unwrap_or(0) + 1),
        core: None,
        on: false,
        boots: 0,
        runs: 0,
        boot: Clock::new(0, 0, rate(rng)),
        raw: Clock::new(0, 0, rate(rng)),
        disk,
        units: BTreeMap::new(),
        down_until: 0,
    }
}

pub(super) fn config(rng: &mut Rng, arbiter: Arbiter) -> ClusterConfig {
    let nodes = ["n1", "n2"].map(NodeId::from);
    let address = |node: &NodeId| NodeConfig {
        addresses: vec![format!("{node}:7000")],
        ..NodeConfig::default()
    };
    let mut pair = PairConfig::of(nodes.clone(), arbiter);
    pair.fence_delay = Micros(rng.below(3 * SECOND));
    pair.fence_random_delay = Micros(rng.below(SECOND));
    pair.fence_retry = Micros(rng.range(SECOND, 5 * SECOND));
    if arbiter == Arbiter::Ping {
        pair.ping = Some(PingConfig {
            iterations: u32::try_from(rng.range(2, 6)).unwrap_or(2),
            interval: Micros(rng.spread(100_000, SECOND)),
            gateway: "10.0.0.254".to_owned(),
            targets: vec!["10.0.1.1".to_owned()],
        });
    }
    let mut config = ClusterConfig {
        name: "pair".to_owned(),
        profile: Profile::Lan,
        timing: Timing::of(Profile::Lan),
        nodes: nodes
            .iter()
            .map(|node| (node.clone(), address(node)))
            .collect(),
        pair: Some(pair),
        ..ClusterConfig::default()
    };
    if arbiter == Arbiter::Fence {
        let device = FenceDevice {
            agent: "fence_sim".to_owned(),
            parameters: BTreeMap::new(),
            secret_parameters: BTreeMap::new(),
            nodes: nodes.iter().map(|node| (node.clone(), None)).collect(),
            timeout: Micros(10 * SECOND),
            retries: 0,
            delay: Micros::ZERO,
            monitor: Micros(60 * SECOND),
        };
        config.fencing.devices.insert(DeviceId::from("d"), device);
    }
    for name in ["a", "b"] {
        let resource = ResourceConfig {
            kind: ResourceKind::Process(ProcessConfig {
                stop_timeout: Micros::from_millis(1_000),
                ..ProcessConfig::default()
            }),
            failure: FailurePolicy::default(),
            needs_fencing: false,
        };
        config.resources.insert(ResourceId::from(name), resource);
        let group = GroupConfig {
            members: vec![ResourceId::from(name)],
            stickiness: 100,
            ..GroupConfig::default()
        };
        config.groups.insert(GroupId::from(name), group);
    }
    config
}

/// The state after the second one has joined.
pub(super) fn genesis(config: &ClusterConfig) -> LogSnapshot {
    let member = |node: &str, voter: bool| Member {
        node: NodeId::from(node),
        voter,
        addresses: vec![format!("{node}:7000")],
    };
    let state = ClusterState {
        cluster_id: "pair".to_owned(),
        applied: 1,
        config: config.clone(),
        config_version: 1,
        members: BTreeMap::from([
            (MemberId(1), member("n1", true)),
            (MemberId(2), member("n2", false)),
        ]),
        next_member: 3,
        nodes: ["n1", "n2"]
            .iter()
            .map(|node| (NodeId::from(*node), NodeState::default()))
            .collect(),
        ..ClusterState::default()
    };
    LogSnapshot {
        index: 1,
        term: 1,
        voters: vec![1],
        learners: vec![2],
        data: serde_json::to_vec(&state).unwrap_or_default(),
    }
}
