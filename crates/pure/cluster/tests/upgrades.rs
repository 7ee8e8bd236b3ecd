//! Scenarios of rolling upgrades: one agent at a time, and a feature level that rises with the last of them.
#![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

mod net;

use net::{Net, configs::web_on};
use standfast_model::{
    FEATURE_LEVEL,
    config::Mode,
    id::{MemberId, NodeId},
    request::{Refusal, RefusalKind, Request, Response},
};

/// Before drafts and observing.
const PREVIOUS: u32 = 1;
const NODES: [&str; 3] = ["alpha", "beta", "gamma"];

/// Three nodes with the previous feature level.
fn previous() -> Net {
    let mut net = Net::at_level(NODES[0], PREVIOUS);
    for name in &NODES[1..] {
        net.join(NODES[0], name);
    }
    net.run(1000);
    net
}

fn level(net: &Net, node: &str) -> u32 {
    net.core(node).inspect().state.level()
}

fn ask(net: &mut Net, through: &str, node: &str) -> Response {
    let request = Request::AskRestart {
        node: NodeId::from(node),
        author: "root".to_owned(),
    };
    net.ask(through, request)
}

fn draft(net: &mut Net, through: &str) -> Response {
    let request = Request::Draft {
        name: "next".to_owned(),
        text: Some("[cluster]\nname = \"x\"\n".to_owned()),
        author: "root".to_owned(),
        reason: String::new(),
    };
    net.ask(through, request)
}

/// An older program would read this as a configuration to act on.
fn observe(net: &mut Net, through: &str) -> Response {
    net.configure(through, |config| config.mode = Mode::Observe)
}

/// The agent that was asked ends, and one of the new build takes its place.
fn renew(net: &mut Net, node: &str) {
    for _ in 0..20_000 {
        if net.may_end.contains(&NodeId::from(node)) {
            break;
        }
        net.run(1);
    }
    assert!(
        net.may_end.contains(&NodeId::from(node)),
        "{}",
        net.log.join("\n")
    );
    net.kill_agent(node);
    net.run(100);
    let place = NODES.iter().position(|name| *name == node).unwrap();
    net.start_agent(node, MemberId(u64::try_from(place).unwrap() + 1));
    net.run(4000);
}

