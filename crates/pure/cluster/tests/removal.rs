//! Nodes that leave for good, and names that come back.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod net;

use net::{Net, configs::web_on};
use standfast_model::{
    event::Event,
    id::{GroupId, MemberId, NodeId},
    message::{Body, LogSnapshot},
    request::{JoinOffer, RefusalKind, Request, Response},
    state::ClusterState,
};
use std::{cell::Cell, collections::BTreeSet, rc::Rc};

const NODES: [&str; 3] = ["alpha", "beta", "gamma"];

fn offer(key: &str) -> JoinOffer {
    JoinOffer {
        key: key.to_owned(),
        ..JoinOffer::default()
    }
}

fn state<'n>(net: &'n Net, node: &str) -> &'n ClusterState {
    net.core(node).inspect().state
}

fn remove(net: &mut Net, through: &str, node: &str) -> Response {
    let request = Request::Remove {
        node: NodeId::from(node),
        author: "test".into(),
    };
    net.ask(through, request)
}

fn refusal(response: Response) -> (RefusalKind, String) {
    match response {
        Response::Refused(refusal) => (refusal.kind, refusal.text),
        other => panic!("not refused: {other:?}"),
    }
}

fn web_prefers(net: &mut Net, node: &str) {
    net.must_configure(|config| {
        for node in NODES {
            let nodes = &mut config.nodes;
            nodes.entry(NodeId::from(node)).or_default();
        }
        web_on(config, node);
    });
    net.run(2000);
    assert_eq!(net.runs_on("web"), [node], "{}", net.log.join("\n"));
}

#[test]
fn what_runs_something_is_not_removed_and_its_lease_is_waited_for() {
    let mut net = Net::cluster(&NODES);
    let leader = net.leader().unwrap();
    let node = *NODES.iter().find(|node| **node != leader).unwrap();
    web_prefers(&mut net, node);
    let (kind, text) = refusal(remove(&mut net, &leader, node));
    assert_eq!(kind, RefusalKind::Unsafe);
    assert!(text.contains("node drain"), "{text}");

    // Cut off, its lease lives on for a while: removing it then would end nothing, so it is refused.
    net.cut.insert(NodeId::from(node));
    net.run(100);
    assert_eq!(
        refusal(remove(&mut net, &leader, node)).0,
        RefusalKind::Unsafe
    );
    net.run(4000);
    assert_ne!(net.runs_on("web"), [node]);
    assert!(matches!(
        remove(&mut net, &leader, node),
        Response::Done { .. }
    ));
    let state = state(&net, &leader);
    let node = NodeId::from(node);
    assert!(state.members.values().all(|info| info.node != node));
    assert!(!state.nodes.contains_key(&node));
    assert!(!state.config.nodes.contains_key(&node));
    assert!(
        state.config.groups[&GroupId::from("site")]
            .prefer
            .is_empty()
    );
    // Whatever it still says changes nothing.
    net.cut.clear();
    net.run(3000);
    assert!(net.leader().is_some(), "{}", net.log.join("\n"));
    let state = self::state(&net, &leader);
    assert!(!state.nodes.contains_key(&node));
}

#[test]
fn a_majority_of_what_is_left_must_be_online() {
    let mut net = Net::cluster(&NODES);
    let leader = net.leader().unwrap();
    let others: Vec<&str> = NODES.into_iter().filter(|node| *node != leader).collect();
    net.crash(others[0]);
    net.run(3000);
    let (kind, text) = refusal(remove(&mut net, &leader, others[1]));
    assert_eq!(kind, RefusalKind::Unsafe);
    assert!(text.contains("only 1 of the 2 voters"), "{text}");
    assert!(matches!(
        remove(&mut net, &leader, others[0]),
        Response::Done { .. }
    ));
}

#[test]
fn a_leader_hands_leadership_over_and_is_removed_then() {
    let mut net = Net::cluster(&NODES);
    let leader = net.leader().unwrap();
    let (kind, _) = refusal(remove(&mut net, &leader, &leader));
    assert_eq!(kind, RefusalKind::Stale);
    net.run(4000);
    let next = net.leader().unwrap();
    assert_ne!(next, leader, "{}", net.log.join("\n"));
    assert!(matches!(
        remove(&mut net, &next, &leader),
        Response::Done { .. }
    ));
    net.run(1000);
    assert_eq!(state(&net, &next).members.len(), 2);
}

