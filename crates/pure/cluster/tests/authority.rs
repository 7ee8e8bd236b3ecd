//! Another certificate authority takes the place of the present one: step by step, whoever leads, whoever is away.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod net;

use net::Net;
use standfast_cluster::apply;
use standfast_model::{
    authority::{AuthorityChange, AuthorityStep},
    command::{Act, Change, Command},
    event::Event,
    id::{MemberId, NodeId},
    request::{RefusalKind, Request, Response},
    state::{CertificateReport, ClusterState, Member, NodeReport, NodeState},
};

const NODES: [&str; 3] = ["alpha", "beta", "gamma"];

fn fingerprint(of: &str) -> String {
    format!(
        "{:0<64}",
        of.bytes().map(|b| format!("{b:02x}")).collect::<String>()
    )
}

fn new(name: &str, old: &str) -> Box<AuthorityChange> {
    Box::new(AuthorityChange {
        fingerprint: fingerprint(name),
        certificate: format!("certificate of {name}"),
        old: fingerprint(old),
        by: "root@alpha".into(),
        reason: "yearly".into(),
        ..AuthorityChange::default()
    })
}

fn replace(net: &mut Net, change: Box<AuthorityChange>) -> Response {
    let leader = net.leader().unwrap();
    net.ask(&leader, Request::ReplaceAuthority { change })
}

fn says(net: &mut Net, node: &str, authority: &str, ready_for: &str) {
    let report = CertificateReport {
        authority: fingerprint(authority),
        ready_for: fingerprint(ready_for),
        ..CertificateReport::default()
    };
    net.deliver(&NodeId::from(node), Event::Certificate(report));
    net.run(500);
}

fn state(net: &Net) -> &ClusterState {
    net.core(&net.leader().unwrap()).inspect().state
}

fn step(net: &Net) -> Option<AuthorityStep> {
    let change = state(net).authorities.change.as_ref();
    change.map(|change| change.step)
}

fn kinds(state: &ClusterState) -> usize {
    let journal = state.journal.iter();
    journal.filter(|entry| entry.kind == "keys").count()
}

#[test]
fn each_step_waits_for_everybody_and_a_new_leader_goes_on() {
    let mut net = Net::cluster(&NODES);
    for node in NODES {
        says(&mut net, node, "old", "");
    }
    replace(&mut net, new("new", "old"));
    assert_eq!(step(&net), Some(AuthorityStep::Trust));
    // The same once more changes nothing; another one is refused as soon as somebody has the key.
    let before = kinds(state(&net));
    replace(&mut net, new("new", "old"));
    assert_eq!(kinds(state(&net)), before);
    says(&mut net, "alpha", "old", "new");
    let Response::Refused(refusal) = replace(&mut net, new("third", "old")) else {
        panic!("not refused");
    };
    assert_eq!(refusal.kind, RefusalKind::Exists);
    assert!(
        refusal.text.contains("as root@alpha asked"),
        "{}",
        refusal.text
    );
    says(&mut net, "beta", "old", "new");
    assert_eq!(
        step(&net),
        Some(AuthorityStep::Trust),
        "gamma has not said it"
    );
    says(&mut net, "gamma", "old", "new");
    assert_eq!(step(&net), Some(AuthorityStep::Take));

    // The leader is gone in the middle, and back later: its certificate is waited for.
    let leader = net.leader().unwrap();
    net.cut.insert(NodeId::from(leader.as_str()));
    net.run(5_000);
    let others: Vec<&str> = NODES.into_iter().filter(|node| *node != leader).collect();
    for node in &others {
        says(&mut net, node, "new", "");
    }
    assert_eq!(step(&net), Some(AuthorityStep::Take));
    assert_eq!(
        state(&net).authority_waits_for(),
        [&NodeId::from(leader.as_str())]
    );
    net.cut.clear();
    net.run(3_000);
    says(&mut net, &leader, "new", "");
    assert_eq!(step(&net), None);
    assert_eq!(state(&net).authorities.retired, [fingerprint("old")]);
    assert_eq!(kinds(state(&net)), 3);
    let Response::Refused(refusal) = replace(&mut net, new("old", "new")) else {
        panic!("what is retired came back");
    };
    assert_eq!(refusal.kind, RefusalKind::Invalid);
}

