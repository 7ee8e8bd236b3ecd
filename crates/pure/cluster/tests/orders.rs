//! Orders of operators: what they do, that they outlive leaders, and that their time ends by itself.
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
};
use standfast_model::{
    id::{GroupId, NodeId, ResourceId},
    order::Order,
    request::{RefusalKind, Request, Response},
    simulation::Imagined,
};

/// Group `site` of `web` on beta.
fn cluster() -> Net {
    let mut net = Net::cluster(&["alpha", "beta", "gamma"]);
    net.must_configure(|config| web_on(config, "beta"));
    net.run(2000);
    assert_eq!(net.runs_on("web"), ["beta"]);
    net
}

fn request(order: Order) -> Request {
    Request::Order {
        group: "site".into(),
        order,
        author: "ada".into(),
    }
}

fn give(net: &mut Net, order: Order) {
    let response = net.ask("alpha", request(order));
    assert!(matches!(response, Response::Done { .. }), "{response:?}");
    net.run(1500);
}

fn refused(net: &mut Net, order: Order) -> RefusalKind {
    match net.ask("alpha", request(order)) {
        Response::Refused(refusal) => refusal.kind,
        other => panic!("{other:?}"),
    }
}

fn node(name: &str) -> NodeId {
    name.into()
}

/// Whether nothing is ordered any more, on every node that is there.
fn nothing_left(net: &Net) -> bool {
    let mut cores = net.cores.values();
    cores.all(|core| core.inspect().state.orders.is_empty())
}

#[test]
fn a_disabled_group_runs_nowhere_until_it_is_enabled() {
    let mut net = cluster();
    give(&mut net, Order::Disable);
    assert_eq!(net.runs_on("web"), [""; 0]);
    assert_eq!(refused(&mut net, Order::Disable), RefusalKind::Exists);
    assert_eq!(
        refused(&mut net, Order::Restart { from: None }),
        RefusalKind::Unsafe
    );
    let service = net.core("alpha").inspect().state.service[&GroupId::from("site")].clone();
    assert_eq!(
        (service.on, service.open),
        (None, None),
        "that is no outage"
    );
    let leader = net.leader().unwrap();
    net.crash(&leader);
    net.run(4000);
    assert_eq!(net.runs_on("web"), [""; 0], "whoever leads");
    let left = ["alpha", "beta", "gamma"]
        .into_iter()
        .find(|n| *n != leader)
        .unwrap();
    let response = net.ask(left, request(Order::Enable));
    assert!(matches!(response, Response::Done { .. }), "{response:?}");
    net.run(2000);
    assert_eq!(net.runs_on("web").len(), 1, "{}", net.log.join("\n"));
    assert_eq!(
        net.core(left).inspect().state.service[&GroupId::from("site")]
            .totals
            .len(),
        0
    );
}

#[test]
fn a_restart_gives_another_instance_on_the_same_node_once() {
    let mut net = cluster();
    let since = |net: &Net| {
        let state = net.core("alpha").inspect().state;
        let report = &state.nodes[&node("beta")].report;
        report.instances[&ResourceId::from("web")].since
    };
    let (before, starts) = (since(&net), net.starts);
    give(&mut net, Order::Restart { from: None });
    assert_eq!(net.runs_on("web"), ["beta"]);
    assert_eq!(net.starts, starts + 1, "{}", net.log.join("\n"));
    assert!(since(&net) > before);
    net.run(5000);
    assert_eq!(net.starts, starts + 1, "once");
    let journal = &net.core("alpha").inspect().state.journal;
    let told = journal
        .iter()
        .filter(|e| e.text == "site is restarted on beta");
    assert_eq!(told.count(), 1, "{journal:?}");
    assert!(nothing_left(&net));
    let service = &net.core("alpha").inspect().state.service[&GroupId::from("site")];
    let last = service.last.back().unwrap();
    assert_eq!(last.cause, standfast_model::outage::Cause::Planned);
}

#[test]
fn a_restart_of_a_member_leaves_those_before_it_alone() {
    let mut net = cluster();
    net.must_configure(|config| {
        config.resources.insert("mail".into(), process("mail"));
        let group = config.groups.get_mut(&GroupId::from("site")).unwrap();
        group.members.push("mail".into());
    });
    net.run(2000);
    let starts = net.starts;
    let from = |name: &str| Order::Restart {
        from: Some(name.into()),
    };
    give(&mut net, from("mail"));
    assert_eq!(net.starts, starts + 1);
    give(&mut net, from("web"));
    assert_eq!(net.starts, starts + 3);
    assert_eq!(refused(&mut net, from("db")), RefusalKind::NoSuchItem);
}

