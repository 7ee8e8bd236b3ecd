//! One keeper, seen from the agent: extend its lease, tell it to end, read what it left. Not for starting it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::process::{Signal, pidfd_send_signal};

use crate::cgroup::Cgroup;
use crate::lease::{ExtendError, LeaseState, LeaseWord};
use crate::process_id;
use crate::spec::{KeeperSpec, StopRequest};
use crate::status::Status;

use super::KeeperError;
use super::folder::{Prepared, RunFolder};
use super::output::read_tail;
use super::wire::{self, Request};

/// One keeper, seen from the agent. Dropping it leaves the keeper alone.
#[derive(Debug)]
pub struct KeeperHandle {
    pub(crate) folder: RunFolder,
    pub(crate) prepared: Arc<Prepared>,
    pub(crate) lease: Option<Arc<LeaseWord>>,
    pub(crate) connection: Option<Arc<OwnedFd>>,
}

impl KeeperHandle {
    /// What runs there.
    #[must_use]
    pub fn spec(&self) -> &KeeperSpec {
        &self.prepared.spec
    }

    /// Whether the network guard obeys this lease too.
    #[must_use]
    pub fn has_network_guard(&self) -> bool {
        self.prepared.network
    }

    /// Moves the deadline of keeper and network guard later: one store into shared memory.
    ///
    /// # Errors
    /// When the lease has expired or the keeper has begun to end the resource. That is final.
    pub fn extend(&self, deadline_boot_ns: u64) -> Result<(), ExtendError> {
        self.lease
            .as_ref()
            .map_or(Err(ExtendError::Closed), |lease| {
                lease.extend(deadline_boot_ns)
            })
    }

    /// Moves the deadline earlier: the network guard obeys at once, the keeper when it has heard of it.
    ///
    /// # Errors
    /// When the keeper can't be told: it then ends the resource at the deadline that it knew.
    pub fn shorten(&self, deadline_boot_ns: u64) -> Result<(), KeeperError> {
        if let Some(lease) = &self.lease {
            lease.shorten(deadline_boot_ns);
        }
        self.ask(Request::Recheck)
    }

    /// What the lease word says.
    #[must_use]
    pub fn lease(&self) -> LeaseState {
        self.lease
            .as_ref()
            .map_or(LeaseState::Closed, |lease| lease.state())
    }

    /// Asks for a graceful stop. The outcome arrives as an event. May be repeated: the shorter grace holds, and another
    /// signal is sent too.
    ///
    /// # Errors
    /// When the keeper can't be told; its death or its deadline ends the resource then.
    pub fn stop(&self, request: StopRequest) -> Result<(), KeeperError> {
        self.ask(Request::Stop(request))
    }

    /// Closes the lease at once and asks for the kill of the tree. The outcome arrives as an event. May be repeated.
    ///
    /// # Errors
    /// As for [`stop`](Self::stop); the lease is closed nevertheless.
    pub fn kill(&self) -> Result<(), KeeperError> {
        // In this order, or the keeper might take the closed word for an expired lease.
        let asked = self.ask(Request::Kill);
        if let Some(lease) = &self.lease {
            lease.close();
        }
        asked
    }

    /// Kills the keeper itself, for one that does not answer: the lease is closed and everything it holds dies with it.
    /// The outcome arrives as an event. May be repeated; a dead one is fine.
    ///
    /// # Errors
    /// When it never said which process it is, or the system refuses.
    pub fn kill_keeper(&self) -> Result<(), KeeperError> {
        if let Some(lease) = &self.lease {
            lease.close();
        }
        let refused = |error: io::Error| KeeperError::system("kill the keeper", error);
        let Some(keeper) = self.status()?.keeper else {
            return Err(refused(io::ErrorKind::NotFound.into()));
        };
        match process_id::open(keeper).map_err(refused)? {
            Some(process) => match pidfd_send_signal(&process, Signal::KILL) {
                Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
                Err(error) => Err(refused(error.into())),
            },
            None => Ok(()),
        }
    }

    fn ask(&self, request: Request) -> Result<(), KeeperError> {
        let unresponsive = || KeeperError::Unresponsive(self.folder.dir().to_owned());
        let connection = self.connection.as_ref().ok_or_else(unresponsive)?;
        match wire::send_message(connection.as_fd(), &request) {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(unresponsive()),
        }
    }

    /// The latest written status, also of a dead keeper.
    ///
    /// # Errors
    /// When none was written yet, or it can't be read.
    pub fn status(&self) -> Result<Status, KeeperError> {
        self.folder
            .read_status()
            .map_err(|error| KeeperError::system("read the keeper's status", error))
    }

    /// The end of the kept output: at most `max_bytes`, from a line's start, invalid UTF-8 replaced.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn output_tail(&self, max_bytes: u64) -> Result<String, KeeperError> {
        let directory = &self.prepared.spec.output.directory;
        read_tail(directory, max_bytes)
            .map_err(|error| KeeperError::system("read the kept output", error))
    }

    /// Removes the run folder after [`Phase::Ended`](crate::Phase::Ended), and the control group should it be left.
    ///
    /// # Errors
    /// When something still runs there.
    pub fn forget(self) -> Result<(), KeeperError> {
        let ended = self
            .folder
            .read_status()
            .is_ok_and(|status| status.is_ended());
        let lock = self
            .folder
            .try_lock()
            .map_err(|error| KeeperError::system("lock the run folder", error))?;
        if !ended || lock.is_none() {
            return Err(KeeperError::Occupied(self.folder.dir().to_owned()));
        }
        if let Some(dir) = &self.prepared.cgroup
            && self.prepared.spec.slice.is_none()
        {
            let removed = Cgroup::at(dir.clone()).remove();
            removed.map_err(|error| KeeperError::system("remove the control group", error))?;
        }
        self.folder
            .remove()
            .map_err(|error| KeeperError::system("remove the run folder", error))
    }
}
