//! One fault, once, on one system: settle, inject, watch, heal, watch again. Not for repeating or for tables.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::error::{LabError, Result};
use crate::fault::{Expected, Fault, Injector};
use crate::measure::{self, ClientView, OwnerView};
use crate::probe::{Outcome, Probe};
use crate::sys;
use crate::system::{FenceSeen, System};
use standfast_unrest::Unrest;

/// How long the service has to be answered without a failure before a fault is injected.
const CALM: Duration = Duration::from_millis(1000);

/// Two owners that nothing is promised about are watched for so long: the second one begins when a pair's longest lease is over.
const MEASURED: Duration = Duration::from_secs(12);

/// What has to end is watched for so long: a pair's longest lease, and somebody who may not take over.
const ENDED: Duration = Duration::from_secs(10);

/// How long a fault is watched.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// At least this long, even when the service is back at once. None: as long as the fault needs ([`Fault::shortest_watch`]).
    pub least: Option<Duration>,
    /// At most this long.
    pub most: Duration,
    /// After the fault was undone.
    pub healed: Duration,
    /// At most this long until the system is ready for the next fault.
    pub settle: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            least: None,
            most: Duration::from_secs(15),
            healed: Duration::from_secs(2),
            settle: Duration::from_secs(180),
        }
    }
}

/// The result of one trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Name of the system.
    pub system: String,
    /// The fault.
    pub fault: Fault,
    /// Whether all cores were kept busy.
    pub loaded: bool,
    /// Which one, from 1.
    pub number: u32,
    /// What clients saw, from the fault until it was undone.
    pub client: ClientView,
    /// What the watcher saw in that time.
    pub owners: OwnerView,
    /// What the watcher saw from the fault to the end, undoing included.
    pub owners_healed: OwnerView,
    /// How long it took to make the fault happen. It is part of every time above.
    pub injection_ms: f64,
    /// How long the fault was watched.
    pub watched_ms: f64,
    /// The node that led just before the fault, when it has leaders.
    pub leader: Option<String>,
    /// What was fenced, until the fault was undone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fence: Option<FenceSeen>,
    /// What the system's own status said, for faults that end the service.
    pub status: String,
    /// How calm the machine was meanwhile. [`crate::session`] knows.
    #[serde(default)]
    pub unrest: Unrest,
}

/// Waits until the system has everything it should have and clients have been answered by one instance for a while. Returns the
/// position of the node that answers.
///
/// # Errors
/// When it takes longer than `patience`.
pub fn settle(system: &mut dyn System, probe: &Probe, patience: Duration) -> Result<usize> {
    let began = Instant::now();
    let mut missing = "answers".to_owned();
    while began.elapsed() < patience {
        probe.check()?;
        system.tend()?;
        std::thread::sleep(Duration::from_millis(100));
        match calm(probe) {
            Err(reason) => missing = reason,
            Ok(node) => {
                let unknown =
                    || LabError::Unexpected(format!("node {node} answers, but is not in the lab"));
                let node = system.lab().position(&node).ok_or_else(unknown)?;
                match system.unsettled(node) {
                    Some(reason) => missing = reason,
                    None => return Ok(node),
                }
            }
        }
    }
    Err(LabError::NotReady {
        system: system.name().to_owned(),
        seconds: began.elapsed().as_secs(),
        detail: missing,
    })
}

/// The node whose one instance answered every request of the last while, and nobody else claimed the address.
fn calm(probe: &Probe) -> std::result::Result<String, String> {
    let since = sys::now_ns().saturating_sub(ns(CALM));
    let requests = probe.requests(probe.request_count().saturating_sub(400));
    if requests.first().is_none_or(|first| first.sent_ns > since) {
        return Err("enough requests".to_owned());
    }
    let mut instances = Vec::new();
    for request in requests.iter().filter(|request| request.sent_ns >= since) {
        match &request.outcome {
            Outcome::Answered(instance) => instances.push(instance),
            Outcome::Failed(reason) => return Err(format!("an answer: {reason}")),
            Outcome::TimedOut => return Err("an answer: timed out".to_owned()),
        }
    }
    instances.dedup();
    let [instance] = instances.as_slice() else {
        return Err(format!("one instance, instead of {}", instances.len()));
    };
    let mut owners: Vec<usize> = probe
        .evidence(since)
        .iter()
        .map(|entry| entry.node)
        .collect();
    owners.sort_unstable();
    owners.dedup();
    match owners.len() {
        1 => Ok(instance.node.clone()),
        count => Err(format!("one owner, instead of {count}")),
    }
}

fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Runs `fault` once. The system is settled before and healed afterwards.
///
/// # Errors
/// When the laboratory fails or the system does not become ready; what the system does badly is in the result.
pub fn run(
    system: &mut dyn System,
    probe: &Probe,
    injector: &mut Injector,
    (fault, loaded, number): (Fault, bool, u32),
    patience: Patience,
) -> Result<Trial> {
    let mut primary = settle(system, probe, patience.settle)?;
    system.forget_failures();
    system.mark();
    if loaded {
        injector.load(system)?;
        std::thread::sleep(Duration::from_millis(500));
    }
    if fault == Fault::PrimaryLeaderLost || fault == Fault::LeaderLost {
        primary = arrange_leader(system, probe, (fault, primary), patience)?;
    }
    injector.prepare(fault, system, primary)?;
    if fault.is_handicap() {
        primary = settle(system, probe, patience.settle)?;
    }
    let leader = system
        .leader()
        .and_then(|leader| system.lab().nodes.get(leader));
    let leader = leader.map(|host| host.name().to_owned());
    let first = probe.request_count().saturating_sub(200);
    let fault_ns = injector.inject(fault, system, primary)?;
    let injected_ns = sys::now_ns();
    let view = watch(system, probe, first, fault_ns, (fault, patience))?;
    let healing_ns = sys::now_ns();
    let owners = measure::owner_view(&probe.evidence(fault_ns));
    let fence = system.fence_seen();
    let status = if system.expected(fault) == Expected::Ends {
        system.status(primary)
    } else {
        String::new()
    };
    injector.heal(system)?;
    std::thread::sleep(patience.healed);
    probe.check()?;
    Ok(Trial {
        system: system.name().to_owned(),
        fault,
        loaded,
        number,
        client: view,
        owners,
        owners_healed: measure::owner_view(&probe.evidence(fault_ns)),
        injection_ms: millis(injected_ns.saturating_sub(fault_ns)),
        watched_ms: millis(healing_ns.saturating_sub(fault_ns)),
        leader,
        fence,
        status,
        unrest: Unrest::default(),
    })
}

fn millis(ns: u64) -> f64 {
    Duration::from_nanos(ns).as_secs_f64() * 1000.0
}

/// Moves the service onto or off the leader, as the fault needs it.
fn arrange_leader(
    system: &mut dyn System,
    probe: &Probe,
    (fault, primary): (Fault, usize),
    patience: Patience,
) -> Result<usize> {
    let leads = |system: &dyn System| {
        system
            .leader()
            .ok_or_else(|| LabError::Unexpected("nobody leads".to_owned()))
    };
    let wanted_same = fault == Fault::PrimaryLeaderLost;
    let mut primary = primary;
    for _ in 0..5 {
        let leader = leads(system)?;
        if (leader == primary) == wanted_same {
            return Ok(primary);
        }
        let others = (0..system.lab().nodes.len()).find(|index| *index != leader);
        let to = if wanted_same {
            leader
        } else {
            others.unwrap_or(leader)
        };
        system.switch_over(primary, to)?;
        primary = settle(system, probe, patience.settle)?;
        // The node that leads may give leadership away when it becomes the primary; give it a moment before looking again.
        std::thread::sleep(Duration::from_millis(500));
    }
    Err(LabError::Unexpected(format!(
        "leadership keeps moving away: cannot arrange {}",
        fault.name()
    )))
}

/// Watches until what is expected of the fault has happened and stayed for a while, or patience ends.
fn watch(
    system: &mut dyn System,
    probe: &Probe,
    first: usize,
    fault_ns: u64,
    (fault, patience): (Fault, Patience),
) -> Result<ClientView> {
    let expected = system.expected(fault);
    let waits_for_leases = system.lab().nodes.len() == 2 && !system.fences();
    let shortest = match expected {
        Expected::Measured => MEASURED,
        Expected::TwoOwners if waits_for_leases => MEASURED,
        Expected::Ends => fault.shortest_watch().max(ENDED),
        _ => fault.shortest_watch(),
    };
    let least = patience.least.unwrap_or(shortest);
    let pair = system.fences();
    let limit = match expected {
        _ if pair && fault.has_a_pair_fence() => 2 * patience.most,
        Expected::Measured => least,
        Expected::Unaffected | Expected::Ends | Expected::TwoOwners
            if fault != Fault::HealedPartition =>
        {
            least
        }
        // A client's stale neighbour entry lives up to a minute.
        _ if fault == Fault::HealedPartition => 4 * patience.most,
        _ => patience.most,
    };
    let mut come_ns = None;
    loop {
        system.tend()?;
        std::thread::sleep(Duration::from_millis(50));
        let now = sys::now_ns();
        let elapsed = Duration::from_nanos(now.saturating_sub(fault_ns));
        let view = measure::client_view(&probe.requests(first), fault_ns);
        let come = match expected {
            Expected::Moves | Expected::TwoOwners => {
                view.new_node.is_some()
                    && view.new_node != view.old_node
                    && view.steady_ms.is_some()
            }
            Expected::Returns => view.new_node.is_some() && view.steady_ms.is_some(),
            Expected::Unaffected | Expected::Ends | Expected::Measured => view.steady_ms.is_some(),
        };
        // Whoever was fenced is to come back by itself, too.
        let come = come && !(pair && fault.has_a_pair_fence() && !is_back(system));
        if come {
            come_ns.get_or_insert(now);
        } else {
            come_ns = None;
        }
        let stayed = come_ns.is_some_and(|since| now.saturating_sub(since) >= ns(CALM));
        if elapsed >= limit || (stayed && elapsed >= least) {
            return Ok(view);
        }
    }
}

fn is_back(system: &dyn System) -> bool {
    system.fence_seen().is_some_and(|seen| seen.power_back)
}
