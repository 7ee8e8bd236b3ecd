//! The agent's side: start or adopt keepers and hear from them.

use std::path::{Path, PathBuf};

use crate::lease::{ExtendError, LeaseState};
use crate::spec::{KeeperSpec, StopRequest};
use crate::status::Status;

use super::KeeperError;

/// How the keeper process is executed: `path ARGUMENTS... RUN_DIR`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeeperProgram {
    /// Default `/proc/self/exe`.
    pub path: PathBuf,
    /// Default `keeper`.
    pub arguments: Vec<String>,
}

impl Default for KeeperProgram {
    fn default() -> Self {
        Self {
            path: PathBuf::from("/proc/self/exe"),
            arguments: vec!["keeper".to_owned()],
        }
    }
}

/// A change of a keeper's state; the first comes right after `spawn` or `adopt`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeeperEvent {
    /// [`KeeperSpec::name`].
    pub name: String,
    /// The whole state. The last one of a keeper has [`Phase::Ended`](crate::Phase::Ended).
    pub status: Status,
}

/// All keepers of one agent, with the one thread that listens to them.
#[derive(Debug)]
pub struct Keepers {
    program: KeeperProgram,
}

impl Keepers {
    /// Starts the watcher thread, which calls `on_event` (it must not block; send into a channel).
    ///
    /// # Errors
    /// When the thread or its descriptors can't be had.
    pub fn new(
        program: KeeperProgram,
        on_event: impl Fn(KeeperEvent) + Send + 'static,
    ) -> Result<Self, KeeperError> {
        drop(on_event);
        Ok(Self { program })
    }

    /// Makes control group and network guard, arms the lease and starts the keeper. Returns before the service runs;
    /// a start that fails later arrives as an event. The agent's death or restart from here on does not disturb it.
    ///
    /// # Errors
    /// When nothing was started.
    pub fn spawn(
        &self,
        spec: &KeeperSpec,
        deadline_boot_ns: u64,
    ) -> Result<KeeperHandle, KeeperError> {
        tracing::debug!(name = spec.name, deadline_boot_ns, program = %self.program.path.display(), "spawn");
        Err(KeeperError::Invalid("not built yet".to_owned()))
    }

    /// Takes over what an earlier agent started in `run_dir`. A keeper that is dead is reported by events as well: its
    /// tree is killed and [`Phase::Ended`](crate::Phase::Ended) says so when nothing is left.
    ///
    /// # Errors
    /// When there is nothing to adopt, or its keeper does not answer.
    pub fn adopt(&self, run_dir: &Path) -> Result<KeeperHandle, KeeperError> {
        Err(KeeperError::NothingThere(run_dir.to_owned()))
    }
}

/// One keeper, seen from the agent. Dropping it leaves the keeper alone.
#[derive(Debug)]
pub struct KeeperHandle {
    spec: KeeperSpec,
}

impl KeeperHandle {
    /// What runs there.
    #[must_use]
    pub fn spec(&self) -> &KeeperSpec {
        &self.spec
    }

    /// Moves the deadline of keeper and network guard later: one store into shared memory.
    ///
    /// # Errors
    /// When the lease has expired or the keeper has begun to end the resource. That is final.
    pub fn extend(&self, deadline_boot_ns: u64) -> Result<(), ExtendError> {
        tracing::trace!(deadline_boot_ns);
        Err(ExtendError::Closed)
    }

    /// What the lease word says.
    #[must_use]
    pub fn lease(&self) -> LeaseState {
        LeaseState::Closed
    }

    /// Asks for a graceful stop. The outcome arrives as an event. May be repeated.
    ///
    /// # Errors
    /// When the keeper can't be told; its death or its deadline ends the resource then.
    pub fn stop(&self, request: StopRequest) -> Result<(), KeeperError> {
        tracing::trace!(?request);
        Err(KeeperError::Unresponsive(self.spec.run_dir.clone()))
    }

    /// Closes the lease at once and asks for the kill of the tree. The outcome arrives as an event. May be repeated.
    ///
    /// # Errors
    /// As for [`stop`](Self::stop); the lease is closed nevertheless.
    pub fn kill(&self) -> Result<(), KeeperError> {
        Err(KeeperError::Unresponsive(self.spec.run_dir.clone()))
    }

    /// The keeper's latest written status.
    ///
    /// # Errors
    /// When it has written none, or it can't be read.
    pub fn status(&self) -> Result<Status, KeeperError> {
        Err(KeeperError::Unresponsive(self.spec.run_dir.clone()))
    }

    /// The end of the kept output: at most `max_bytes`, from a line's start, invalid UTF-8 replaced.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn output_tail(&self, max_bytes: u64) -> Result<String, KeeperError> {
        tracing::trace!(max_bytes);
        Err(KeeperError::Unresponsive(self.spec.run_dir.clone()))
    }

    /// Removes the run folder after [`Phase::Ended`](crate::Phase::Ended), and the control group should it be left.
    ///
    /// # Errors
    /// When something still runs there.
    pub fn forget(self) -> Result<(), KeeperError> {
        Err(KeeperError::Occupied(self.spec.run_dir))
    }
}
