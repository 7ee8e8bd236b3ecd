//! Handmade previews, histories and drafts, and what is said of them: `tests/golden/config-*.txt`. `UPDATE=1`
//! writes what is said at present.

use super::{
    PreviewReport, config_history, config_history_json, drafts, drafts_json, how_to_apply, json,
    preview,
};
use standfast_model::{
    history::{ConfigRecord, Draft},
    id::{GroupId, NodeId},
    plan::{Action, ActionKind},
    request::{Interruption, InterruptionPart, PlanPreview, RtoPrediction, Source, View},
    time::Micros,
};
use std::{collections::BTreeMap, fs, path::Path};

/// 2026-11-21 15:44:46 UTC.
const NOON: u64 = 1_795_275_886_000;

fn compare(name: &str, given: &str) {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/config-{name}.txt"));
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

fn part(what: &str, millis: u64, source: Source) -> InterruptionPart {
    InterruptionPart {
        what: what.to_owned(),
        length: Micros::from_millis(millis),
        source,
    }
}

fn action(kind: ActionKind, resource: &str, node: &str, after: &[usize]) -> Action {
    Action {
        kind,
        resource: resource.into(),
        node: node.into(),
        after: after.to_vec(),
    }
}

fn rto(millis: u64) -> RtoPrediction {
    RtoPrediction {
        node_lost: Micros::from_millis(millis),
        node_and_leader_lost: Micros::from_millis(millis),
        parts: Vec::new(),
    }
}

fn change() -> PlanPreview {
    let beta = NodeId::from("beta");
    let moved = Interruption {
        group: "site".into(),
        from: "alpha".into(),
        to: Some(beta.clone()),
        length: Some(Micros::from_millis(141)),
        parts: vec![
            part("stop web on alpha", 20, Source::Measured("alpha".into())),
            part("release and grant", 11, Source::Usual),
            part("start web on beta", 110, Source::Measured("alpha".into())),
        ],
    };
    let restarted = Interruption {
        group: "mail".into(),
        from: beta.clone(),
        to: Some(beta.clone()),
        length: Some(Micros::from_millis(30_040)),
        parts: vec![
            part("stop smtp on beta", 40, Source::Measured(beta)),
            part("start smtp on beta", 30_000, Source::Limit),
        ],
    };
    let ended = Interruption {
        group: "old".into(),
        from: "alpha".into(),
        to: None,
        length: None,
        parts: Vec::new(),
    };
    let group = |name: &str, millis| (GroupId::from(name), rto(millis));
    PlanPreview {
        based_on: 4,
        differences: vec![
            String::from("timing: lease 800 ms -> 600 ms"),
            String::from("resource smtp: environment of [PASSWORD] differs"),
        ],
        actions: vec![
            action(ActionKind::Stop, "web", "alpha", &[]),
            action(ActionKind::Stop, "batch", "alpha", &[]),
            action(ActionKind::Start, "web", "beta", &[0]),
            action(ActionKind::Stop, "smtp", "beta", &[]),
            action(ActionKind::Start, "smtp", "beta", &[3]),
        ],
        interruptions: vec![restarted, ended, moved],
        live_changes: vec![String::from("site-ip: 10.0.0.101/24 added")],
        rto_before: BTreeMap::from([group("site", 829), group("mail", 900), group("api", 700)]),
        rto_after: BTreeMap::from([group("site", 629), group("mail", 700), group("api", 700)]),
        warnings: vec![String::from("apply would refuse this: …")],
    }
}

#[test]
fn a_change_says_what_it_stops_moves_and_costs() {
    let report = PreviewReport::of(change());
    let text = preview(&report) + &how_to_apply(&report, "apply FILE");
    compare("plan", &(text + "\n" + &json(&report)));
}

#[test]
fn what_changes_nothing_says_so() {
    let same = PlanPreview {
        based_on: 4,
        ..PlanPreview::default()
    };
    compare("same", &preview(&PreviewReport::of(same)));
}

fn view() -> View {
    let mut view = View::default();
    view.state.config_version = 3;
    let reasons = ["first", "", "a longer lease for the new switch"];
    for (version, reason) in (1..).zip(reasons) {
        view.state.config_history.push_back(ConfigRecord {
            version,
            index: 10 + version,
            wall_ms: NOON + version * 60_000,
            author: String::from(if version == 2 {
                "eva@beta"
            } else {
                "root@alpha"
            }),
            reason: reason.to_owned(),
            text: (version == 2).then(String::new),
        });
    }
    let draft = |based_on, reason: &str| Draft {
        text: String::new(),
        based_on,
        wall_ms: NOON,
        author: String::from("eva@beta"),
        reason: reason.to_owned(),
    };
    view.state.drafts = BTreeMap::from([
        (String::from("monday"), draft(3, "third web server")),
        (String::from("old-idea"), draft(1, "")),
    ]);
    view
}

#[test]
fn the_history_says_who_when_and_why() {
    let text = config_history(&view(), 20);
    compare("history", &(text + "\n" + &config_history_json(&view(), 2)));
    let none = config_history(&View::default(), 20);
    assert_eq!(none, "No configuration has been applied yet.\n");
}

#[test]
fn drafts_say_what_they_were_made_from() {
    compare("drafts", &(drafts(&view()) + "\n" + &drafts_json(&view())));
    assert_eq!(drafts(&View::default()), "There are no drafts.\n");
}