#[test]
fn the_last_voter_stays_and_strangers_are_named() {
    let mut net = Net::new("alpha");
    let (kind, text) = refusal(remove(&mut net, "alpha", "alpha"));
    assert_eq!(
        (kind, text.contains("only voter")),
        (RefusalKind::Unsafe, true)
    );
    let (kind, _) = refusal(remove(&mut net, "alpha", "delta"));
    assert_eq!(kind, RefusalKind::NoSuchItem);
}

fn join(net: &mut Net, name: &str, key: &str, address: &str) -> Response {
    let request = Request::Join {
        node: NodeId::from(name),
        addresses: vec![address.to_owned()],
        offer: offer(key),
    };
    net.ask("alpha", request)
}

fn keys(net: &Net, name: &str) -> Option<BTreeSet<String>> {
    state(net, "alpha").keys.get(&NodeId::from(name)).cloned()
}

#[test]
fn a_name_has_only_the_key_that_it_joined_with_last() {
    let mut net = Net::new("alpha");
    let Response::Joined { member, .. } = join(&mut net, "beta", "first", "10.0.0.2:1") else {
        panic!("not taken");
    };
    assert_eq!(keys(&net, "beta"), Some(BTreeSet::from(["first".into()])));
    // The answer got lost: who asks again with the same key is the same node.
    let Response::Joined { member: again, .. } = join(&mut net, "beta", "first", "10.0.0.2:1")
    else {
        panic!("not taken again");
    };
    assert_eq!(member, again);
    // Another machine of that name takes its place, and only its key counts.
    let Response::Joined { member: other, .. } = join(&mut net, "beta", "second", "10.0.0.2:1")
    else {
        panic!("not replaced");
    };
    assert!(other > member);
    assert_eq!(keys(&net, "beta"), Some(BTreeSet::from(["second".into()])));
    assert!(matches!(
        remove(&mut net, "alpha", "beta"),
        Response::Done { .. }
    ));
    assert_eq!(keys(&net, "beta"), None);
    let Response::Joined { member: third, .. } = join(&mut net, "beta", "third", "10.0.0.2:1")
    else {
        panic!("not taken after its removal");
    };
    assert!(third > other);
    assert_eq!(keys(&net, "beta"), Some(BTreeSet::from(["third".into()])));
}

/// A link may be older than the key, and the one who shows it may lead: whoever was away hears of it from the others.
#[test]
fn members_tell_each_other_the_new_key_of_one_that_was_reinstalled() {
    let mut net = Net::new("alpha");
    join(&mut net, "beta", "first", "10.0.0.2:1");
    join(&mut net, "delta", "other", "10.0.0.4:1");
    net.run(1000);
    let told = Rc::new(Cell::new(false));
    let spy = Rc::clone(&told);
    net.lose = Some(Box::new(move |_, to, message| {
        if let Some(Body::Members(members)) = &message.body
            && to.as_str() == "delta"
        {
            spy.set(spy.get() || String::from_utf8_lossy(&members.json).contains("second"));
        }
        false
    }));
    join(&mut net, "beta", "second", "10.0.0.2:1");
    net.run(1000);
    assert!(told.get());
}

/// An agent may be restarted after the old number of a node was taken away and before it has a new one: it would be let in
/// by nobody any more. Who was removed for good is not.
#[test]
fn who_is_being_taken_back_is_let_in_by_an_agent_that_starts_meanwhile() {
    for removed in [false, true] {
        let mut net = Net::new("alpha");
        join(&mut net, "beta", "first", "10.0.0.2:1");
        let mut state = state(&net, "alpha").clone();
        let beta = NodeId::from("beta");
        state.members.retain(|_, member| member.node != beta);
        if removed {
            state.keys.remove(&beta);
        }
        let mut disk = net::first_disk("alpha");
        disk.hard_state.commit = state.applied;
        disk.snapshot = Some(LogSnapshot {
            index: state.applied,
            term: 1,
            voters: vec![1],
            learners: Vec::new(),
            data: serde_json::to_vec(&state).unwrap(),
        });
        net.cores.clear();
        net.peers.clear();
        net.boot("alpha", MemberId(1), disk);
        net.run(1000);
        let alpha = &net.peers[&NodeId::from("alpha")];
        assert_eq!(alpha.contains(&beta), !removed, "{removed}");
    }
}

