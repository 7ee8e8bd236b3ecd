//! Measures the driver on this machine: `cargo run --release -p standfast-process --example measure [TRIALS] [busy]`.
//! With `busy`, two ordinary processes a core compete for the processors. Not a test: the figures belong to the machine.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measuring tool: it prints, and stops on the first surprise"
)]

use rustix::process::{Pid, Signal, kill_process};
use standfast_guard::{KeeperProgram, Status, cgroup::find_hierarchy, clock::boot_now_ns};
use standfast_model::{
    config::{CheckConfig, CheckKind, ProcessConfig},
    event::InstanceChange,
    id::ResourceId,
    plan::PlanNumber,
    time::Micros,
};
use standfast_process::{ProcessDriver, ProcessSettings};
use std::{
    fs,
    hint::spin_loop,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode},
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

const HOUR_US: u64 = 3_600_000_000;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["keeper", run_dir] => return standfast_guard::keeper::run(Path::new(run_dir)),
        ["mark", file] => {
            fs::write(file, boot_now_ns().to_string()).unwrap();
            std::thread::sleep(Duration::MAX);
        }
        ["spin"] => loop {
            spin_loop();
        },
        _ => {
            let trials = arguments.first().and_then(|text| text.parse().ok());
            measure(trials.unwrap_or(30), arguments.contains(&"busy"));
        }
    }
    ExitCode::SUCCESS
}

fn measure(trials: u32, busy: bool) {
    let cores = std::thread::available_parallelism().unwrap().get();
    let spin = || Command::new("/proc/self/exe").arg("spin").spawn().unwrap();
    let hogs: Vec<Child> = (0..if busy { 2 * cores } else { 0 })
        .map(|_| spin())
        .collect();
    println!(
        "{trials} trials, {} busy processes on {cores} cores",
        hogs.len()
    );
    let bench = Bench::new();
    bench.lives(trials);
    bench.extensions();
    bench.memory();
    let group = find_hierarchy().unwrap().join(&bench.group);
    let folder = bench.folder.clone();
    drop(bench);
    for mut hog in hogs {
        hog.kill().unwrap();
        hog.wait().unwrap();
    }
    fs::remove_dir_all(folder).unwrap();
    fs::remove_dir(group).unwrap();
}

struct Bench {
    folder: PathBuf,
    group: String,
    driver: ProcessDriver,
    changes: Receiver<(Instant, InstanceChange)>,
    resource: ResourceId,
}

impl Bench {
    fn new() -> Self {
        let folder = PathBuf::from(format!("/dev/shm/sf-measure-{}", std::process::id()));
        let group = format!("sf-process-measure-{}", std::process::id());
        let settings = ProcessSettings {
            run_dir: folder.join("run"),
            output_dir: folder.join("output"),
            cgroup_parent: PathBuf::from(&group),
            node: "alpha".to_owned(),
            network_guard: true,
            keeper: KeeperProgram::default(),
            agents: PathBuf::from("/usr/lib/ocf"),
        };
        fs::create_dir(&folder).unwrap();
        let (sender, changes) = channel();
        let driver = ProcessDriver::new(settings, move |_, change| {
            sender.send((Instant::now(), change)).unwrap();
        });
        Self {
            folder,
            group,
            driver: driver.unwrap(),
            changes,
            resource: ResourceId::from("web"),
        }
    }

    /// A service that notes when it was executed and is ready then.
    fn config(&self) -> ProcessConfig {
        let (program, mark) = (std::env::current_exe().unwrap(), self.mark());
        let mark = mark.to_str().unwrap();
        let words = [program.to_str().unwrap(), "mark", mark];
        let ready = ["/usr/bin/test", "-s", mark].map(str::to_owned);
        ProcessConfig {
            command: words.map(str::to_owned).to_vec(),
            start_timeout: Micros::from_millis(30_000),
            stop_signal: 15,
            private_pids: true,
            readiness: Some(CheckConfig {
                probe: CheckKind::Exec(ready.to_vec()),
                interval: Micros::from_millis(5),
                timeout: Micros::from_millis(1000),
                failures: 1,
            }),
            ..ProcessConfig::default()
        }
    }