#[test]
fn a_group_is_kept_on_a_node_for_its_time_whoever_leads() {
    let mut net = cluster();
    // It goes back to where it is preferred as soon as it may.
    net.must_configure(|config| {
        let group = config.groups.get_mut(&GroupId::from("site")).unwrap();
        group.stickiness = 0;
    });
    net.run(1000);
    let keep = Order::Keep {
        node: node("alpha"),
        lifetime_ms: Some(30_000),
    };
    give(&mut net, keep);
    let given_at = net.now;
    assert_eq!(net.runs_on("web"), ["alpha"], "{}", net.log.join("\n"));
    net.crash("gamma");
    net.run(4000);
    assert_eq!(net.runs_on("web"), ["alpha"], "it is not over");
    net.power_on("gamma", standfast_model::id::MemberId(3));
    while net.now < given_at + 27_000_000 {
        net.run(500);
        assert_eq!(net.runs_on("web"), ["alpha"], "it is not over");
    }
    net.run(5000);
    assert_eq!(net.runs_on("web"), ["beta"], "{}", net.log.join("\n"));
    assert!(nothing_left(&net));
    let journal = &net.core("alpha").inspect().state.journal;
    let ends = journal
        .iter()
        .filter(|e| e.text.contains("the time that ada gave is over"));
    assert_eq!(ends.count(), 1, "{journal:?}");
}

#[test]
fn a_node_that_cannot_run_it_keeps_nothing() {
    let mut net = cluster();
    let keep = Order::Keep {
        node: node("gamma"),
        lifetime_ms: Some(600_000),
    };
    give(&mut net, keep);
    assert_eq!(net.runs_on("web"), ["gamma"]);
    net.crash("gamma");
    net.run(3000);
    assert_eq!(net.runs_on("web").len(), 1, "elsewhere");
}

#[test]
fn a_ban_moves_a_group_away_until_it_is_cleared_and_a_switchover_forgets_where_it_was_kept() {
    let mut net = cluster();
    let ban = |name: &str| Order::Ban {
        node: node(name),
        lifetime_ms: None,
    };
    give(&mut net, ban("beta"));
    give(&mut net, ban("gamma"));
    assert_eq!(net.runs_on("web"), ["alpha"]);
    give(&mut net, ban("alpha"));
    assert_eq!(net.runs_on("web"), [""; 0], "nowhere to go");
    give(
        &mut net,
        Order::Clear {
            node: Some(node("gamma")),
        },
    );
    assert_eq!(net.runs_on("web"), ["gamma"]);
    let keep = Order::Keep {
        node: node("beta"),
        lifetime_ms: None,
    };
    give(&mut net, keep);
    assert_eq!(net.runs_on("web"), ["beta"], "the later order counts");
    let switch = Request::Switchover {
        group: "site".into(),
        to: Some(node("gamma")),
        author: "ada".into(),
    };
    assert!(matches!(net.ask("alpha", switch), Response::Done { .. }));
    net.run(3000);
    assert_eq!(net.runs_on("web"), ["gamma"]);
    give(&mut net, Order::Clear { node: None });
    assert!(nothing_left(&net));
    assert_eq!(
        net.runs_on("web"),
        ["gamma"],
        "clearing moves nothing by itself"
    );
}

#[test]
fn orders_go_with_what_they_are_about() {
    let mut net = cluster();
    give(&mut net, Order::Disable);
    net.must_configure(|config| {
        config.groups.clear();
        config.resources.clear();
    });
    net.run(1000);
    assert!(nothing_left(&net));
    assert_eq!(refused(&mut net, Order::Enable), RefusalKind::NoSuchItem);
    let over = Order::Over { index: 1 };
    net.must_configure(|config| web_on(config, "beta"));
    assert_eq!(refused(&mut net, over), RefusalKind::Invalid);
    let ban = Order::Ban {
        node: node("delta"),
        lifetime_ms: None,
    };
    assert_eq!(refused(&mut net, ban), RefusalKind::NoSuchItem);
    net.must_configure(|config| config.maintenance = true);
    net.run(1000);
    assert_eq!(refused(&mut net, Order::Disable), RefusalKind::Unsafe);
}

#[test]
fn nobody_is_given_an_order_that_a_member_cannot_read() {
    let mut net = Net::at_level("alpha", 2);
    net.run(1000);
    net.must_configure(|config| web_on(config, "alpha"));
    net.run(1000);
    assert_eq!(refused(&mut net, Order::Disable), RefusalKind::Unsafe);
    assert_eq!(net.runs_on("web"), ["alpha"]);
}

#[test]
fn a_dry_run_of_an_order_says_what_it_then_does() {
    let mut net = cluster();
    let orders = [
        (Order::Restart { from: None }, Some("beta")),
        (Order::Disable, None),
    ];
    for (order, place) in orders {
        let imagined = vec![Imagined::Asked {
            request: Box::new(request(order.clone())),
        }];
        let Response::Simulation(said) = net.ask("gamma", Request::Simulate { imagined }) else {
            panic!("no simulation");
        };
        let stage = &said.stages[0];
        assert!(
            stage.steps[0].what.starts_with("stop web on beta"),
            "{stage:?}"
        );
        let then = stage.places[&GroupId::from("site")]
            .as_ref()
            .map(NodeId::as_str);
        assert_eq!(then, place);
        assert_eq!(net.runs_on("web"), ["beta"], "only said");
        give(&mut net, order);
        assert_eq!(net.runs_on("web"), place.into_iter().collect::<Vec<_>>());
    }
}
