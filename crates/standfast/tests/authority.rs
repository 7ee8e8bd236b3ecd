//! The certificate authority of a running cluster is replaced, with real agents: one is away, one is killed, one is
//! interrupted between two of its files, and a machine joins meanwhile. The service notices nothing.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may panic, and says what it saw"
)]

mod machines;

use machines::{Machine, all_online, cluster, join, run, runs_on, serve_patiently};
use std::{collections::BTreeSet, fs, path::Path};

/// Fingerprints of the authorities that the nodes' certificates are from.
fn authorities(seen_from: &Machine) -> BTreeSet<String> {
    let text = seen_from.ok(&["cert", "show"]);
    let lines = text.lines().filter(|line| line.starts_with("authority"));
    let last = |line: &str| line.split_whitespace().last().map(str::to_owned);
    lines.filter_map(last).collect()
}

fn service(machine: &Machine) -> Vec<String> {
    let all = fs::read_dir("/proc").expect("/proc").flatten();
    all.filter(|entry| {
        let read = |name| fs::read(entry.path().join(name)).unwrap_or_default();
        String::from_utf8_lossy(&read("cgroup")).contains(&machine.cgroup)
            && read("cmdline").starts_with(b"/bin/sleep\0")
    })
    .map(|entry| entry.file_name().to_string_lossy().into_owned())
    .collect()
}

fn is_over(machine: &Machine) -> bool {
    let text = machine.ok(&["cert", "show"]);
    !text.contains("is being replaced") && authorities(machine).len() == 1
}

/// Nothing of a change is left on the disk.
fn is_tidy(machine: &Machine) -> bool {
    let files = fs::read_dir(machine.path("state/pki")).expect("folder");
    let names: BTreeSet<String> = files
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names
        == ["ca.crt", "ca.key", "node.crt", "node.key"]
            .map(str::to_owned)
            .into()
}

#[test]
fn the_authority_is_replaced_while_nodes_come_and_go_and_the_service_runs_on() {
    let mut machines = cluster("authority", &["alpha", "beta", "gamma"]);
    serve_patiently(&machines);
    let process = service(&machines[0]);
    machines[0].wait_for("one authority", |machine| authorities(machine).len() == 1);
    let old = authorities(&machines[0]);
    let early = machines[0].ok(&["token"]);

    // One is away: the others wait for it, and say so.
    machines[2].kill();
    machines[0].wait_for_status("node gamma is offline");
    let rotate = ["cert", "rotate", "--ca", "--wait", "1"];
    let said = machines[1].ask(&[&rotate[..], &["--reason", "a disk was stolen"]].concat());
    println!("{}{}", said.out, said.err);
    assert_eq!(said.code, 124, "{said:?}");
    assert!(said.err.contains("standfast remove gamma"), "{said:?}");
    machines[0].wait_for_status("step 1 of 2 waits for gamma to trust the new one");
    let doctor = machines[0].ask(&["doctor"]);
    assert!(
        doctor.out.contains("authority is being replaced"),
        "{doctor:?}"
    );
    let backup = machines[0].path("backup");
    machines[0].ok(&["backup", &backup]);
    let said = machines[1].ask(&rotate);
    assert_eq!(said.code, 124, "asked once more: {said:?}");
    assert!(said.out.contains("is being replaced already"), "{said:?}");

    // It comes back and is interrupted between two files.
    let in_the_way = machines[2].path("state/pki/.node.crt.new");
    fs::create_dir(&in_the_way).expect("folder");
    machines[2].start();
    machines[0].wait_for_status("step 2 of 2 waits for gamma to use the new one");
    let both = authorities(&machines[0]);
    assert_eq!(both.len(), 2, "{}", machines[0].ok(&["cert", "show"]));
    println!("{}", machines[0].ok(&["cert", "show"]));
    // Who began it is killed. Whoever joins now trusts both. A token from before is refused, with the reason.
    let mut delta = Machine::new("authority", "delta");
    let said = delta.set_up(&["join", "--token-file", "-"], &early);
    assert_ne!(said.code, 0, "{said:?}");
    assert!(
        format!("{said:?}").contains("its authority was replaced since"),
        "{said:?}"
    );
    machines[1].kill();
    machines[1].start();
    all_online(&machines);
    join(&machines[0], &mut delta);
    machines.push(delta);
    all_online(&machines);
    machines[2].kill();
    fs::remove_dir(&in_the_way).expect("folder");
    machines[2].start();
    machines[0].wait_for("end of the change", is_over);
    let new = authorities(&machines[0]);
    assert!(new.is_disjoint(&old) && new.is_subset(&both));
    for machine in &machines {
        machine.wait_for("tidy folder", is_tidy);
    }
    all_online(&machines);
    let history = machines[3].ok(&["history"]);
    println!("{history}");
    for text in [
        "began to replace the certificate authority: a disk was stolen",
        "every member trusts the new certificate authority",
        "the old one is trusted no more",
        "made a token to join with, on alpha",
    ] {
        assert!(history.contains(text), "no {text:?}: {history}");
    }
    assert_eq!(history.matches("site moves").count(), 0, "{history}");
    assert_eq!(service(&machines[0]), process, "the same process as before");
    restored_in_the_middle(&backup);
}

/// A backup from the middle of a change: the new cluster has an authority of its own, and no change under way.
fn restored_in_the_middle(backup: &str) {
    let mut fresh = Machine::new("authority-restore", "omega");
    fresh
        .set_up(&["restore", backup, "--yes"], "")
        .ok("restore");
    fresh.start();
    runs_on(&fresh, "omega");
    fresh.wait_for("own authority", is_over);
}

#[test]
fn who_was_removed_meanwhile_is_told_so_and_joins_again() {
    let mut machines = cluster("authority-away", &["alpha", "beta", "gamma"]);
    let said = machines[0].ok(&["cert", "rotate", "--ca"]);
    println!("{said}");
    assert!(said.contains("the old one is worth nothing"), "{said}");
    for machine in &machines {
        machine.wait_for("end of the change", is_over);
    }
    let mut gamma = machines.pop().expect("gamma");
    gamma.kill();
    machines[0].wait_for_status("node gamma is offline");
    let said = machines[0].ok(&["cert", "rotate", "--ca", "--wait", "0", "--json"]);
    assert!(
        said.contains("\"schema\": \"standfast/cert-rotate/1\""),
        "{said}"
    );
    machines[0].wait_for_status("waits for gamma");
    machines[0].ok(&["remove", "gamma"]);
    machines[0].wait_for("end of the change", is_over);
    for machine in &machines {
        machine.wait_for("tidy folder", is_tidy);
    }
    gamma.start();
    gamma.wait_for_status("REMOVED: gamma");
    let status = gamma.status();
    println!("{status}");
    assert!(
        status.contains("replaced their certificate authority"),
        "{status}"
    );
    assert!(status.contains("`standfast destroy` here"), "{status}");
    gamma.kill();
    run(&["destroy", "--yes", "--state", &gamma.state()], "").ok("destroy");
    assert!(!Path::new(&gamma.path("state/pki")).exists());
    join(&machines[0], &mut gamma);
    machines[0].wait_for_status("3 of 3 nodes online");
}
