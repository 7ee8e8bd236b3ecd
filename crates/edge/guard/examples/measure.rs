//! Measures the guards on this machine: `cargo run --release -p standfast-guard --example measure [TRIALS] [busy]`.
//! With `busy`, two ordinary processes a core compete for the processors. Not a test: the figures belong to the machine.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measuring tool: it prints, and stops on the first surprise"
)]

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::hint::spin_loop;
use std::net::UdpSocket;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use standfast_guard::cgroup::{Cgroup, find_hierarchy};
use standfast_guard::clock::boot_now_ns;
use standfast_guard::{
    Guard, GuardSupport, KeeperEvent, KeeperProgram, KeeperSpec, Keepers, NetworkGuard, Output,
    Phase, StopRequest,
};

const MS: u64 = 1_000_000;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["keeper", run_dir] => return standfast_guard::keeper::run(Path::new(run_dir)),
        ["beat", file] => beat(file),
        ["flood", port] => flood(port),
        ["spin"] => loop {
            spin_loop();
        },
        _ => {
            let trials = arguments
                .first()
                .and_then(|text| text.parse().ok())
                .unwrap_or(20);
            measure(trials, arguments.contains(&"busy"));
        }
    }
    ExitCode::SUCCESS
}

fn measure(trials: u32, busy: bool) {
    let support = GuardSupport::probe(Path::new("sf-measure"));
    for missing in support.missing() {
        println!("not offered: {:?}: {}", missing.guard, missing.why);
    }
    let cores = std::thread::available_parallelism().unwrap().get();
    let hogs: Vec<Child> = (0..if busy { 2 * cores } else { 0 })
        .map(|_| start(&["spin"]))
        .collect();
    println!(
        "{trials} trials, {} busy processes on {cores} cores",
        hogs.len()
    );
    if support.offers(Guard::Cgroup) {
        kill_times(trials);
    }
    deadlines(trials);
    exits(trials);
    if support.offers(Guard::Network) {
        network_cuts(trials);
    }
    memory();
    for mut hog in hogs {
        hog.kill().unwrap();
        hog.wait().unwrap();
    }
    fs::remove_dir(find_hierarchy().unwrap().join("sf-measure")).unwrap();
}

/// This program again, as something else.
fn start(arguments: &[&str]) -> Child {
    Command::new("/proc/self/exe")
        .args(arguments)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

fn say(what: &str, mut nanoseconds: Vec<i64>) {
    nanoseconds.sort_unstable();
    let milliseconds =
        |at: usize| Duration::from_nanos(nanoseconds[at].unsigned_abs()).as_secs_f64() * 1e3;
    let sign = |at: usize| if nanoseconds[at] < 0 { "-" } else { "" };
    let (middle, last) = (nanoseconds.len() / 2, nanoseconds.len() - 1);
    let at = |at: usize| format!("{}{:.3}", sign(at), milliseconds(at));
    println!(
        "{what:<58} median {:>8} ms, max {:>8} ms",
        at(middle),
        at(last)
    );
}

fn since(later: u64, earlier: u64) -> i64 {
    later.cast_signed() - earlier.cast_signed()
}

fn beat(file: &str) {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(file)
        .unwrap();
    loop {
        file.write_all_at(&boot_now_ns().to_ne_bytes(), 0).unwrap();
    }
}

fn flood(port: &str) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(format!("127.0.0.1:{port}")).unwrap();
    loop {
        socket.send(&boot_now_ns().to_ne_bytes()).ok();
        std::thread::sleep(Duration::from_micros(20));
    }
}

