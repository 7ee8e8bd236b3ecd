//! The network guard: a cgroup-BPF program that drops what a control group sends and receives over IP once its lease
//! word is past. Not for Unix sockets (the keeper's business) nor for addresses (the address guard).

use std::path::Path;

use crate::lease::{ExtendError, LeaseState, LeaseWord};
use crate::support::Support;

/// A guard attached to a control group. Dropping it leaves the guard in place: it lives as long as the group.
#[derive(Debug)]
pub struct NetworkGuard {
    lease: LeaseWord,
}

/// Why a guard could not be attached or found.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// There is none on this control group.
    #[error("no network guard is attached to {0}")]
    NotAttached(String),
    /// The kernel refused.
    #[error("{what}: {source}")]
    Kernel {
        /// What was tried.
        what: &'static str,
        /// The kernel's answer.
        source: std::io::Error,
    },
}

impl NetworkGuard {
    /// Attaches a new guard, born closed, to a control group that has none.
    ///
    /// # Errors
    /// When the kernel refuses; [`probe`](Self::probe) says whether it ever would not.
    pub fn attach(cgroup_dir: &Path) -> Result<Self, NetworkError> {
        Err(NetworkError::NotAttached(cgroup_dir.display().to_string()))
    }

    /// Finds the guard that an earlier process attached.
    ///
    /// # Errors
    /// When there is none, or the kernel refuses.
    pub fn open(cgroup_dir: &Path) -> Result<Self, NetworkError> {
        Err(NetworkError::NotAttached(cgroup_dir.display().to_string()))
    }

    /// Whether this kernel offers it to this process.
    #[must_use]
    pub fn probe() -> Support {
        Support::Missing("not built yet".to_owned())
    }

    /// The word that the guard obeys.
    #[must_use]
    pub fn lease(&self) -> &LeaseWord {
        &self.lease
    }

    /// What the guard obeys now.
    #[must_use]
    pub fn state(&self) -> LeaseState {
        self.lease.state()
    }

    /// Moves the deadline later: one store into shared memory.
    ///
    /// # Errors
    /// When the guard has expired, is closed, or was never armed.
    pub fn extend(&self, deadline_boot_ns: u64) -> Result<(), ExtendError> {
        self.lease.extend(deadline_boot_ns)
    }
}
