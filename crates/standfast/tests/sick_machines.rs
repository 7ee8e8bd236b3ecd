//! A full disk and a wrong clock, on real agents: neither stops a service, both are said, and both are
//! over when they are over.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may panic, and says what it measured"
)]

mod machines;

use machines::{Machine, all_online, cluster, join, runs_on, serve, serve_patiently};
use std::{fs, process::Command, thread, time::Duration};

/// A small file system on a folder, until it is dropped.
struct Small(String);

impl Small {
    fn on(folder: &str, size: &str) -> Self {
        fs::create_dir_all(folder).expect("folder");
        let options = format!("size={size},mode=0700");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "standfast-test", folder]);
        assert!(mount.status().expect("mount").success());
        Self(folder.to_owned())
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        Command::new("umount").args(["-l", &self.0]).status().ok();
    }
}

#[test]
fn a_full_disk_is_said_and_stops_nothing() {
    let mut machines = cluster("full", &["alpha", "gamma"]);
    let mut beta = Machine::new("full", "beta");
    let small = Small::on(&beta.state(), "12m");
    join(&machines[0], &mut beta);
    machines.insert(0, beta);
    all_online(&machines);
    serve_patiently(&machines);

    let ballast = machines[0].path("state/ballast");
    // As much as fits: the copy ends with an error when nothing more does.
    let mut file = fs::File::create(&ballast).expect("file");
    std::io::copy(&mut std::io::repeat(7), &mut file).expect_err("the disk is full");
    drop(file);
    // The database has room of its own for a while: configurations with a long comment fill it.
    let text = fs::read_to_string(machines[0].path("cluster.toml")).expect("file");
    let long = format!("{text}# {}\n", "x".repeat(200_000));
    let file = machines[1].path("long.toml");
    for turn in 0..60 {
        let other = long.replace("\"alpha\", \"gamma\"]", "\"gamma\", \"alpha\"]");
        fs::write(&file, if turn % 2 == 0 { &other } else { &long }).expect("file");
        machines[1].ok(&["apply", &file]);
        if machines[0].status().contains("storage of beta") {
            println!("the full disk was noticed after {turn} configurations");
            break;
        }
    }
    machines[0].wait_for_status("storage of beta");
    assert_ne!(machines[0].ask(&["check"]).code, 0);
    // Its leases do not touch the disk: what it runs, it goes on running.
    thread::sleep(Duration::from_secs(2));
    assert_eq!(machines[0].services(), 1);
    runs_on(&machines[1], "beta");
    assert!(!machines[1].ok(&["history"]).contains("is lost"));

    fs::remove_file(&ballast).expect("file");
    machines[0].wait_for_status("All well");
    machines[0].kill();
    drop(small);
}

/// The shared library that shifts a program's wall clock, and only that.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

/// Lets a machine's wall clock be what a file says.
fn shift(machine: &mut Machine, by: &str) {
    let file = machine.path("clock");
    fs::write(&file, format!("{by}\n")).expect("file");
    machine.environment = [
        ("LD_PRELOAD", FAKETIME),
        ("FAKETIME_TIMESTAMP_FILE", &file),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec();
}

/// What the library leaves in shared memory when the program that loaded it is killed.
struct Remains(u32);

impl Drop for Remains {
    fn drop(&mut self) {
        for name in ["faketime_shm", "sem.faketime_sem"] {
            drop(fs::remove_file(format!("/dev/shm/{name}_{}", self.0)));
        }
    }
}

#[test]
fn a_clock_that_is_years_off_or_jumps_moves_nothing() {
    // Dropped after the machines.
    let mut remains = Vec::new();
    let mut machines = cluster("clock", &["alpha", "beta", "gamma"]);
    serve(&machines);
    // Years ahead and years behind, from the start: every certificate has ended or is not valid yet.
    for (index, by) in [(0, "+9y"), (2, "-20y")] {
        machines[0].ok(&["status"]);
        machines[index].kill();
        shift(&mut machines[index], by);
        machines[index].start();
        remains.push(Remains(machines[index].agent_pid()));
        all_online(&machines);
    }
    assert!(
        machines[0].log().contains("\n2035-"),
        "its clock is years ahead"
    );
    assert!(
        machines[2].log().contains("\n2006-"),
        "its clock is years behind"
    );
    let history = machines[1].ok(&["history", "-n", "100"]);
    let before = history.matches("is lost").count();
    // Jumping while it works.
    for by in ["-30y", "+0", "+40y", "+1d", "+0"] {
        fs::write(machines[0].path("clock"), format!("{by}\n")).expect("file");
        thread::sleep(Duration::from_millis(700));
        assert!(machines[1].status().contains("3 of 3 nodes online"), "{by}");
    }
    all_online(&machines);
    let after = machines[1].ok(&["history", "-n", "100"]);
    assert_eq!(after.matches("is lost").count(), before, "{after}");
    let running: usize = machines.iter().map(Machine::services).sum();
    assert_eq!(running, 1);
}
