//! The account of resources of a small Pacemaker cluster: `tests/golden/account.txt`. `UPDATE=1` writes what is said at
//! present.

use super::{Account, Style, account, golden::compare, json};
use standfast_cib::When;
use standfast_scheduler::input::Cluster;

#[path = "../../../pure/cib/tests/scenarios/notation.rs"]
mod notation;

/// The cluster, in the notation of the scenarios.
const GIVEN: &str = include_str!("../../tests/golden/account-given.txt");

fn cluster() -> Cluster {
    let cib = notation::read(GIVEN).cib;
    standfast_cib::read(&cib, When::At(notation::NOW)).expect("a CIB")
}

#[test]
fn an_account_adds_up_and_says_what_would_have_to_change() {
    let cluster = cluster();
    let mut text = String::new();
    for resource in ["site", "ip", "db", "dbs", "report"] {
        let told = Account::of(&cluster, resource).expect("a resource");
        text.push_str(&format!(
            "$ standfast simulate --cib account.xml --explain {resource}\n"
        ));
        text.push_str(&account(&told, Style::default()));
        text.push('\n');
    }
    compare("account", &text);
    assert!(Account::of(&cluster, "nothing").is_none());
}

#[test]
fn the_document_of_an_account_has_its_version() {
    let told = Account::of(&cluster(), "report").expect("a resource");
    let value: serde_json::Value = serde_json::from_str(&json(&told)).expect("JSON");
    assert_eq!(value["schema"], "standfast/account/1");
    assert_eq!(value["instances"][0]["nodes"][0]["node"], "n3");
    assert_eq!(value["elsewhere"][2]["there"], true);
}