/// A group of a dozen sleeping processes and one that spins: frozen, killed, empty.
fn kill_times(trials: u32) {
    let mount = find_hierarchy().unwrap();
    let (mut freezing, mut frozen_kill, mut plain_kill) = (Vec::new(), Vec::new(), Vec::new());
    for trial in 0..2 * trials {
        let group = Cgroup::create(&mount, Path::new("sf-measure"), "kill").unwrap();
        let mut tree: Vec<Child> = (0..12)
            .map(|_| Command::new("sleep").arg("100").spawn().unwrap())
            .collect();
        tree.push(start(&["spin"]));
        for process in &tree {
            fs::write(group.dir().join("cgroup.procs"), process.id().to_string()).unwrap();
        }
        let reads = |line: &str| {
            fs::read_to_string(group.dir().join("cgroup.events"))
                .unwrap()
                .contains(line)
        };
        let began = boot_now_ns();
        if trial % 2 == 0 {
            group.freeze().unwrap();
            while !reads("frozen 1") {}
            freezing.push(since(boot_now_ns(), began));
        }
        let killed = boot_now_ns();
        group.kill().unwrap();
        while !reads("populated 0") {}
        let into = if trial % 2 == 0 {
            &mut frozen_kill
        } else {
            &mut plain_kill
        };
        into.push(since(boot_now_ns(), killed));
        tree.iter_mut().for_each(|process| drop(process.wait()));
        group.remove().unwrap();
    }
    say("freeze of 13 processes, confirmed", freezing);
    say("kill of 13 frozen processes, confirmed", frozen_kill);
    say("kill of 13 running processes, confirmed", plain_kill);
}

fn agent() -> (Keepers, Receiver<KeeperEvent>) {
    let (sender, events) = channel();
    let keepers = Keepers::new(KeeperProgram::default(), move |event| {
        sender.send(event).ok();
    });
    (keepers.unwrap(), events)
}

fn spec(folder: &Path, command: Vec<String>) -> KeeperSpec {
    KeeperSpec {
        name: "measured".to_owned(),
        run_dir: folder.join("run"),
        command,
        environment: BTreeMap::new(),
        working_directory: None,
        user: None,
        group: None,
        slice: None,
        cgroup_parent: PathBuf::from("sf-measure"),
        private_pids: true,
        network_guard: true,
        output: Output {
            directory: folder.join("output"),
            max_bytes: 1 << 20,
        },
        stop: StopRequest {
            grace_ms: 1_000,
            signal: 15,
        },
        confirm_ms: 2_000,
    }
}

/// From the deadline to: the service's last sign of life, the agent's knowing that it is being killed, the confirmed end.
fn deadlines(trials: u32) {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let own = std::env::current_exe().unwrap().display().to_string();
    let file = folder.path().join("beat");
    let (keepers, events) = agent();
    let (mut spawn, mut running, mut life, mut told, mut ended) =
        (vec![], vec![], vec![], vec![], vec![]);
    for _ in 0..trials {
        let began = boot_now_ns();
        let deadline = began + 200 * MS;
        let spec = spec(
            folder.path(),
            vec![own.clone(), "beat".to_owned(), file.display().to_string()],
        );
        let handle = keepers.spawn(&spec, deadline).unwrap();
        spawn.push(since(boot_now_ns(), began));
        while let Ok(event) = events.recv() {
            match event.status.phase {
                Phase::Running => running.push(since(boot_now_ns(), began)),
                Phase::Ending { .. } => told.push(since(boot_now_ns(), deadline)),
                Phase::Ended { at_boot_ns, .. } => {
                    ended.push(since(at_boot_ns, deadline));
                    break;
                }
                _ => {}
            }
        }
        life.push(since(
            u64::from_ne_bytes(*fs::read(&file).unwrap().first_chunk().unwrap()),
            deadline,
        ));
        while handle
            .status()
            .is_ok_and(|status| status.cgroup.is_some_and(|dir| dir.exists()))
        {}
        handle.forget().unwrap();
    }
    say("spawn() of the agent", spawn);
    say("from spawn() to the service running", running);
    say("deadline to the last sign of life of a busy service", life);
    say("deadline to the agent told that it is being killed", told);
    say("deadline to the confirmed end", ended);
}

