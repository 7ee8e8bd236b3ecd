//! Logs, doctor and report, asked at one node about all of them.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod machines;

use machines::{Machine, PATIENCE, PROGRAM, cluster, serve};
use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    sync::mpsc::channel,
    thread,
};

fn read_archive(file: &str) -> String {
    let output = Command::new("tar").args(["-xzOf", file]).output();
    String::from_utf8_lossy(&output.expect("tar").stdout).into_owned()
}

fn names_in(file: &str) -> String {
    let output = Command::new("tar").args(["-tzf", file]).output();
    String::from_utf8_lossy(&output.expect("tar").stdout).into_owned()
}

#[test]
fn any_node_answers_for_all() {
    let mut machines = cluster("asking", &["alpha", "beta", "gamma"]);
    serve(&machines);
    logs(&machines);
    doctor(&machines);
    report(&machines);

    let mut lost = machines.remove(1);
    lost.kill();
    machines[0].wait_for_status("Degraded: node beta is offline");
    let said = machines[0].ask(&["logs"]);
    assert_eq!(said.code, 124, "{said:?}");
    assert!(
        said.err.contains("beta: beta did not answer within"),
        "{said:?}"
    );
    assert!(said.out.contains("gamma  "), "{said:?}");
    let said = machines[0].ask(&["doctor"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(
        said.out
            .contains("CRITICAL  beta, reached: this node was not examined"),
        "{said:?}"
    );
    assert!(
        said.out
            .contains("alpha, links: beta is heard on 0 of 1 links"),
        "{said:?}"
    );

    // The machine itself, without its agent.
    let said = lost.ask(&[
        "doctor",
        "--state",
        &lost.path("state"),
        "--cgroup",
        &lost.cgroup,
    ]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.out.contains("this node protects nothing"), "{said:?}");
    assert!(said.out.contains("certificates"), "{said:?}");
    let file = lost.path("report.tar.gz");
    let said = lost.ask(&["report", &file, "--state", &lost.path("state")]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.out.contains("not in it: no agent answers"), "{said:?}");
    assert!(names_in(&file).contains("/doctor.txt"));
    machines.push(lost);
}

fn logs(machines: &[Machine]) {
    let gamma = &machines[2];
    let all = gamma.ok(&["logs"]);
    for node in ["alpha", "beta", "gamma"] {
        let own = all.lines().filter(|line| line.starts_with(node));
        assert!(own.count() > 0, "{node} in\n{all}");
    }
    let alpha = gamma.ok(&["logs", "alpha", "-n", "2"]);
    assert_eq!(alpha.lines().count(), 2, "{alpha}");
    assert!(
        alpha.lines().all(|line| line.starts_with("alpha  20")),
        "{alpha}"
    );
    let json = gamma.ok(&["logs", "beta", "--json", "-n", "1"]);
    assert!(
        json.starts_with("{\"schema\":\"standfast/log/1\",\"node\":\"beta\",\"source\":\"agent\""),
        "{json}"
    );
    assert_eq!(gamma.ask(&["logs", "delta"]).code, 105);
    assert_eq!(gamma.ask(&["logs", "--group", "delta"]).code, 105);
    follow(gamma);
}

/// What happens elsewhere appears while it is followed.
fn follow(machine: &Machine) {
    let mut child = Command::new(PROGRAM)
        .args([
            "--socket",
            &machine.path("run/standfast.sock"),
            "logs",
            "-f",
            "-n",
            "0",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .expect("logs");
    let output = BufReader::new(child.stdout.take().expect("output"));
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    thread::sleep(std::time::Duration::from_secs(1));
    machine.ok(&["switchover", "site"]);
    let stopped = std::iter::from_fn(|| lines.recv_timeout(PATIENCE).ok());
    let found = stopped.into_iter().any(|line| line.contains("stop"));
    child.kill().expect("killed");
    child.wait().expect("ended");
    assert!(found, "nobody logged the stop");
}

fn doctor(machines: &[Machine]) {
    let said = machines[0].ask(&["doctor", "--json"]);
    let found: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(found["schema"], "standfast/doctor/1");
    assert_eq!(found["examined"].as_array().expect("list").len(), 3);
    assert_eq!(found["not_reached"].as_array().expect("list").len(), 0);
    for subject in [
        "agent",
        "links",
        "fsync",
        "stalls",
        "guards",
        "certificates",
        "leftovers",
        "disk",
    ] {
        let checked = found["checked"].as_array().expect("list");
        assert!(
            checked.iter().any(|one| one == subject),
            "{subject} in {found}"
        );
    }
    // These agents run without real-time priority, on a machine that may be busy: nothing else is wrong.
    for finding in found["findings"].as_array().expect("list") {
        let subject = finding["subject"].as_str().expect("subject");
        let stood_still = finding["text"]
            .as_str()
            .is_some_and(|text| text.contains("stood still"));
        assert!(
            stood_still || ["guards", "stalls", "fsync", "disk", "service unit"].contains(&subject),
            "{finding}"
        );
    }
    assert_eq!(said.code, 1, "{said:?}");
}

fn report(machines: &[Machine]) {
    let file = machines[0].path("report.tar.gz");
    machines[0].ok(&["report", &file]);
    let names = names_in(&file);
    for name in [
        "/README.txt",
        "/status.txt",
        "/state.json",
        "/history.json",
        "/cluster.toml",
        "/doctor.json",
        "/nodes/alpha/agent.log",
        "/nodes/beta/agent.log",
        "/nodes/gamma/agent.log",
    ] {
        assert!(names.contains(name), "{name} in\n{names}");
    }
    let text = read_archive(&file);
    assert!(text.contains("agent started"), "logs");
    assert!(!text.contains("PRIVATE KEY"), "keys");
    assert_eq!(machines[0].ask(&["report", &file]).code, 108);
    let mode = fs::metadata(&file).expect("file");
    assert_eq!(
        std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777,
        0o600
    );
}
