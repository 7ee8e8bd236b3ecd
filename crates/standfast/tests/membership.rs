//! Nodes that leave and come back, with real agents.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod machines;

use machines::{Machine, all_online, cluster, join, runs_on, serve};
use std::fs;

/// Drained, removed, cut off; its old certificate is worth nothing even when another machine has joined
/// under its name.
#[test]
fn a_removed_node_is_out_for_good_and_says_so() {
    let mut machines = cluster("remove", &["alpha", "beta", "gamma"]);
    serve(&machines);
    let said = machines[1].ask(&["remove", "alpha"]);
    assert_eq!(said.code, 107, "{said:?}");
    assert!(said.err.contains("standfast node drain alpha"), "{said:?}");
    assert_eq!(machines[1].ask(&["remove", "delta"]).code, 105);
    machines[1].ok(&["node", "drain", "alpha"]);
    let said = machines[1].ok(&["remove", "--json", "alpha"]);
    assert!(
        said.contains("\"schema\": \"standfast/remove/1\""),
        "{said}"
    );

    let mut removed = machines.remove(0);
    removed.wait_for_status("REMOVED: alpha is no member of the cluster any more");
    assert_eq!(removed.services(), 0);
    assert_eq!(removed.ask(&["check"]).code, 2);
    machines[0].wait_for_status("2 of 2 nodes online");
    assert!(
        machines[0]
            .ok(&["history"])
            .contains("alpha (m1) was removed by root")
    );

    // Another machine takes the name. The old one is still there, with a certificate of that very name.
    let mut other = Machine::new("remove-again", "alpha");
    join(&machines[0], &mut other);
    machines[0].wait_for_status("3 of 3 nodes online");
    assert!(
        removed.status().starts_with("REMOVED: alpha"),
        "{}",
        removed.status()
    );
    removed.kill();
    removed.start();
    removed.wait_for_status("REMOVED: alpha");
    machines.push(other);
    all_online(&machines);
    runs_on(&machines[0], "beta");
    let log = fs::read_to_string(machines[0].path("log")).expect("log");
    assert!(log.contains("not the one that alpha joined with"), "{log}");
}
