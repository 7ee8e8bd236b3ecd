//! Scenarios of what a review found: each failed before its repair.
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
    config::{ClusterConfig, GroupConfig, NodeConfig, Profile, Timing},
    event::{DiskCondition, Event, InstanceChange, Restored},
    id::{GroupId, MemberId, NodeId, ResourceId},
    message::Body,
    request::{Request, Response},
    time::Micros,
};

/// The order to stand for election, as crate `consensus` numbers it.
const TIMEOUT_NOW: i32 = 8;

const NODES: [&str; 3] = ["alpha", "beta", "gamma"];

fn config(config: &mut ClusterConfig, timing: Timing) {
    config.timing = timing;
    for node in NODES {
        config
            .nodes
            .insert(NodeId::from(node), NodeConfig::default());
    }
    web_on(config, "beta");
}

fn apply(net: &mut Net, timing: Timing) {
    net.must_configure(|wanted| config(wanted, timing));
}

fn web_on_beta() -> Net {
    let mut net = Net::cluster(&NODES);
    apply(&mut net, Timing::of(Profile::Lan));
    net.run(2000);
    assert_eq!(net.runs_on("web"), ["beta"], "{}", net.log.join("\n"));
    net
}

/// Runs until that line is in the log.
fn until(net: &mut Net, text: &str) {
    for _ in 0..20_000 {
        if net.log.iter().any(|line| line.contains(text)) {
            return;
        }
        net.run(1);
    }
    panic!("no {text:?} in\n{}", net.log.join("\n"));
}

/// A transfer of leadership whose rounds and order get lost must not leave a leader that grants nothing.
#[test]
fn a_transfer_that_fails_is_given_up_before_leases_end() {
    let mut net = Net::cluster(&NODES);
    net.lose = Some(Box::new(
        |_, _, message| matches!(&message.body, Some(Body::Consensus(inner)) if inner.kind == TIMEOUT_NOW),
    ));
    let leader = net.leader().unwrap();
    assert_eq!(leader, "alpha");
    net.configure("alpha", |wanted| {
        config(wanted, Timing::of(Profile::Lan));
        web_on(wanted, "alpha");
    });
    until(&mut net, "web: start");
    until(&mut net, "leadership goes to");
    net.run(20_000);
    assert_eq!(net.runs_on("web"), ["alpha"], "{}", net.log.join("\n"));
    assert!(
        net.log
            .iter()
            .all(|line| !line.contains("lease is over") && !line.contains("web: stop")),
        "{}",
        net.log.join("\n")
    );
}

/// Its requests arrive, our grants do not: it is not kept waiting for, although it is heard all the time.
#[test]
fn a_node_that_hears_nobody_is_given_up_like_one_that_is_silent() {
    let mut net = web_on_beta();
    assert_eq!(net.leader().as_deref(), Some("alpha"));
    net.lose = Some(Box::new(|_, to, _| *to == NodeId::from("beta")));
    net.run(1150);
    let there = net.runs_on("web");
    assert!(there == ["alpha"] || there == ["gamma"], "{there:?}");
    // Hearing again, it is a node again, and what moved stays where it is.
    net.lose = None;
    net.run(2000);
    assert_eq!(net.runs_on("web"), there);
    let Response::View(view) = net.ask("alpha", Request::View) else {
        panic!("no view");
    };
    assert!(view.state.nodes.values().all(|known| known.online));
}

/// A longer lease is granted only once voters have promised to remember that it is longer.
#[test]
fn a_lease_made_longer_is_remembered_by_voters_before_it_is_granted() {
    let mut net = web_on_beta();
    net.run(6000);
    let leader = net.leader().unwrap();
    assert_ne!(leader, "beta");
    let longer = Timing {
        lease: Micros::from_millis(8000),
        ..Timing::of(Profile::Lan)
    };
    // Rounds are lost from here on, so that voters know of the old length only.
    net.lose = Some(Box::new(|_, _, message| {
        matches!(&message.body, Some(Body::Round(_)))
    }));
    apply(&mut net, longer);
    net.run(150);
    net.lose = None;
    net.kill_agent(&leader);
    net.cut.insert(NodeId::from("beta"));
    // Nobody else may be elected by one node of two: the third comes from the disk.
    let member = MemberId(NODES.iter().position(|node| *node == leader).unwrap() as u64 + 1);
    net.start_agent(&leader, member);
    net.run(6000);
}

