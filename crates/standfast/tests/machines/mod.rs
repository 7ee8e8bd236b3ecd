//! A few real agents on loopback, with real processes, and the command line against each.
//!
//! Not for addresses and networks of their own: those are the lab's.
#![allow(dead_code, reason = "each file of tests uses another part")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a fixture that fails fails its test"
)]

pub(crate) mod power;
pub(crate) mod watch;

use std::{
    fs,
    io::Write as _,
    net::UdpSocket,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_standfast");

/// Longer than anything here takes on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(40);

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    pub(crate) fn ok(self, what: &str) -> String {
        assert_eq!(self.code, 0, "{what}: {self:?}");
        self.out
    }
}

pub(crate) fn run(arguments: &[&str], input: &str) -> Said {
    run_after(&[], arguments, input)
}

/// The same with a program in front, which puts it where it is to run.
fn run_after(before: &[String], arguments: &[&str], input: &str) -> Said {
    let mut words = before.iter().map(String::as_str).chain([PROGRAM]);
    let mut child = Command::new(words.next().expect("a program"))
        .args(words)
        .args(arguments)
        .env_remove("NO_COLOR")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("runs");
    // Whoever reads nothing may be gone already.
    child
        .stdin
        .take()
        .expect("input")
        .write_all(input.as_bytes())
        .ok();
    let output = child.wait_with_output().expect("ends");
    Said {
        code: output.status.code().expect("exit code"),
        out: String::from_utf8(output.stdout).expect("text"),
        err: String::from_utf8(output.stderr).expect("text"),
    }
}

/// A machine: a folder, an address, and its agent while that runs. Dropped, nothing of it is left.
pub(crate) struct Machine {
    pub(crate) name: String,
    pub(crate) address: String,
    folder: tempfile::TempDir,
    pub(crate) cgroup: String,
    agent: Option<Child>,
    /// Put before the agent's own command, such as a program that changes its clock.
    pub(crate) before: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    /// More options of its agent.
    pub(crate) options: Vec<String>,
}

/// A TCP port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("port");
    socket.local_addr().expect("address").port()
}

impl Machine {
    /// A machine that belongs to no cluster.
    pub(crate) fn new(test: &str, name: &str) -> Self {
        // A port that was free a moment ago.
        let socket = UdpSocket::bind("127.0.0.1:0").expect("port");
        let address = socket.local_addr().expect("address").to_string();
        Self {
            name: name.to_owned(),
            address,
            folder: tempfile::tempdir().expect("folder"),
            cgroup: format!("standfast-test-{}-{test}-{name}", std::process::id()),
            agent: None,
            before: Vec::new(),
            environment: Vec::new(),
            options: Vec::new(),
        }
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    pub(crate) fn state(&self) -> String {
        self.path("state")
    }

    /// `init` or `join`, with what every node says of itself.
    pub(crate) fn set_up(&self, command: &[&str], input: &str) -> Said {
        self.set_up_after(&[], command, input)
    }

    /// The same where the agent is to run, in a network of its own.
    pub(crate) fn set_up_there(&self, command: &[&str], input: &str) -> Said {
        self.set_up_after(&self.before, command, input)
    }

    fn set_up_after(&self, before: &[String], command: &[&str], input: &str) -> Said {
        let state = self.state();
        let mut all = command.to_vec();
        all.extend(["--name", &self.name, "--address", &self.address]);
        all.extend(["--state", &state]);
        run_after(before, &all, input)
    }

    pub(crate) fn start(&mut self) {
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .expect("log");
        let (state, run) = (self.state(), self.path("run"));
        let mut all = self.before.clone();
        all.push(PROGRAM.to_owned());
        all.extend(["agent", "--state", &state, "--run", &run].map(str::to_owned));
        all.extend(["--cgroup", &self.cgroup, "--no-realtime"].map(str::to_owned));
        all.extend(self.options.iter().cloned());
        let child = Command::new(all.first().expect("program"))
            .args(all.get(1..).expect("arguments"))
            .envs(self.environment.iter().cloned())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.agent = Some(child.expect("agent"));
    }

    /// Kills the agent, and with it, once its leases are over, whatever it ran.
    pub(crate) fn kill(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            agent.kill().ok();
            agent.wait().ok();
        }
    }

    /// Waits until somebody else has ended the agent, and makes the machine as after a loss of power.
    pub(crate) fn wait_for_end(&mut self) {
        let start = Instant::now();
        while self.ended().is_none() {
            assert!(start.elapsed() < 3 * PATIENCE, "{} goes on", self.name);
            thread::sleep(Duration::from_millis(20));
        }
        self.power_off();
    }

    /// Whether the agent has ended by itself, and how.
    pub(crate) fn ended(&mut self) -> Option<Option<i32>> {
        let agent = self.agent.as_mut()?;
        agent.try_wait().expect("agent").map(|status| status.code())
    }

    pub(crate) fn agent_pid(&self) -> u32 {
        self.agent.as_ref().expect("agent").id()
    }

