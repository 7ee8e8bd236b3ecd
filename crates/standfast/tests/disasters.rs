//! Bad days, with real agents: the majority lost for good, everything lost but a backup, the power of all
//! machines at once, a machine rebuilt on fresh hardware.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may panic, and says what it measured"
)]

mod machines;

use machines::{Machine, all_online, cluster, join, runs_on, serve};
use std::{
    fs,
    time::{Duration, Instant},
};

#[test]
fn a_survivor_goes_on_alone_and_the_old_cluster_never_talks_to_it_again() {
    let mut machines = cluster("recover", &["alpha", "beta", "gamma"]);
    serve(&machines);
    let mut gamma = machines.pop().expect("gamma");
    for lost in &mut machines {
        lost.power_off();
    }
    gamma.wait_for_status("NO QUORUM");
    let state = gamma.state();
    let recover = ["recover", "--force-new-cluster", "--state", &state];
    let said = machines::run(&recover, "");
    assert_eq!(said.code, 75, "its agent runs: {said:?}");
    assert!(said.err.contains("systemctl stop standfast"), "{said:?}");
    gamma.kill();
    let said = machines::run(&recover, "");
    assert_eq!(said.code, 107, "nobody confirmed it: {said:?}");
    assert!(said.out.contains("alpha and beta must be off"), "{said:?}");
    assert!(said.out.contains("site on alpha"), "{said:?}");
    let said = machines::run(&[&recover[..], &["--yes"]].concat(), "").ok("recover");
    assert!(
        said.contains("gamma is the only voter of the new cluster"),
        "{said}"
    );
    gamma.start();
    let took = runs_on(&gamma, "gamma");
    println!("the service ran {took:?} after the agent's start");
    let history = gamma.ok(&["history"]);
    assert!(
        history.contains("its majority was lost for good"),
        "{history}"
    );

    // The old majority comes back. It is another cluster: neither lets the other in.
    let (alpha, beta) = machines.split_at_mut(1);
    alpha[0].start();
    alpha[0].wait_for_status("NO QUORUM");
    gamma.wait_for("stranger at the door", |gamma| {
        gamma.log().contains("refused")
    });
    assert!(gamma.status().contains("not joined"), "{}", gamma.status());
    assert_eq!(gamma.services(), 1);
    // Made empty, they join anew.
    for old in [&mut alpha[0], &mut beta[0]] {
        let destroy = ["destroy", "--yes", "--state", &old.state()];
        if old.name == "alpha" {
            assert_eq!(machines::run(&destroy, "").code, 75, "its agent runs");
        }
        old.kill();
        machines::run(&destroy, "").ok("destroy");
        join(&gamma, old);
    }
    gamma.wait_for_status("3 of 3 nodes online");
    runs_on(&gamma, "gamma");
}

#[test]
fn a_cluster_is_made_again_from_its_backup() {
    let mut machines = cluster("restore", &["alpha"]);
    serve(&machines);
    let mut old = machines.pop().expect("alpha");
    let file = old.path("backup");
    let said = old.ok(&["backup", &file]);
    assert!(said.contains("holds configuration 1, 1 member"), "{said}");
    let text = fs::read_to_string(&file).expect("backup");
    assert!(!text.contains("PRIVATE KEY"));
    old.power_off();

    let mut fresh = Machine::new("restore", "delta");
    let restore = ["restore", file.as_str(), "--yes"];
    let said = old.set_up(&restore, "");
    assert_eq!(said.code, 108, "never over existing state: {said:?}");
    fs::write(old.path("damaged"), text.replacen("alpha", "alphb", 3)).expect("file");
    let said = fresh.set_up(&["restore", &old.path("damaged"), "--yes"], "");
    assert_eq!(said.code, 65, "{said:?}");
    assert!(said.err.contains("its checksum does not fit"), "{said:?}");
    let said = fresh.set_up(&restore[..2], "");
    assert_eq!(said.code, 107, "{said:?}");
    assert!(said.out.contains("alpha must be off"), "{said:?}");
    fresh.set_up(&restore, "").ok("restore");
    fresh.start();
    runs_on(&fresh, "delta");
    let history = fresh.ok(&["history"]);
    assert!(
        history.contains("configuration version 1 applied by root"),
        "{history}"
    );
    assert!(
        history.contains(" made a new cluster from the backup that alpha made"),
        "{history}"
    );
}

