//! A run before anything goes wrong: how many machines, their clocks, disks and links, what they
//! are to run, and with which time budget. Everything from the seed.

use crate::{
    attributes, constraints, copies,
    fencing::{self, Devices},
    network::Quality,
    rng::{Rng, Stream},
};
use standfast_model::{
    FEATURE_LEVEL,
    config::{
        ClusterConfig, FailurePolicy, GroupConfig, NodeConfig, ProcessConfig, Profile,
        ResourceConfig, ResourceKind, Timing, VipConfig,
    },
    guards::GuardSupport,
    id::{GroupId, MemberId, NodeId, ResourceId},
    message::LogSnapshot,
    state::{ClusterState, Member, NodeState},
    time::Micros,
};
use std::collections::{BTreeMap, BTreeSet};

/// What a run starts from.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    /// Operators act (`acts`).
    pub(crate) acts: bool,
    /// Agents are told of links, and whoever is not let in lets nobody in. False as runs were before that.
    pub(crate) tells_of_links: bool,
    /// Operators give orders (`orders`).
    pub(crate) orders: bool,
    /// Feature level of the programs that the machines begin with.
    pub(crate) first_level: u32,
    /// Machines, later joiners included.
    pub(crate) nodes: usize,
    /// Members from the first day.
    pub(crate) founders: usize,
    pub(crate) links: usize,
    pub(crate) quality: Quality,
    /// Rate of each machine's clocks, parts per million: boot time, raw.
    pub(crate) rates: Vec<(i64, i64)>,
    /// Ordinary fsync of each disk, microseconds: shortest, longest.
    pub(crate) fsync: Vec<(u64, u64)>,
    /// Ordinary start and stop of each resource, microseconds.
    pub(crate) takes: Vec<(u64, u64)>,
    pub(crate) guards: GuardSupport,
    pub(crate) config: ClusterConfig,
    pub(crate) resources: Vec<ResourceId>,
    pub(crate) groups: Vec<GroupId>,
    /// Fence devices, in runs that have any.
    pub(crate) devices: Devices,
    /// Faults end here, microseconds.
    pub(crate) quiet_from: u64,
    /// The run ends here at the earliest.
    pub(crate) ends: u64,
}

const SECOND: u64 = 1_000_000;
/// More voters than this a cluster does not take.
pub(crate) const MOST_VOTERS: usize = 7;

impl Scenario {
    /// The scenario of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed, Stream::Scenario);
        let founders = rng
            .weighted(&[(3, 74), (1, 2), (2, 4), (4, 6), (5, 10), (7, 4)])
            .unwrap_or(3);
        let joiners = if rng.chance(200_000) { 1 } else { 0 };
        let mut scenario = Self::sized(seed, founders, joiners, &mut rng);
        fencing::add(&mut scenario, false);
        constraints::add(&mut scenario, false);
        attributes::add(&mut scenario, false);
        copies::add(&mut scenario, false, false);
        scenario
    }

    /// Without chance in its size: for measurements.
    pub(crate) fn of_size(seed: u64, founders: usize) -> Self {
        Self::sized(seed, founders, 0, &mut Rng::new(seed, Stream::Scenario))
    }

    fn sized(seed: u64, founders: usize, joiners: usize, rng: &mut Rng) -> Self {
        let nodes = founders + joiners;
        let profile = rng
            .weighted(&[(Profile::Lan, 6), (Profile::Fast, 3), (Profile::Wan, 1)])
            .unwrap_or(Profile::Lan);
        let extreme = rng.chance(500_000);
        let rates = (0..nodes)
            .map(|_| (rate(rng, extreme), rate(rng, extreme)))
            .collect();
        let fsync = (0..nodes).map(|_| fsync(rng, profile)).collect();
        let (config, resources) = config(rng, founders, profile);
        let takes = resources
            .iter()
            .map(|_| (rng.spread(5_000, 200_000), rng.spread(2_000, 60_000)))
            .collect();
        let quiet_from = rng.range(540, 580) * SECOND;
        Self {
            seed,
            acts: false,
            tells_of_links: false,
            orders: false,
            first_level: FEATURE_LEVEL,
            nodes,
            founders,
            links: rng.weighted(&[(1, 4), (2, 5), (3, 1)]).unwrap_or(1),
            quality: quality(rng, profile),
            rates,
            fsync,
            takes,
            guards: guards(rng, profile),
            groups: config.groups.keys().cloned().collect(),
            config,
            resources,
            devices: Devices::default(),
            quiet_from,
            ends: 600 * SECOND,
        }
    }

    pub(crate) fn node_name(index: usize) -> NodeId {
        NodeId::from(format!("n{}", index + 1))
    }

    /// The state in which the cluster begins, as `init` leaves it on every founder's disk.
    pub(crate) fn genesis(&self) -> LogSnapshot {
        let members = (0..self.founders).map(|index| {
            let member = Member {
                node: Self::node_name(index),
                voter: index < MOST_VOTERS,
                addresses: addresses(index),
            };
            (Self::member(index), member)
        });
        let state = ClusterState {
            cluster_id: format!("sim-{}", self.seed),
            applied: 1,
            config: self.config.clone(),
            config_version: 1,
            members: members.collect(),
            next_member: Self::member(self.founders).0,
            keys: self.first_keys(),
            nodes: (0..self.founders)
                .map(|index| (Self::node_name(index), NodeState::default()))
                .collect(),
            ..ClusterState::default()
        };
        let ids = |from: usize, to: usize| (from..to).map(|index| Self::member(index).0).collect();
        LogSnapshot {
            index: 1,
            term: 1,
            voters: ids(0, self.founders.min(MOST_VOTERS)),
            learners: ids(MOST_VOTERS, self.founders),
            data: serde_json::to_vec(&state).unwrap_or_default(),
        }
    }

    fn first_keys(&self) -> BTreeMap<NodeId, BTreeSet<String>> {
        let keys = (0..self.founders).map(|index| {
            let key = key_name(index, 0);
            (Self::node_name(index), BTreeSet::from([key]))
        });
        keys.collect()
    }

    pub(crate) fn member(index: usize) -> MemberId {
        MemberId(u64::try_from(index).unwrap_or(u64::MAX - 1) + 1)
    }
}

