//! The operator guide does what it says: its first page is typed into real agents, line by line, and every
//! alert that is shipped has its paragraph.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test may panic: that is how it fails"
)]

mod machines;

use machines::{Machine, PATIENCE, PROGRAM};
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn page(name: &str) -> String {
    fs::read_to_string(root().join("docs/guide").join(name)).expect("page of the guide")
}

/// Blocks with that language.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let open = format!("```{language}\n");
    page.split(open.as_str())
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect()
}

/// The addresses of the page are those of machines that are not here, and an address of the network is the lab's matter.
fn ours(text: &str, machines: &[Machine]) -> String {
    let mut text = text.replace("\"site-ip\", ", "");
    if let Some(start) = text.find("[resources.site-ip]") {
        let end = text.find("[resources.web]").expect("resource after it");
        text.replace_range(start..end, "");
    }
    let port = machines::free_port();
    for (number, machine) in (1..).zip(machines) {
        text = text.replace(&format!("10.0.0.{number}:7400"), &machine.address);
    }
    text.replace("8080", &port.to_string())
}

/// `standfast` as it is on that machine: its own state folder and socket.
fn install(folder: &Path, machine: &Machine) {
    let script = format!(
        "#!/bin/sh\ncase $1 in\ninit|join) exec {PROGRAM} \"$@\" --state {} ;;\n*) exec {PROGRAM} --socket {} \"$@\" ;;\nesac\n",
        machine.state(),
        machine.path("run/standfast.sock"),
    );
    let bin = folder.join(&machine.name);
    fs::create_dir(&bin).expect("folder");
    let file = bin.join("standfast");
    fs::write(&file, script).expect("script");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("mode");
}

/// Types a line; again for a while when it is refused, as somebody would who reads "try again".
fn types(folder: &Path, machine: &str, line: &str) {
    let path = format!("{}:/usr/bin:/bin", folder.join(machine).display());
    let start = Instant::now();
    loop {
        let output = Command::new("sh")
            .args(["-c", line])
            .current_dir(folder)
            .env("PATH", &path)
            .output()
            .expect("shell");
        // What doctor finds on this machine is not the guide's fault.
        let found = line.contains("doctor") && output.status.code() == Some(1);
        if output.status.success() || found {
            return;
        }
        assert!(
            start.elapsed() < PATIENCE,
            "{machine}# {line}\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        thread::sleep(Duration::from_millis(200));
    }
}

#[test]
fn the_first_cluster_is_made_as_its_page_says() {
    let page = page("first-cluster.md");
    let folder = tempfile::tempdir().expect("folder");
    let mut machines = ["alpha", "beta", "gamma"].map(|name| Machine::new("guide", name));
    for machine in &machines {
        install(folder.path(), machine);
    }
    let file = blocks(&page, "toml")
        .first()
        .map(|text| ours(text, &machines));
    fs::write(folder.path().join("cluster.toml"), file.expect("file")).expect("file");
    let mut typed = 0;
    for line in blocks(&page, "console")
        .iter()
        .flat_map(|block| block.lines())
    {
        let (name, command) = line.split_once("# ").expect("a prompt");
        let command = ours(command, &machines);
        if command == "systemctl start standfast" {
            let machine = machines.iter_mut().find(|machine| machine.name == name);
            machine.expect("machine").start();
        } else {
            types(folder.path(), name, &command);
        }
        typed += 1;
    }
    assert!(typed >= 20, "only {typed} commands on that page");
    let [alpha, ..] = &machines;
    alpha.wait_for_status("3 of 3 nodes online");
    let backup = folder.path().join("cluster.backup");
    assert!(backup.exists());
}

#[test]
fn every_alert_has_its_paragraph() {
    let rules = root().join("contrib/prometheus/standfast.rules.yml");
    let rules = fs::read_to_string(rules).expect("rules");
    let page = page("alarms.md");
    let mut alerts = 0;
    for alert in rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
    {
        assert!(
            page.contains(&format!("\n### {alert}\n\n")),
            "{alert} is not in alarms.md"
        );
        alerts += 1;
    }
    assert_eq!(
        page.matches("\n### ").count(),
        alerts,
        "alarms.md has one that is not shipped"
    );
}