    fn mark(&self) -> PathBuf {
        self.folder.join("mark")
    }

    fn start(&self) -> (u64, Instant) {
        drop(fs::remove_file(self.mark()));
        let (ordered_ns, ordered) = (boot_now_ns(), Instant::now());
        let deadline = ordered_ns / 1000 + HOUR_US;
        let since = PlanNumber::default();
        self.driver
            .start(&self.resource, &self.config(), since, deadline);
        (ordered_ns, ordered)
    }

    fn next(&self) -> (Instant, InstanceChange) {
        self.changes.recv_timeout(Duration::from_secs(30)).unwrap()
    }

    fn status(&self) -> Status {
        serde_json::from_slice(&fs::read(self.folder.join("run/web/status")).unwrap()).unwrap()
    }

    /// Start, exit by itself, start, stop.
    fn lives(&self, trials: u32) {
        let (mut execs, mut readies, mut exits, mut stops) = (vec![], vec![], vec![], vec![]);
        for trial in 0..trials {
            let (ordered_ns, ordered) = self.start();
            let (told, change) = self.next();
            assert_eq!(change, InstanceChange::Started);
            readies.push(told - ordered);
            let executed: u64 = fs::read_to_string(self.mark()).unwrap().parse().unwrap();
            execs.push(Duration::from_nanos(executed - ordered_ns));
            std::thread::sleep(Duration::from_millis(20));
            if trial % 2 == 0 {
                let pid = self.status().service.unwrap().pid;
                let ended = Instant::now();
                kill_process(
                    Pid::from_raw(pid.try_into().unwrap()).unwrap(),
                    Signal::KILL,
                )
                .unwrap();
                exits.push(self.next().0 - ended);
            } else {
                let asked = Instant::now();
                self.driver.stop(&self.resource, Micros::from_millis(5000));
                stops.push(self.next().0 - asked);
            }
        }
        say("order to the service's first instruction", execs);
        say("order to Started (readiness by exec every 5 ms)", readies);
        say("death of the service to Exited", exits);
        say("order to Stopped (the service obeys at once)", stops);
    }

    fn extensions(&self) {
        self.start();
        assert_eq!(self.next().1, InstanceChange::Started);
        let deadline = boot_now_ns() / 1000 + HOUR_US;
        let extend = |more: u64| {
            let began = Instant::now();
            self.driver.extend(&self.resource, deadline + more);
            began.elapsed()
        };
        say("extend()", (1..=20_000).map(extend).collect());
    }

    fn memory(&self) {
        let status = self.status();
        let keeper = status.keeper.unwrap().pid;
        let init = status.init.unwrap().pid;
        let children =
            fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children")).unwrap();
        let service = status.service.unwrap().pid.to_string();
        for pid in children.split_whitespace().filter(|&pid| pid != service) {
            let what = if *pid == init.to_string() {
                "namespace's first process"
            } else {
                "logger"
            };
            println!("PSS of the {what}: {} KiB", pss_kib(pid));
        }
        println!("PSS of the keeper: {} KiB", pss_kib(&keeper.to_string()));
        self.driver.stop(&self.resource, Micros::ZERO);
        assert_eq!(self.next().1, InstanceChange::Stopped);
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn pss_kib(pid: &str) -> u64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = rollup
        .lines()
        .find(|line| line.starts_with("Pss:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn say(what: &str, mut took: Vec<Duration>) {
    took.sort_unstable();
    let at = |part: usize| took[(took.len() - 1) * part / 100].as_secs_f64() * 1e3;
    println!(
        "{what:<50} median {:>8.4} ms, 95 % {:>8.4} ms, max {:>8.4} ms",
        at(50),
        at(95),
        at(100)
    );
}
