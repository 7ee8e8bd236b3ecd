//! What is simulated is what happens: each scenario is imagined first, and then done.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod net;

use net::{
    Net,
    configs::{process, web_on},
    pairs::{device, pair},
};
use standfast_cluster::replay;
use standfast_model::{
    config::{FailurePolicy, GroupConfig},
    event::InstanceChange,
    fence::FenceDevice,
    id::{GroupId, NodeId, ResourceId},
    order::Order,
    pair::Arbiter,
    request::{RefusalKind, Request, Response, View},
    simulation::{Imagined, Simulation, Stage},
    time::Micros,
};
use std::collections::BTreeMap;

const NODES: [&str; 3] = ["alpha", "beta", "gamma"];

fn cluster() -> Net {
    let mut net = Net::cluster(&NODES);
    net.must_configure(|config| {
        web_on(config, "beta");
        config.resources.insert("db".into(), process("db"));
        let group = GroupConfig {
            members: vec!["db".into()],
            prefer: BTreeMap::from([("gamma".into(), 100)]),
            ..GroupConfig::default()
        };
        config.groups.insert("store".into(), group);
    });
    net.run(3000);
    net
}

fn simulate(net: &mut Net, imagined: Vec<Imagined>) -> Simulation {
    match net.ask("alpha", Request::Simulate { imagined }) {
        Response::Simulation(simulation) => *simulation,
        other => panic!("{other:?}"),
    }
}

fn lost(nodes: &[&str]) -> Imagined {
    let nodes = nodes.iter().map(|node| (*node).into()).collect();
    Imagined::NodesLost { nodes }
}

fn fails(resource: &str) -> Imagined {
    let resource = resource.into();
    Imagined::ResourceFails { resource }
}

fn place(stage: &Stage, group: &str) -> Vec<String> {
    let place = stage.places.get(&GroupId::from(group)).cloned().flatten();
    place.iter().map(ToString::to_string).collect()
}

/// How long a group is away.
fn away(stage: &Stage, group: &str) -> Option<Micros> {
    let mut found = stage.interruptions.iter();
    found.find(|found| found.group.as_str() == group)?.length
}

