//! The measuring client. Beside it, on a port of its own, a watcher asks who owns the address. Neither asks the systems under test:
//! what counts is what a client sees. Not for judging the answers: that is `measure`.

mod frame;
mod http;
mod loopback;
mod owner;

use std::fs::File;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::os::fd::AsFd;

use crate::error::{LabError, Result};
use crate::sys;

/// One question every this long.
pub const INTERVAL: Duration = Duration::from_millis(5);

/// A request without an answer after this long has failed. Below the second after which TCP would repeat the first packet.
pub const TIMEOUT: Duration = Duration::from_millis(250);

/// Which running service answered: its node and the moment that process started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Node name, as the service gives it.
    pub node: String,
    /// Boot-time nanosecond of the start of its process.
    pub started_ns: u64,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The right answer, from this instance.
    Answered(Instance),
    /// Refused, reset, unreachable or answered wrongly.
    Failed(String),
    /// No answer within [`TIMEOUT`].
    TimedOut,
}

/// One request of the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// When the connection was begun.
    pub sent_ns: u64,
    /// When the outcome was known.
    pub done_ns: u64,
    /// What came of it.
    pub outcome: Outcome,
}

/// What was asked of a node to find out whether it owns the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Question {
    /// ARP who-has for the address, asked of all.
    Arp,
    /// IPv6 neighbour solicitation for the address, asked of all.
    Neighbour,
    /// ICMP echo to the address through this node's hardware address: the kernel answers.
    Echo,
    /// UDP question to the address through this node's hardware address: the service answers.
    Service,
}

/// An answer that proves that `node` owned the address at some moment between the two times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// Index of the node in the list of hardware addresses given to the probe.
    pub node: usize,
    /// What it answered.
    pub question: Question,
    /// When the question was sent.
    pub sent_ns: u64,
    /// When the answer was read.
    pub received_ns: u64,
}

/// Whom to ask and what.
#[derive(Debug, Clone)]
pub struct ProbePlan {
    /// The service's address.
    pub address: SocketAddr,
    /// The IPv6 address that moves with it, when there is one.
    pub address_v6: Option<Ipv6Addr>,
    /// Hardware addresses of the nodes on the client network; empty on loopback, where answers are told apart by node name.
    pub nodes: Vec<[u8; 6]>,
    /// Node names in the same order.
    pub names: Vec<String>,
    /// The watcher's own hardware and network addresses.
    pub watcher: ([u8; 6], Ipv4Addr, Ipv6Addr),
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    requests: Mutex<Vec<Request>>,
    evidence: Mutex<Vec<Evidence>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A running probe; dropping it stops it.
#[derive(Debug)]
pub struct Probe {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Result<()>>>,
}

impl Probe {
    /// Starts asking from the network namespaces given; none means the namespace of this process.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(plan: &ProbePlan, client: Option<File>, watcher: Option<File>) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let mut threads = Vec::new();
        let (for_client, address) = (Arc::clone(&shared), plan.address);
        threads.push(spawn("client", client, move || {
            http::run(&for_client, address)
        })?);
        let (for_watcher, plan) = (Arc::clone(&shared), plan.clone());
        threads.push(spawn("watcher", watcher, move || {
            owner::run(&for_watcher, &plan)
        })?);
        Ok(Self { shared, threads })
    }

    /// Requests that have an outcome, in order of outcome, from position `from` on.
    #[must_use]
    pub fn requests(&self, from: usize) -> Vec<Request> {
        lock(&self.shared.requests)
            .get(from..)
            .unwrap_or_default()
            .to_vec()
    }

    /// How many requests have an outcome.
    #[must_use]
    pub fn request_count(&self) -> usize {
        lock(&self.shared.requests).len()
    }

    /// Evidence of ownership received at or after `since_ns`.
    #[must_use]
    pub fn evidence(&self, since_ns: u64) -> Vec<Evidence> {
        let evidence = lock(&self.shared.evidence);
        let first = evidence.partition_point(|entry| entry.received_ns < since_ns);
        evidence.get(first..).unwrap_or_default().to_vec()
    }

    /// Fails when a part of the probe has ended: nothing measured since then would mean anything.
    ///
    /// # Errors
    /// When a thread is gone.
    pub fn check(&self) -> Result<()> {
        match self.threads.iter().find(|thread| thread.is_finished()) {
            Some(thread) => Err(LabError::Unexpected(format!(
                "the probe's {} thread ended",
                thread.thread().name().unwrap_or("unnamed")
            ))),
            None => Ok(()),
        }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            if let Ok(Err(error)) = thread.join() {
                drop(std::io::Write::write_fmt(
                    &mut std::io::stderr(),
                    format_args!("probe: {error}\n"),
                ));
            }
        }
    }
}

fn spawn(
    name: &str,
    namespace: Option<File>,
    body: impl FnOnce() -> Result<()> + Send + 'static,
) -> Result<JoinHandle<Result<()>>> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            if let Some(namespace) = namespace {
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
                    .map_err(|error| LabError::system("enter a network namespace", error))?;
            }
            // Without the privilege the measurement is less exact under load, and late ticks show it.
            drop(standfast_unrest::take_realtime_priority());
            body()
        })
        .map_err(|error| LabError::system("start a probe thread", error))
}

/// The moments at which to ask. A tick that came too late is left out, not caught up with: a burst would measure the burst.
#[derive(Debug)]
struct Ticks {
    next_ns: u64,
}

impl Ticks {
    fn new() -> Self {
        Self {
            next_ns: sys::now_ns(),
        }
    }

    /// True when it is time to ask.
    fn due(&mut self, now_ns: u64) -> bool {
        if now_ns < self.next_ns {
            return false;
        }
        let interval = u64::try_from(INTERVAL.as_nanos()).unwrap_or(u64::MAX);
        let missed = (now_ns - self.next_ns) / interval;
        self.next_ns += (missed + 1) * interval;
        true
    }

    fn wait(&self, now_ns: u64) -> rustix::time::Timespec {
        let wait = self.next_ns.saturating_sub(now_ns).min(999_999_999);
        rustix::time::Timespec {
            tv_sec: 0,
            tv_nsec: i64::try_from(wait).unwrap_or_default(),
        }
    }
}
