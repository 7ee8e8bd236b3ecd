//! How calm the machine was under a test: whether each processor ran what was due, how much of it went to others, and whether the disk wrote.
//! What went wrong on a machine that stood still says little about the system under test. Not for judging: that is for whoever watches.

mod priority;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::{Deserialize, Serialize};

pub use priority::take_realtime_priority;

/// How often each processor has something to do.
const TICK: Duration = Duration::from_millis(5);

/// What comes later than this was kept waiting. Less is what timers and other real-time threads take.
const LATE: Duration = Duration::from_millis(5);

/// How often something is written.
const WRITE: Duration = Duration::from_millis(200);

/// With whose eyes the processors are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// As agents do, with real-time priority: other programs are not in their way.
    RealTime,
    /// As tests do, and the agents that they start: whatever else runs keeps them waiting.
    Ordinary,
}

/// What the machine did not do while it was watched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Unrest {
    /// Longest time for which a processor did not run a thread that was due, milliseconds.
    pub longest_stall_ms: f64,
    /// Part of the time for which that was so, on the worst processor.
    pub stalled: f64,
    /// Part of the processors' time that other virtual machines got, as the kernel counts it.
    pub stolen: f64,
    /// Longest durable write of one byte, milliseconds.
    pub slowest_write_ms: f64,
}

impl Unrest {
    /// Whether a trial that went wrong is worth another look on a calmer machine.
    #[must_use]
    pub fn is_restless(&self) -> bool {
        self.reaches(25.0, 0.02, 0.05, 250.0)
    }

    /// Whether times of a trial say nothing of the system under test: the machine itself took as long as what is measured.
    #[must_use]
    pub fn is_unfit(&self) -> bool {
        self.reaches(100.0, 0.08, 0.2, 1000.0)
    }

    fn reaches(&self, stall_ms: f64, stalled: f64, stolen: f64, write_ms: f64) -> bool {
        self.longest_stall_ms >= stall_ms
            || self.stalled >= stalled
            || self.stolen >= stolen
            || self.slowest_write_ms >= write_ms
    }
}

impl std::fmt::Display for Unrest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "stood still for up to {:.0} ms, {:.0} % in all, {:.0} % was taken by others, the slowest write took {:.0} ms",
            self.longest_stall_ms,
            self.stalled * 100.0,
            self.stolen * 100.0,
            self.slowest_write_ms
        )
    }
}

/// One thing that is watched.
#[derive(Debug, Default)]
struct Lateness {
    longest_ns: AtomicU64,
    sum_ns: AtomicU64,
}

impl Lateness {
    fn add(&self, ns: u64) {
        self.longest_ns.fetch_max(ns, Ordering::Relaxed);
        self.sum_ns.fetch_add(ns, Ordering::Relaxed);
    }
}

/// A running watch; dropping it ends it.
#[derive(Debug)]
pub struct Watch {
    stop: Arc<AtomicBool>,
    processors: Vec<Arc<Lateness>>,
    disk: Arc<Lateness>,
    failed: Arc<Mutex<Option<String>>>,
    began_ns: u64,
    began: Option<(u64, u64)>,
    threads: Vec<JoinHandle<()>>,
}

impl Watch {
    /// Watches every processor that this process may use, and the disk of `folder`.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(folder: &Path, priority: Priority) -> std::io::Result<Self> {
        let mut watch = Self {
            stop: Arc::default(),
            processors: Vec::new(),
            disk: Arc::default(),
            failed: Arc::default(),
            began_ns: now_ns(),
            began: stolen(),
            threads: Vec::new(),
        };
        let all = sched_getaffinity(None)?;
        for number in (0..CpuSet::MAX_CPU).filter(|number| all.is_set(*number)) {
            let (stop, seen) = (Arc::clone(&watch.stop), Arc::<Lateness>::default());
            watch.processors.push(Arc::clone(&seen));
            watch.spawn("processor", move || {
                processor((number, priority), &stop, &seen);
            })?;
        }
        let (stop, seen) = (Arc::clone(&watch.stop), Arc::clone(&watch.disk));
        let (file, failed) = (folder.join("unrest"), Arc::clone(&watch.failed));
        watch.spawn("disk", move || {
            if let Err(error) = disk(&file, &stop, &seen) {
                *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
            }
        })?;
        Ok(watch)
    }

    fn spawn(&mut self, name: &str, body: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(body)?;
        self.threads.push(thread);
        Ok(())
    }

    /// What was seen since the start.
    ///
    /// # Errors
    /// When the disk could not be written to.
    pub fn seen(&self) -> std::io::Result<Unrest> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(error) = failed.as_ref() {
            return Err(std::io::Error::other(format!("write to disk: {error}")));
        }
        let took = now_ns().saturating_sub(self.began_ns);
        let longest = |all: &[Arc<Lateness>]| {
            let each = all.iter().map(|one| one.longest_ns.load(Ordering::Relaxed));
            each.max().unwrap_or_default()
        };
        let sums = self
            .processors
            .iter()
            .map(|one| one.sum_ns.load(Ordering::Relaxed));
        let stolen = match (self.began, stolen()) {
            (Some((stolen, total)), Some((stolen_now, total_now))) => part(
                stolen_now.saturating_sub(stolen),
                total_now.saturating_sub(total),
            ),
            _ => 0.0,
        };
        Ok(Unrest {
            longest_stall_ms: millis(longest(&self.processors)),
            stalled: part(sums.max().unwrap_or_default(), took),
            stolen,
            slowest_write_ms: millis(self.disk.longest_ns.load(Ordering::Relaxed)),
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // It holds nothing that could be lost.
            drop(thread.join());
        }
    }
}

