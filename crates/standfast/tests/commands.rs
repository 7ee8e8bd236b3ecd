//! The command line against a real agent: a cluster of one on loopback, with a real process.
//!
//! What takes several nodes is the lab's.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::{
    fs,
    net::UdpSocket,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_standfast");

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A node with its agent; dropped, nothing of it is left.
struct Node {
    folder: tempfile::TempDir,
    cgroup: String,
    address: String,
    agent: Option<Child>,
}

/// What a command said.
#[derive(Debug)]
struct Said {
    code: i32,
    out: String,
    err: String,
}

fn run(arguments: &[&str]) -> Said {
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
    fn new(name: &str) -> Self {
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

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn start(&mut self) {
        let log = fs::File::create(self.folder.path().join("log")).expect("log");
        let child = Command::new(PROGRAM)
            .args([
                "agent",
                "--state",
                &self.path("state"),
                "--run",
                &self.path("run"),
            ])
            .args(["--cgroup", &self.cgroup, "--no-realtime"])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.agent = Some(child.expect("agent"));
        self.wait_for("node online", |node| {
            node.ask(&["status"]).out.contains("1 of 1 nodes online")
        });
    }

    fn ask(&self, arguments: &[&str]) -> Said {
        let socket = self.path("run/standfast.sock");
        let mut all = vec!["--socket", socket.as_str()];
        all.extend(arguments);
        run(&all)
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let said = self.ask(arguments);
        assert_eq!(said.code, 0, "{arguments:?}: {said:?}");
        said.out
    }

    fn wait_for(&self, what: &str, done: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !done(self) {
            let log = fs::read_to_string(self.path("log")).unwrap_or_default();
            assert!(
                start.elapsed() < PATIENCE,
                "no {what}: {:?}\n{log}",
                self.ask(&["status"])
            );
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn write(&self, name: &str, resources: &str) -> String {
        let file = self.path(name);
        let text = format!(
            "[cluster]\nname = \"demo\"\n[nodes.alpha]\naddresses = [\"{}\"]\n{resources}",
            self.address
        );
        fs::write(&file, text).expect("file");
        file
    }

    fn runs(&self) -> bool {
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

const SITE: &str = "[groups.site]\nmembers = [\"web\"]\n[resources.web]\nkind = \"process\"\ncommand = [\"/bin/sleep\", \"100000\"]\n";

#[test]
fn without_an_agent_each_command_says_so_in_its_own_way() {
    let socket = ["--socket", "/nonexistent/socket"];
    let ask = |command: &[&str]| run(&[&socket[..], command].concat());
    for command in [
        &["status"][..],
        &["history"],
        &["explain", "site"],
        &["switchover", "site"],
        &["node", "drain", "a"],
        &["restart"],
        &["token"],
    ] {
        let said = ask(command);
        assert_eq!(said.code, 102, "{command:?}: {said:?}");
        assert!(
            said.err.contains("no agent answers on /nonexistent/socket"),
            "{said:?}"
        );
    }
    let said = ask(&["check"]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(
        said.out
            .starts_with("STANDFAST CRITICAL - no agent answers"),
        "{said:?}"
    );
}

#[test]
fn usage_files_and_mistakes_have_their_exit_codes() {
    assert_eq!(run(&[]).code, 2);
    assert_eq!(run(&["dance"]).code, 2);
    assert_eq!(run(&["status", "--watch=0"]).code, 2);
    assert_eq!(run(&["--help"]).code, 0);
    assert!(run(&["--version"]).out.starts_with("standfast "));
    assert_eq!(run(&["apply", "/nonexistent/file"]).code, 66);
    assert_eq!(
        run(&[
            "join",
            "--name",
            "a",
            "--address",
            "127.0.0.1:1",
            "--token-file",
            "/nonexistent/t"
        ])
        .code,
        66
    );
    let folder = tempfile::tempdir().expect("folder");
    let file = folder.path().join("cluster.toml").display().to_string();
    fs::write(&file, "[cluster]\nname = \"demo\"\nprofile = \"lam\"\n").expect("file");
    let said = run(&["plan", &file]);
    assert_eq!(said.code, 78, "{said:?}");
    assert!(
        said.err
            .contains("cluster.toml:3:11: cluster.profile: unknown profile \"lam\""),
        "{said:?}"
    );
    assert!(said.err.contains("did you mean \"lan\"?"), "{said:?}");
    assert!(
        said.err.contains("2 mistakes; nothing was changed"),
        "{said:?}"
    );
    let said = run(&["plan", "--json", &file]);
    assert!(
        said.out.contains("\"schema\": \"standfast/mistakes/1\""),
        "{said:?}"
    );
}

#[test]
fn a_group_is_applied_looked_at_moved_drained_and_handed_over() {
    let mut node = Node::new("life");
    node.start();
    let file = node.write("cluster.toml", SITE);

    let plan = node.ok(&["plan", &file]);
    assert!(
        plan.contains("resource web: added (process /bin/sleep 100000)"),
        "{plan}"
    );
    assert!(plan.contains("1. start web on alpha"), "{plan}");
    assert!(
        !node.ok(&["status"]).contains("web"),
        "plan changes nothing"
    );
    assert!(
        node.ok(&["apply", "--dry-run", &file])
            .contains("1. start web on alpha")
    );

    let applied = node.ok(&["apply", &file]);
    assert!(
        applied.contains("Configuration 1 is in force."),
        "{applied}"
    );
    node.wait_for("running group", Node::runs);
    assert!(node.ok(&["apply", &file]).contains("Nothing would change"));
    let json = node.ok(&["apply", "--json", &file]);
    assert!(json.contains("\"changed\": false"), "{json}");

    look(&node);
    refusals(&node);
    let said = node.ask(&["switchover", "site"]);
    assert_eq!(said.code, 69, "nowhere to go: {said:?}");
    assert!(said.err.contains("it stays on alpha"), "{said:?}");
    node.ok(&["resource", "cleanup", "web"]);

    assert!(
        node.ok(&["node", "drain", "alpha", "--force"])
            .contains("alpha is empty after")
    );
    let said = node.ask(&["check"]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(
        said.out
            .contains("OUTAGE: site is not running, because no node can run it: alpha is drained"),
        "{said:?}"
    );
    node.ok(&["node", "resume", "alpha"]);
    node.wait_for("running group", Node::runs);

    hand_over(&mut node);
    let empty = node.write("empty.toml", "");
    node.ok(&["apply", &empty]);
    node.wait_for("end of the group", |node| {
        !node.ask(&["status"]).out.contains("site")
    });
}

fn look(node: &Node) {
    let said = node.ask(&["check"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(
        said.out
            .contains("STANDFAST OK - All well: 1 of 1 nodes online, 1 group running"),
        "{said:?}"
    );
    assert!(
        said.out
            .contains(" | nodes_online=1;;;0;1 groups_running=1;;;0;1"),
        "{said:?}"
    );
    assert!(
        node.ok(&["explain", "site"])
            .starts_with("site runs on alpha.")
    );
    assert!(
        node.ok(&["history"])
            .contains("configuration version 1 applied by root")
    );
}

fn refusals(node: &Node) {
    let codes = [
        (&["explain", "sit"][..], 105),
        (&["switchover", "sit"], 105),
        (&["switchover", "site", "--to", "delta"], 105),
        (&["switchover", "site", "--to", "alpha"], 108),
        (&["resource", "cleanup", "other"], 105),
        (&["node", "drain", "delta"], 105),
        (&["node", "drain", "alpha"], 107),
    ];
    for (command, code) in codes {
        let said = node.ask(command);
        assert_eq!(said.code, code, "{command:?}: {said:?}");
    }
}

/// A planned restart: the agent ends, what it ran goes on, the next agent takes it over.
fn hand_over(node: &mut Node) {
    let before = pid_of_service(node);
    assert!(node.ok(&["restart"]).contains("goes on for 10 s"));
    let mut old = node.agent.take().expect("agent");
    let start = Instant::now();
    while old.try_wait().expect("agent").is_none() {
        if start.elapsed() > PATIENCE {
            old.kill().ok();
            panic!("the agent did not end");
        }
        thread::sleep(Duration::from_millis(20));
    }
    node.start();
    node.wait_for("running group", Node::runs);
    assert_eq!(pid_of_service(node), before, "it was not restarted");
}

/// Found by its control group, which carries this test's own name.
fn pid_of_service(node: &Node) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("/proc").flatten() {
        let read = |name| fs::read(entry.path().join(name)).unwrap_or_default();
        let cgroup = String::from_utf8_lossy(&read("cgroup")).into_owned();
        if cgroup.contains(&node.cgroup) && read("cmdline").starts_with(b"/bin/sleep\0") {
            found.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    assert_eq!(found.len(), 1, "one service");
    found
}
