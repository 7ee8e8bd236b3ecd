//! Copies of which one is promoted, on nodes with attributes (`tests/golden/promoted.txt`), the same where the promoted one's
//! node is lost (`tests/golden/promoted-lost.txt`), and where nobody can be promoted (`tests/golden/promoted-none.txt`).

use super::{FIRST, compare, healthy, instance, json, known, lose, reason, said, set};
use crate::render::{Explanation, Status, Style, explain};
use standfast_model::{
    id::ResourceId,
    plan::{Assignment, INFINITY, Reason},
    request::View,
    state::Phase,
};

const CONFIG: &str = r#"
[cluster]
name = "demo"
[nodes.alpha]
addresses = ["10.80.1.1:7400", "10.80.2.1:7400"]
attributes = { rack = "a", disk = "ssd", note = "bought in 2024" }
[nodes.beta]
addresses = ["10.80.1.2:7400", "10.80.2.2:7400"]
attributes = { rack = "b", disk = "hdd" }
[nodes.gamma]
addresses = ["10.80.1.3:7400", "10.80.2.3:7400"]
[groups.db]
members = ["billing"]
copies = "all"
promoted = 1
[groups.site]
members = ["site-ip"]
[resources.billing]
kind = "ocf"
agent = "ocf:ours:billing"
effects = "processes"
[resources.site-ip]
kind = "vip"
addresses = ["10.80.1.100/24"]
[location.primary-in-a]
group = "db:promoted"
where = { rack = "a" }
score = 500
[location.primary-on-ssd]
group = "db:promoted"
where = { disk = { defined = true, not = "ssd" } }
score = "-INFINITY"
[colocation.address-of-primary]
group = "site"
with = "db:promoted"
score = "INFINITY"
"#;

fn give(view: &mut View, group: &str, node: Option<&str>, reasons: Vec<Reason>) {
    let members: Vec<ResourceId> = view.state.config.groups[&group.into()].members.clone();
    let resources: Vec<String> = members.iter().map(ToString::to_string).collect();
    let assignment = Assignment {
        node: node.map(Into::into),
        members,
        reasons,
        since: FIRST,
        ..Assignment::default()
    };
    view.state.plan.groups.insert(group.into(), assignment);
    for resource in node.iter().flat_map(|_| &resources) {
        let phase = instance(Phase::Active);
        set(view, node.expect("a node"), resource, phase);
    }
}

/// Copies on all three nodes, the one on alpha is promoted and has the address.
fn promoted() -> View {
    let mut view = healthy();
    view.state.config = standfast_config::parse(CONFIG, "config").expect("config").0;
    view.state.plan.groups.clear();
    view.state.may_hold.clear();
    view.state.journal.clear();
    view.predicted_rto.clear();
    for node in ["alpha", "beta", "gamma"] {
        known(&mut view, node).report.instances.clear();
    }
    for node in ["alpha", "beta", "gamma"] {
        give(&mut view, &format!("db:{node}"), Some(node), Vec::new());
        let score = (node != "beta").then_some(100);
        let resource = format!("billing:{node}");
        let mut copy = instance(Phase::Active);
        copy.promotion = score;
        set(&mut view, node, &resource, copy);
    }
    let reasons = vec![
        reason(Some("alpha"), INFINITY, "runs on alpha (stickiness)"),
        reason(Some("alpha"), 500, "location primary-in-a: rack is a"),
        reason(Some("alpha"), 100, "promotion score of db:alpha"),
        reason(Some("gamma"), 100, "promotion score of db:gamma"),
        reason(
            Some("beta"),
            -INFINITY,
            "location primary-on-ssd: disk is hdd, not ssd",
        ),
    ];
    give(&mut view, "db:promoted", Some("alpha"), reasons);
    give(&mut view, "site", Some("alpha"), Vec::new());
    view
}

fn explained(view: &View) -> String {
    let role = Explanation::of(view, &"db:promoted".into()).expect("group");
    let text = explain(&role, Style::default());
    format!("\n$ standfast explain db:promoted\n{text}")
}

#[test]
fn copies_have_one_row_and_the_promoted_role_has_its_own() {
    let view = promoted();
    compare("promoted", &(said(&view) + &explained(&view)));
    let document = json(&Status::of(&view));
    let document: serde_json::Value = serde_json::from_str(&document).expect("JSON");
    // The table has what locations ask for, the document everything.
    assert_eq!(document["nodes"][0]["attributes"]["note"], "bought in 2024");
    assert_eq!(document["nodes"][2]["attributes"], serde_json::Value::Null);
}

#[test]
fn another_copy_is_promoted_when_the_node_is_lost() {
    let mut view = promoted();
    lose(&mut view, "alpha");
    let gone = vec![reason(Some("alpha"), -INFINITY, "alpha is not online")];
    give(&mut view, "db:alpha", None, gone);
    let reasons = vec![reason(Some("gamma"), 100, "promotion score of db:gamma")];
    give(&mut view, "db:promoted", Some("gamma"), reasons);
    give(&mut view, "site", Some("gamma"), Vec::new());
    compare("promoted-lost", &said(&view));
}

#[test]
fn nobody_is_promoted_without_a_score() {
    let mut view = promoted();
    let reasons = ["alpha", "beta", "gamma"].map(|node| {
        let text = format!("db:{node} has no promotion score yet");
        reason(Some(node), -INFINITY, &text)
    });
    let mut reasons = reasons.to_vec();
    reasons.insert(0, reason(None, 0, "no node can run it"));
    give(&mut view, "db:promoted", None, reasons);
    let text = "colocation address-of-primary: only with db:promoted, which runs nowhere";
    let nowhere = ["alpha", "beta", "gamma"].map(|node| reason(Some(node), -INFINITY, text));
    give(&mut view, "site", None, nowhere.to_vec());
    for resource in ["billing:promoted", "site-ip"] {
        set(&mut view, "alpha", resource, instance(Phase::Inactive));
        view.state.may_hold.remove(&resource.into());
    }
    compare("promoted-none", &(said(&view) + &explained(&view)));
}
