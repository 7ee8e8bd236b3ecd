//! Groups whose turn has not come: one that waits to start (`tests/golden/waits.txt`), and one that stays until another one
//! is stopped (`tests/golden/stays.txt`).

use super::{compare, explained, healthy, instance, place, reason, said, set};
use crate::render::{Status, json};
use standfast_model::{plan::Waiting, request::View, state::Phase};

fn wait(view: &mut View, waiting: Waiting) {
    let site = view.state.plan.groups.get_mut(&"site".into());
    site.expect("site").waiting = Some(waiting);
}

fn waiting(node: &str) -> Waiting {
    Waiting {
        order: String::from("db-before-site"),
        on: "db".into(),
        node: Some(node.into()),
    }
}

#[test]
fn who_waits_says_for_whom() {
    let mut view = healthy();
    let turn = "order db-before-site: waits until db is active, and is to run on alpha";
    place(&mut view, None, vec![reason(None, 0, turn)]);
    for resource in ["site-ip", "web"] {
        set(&mut view, "alpha", resource, instance(Phase::Inactive));
    }
    wait(&mut view, waiting("alpha"));
    compare("waits", &(said(&view) + &explained(&view)));
    let document = json(&Status::of(&view));
    let document: serde_json::Value = serde_json::from_str(&document).expect("JSON");
    let line = &document["groups"][0]["waits_for"];
    assert_eq!(line["group"], "db");
    assert_eq!(line["order"], "db-before-site");
    assert_eq!(line["node"], "alpha");
}

#[test]
fn who_stays_says_until_when() {
    let mut view = healthy();
    wait(&mut view, waiting("beta"));
    compare("stays", &said(&view));
}
