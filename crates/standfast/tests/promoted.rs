//! Copies of which one is promoted, by Debian's agent `ocf:heartbeat:Stateful`, on three real agents: who is promoted, what
//! follows it, a switchover, a restart of an agent, a crash, and a node that loses its power. Each machine has its own
//! /run/resource-agents, where that agent keeps what it is.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod machines;

use machines::{Machine, all_online, join};
use std::{fs, thread, time::Duration};

const OWN_FOLDER: &str = "mkdir -p /run/resource-agents && \
    mount -t tmpfs -o mode=755 tmpfs /run/resource-agents && exec \"$@\"";

fn machine(name: &str) -> Machine {
    let mut machine = Machine::new("promoted", name);
    let before = ["/usr/bin/unshare", "--mount", "--propagation", "private"];
    let before = before
        .into_iter()
        .chain(["/bin/sh", "-c", OWN_FOLDER, "sh"]);
    machine.before = before.map(str::to_owned).collect();
    machine
}

fn cluster() -> Vec<Machine> {
    let mut machines: Vec<Machine> = ["alpha", "beta", "gamma"]
        .into_iter()
        .map(machine)
        .collect();
    let (first, rest) = machines.split_first_mut().expect("a node");
    first.set_up(&["init"], "").ok("init");
    first.start();
    first.wait_for_status("1 of 1 nodes online");
    for other in rest {
        join(first, other);
    }
    all_online(&machines);
    machines
}

fn file(machines: &[Machine], promoted: &str) -> String {
    let mut text = String::from("[cluster]\nname = \"demo\"\n");
    for machine in machines {
        text.push_str(&format!(
            "[nodes.{}]\naddresses = [\"{}\"]\n",
            machine.name, machine.address
        ));
    }
    text.push_str(&format!(
        "[resources.state]\nkind = \"ocf\"\nagent = \"ocf:heartbeat:Stateful\"\neffects = \"processes\"\n\
         monitor_interval_ms = 500\n\
         [groups.db]\nmembers = [\"state\"]\ncopies = \"all\"\n{promoted}\n\
         [resources.sleeper]\nkind = \"process\"\ncommand = [\"/bin/sleep\", \"100000\"]\n"
    ));
    if !promoted.is_empty() {
        text.push_str(
            "[colocation.x]\ngroup = \"sleeper\"\nwith = \"db:promoted\"\nscore = \"INFINITY\"\n\
             [order.x]\nfirst = \"db:promoted\"\nthen = \"sleeper\"\n",
        );
    }
    let file = machines.first().expect("a node").path("cluster.toml");
    fs::write(&file, text).expect("file");
    file
}

/// What the agents of a machine say, by the file of `Stateful` that they see.
fn state(machine: &Machine) -> String {
    let all = fs::read_dir("/proc").expect("/proc").flatten();
    let runner = all.into_iter().find(|entry| {
        let read = |name| fs::read(entry.path().join(name)).unwrap_or_default();
        let cgroup = String::from_utf8_lossy(&read("cgroup")).into_owned();
        let line = String::from_utf8_lossy(&read("cmdline")).into_owned();
        cgroup.contains(&machine.cgroup) && line.contains("ocf-runner\0")
    });
    let file = runner.map(|runner| {
        let folder = runner.path().join("root/run/resource-agents");
        folder.join("Stateful-state.state")
    });
    let text = file.and_then(|file| fs::read_to_string(file).ok());
    text.unwrap_or_default().trim().to_owned()
}

/// The nodes whose agent says that it is promoted. There are never two.
fn promoted(machines: &[Machine]) -> Vec<&str> {
    let masters = machines.iter().filter(|machine| state(machine) == "master");
    let masters: Vec<&str> = masters.map(|machine| machine.name.as_str()).collect();
    assert!(masters.len() < 2, "{masters:?}");
    masters
}