/// A machine may live by the answer to its first request while the second is still under way: both say the same,
/// also when an earlier self had reported under this name.
#[test]
fn two_requests_of_one_machine_get_one_number() {
    let mut net = Net::cluster(&NODES);
    net.kill_agent("gamma");
    net.run(5000);
    let mut ask = || match join(&mut net, "gamma", "fresh", "10.0.0.9:1") {
        Response::Joined { member, .. } => member,
        other => panic!("{other:?}"),
    };
    let first = ask();
    assert_eq!(first, ask());
}

/// A configuration that was written before a machine joined, and comes while its joining is on its way into the log,
/// would throw it out of the nodes again: a member that is in no configuration, and is not let in once its disk is lost.
#[test]
fn a_configuration_waits_for_who_is_joining() {
    let mut net = Net::cluster(&NODES);
    web_prefers(&mut net, "alpha");
    let leader = net.leader().unwrap();
    let request = Request::Join {
        node: NodeId::from("delta"),
        addresses: vec!["10.0.0.4:1".to_owned()],
        offer: offer("k"),
    };
    net.tell(&leader, request);
    let (kind, text) = refusal(net.configure(&leader, |_| ()));
    assert_eq!(kind, RefusalKind::Invalid);
    assert!(text.contains("node delta is a member"), "{text}");
    assert!(
        state(&net, &leader)
            .config
            .nodes
            .contains_key(&NodeId::from("delta"))
    );
}

#[test]
fn joining_is_refused_with_the_difference() {
    let mut net = Net::new("alpha");
    assert!(matches!(
        join(&mut net, "beta", "k", "10.0.0.2:1"),
        Response::Joined { .. }
    ));
    let (_, text) = refusal(join(&mut net, "gamma", "k2", "10.0.0.2:1"));
    assert!(text.contains("10.0.0.2:1 is an address of beta"), "{text}");
}

#[test]
fn a_node_that_most_others_do_not_let_in_knows_that_it_was_removed() {
    let mut net = Net::cluster(&NODES);
    let removed = |net: &mut Net| match net.ask("gamma", Request::View) {
        Response::View(view) => view.removed,
        other => panic!("{other:?}"),
    };
    let says = |peer: &str| Event::NotLetIn {
        peer: NodeId::from(peer),
    };
    net.deliver(&NodeId::from("gamma"), says("alpha"));
    assert_eq!(removed(&mut net), "", "one alone may not know it yet");
    net.deliver(&NodeId::from("gamma"), says("beta"));
    assert_eq!(
        removed(&mut net),
        "alpha and beta no longer let it in, or have replaced their certificate authority while it was away"
    );
    net.deliver(
        &NodeId::from("gamma"),
        Event::Link {
            peer: NodeId::from("beta"),
            link: 0,
            up: true,
        },
    );
    assert_eq!(removed(&mut net), "");
    assert!(MemberId(1) < MemberId(2));
}

/// Whoever was away while others joined does not know them, and one of them leads: it hears of them from
/// a member that it does know.
#[test]
fn a_node_that_was_away_lets_in_who_joined_meanwhile() {
    let mut net = Net::cluster(&NODES);
    net.kill_agent("gamma");
    let member = MemberId(3);
    net.run(3000);
    let first = net.leader().unwrap();
    net.join(&first, "delta");
    net.join(&first, "epsilon");
    for node in ["alpha", "beta"] {
        let leader = net.leader().unwrap();
        if leader == node {
            assert_eq!(refusal(remove(&mut net, node, node)).0, RefusalKind::Stale);
            net.run(4000);
        }
        if node == "alpha" {
            let leader = net.leader().unwrap();
            let response = remove(&mut net, &leader, "alpha");
            assert!(matches!(response, Response::Done { .. }), "{response:?}");
            net.kill_agent("alpha");
            net.run(1000);
        }
    }
    let leader = net.leader().unwrap();
    assert!(["delta", "epsilon"].contains(&leader.as_str()), "{leader}");
    net.start_agent("gamma", member);
    net.run(3000);
    let seen = |net: &Net| state(net, "gamma").members.len();
    assert_eq!(seen(&net), 3, "nobody whom it lets in leads");
    let (peer, link, up) = (NodeId::from("gamma"), 0, true);
    net.deliver(&NodeId::from("beta"), Event::Link { peer, link, up });
    net.run(5000);
    let known: BTreeSet<&str> = state(&net, "gamma")
        .members
        .values()
        .map(|info| info.node.as_str())
        .collect();
    let expected = BTreeSet::from(["beta", "delta", "epsilon", "gamma"]);
    assert_eq!(known, expected, "{}", net.log.join("\n"));
}
