//! The network guard: a cgroup-BPF program that drops what a control group sends and receives over IP once its lease
//! word is past. Not for Unix sockets (the keeper's business) nor for addresses (the address guard).
//!
//! It covers the sockets that are opened inside the group after the guard is attached, established connections and
//! 127.0.0.1 included. It lives as long as the group, whatever becomes of the process that attached it.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use crate::bpf::{self, Direction};
use crate::lease::{ExtendError, LeaseState, LeaseWord};
use crate::support::Support;
use crate::sys::SharedWord;

/// A guard attached to a control group. Dropping it leaves the guard in place.
#[derive(Debug)]
pub struct NetworkGuard {
    lease: LeaseWord,
}

/// Why a guard could not be attached or found.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// There is none on this control group, or only in one direction.
    #[error("no network guard is attached to {0}")]
    NotAttached(PathBuf),
    /// There is one already.
    #[error("{0} has a network guard already")]
    AlreadyAttached(PathBuf),
    /// The kernel refused.
    #[error("{what}: {source}")]
    Kernel {
        /// What was tried.
        what: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
}

/// For `map_err`: the kernel's answer to what was tried.
fn refused<E: Into<io::Error>>(what: &'static str) -> impl Fn(E) -> NetworkError {
    move |source| NetworkError::Kernel {
        what,
        source: source.into(),
    }
}

impl NetworkGuard {
    /// Attaches a new guard, born closed, to a control group that has none.
    ///
    /// # Errors
    /// When there is one, or the kernel refuses; [`probe`](Self::probe) says whether it ever would not.
    pub fn attach(cgroup_dir: &Path) -> Result<Self, NetworkError> {
        let cgroup = File::open(cgroup_dir).map_err(refused("open the control group"))?;
        for direction in [Direction::In, Direction::Out] {
            if bpf::find_word(cgroup.as_fd(), direction)
                .map_err(refused("query attached BPF programs"))?
                .is_some()
            {
                return Err(NetworkError::AlreadyAttached(cgroup_dir.to_owned()));
            }
        }
        let word = bpf::create_word().map_err(refused("create a mappable BPF array"))?;
        let program =
            bpf::load_program(word.as_fd()).map_err(refused("load a cgroup BPF program"))?;
        let word = SharedWord::map(word).map_err(refused("map a BPF array"))?;
        for direction in [Direction::In, Direction::Out] {
            bpf::attach(cgroup.as_fd(), program.as_fd(), direction)
                .map_err(refused("attach a cgroup BPF program"))?;
        }
        Ok(Self {
            lease: LeaseWord::new(word),
        })
    }

    /// Finds the guard that an earlier process attached.
    ///
    /// # Errors
    /// When there is none, or the kernel refuses.
    pub fn open(cgroup_dir: &Path) -> Result<Self, NetworkError> {
        let cgroup = File::open(cgroup_dir).map_err(refused("open the control group"))?;
        let find = |direction| {
            bpf::find_word(cgroup.as_fd(), direction)
                .map_err(refused("query attached BPF programs"))
        };
        let (Some(_), Some(word)) = (find(Direction::In)?, find(Direction::Out)?) else {
            return Err(NetworkError::NotAttached(cgroup_dir.to_owned()));
        };
        let word = SharedWord::map(word).map_err(refused("map a BPF array"))?;
        Ok(Self {
            lease: LeaseWord::new(word),
        })
    }

    /// Whether this kernel offers it to this process: a word is made and mapped and the program loaded, not attached.
    #[must_use]
    pub fn probe() -> Support {
        let tried = bpf::create_word()
            .map_err(refused("create a mappable BPF array"))
            .and_then(|word| {
                bpf::load_program(word.as_fd()).map_err(refused("load a cgroup BPF program"))?;
                SharedWord::map(word).map_err(refused("map a BPF array"))
            });
        match tried {
            Ok(_) => Support::Offered,
            Err(error) => Support::Missing(format!("cgroup-BPF: {error}")),
        }
    }

    /// The word that the guard obeys.
    #[must_use]
    pub fn lease(&self) -> &LeaseWord {
        &self.lease
    }

    /// The word alone; the guard stays attached.
    #[must_use]
    pub fn into_lease(self) -> LeaseWord {
        self.lease
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
