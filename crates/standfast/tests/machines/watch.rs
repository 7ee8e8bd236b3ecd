//! Whether a service ever runs on two machines at once.

use super::Machine;
use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

/// Counts, again and again, on how many machines the service runs.
pub(crate) struct Watch {
    ends: Arc<AtomicBool>,
    most: Arc<AtomicUsize>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Watch {
    pub(crate) fn new(machines: &[&Machine]) -> Self {
        let cgroups: Vec<String> = machines.iter().map(|m| m.cgroup.clone()).collect();
        let (ends, most) = (Arc::default(), Arc::default());
        let (end, seen): (Arc<AtomicBool>, Arc<AtomicUsize>) =
            (Arc::clone(&ends), Arc::clone(&most));
        let thread = thread::spawn(move || {
            while !end.load(Ordering::Relaxed) {
                let active = cgroups.iter().filter(|cgroup| runs_in(cgroup)).count();
                seen.fetch_max(active, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(10));
            }
        });
        Self {
            ends,
            most,
            thread: Some(thread),
        }
    }

    pub(crate) fn most(mut self) -> usize {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("watch");
        }
        self.most.load(Ordering::Relaxed)
    }
}

/// Whether the service of these tests runs there.
pub(crate) fn runs_in(cgroup: &str) -> bool {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    all.into_iter().any(|entry| {
        let read = |name| fs::read(entry.path().join(name)).unwrap_or_default();
        read("cmdline").starts_with(b"/bin/sleep\x00100000")
            && String::from_utf8_lossy(&read("cgroup")).contains(cgroup)
    })
}
