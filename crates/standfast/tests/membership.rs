//! Nodes that leave and come back, with real agents.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may panic, and says what it saw"
)]

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

/// What would happen is said line by line and changes nothing; an interrupted join is done again; a witness
/// votes and runs nothing.
#[test]
fn a_set_up_checks_first_and_can_be_repeated() {
    let mut first = Machine::new("set-up", "alpha");
    let taken = std::net::UdpSocket::bind(&first.address).expect("port");
    let said = first.set_up(&["init"], "");
    assert_eq!(said.code, 78, "{said:?}");
    assert!(said.out.contains("refuse  address"), "{said:?}");
    assert!(said.out.contains("(UDP) is in use"), "{said:?}");
    drop(taken);
    let said = first.set_up(&["init", "--check"], "").ok("check");
    assert!(said.contains("a durable write takes"), "{said}");
    println!("{said}");
    let json = first.set_up(&["init", "--json"], "").ok("init");
    assert!(
        json.contains("\"schema\": \"standfast/set-up/1\""),
        "{json}"
    );
    assert_eq!(first.set_up(&["init"], "").code, 108, "never twice");
    first.start();
    first.wait_for_status("1 of 1 nodes online");

    let mut second = Machine::new("set-up", "beta");
    let said = second.set_up(&["join"], "");
    assert_eq!(said.code, 2, "no token, and nobody to ask: {said:?}");
    let token = first.ok(&["token"]);
    let join = ["join", "--token-file", "-"];
    let said = second.set_up(&[&join[..], &["--check"]].concat(), &token);
    println!("{}", said.out);
    assert_eq!(said.code, 0, "{said:?}");
    for line in [
        "clocks agree",
        "answers",
        "the member reaches",
        "as in the cluster",
    ] {
        assert!(said.out.contains(line), "no {line}: {said:?}");
    }
    // Only looked at: the token is good still, and nobody has joined.
    assert!(!first.status().contains("beta"));
    second.set_up(&join, &token).ok("join");
    // Interrupted before its state was on disk: with another token it is the same node.
    for file in ["state.redb", "identity.json", "acknowledged"] {
        fs::remove_file(second.path(&format!("state/{file}"))).expect("file");
    }
    let said = second.set_up(&join, &token);
    assert_eq!(said.code, 78, "a token is good once: {said:?}");
    assert!(said.out.contains("make a new token"), "{said:?}");
    second.set_up(&join, &first.ok(&["token"])).ok("join again");
    second.start();
    first.wait_for_status("2 of 2 nodes online");
    assert_eq!(first.ok(&["history"]).matches("beta joined as").count(), 1);

    let mut third = Machine::new("set-up", "gamma");
    let token = first.ok(&["token"]);
    let member = second.address.clone();
    let said = third.set_up(&["witness", "--token-file", "-", &member], &token);
    assert_eq!(said.code, 78, "that one has made no token: {said:?}");
    let witness = ["witness", "--token-file", "-", first.address.as_str()];
    let said = third.set_up(&witness, &token).ok("witness");
    assert!(said.contains("gamma is a witness of cluster"), "{said}");
    third.start();
    first.wait_for_status("voter, witness");
    first.wait_for_status("3 of 3 nodes online");
}