    /// Kills the agent and everything that it runs, at once: the power is off.
    pub(crate) fn power_off(&mut self) {
        self.kill();
        for root in ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"] {
            kill_all(&Path::new(root).join(&self.cgroup));
        }
        // Gone with the power.
        fs::remove_dir_all(self.path("run")).ok();
    }

    pub(crate) fn ask(&self, arguments: &[&str]) -> Said {
        let socket = self.path("run/standfast.sock");
        let mut all = vec!["--socket", socket.as_str()];
        all.extend(arguments);
        run(&all, "")
    }

    pub(crate) fn ok(&self, arguments: &[&str]) -> String {
        self.ask(arguments).ok(&format!("{arguments:?}"))
    }

    pub(crate) fn status(&self) -> String {
        self.ask(&["status"]).out
    }

    pub(crate) fn wait_for(&self, what: &str, done: impl Fn(&Self) -> bool) -> Duration {
        let start = Instant::now();
        while !done(self) {
            assert!(
                start.elapsed() < PATIENCE,
                "{}: no {what}: {}\n{}",
                self.name,
                self.status(),
                self.log()
            );
            thread::sleep(Duration::from_millis(50));
        }
        start.elapsed()
    }

    pub(crate) fn wait_for_status(&self, text: &str) -> Duration {
        self.wait_for(&format!("{text:?} in its status"), |machine| {
            machine.status().contains(text)
        })
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Processes of what it runs, found by its control group.
    pub(crate) fn services(&self) -> usize {
        let all = fs::read_dir("/proc").expect("/proc").flatten();
        all.filter(|entry| {
            let read = |name| fs::read(entry.path().join(name)).unwrap_or_default();
            let cgroup = String::from_utf8_lossy(&read("cgroup")).into_owned();
            cgroup.contains(&self.cgroup) && read("cmdline").starts_with(b"/bin/sleep\0")
        })
        .count()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.power_off();
        for root in ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"] {
            let folder = Path::new(root).join(&self.cgroup);
            let start = Instant::now();
            while folder.exists() && start.elapsed() < PATIENCE {
                remove_empty(&folder);
                thread::sleep(Duration::from_millis(50));
            }
        }
    }
}

fn kill_all(folder: &Path) {
    fs::write(folder.join("cgroup.kill"), "1").ok();
}

fn remove_empty(folder: &PathBuf) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            remove_empty(&entry.path());
        }
    }
    fs::remove_dir(folder).ok();
}

/// A cluster of these nodes, all voting and online.
pub(crate) fn cluster(test: &str, names: &[&str]) -> Vec<Machine> {
    cluster_with(test, names, &[])
}

/// The same with more options for each agent.
pub(crate) fn cluster_with(test: &str, names: &[&str], options: &[&str]) -> Vec<Machine> {
    let mut machines: Vec<Machine> = names.iter().map(|name| Machine::new(test, name)).collect();
    for machine in &mut machines {
        machine.options = options.iter().map(|option| (*option).to_owned()).collect();
    }
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

/// Makes a machine a member through another one and starts its agent.
pub(crate) fn join(through: &Machine, other: &mut Machine) {
    let token = through.ok(&["token"]);
    other
        .set_up(&["join", "--token-file", "-"], &token)
        .ok("join");
    other.start();
    let (name, row) = (other.name.clone(), format!("{} ", other.name));
    through.wait_for(&format!("vote of {name}"), |through| {
        let status = through.status();
        let mut lines = status
            .lines()
            .filter(|line| line.trim_start().starts_with(&row));
        lines.any(|line| {
            line.contains("online") && (line.contains("voter") || line.contains("leader"))
        })
    });
}

pub(crate) fn all_online(machines: &[Machine]) {
    let text = format!("{0} of {0} nodes online", machines.len());
    for machine in machines {
        machine.wait_for_status(&text);
    }
}

/// Puts a service in force that prefers the machines in this order, and waits until it runs on the first.
pub(crate) fn serve(machines: &[Machine]) {
    serve_with(machines, "profile = \"lan\"");
}

/// The same with leases that a machine does not lose that is busy or stands still for seconds, for what is not about them.
pub(crate) fn serve_patiently(machines: &[Machine]) {
    serve_with(machines, "profile = \"wan\"\n[timing]\nlease_ms = 10000");
    // Until every node goes by the longer times.
    thread::sleep(Duration::from_secs(3));
    all_online(machines);
    let (first, _) = machines.split_first().expect("a node");
    runs_on(first, &first.name);
}

fn serve_with(machines: &[Machine], timing: &str) {
    let (first, _) = machines.split_first().expect("a node");
    let mut text = format!("[cluster]\nname = \"demo\"\n{timing}\n");
    for machine in machines {
        text.push_str(&format!(
            "[nodes.{}]\naddresses = [\"{}\"]\n",
            machine.name, machine.address
        ));
    }
    let names: Vec<String> = machines.iter().map(|m| format!("{:?}", m.name)).collect();
    text.push_str(&format!(
        "[groups.site]\nmembers = [\"web\"]\nprefer = [{}]\n[resources.web]\nkind = \"process\"\ncommand = [\"/bin/sleep\", \"100000\"]\n",
        names.join(", ")
    ));
    let file = first.path("cluster.toml");
    fs::write(&file, text).expect("file");
    first.ok(&["apply", &file]);
    runs_on(first, &first.name);
}

/// Waits until the service runs on that node, as this machine sees it.
pub(crate) fn runs_on(seen_from: &Machine, node: &str) -> Duration {
    let start = Instant::now();
    seen_from.wait_for(&format!("service on {node}"), |machine| {
        let status = machine.status();
        let mut lines = status.lines();
        lines.any(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            words.get(1..5) == Some(&["web", "process", node, "active"])
        })
    });
    start.elapsed()
}
