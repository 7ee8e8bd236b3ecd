//! Handmade views and what is said of them: `tests/golden/NAME.txt` holds the status, the plugin's
//! line, and where it says something, explain and history. `UPDATE=1` writes what is said at present.

mod authority;
mod copies;
mod errors;
mod metrics;
mod orders;
mod pair;
mod takeover;
mod turns;

use super::{
    Explanation, Health, Status, Style, check, explain, history, history_json, json, status,
};
use standfast_model::{
    agent::Severity,
    config::Mode,
    guards::{GuardSupport, Watchdog},
    id::{Incarnation, MemberId, NodeId},
    plan::{Assignment, INFINITY, PlanNumber, Reason},
    request::{RtoPrediction, View},
    state::{
        ClusterState, FailureRecord, InstanceReport, JournalEntry, Member, MoveRequest, NodeReport,
        NodeState, Phase, RestartGrant,
    },
    time::Micros,
};
use std::{fs, path::Path};

const CONFIG: &str = r#"
[cluster]
name = "demo"
[nodes.alpha]
addresses = ["10.80.1.1:7400", "10.80.2.1:7400"]
[nodes.beta]
addresses = ["10.80.1.2:7400", "10.80.2.2:7400"]
[nodes.gamma]
addresses = ["10.80.1.3:7400", "10.80.2.3:7400"]
witness = true
[groups.site]
members = ["site-ip", "web"]
prefer = ["alpha", "beta"]
[resources.site-ip]
kind = "vip"
addresses = ["10.80.1.100/24"]
[resources.web]
kind = "process"
command = ["/usr/bin/web"]
"#;

/// 2026-11-21 15:44:46 UTC.
const NOON: u64 = 1_795_275_886_000;

const FIRST: PlanNumber = PlanNumber {
    term: 2,
    generation: 1,
};

fn watchdog() -> Watchdog {
    Watchdog {
        identity: String::from("i6300ESB timer"),
        timeout: Micros::from_millis(10_000),
        stoppable: true,
    }
}

pub(crate) fn compare(name: &str, given: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.txt"));
    if std::env::var("UPDATE").is_ok() {
        fs::write(&file, given).expect("write");
    }
    let expected = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        expected == given,
        "{} says something else:\n{given}",
        file.display()
    );
}

fn said(view: &View) -> String {
    let report = Status::of(view);
    let mut text = status(&report, Style::default());
    text.push_str("\n$ standfast check\n");
    text.push_str(&check(&report).1);
    text
}

fn explained(view: &View) -> String {
    let e = Explanation::of(view, &"site".into()).expect("group");
    let text = explain(&e, Style::default());
    let past = history(view, 20);
    format!("\n$ standfast explain site\n{text}\n$ standfast history\n{past}")
}

fn instance(phase: Phase) -> InstanceReport {
    InstanceReport {
        phase,
        since: FIRST,
        failures: 0,
        last_failure: String::new(),
        severity: Severity::Soft,
        start_took: Micros::from_millis(60),
        stop_took: Micros::ZERO,
        promotion: None,
        reloads: 0,
    }
}

fn node() -> NodeState {
    NodeState {
        online: true,
        report: NodeReport {
            incarnation: Incarnation(7),
            guards: GuardSupport::full(),
            fsync: Micros::from_millis(5),
            program_version: String::from("0.1.0"),
            ..NodeReport::default()
        },
        ..NodeState::default()
    }
}

fn reason(node: Option<&str>, score: i64, text: &str) -> Reason {
    Reason {
        node: node.map(Into::into),
        score,
        text: text.to_owned(),
    }
}

fn journal(state: &mut ClusterState, plan: PlanNumber, kind: &str, text: &str, evidence: &[&str]) {
    let index = 10 + u64::try_from(state.journal.len()).expect("few");
    state.journal.push_back(JournalEntry {
        index,
        wall_ms: NOON + index * 1000,
        plan,
        kind: kind.to_owned(),
        text: text.to_owned(),
        evidence: evidence.iter().map(|e| (*e).to_owned()).collect(),
    });
}