fn millis(ns: u64) -> f64 {
    Duration::from_nanos(ns).as_secs_f64() * 1000.0
}

fn part(of: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        Duration::from_nanos(of).as_secs_f64() / Duration::from_nanos(whole).as_secs_f64()
    }
}

/// Nanoseconds of CLOCK_MONOTONIC, which does not count a machine that sleeps.
fn now_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    let nanos = u64::try_from(now.tv_nsec).unwrap_or_default();
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

/// Time of all processors since boot that others got, and all of it, in the kernel's ticks (proc_stat(5)).
fn stolen() -> Option<(u64, u64)> {
    let text = std::fs::read_to_string("/proc/stat").ok()?;
    let times = text.lines().next()?.split_whitespace().skip(1);
    let times: Vec<u64> = times.filter_map(|time| time.parse().ok()).collect();
    // The guests' times, after the eighth, are part of the first two.
    let all = times.iter().take(8).sum();
    Some((*times.get(7)?, all))
}

fn processor((number, priority): (usize, Priority), stop: &AtomicBool, seen: &Lateness) {
    let mut only = CpuSet::new();
    only.set(number);
    // Not pinned it watches some processor, and without the privilege it sees what any process does.
    sched_setaffinity(None, &only).ok();
    if priority == Priority::RealTime {
        take_realtime_priority().ok();
    }
    let late = u64::try_from(LATE.as_nanos()).unwrap_or(u64::MAX);
    let tick = u64::try_from(TICK.as_nanos()).unwrap_or(u64::MAX);
    while !stop.load(Ordering::Relaxed) {
        let due = now_ns().saturating_add(tick);
        std::thread::sleep(TICK);
        let waited = now_ns().saturating_sub(due);
        if waited >= late {
            seen.add(waited);
        }
    }
}

fn disk(file: &PathBuf, stop: &AtomicBool, seen: &Lateness) -> std::io::Result<()> {
    take_realtime_priority().ok();
    while !stop.load(Ordering::Relaxed) {
        let before = now_ns();
        let mut open = std::fs::File::create(file)?;
        open.write_all(b".")?;
        open.sync_all()?;
        seen.add(now_ns().saturating_sub(before));
        std::thread::sleep(WRITE);
    }
    std::fs::remove_file(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_calm_machine_is_neither_and_each_kind_of_unrest_counts() {
        assert!(!Unrest::default().is_restless());
        let stalls = Unrest {
            longest_stall_ms: 30.0,
            ..Unrest::default()
        };
        assert!(stalls.is_restless() && !stalls.is_unfit());
        let all: [fn(&mut Unrest); 4] = [
            |seen| seen.longest_stall_ms = 800.0,
            |seen| seen.stalled = 0.4,
            |seen| seen.stolen = 0.5,
            |seen| seen.slowest_write_ms = 9000.0,
        ];
        for set in all {
            let mut seen = Unrest::default();
            set(&mut seen);
            assert!(seen.is_restless() && seen.is_unfit(), "{seen}");
        }
    }

    #[test]
    fn a_watch_sees_writes_and_ends() {
        let folder = tempfile::tempdir().expect("a folder");
        let watch = Watch::start(folder.path(), Priority::Ordinary).expect("it starts");
        let mut seen = watch.seen().expect("it saw something");
        while seen.slowest_write_ms <= 0.0 {
            std::thread::sleep(TICK);
            seen = watch.seen().expect("it saw something");
        }
        drop(watch);
        assert!(!folder.path().join("unrest").exists());
    }
}
