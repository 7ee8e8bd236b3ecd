//! A group with copies on three real agents: a copy that crashes, a node that loses its power and comes back, another number
//! of copies, and what the commands say meanwhile.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod machines;

use machines::{Machine, all_online, cluster};
use std::{fs, process::Command};

fn file(machines: &[Machine], copies: &str) -> String {
    let mut text = String::from("[cluster]\nname = \"demo\"\n");
    for machine in machines {
        text.push_str(&format!(
            "[nodes.{}]\naddresses = [\"{}\"]\nattributes = {{ disk = \"{}\", note = \"ours\" }}\n",
            machine.name,
            machine.address,
            if machine.name == "beta" { "hdd" } else { "ssd" }
        ));
    }
    text.push_str(&format!(
        "[groups.web]\nmembers = [\"sleeper\"]\ncopies = {copies}\n\
         [resources.sleeper]\nkind = \"process\"\ncommand = [\"/bin/sleep\", \"100000\"]\n"
    ));
    let file = machines.first().expect("a node").path("cluster.toml");
    fs::write(&file, text).expect("file");
    file
}

/// The processes of a machine's copy.
fn pids(machine: &Machine) -> Vec<u32> {
    let all = fs::read_dir("/proc").expect("/proc").flatten();
    let own = all.filter(|entry| {
        let read = |name| fs::read(entry.path().join(name)).unwrap_or_default();
        let cgroup = String::from_utf8_lossy(&read("cgroup")).into_owned();
        cgroup.contains(&machine.cgroup) && read("cmdline").starts_with(b"/bin/sleep\0")
    });
    own.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

fn all_run(machines: &[Machine]) {
    for machine in machines {
        machine.wait_for_status("alpha beta gamma");
        machine.wait_for_status("3 of 3 active");
    }
}

#[test]
fn copies_run_on_every_node_and_what_becomes_of_one_touches_no_other() {
    let mut machines = cluster("copies", &["alpha", "beta", "gamma"]);
    let all = file(&machines, "\"all\"");
    let said = machines[0].ok(&["plan", &all]);
    for node in ["alpha", "beta", "gamma"] {
        assert!(said.contains(&format!("sleeper:{node}")), "{said}");
    }
    machines[0].ok(&["apply", &all]);
    all_run(&machines);
    machines[0].wait_for_status("All well: 3 of 3 nodes online, 1 group running.");
    let first: Vec<Vec<u32>> = machines.iter().map(pids).collect();
    assert!(first.iter().all(|pids| pids.len() == 1), "{first:?}");

    a_copy_crashes(&machines, &first);
    a_node_is_lost(&mut machines);
    orders(&machines);
    another_number(&machines);
    by_attributes(&machines);
}

fn a_copy_crashes(machines: &[Machine], first: &[Vec<u32>]) {
    let crashed = first[2][0].to_string();
    let killed = Command::new("kill").args(["-9", &crashed]).status();
    assert!(killed.expect("kill").success());
    let gamma = &machines[2];
    gamma.wait_for("another process", |gamma| {
        let now = pids(gamma);
        now.len() == 1 && now != first[2]
    });
    all_run(machines);
    assert_eq!(pids(&machines[0]), first[0]);
    assert_eq!(pids(&machines[1]), first[1]);
    let status = gamma.status();
    let failed = "sleeper:gamma failed 1 time on gamma";
    assert!(status.contains(failed), "{status}");
    gamma.ok(&["resource", "cleanup", "web"]);
    gamma.wait_for("no failures", |gamma| !gamma.status().contains("failed"));
}

fn a_node_is_lost(machines: &mut [Machine]) {
    let before = pids(&machines[0]);
    machines[1].power_off();
    machines[0].wait_for_status("alpha gamma");
    let status = machines[0].status();
    let line = status.lines().next().expect("a sentence");
    assert!(
        line.starts_with("Degraded: node beta is offline"),
        "{status}"
    );
    assert!(
        !line.contains("copies of web") && line.contains("web runs on alpha and gamma"),
        "{status}"
    );
    assert!(status.contains("2 of 3 active"), "{status}");
    let explained = machines[0].ok(&["explain", "web"]);
    assert!(explained.contains("web:beta runs nowhere"), "{explained}");
    machines[1].start();
    all_online(machines);
    all_run(machines);
    assert_eq!(pids(&machines[0]), before);
}

fn orders(machines: &[Machine]) {
    let alpha = &machines[0];
    let said = alpha.ask(&["switchover", "web", "--to", "beta"]);
    assert!(
        said.code != 0 && said.err.contains("web has copies"),
        "{said:?}"
    );
    let before: Vec<Vec<u32>> = machines.iter().map(pids).collect();
    let said = alpha.ok(&["resource", "restart", "web"]);
    assert_eq!(said.lines().count(), 3, "{said}");
    let after: Vec<Vec<u32>> = machines.iter().map(pids).collect();
    let kept = before.iter().zip(&after).any(|(one, other)| one == other);
    assert!(
        !kept && after.iter().all(|pids| pids.len() == 1),
        "{before:?} {after:?}"
    );
    alpha.ok(&["resource", "ban", "web", "beta"]);
    assert_eq!(pids(&machines[1]), Vec::<u32>::new());
    alpha.ok(&["resource", "clear", "web"]);
    all_run(machines);
    alpha.ok(&["resource", "disable", "web"]);
    assert!(machines.iter().all(|machine| pids(machine).is_empty()));
    let said = alpha.ok(&["resource", "enable", "web"]);
    assert!(said.contains("alpha and beta and gamma"), "{said}");
    all_run(machines);
}

/// Only where the disk is good: the copy elsewhere stops, and everybody says why.
fn by_attributes(machines: &[Machine]) {
    let alpha = &machines[0];
    let before: Vec<Vec<u32>> = machines.iter().map(pids).collect();
    let path = file(machines, "\"all\"");
    let plain = fs::read_to_string(&path).expect("file");
    let location = "[location.web-on-ssd]\ngroup = \"web\"\nwhere = { disk = { not = \"ssd\" } }\nscore = \"-INFINITY\"\n";
    fs::write(&path, format!("{plain}{location}")).expect("file");
    let said = alpha.ok(&["plan", &path]);
    assert!(
        said.contains("location web-on-ssd: added (web where disk is not ssd, -INFINITY)")
            && said.contains("stop sleeper:beta on beta"),
        "{said}"
    );
    let said = alpha.ok(&["simulate", "--apply", &path]);
    assert!(said.contains("web:beta"), "{said}");
    alpha.ok(&["apply", &path]);
    alpha.wait_for_status("2 of 2 active");
    let after: Vec<Vec<u32>> = machines.iter().map(pids).collect();
    let left = [before[0].clone(), Vec::new(), before[2].clone()];
    assert_eq!(after, left, "{before:?}");
    let said = alpha.ok(&["explain", "web:beta"]);
    assert!(
        said.contains("location web-on-ssd: disk is hdd, not ssd"),
        "{said}"
    );
    let said = alpha.ok(&["status"]);
    assert!(
        said.contains("disk=hdd") && !said.contains("note="),
        "{said}"
    );
    fs::write(&path, plain).expect("file");
    alpha.ok(&["apply", &path]);
    all_run(machines);
}

fn another_number(machines: &[Machine]) {
    let before: Vec<Vec<u32>> = machines.iter().map(pids).collect();
    let two = file(machines, "2");
    let said = machines[0].ok(&["plan", &two]);
    assert!(said.contains("group web: copies all -> 2"), "{said}");
    machines[0].ok(&["apply", &two]);
    machines[0].wait_for_status("2 of 2 active");
    let after: Vec<Vec<u32>> = machines.iter().map(pids).collect();
    let kept = before
        .iter()
        .zip(&after)
        .filter(|(one, other)| one == other);
    assert_eq!(kept.count(), 2, "{before:?} {after:?}");
    machines[0].ok(&["apply", &file(machines, "\"all\"")]);
    all_run(machines);
    let json = machines[0].ok(&["status", "--json"]);
    assert!(json.contains("\"wanted\": 3"), "{json}");
}
