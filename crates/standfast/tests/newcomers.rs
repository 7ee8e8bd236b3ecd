//! A node is away while another one joins, with real agents over TLS: neither has ever seen the other's key when the
//! first one comes back, and the other one leads.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may panic, and says what it saw"
)]

mod machines;

use machines::{Machine, all_online, cluster, join};
use std::{
    fmt::Write as _,
    fs, thread,
    time::{Duration, Instant},
};

/// A quiet machine needs a third of it.
const LEADS: Duration = Duration::from_secs(20);

/// One service for each of these machines, each on its own: they are busy, and leadership goes to who is not.
fn busy(machines: &[&Machine], names: &[&str]) {
    let mut text = String::from("[cluster]\nname = \"demo\"\n");
    for machine in machines {
        let (name, address) = (&machine.name, &machine.address);
        writeln!(text, "[nodes.{name}]\naddresses = [\"{address}\"]").expect("text");
    }
    for name in names {
        writeln!(
            text,
            "[groups.on-{name}]\nmembers = [\"web-{name}\"]\nprefer = [\"{name}\"]\n[resources.web-{name}]\n\
             kind = \"process\"\ncommand = [\"/bin/sleep\", \"100000\"]"
        )
        .expect("text");
    }
    let first = machines.first().expect("a node");
    let file = first.path("cluster.toml");
    fs::write(&file, text).expect("file");
    first.ok(&["apply", &file]);
}

/// The row of a node in what a machine says.
fn row(seen_from: &Machine, node: &str) -> String {
    let status = seen_from.status();
    let start = format!("{node} ");
    let mut lines = status.lines();
    lines
        .find(|line| line.trim_start().starts_with(&start))
        .unwrap_or_default()
        .to_owned()
}

/// Leadership goes to an idle node after some calm, which a machine that is busy with something else may not have: then
/// the rest is looked at under another leader.
fn leads(seen_from: &Machine, node: &str) {
    let start = Instant::now();
    let mut is_leader = false;
    while !is_leader && start.elapsed() < LEADS {
        thread::sleep(Duration::from_millis(100));
        is_leader = row(seen_from, node).contains("leader");
    }
    println!("{node} leads: {is_leader}, after {:?}", start.elapsed());
}

fn hear_each_other(one: &Machine, other: &Machine) {
    for (seen_from, node) in [(one, &other.name), (other, &one.name)] {
        let took = seen_from.wait_for(&format!("link to {node}"), |machine| {
            row(machine, node).contains(" 1/1 ")
        });
        println!("{} hears {node} after {took:?}", seen_from.name);
    }
}

#[test]
fn who_was_away_and_who_joined_meanwhile_let_each_other_in() {
    let mut machines = cluster("newcomers", &["alpha", "beta", "gamma"]);
    let mut gamma = machines.pop().expect("gamma");
    gamma.kill();
    machines[0].wait_for_status("node gamma is offline");
    let mut delta = Machine::new("newcomers", "delta");
    join(&machines[0], &mut delta);
    // The newcomer is the only one that is idle: it leads, and only it can send what gamma has missed.
    let all = [&machines[0], &machines[1], &gamma, &delta];
    busy(&all, &["alpha", "beta"]);
    leads(&machines[0], "delta");
    gamma.start();
    gamma.wait_for_status("4 of 4 nodes online");
    hear_each_other(&gamma, &delta);
    let all = [&machines[0], &machines[1], &gamma, &delta];
    for node in all {
        assert!(!node.status().contains("REMOVED"), "{}", node.status());
    }
    // And the other way round: who was away leads those who know it and the one who did not.
    busy(&all, &["alpha", "beta", "delta"]);
    leads(&delta, "gamma");
    hear_each_other(&gamma, &delta);
    machines.extend([gamma, delta]);
    all_online(&machines);
}
