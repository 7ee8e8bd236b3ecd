//! Ending what a dead keeper left: the namespace has died with it, but that has to be confirmed, and without a
//! namespace there may be a tree to kill. Driven by the watcher, one step at a time. Not for living keepers.

use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, pidfd_send_signal};

use crate::cgroup::Cgroup;
use crate::clock::boot_now_ns;
use crate::lease::LeaseWord;
use crate::process_id;
use crate::status::{Phase, Process, Reason, Status};

use super::folder::{Prepared, RunFolder, boot_id};

/// One dead keeper's remains.
#[derive(Debug)]
pub(crate) struct Sweep {
    folder: RunFolder,
    cgroup: Option<Cgroup>,
    /// The group stays, frozen.
    slice: bool,
    status: Status,
    /// The namespace's first process and the service, as long as they may live.
    left: Vec<OwnedFd>,
    confirm_until_ns: u64,
    /// Nothing of an earlier boot lives.
    other_boot: bool,
    told: bool,
}

impl Sweep {
    /// Reads what the keeper wrote last; closes the lease.
    pub(crate) fn begin(folder: RunFolder, prepared: &Prepared, lease: Option<&LeaseWord>) -> Self {
        if let Some(lease) = lease {
            lease.close();
        }
        let status = folder.read_status().unwrap_or(Status {
            phase: Phase::Starting,
            exit: None,
            keeper: None,
            init: None,
            service: None,
            cgroup: prepared.cgroup.clone(),
            missing: prepared.missing.clone(),
        });
        let other_boot = boot_id().is_ok_and(|id| id != prepared.boot_id);
        let held = |process: Option<Process>| {
            process.and_then(|process| process_id::open(process).ok().flatten())
        };
        let left = if other_boot {
            Vec::new()
        } else {
            held(status.init)
                .into_iter()
                .chain(held(status.service))
                .collect()
        };
        let confirm_until_ns =
            boot_now_ns().saturating_add(prepared.spec.confirm_ms.saturating_mul(1_000_000));
        let cgroup = prepared.cgroup.clone().map(Cgroup::at);
        Self {
            folder,
            cgroup,
            slice: prepared.spec.slice.is_some(),
            status,
            left,
            confirm_until_ns,
            other_boot,
            told: false,
        }
    }

    /// Kills what is left and returns the status when it has changed.
    pub(crate) fn step(&mut self) -> Option<Status> {
        if self.status.is_ended() {
            return Some(self.status.clone());
        }
        self.strike();
        let reason = Reason::KeeperDied;
        if self.is_empty() {
            if let Some(cgroup) = self.cgroup.as_ref().filter(|_| !self.slice) {
                cgroup.remove().ok();
            }
            self.status.phase = Phase::Ended {
                reason,
                at_boot_ns: boot_now_ns(),
            };
            self.folder.write_status(&self.status).ok();
            return Some(self.status.clone());
        }
        if !self.told {
            self.told = true;
            self.status.phase = Phase::Ending { reason };
            return Some(self.status.clone());
        }
        if boot_now_ns() >= self.confirm_until_ns
            && matches!(self.status.phase, Phase::Ending { .. })
        {
            let left = self.cgroup.as_ref().map_or_else(
                || "the process-id namespace is not empty".to_owned(),
                Cgroup::describe,
            );
            self.status.phase = Phase::NotConfirmed { reason, left };
            return Some(self.status.clone());
        }
        None
    }

    /// Whether looking again at once makes sense.
    pub(crate) fn is_stuck(&self) -> bool {
        matches!(self.status.phase, Phase::NotConfirmed { .. })
    }

    fn strike(&self) {
        if let Some(cgroup) = &self.cgroup {
            cgroup.freeze().ok();
            cgroup.kill().ok();
        }
        for process in &self.left {
            pidfd_send_signal(process, Signal::KILL).ok();
        }
    }

    fn is_empty(&mut self) -> bool {
        self.left.retain(|process| !has_ended(process));
        let group_empty = |group: &Cgroup| matches!(group.populated(), Ok(false));
        self.other_boot || (self.left.is_empty() && self.cgroup.as_ref().is_none_or(group_empty))
    }
}

/// Whether the process of a pidfd has ended (reaped or not).
pub(crate) fn has_ended(process: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(process, PollFlags::IN)];
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut fds, Some(&at_once)).is_ok_and(|ready| ready > 0)
}
