//! Scenarios of a pair begin here: alpha and beta with a service on alpha, and what is done to them.

use super::{DELAY, Net, first_disk};
use standfast_model::{
    FEATURE_LEVEL,
    config::{
        ClusterConfig, GroupConfig, NodeConfig, ProcessConfig, Profile, ResourceConfig,
        ResourceKind,
    },
    event::Event,
    fence::FenceDevice,
    fence_act::FenceResult,
    id::{DeviceId, GroupId, NodeId, ResourceId},
    message::LogSnapshot,
    pair::{
        Arbiter, BootPolicy, PairConfig, PairOrder, PairView, PingConfig, PingOrder, PingRound,
        Survivor,
    },
    request::{Request, Response},
    state::ClusterState,
    time::Micros,
};
use std::collections::BTreeMap;

pub(crate) fn settings(arbiter: Arbiter) -> PairConfig {
    let (keep_alive, misses, downtime) = PairConfig::timing(Profile::Lan);
    PairConfig {
        nodes: ["alpha", "beta"].map(NodeId::from),
        arbiter,
        keep_alive,
        misses,
        downtime,
        drift_ppm: 10_000,
        survivor: Survivor::Primary,
        fence_delay: Micros::from_millis(500),
        fence_random_delay: Micros::ZERO,
        fence_retry: Micros::from_millis(5_000),
        boot: BootPolicy::Automatic,
        failback: false,
        addresses_file: None,
        ping: None,
    }
}

/// The same with ping targets: three pings, 200 ms apart.
pub(crate) fn with_targets() -> PairConfig {
    PairConfig {
        ping: Some(PingConfig {
            iterations: 3,
            interval: Micros::from_millis(200),
            gateway: "10.0.0.254".to_owned(),
            targets: vec!["10.0.1.1".to_owned()],
        }),
        ..settings(Arbiter::Ping)
    }
}

impl Net {
    /// A round of pings: who answers does so at once, and nobody else before its time is over.
    pub(super) fn pinged(&mut self, node: &NodeId, order: &PingOrder) {
        let cut = |one: &NodeId| self.cut.contains(one);
        let mut others = self.cores.keys().filter(|other| *other != node);
        let peer = !cut(node) && others.any(|other| !cut(other));
        let reached = !self.blind.contains(node);
        let targets = vec![false, reached];
        for (wait, over) in [(DELAY, false), (order.timeout.0, true)] {
            let round = PingRound {
                round: order.round,
                peer,
                targets: targets.clone(),
                over,
            };
            self.schedule(self.now + wait, node.clone(), Event::Pinged(round));
        }
    }
}

pub(crate) fn device() -> FenceDevice {
    FenceDevice {
        agent: "fence_test".to_owned(),
        parameters: BTreeMap::new(),
        secret_parameters: BTreeMap::new(),
        nodes: ["alpha", "beta"]
            .iter()
            .map(|n| (NodeId::from(*n), None))
            .collect(),
        timeout: Micros::from_millis(1000),
        retries: 0,
        delay: Micros::ZERO,
        monitor: Micros::from_millis(60_000),
    }
}

/// Two nodes with a service; alpha was the first.
pub(crate) fn pair(arbiter: Arbiter) -> Net {
    pair_with(&settings(arbiter))
}

/// The same, with other settings.
pub(crate) fn pair_with(settings: &PairConfig) -> Net {
    pair_at(FEATURE_LEVEL, settings)
}

/// The same, of programs that know that feature level.
pub(crate) fn pair_at(level: u32, settings: &PairConfig) -> Net {
    let arbiter = settings.arbiter;
    let mut disk = first_disk("alpha");
    let snapshot = disk.snapshot.take().unwrap();
    let mut state: ClusterState = serde_json::from_slice(&snapshot.data).unwrap();
    state.config.pair = Some(settings.clone());
    disk.snapshot = Some(LogSnapshot {
        data: serde_json::to_vec(&state).unwrap(),
        ..snapshot
    });
    let mut net = Net::with_disk("alpha", level, disk);
    net.join("alpha", "beta");
    let mut config: ClusterConfig = net.core("alpha").inspect().state.config.clone();
    config.nodes.insert("beta".into(), NodeConfig::default());
    if arbiter == Arbiter::Fence {
        config
            .fencing
            .devices
            .insert(DeviceId::from("power"), device());
    }
    let web = ResourceConfig {
        kind: ResourceKind::Process(ProcessConfig::default()),
        failure: Default::default(),
        needs_fencing: false,
    };
    config.resources.insert(ResourceId::from("web"), web);
    let group = GroupConfig {
        members: vec![ResourceId::from("web")],
        stickiness: 100,
        ..GroupConfig::default()
    };
    config.groups.insert(GroupId::from("web"), group);
    done(apply(&mut net, "alpha", config));
    net.run(1000);
    assert_eq!(net.runs_on("web"), ["alpha"], "{}", net.log.join("\n"));
    assert_state(&mut net, "alpha", "normal");
    assert_state(&mut net, "beta", "normal");
    net
}

pub(crate) fn apply(net: &mut Net, node: &str, config: ClusterConfig) -> Response {
    let request = Request::Apply {
        config: Box::new(config),
        text: String::new(),
        based_on: None,
        author: "t".to_owned(),
        reason: String::new(),
        draft: None,
    };
    net.ask(node, request)
}

/// Something that has to be in both copies.
pub(crate) fn change(net: &mut Net, node: &str, name: &str) -> Response {
    let mut config = net.core(node).inspect().state.config.clone();
    config.name = name.to_owned();
    apply(net, node, config)
}

pub(crate) fn done(response: Response) {
    assert!(matches!(response, Response::Done { .. }), "{response:?}");
}

pub(crate) fn view(net: &mut Net, node: &str) -> PairView {
    let Response::View(view) = net.ask(node, Request::View) else {
        panic!("no view")
    };
    view.pair.unwrap()
}

pub(crate) fn assert_state(net: &mut Net, node: &str, state: &str) {
    let view = view(net, node);
    assert_eq!(
        view.state,
        state,
        "{node}: {view:?}\n{}",
        net.log.join("\n")
    );
}

pub(crate) fn order(net: &mut Net, node: &str, order: PairOrder) -> Response {
    let author = "t".to_owned();
    net.ask(node, Request::Pair { order, author })
}

/// The same, and whoever asked is gone at once.
pub(crate) fn order_and_leave(net: &mut Net, node: &str, order: PairOrder) {
    let author = "t".to_owned();
    net.tell(node, Request::Pair { order, author });
}

/// What the fence device says to the newest order.
pub(crate) fn device_says(net: &mut Net, problem: &str) {
    let (executor, newest) = net.orders.last().cloned().unwrap();
    let result = FenceResult {
        id: newest.id,
        turn: newest.turn,
        problem: problem.to_owned(),
        note: String::new(),
        took: Micros::ZERO,
    };
    net.deliver(&executor, Event::Fenced(result));
}

pub(crate) fn name_of(net: &Net, node: &str) -> String {
    net.core(node).inspect().state.config.name.clone()
}

/// What a node knows of acts of fencing.
pub(crate) fn fenced(net: &Net, node: &str) -> Vec<String> {
    let acts = net.core(node).inspect().state.fences.iter();
    acts.map(|act| {
        let (outcome, by, why) = (act.outcome, &act.by, &act.why);
        format!("{outcome:?}: {by}, {why}: {}", act.tries.join("; "))
    })
    .collect()
}