/// A shorter lease does not shorten what voters vouch for of leases given before.
#[test]
fn a_lease_made_shorter_leaves_earlier_ones_alone() {
    let mut net = Net::cluster(&NODES);
    let long = Timing {
        lease: Micros::from_millis(8000),
        ..Timing::of(Profile::Lan)
    };
    apply(&mut net, long);
    net.run(10_000);
    assert_eq!(net.runs_on("web"), ["beta"]);
    let leader = net.leader().unwrap();
    assert_ne!(leader, "beta");
    net.cut.insert(NodeId::from("beta"));
    apply(&mut net, Timing::of(Profile::Lan));
    net.run(1500);
    // An election of whoever is left: the third node, and the leader as it comes back from its disk.
    let member = MemberId(NODES.iter().position(|node| *node == leader).unwrap() as u64 + 1);
    net.kill_agent(&leader);
    net.start_agent(&leader, member);
    net.run(12_000);
    assert_eq!(net.runs_on("web").len(), 1, "{}", net.log.join("\n"));
}

/// A restart grant that a new leader has in its log, but had not applied when it was elected.
#[test]
fn a_restart_outlives_the_leader_that_granted_it() {
    let mut net = web_on_beta();
    net.run(6000);
    let leader = net.leader().unwrap();
    assert_ne!(leader, "beta");
    let third = NODES
        .iter()
        .find(|node| **node != "beta" && **node != leader)
        .unwrap()
        .to_string();
    let other = NodeId::from(third.as_str());
    // The third node never hears that it was committed.
    let commit = net.core(&leader).inspect().applied;
    net.lose = Some(Box::new(move |_, to, message| {
        *to == other
            && matches!(&message.body, Some(Body::Consensus(inner))
                if inner.commit > commit && inner.entries.is_empty())
    }));
    net.deliver(
        &NodeId::from("beta"),
        Event::Request {
            id: 77_777,
            request: Request::Restart {
                author: String::new(),
            },
        },
    );
    for _ in 0..200 {
        if net.may_end.contains(&NodeId::from("beta")) {
            break;
        }
        net.run(1);
    }
    assert!(
        net.may_end.contains(&NodeId::from("beta")),
        "{}",
        net.log.join("\n")
    );
    net.kill_agent("beta");
    net.lose = None;
    net.kill_agent(&leader);
    let member = MemberId(NODES.iter().position(|node| *node == leader).unwrap() as u64 + 1);
    net.run(5);
    net.start_agent(&leader, member);
    net.run(8500);
    assert_eq!(net.runs_on("web"), ["beta"], "{}", net.log.join("\n"));
    net.run(6000);
    assert_eq!(net.runs_on("web").len(), 1);
    assert_ne!(net.runs_on("web"), ["beta"]);
}

/// A restart that was called off leaves no restart grant behind, and a later one is a new one.
#[test]
fn a_restart_that_did_not_happen_is_over() {
    let mut net = web_on_beta();
    net.deliver(
        &NodeId::from("beta"),
        Event::Request {
            id: 77_777,
            request: Request::Restart {
                author: String::new(),
            },
        },
    );
    // The answer comes too late for whoever asked: this node learns of the commit after 11 s.
    let commit = net.core("beta").inspect().applied;
    net.lose = Some(Box::new(move |_, to, message| {
        *to == NodeId::from("beta")
            && matches!(&message.body, Some(Body::Consensus(inner)) if inner.commit > commit)
    }));
    net.run(11_000);
    net.lose = None;
    net.run(3000);
    assert!(net.may_end.is_empty());
    let leader = net.leader().unwrap();
    assert!(
        net.core(&leader).inspect().state.restart_grants.is_empty(),
        "{}",
        net.log.join("\n")
    );
    assert_eq!(net.runs_on("web").len(), 1);
}