/// A state of three members that report so much.
fn three() -> ClusterState {
    let mut state = ClusterState {
        feature_level: 3,
        ..ClusterState::default()
    };
    for (number, node) in (1..).zip(NODES) {
        let member = Member {
            node: node.into(),
            voter: true,
            addresses: Vec::new(),
        };
        state.members.insert(MemberId(number), member);
        let known = NodeState {
            online: true,
            ..NodeState::default()
        };
        state.nodes.insert(node.into(), known);
    }
    state
}

fn give(state: &mut ClusterState, wall_ms: u64, change: Change) {
    let index = state.applied + 1;
    let command = Command {
        wall_ms,
        request: None,
        change,
    };
    apply(state, index, &command).unwrap();
}

fn report(state: &mut ClusterState, node: &str, authority: &str, ready_for: &str) {
    let before = &state.nodes[&NodeId::from(node)].report;
    let report = NodeReport {
        version: before.version + 1,
        certificate: CertificateReport {
            authority: fingerprint(authority),
            ready_for: fingerprint(ready_for),
            ..CertificateReport::default()
        },
        ..before.clone()
    };
    let change = Change::Report {
        node: node.into(),
        report: Box::new(report),
    };
    give(state, 1_000, change);
}

fn nothing() -> Change {
    Change::Act {
        node: "alpha".into(),
        act: Act::Token,
        by: "root@alpha".into(),
    }
}

#[test]
fn whoever_is_gone_is_waited_for_until_it_is_removed_or_the_old_authority_has_ended() {
    let mut change = new("new", "old");
    change.old_until_ms = 5_000;
    let mut state = three();
    give(&mut state, 1_000, Change::ReplaceAuthority { change });
    for node in ["alpha", "beta"] {
        report(&mut state, node, "old", "new");
    }
    let gamma = NodeId::from("gamma");
    state.nodes.get_mut(&gamma).unwrap().online = false;
    give(&mut state, 5_000, nothing());
    assert_eq!(state.authority_waits_for(), [&gamma]);

    let mut removed = state.clone();
    let change = Change::RemoveMember {
        member: MemberId(3),
        by: Some("root@alpha".into()),
    };
    give(&mut removed, 2_000, change);
    let step = |state: &ClusterState| state.authorities.change.as_ref().map(|change| change.step);
    assert_eq!(step(&removed), Some(AuthorityStep::Take));

    give(&mut state, 5_001, nothing());
    assert_eq!(step(&state), Some(AuthorityStep::Take), "its end has come");
    let last = state.journal.back().unwrap();
    assert!(
        last.evidence[0].starts_with("gamma is away and not waited for"),
        "{last:?}"
    );
    // One that is there is waited for all the same.
    report(&mut state, "alpha", "new", "");
    give(&mut state, 6_000, nothing());
    assert_eq!(step(&state), Some(AuthorityStep::Take));
    report(&mut state, "beta", "new", "");
    give(&mut state, 6_000, nothing());
    assert_eq!(step(&state), None);
}

#[test]
fn an_authority_whose_key_is_lost_with_its_maker_can_be_replaced() {
    let mut state = three();
    let begin = |name: &str| Change::ReplaceAuthority {
        change: new(name, "old"),
    };
    give(&mut state, 1_000, begin("lost"));
    give(&mut state, 1_000, begin("new"));
    let authorities = &state.authorities;
    assert_eq!(authorities.retired, [fingerprint("lost")]);
    let present = authorities.change.as_ref().unwrap();
    assert_eq!(present.fingerprint, fingerprint("new"));
}

#[test]
fn what_operators_do_through_an_agent_is_in_the_journal() {
    let mut net = Net::cluster(&["alpha", "beta"]);
    let request = Request::Act {
        node: "beta".into(),
        act: Act::Token,
        author: "root@beta".into(),
    };
    net.ask("beta", request);
    let restart = Request::Restart {
        author: "root@beta".into(),
    };
    net.ask("beta", restart);
    net.run(500);
    let journal: Vec<&str> = state(&net)
        .journal
        .iter()
        .map(|entry| entry.text.as_str())
        .collect();
    let has = |text: &str| journal.iter().any(|line| line.starts_with(text));
    assert!(
        has("root@beta made a token to join with, on beta"),
        "{journal:?}"
    );
    assert!(
        has("agent on beta restarts, as root@beta asked; its leases run on"),
        "{journal:?}"
    );
}
