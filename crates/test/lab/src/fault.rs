//! Everything that can happen to a cluster, and how to undo it. Not for judging what it did.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde::{Deserialize, Serialize};

use crate::error::{LabError, Result};
use crate::load::{Load, Wish};
use crate::network::Cut;
use crate::processes::signal;
use crate::sys;
use crate::system::{Handicap, Role, System};

/// How long a partition stands before it heals, in the fault that is about healing.
const PARTITION: Duration = Duration::from_secs(6);

/// Something that happens to a cluster. "The primary" is the node that answers when it happens.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// The primary loses its power: links and all processes at once.
    PowerLoss,
    /// No frame passes between the primary and the other nodes, on any network; carriers stay, and clients still reach all nodes.
    SilentPartition,
    /// The other nodes no longer hear the primary.
    OneWayOut,
    /// The primary no longer hears the other nodes.
    OneWayIn,
    /// The primary loses the carrier of its client network.
    CarrierLoss,
    /// The primary's daemon is killed.
    AgentKilled,
    /// The primary's messaging daemon is killed, where that is a process of its own: Corosync under Pacemaker.
    MessagingKilled,
    /// The primary's keepers are killed.
    KeeperKilled,
    /// The primary's daemon is stopped (SIGSTOP).
    AgentStopped,
    /// The primary's daemon and keepers are stopped.
    AgentKeeperStopped,
    /// The service is killed.
    ServiceKilled,
    /// The service is stopped (SIGSTOP): it hangs.
    ServiceHanging,
    /// A partition of the primary ends.
    HealedPartition,
    /// Twice as many busy processes as cores, on all of them.
    CoresBusy,
    /// The same, with daemons that may not take real-time priority.
    CoresBusyNoRealtime,
    /// Every fsync of every daemon takes 2 s more.
    FsyncLate,
    /// The operator moves the service to another node.
    Switchover,
    /// The operator restarts the primary's daemon.
    AgentRestart,
    /// The leader loses its power, while another node is the primary.
    LeaderLost,
    /// The primary loses its power while it leads.
    PrimaryLeaderLost,
    /// All nodes but the primary lose their power.
    TwoLost,
    /// All nodes lose their power, and get it back a second later.
    AllLost,
    /// Daemon and keepers of the primary are stopped, its address guard is taken away behind their back, and it is cut off from the other
    /// nodes. Two owners must be seen then: it proves that the watcher would see them.
    GuardsRemoved,
}

/// What a fault has to lead to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Another node answers.
    Moves,
    /// A new process of the service answers, on whatever node.
    Returns,
    /// No request fails.
    Unaffected,
    /// The service ends: nobody may run it.
    Ends,
    /// Two nodes own the address: the proof that the watcher can see it.
    TwoOwners,
    /// Nothing is promised: two owners are measured, and said.
    Measured,
}

