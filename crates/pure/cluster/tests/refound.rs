//! A new cluster from one survivor: what it takes over, and that it waits.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod net;

use net::{Net, configs::web_on};
use standfast_cluster::{NewCluster, longest_lease, refound, survey};
use standfast_model::{
    event::{DiskCondition, HardState, Restored},
    id::{MemberId, NodeId},
    message::{Acknowledged, LogSnapshot},
    plan::PlanNumber,
    time::Micros,
};
use std::collections::{BTreeMap, BTreeSet};

const NODES: [&str; 3] = ["alpha", "beta", "gamma"];

fn start_web(net: &mut Net, node: &str) {
    net.must_configure(|config| web_on(config, node));
    net.run(2000);
    assert_eq!(net.runs_on("web"), [node]);
}

fn new_cluster() -> NewCluster {
    NewCluster {
        cluster_id: "test-2".into(),
        node: NodeId::from("alpha"),
        addresses: vec!["10.0.0.1:1".into()],
        key: "new".into(),
        text: "recovered".into(),
        evidence: Vec::new(),
        wall_ms: 1,
    }
}

/// The survivor's disk as `recover` leaves it.
fn recovered(disk: &Restored) -> (Restored, MemberId) {
    let survey = survey(disk).unwrap();
    let (state, member) = refound(&survey.state, &new_cluster());
    let term = survey.term + 1;
    let restored = Restored {
        condition: DiskCondition::Intact,
        hard_state: HardState {
            term,
            vote: 0,
            commit: state.applied,
        },
        snapshot: Some(LogSnapshot {
            index: state.applied,
            term,
            voters: vec![member.0],
            learners: Vec::new(),
            data: serde_json::to_vec(&state).unwrap(),
        }),
        entries: Vec::new(),
        promise: disk.promise,
        vote_cap: disk.vote_cap,
        lease_cap: disk.lease_cap.max(longest_lease(&survey.state)),
        memory: Vec::new(),
        ..Restored::default()
    };
    (restored, member)
}

#[test]
fn everything_in_the_log_is_taken_over_and_what_others_have_more_is_said() {
    let mut net = Net::cluster(&NODES);
    start_web(&mut net, "beta");
    let mut disk = net.disk("alpha");
    let known = survey(&disk).unwrap();
    let live = net.core("alpha").inspect().state;
    assert_eq!(known.state.config, live.config);
    assert_eq!(known.state.members, live.members);
    assert_eq!(known.state.may_hold, live.may_hold);
    assert!(known.ahead.is_empty(), "{:?}", known.ahead);
    disk.hard_state.commit = disk.hard_state.commit.min(disk.entries[0].index);
    let count = u64::try_from(disk.entries.len()).unwrap();
    assert_eq!(survey(&disk).unwrap().uncertain, count - 1);
    disk.memory.push(Acknowledged {
        member: 2,
        index: 1_000_000,
        term: known.term,
    });
    let ahead = BTreeMap::from([(NodeId::from("beta"), 1_000_000)]);
    assert_eq!(survey(&disk).unwrap().ahead, ahead);
    assert_eq!(survey(&Restored::default()), None);
}

#[test]
fn the_new_cluster_has_one_member_and_nothing_of_the_old_one_is_let_in() {
    let net = Net::cluster(&NODES);
    let old = survey(&net.disk("alpha")).unwrap().state;
    let (state, member) = refound(&old, &new_cluster());
    assert_eq!(member, MemberId(old.next_member));
    assert_eq!(state.cluster_id, "test-2");
    assert_eq!(state.members.len(), 1);
    let keys = BTreeMap::from([(NodeId::from("alpha"), BTreeSet::from(["new".to_owned()]))]);
    assert_eq!(state.keys, keys);
    assert_eq!(state.applied, old.applied + 1);
    assert_eq!(state.journal.back().unwrap().kind, "recovery");
    // They are expected to join: applying the same file again makes no difference.
    assert_eq!(state.config.nodes.len(), 3);
}

#[test]
fn the_survivor_waits_for_every_lease_that_the_lost_may_hold() {
    waits(|_| {});
}

/// A fresh machine with a backup has promised nothing to anybody, and waits all the same.
#[test]
fn so_does_a_machine_that_has_only_a_backup() {
    waits(|disk| {
        disk.vote_cap = Micros::ZERO;
        disk.lease_cap = Micros::ZERO;
        disk.promise = PlanNumber::default();
    });
}

fn waits(change: impl Fn(&mut Restored)) {
    let mut net = Net::cluster(&NODES);
    start_web(&mut net, "beta");
    let mut disk = net.disk("alpha");
    change(&mut disk);
    // The network of the survivor is gone: the lost nodes go on for as long as their leases last.
    net.kill_agent("alpha");
    net.kill_agent("gamma");
    net.cut.insert(NodeId::from("beta"));
    let (restored, member) = recovered(&disk);
    let wait = restored.lease_cap;
    assert!(wait >= Micros::from_millis(800), "{wait:?}");
    let began = net.now;
    net.boot("alpha", member, restored);
    while net.runs_on("web") != ["alpha"] {
        // The world itself refuses two at once.
        net.run(10);
        assert!(net.now < began + 20_000_000, "{}", net.log.join("\n"));
    }
    assert!(net.now - began >= wait.0, "{} us", net.now - began);
    let state = net.core("alpha").inspect().state;
    assert!(!state.nodes[&NodeId::from("beta")].online);
}