fn on_alpha() -> Assignment {
    Assignment {
        node: Some("alpha".into()),
        members: vec!["site-ip".into(), "web".into()],
        reasons: vec![
            reason(Some("alpha"), 200, "preference for alpha"),
            reason(Some("beta"), 100, "preference for beta"),
            reason(
                Some("gamma"),
                -INFINITY,
                "gamma is a witness and runs no resources",
            ),
        ],
        since: FIRST,
        ..Assignment::default()
    }
}

/// Three nodes, one of them a witness; one group, on alpha; the leader is asked.
pub(crate) fn healthy() -> View {
    let config = standfast_config::parse(CONFIG, "config").expect("config").0;
    let mut state = ClusterState {
        cluster_id: String::from("c0ffee"),
        config,
        config_version: 4,
        ..ClusterState::default()
    };
    for (number, name) in (1..).zip(["alpha", "beta", "gamma"]) {
        let member = Member {
            node: name.into(),
            voter: true,
            addresses: Vec::new(),
        };
        state.members.insert(MemberId(number), member);
        state.nodes.insert(name.into(), node());
    }
    state.plan.number = FIRST;
    state.plan.groups.insert("site".into(), on_alpha());
    journal(
        &mut state,
        PlanNumber::default(),
        "config",
        "configuration version 4 applied by root",
        &[],
    );
    journal(
        &mut state,
        FIRST,
        "placement",
        "site starts on alpha",
        &["site: alpha: preference for alpha"],
    );
    let mut view = View {
        node: String::from("alpha"),
        leader: Some("alpha".into()),
        term: 2,
        quorum: true,
        state,
        ..View::default()
    };
    for name in ["beta", "gamma"] {
        view.links.insert(name.into(), (2, 2));
        view.lease_left
            .insert(name.into(), Micros::from_millis(760));
    }
    view.predicted_rto.insert(
        "site".into(),
        RtoPrediction {
            node_lost: Micros::from_millis(829),
            node_and_leader_lost: Micros::from_millis(1180),
            parts: vec![(String::from("lease runs out"), Micros::from_millis(758))],
        },
    );
    set(&mut view, "alpha", "site-ip", instance(Phase::Active));
    set(&mut view, "alpha", "web", instance(Phase::Active));
    view
}

pub(crate) fn known<'v>(view: &'v mut View, name: &str) -> &'v mut NodeState {
    view.state.nodes.get_mut(&NodeId::from(name)).expect("node")
}

fn set(view: &mut View, node: &str, resource: &str, instance: InstanceReport) {
    let report = &mut known(view, node).report;
    report.instances.insert(resource.into(), instance);
    let holders = view.state.may_hold.entry(resource.into()).or_default();
    holders.insert(node.into());
}

pub(crate) fn lose(view: &mut View, name: &str) {
    let lost = known(view, name);
    lost.online = false;
    lost.offline_reason = String::from("not heard for 812 ms, and its lease is over");
    view.links.insert(name.into(), (0, 2));
    view.lease_left.remove(&NodeId::from(name));
    for holders in view.state.may_hold.values_mut() {
        holders.remove(&NodeId::from(name));
    }
}

fn place(view: &mut View, node: Option<&str>, reasons: Vec<Reason>) {
    let number = PlanNumber {
        term: 3,
        generation: 2,
    };
    view.state.plan.number = number;
    let assignment = view
        .state
        .plan
        .groups
        .get_mut(&"site".into())
        .expect("group");
    assignment.node = node.map(Into::into);
    assignment.since = number;
    assignment.reasons = reasons;
}

fn health(view: &View) -> Health {
    Status::of(view).health
}

#[test]
fn all_well() {
    let view = healthy();
    assert_eq!(health(&view), Health::Ok);
    compare("healthy", &(said(&view) + &explained(&view)));
}

#[test]
fn the_documents_have_their_versions() {
    let view = healthy();
    let e = Explanation::of(&view, &"site".into()).expect("group");
    let all = [json(&Status::of(&view)), json(&e), history_json(&view, 1)];
    compare("documents", &all.concat());
}

