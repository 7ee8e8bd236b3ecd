//! Scenarios of a pair whose arbiter are ping targets: best effort. Nobody cuts a power here, so the leases have to be over
//! before somebody else starts anything.
#![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

mod net;

use net::{
    Net,
    pairs::{assert_state, change, done, name_of, order, pair_with, view, with_targets},
};
use standfast_model::{
    config::{AgentConfig, ProcessConfig, ResourceKind},
    id::MemberId,
    pair::{Arbiter, PairOrder},
    request::{RefusalKind, Request, Response},
};

fn pair() -> Net {
    pair_with(&with_targets())
}

fn verdict(net: &mut Net, node: &str) -> String {
    view(net, node).ping.unwrap().verdict
}

#[test]
fn a_secondary_takes_over_when_the_primary_is_silent_and_a_target_answers() {
    let mut net = pair();
    done(change(&mut net, "alpha", "precious"));
    let targets = view(&mut net, "beta").ping.unwrap();
    assert_eq!(targets.answering, ["10.0.1.1"]);
    assert_eq!(targets.silent, ["10.0.0.254"]);
    assert_eq!(targets.verdict, "");
    net.crash("alpha");
    net.run(900);
    assert!(net.runs_on("web").is_empty());
    assert_state(&mut net, "beta", "primary-down");
    // The longest lease that alpha may have given itself.
    net.run(6500);
    assert_eq!(net.runs_on("web"), ["beta"], "{}", net.log.join("\n"));
    assert_state(&mut net, "beta", "took-over");
    assert_eq!(name_of(&net, "beta"), "precious");
    done(change(&mut net, "beta", "alone"));
    let Response::View(all) = net.ask("beta", Request::View) else {
        panic!("no view")
    };
    let journal = format!("{:?}", all.state.journal);
    assert!(
        journal.contains("pings of the peer failed in a row, ping targets that answer: 1"),
        "{journal}"
    );
    net.power_on("alpha", MemberId(1));
    net.run(4000);
    assert_state(&mut net, "beta", "normal");
    assert_state(&mut net, "alpha", "normal");
    assert_eq!(net.runs_on("web"), ["beta"], "no failback by itself");
}

#[test]
fn a_primary_that_reaches_a_target_runs_on_without_its_secondary() {
    let mut net = pair();
    let starts = net.starts;
    net.crash("beta");
    net.run(3000);
    assert_eq!(net.runs_on("web"), ["alpha"], "{}", net.log.join("\n"));
    assert_state(&mut net, "alpha", "secondary-down");
    done(change(&mut net, "alpha", "alone"));
    net.power_on("beta", MemberId(2));
    net.run(4000);
    assert_state(&mut net, "alpha", "normal");
    assert_eq!(name_of(&net, "beta"), "alone");
    assert_eq!(net.starts, starts, "nothing stood still");
}

/// What a node says of its targets in `status`.
fn warnings(net: &mut Net, node: &str) -> String {
    let Response::View(all) = net.ask(node, Request::View) else {
        panic!("no view")
    };
    all.state.nodes[&node.into()].report.warnings.join("; ")
}

#[test]
fn a_primary_that_is_alone_warns_when_no_target_answers_it_any_more() {
    let said = "neither the gateway nor any of the 1 further targets answers it any more";
    let mut net = pair();
    net.crash("beta");
    net.run(3000);
    assert_state(&mut net, "alpha", "secondary-down");
    assert_eq!(verdict(&mut net, "alpha"), "");
    net.blind.insert("alpha".into());
    net.run(2000);
    let warned = warnings(&mut net, "alpha");
    assert!(warned.contains(said), "{warned}");
    assert!(verdict(&mut net, "alpha").contains(said));
    assert_eq!(net.runs_on("web"), ["alpha"]);
    done(change(&mut net, "alpha", "alone"));
    net.blind.clear();
    net.run(2000);
    let warned = warnings(&mut net, "alpha");
    assert!(!warned.contains(said), "{warned}");
    assert_eq!(verdict(&mut net, "alpha"), "");
}

#[test]
fn a_primary_that_is_cut_off_gives_up_before_the_other_one_starts() {
    let mut net = pair();
    net.cut.insert("alpha".into());
    net.blind.insert("alpha".into());
    net.run(9000);
    // The net fails a start where something runs still.
    assert_eq!(net.runs_on("web"), ["beta"], "{}", net.log.join("\n"));
    assert_state(&mut net, "beta", "took-over");
    let gave_up = view(&mut net, "alpha");
    assert!(
        gave_up
            .sentence
            .starts_with("alpha was primary and gave up"),
        "{gave_up:?}"
    );
    let Response::Refused(refusal) = change(&mut net, "alpha", "too late") else {
        panic!("a node that gave up confirmed a change")
    };
    assert_eq!(refusal.kind, RefusalKind::NoQuorum);
    net.cut.clear();
    net.blind.clear();
    net.run(5000);
    assert_state(&mut net, "alpha", "normal");
    assert_state(&mut net, "beta", "normal");
}

#[test]
fn what_a_dead_agent_ran_ends_by_its_guard_before_the_other_one_starts() {
    let mut net = pair();
    // Its machine runs on and answers nobody, and what it started ends with its guard.
    net.kill_agent("alpha");
    net.run(9000);
    assert_eq!(net.runs_on("web"), ["beta"], "{}", net.log.join("\n"));
}

