//! What an agent's exit code keeps from being tried again: on one node, or on all of them, until somebody has mended it.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod net;

use net::{Net, configs::web_on};
use standfast_model::{
    agent::Severity,
    config::ResourceKind,
    event::InstanceChange,
    id::{GroupId, MemberId, NodeId, ResourceId},
    request::{Request, Response},
    time::Micros,
};

/// Longer than failures count.
const LONG_MS: u64 = 90_000;

fn web_on_beta() -> Net {
    let mut net = Net::cluster(&["alpha", "beta", "gamma"]);
    let response = net.configure("alpha", |config| web_on(config, "beta"));
    assert!(matches!(response, Response::Done { .. }));
    net.run(2000);
    assert_eq!(net.runs_on("web"), ["beta"]);
    net
}

fn says(net: &mut Net, node: &str, code: i32) {
    let why = format!("start: code {code}");
    net.report(node, "web", InstanceChange::AgentFailed { code, why });
}

fn cleanup(net: &mut Net) {
    let request = Request::Cleanup {
        group: GroupId::from("site"),
        author: "test".into(),
    };
    assert!(matches!(net.ask("alpha", request), Response::Done { .. }));
}

fn starts(net: &Net, node: &str) -> usize {
    let start = format!("{node}: web: start");
    let lines = net.log.iter();
    lines.filter(|line| line.contains(&start)).count()
}

/// Each of these codes moves the group at once, and none of them grows old; a cleanup ends it.
#[test]
fn a_hard_error_is_tried_once_and_holds_until_a_cleanup() {
    for code in [2, 3, 4, 5] {
        let mut net = web_on_beta();
        let before = starts(&net, "beta");
        says(&mut net, "beta", code);
        net.run(LONG_MS);
        let now = net.runs_on("web");
        assert!(now.len() == 1 && now != ["beta"], "{code}: {now:?}");
        assert_eq!(starts(&net, "beta"), before, "{}", net.log.join("\n"));
        // Where it is preferred, it may not run.
        let record = |net: &Net| {
            let state = &net.core("alpha").inspect().state;
            let record = &state.failures[&ResourceId::from("web")][&NodeId::from("beta")];
            (record.count, record.severity)
        };
        assert_eq!(record(&net), (1, Severity::Hard), "{code}");
        cleanup(&mut net);
        net.run(1000);
        assert_eq!(record(&net), (0, Severity::Soft), "{code}");
        let request = Request::Switchover {
            group: GroupId::from("site"),
            to: Some(NodeId::from("beta")),
            author: "test".into(),
        };
        assert!(matches!(net.ask("alpha", request), Response::Done { .. }));
        net.run(2000);
        assert_eq!(
            net.runs_on("web"),
            ["beta"],
            "{code}: {}",
            net.log.join("\n")
        );
    }
}

/// An ordinary error is tried again on the spot.
#[test]
fn a_soft_error_is_tried_again() {
    for code in [1, 7, 8, 9, 191, 255] {
        let mut net = web_on_beta();
        says(&mut net, "beta", code);
        net.run(2000);
        assert_eq!(
            net.runs_on("web"),
            ["beta"],
            "{code}: {}",
            net.log.join("\n")
        );
    }
}

/// What is wrong in the configuration stops the group, and nothing else brings it back than another one, or a cleanup.
#[test]
fn a_fatal_error_ends_the_search_for_a_node() {
    let mut net = web_on_beta();
    let before: usize = ["alpha", "beta", "gamma"]
        .iter()
        .map(|n| starts(&net, n))
        .sum();
    says(&mut net, "beta", 6);
    net.run(LONG_MS);
    assert_eq!(net.runs_on("web"), [""; 0], "{}", net.log.join("\n"));
    let after: usize = ["alpha", "beta", "gamma"]
        .iter()
        .map(|n| starts(&net, n))
        .sum();
    assert_eq!(before, after, "{}", net.log.join("\n"));
    let plan = &net.core("alpha").inspect().state.plan;
    let reasons = &plan.groups[&GroupId::from("site")].reasons;
    for node in ["alpha", "beta", "gamma"] {
        let text = "web cannot run anywhere as it is configured (found on beta): start: code 6";
        let told = reasons
            .iter()
            .any(|r| r.node.as_ref().is_some_and(|n| n.as_str() == node) && r.text == text);
        assert!(told, "{node}: {reasons:?}");
    }

    // What is changed elsewhere in the configuration is no reason to try again.
    let response = net.configure("alpha", |config| {
        let web = config.resources.get_mut(&ResourceId::from("web")).unwrap();
        web.failure.threshold = 7;
    });
    assert!(matches!(response, Response::Done { .. }));
    net.run(2000);
    assert_eq!(net.runs_on("web"), [""; 0], "{}", net.log.join("\n"));

    let response = net.configure("alpha", |config| {
        let web = config.resources.get_mut(&ResourceId::from("web")).unwrap();
        let ResourceKind::Process(process) = &mut web.kind else {
            panic!("a process")
        };
        process.stop_timeout = Micros::from_millis(7000);
    });
    assert!(matches!(response, Response::Done { .. }));
    net.run(2000);
    assert_eq!(net.runs_on("web"), ["beta"], "{}", net.log.join("\n"));
    let journal = &net.core("alpha").inspect().state.journal;
    let line = "failures of web on beta no longer count: its configuration has changed";
    assert!(journal.iter().any(|entry| entry.text == line));
}

/// The record is the cluster's: neither another leader nor an agent that starts anew forgets it.
#[test]
fn a_hard_error_outlives_leaders_and_agents() {
    let mut net = web_on_beta();
    says(&mut net, "beta", 5);
    net.run(3000);
    net.kill_agent("beta");
    net.run(3000);
    net.start_agent("beta", MemberId(2));
    net.run(LONG_MS);
    let leader = net.leader().unwrap();
    net.crash(&leader);
    net.run(10_000);
    let now = net.runs_on("web");
    assert!(!now.contains(&"beta".to_owned()), "{}", net.log.join("\n"));
}
