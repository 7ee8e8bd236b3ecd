//! A cluster of one on loopback, with its real agent; shared by the tests of the program.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may panic, and need not use all of it"
)]

use std::{
    fs,
    net::UdpSocket,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_standfast");

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A node with its agent; dropped, nothing of it is left.
pub struct Node {
    pub folder: tempfile::TempDir,
    pub cgroup: String,
    pub address: String,
    pub agent: Option<Child>,
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

pub fn run(arguments: &[&str]) -> Said {
    let output = Command::new(PROGRAM)
        .args(arguments)
        .env_remove("NO_COLOR")
        .output()
        .expect("runs");
    Said {
        code: output.status.code().expect("exit code"),
        out: String::from_utf8(output.stdout).expect("text"),
        err: String::from_utf8(output.stderr).expect("text"),
    }
}

impl Node {
    pub fn new(name: &str) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        // A port that was free a moment ago.
        let socket = UdpSocket::bind("127.0.0.1:0").expect("port");
        let address = socket.local_addr().expect("address").to_string();
        drop(socket);
        let node = Self {
            folder,
            cgroup: format!("standfast-test-{}-{name}", std::process::id()),
            address,
            agent: None,
        };
        let state = node.path("state");
        let said = run(&[
            "init",
            "--name",
            "alpha",
            "--address",
            &node.address,
            "--state",
            &state,
        ]);
        assert_eq!(said.code, 0, "{said:?}");
        node
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    pub fn start(&mut self) {
        self.start_with(&[]);
    }

    /// With more flags.
    pub fn start_with(&mut self, flags: &[&str]) {
        let log = fs::File::create(self.folder.path().join("log")).expect("log");
        let child = Command::new(PROGRAM)
            .args([
                "agent",
                "--state",
                &self.path("state"),
                "--run",
                &self.path("run"),
            ])
            .args([
                "--cgroup",
                &self.cgroup,
                "--no-realtime",
                "--metrics",
                "127.0.0.1:0",
            ])
            .args(flags)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.agent = Some(child.expect("agent"));
        self.wait_for("node online", |node| {
            node.ask(&["status"]).out.contains("alpha  online")
        });
    }

    pub fn ask(&self, arguments: &[&str]) -> Said {
        let socket = self.path("run/standfast.sock");
        let mut all = vec!["--socket", socket.as_str()];
        all.extend(arguments);
        run(&all)
    }

    pub fn ok(&self, arguments: &[&str]) -> String {
        let said = self.ask(arguments);
        assert_eq!(said.code, 0, "{arguments:?}: {said:?}");
        said.out
    }

    pub fn wait_for(&self, what: &str, done: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !done(self) {
            let log = fs::read_to_string(self.path("log")).unwrap_or_default();
            assert!(
                start.elapsed() < PATIENCE,
                "no {what}: {:?}\n{}\n{log}",
                self.ask(&["status"]),
                self.ask(&["history"]).out
            );
            thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn write(&self, name: &str, resources: &str) -> String {
        let file = self.path(name);
        let text = format!(
            "[cluster]\nname = \"demo\"\n[nodes.alpha]\naddresses = [\"{}\"]\n{resources}",
            self.address
        );
        fs::write(&file, text).expect("file");
        file
    }

    pub fn runs(&self) -> bool {
        self.ask(&["status"])
            .out
            .contains("site   web       process  alpha  active")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(agent) = &mut self.agent {
            agent.kill().ok();
            agent.wait().ok();
        }
        // The keeper ends what is left when the lease is over; then its control group can go.
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

fn remove_empty(folder: &PathBuf) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            remove_empty(&entry.path());
        }
    }
    fs::remove_dir(folder).ok();
}

/// A group with one process.
pub const SITE: &str = "[groups.site]\nmembers = [\"web\"]\n[resources.web]\nkind = \"process\"\ncommand = [\"/bin/sleep\", \"100000\"]\n";
