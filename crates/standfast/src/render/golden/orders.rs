//! What operators have ordered, as `status` says it: `tests/golden/orders.txt`, `tests/golden/disabled.txt`.

use super::{NOON, compare, explained, health, healthy, instance, place, reason, said, set};
use crate::render::{Health, Status, json};
use standfast_model::{
    id::NodeId,
    order::{Given, Maintenance, NodeMaintenance, Orders, Standby, Wish},
    state::Phase,
};

fn given(by: &str) -> Given {
    Given {
        by: by.to_owned(),
        index: 40,
        wall_ms: NOON,
    }
}

fn wish(node: &str, ban: bool, until_ms: Option<u64>) -> Wish {
    Wish {
        node: node.into(),
        ban,
        given: given("eva@alpha"),
        until_ms,
    }
}

#[test]
fn a_wish_is_shown_with_its_end_and_who_gave_it() {
    let mut view = healthy();
    let orders = Orders {
        wishes: vec![
            wish("alpha", false, Some(NOON + 28_800_000)),
            wish("beta", true, None),
        ],
        ..Orders::default()
    };
    view.state.orders.insert("site".into(), orders);
    assert_eq!(health(&view), Health::Ok, "a wish is no problem");
    compare("orders", &said(&view));
    let document = json(&Status::of(&view));
    let document: serde_json::Value = serde_json::from_str(&document).expect("JSON");
    let wishes = &document["groups"][0]["wishes"];
    assert_eq!(wishes[0]["until_ms"], NOON + 28_800_000);
    assert_eq!(wishes[1]["ban"], true);
}

#[test]
fn maintenance_by_an_order_is_shown_with_who_and_since_when() {
    let mut view = healthy();
    let maintained = NodeMaintenance {
        given: given("ada@beta"),
        groups: ["site".into()].into(),
    };
    view.state.maintenance = Maintenance {
        cluster: Some(given("eva@alpha")),
        nodes: [("alpha".into(), maintained)].into(),
    };
    let orders = Orders {
        unmanaged: Some(given("bob@gamma")),
        ..Orders::default()
    };
    view.state.orders.insert("site".into(), orders);
    let beta = view
        .state
        .nodes
        .get_mut(&NodeId::from("beta"))
        .expect("beta");
    beta.drained = true;
    beta.standby = Some(Standby {
        given: given("eva@alpha"),
        until_ms: Some(NOON + 3_600_000),
    });
    compare("maintained", &said(&view));
    view.state.maintenance = Maintenance::default();
    view.state.orders.clear();
    let status = Status::of(&view);
    assert!(!status.groups[0].maintenance, "all of them are orders");
}

#[test]
fn a_disabled_group_is_no_outage() {
    let mut view = healthy();
    let orders = Orders {
        disabled: Some(given("eva@alpha")),
        ..Orders::default()
    };
    view.state.orders.insert("site".into(), orders);
    place(
        &mut view,
        None,
        vec![reason(None, 0, "eva@alpha disabled it")],
    );
    for resource in ["site-ip", "web"] {
        set(&mut view, "alpha", resource, instance(Phase::Inactive));
    }
    assert_eq!(health(&view), Health::Degraded);
    compare("disabled", &(said(&view) + &explained(&view)));
}
