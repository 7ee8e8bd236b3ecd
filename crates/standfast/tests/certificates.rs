//! Certificates of very short lives, with real agents: renewed by themselves without a lost heartbeat,
//! missed when that fails, and replaced together with their keys.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod machines;

use machines::{Machine, cluster_with, runs_on, serve_patiently};
use std::{collections::BTreeSet, fs, path::Path, thread, time::Duration};

/// Each node's end of its certificate, as this machine sees it.
fn ends(seen_from: &Machine) -> Vec<String> {
    let text = seen_from.ok(&["cert", "show"]);
    let lines = text
        .lines()
        .filter(|line| line.contains("certificate ends"));
    lines.map(str::to_owned).collect()
}

fn keys(seen_from: &Machine) -> Vec<String> {
    let text = seen_from.ok(&["cert", "show"]);
    let lines = text.lines().filter(|line| line.contains("public key"));
    lines.map(|line| line.trim().to_owned()).collect()
}

#[test]
fn certificates_renew_themselves_and_no_heartbeat_is_lost() {
    let names = ["alpha", "beta", "gamma"];
    let machines = cluster_with("renew", &names, &["--certificate-life", "6"]);
    serve_patiently(&machines);
    machines[0].wait_for("certificates that are known", |machine| {
        ends(machine).len() == 3
    });
    // A machine that is busy with something else may lose a heartbeat: it does not each time.
    let lost = || {
        machines
            .iter()
            .map(|machine| machine.log().matches("link down").count())
            .sum::<usize>()
    };
    let quiet = (0..3).any(|_| {
        let before = lost();
        let seen = renewals(&machines[0]);
        assert!(seen.iter().all(|ends| ends.len() >= 3), "{seen:?}");
        lost() == before
    });
    assert!(quiet, "a link was lost each time");
    assert!(
        machines
            .iter()
            .all(|machine| !machine.log().contains("has expired"))
    );
    cannot_be_renewed(&machines);
}

/// The ends of each node's certificates that follow each other for eleven seconds.
fn renewals(seen_from: &Machine) -> Vec<BTreeSet<String>> {
    let mut seen = vec![BTreeSet::new(); 3];
    for _ in 0..110 {
        for (seen, end) in seen.iter_mut().zip(ends(seen_from)) {
            seen.insert(end);
        }
        thread::sleep(Duration::from_millis(100));
    }
    runs_on(seen_from, "alpha");
    seen
}

/// Without the authority's key: long before its end it is said, and it is served beyond.
fn cannot_be_renewed(machines: &[Machine]) {
    let key = machines[2].path("state/pki/ca.key");
    let text = fs::read_to_string(&key).expect("key");
    assert!(!text.contains("PRIVATE"), "it is not in plain text");
    let away = machines[2].path("ca.key");
    fs::rename(&key, &away).expect("moved");
    machines[0].wait_for_status("the certificate of gamma cannot be renewed");
    assert_eq!(machines[0].ask(&["check"]).code, 1);
    thread::sleep(Duration::from_secs(4));
    assert!(
        machines[0].status().contains("runs on alpha"),
        "{}",
        machines[0].status()
    );
    assert!(
        machines[0]
            .ok(&["cert", "show"])
            .contains("CANNOT BE RENEWED")
    );
    fs::rename(&away, &key).expect("moved");
}

#[test]
fn a_new_key_takes_effect_at_once_and_the_old_one_is_worth_nothing() {
    let mut machines = cluster_with("rotate", &["alpha", "beta", "gamma"], &[]);
    serve_patiently(&machines);
    let before_all = machines[0].ok(&["history"]).matches("is lost").count();
    let before = keys(&machines[1]);
    assert_eq!(before.len(), 3);
    let stolen = machines[1].path("stolen");
    copy(&machines[1].path("state/pki"), &stolen);
    let said = machines[1].ask(&["cert", "rotate", "alpha"]);
    assert_eq!(said.code, 2, "{said:?}");
    machines[1].ok(&["cert", "rotate"]);
    machines[1].wait_for("end of the old key", |machine| keys(machine).len() == 3);
    let after = keys(&machines[1]);
    assert_eq!(
        (after.len(), &after[0], &after[2]),
        (3, &before[0], &before[2])
    );
    assert_ne!(after[1], before[1]);
    // Nothing stops for it: the connections are made anew long before a lease is over.
    runs_on(&machines[0], "alpha");
    machines[0].wait_for_status("All well");
    let lost = machines[0].ok(&["history"]).matches("is lost").count();
    assert_eq!(lost, before_all);

    // Who has the old key and certificate is nobody.
    machines[1].kill();
    machines[0].wait_for_status("node beta is offline");
    let said = machines[2].ask(&["cert", "rotate"]);
    assert_eq!(said.code, 107, "beta would not know it: {said:?}");
    let (pki, aside) = (machines[1].path("state/pki"), machines[1].path("aside"));
    fs::rename(&pki, &aside).expect("moved");
    fs::rename(&stolen, &pki).expect("moved");
    machines[1].start();
    machines[0].wait_for("refusal of the old key", |machine| {
        machine.log().contains("not the one that beta joined with")
    });
    assert!(machines[0].status().contains("node beta is offline"));
    machines[1].kill();
    fs::rename(&pki, &stolen).expect("moved");
    fs::rename(&aside, &pki).expect("moved");
    machines[1].start();
    machines[0].wait_for_status("All well");
}

fn copy(from: &str, to: &str) {
    fs::create_dir(to).expect("folder");
    for entry in fs::read_dir(from).expect("folder").flatten() {
        fs::copy(entry.path(), Path::new(to).join(entry.file_name())).expect("copy");
    }
}
