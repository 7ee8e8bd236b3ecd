//! What a keeper reports: its whole state, level-triggered, on every change and to everyone who connects; and the
//! same in the run folder's file `status`, where it outlives the keeper. Not for decisions about it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A keeper's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Where the resource is in its life.
    pub phase: Phase,
    /// How the service's main process ended, as soon as it did.
    #[serde(default)]
    pub exit: Option<Exit>,
    /// The keeper itself; absent when it died before it could say so.
    #[serde(default)]
    pub keeper: Option<Process>,
    /// The first process of the private process-id namespace.
    #[serde(default)]
    pub init: Option<Process>,
    /// The service's main process, as numbered outside its namespace.
    #[serde(default)]
    pub service: Option<Process>,
    /// The control group's folder.
    #[serde(default)]
    pub cgroup: Option<PathBuf>,
    /// The guards this keeper runs without.
    #[serde(default)]
    pub missing: Vec<Missing>,
}

impl Status {
    /// Whether this is the last status there will be: nothing of the tree is left.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended { .. })
    }
}

/// One process, told from a later one of the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Process number.
    pub pid: u32,
    /// Start time in clock ticks since boot (field 22 of `/proc/PID/stat`).
    pub start_ticks: u64,
}

/// Where a resource is in its life. Only [`Phase::Ended`] means that nothing of it is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The keeper prepares; the service's program does not run yet.
    Starting,
    /// The service's program runs.
    Running,
    /// A graceful stop is under way.
    Stopping,
    /// The lease word is closed and the tree is being killed.
    Ending {
        /// Why.
        reason: Reason,
    },
    /// Killed, but something is still there (uninterruptible sleep). Never to be taken for a stop. The keeper goes on
    /// trying, and `Ended` follows if it succeeds.
    NotConfirmed {
        /// Why it is being ended.
        reason: Reason,
        /// What is left, for the operator.
        left: String,
    },
    /// Confirmed: nothing of the tree is left. Final.
    Ended {
        /// Why.
        reason: Reason,
        /// When it was confirmed, `CLOCK_BOOTTIME` nanoseconds.
        at_boot_ns: u64,
    },
}

/// Why a resource ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The deadline passed.
    LeaseExpired,
    /// The main process ended by itself; see [`Status::exit`].
    Exited,
    /// A graceful stop was asked for.
    Stopped,
    /// A kill was asked for.
    Killed,
    /// Nothing was started: the deadline had passed before, or was never set.
    Refused,
    /// Nothing was started: the program could not be executed, the user does not exist, ...
    StartFailed(String),
    /// The keeper died; the tree was killed by the kernel or by the agent.
    KeeperDied,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// With this exit code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

/// One guard or one property that makes a guard firm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Guard {
    /// A writable cgroup2 hierarchy: the whole tree is known, whatever it does to its process groups.
    Cgroup,
    /// `cgroup.freeze`.
    Freeze,
    /// `cgroup.kill`.
    Kill,
    /// cgroup-BPF with a memory-mapped deadline.
    Network,
    /// Process-id namespace: the tree dies with its keeper.
    PrivatePids,
    /// The `/proc` that belongs to that namespace.
    PrivateProc,
    /// Real-time priority for the keeper.
    RealTime,
    /// Locked memory for the keeper.
    LockedMemory,
    /// The keeper is out of reach of the kernel's out-of-memory killer.
    OutOfMemory,
}

/// A guard that is not there, and a sentence why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// Which.
    pub guard: Guard,
    /// For the operator.
    pub why: String,
}