/// Where a node's links are, as text that nobody resolves.
pub(crate) fn addresses(index: usize) -> Vec<String> {
    vec![format!("10.0.0.{}:7000", index + 1)]
}

/// Fingerprint of a machine's key, which is another one each time that it is installed.
pub(crate) fn key_name(index: usize, key: u32) -> String {
    format!("key {index} {key}")
}

/// Which key of its machine that is.
pub(crate) fn key_number(name: &str) -> Option<u32> {
    name.rsplit_once(' ')?.1.parse().ok()
}

fn rate(rng: &mut Rng, extreme: bool) -> i64 {
    const LIMIT: i64 = 5_000;
    let size = i64::try_from(rng.below(5_001)).unwrap_or(0);
    let size = if extreme { LIMIT } else { size };
    if rng.chance(500_000) { size } else { -size }
}

fn fsync(rng: &mut Rng, profile: Profile) -> (u64, u64) {
    let slowest = if profile == Profile::Fast {
        3_000
    } else {
        12_000
    };
    let low = rng.spread(300, slowest);
    (low, low * 3)
}

fn quality(rng: &mut Rng, profile: Profile) -> Quality {
    let (delay, jitter) = match profile {
        Profile::Wan | Profile::Appliance => (rng.spread(3_000, 40_000), rng.spread(500, 10_000)),
        Profile::Lan | Profile::Fast => (rng.spread(50, 400), rng.spread(20, 400)),
    };
    Quality {
        delay,
        jitter,
        loss: rng.below(4) * 300,
        duplicates: rng.below(3) * 1_000,
        stragglers: rng.below(3) * 2_000,
    }
}

fn guards(rng: &mut Rng, profile: Profile) -> GuardSupport {
    let mut guards = GuardSupport::full();
    if profile != Profile::Fast && rng.chance(100_000) {
        guards.network = false;
        guards.address = false;
    }
    guards
}

fn config(rng: &mut Rng, founders: usize, profile: Profile) -> (ClusterConfig, Vec<ResourceId>) {
    let witness = (founders >= 3 && rng.chance(200_000)).then(|| rng.index(founders));
    let nodes = (0..founders).map(|index| {
        let node = NodeConfig {
            addresses: addresses(index),
            witness: witness == Some(index),
            ..NodeConfig::default()
        };
        (Scenario::node_name(index), node)
    });
    let mut config = ClusterConfig {
        name: "sim".to_owned(),
        profile,
        timing: Timing::of(profile),
        nodes: nodes.collect(),
        ..ClusterConfig::default()
    };
    let mut names = Vec::new();
    for number in 1..=rng.range(2, 6) {
        let mut group = GroupConfig {
            prefer: prefer(rng, founders),
            priority: i64::try_from(rng.below(3)).unwrap_or(0),
            stickiness: i64::try_from(rng.below(3)).unwrap_or(0) * 100,
            ..GroupConfig::default()
        };
        for place in 1..=rng.range(1, 3) {
            let name = ResourceId::from(format!("g{number}r{place}"));
            let address = place == 1 && rng.chance(500_000);
            config
                .resources
                .insert(name.clone(), resource(number, address));
            group.members.push(name.clone());
            names.push(name);
        }
        config
            .groups
            .insert(GroupId::from(format!("g{number}")), group);
    }
    (config, names)
}

fn prefer(rng: &mut Rng, founders: usize) -> BTreeMap<NodeId, i64> {
    (0..founders)
        .filter_map(|index| {
            let score = i64::try_from(rng.below(4)).unwrap_or(0) * 50;
            (score > 0).then(|| (Scenario::node_name(index), score))
        })
        .collect()
}

fn resource(number: u64, address: bool) -> ResourceConfig {
    let kind = if address {
        ResourceKind::Vip(VipConfig {
            addresses: vec![format!("192.0.2.{number}/24")],
            interface: Some("eth0".to_owned()),
            gateway: None,
        })
    } else {
        ResourceKind::Process(ProcessConfig {
            command: vec!["serve".to_owned()],
            start_timeout: Micros::from_millis(5_000),
            stop_timeout: Micros::from_millis(1_000),
            stop_signal: 15,
            private_pids: true,
            ..ProcessConfig::default()
        })
    };
    ResourceConfig {
        kind,
        failure: FailurePolicy::default(),
        needs_fencing: false,
    }
}
