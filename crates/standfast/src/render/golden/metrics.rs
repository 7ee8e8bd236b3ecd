//! Metrics of handmade views, and that the shipped alerts and dashboard name nothing that is not there.

use super::{Phase, compare, healthy, instance, known, lose, set};
use crate::render::{DeviceSeen, Form, Local, metrics};
use standfast_model::{
    authority::AuthorityStep,
    fence_act::{FenceAct, FenceOutcome},
    outage::{Cause, Outage, Service, Totals},
    request::View,
    state::FailureRecord,
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fs,
    path::Path,
};

fn local() -> Local {
    Local {
        certificates: BTreeMap::from([(String::from("node.crt"), 1_826_811_886)]),
        devices: BTreeMap::from([
            (
                String::from("ipmi-beta"),
                DeviceSeen {
                    up: true,
                    last_good: Some(1_795_275_870),
                },
            ),
            (String::from("pdu"), DeviceSeen::default()),
        ]),
    }
}

fn failed_over() -> View {
    let mut view = super::authority::changing(healthy(), AuthorityStep::Take);
    lose(&mut view, "alpha");
    set(&mut view, "beta", "site-ip", instance(Phase::StopFailed));
    let sick = &mut known(&mut view, "beta").report;
    sick.sick_interfaces
        .insert(String::from("eth\"0\\"), String::from("no carrier"));
    sick.guards.watchdog = Some(super::watchdog());
    let record = FailureRecord {
        count: 2,
        ..FailureRecord::default()
    };
    let failures = view.state.failures.entry("web".into()).or_default();
    failures.insert("alpha".into(), record);
    let mut totals = Totals::default();
    totals.add(950);
    totals.add(1_320);
    let outage = Outage {
        cause: Cause::Failover,
        from: "alpha".into(),
        to: Some("beta".into()),
        began_ms: 1_795_275_880_250,
        noticed_ms: 1_795_275_881_070,
        ended_ms: Some(1_795_275_881_200),
    };
    let service = Service {
        on: None,
        open: Some(Outage {
            ended_ms: None,
            ..outage.clone()
        }),
        totals: BTreeMap::from([(Cause::Failover, totals)]),
        last: VecDeque::from([outage]),
    };
    view.state.service.insert("site".into(), service);
    fenced(&mut view);
    view
}

/// A fencing that failed, and nobody has confirmed yet.
fn fenced(view: &mut View) {
    let act = FenceAct {
        id: 7,
        node: "alpha".into(),
        incarnation: known(view, "alpha").report.incarnation,
        by: String::from("the cluster"),
        why: String::new(),
        power_on: true,
        lost: true,
        drill: None,
        levels: Vec::new(),
        level: 0,
        executor: None,
        executor_run: standfast_model::id::Incarnation(0),
        turn: 1,
        spent: BTreeSet::new(),
        tries: Vec::new(),
        outcome: FenceOutcome::Failed,
        began_ms: 0,
        ended_ms: 0,
    };
    view.state.fences.push_back(act);
    view.state.fence_totals.insert(FenceOutcome::Failed, 1);
}

#[test]
fn both_formats_say_the_same() {
    let text = metrics(&failed_over(), &local(), Form::OpenMetrics);
    compare("metrics", &text);
    assert!(text.ends_with("# EOF\n"));
    let plain = metrics(&failed_over(), &local(), Form::Prometheus);
    let series = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(series(&plain), series(&text));
    assert!(!plain.contains("# UNIT"), "Prometheus has none");
}

#[test]
fn alerts_and_dashboard_name_metrics_that_exist() {
    let text = metrics(&failed_over(), &local(), Form::Prometheus);
    let known: BTreeSet<&str> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for file in [
        "contrib/prometheus/standfast.rules.yml",
        "contrib/grafana/standfast.json",
        "docs/metrics.md",
    ] {
        let text = fs::read_to_string(root.join(file)).expect(file);
        let mut named = 0;
        for word in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            if word.starts_with("standfast_") {
                let histogram = format!("{word}_count");
                let there = known.contains(word) || known.contains(histogram.as_str());
                assert!(there, "{file} names {word}, which is not served");
                named += 1;
            }
        }
        assert!(named > 10, "{file} names only {named}");
    }
    let dashboard = fs::read_to_string(root.join("contrib/grafana/standfast.json")).expect("file");
    serde_json::from_str::<serde_json::Value>(&dashboard).expect("JSON");
}
