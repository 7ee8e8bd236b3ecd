//! Nothing of the laboratory is left on the machine, however it ends.
#![expect(clippy::expect_used, reason = "helpers of tests fail by panicking")]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

fn start(mode: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_standfast-lab"))
        .args([
            "lab",
            "--mode",
            mode,
            "--system",
            "keepalived=0.1",
            "--fault",
            "silent-partition",
        ])
        .stdout(Stdio::null())
        .spawn()
        .expect("the laboratory starts")
}

fn folder(lab: &Child) -> PathBuf {
    std::env::temp_dir().join(format!("standfast-lab-{}", lab.id()))
}

/// Processes other than the outermost one whose command line or environment names the lab's folder.
fn leftovers(folder: &Path) -> Vec<String> {
    let needle = folder.to_str().expect("a plain path").as_bytes().to_vec();
    let contains = |path: &Path| {
        std::fs::read(path).is_ok_and(|data| data.windows(needle.len()).any(|part| part == needle))
    };
    let processes = std::fs::read_dir("/proc").expect("proc is mounted");
    processes
        .flatten()
        .filter(|entry| {
            contains(&entry.path().join("environ")) || contains(&entry.path().join("cmdline"))
        })
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(10), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn interrupted_leaves_nothing_behind(mode: &str) {
    let mut lab = start(mode);
    let folder = folder(&lab);
    until("hosts boot", || {
        folder.join("lab1/beta/log/service.log").exists()
    });
    assert!(!leftovers(&folder).is_empty());
    let pid = rustix::process::Pid::from_child(&lab);
    rustix::process::kill_process(pid, rustix::process::Signal::INT)
        .expect("it can be interrupted");
    let status = lab.wait().expect("it ends");
    assert_eq!(status.code(), Some(130));
    assert!(!folder.exists());
    assert_eq!(leftovers(&folder), Vec::<String>::new());
}

#[test]
fn an_interrupted_laboratory_leaves_nothing_behind() {
    interrupted_leaves_nothing_behind("root");
}

#[test]
fn an_interrupted_unprivileged_laboratory_leaves_nothing_behind() {
    interrupted_leaves_nothing_behind("unprivileged");
}

#[test]
fn a_killed_laboratory_leaves_only_files_and_the_next_sweeps_them() {
    let mut lab = start("root");
    let first = folder(&lab);
    until("hosts boot", || {
        first.join("lab1/beta/log/service.log").exists()
    });
    lab.kill().expect("it can be killed");
    lab.wait().expect("it ends");
    until("all processes end", || leftovers(&first).is_empty());

    let mut next = start("root");
    until("the leftovers are swept", || !first.exists());
    let pid = rustix::process::Pid::from_child(&next);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it can be ended");
    next.wait().expect("it ends");
}
