//! Scenarios of changed parameters that an agent takes over while its resource runs.
#![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

mod net;

use net::{Net, configs::web_on};
use standfast_model::{
    config::{AgentConfig, ClusterConfig, ProcessConfig, ResourceKind},
    event::{Event, InstanceChange},
    id::{MemberId, NodeId, ResourceId},
    request::{PlanPreview, Request, Response},
    time::Micros,
};

/// `web` of an agent that can take `live` over, and nothing else.
fn web(config: &mut ClusterConfig, live: &str, fixed: &str) {
    web_on(config, "beta");
    let parameters = [("live", live), ("fixed", fixed)];
    let parameters = parameters.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let agent = AgentConfig {
        name: "ocf:test:ours".to_owned(),
        parameters: parameters.into(),
        reloadable: ["live".to_owned()].into(),
        ..AgentConfig::default()
    };
    let resource = config.resources.get_mut(&ResourceId::from("web")).unwrap();
    resource.kind = ResourceKind::Process(ProcessConfig {
        agent: Some(Box::new(agent)),
        stop_timeout: Micros::from_millis(100),
        ..ProcessConfig::default()
    });
}

fn cluster() -> Net {
    let mut net = Net::cluster(&["alpha", "beta", "gamma"]);
    net.must_configure(|config| web(config, "a", "x"));
    net.run(2000);
    assert_eq!(net.runs_on("web"), ["beta"]);
    assert_eq!((net.starts, net.reconfigured.len()), (1, 0));
    net
}

fn say(net: &mut Net, change: InstanceChange) {
    let resource = ResourceId::from("web");
    net.deliver(&NodeId::from("beta"), Event::Instance { resource, change });
    net.run(1000);
}

/// Values of `live` that the driver was told, and whether each came with the right `fixed`.
fn told(net: &Net) -> Vec<&str> {
    let told = net.reconfigured.iter().map(|(node, kind)| {
        assert_eq!(node.as_str(), "beta");
        let ResourceKind::Process(process) = kind else {
            panic!("{kind:?}")
        };
        process.agent.as_ref().unwrap().parameters["live"].as_str()
    });
    told.collect()
}

fn journal(net: &Net) -> String {
    let journal = &net.core("alpha").inspect().state.journal;
    let lines = journal.iter().map(|entry| entry.text.as_str());
    lines.collect::<Vec<_>>().join("\n")
}