#[test]
fn a_node_that_was_removed_says_so() {
    let mut view = healthy();
    view.node = String::from("gamma");
    view.quorum = false;
    view.leader = None;
    view.removed = String::from("alpha and beta no longer let it in");
    assert_eq!(health(&view), Health::NoQuorum);
    compare("removed", &said(&view));
}

#[test]
fn colours_only_where_they_are_wanted() {
    let report = Status::of(&healthy());
    assert!(!status(&report, Style::default()).contains('\x1b'));
    let coloured = status(&report, Style::new(true));
    assert!(coloured.starts_with("\x1b[32mAll well"));
    // Colours change no width.
    let plain = coloured
        .replace("\x1b[0m", "")
        .replace("\x1b[32m", "")
        .replace("\x1b[1m", "");
    assert_eq!(plain, status(&report, Style::default()));
}

#[test]
fn a_lost_node_leaves_nothing_to_fall_back_on() {
    let mut view = healthy();
    let why = "alpha: not heard for 812 ms, and its lease is over";
    lose(&mut view, "alpha");
    view.node = String::from("beta");
    view.leader = Some("beta".into());
    view.term = 3;
    view.links.remove(&NodeId::from("beta"));
    set(&mut view, "beta", "site-ip", instance(Phase::Active));
    set(&mut view, "beta", "web", instance(Phase::Active));
    let reasons = vec![
        reason(Some("beta"), 100, "preference for beta"),
        reason(Some("alpha"), -INFINITY, "alpha is not online"),
        reason(Some("alpha"), INFINITY, "runs on alpha (stickiness)"),
        reason(
            Some("gamma"),
            -INFINITY,
            "gamma is a witness and runs no resources",
        ),
    ];
    place(&mut view, Some("beta"), reasons);
    let number = view.state.plan.number;
    let text = "alpha is lost; site moves from alpha to beta";
    journal(
        &mut view.state,
        number,
        "failover",
        text,
        &[why, "site: beta: preference for beta"],
    );
    assert_eq!(health(&view), Health::Degraded);
    compare("degraded", &(said(&view) + &explained(&view)));
}

#[test]
fn no_node_can_run_it() {
    let mut view = healthy();
    lose(&mut view, "beta");
    known(&mut view, "alpha").report.instances.clear();
    view.state.may_hold.clear();
    let reasons = vec![
        reason(None, 0, "no node can run it"),
        reason(
            Some("alpha"),
            -INFINITY,
            "web failed 3 times on alpha (the limit is 3)",
        ),
        reason(Some("beta"), -INFINITY, "beta is not online"),
        reason(
            Some("gamma"),
            -INFINITY,
            "gamma is a witness and runs no resources",
        ),
    ];
    place(&mut view, None, reasons);
    let record = FailureRecord {
        count: 3,
        last: String::from("exited with status 1"),
        ..FailureRecord::default()
    };
    let failures = view.state.failures.entry("web".into()).or_default();
    failures.insert("alpha".into(), record);
    assert_eq!(health(&view), Health::Outage);
    compare("outage", &(said(&view) + &explained(&view)));
}

#[test]
fn the_new_node_waits_for_the_old_lease() {
    let mut view = healthy();
    lose(&mut view, "alpha");
    for resource in ["site-ip", "web"] {
        let holders = view.state.may_hold.entry(resource.into()).or_default();
        holders.extend(["alpha".into(), "beta".into()]);
    }
    place(&mut view, Some("beta"), Vec::new());
    assert_eq!(health(&view), Health::Outage);
    compare("waiting", &said(&view));
}

#[test]
fn without_quorum_nothing_is_claimed() {
    let mut view = healthy();
    view.quorum = false;
    view.leader = None;
    view.links.insert("beta".into(), (0, 2));
    view.links.insert("gamma".into(), (0, 2));
    view.lease_left.clear();
    set(&mut view, "alpha", "web", instance(Phase::Lapsed));
    assert_eq!(health(&view), Health::NoQuorum);
    compare("no-quorum", &said(&view));
}

#[test]
fn maintenance_is_no_outage() {
    let mut view = healthy();
    view.state.config.maintenance = true;
    set(&mut view, "alpha", "web", instance(Phase::Inactive));
    known(&mut view, "beta").drained = true;
    let request = MoveRequest {
        to: Some("beta".into()),
        by: String::from("eva"),
    };
    view.state.moves.insert("site".into(), request);
    assert_eq!(health(&view), Health::Degraded);
    compare("maintenance", &said(&view));
}