fn refused(response: Response) -> Refusal {
    match response {
        Response::Refused(refusal) => refusal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_level_rises_with_the_last_agent_and_not_before() {
    let mut net = previous();
    assert_eq!(level(&net, "beta"), PREVIOUS);
    net.level = FEATURE_LEVEL;
    for node in NODES {
        let refusal = refused(draft(&mut net, "beta"));
        assert_eq!(refusal.kind, RefusalKind::Unsafe);
        assert_eq!(refused(observe(&mut net, "beta")), refusal);
        assert!(
            refusal.text.contains("standfast upgrade"),
            "{}",
            refusal.text
        );
        assert_eq!(level(&net, "beta"), PREVIOUS);
        let through = if node == "alpha" { "beta" } else { "alpha" };
        assert!(matches!(
            ask(&mut net, through, node),
            Response::Done { .. }
        ));
        renew(&mut net, node);
    }
    for node in NODES {
        assert_eq!(level(&net, node), FEATURE_LEVEL, "{node}");
    }
    assert!(matches!(draft(&mut net, "gamma"), Response::Done { .. }));
    assert!(matches!(observe(&mut net, "gamma"), Response::Done { .. }));
}

#[test]
fn a_second_agent_is_not_restarted_while_the_first_is_or_a_node_is_missing() {
    let mut net = previous();
    assert!(matches!(
        ask(&mut net, "alpha", "beta"),
        Response::Done { .. }
    ));
    let refusal = refused(ask(&mut net, "alpha", "gamma"));
    assert_eq!(refusal.kind, RefusalKind::Stale, "{}", refusal.text);
    renew(&mut net, "beta");
    net.crash("gamma");
    net.run(3000);
    let refusal = refused(ask(&mut net, "alpha", "beta"));
    assert_eq!(refusal.kind, RefusalKind::Unsafe);
    assert!(refusal.text.contains("gamma"), "{}", refusal.text);
}

#[test]
fn a_leader_leads_no_more_when_it_restarts() {
    let mut net = previous();
    let leader = net.leader().unwrap();
    let other = NODES.iter().find(|node| **node != leader).unwrap();
    assert!(matches!(
        ask(&mut net, other, &leader),
        Response::Done { .. }
    ));
    for _ in 0..8000 {
        if net.may_end.contains(&NodeId::from(leader.as_str())) {
            break;
        }
        net.run(1);
    }
    assert!(net.leader().is_some_and(|new| new != leader));
}

#[test]
fn a_build_that_knows_less_than_the_cluster_uses_ends_at_once() {
    let mut net = previous();
    net.level = FEATURE_LEVEL;
    for node in NODES {
        ask(&mut net, "alpha", node);
        renew(&mut net, node);
    }
    net.kill_agent("beta");
    net.level = PREVIOUS;
    net.start_agent("beta", MemberId(2));
    net.run(2000);
    assert!(net.may_end.contains(&NodeId::from("beta")));
    let said = net
        .log
        .iter()
        .any(|line| line.contains("a downgrade below it"));
    assert!(said, "{}", net.log.join("\n"));
    assert_eq!(level(&net, "alpha"), FEATURE_LEVEL);
}

/// A service on that node, and nothing else.
fn serve_on(net: &mut Net, node: &str) {
    let response = net.configure("alpha", |config| web_on(config, node));
    assert!(matches!(response, Response::Done { .. }), "{response:?}");
    net.run(2000);
    assert_eq!(net.runs_on("web"), [node], "{}", net.log.join("\n"));
}

/// All agents are replaced, the leader's last, on disks that take so long for a write, microseconds. The service goes on.
fn upgrade_while_serving(serves: &str, fsync: u64) {
    let mut net = Net::cluster(&NODES);
    net.run(1000);
    serve_on(&mut net, serves);
    net.fsync = fsync;
    let leader = net.leader().unwrap();
    let others = NODES.iter().filter(|node| **node != leader);
    let mut order: Vec<String> = others.map(|node| (*node).to_owned()).collect();
    order.push(leader.clone());
    let before = net.starts;
    for node in order {
        let through = NODES.iter().find(|other| **other != node).unwrap();
        let response = ask(&mut net, through, &node);
        assert!(matches!(response, Response::Done { .. }), "{response:?}");
        renew(&mut net, &node);
        net.run(4000);
    }
    assert_eq!(net.runs_on("web"), [serves], "{}", net.log.join("\n"));
    let log = net.log.join("\n");
    assert_eq!(net.starts, before, "{fsync} us a write:\n{log}");
}

/// Leadership is given away when the leader's agent is replaced, and an election on slow disks took longer than the
/// leases that were given before it: the service was stopped and started anew.
#[test]
fn an_upgrade_on_slow_disks_starts_nothing_anew() {
    for serves in ["alpha", "gamma"] {
        for fsync in [100_000, 300_000] {
            upgrade_while_serving(serves, fsync);
        }
    }
}

/// The same without anybody else: an operator, or the service manager, restarts the leader's agent.
#[test]
fn a_leader_that_restarts_by_itself_on_a_slow_disk_starts_nothing_anew() {
    for fsync in [3_000, 200_000] {
        let mut net = Net::cluster(&NODES);
        net.run(1000);
        serve_on(&mut net, "alpha");
        let leader = net.leader().unwrap();
        net.fsync = fsync;
        let before = net.starts;
        let request = Request::Restart {
            author: "root".to_owned(),
        };
        let response = net.ask(&leader, request);
        assert!(matches!(response, Response::Done { .. }), "{response:?}");
        assert!(net.leader().is_some_and(|new| new != leader));
        renew(&mut net, &leader);
        let log = net.log.join("\n");
        assert_eq!(net.starts, before, "{fsync} us a write:\n{log}");
    }
}

/// What programs of feature level 2 hand on to a leader, and what they understand when it is handed to them.
#[test]
fn requests_of_the_level_before_are_understood_and_spoken() {
    let said = [
        r#""restart""#,
        r#""leave""#,
        r#"{"ask-restart":{"node":"beta","author":"root"}}"#,
        r#"{"switchover":{"group":"site","to":null,"author":"root"}}"#,
        r#"{"drain":{"node":"beta","drained":true,"author":"root"}}"#,
        r#"{"cleanup":{"group":"site","author":"root"}}"#,
        r#"{"remove":{"node":"beta","author":"root"}}"#,
        r#"{"keys":{"node":"beta","keys":["a","b"],"force":false}}"#,
        r#"{"draft":{"name":"next","text":null,"author":"root","reason":""}}"#,
        r#"{"join":{"node":"delta","addresses":[],"offer":{"key":"k","feature_level":2,"witness":false}}}"#,
    ];
    for text in said {
        let request: Result<Request, _> = serde_json::from_str(text);
        assert!(request.is_ok(), "{text}: {request:?}");
    }
    let request = Request::Restart {
        author: "root".to_owned(),
    };
    let handed_on = serde_json::to_string(&request.clone().for_level(2)).unwrap();
    assert_eq!(handed_on, r#""restart""#);
    assert_eq!(request.clone().for_level(FEATURE_LEVEL), request);
}

/// Everybody was there when the agent was asked; then another node is lost before it has restarted.
#[test]
fn an_agent_that_was_asked_waits_while_another_node_is_lost() {
    let mut net = Net::cluster(&NODES);
    net.run(1000);
    serve_on(&mut net, "alpha");
    let leader = net.leader().unwrap();
    let mut others = NODES.iter().filter(|node| **node != leader);
    let (lost, other) = (others.next().unwrap(), others.next().unwrap());
    let response = ask(&mut net, other, &leader);
    assert!(matches!(response, Response::Done { .. }), "{response:?}");
    net.crash(lost);
    let asked = NodeId::from(leader.as_str());
    for _ in 0..15 {
        net.run(1000);
        assert!(!net.may_end.contains(&asked), "{}", net.log.join("\n"));
    }
    let place = NODES.iter().position(|name| name == lost).unwrap();
    net.start_agent(lost, MemberId(u64::try_from(place).unwrap() + 1));
    net.run(8000);
    assert!(net.may_end.contains(&asked), "{}", net.log.join("\n"));
}
