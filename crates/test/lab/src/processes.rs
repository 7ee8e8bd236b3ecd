//! Which processes there are and who descends from whom. Not for starting any.

use std::collections::{BTreeMap, BTreeSet};

use rustix::process::{Pid, Signal};

/// A process as the laboratory sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostProcess {
    /// Its id in the laboratory's process-id namespace.
    pub pid: u32,
    /// Command line.
    pub argv: Vec<String>,
}

/// Sends `signal` to process `pid`; a process that is gone already is no error.
pub fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        rustix::process::kill_process(pid, signal).ok();
    }
}

/// When process `pid` began, in the kernel's own count; with the number it names the process for ever.
#[must_use]
pub fn began(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(19).map(str::to_owned)
}

fn parent(pid: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    line.trim().parse().ok()
}

/// Everything that descends from process `ancestor`, which itself is not among them. Zombies are.
#[must_use]
pub fn descendants(ancestor: u32) -> Vec<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    for pid in entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
        if let Some(parent) = parent(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = BTreeSet::new();
    let mut open = vec![ancestor];
    while let Some(next) = open.pop() {
        for child in children.get(&next).into_iter().flatten() {
            if found.insert(*child) {
                open.push(*child);
            }
        }
    }
    found.into_iter().collect()
}

/// The process with its command line; nothing for zombies and kernel threads.
#[must_use]
pub fn describe(pid: u32) -> Option<HostProcess> {
    let data = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let argv: Vec<String> = data
        .split(|byte| *byte == 0)
        .filter(|word| !word.is_empty())
        .map(|word| String::from_utf8_lossy(word).into_owned())
        .collect();
    (!argv.is_empty()).then_some(HostProcess { pid, argv })
}

/// Makes the orphans of this process's descendants its own children, so that they stay its descendants.
pub fn adopt_orphans() {
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).ok();
}

/// Kills everything that descends from process `of`, what they start meanwhile too.
pub fn kill_descendants(of: u32) {
    for _ in 0..100 {
        let living: Vec<HostProcess> = descendants(of).into_iter().filter_map(describe).collect();
        if living.is_empty() {
            return;
        }
        for process in living {
            signal(process.pid, Signal::KILL);
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}