/// A stop that failed is tried again without anything else happening.
#[test]
fn a_failed_stop_is_tried_again() {
    let mut net = web_on_beta();
    net.failing_stops = 1;
    let request = Request::Switchover {
        group: GroupId::from("site"),
        to: Some(NodeId::from("gamma")),
        author: "test".into(),
    };
    assert!(matches!(net.ask("beta", request), Response::Done { .. }));
    net.run(300);
    assert_eq!(net.runs_on("web"), ["beta"]);
    net.run(2500);
    assert_eq!(net.runs_on("web"), ["gamma"], "{}", net.log.join("\n"));
}

/// While a decision is on its way to a slow disk nothing is awake.
#[test]
fn waiting_for_a_slow_disk_does_not_spin() {
    let mut net = web_on_beta();
    net.run(6000);
    let leader = NodeId::from(net.leader().unwrap().as_str());
    assert_ne!(leader, NodeId::from("beta"));
    net.slow_disk = Some((leader, 2_000_000));
    net.crash("beta");
    let before = net.steps;
    net.run(2500);
    assert!(net.steps - before < 3000, "{} steps", net.steps - before);
}

/// `cleanup` lets a resource start again where it has failed too often.
#[test]
fn a_cleanup_counts_where_it_failed() {
    let mut net = web_on_beta();
    for _ in 0..9 {
        let at = net.runs_on("web").pop().unwrap();
        net.report(&at, "web", InstanceChange::Exited("crash".into()));
        net.run(1500);
    }
    net.run(3000);
    assert_eq!(net.runs_on("web"), [""; 0], "{}", net.log.join("\n"));
    let request = Request::Cleanup {
        group: GroupId::from("site"),
        author: "test".into(),
    };
    assert!(matches!(net.ask("alpha", request), Response::Done { .. }));
    net.run(1000);
    assert_eq!(net.runs_on("web").len(), 1, "{}", net.log.join("\n"));
}

/// A driver that does not say whether a new resource runs does not end the leases of others.
#[test]
fn a_new_resource_whose_driver_hangs_holds_up_nothing_else() {
    let mut net = web_on_beta();
    net.silent_probes = true;
    let response = net.configure("beta", |wanted| {
        let other = ResourceId::from("other");
        wanted.resources.insert(other.clone(), process("web"));
        let group = GroupConfig {
            members: vec![other],
            ..GroupConfig::default()
        };
        wanted.groups.insert(GroupId::from("others"), group);
    });
    assert!(matches!(response, Response::Done { .. }));
    net.run(5000);
    assert_eq!(net.runs_on("web"), ["beta"], "{}", net.log.join("\n"));
    assert!(
        net.log.iter().all(|line| !line.contains("lease is over")),
        "{}",
        net.log.join("\n")
    );
}

/// Whatever has gone wrong, nobody wants to be woken all the time.
#[test]
fn trouble_keeps_nobody_awake() {
    let mut net = web_on_beta();
    net.failing_stops = u32::MAX;
    let calm = |net: &mut Net, what: &str| {
        let before = net.steps;
        net.run(5000);
        assert!(net.steps - before < 3000, "{what}: {}", net.steps - before);
    };
    let request = Request::Switchover {
        group: GroupId::from("site"),
        to: Some(NodeId::from("gamma")),
        author: "test".into(),
    };
    net.ask("beta", request);
    calm(&mut net, "a stop that fails for ever");
    net.lose = Some(Box::new(|_, _, message| {
        matches!(
            &message.body,
            Some(Body::RoundAck(_) | Body::LeaseRequest(_))
        )
    }));
    calm(&mut net, "acknowledgements and requests are lost");
    net.lose = Some(Box::new(|_, _, message| {
        matches!(&message.body, Some(Body::LeaseGrant(_) | Body::Report(_)))
    }));
    calm(&mut net, "grants and reports are lost");
    net.lose = Some(Box::new(|from, _, _| *from == NodeId::from("gamma")));
    calm(&mut net, "nobody hears one node");
    net.lose = None;
    net.crash("gamma");
    net.crash("alpha");
    calm(&mut net, "the majority is lost");
}

