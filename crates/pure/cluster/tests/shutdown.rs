//! Scenarios of agents that are told to end, as at a shutdown of their machine.
#![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

mod net;

use net::{Net, configs::web_on};
use standfast_model::{
    event::Event,
    id::{GroupId, MemberId, NodeId},
    plan::INFINITY,
    request::Request,
};

fn web_runs_on(node: &str, names: &[&str]) -> Net {
    let mut net = Net::cluster(names);
    net.must_configure(|config| {
        web_on(config, node);
        let site = config.groups.get_mut(&GroupId::from("site")).unwrap();
        site.prefer.insert(NodeId::from(node), INFINITY / 2);
        site.stickiness = 0;
    });
    net.run(2000);
    assert_eq!(net.runs_on("web"), [node], "{}", net.log.join("\n"));
    net
}

fn tell_to_end(net: &mut Net, node: &str, id: u64) {
    let request = Request::Leave;
    net.deliver(&NodeId::from(node), Event::Request { id, request });
}

fn may_end(net: &Net, node: &str) -> bool {
    net.may_end.contains(&NodeId::from(node))
}

#[test]
fn what_a_node_runs_moves_away_before_its_agent_ends_and_comes_to_it_again_later() {
    let mut net = web_runs_on("beta", &["alpha", "beta", "gamma"]);
    tell_to_end(&mut net, "beta", 70_001);
    let mut gap = 0;
    while !may_end(&net, "beta") {
        net.run(1);
        gap += u64::from(net.runs_on("web").is_empty());
        assert!(net.runs_on("web").len() <= 1);
        assert!(gap < 500, "{}", net.log.join("\n"));
    }
    assert_ne!(net.runs_on("web"), ["beta"]);
    net.kill_agent("beta");
    net.run(3000);
    assert_eq!(net.runs_on("web").len(), 1);
    net.start_agent("beta", MemberId(2));
    net.run(3000);
    let leader = net.leader().unwrap();
    let known = net.core(&leader).inspect().state.nodes[&NodeId::from("beta")].clone();
    assert!(known.online && !known.is_leaving() && !known.drained);
}

#[test]
fn a_leader_hands_leadership_over_before_it_ends() {
    let mut net = web_runs_on("beta", &["alpha", "beta", "gamma"]);
    let leader = net.leader().unwrap();
    tell_to_end(&mut net, &leader, 70_002);
    let mut waited = 0;
    while !may_end(&net, &leader) {
        net.run(1);
        waited += 1;
        assert!(waited < 4000, "{}", net.log.join("\n"));
    }
    net.kill_agent(&leader);
    net.run(50);
    assert!(
        net.leader().is_some_and(|new| new != leader),
        "an election was needed"
    );
    assert_eq!(net.runs_on("web").len(), 1);
}

#[test]
fn a_lone_node_stops_what_it_runs_and_ends() {
    let mut net = web_runs_on("alpha", &["alpha"]);
    tell_to_end(&mut net, "alpha", 70_003);
    net.run(2000);
    assert!(may_end(&net, "alpha"), "{}", net.log.join("\n"));
    assert!(net.runs_on("web").is_empty());
}

#[test]
fn nodes_that_all_end_at_once_stop_everything_and_end() {
    let names = ["alpha", "beta", "gamma"];
    let mut net = web_runs_on("beta", &names);
    for (id, node) in (70_010..).zip(names) {
        tell_to_end(&mut net, node, id);
    }
    let mut left: Vec<&str> = names.to_vec();
    let mut id = 70_020;
    for _ in 0..20 {
        net.run(1000);
        left.retain(|node| {
            let ended = may_end(&net, node);
            if ended {
                net.kill_agent(node);
            }
            !ended
        });
        for node in &left {
            // Told again, as the agent's loop does.
            id += 1;
            tell_to_end(&mut net, node, id);
        }
    }
    assert!(left.is_empty(), "{left:?}\n{}", net.log.join("\n"));
    assert!(net.runs_on("web").is_empty());
}
