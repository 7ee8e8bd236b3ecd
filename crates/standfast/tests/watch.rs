//! The live view in a real terminal (tmux): drawn, resized, used, and left as the terminal was.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod support;

use std::{
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};
use support::{Node, PATIENCE, PROGRAM, SITE};

/// A terminal of its own; dropped, it is gone with whatever runs in it.
struct Terminal {
    server: String,
}

impl Terminal {
    fn new(command: &str) -> Self {
        let server = format!("standfast-test-{}", std::process::id());
        let terminal = Self { server };
        terminal.tmux(&[
            "-f",
            "/dev/null",
            "new-session",
            "-d",
            "-x",
            "80",
            "-y",
            "24",
            command,
        ]);
        terminal
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let output = Command::new("tmux")
            .args(["-u", "-L", &self.server])
            .args(arguments)
            .env("TERM", "xterm-256color")
            .env("LC_ALL", "C.UTF-8")
            .env_remove("TMUX")
            .env_remove("NO_COLOR")
            .output()
            .expect("tmux");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    fn keys(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    fn wait_for(&self, text: &str) -> String {
        let start = Instant::now();
        loop {
            let screen = self.screen();
            if screen.contains(text) {
                return screen;
            }
            assert!(start.elapsed() < PATIENCE, "no {text:?} on\n{screen}");
            thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        Command::new("tmux")
            .args(["-L", &self.server, "kill-server"])
            .output()
            .ok();
    }
}

#[test]
fn an_operator_watches_asks_and_leaves() {
    let mut node = Node::new("watch");
    node.start();
    let file = node.write("cluster.toml", SITE);
    node.ok(&["apply", &file]);
    node.wait_for("running group", Node::runs);
    let socket = node.path("run/standfast.sock");
    // What was on the terminal before comes back, and it echoes and edits lines again.
    let script = node.path("watch.sh");
    let watch = format!("{PROGRAM} --socket {socket} status --watch");
    let look = "stty -a | tr ' ' '\\n' | grep -E '^-?(icanon|echo);?$' | tr '\\n' ' '";
    let text = format!(
        "echo BEFORE\n{watch}\necho DONE $? $({look})\nread line\n{watch} & echo $! >{pid}; fg 2>/dev/null; wait\necho AGAIN $({look})\nread line\n",
        pid = node.path("pid")
    );
    fs::write(&script, text).expect("script");
    let terminal = Terminal::new(&format!("bash -m {script}"));

    let screen = terminal.wait_for("JOURNAL, newest first");
    assert!(screen.contains("All well: 1 of 1 nodes online"), "{screen}");
    assert!(
        screen.contains("site   web       process  alpha  active"),
        "{screen}"
    );
    assert!(screen.contains("q quit"), "{screen}");
    assert!(!screen.contains("BEFORE"), "{screen}");

    terminal.keys(&["d"]);
    terminal.wait_for("It STOPS site: no other node can run it.");
    terminal.keys(&["n"]);
    terminal.wait_for("q quit");
    terminal.keys(&["M"]);
    terminal.wait_for("Maintenance of the whole cluster?");
    terminal.keys(&["y"]);
    terminal.wait_for("! the cluster is in maintenance");
    assert!(
        node.ok(&["status"])
            .contains("the cluster is in maintenance")
    );
    terminal.keys(&["M"]);
    terminal.wait_for("End the maintenance of the whole cluster?");
    terminal.keys(&["y"]);
    terminal.wait_for("configuration version 3 applied by root");

    terminal.tmux(&["resize-window", "-x", "50", "-y", "12"]);
    let small = terminal.wait_for("maintenance");
    assert!(
        small.lines().all(|line| line.chars().count() <= 50),
        "{small}"
    );
    terminal.tmux(&["resize-window", "-x", "100", "-y", "30"]);

    terminal.keys(&["q"]);
    let left = terminal.wait_for("DONE");
    assert!(left.contains("BEFORE"), "{left}");
    assert!(left.contains("DONE 0 icanon echo"), "{left}");

    terminal.keys(&["Enter"]);
    terminal.wait_for("JOURNAL, newest first");
    let pid = fs::read_to_string(node.path("pid")).expect("pid");
    let killed = Command::new("kill").arg(pid.trim()).status();
    assert!(killed.expect("kill").success());
    let left = terminal.wait_for("AGAIN");
    assert!(left.contains("AGAIN icanon echo"), "{left}");
    drop(terminal);

    let empty = node.write("empty.toml", "");
    node.ok(&["apply", &empty]);
    node.wait_for("end of the group", |node| {
        !node.ask(&["status"]).out.contains("site")
    });
}

#[test]
fn without_a_terminal_the_text_comes_again_and_again() {
    let mut node = Node::new("pipe");
    node.start();
    let socket = node.path("run/standfast.sock");
    let watch = format!("timeout 3 {PROGRAM} --socket {socket} status --watch");
    let output = Command::new("sh").args(["-c", &watch]).output();
    let text = String::from_utf8(output.expect("sh").stdout).expect("text");
    assert!(
        text.matches("All well: 1 of 1 nodes online").count() >= 2,
        "{text}"
    );
    assert!(!text.contains('\x1b'), "{text}");
}