/// Waits until a node, or another one than that, is promoted by its agent's word and `status` says the same of it and of
/// what follows it; returns which.
fn wait_for_promoted(
    machines: &[Machine],
    seen_from: usize,
    done: impl Fn(&str) -> bool,
) -> String {
    for _ in 0..600 {
        let status = machines[seen_from].status();
        let row = |name: &str| {
            let line = status
                .lines()
                .find(|line| line.trim_start().starts_with(name));
            line.filter(|line| line.contains("active"))
                .unwrap_or_default()
                .to_owned()
        };
        if let [node] = promoted(machines).as_slice() {
            let all = [row("db:promoted "), row("sleeper ")];
            if done(node) && all.iter().all(|row| row.contains(node)) {
                return (*node).to_owned();
            }
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!(
        "nobody: {}\n{}",
        machines[seen_from].status(),
        machines[seen_from].log()
    );
}

#[test]
fn one_copy_is_promoted_and_what_follows_it_goes_with_it() {
    let mut machines = cluster();
    let wrong = file(&machines, "promoted = 2");
    let said = machines[0].ask(&["apply", &wrong]);
    assert!(
        said.err.contains("groups.db.promoted: 2 is out of range"),
        "{said:?}"
    );
    let good = file(&machines, "promoted = 1");
    let said = machines[0].ask(&["plan", &good]);
    assert_eq!(said.code, 0, "{said:?}");
    machines[0].ok(&["apply", &good]);
    let first = wait_for_promoted(&machines, 0, |_| true);
    machines[0].wait_for_status("3 of 3 active");
    machines[0].wait_for_status("All well: 3 of 3 nodes online");
    let status = machines[0].status();
    assert!(status.contains("promoted"), "{status}");
    let explained = machines[0].ok(&["explain", "db:promoted"]);
    let score = format!("promotion score of db:{first}");
    assert!(explained.contains(&score), "{explained}");

    a_switchover(&machines, &first);
    an_agent_restarts(&mut machines);
    a_crash(&machines);
    a_node_is_lost(&mut machines);
    let none = file(&machines, "");
    machines[0].ok(&["apply", &none]);
    machines[0].wait_for("nobody promoted", |_| promoted(&machines).is_empty());
    assert!(!machines[0].status().contains("db:promoted"));
}

fn a_switchover(machines: &[Machine], first: &str) {
    let refused = machines[0].ask(&["switchover", "db", "--to", "beta"]);
    assert!(refused.err.contains("db has copies"), "{refused:?}");
    let other = if first == "beta" { "gamma" } else { "beta" };
    machines[0].ok(&["switchover", "db:promoted", "--to", other]);
    wait_for_promoted(machines, 0, |node| node == other);
    let slaves = machines.iter().filter(|machine| state(machine) == "slave");
    assert_eq!(slaves.count(), 2);
}

fn an_agent_restarts(machines: &mut [Machine]) {
    let before = wait_for_promoted(machines, 0, |_| true);
    let decided = machines[0].ok(&["explain", "db:promoted", "--json"]);
    let number = machines.iter().position(|machine| machine.name == before);
    let number = number.expect("a node");
    machines[number].ok(&["restart"]);
    let over = |machine: &mut Machine| machine.ended().is_some();
    while !over(&mut machines[number]) {
        thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(promoted(machines), [before.as_str()]);
    machines[number].start();
    all_online(machines);
    thread::sleep(Duration::from_secs(2));
    assert_eq!(promoted(machines), [before.as_str()]);
    let now = machines[0].ok(&["explain", "db:promoted", "--json"]);
    let since = |json: &str| {
        let line = json.lines().find(|line| line.contains("since_plan"));
        line.map(str::to_owned)
    };
    assert_eq!(
        since(&now),
        since(&decided),
        "it was not given to its node anew"
    );
}

fn a_crash(machines: &[Machine]) {
    let before = wait_for_promoted(machines, 0, |_| true);
    let here = |machine: &&Machine| machine.name == before;
    let machine = machines.iter().find(here).expect("a node");
    // Away with what the agent looks at: it says that it does not run.
    let all = fs::read_dir("/proc").expect("/proc").flatten();
    for entry in all {
        let cgroup = fs::read_to_string(entry.path().join("cgroup")).unwrap_or_default();
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        if cgroup.contains(&machine.cgroup) && line.contains("ocf-runner\0") {
            let file = entry
                .path()
                .join("root/run/resource-agents/Stateful-state.state");
            fs::remove_file(file).ok();
        }
    }
    wait_for_promoted(machines, 0, |_| true);
    machines[0].wait_for_status("3 of 3 active");
    machines[0].ok(&["resource", "cleanup", "db"]);
    machines[0].ok(&["resource", "cleanup", "db:promoted"]);
}

fn a_node_is_lost(machines: &mut [Machine]) {
    let before = wait_for_promoted(machines, 0, |_| true);
    let number = machines.iter().position(|machine| machine.name == before);
    let number = number.expect("a node");
    let seen_from = usize::from(number == 0);
    machines[number].power_off();
    wait_for_promoted(machines, seen_from, |node| node != before);
    machines[number].start();
    all_online(machines);
    machines[0].wait_for_status("3 of 3 active");
    let after = wait_for_promoted(machines, 0, |_| true);
    assert_ne!(after, before, "no failback");
}