fn preview(net: &mut Net, change: impl FnOnce(&mut ClusterConfig)) -> PlanPreview {
    let leader = net.leader().unwrap();
    let mut config = net.core(&leader).inspect().state.config.clone();
    change(&mut config);
    match net.ask(
        &leader,
        Request::Plan {
            config: Box::new(config),
        },
    ) {
        Response::Plan(preview) => *preview,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_the_agent_can_take_over_stops_nothing() {
    let mut net = cluster();
    let since = net.core("beta").inspect().state.plan.clone();
    net.must_configure(|config| web(config, "b", "x"));
    net.run(5000);
    assert_eq!(told(&net), ["b"]);
    assert!(!journal(&net).contains("taken over"));
    say(&mut net, InstanceChange::Reloaded);
    assert!(journal(&net).contains("web on beta has taken over its changed parameters"));
    net.must_configure(|config| web(config, "c", "x"));
    net.run(5000);
    assert_eq!(told(&net), ["b", "c"]);
    assert_eq!(
        (net.starts, net.runs_on("web")),
        (1, vec!["beta".to_owned()])
    );
    assert_eq!(net.core("beta").inspect().state.plan.groups, since.groups);
    let failures = &net.core("alpha").inspect().state.failures;
    assert!(failures.is_empty(), "{failures:?}");
}

#[test]
fn with_anything_else_it_is_started_anew() {
    let mut net = cluster();
    net.must_configure(|config| web(config, "b", "y"));
    net.run(5000);
    assert_eq!((net.starts, net.reconfigured.len()), (2, 0));
    // By that start it has the new ones.
    net.must_configure(|config| web(config, "c", "y"));
    net.run(2000);
    assert_eq!((net.starts, told(&net)), (2, vec!["c"]));
}

#[test]
fn a_reload_that_fails_restarts_it_once() {
    let mut net = cluster();
    net.must_configure(|config| web(config, "b", "x"));
    net.run(1000);
    say(
        &mut net,
        InstanceChange::Unhealthy("reload-agent: error (1)".to_owned()),
    );
    net.run(5000);
    assert_eq!((net.starts, told(&net)), (2, vec!["b"]));
    assert!(journal(&net).contains("web failed on beta: reload-agent: error (1)"));
}

/// What an agent had begun when it was killed, its next run does not know: the driver is asked to compare.
#[test]
fn the_next_run_of_an_agent_compares_with_the_newest_configuration() {
    let mut net = cluster();
    net.kill_agent("beta");
    net.must_configure(|config| web(config, "b", "x"));
    net.must_configure(|config| web(config, "c", "x"));
    net.start_agent("beta", MemberId(2));
    net.run(3000);
    assert_eq!((net.starts, told(&net)), (1, vec!["c"]));
    say(&mut net, InstanceChange::Reloaded);
    assert_eq!((net.starts, told(&net)), (1, vec!["c"]));
    assert!(journal(&net).contains("has taken over"));
}

#[test]
fn what_is_found_running_by_something_else_is_restarted_without_a_failure() {
    let mut net = cluster();
    net.kill_agent("beta");
    net.must_configure(|config| web(config, "b", "y"));
    net.start_agent("beta", MemberId(2));
    net.run(2000);
    assert_eq!((net.starts, told(&net)), (1, vec!["b"]));
    say(&mut net, InstanceChange::Outdated("fixed".to_owned()));
    net.run(3000);
    assert_eq!((net.starts, net.reconfigured.len()), (2, 1));
    assert_eq!(net.runs_on("web"), ["beta"]);
    let failures = &net.core("alpha").inspect().state.failures;
    assert!(failures.is_empty(), "{failures:?}");
}

#[test]
fn a_preview_says_that_nothing_is_interrupted() {
    let mut net = cluster();
    let found = preview(&mut net, |config| web(config, "b", "x"));
    assert_eq!(
        (found.actions.len(), found.interruptions.len()),
        (0, 0),
        "{found:?}"
    );
    assert_eq!(
        found.live_changes,
        ["web on beta: its agent takes over live (reload-agent), without a restart"]
    );
    let found = preview(&mut net, |config| web(config, "b", "y"));
    assert_eq!(
        (found.actions.len(), found.live_changes.len()),
        (2, 0),
        "{found:?}"
    );
    assert_eq!(found.interruptions.len(), 1);
}

#[test]
fn what_is_started_anew_with_something_before_it_takes_nothing_over() {
    let mut net = cluster();
    let both = |config: &mut ClusterConfig, fixed: &str, live: &str| {
        web(config, live, fixed);
        let first = config.resources[&ResourceId::from("web")].clone();
        config.resources.insert(ResourceId::from("first"), first);
        web(config, live, "x");
        for group in config.groups.values_mut() {
            group.members = vec![ResourceId::from("first"), ResourceId::from("web")];
        }
    };
    net.must_configure(|config| both(config, "x", "a"));
    net.run(5000);
    assert_eq!(net.runs_on("first"), ["beta"]);
    let starts = net.starts;
    let found = preview(&mut net, |config| both(config, "y", "b"));
    assert_eq!(found.live_changes, [""; 0], "{found:?}");
    net.must_configure(|config| both(config, "y", "b"));
    net.run(5000);
    assert_eq!((net.starts - starts, told(&net).len()), (2, 0));
    assert_eq!(net.runs_on("web"), ["beta"]);
}
