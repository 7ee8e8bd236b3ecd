//! The end of a tree: close the lease, kill, see that nothing is left, tell it. Not for when.

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Signal, kill_process};

use crate::cgroup::Cgroup;
use crate::clock::boot_now_ns;
use crate::status::{Phase, Reason};
use crate::sys;

use super::supervise::{CLOSE_LOOK_NS, Keeper, MILLISECOND_NS};

impl Keeper {
    /// The point of no return: closes the lease for good and kills the tree.
    pub(crate) fn begin_end(&mut self, reason: Reason) {
        if self.ending_since_ns.is_some() {
            return;
        }
        self.lease.close();
        self.ending_since_ns = Some(boot_now_ns());
        self.strike();
        // What was urgent is done; from here on children are reaped.
        sys::set_ordinary();
        self.status.phase = Phase::Ending { reason };
        self.publish();
    }

    /// Kills everything. What fails here shows as something left. First what needs no lock of the control groups, which
    /// others may hold for milliseconds; freezing stops at once what takes long to die.
    fn strike(&self) {
        let init = self.init.as_ref().map(|init| init.pid);
        for pid in self.service.into_iter().chain(init) {
            kill_process(pid, Signal::KILL).ok();
        }
        if let Some(cgroup) = &self.cgroup {
            cgroup.freeze().ok();
            cgroup.kill().ok();
        }
    }

    /// While ending: kills again what is left and sees whether nothing is. True once the end is confirmed and told.
    pub(crate) fn settle(&mut self) -> bool {
        let (Some(since), Phase::Ending { reason } | Phase::NotConfirmed { reason, .. }) =
            (self.ending_since_ns, self.status.phase.clone())
        else {
            return false;
        };
        if self.is_empty() {
            self.end(reason);
            return true;
        }
        let now = boot_now_ns();
        if now >= since.saturating_add(CLOSE_LOOK_NS) {
            self.strike();
        }
        let patience_ns = self.prepared.spec.confirm_ms.saturating_mul(MILLISECOND_NS);
        if now >= since.saturating_add(patience_ns)
            && matches!(self.status.phase, Phase::Ending { .. })
        {
            let left = self.cgroup.as_ref().map_or_else(
                || "the process-id namespace is not empty".to_owned(),
                Cgroup::describe,
            );
            self.status.phase = Phase::NotConfirmed { reason, left };
            self.publish();
        }
        false
    }

    fn is_empty(&self) -> bool {
        let group_empty = |group: &Cgroup| matches!(group.populated(), Ok(false));
        self.init.is_none()
            && self.service.is_none()
            && self.cgroup.as_ref().is_none_or(group_empty)
    }

    /// Told only after everything that a new start in the same place would meet is out of the way, and before the group
    /// is removed: that waits for whoever else changes groups on this machine (17 ms were seen).
    fn end(&mut self, reason: Reason) {
        self.status.phase = Phase::Ended {
            reason,
            at_boot_ns: boot_now_ns(),
        };
        self.folder.write_status(&self.status).ok();
        if let Some(lock) = self.lock.take() {
            // Also for the copies in children that have not run yet since their fork.
            flock(&lock, FlockOperation::NonBlockingUnlock).ok();
        }
        self.control.broadcast(&self.status);
        if let Some(cgroup) = &self.cgroup
            && self.prepared.spec.slice.is_none()
        {
            // An empty group that stays does no harm and is removed with the folder.
            cgroup.remove().ok();
        }
    }
}