fn view(net: &mut Net) -> View {
    match net.ask("alpha", Request::View) {
        Response::View(view) => *view,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_kept_is_decided_again_without_a_cluster() {
    let mut net = cluster();
    let mut config = net.core("alpha").inspect().state.config.clone();
    config
        .groups
        .get_mut(&GroupId::from("store"))
        .unwrap()
        .prefer = BTreeMap::from([("alpha".into(), 1_000)]);
    let config = Box::new(config);
    let all: Vec<Vec<Imagined>> = vec![
        vec![Imagined::Time { wall_ms: 0 }],
        vec![lost(&["alpha"])],
        vec![lost(&["beta"]), lost(&["gamma"])],
        vec![
            Imagined::Apply { config },
            fails("db"),
            lost(&["beta", "gamma"]),
        ],
    ];
    for imagined in all {
        let kept = serde_json::to_string(&view(&mut net)).unwrap();
        let said = simulate(&mut net, imagined.clone());
        let kept: View = serde_json::from_str(&kept).unwrap();
        assert_eq!(replay(&kept, &imagined).unwrap(), said, "{imagined:?}");
    }
}

#[test]
fn what_was_ordered_for_a_time_is_over_then() {
    let mut net = cluster();
    let order = Order::Ban {
        node: "gamma".into(),
        lifetime_ms: Some(3_600_000),
    };
    let group = "store".into();
    let author = String::from("op");
    net.ask(
        "alpha",
        Request::Order {
            group,
            order,
            author,
        },
    );
    net.run(3000);
    let kept = view(&mut net);
    let wish = kept.state.orders[&GroupId::from("store")].wishes[0].clone();
    let until = wish.until_ms.unwrap();
    let at = |wall_ms| replay(&kept, &[Imagined::Time { wall_ms }]).unwrap().stages[0].clone();
    assert_ne!(place(&at(until - 1), "store"), ["gamma"]);
    let later = at(until);
    assert_eq!(
        later.what,
        "it is decided again: store is no longer kept away from gamma"
    );
    assert_eq!(place(&later, "store"), ["gamma"]);
    let late = replay(&kept, &[lost(&["beta"]), Imagined::Time { wall_ms: 1 }]);
    assert_eq!(late.unwrap_err().kind, RefusalKind::Invalid);
}

#[test]
fn a_lost_node_ends_as_it_was_simulated_and_takes_as_long() {
    for node in NODES {
        let mut net = cluster();
        let state = net.core("alpha").inspect().state.clone();
        let said = simulate(&mut net, vec![lost(&[node])]);
        assert_eq!(
            net.core("alpha").inspect().state.plan,
            state.plan,
            "a simulation changes nothing"
        );
        let stage = &said.stages[0];
        net.crash(node);
        let begun = net.now;
        let mut back = None;
        while net.now < begun + 3_000_000 {
            net.run(10);
            let runs = |resource| !net.runs_on(resource).is_empty();
            if back.is_none() && net.now > begun + 300_000 && runs("web") && runs("db") {
                back = Some(net.now - begun);
            }
        }
        for (group, resource) in [("site", "web"), ("store", "db")] {
            assert_eq!(
                place(stage, group),
                net.runs_on(resource),
                "{node}: {stage:?}"
            );
        }
        let Some(said) = away(stage, "site").or(away(stage, "store")) else {
            assert!(stage.steps.is_empty(), "{stage:?}");
            continue;
        };
        let took = back.unwrap();
        // Predicted is the median: an election and a heartbeat lie between the quickest and the slowest.
        assert!(took.abs_diff(said.0) < 400_000, "{took} µs, said: {said:?}");
    }
}

#[test]
fn one_loss_after_the_other_ends_where_no_majority_is_left() {
    let mut net = cluster();
    let said = simulate(&mut net, vec![lost(&["beta"]), lost(&["alpha"])]);
    let [one, other] = said.stages.as_slice() else {
        panic!("{said:?}");
    };
    assert_eq!(place(one, "site").len(), 1, "{one:?}");
    assert_eq!(place(other, "site"), [""; 0], "{other:?}");
    assert_eq!(
        place(other, "store"),
        [""; 0],
        "what ran on ends with its lease"
    );
    assert!(other.warnings.iter().any(|text| text.contains("majority")));
    assert!(said.length >= one.length);
    net.crash("beta");
    net.run(3000);
    net.crash("alpha");
    net.run(3000);
    assert_eq!(net.runs_on("web"), [""; 0]);
    assert_eq!(net.runs_on("db"), [""; 0]);
}

#[test]
fn two_nodes_at_once_are_one_stage() {
    let mut net = cluster();
    let said = simulate(&mut net, vec![lost(&["beta", "gamma"])]);
    assert_eq!(said.stages.len(), 1);
    assert_eq!(said.stages[0].what, "beta and gamma are lost at once");
    assert_eq!(place(&said.stages[0], "site"), [""; 0]);
}

#[test]
fn failures_restart_a_resource_and_the_last_one_moves_it() {
    let mut net = cluster();
    let threshold = FailurePolicy::default().threshold;
    let all: Vec<Imagined> = (0..threshold).map(|_| fails("web")).collect();
    let said = simulate(&mut net, all);
    let (last, before) = said.stages.split_last().unwrap();
    for stage in before {
        assert_eq!(place(stage, "site"), ["beta"], "{stage:?}");
        assert!(
            stage.steps.iter().all(|step| !step.what.contains("stop")),
            "it has ended already: {stage:?}"
        );
    }
    assert_eq!(
        away(&before[0], "site"),
        Some(Micros(20_000)),
        "as it was measured"
    );
    let waits = |stage: &Stage| stage.steps.iter().any(|step| step.what.contains("wait"));
    assert!(!waits(&before[0]) && waits(&before[1]), "{before:?}");
    assert_ne!(place(last, "site"), ["beta"], "{last:?}");
    for _ in 0..threshold {
        net.report("beta", "web", InstanceChange::Exited("killed".into()));
        net.run(1500);
    }
    assert_eq!(net.runs_on("web"), place(last, "site"));
}

#[test]
fn what_is_asked_for_is_tried_and_refused_as_in_earnest() {
    let mut net = cluster();
    let switch = |to: &str| Request::Switchover {
        group: "site".into(),
        to: Some(NodeId::from(to)),
        author: "test".into(),
    };
    let tried = |request| {
        let request = Box::new(request);
        vec![Imagined::Asked { request }]
    };
    let said = simulate(&mut net, tried(switch("alpha")));
    let stage = &said.stages[0];
    assert_eq!(place(stage, "site"), ["alpha"]);
    assert_eq!(net.runs_on("web"), ["beta"], "only tried");
    let imagined = tried(switch("delta"));
    let refused = net.ask("alpha", Request::Simulate { imagined });
    assert_eq!(refused, net.ask("alpha", switch("delta")));
    let Response::Done { .. } = net.ask("alpha", switch("alpha")) else {
        panic!("refused");
    };
    net.run(2000);
    assert_eq!(net.runs_on("web"), place(stage, "site"));
}

#[test]
fn a_configuration_comes_first_and_then_its_failures() {
    let mut net = cluster();
    let mut config = net.core("alpha").inspect().state.config.clone();
    config.resources.remove(&ResourceId::from("web"));
    config.groups.remove(&GroupId::from("site"));
    let apply = Imagined::Apply {
        config: Box::new(config),
    };
    let said = simulate(&mut net, vec![apply.clone(), lost(&["gamma"])]);
    assert!(!said.stages[0].places.contains_key(&GroupId::from("site")));
    assert_ne!(place(&said.stages[1], "store"), ["gamma"]);
    let late = Request::Simulate {
        imagined: vec![lost(&["gamma"]), apply],
    };
    let Response::Refused(refusal) = net.ask("alpha", late) else {
        panic!("not refused");
    };
    assert_eq!(refusal.kind, RefusalKind::Invalid);
}

#[test]
fn what_is_not_there_cannot_fail() {
    let mut net = cluster();
    let mut kind = |imagined: Imagined| {
        let request = Request::Simulate {
            imagined: vec![imagined],
        };
        match net.ask("alpha", request) {
            Response::Refused(refusal) => refusal.kind,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(kind(lost(&["delta"])), RefusalKind::NoSuchItem);
    assert_eq!(kind(fails("mail")), RefusalKind::NoSuchItem);
    net.crash("beta");
    net.run(3000);
    let request = Request::Simulate {
        imagined: vec![lost(&["beta"])],
    };
    let Response::Refused(refusal) = net.ask("alpha", request) else {
        panic!("not refused");
    };
    assert_eq!(refusal.kind, RefusalKind::Exists);
}

/// What is fenced only when somebody asks for it: nobody knows when it is over.
#[test]
fn what_needs_fencing_counts_its_time_or_says_what_it_waits_for() {
    for manual in [false, true] {
        let mut net = cluster();
        net.must_configure(|config| {
            let nodes = NODES.iter().map(|node| ((*node).into(), None));
            let device = FenceDevice {
                nodes: nodes.collect(),
                ..device()
            };
            config.fencing.devices.insert("power".into(), device);
            config.fencing.manual = manual;
            let web = config.resources.get_mut(&ResourceId::from("web"));
            web.unwrap().needs_fencing = true;
        });
        net.run(3000);
        let said = simulate(&mut net, vec![lost(&["beta"])]);
        let stage = &said.stages[0];
        assert_ne!(place(stage, "site"), ["beta"], "{stage:?}");
        let fenced = stage.steps.iter().any(|step| step.what == "fencing");
        assert!(fenced, "{stage:?}");
        assert_eq!(away(stage, "site").is_none(), manual, "{stage:?}");
        let told = stage
            .warnings
            .iter()
            .any(|text| text.contains("fence confirm beta"));
        assert_eq!(told, manual, "{stage:?}");
    }
}

/// The arbiter says whether the other one goes on; nobody knows how long it takes.
#[test]
fn in_a_pair_the_arbiter_decides() {
    for (arbiter, place_then) in [(Arbiter::Fence, Some("beta")), (Arbiter::None, None)] {
        let mut net = pair(arbiter);
        for asked in ["alpha", "beta"] {
            let imagined = vec![lost(&["alpha"])];
            let response = net.ask(asked, Request::Simulate { imagined });
            let Response::Simulation(said) = response else {
                panic!("{response:?}");
            };
            let stage = &said.stages[0];
            assert_eq!(
                place(stage, "web"),
                place_then.into_iter().collect::<Vec<_>>()
            );
            assert_eq!(away(stage, "web"), None, "{stage:?}");
            let told = stage.warnings.iter().any(|text| text.contains("arbiter"));
            assert!(told, "{stage:?}");
        }
        let said = match net.ask(
            "alpha",
            Request::Simulate {
                imagined: vec![lost(&["beta"])],
            },
        ) {
            Response::Simulation(said) => said,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            place(&said.stages[0], "web"),
            ["alpha"],
            "the primary goes on"
        );
    }
}