#[test]
fn a_cluster_that_observes_says_so_first() {
    let mut view = healthy();
    view.state.config.mode = Mode::Observe;
    lose(&mut view, "alpha");
    view.node = String::from("beta");
    view.leader = Some("beta".into());
    let place = ("site".into(), Some("beta".into()));
    view.state.observed.extend([place]);
    place_nowhere(&mut view);
    let number = view.state.plan.number;
    let text = "alpha is lost; a failover would happen now: site would move from alpha to beta (only observed: nothing \
                is done)";
    let why = "alpha: not heard for 812 ms, and its lease is over";
    journal(&mut view.state, number, "observe", text, &[why]);
    assert_eq!(health(&view), Health::Degraded);
    compare("observe", &(said(&view) + &explained(&view)));
}

fn place_nowhere(view: &mut View) {
    let why = "the cluster only observes: alpha is not online, and it is not started elsewhere";
    place(view, None, vec![reason(None, 0, why)]);
    let assignment = view.state.plan.groups.get_mut(&"site".into());
    assignment.expect("group").maintenance = true;
}

#[test]
fn a_failed_stop_says_what_to_do() {
    let mut view = healthy();
    let mut stuck = instance(Phase::StopFailed);
    stuck.last_failure = String::from("3 processes did not end 5 s after SIGKILL");
    set(&mut view, "alpha", "web", stuck);
    assert_eq!(health(&view), Health::Outage);
    compare("stop-failed", &said(&view));
}

#[test]
fn a_new_cluster_has_nothing_to_run() {
    let mut view = healthy();
    let state = &mut view.state;
    state.config.groups.clear();
    state.config.resources.clear();
    state.plan.groups.clear();
    state.journal.clear();
    state.may_hold.clear();
    state.members.retain(|member, _| member.0 == 1);
    state.nodes.retain(|name, _| name.as_str() == "alpha");
    view.predicted_rto.clear();
    assert_eq!(health(&view), Health::Degraded, "two nodes have not joined");
    compare("first-start", &said(&view));
}

#[test]
fn an_agent_that_has_heard_nothing_yet() {
    let view = View {
        node: String::from("delta"),
        ..View::default()
    };
    assert_eq!(health(&view), Health::NoQuorum);
    compare("nothing-heard", &said(&view));
}

#[test]
fn smaller_troubles_are_warnings() {
    let mut view = healthy();
    let alpha = &mut known(&mut view, "alpha").report;
    alpha.guards.network = false;
    let why = String::from("no cgroup2 mounted");
    alpha.guards.missing.insert(String::from("network"), why);
    alpha.guards.watchdog = Some(watchdog());
    alpha.warnings.push(String::from(
        "address 10.80.1.100 is answered for by 02:00:00:00:00:09 as well",
    ));
    alpha
        .sick_interfaces
        .insert(String::from("eth1"), String::from("eth1 has no carrier"));
    let record = FailureRecord {
        count: 1,
        last: String::from("exited with status 1"),
        ..FailureRecord::default()
    };
    let failures = view.state.failures.entry("web".into()).or_default();
    failures.insert("alpha".into(), record);
    known(&mut view, "beta").report.program_version = String::from("0.2.0");
    let grant = RestartGrant {
        incarnation: Incarnation(7),
        length: Micros::from_millis(10_000),
        index: 9,
    };
    view.state.restart_grants.insert("beta".into(), grant);
    assert_eq!(health(&view), Health::Ok);
    compare("warnings", &said(&view));
}

#[test]
fn a_lost_link_and_a_bad_disk_degrade() {
    let mut view = healthy();
    view.links.insert("beta".into(), (1, 2));
    view.storage_problem = String::from("no space left on /var/lib/standfast");
    view.no_vote = String::from("its disk was rolled back; it rejoins as a new member");
    assert_eq!(health(&view), Health::Degraded);
    compare("link-and-disk", &said(&view));
}