/// From the kill of a service by somebody else to the agent told, and to the confirmed end.
fn exits(trials: u32) {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let (keepers, events) = agent();
    let (mut told, mut ended) = (vec![], vec![]);
    for _ in 0..trials {
        let spec = spec(folder.path(), vec!["sleep".to_owned(), "100".to_owned()]);
        let handle = keepers.spawn(&spec, boot_now_ns() + 10_000 * MS).unwrap();
        let mut killed = 0;
        let mut noticed = false;
        loop {
            let status = events.recv().unwrap().status;
            if status.phase == Phase::Running {
                std::thread::sleep(Duration::from_millis(20));
                let pid = i32::try_from(status.service.unwrap().pid).unwrap();
                killed = boot_now_ns();
                rustix::process::kill_process(
                    rustix::process::Pid::from_raw(pid).unwrap(),
                    rustix::process::Signal::KILL,
                )
                .unwrap();
            }
            if status.exit.is_some() && !noticed {
                noticed = true;
                told.push(since(boot_now_ns(), killed));
            }
            if let Phase::Ended { at_boot_ns, .. } = status.phase {
                ended.push(since(at_boot_ns, killed));
                break;
            }
        }
        while handle
            .status()
            .is_ok_and(|status| status.cgroup.is_some_and(|dir| dir.exists()))
        {}
        handle.forget().unwrap();
    }
    say("kill of the service to the agent told", told);
    say("kill of the service to the confirmed end", ended);
}

/// From the deadline to the last packet that arrived from inside the group.
fn network_cuts(trials: u32) {
    let mount = find_hierarchy().unwrap();
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    receiver
        .set_read_timeout(Some(Duration::from_millis(60)))
        .unwrap();
    let port = receiver.local_addr().unwrap().port().to_string();
    let (mut attach, mut extend, mut cut) = (vec![], vec![], vec![]);
    for _ in 0..trials {
        let group = Cgroup::create(&mount, Path::new("sf-measure"), "network").unwrap();
        let began = boot_now_ns();
        let guard = NetworkGuard::attach(group.dir()).unwrap();
        attach.push(since(boot_now_ns(), began));
        guard.lease().arm(boot_now_ns() + 300 * MS).unwrap();
        let join = format!(
            "echo 0 > {}/cgroup.procs; exec \"$@\"",
            group.dir().display()
        );
        let own = std::env::current_exe().unwrap();
        let mut sender = Command::new("sh")
            .args(["-c", &join, "sh"])
            .arg(own)
            .args(["flood", &port])
            .spawn()
            .unwrap();
        let deadline = boot_now_ns() + 400 * MS;
        let began = boot_now_ns();
        guard.extend(deadline).unwrap();
        extend.push(since(boot_now_ns(), began));
        let (mut last, mut packet) = (0, [0; 8]);
        loop {
            match receiver.recv(&mut packet) {
                Ok(_) => last = u64::from_ne_bytes(packet),
                Err(_) if boot_now_ns() > deadline + 20 * MS => break,
                Err(_) => {}
            }
        }
        cut.push(since(last, deadline));
        sender.kill().unwrap();
        sender.wait().unwrap();
        while group.remove().is_err() {}
    }
    say("attach a network guard", attach);
    say("extend a lease (one store)", extend);
    say(
        "deadline to the sending of the last packet that arrived",
        cut,
    );
}

/// What one resource costs.
fn memory() {
    let folder = tempfile::tempdir_in("/dev/shm").unwrap();
    let (keepers, events) = agent();
    let handle = keepers.spawn(
        &spec(folder.path(), vec!["sleep".to_owned(), "100".to_owned()]),
        boot_now_ns() + 5_000 * MS,
    );
    let handle = handle.unwrap();
    let mut status = events.recv().unwrap().status;
    while status.phase != Phase::Running {
        status = events.recv().unwrap().status;
    }
    let keeper = status.keeper.unwrap().pid;
    let service = status.service.unwrap().pid;
    let children = fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children")).unwrap();
    for pid in children
        .split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .chain([keeper])
        .filter(|pid| *pid != service)
    {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
        let pick = |name: &str| {
            rollup
                .lines()
                .find(|line| line.starts_with(name))
                .unwrap_or("?")
                .split_whitespace()
                .nth(1)
                .unwrap_or("?")
                .to_owned()
        };
        let role = if pid == keeper {
            "keeper"
        } else {
            "its helper"
        };
        println!(
            "{role}: PSS {} KiB, private dirty {} KiB, locked {} KiB",
            pick("Pss:"),
            pick("Private_Dirty:"),
            pick("Locked:")
        );
    }
    handle.kill().unwrap();
    while !status.is_ended() {
        status = events.recv().unwrap().status;
    }
    while status.cgroup.as_ref().is_some_and(|dir| dir.exists()) {}
    handle.forget().unwrap();
}