impl Fault {
    /// Every fault, in the order of the tables.
    #[must_use]
    pub fn all() -> &'static [Self] {
        <Self as clap::ValueEnum>::value_variants()
    }

    /// The name in tables and on the command line.
    #[must_use]
    pub fn name(self) -> String {
        clap::ValueEnum::to_possible_value(&self)
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    }

    /// What it has to lead to.
    #[must_use]
    pub fn expected(self) -> Expected {
        match self {
            Self::PowerLoss
            | Self::SilentPartition
            | Self::OneWayOut
            | Self::OneWayIn
            | Self::CarrierLoss
            | Self::AgentStopped
            | Self::AgentKeeperStopped
            | Self::Switchover
            | Self::PrimaryLeaderLost => Expected::Moves,
            Self::KeeperKilled | Self::ServiceKilled | Self::ServiceHanging | Self::AllLost => {
                Expected::Returns
            }
            Self::AgentKilled
            | Self::MessagingKilled
            | Self::HealedPartition
            | Self::CoresBusy
            | Self::CoresBusyNoRealtime
            | Self::FsyncLate
            | Self::AgentRestart
            | Self::LeaderLost => Expected::Unaffected,
            Self::TwoLost => Expected::Ends,
            Self::GuardsRemoved => Expected::TwoOwners,
        }
    }

    /// What it has to lead to in a pair whose arbiter is a fence device. Of two that lose each other the primary fences first, so
    /// that nothing moves; and what loses its guards loses its power.
    #[must_use]
    pub fn expected_of_a_pair(self) -> Expected {
        match self {
            Self::SilentPartition | Self::OneWayOut | Self::OneWayIn | Self::TwoLost => {
                Expected::Unaffected
            }
            Self::GuardsRemoved => Expected::Moves,
            other => other.expected(),
        }
    }

    /// The same where ping targets are the arbiter. Both reach the gateway, and not each other: both go on, for as long as that is so.
    /// A machine that answers pings is not taken over from, and what a dead agent ran ends.
    #[must_use]
    pub fn expected_with_ping_targets(self) -> Expected {
        match self {
            Self::SilentPartition | Self::OneWayOut | Self::OneWayIn | Self::HealedPartition => {
                Expected::Measured
            }
            Self::AgentStopped | Self::AgentKeeperStopped => Expected::Ends,
            Self::TwoLost => Expected::Unaffected,
            other => other.expected(),
        }
    }

    /// Whether a machine of a pair has to be fenced for it.
    #[must_use]
    pub fn has_a_pair_fence(self) -> bool {
        matches!(
            self,
            Self::PowerLoss
                | Self::SilentPartition
                | Self::OneWayOut
                | Self::OneWayIn
                | Self::HealedPartition
                | Self::AgentStopped
                | Self::AgentKeeperStopped
                | Self::TwoLost
                | Self::GuardsRemoved
        )
    }

    /// Whether it only means something where leader and primary can be on different nodes: with two, they cannot.
    #[must_use]
    pub fn needs_three_nodes(self) -> bool {
        matches!(self, Self::LeaderLost | Self::PrimaryLeaderLost)
    }

    /// How long it has to be watched at least, because what it may do wrong comes late.
    #[must_use]
    pub fn shortest_watch(self) -> Duration {
        match self {
            // A peer at keepalived's defaults takes over 3.6 s after the last advertisement.
            Self::AgentKilled
            | Self::AgentStopped
            | Self::SilentPartition
            | Self::OneWayOut
            | Self::OneWayIn => Duration::from_secs(6),
            Self::CoresBusy | Self::CoresBusyNoRealtime | Self::FsyncLate => {
                Duration::from_secs(10)
            }
            // At Corosync's defaults a peer takes over some 9 s later.
            Self::MessagingKilled => Duration::from_secs(15),
            _ => Duration::from_secs(3),
        }
    }

    /// Whether it is a way in which all daemons run, rather than a moment.
    #[must_use]
    pub fn is_handicap(self) -> bool {
        matches!(self, Self::CoresBusyNoRealtime | Self::FsyncLate)
    }

    /// Whether it only means something to other systems than Standfast.
    #[must_use]
    pub fn is_foreign(self) -> bool {
        self == Self::MessagingKilled
    }

    /// Whether it needs networks that can be broken.
    #[must_use]
    pub fn needs_network(self) -> bool {
        matches!(
            self,
            Self::GuardsRemoved
                | Self::SilentPartition
                | Self::OneWayOut
                | Self::OneWayIn
                | Self::CarrierLoss
                | Self::HealedPartition
        )
    }
}

/// Brings faults about on one system and undoes them.
#[derive(Debug)]
pub struct Injector {
    load: Load,
    wish: Option<Wish>,
    handicapped: bool,
}

impl Injector {
    /// For one system. `load` is shared with the others that are tried at the same time.
    #[must_use]
    pub fn new(load: &Load) -> Self {
        Self {
            load: load.clone(),
            wish: None,
            handicapped: false,
        }
    }

    /// Keeps all cores busy until [`Self::heal`].
    ///
    /// # Errors
    /// When a process cannot be started.
    pub fn load(&mut self, system: &dyn System) -> Result<()> {
        if self.wish.is_none() {
            self.wish = Some(self.load.wish(&system.lab().program)?);
        }
        Ok(())
    }