#[test]
fn where_no_target_answers_nobody_takes_over_and_status_says_why() {
    let mut net = pair();
    net.blind.extend(["alpha".into(), "beta".into()]);
    net.run(2000);
    assert_state(&mut net, "alpha", "normal");
    let Response::View(all) = net.ask("alpha", Request::View) else {
        panic!("no view")
    };
    for node in ["alpha", "beta"] {
        let warnings = &all.state.nodes[&node.into()].report.warnings;
        let said = warnings
            .iter()
            .any(|text| text.contains("no ping target answers (10.0.0.254, 10.0.1.1)"));
        assert!(said, "{node}: {warnings:?}");
    }
    net.crash("alpha");
    net.run(8000);
    assert!(net.runs_on("web").is_empty());
    assert_state(&mut net, "beta", "primary-down");
    let why = verdict(&mut net, "beta");
    assert!(
        why.starts_with("no failover: neither the gateway nor any of the 1 further"),
        "{why}"
    );
    // The network is back.
    net.blind.clear();
    net.run(7000);
    assert_eq!(net.runs_on("web"), ["beta"], "{}", net.log.join("\n"));
}

#[test]
fn a_planned_restart_is_no_loss_and_needs_the_secondary_to_know_of_it() {
    let mut net = pair();
    let starts = net.starts;
    let author = "t".to_owned();
    net.tell("alpha", Request::Restart { author });
    net.run(1000);
    assert!(
        net.may_end.contains(&"alpha".into()),
        "{}",
        net.log.join("\n")
    );
    net.kill_agent("alpha");
    let steps = net.steps;
    net.run(3000);
    assert_eq!(net.runs_on("web"), ["alpha"]);
    // Once it was woken up again and again until the silence was over.
    assert!(net.steps - steps < 1000, "{} steps", net.steps - steps);
    net.start_agent("alpha", MemberId(1));
    net.run(5000);
    assert_state(&mut net, "alpha", "normal");
    assert_state(&mut net, "beta", "normal");
    assert_eq!((net.runs_on("web").len(), net.starts), (1, starts));
}

/// Both may go on, and neither knows whether the other's power is gone.
#[test]
fn what_outlives_its_processes_needs_a_fence_device_as_the_arbiter() {
    for arbiter in [Arbiter::Ping, Arbiter::None, Arbiter::Fence] {
        let mut net = match arbiter {
            Arbiter::Ping => pair(),
            arbiter => net::pairs::pair(arbiter),
        };
        let mut config = net.core("alpha").inspect().state.config.clone();
        for resource in config.resources.values_mut() {
            let agent = AgentConfig {
                outlives: true,
                ..AgentConfig::default()
            };
            resource.kind = ResourceKind::Process(ProcessConfig {
                agent: Some(Box::new(agent)),
                ..ProcessConfig::default()
            });
        }
        let answer = net::pairs::apply(&mut net, "alpha", config);
        let refused = match &answer {
            Response::Refused(refusal) => refusal
                .text
                .contains("only a fence device as the pair's arbiter"),
            _ => false,
        };
        assert_eq!(refused, arbiter != Arbiter::Fence, "{answer:?}");
        // What a guard silences needs no device.
        let mut config = net.core("alpha").inspect().state.config.clone();
        for resource in config.resources.values_mut() {
            let agent = AgentConfig {
                outlives: true,
                address: Some([10, 80, 1, 100].into()),
                ..AgentConfig::default()
            };
            resource.kind = ResourceKind::Process(ProcessConfig {
                agent: Some(Box::new(agent)),
                ..ProcessConfig::default()
            });
        }
        let answer = net::pairs::apply(&mut net, "alpha", config);
        assert!(!matches!(answer, Response::Refused(_)), "{answer:?}");
    }
}

/// Both reach a target and not each other. They meet when one has taken over and waits for the other one's longest lease.
#[test]
fn who_took_over_and_met_the_other_one_before_it_had_started_anything_starts_by_itself() {
    let mut net = pair();
    net.cut.insert("beta".into());
    net.run(2500);
    assert_state(&mut net, "alpha", "secondary-down");
    assert_state(&mut net, "beta", "took-over");
    assert_eq!(net.runs_on("web"), ["alpha"], "beta waits");
    net.cut.clear();
    let mut both = 0;
    for _ in 0..120 {
        net.run(100);
        both += usize::from(net.runs_on("web").len() > 1);
    }
    assert_eq!(both, 0, "{}", net.log.join("\n"));
    assert_eq!(net.runs_on("web"), ["beta"], "{}", net.log.join("\n"));
    assert_state(&mut net, "beta", "diverged");
    done(order(&mut net, "alpha", PairOrder::Rebuild));
    net.run(4000);
    assert_state(&mut net, "alpha", "normal");
    assert_eq!(net.runs_on("web"), ["beta"]);
}

/// One that is heard, still runs what it ran, and does not hear: nothing is started beside it for that.
#[test]
fn who_does_not_say_that_it_has_stopped_is_waited_for() {
    let mut net = pair();
    net.cut.insert("beta".into());
    net.run(2500);
    assert_state(&mut net, "beta", "took-over");
    net.failing_stops = 1000;
    net.stuck_guards = true;
    net.cut.clear();
    net.run(12_000);
    assert_state(&mut net, "beta", "diverged");
    assert_eq!(net.runs_on("web"), ["alpha"], "{}", net.log.join("\n"));
}