/// A disk from before its node came back as a new member does not make it that member again.
#[test]
fn a_disk_older_than_the_last_return_is_another_new_member() {
    let mut net = web_on_beta();
    let old = net.disk("gamma");
    net.kill_agent("gamma");
    let lost = Restored {
        condition: DiskCondition::Lost,
        ..Restored::default()
    };
    net.boot("gamma", MemberId(3), lost);
    net.run(5000);
    assert_eq!(net.core("gamma").inspect().member, MemberId(4));
    net.kill_agent("gamma");
    net.boot("gamma", MemberId(3), old);
    net.run(8000);
    let gamma = net.core("gamma").inspect();
    assert_eq!(gamma.member, MemberId(5), "{}", net.log.join("\n"));
    assert!(gamma.votes && gamma.state.members[&MemberId(5)].voter);
}

/// A disk that is put back as it was when it had just been lost does not know of the number that its node got then:
/// nobody is that member a second time, with nothing of what it had acknowledged.
#[test]
fn a_number_is_taken_by_one_run_of_a_lost_disk() {
    let mut net = web_on_beta();
    let lost = Restored {
        condition: DiskCondition::Lost,
        ..Restored::default()
    };
    net.kill_agent("gamma");
    net.boot("gamma", MemberId(3), lost.clone());
    net.run(8000);
    assert_eq!(net.core("gamma").inspect().member, MemberId(4));
    net.kill_agent("gamma");
    net.boot("gamma", MemberId(3), lost);
    // It hears of a number, and not whether that is new.
    net.lose = Some(Box::new(|_, to, message| {
        let answer = matches!(message.body, Some(Body::MemoryAnswer(_)));
        answer && *to == NodeId::from("gamma")
    }));
    net.run(1000);
    assert_eq!(net.core("gamma").inspect().member, MemberId(3));
    net.lose = None;
    net.run(8000);
    let gamma = net.core("gamma").inspect();
    let log = net.log.join("\n");
    assert!(gamma.member > MemberId(4), "{log}");
    let member = gamma.state.members.get(&gamma.member);
    assert!(gamma.votes && member.unwrap().voter, "{log}");
}

/// A resource that was in no group for a while comes back to a group that has stayed: what its node promised
/// before that does not release the new instance.
#[test]
fn a_member_that_comes_back_is_given_anew() {
    let mut net = Net::cluster(&NODES);
    let timing = Timing::of(Profile::Lan);
    apply(&mut net, timing);
    let (site, extra) = (GroupId::from("site"), ResourceId::from("extra"));
    let since = |net: &Net| {
        let leader = net.leader().unwrap();
        let plan = &net.core(&leader).inspect().state.plan;
        let assignment = &plan.groups[&site];
        (assignment.since, assignment.since_of(&extra), plan.number)
    };
    let with = |net: &mut Net, there: bool| {
        net.must_configure(|wanted| {
            config(wanted, timing);
            if there {
                wanted.resources.insert(extra.clone(), process("web"));
                let members = &mut wanted.groups.get_mut(&site).unwrap().members;
                members.push(extra.clone());
            }
        });
        net.run(2000);
    };
    with(&mut net, true);
    let (group, first, plan) = since(&net);
    assert_eq!(first, plan, "it came later than the group");
    assert!(group < first);
    assert_eq!(net.runs_on("extra"), ["beta"]);
    with(&mut net, false);
    assert_eq!(net.runs_on("extra"), [""; 0]);
    with(&mut net, true);
    let (same, second, plan) = since(&net);
    assert_eq!((same, second), (group, plan));
    assert!(second > first);
    assert_eq!(net.runs_on("extra"), ["beta"]);
}