    /// What has to be done before the moment of the fault.
    ///
    /// # Errors
    /// When the system cannot be brought into the state that the fault starts from.
    pub fn prepare(&mut self, fault: Fault, system: &mut dyn System, primary: usize) -> Result<()> {
        match fault {
            Fault::HealedPartition => {
                inject(Fault::SilentPartition, system, primary)?;
                let began = Instant::now();
                while began.elapsed() < PARTITION {
                    system.tend()?;
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
            Fault::FsyncLate => {
                self.handicapped = true;
                system.handicap(Handicap {
                    fsync_delay_ms: 2000,
                    no_realtime: false,
                })?;
            }
            Fault::CoresBusyNoRealtime => {
                self.handicapped = true;
                system.handicap(Handicap {
                    fsync_delay_ms: 0,
                    no_realtime: true,
                })?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Makes the fault happen to `primary`; returns the moment just before it did.
    ///
    /// # Errors
    /// When it could not be made to happen.
    pub fn inject(&mut self, fault: Fault, system: &mut dyn System, primary: usize) -> Result<u64> {
        match fault {
            Fault::CoresBusy | Fault::CoresBusyNoRealtime => {
                let before = sys::now_ns();
                self.load(system)?;
                Ok(before)
            }
            _ => inject(fault, system, primary),
        }
    }

    /// Undoes every fault: power, links, stopped processes, handicaps, dead daemons, busy cores.
    ///
    /// # Errors
    /// When something could not be undone.
    pub fn heal(&mut self, system: &mut dyn System) -> Result<u64> {
        let before = sys::now_ns();
        self.wish = None;
        let lab = system.lab_mut();
        for (index, node) in lab
            .nodes
            .iter()
            .enumerate()
            .filter(|(_, node)| node.is_on())
        {
            lab.cut(index, Cut::Nothing)?;
            if let (Some(network), Some(nic)) = (&lab.network, node.nics.first()) {
                network.set_port(&nic.port, true)?;
            }
        }
        for node in &lab.nodes {
            for process in node.processes() {
                signal(process.pid, Signal::CONT);
            }
        }
        lab.boot_all()?;
        if std::mem::take(&mut self.handicapped) {
            system.handicap(Handicap::default())?;
        }
        system.start()?;
        Ok(before)
    }
}

/// The faults that need nothing remembered. The targets are looked up first, so that the moment is exact.
fn inject(fault: Fault, system: &mut dyn System, primary: usize) -> Result<u64> {
    match fault {
        Fault::PowerLoss | Fault::PrimaryLeaderLost => power_off(system, &[primary]),
        Fault::LeaderLost => {
            let leader = system
                .leader()
                .ok_or_else(|| LabError::Unexpected("nobody leads".to_owned()))?;
            power_off(system, &[leader])
        }
        Fault::TwoLost => {
            let others: Vec<usize> = (0..system.lab().nodes.len())
                .filter(|index| *index != primary)
                .collect();
            power_off(system, &others)
        }
        Fault::AllLost => {
            let all: Vec<usize> = (0..system.lab().nodes.len()).collect();
            let before = power_off(system, &all)?;
            std::thread::sleep(Duration::from_secs(1));
            system.lab_mut().boot_all()?;
            system.start()?;
            Ok(before)
        }
        Fault::SilentPartition => cut(system, primary, Cut::Both),
        Fault::OneWayOut => cut(system, primary, Cut::Out),
        Fault::OneWayIn => cut(system, primary, Cut::Into),
        Fault::HealedPartition => cut(system, primary, Cut::Nothing),
        Fault::CarrierLoss => carrier_loss(system, primary),
        Fault::AgentKilled => signal_all(system, primary, &[Role::Agent], Signal::KILL),
        Fault::MessagingKilled => signal_all(system, primary, &[Role::Messaging], Signal::KILL),
        Fault::KeeperKilled => signal_all(system, primary, &[Role::Keeper], Signal::KILL),
        Fault::ServiceKilled => signal_all(system, primary, &[Role::Service], Signal::KILL),
        Fault::AgentStopped => signal_all(system, primary, &[Role::Agent], Signal::STOP),
        Fault::AgentKeeperStopped => {
            signal_all(system, primary, &[Role::Agent, Role::Keeper], Signal::STOP)
        }
        Fault::GuardsRemoved => {
            let before = signal_all(system, primary, &[Role::Agent, Role::Keeper], Signal::STOP)?;
            system.remove_guards(primary)?;
            // A new owner asks first whether the address is taken: it must not hear the old one, as in any partition.
            cut(system, primary, Cut::Both)?;
            Ok(before)
        }
        Fault::ServiceHanging => signal_all(system, primary, &[Role::Service], Signal::STOP),
        Fault::Switchover => {
            let to = other_than(system, primary);
            let before = sys::now_ns();
            system.switch_over(primary, to)?;
            Ok(before)
        }
        Fault::AgentRestart => {
            let before = sys::now_ns();
            system.restart_agent(primary)?;
            Ok(before)
        }
        // What makes these faults is in `prepare` and `Injector::inject`.
        Fault::CoresBusy | Fault::CoresBusyNoRealtime | Fault::FsyncLate => Ok(sys::now_ns()),
    }
}

fn power_off(system: &mut dyn System, indexes: &[usize]) -> Result<u64> {
    let before = sys::now_ns();
    system.lab_mut().power_off(indexes)?;
    Ok(before)
}

fn cut(system: &dyn System, primary: usize, what: Cut) -> Result<u64> {
    let before = sys::now_ns();
    system.lab().cut(primary, what)?;
    Ok(before)
}

fn carrier_loss(system: &dyn System, primary: usize) -> Result<u64> {
    let lab = system.lab();
    let nic = lab.nodes.get(primary).and_then(|node| node.nics.first());
    let before = sys::now_ns();
    if let (Some(network), Some(nic)) = (&lab.network, nic) {
        network.set_port(&nic.port, false)?;
    }
    Ok(before)
}

fn signal_all(system: &dyn System, primary: usize, roles: &[Role], what: Signal) -> Result<u64> {
    let mut targets = Vec::new();
    for role in roles {
        let found = system.processes(primary, *role);
        if found.is_empty() {
            return Err(LabError::Unexpected(format!(
                "{} has no {role:?} on the primary",
                system.name()
            )));
        }
        targets.extend(found);
    }
    let before = sys::now_ns();
    for target in &targets {
        signal(target.pid, what);
    }
    Ok(before)
}

/// Where a switchover goes: to a node that does not lead, so that only the service moves.
fn other_than(system: &dyn System, primary: usize) -> usize {
    let leader = system.leader();
    let others = || (0..system.lab().nodes.len()).filter(|index| *index != primary);
    others()
        .find(|index| Some(*index) != leader)
        .or_else(|| others().next())
        .unwrap_or(primary)
}