#[test]
fn after_a_power_failure_of_all_machines_the_service_returns_by_itself() {
    let mut machines = cluster("power", &["alpha", "beta", "gamma"]);
    serve(&machines);
    for machine in &mut machines {
        machine.power_off();
    }
    assert!(machines.iter().all(|machine| machine.services() == 0));
    let start = Instant::now();
    for machine in &mut machines {
        machine.start();
    }
    runs_on(&machines[1], "alpha");
    println!(
        "the service ran {:?} after the power came back",
        start.elapsed()
    );
    all_online(&machines);
    let running: usize = machines.iter().map(Machine::services).sum();
    assert_eq!(running, 1);
}

/// While no majority is there nobody can write anything down; afterwards it is said what happened, and for how long.
#[test]
fn a_lost_majority_is_told_truly_afterwards() {
    let mut machines = cluster("lapse", &["alpha", "beta", "gamma"]);
    serve(&machines);
    for lost in machines.iter_mut().skip(1) {
        lost.kill();
    }
    machines[0].wait_for("end of the service", |alpha| alpha.services() == 0);
    machines[0].wait_for_status("is stopped, or stops within 0.8 s");
    let explained = machines[0].ok(&["explain", "site"]);
    println!("{explained}");
    assert!(
        explained.contains("because alpha hears no leader with a majority"),
        "{explained}"
    );
    assert!(
        explained.contains("nothing is started or moved meanwhile"),
        "{explained}"
    );
    std::thread::sleep(Duration::from_secs(2));
    machines[1].start();
    runs_on(&machines[0], "alpha");
    machines[0].wait_for("word of it", |alpha| {
        let history = alpha.ok(&["history"]);
        history.contains("alpha had stopped what it ran")
            && history.contains("(restarted after a failure)")
    });
    let history = machines[0].ok(&["history"]);
    println!("{history}");
    assert!(!history.contains("planned restart"), "{history}");
}

/// Its agent ends, what it runs goes on: taking the state away then would leave that to nobody.
#[test]
fn what_runs_on_under_a_restart_is_not_left_to_nobody() {
    let mut machines = cluster("destroy", &["alpha"]);
    serve(&machines);
    let mut alpha = machines.pop().expect("alpha");
    alpha.ok(&["agent", "restart"]);
    while alpha.ended().is_none() {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(alpha.services(), 1);
    let (state, cgroup) = (alpha.state(), alpha.cgroup.clone());
    let destroy = ["destroy", "--yes", "--state", &state, "--cgroup", &cgroup];
    let said = machines::run(&destroy, "");
    println!("{}", said.err);
    assert_eq!(said.code, 75, "{said:?}");
    assert!(said.err.contains("web still runs here"), "{said:?}");
    alpha.kill();
    alpha.start();
    alpha.wait_for_status("1 of 1 nodes online");
    assert_eq!(alpha.services(), 1, "taken over by the next agent");
    let history = alpha.ok(&["history"]);
    assert!(
        history.contains("agent on alpha restarts, as root@alpha asked"),
        "{history}"
    );
    alpha.power_off();
    alpha.wait_for("empty machine", |_| machines::run(&destroy, "").code == 0);
}

#[test]
fn a_machine_is_rebuilt_on_fresh_hardware_with_one_command() {
    let mut machines = cluster("rebuild", &["alpha", "beta", "gamma"]);
    serve(&machines);
    let mut lost = machines.pop().expect("gamma");
    // While it is there, nobody takes its name.
    let mut fresh = Machine::new("rebuild-fresh", "gamma");
    let token = machines[0].ok(&["token"]);
    let said = fresh.set_up(&["join", "--token-file", "-"], &token);
    assert!(
        said.err
            .contains("a node named gamma is a member and online"),
        "{said:?}"
    );
    lost.power_off();
    machines[0].wait_for_status("node gamma is offline");
    join(&machines[0], &mut fresh);
    machines[0].wait_for_status("3 of 3 nodes online");
    // The old hardware, switched on again, is nobody.
    lost.start();
    lost.wait_for_status("REMOVED: gamma");
    std::thread::sleep(Duration::from_millis(500));
    assert!(machines[0].status().contains("3 of 3 nodes online"));
}
