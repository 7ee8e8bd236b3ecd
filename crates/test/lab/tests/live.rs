//! The demonstration on a terminal: drawn, a node without power is taken over from, and the terminal is given back.

#![allow(clippy::expect_used, clippy::panic, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

struct Terminal {
    server: String,
}

impl Terminal {
    fn tmux(&self, arguments: &[&str]) -> String {
        let output = Command::new("tmux")
            .args(["-u", "-L", &self.server, "-f", "/dev/null"])
            .args(arguments)
            .env("TERM", "xterm-256color")
            .env("LC_ALL", "C.UTF-8")
            .env_remove("TMUX")
            .output()
            .expect("tmux is installed");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn wait_for(&self, text: &str) -> String {
        let began = Instant::now();
        loop {
            let screen = self.tmux(&["capture-pane", "-p"]);
            if screen.contains(text) {
                return screen;
            }
            assert!(began.elapsed() < PATIENCE, "no {text:?} on\n{screen}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

/// The product beside the laboratory, built by cargo when it is not there yet.
fn product() -> PathBuf {
    let laboratory = Path::new(env!("CARGO_BIN_EXE_standfast-lab"));
    let product = laboratory.with_file_name("standfast");
    if !product.exists() {
        let built = Command::new(env!("CARGO"))
            .args(["build", "--package", "standfast"])
            .status();
        assert!(built.is_ok_and(|built| built.success()), "the product");
    }
    product
}

#[test]
fn a_viewer_cuts_the_power_and_sees_the_takeover() {
    let terminal = Terminal {
        server: format!("standfast-demo-{}", std::process::id()),
    };
    let command = format!("{} demo; echo ENDED $?; read line", product().display());
    terminal.tmux(&["new-session", "-d", "-x", "100", "-y", "30", &command]);
    terminal.wait_for("JOURNAL, newest first");
    let screen = terminal.wait_for("All well: 3 of 3 nodes online, 1 group running");
    assert!(screen.contains("K power off"), "{screen}");
    // The first group is placed by name, and the first row is that node.
    terminal.wait_for("vip      alpha  active");
    terminal.tmux(&["send-keys", "K"]);
    terminal.wait_for("Cut the power of alpha?");
    terminal.tmux(&["send-keys", "y"]);
    terminal.wait_for("which took over from alpha");
    terminal.wait_for("is served by ");
    terminal.tmux(&["send-keys", "H"]);
    terminal.wait_for("Heal alpha?");
    terminal.tmux(&["send-keys", "y"]);
    terminal.wait_for("All well: 3 of 3 nodes online");
    terminal.tmux(&["send-keys", "q"]);
    terminal.wait_for("ENDED 0");
}
