//! What one recorded result says about a resource.
//!
//! Not for the order of results, nor for what they add up to: see `history`.

use crate::account::Cause;
use crate::failures::OnFail;
use crate::history::Seen;
use crate::input::Record;
use crate::role::{Role, Task};
use crate::score::INFINITY;
use crate::work::{NodeId, RscId, Work};

/// Exit statuses of agents.
mod rc {
    pub(super) const OK: i32 = 0;
    pub(super) const INVALID_PARAM: i32 = 2;
    pub(super) const UNIMPLEMENTED: i32 = 3;
    pub(super) const PRIVILEGES: i32 = 4;
    pub(super) const NOT_INSTALLED: i32 = 5;
    pub(super) const NOT_CONFIGURED: i32 = 6;
    pub(super) const NOT_RUNNING: i32 = 7;
    pub(super) const PROMOTED: i32 = 8;
    pub(super) const FAILED_PROMOTED: i32 = 9;
    pub(super) const DEGRADED: i32 = 190;
    pub(super) const DEGRADED_PROMOTED: i32 = 191;
}

/// How the execution of an operation ended.
mod status {
    pub(super) const PENDING: i32 = -1;
    pub(super) const DONE: i32 = 0;
    pub(super) const CANCELLED: i32 = 1;
    pub(super) const NOT_SUPPORTED: i32 = 3;
    pub(super) const ERROR: i32 = 4;
    pub(super) const ERROR_HARD: i32 = 5;
    pub(super) const ERROR_FATAL: i32 = 6;
    pub(super) const NOT_INSTALLED: i32 = 7;
    pub(super) const NO_FENCE_DEVICE: i32 = 10;
    pub(super) const NO_SECRETS: i32 = 11;
}

/// A result with what it is taken for.
struct Result<'r> {
    rsc: RscId,
    node: NodeId,
    record: &'r Record,
    rc: i32,
    status: i32,
    expected: i32,
    expired: bool,
}

impl Result<'_> {
    fn is_probe(&self) -> bool {
        self.record.task == "monitor" && self.record.interval_ms == 0
    }

    /// Whether a probe found that the resource cannot be there.
    fn is_masked(&self) -> bool {
        self.is_probe()
            && (matches!(self.record.rc, rc::NOT_INSTALLED | rc::INVALID_PARAM)
                || self.record.status == Some(status::NOT_INSTALLED))
    }
}

impl Work<'_> {
    pub(crate) fn unpack_record(
        &mut self,
        rsc: RscId,
        node: NodeId,
        record: &Record,
        seen: &mut Seen,
    ) {
        let Some(state) = record.status else {
            return;
        };
        let readable = (status::PENDING..=status::NO_SECRETS).contains(&state);
        if !readable
            || state == status::CANCELLED
            || matches!(record.task.as_str(), "" | "notify" | "meta-data")
        {
            return;
        }
        let mut result = Result {
            rsc,
            node,
            record,
            rc: record.rc,
            status: state,
            expected: record.expected.unwrap_or(-1),
            expired: false,
        };
        result.expired = self.has_expired(&result);
        self.remap(&mut result, seen);
        if result.expired && self.ignore_expired(&result) {
            return;
        }
        if result.is_masked() {
            self.mask_probe(&result, seen);
        } else {
            self.judge(&result, seen);
        }
        self.note(|_| {
            let (task, rc) = (&result.record.task, result.rc);
            Cause::new(format!("{task} failed (exit status {rc})"))
        });
    }

    fn judge(&mut self, result: &Result<'_>, seen: &mut Seen) {
        let rsc = result.rsc;
        match result.status {
            status::PENDING => return self.note_pending(result),
            status::DONE => return self.update_state(result, result.rc, seen),
            _ => {}
        }
        let whole = if self.rscs[rsc].spec.unique {
            rsc
        } else {
            self.top_of(rsc)
        };
        let (policy, _) = self.on_fail(rsc, &result.record.task, result.record.interval_ms);
        if result.status == status::NOT_INSTALLED {
            if policy == OnFail::Ignore {
                seen.on_fail = OnFail::Migrate;
            }
            self.locate(whole, Some(result.node), -INFINITY, false);
            self.take_failure(result, seen);
            return;
        }
        let stop = result.record.task == "stop";
        if policy == OnFail::Ignore || (policy == OnFail::RestartContainer && stop) {
            self.update_state(result, result.expected, seen);
            self.rscs[rsc].failure_ignored = true;
            if policy == OnFail::RestartContainer && seen.on_fail <= OnFail::Recover {
                seen.on_fail = policy;
            }
            return;
        }
        self.take_failure(result, seen);
        match result.status {
            status::ERROR_HARD => self.locate(whole, Some(result.node), -INFINITY, false),
            status::ERROR_FATAL => self.locate(whole, None, -INFINITY, false),
            _ => {}
        }
    }

    fn has_expired(&mut self, result: &Result<'_>) -> bool {
        let (rsc, node, record) = (result.rsc, result.node, result.record);
        if result.status == status::NOT_INSTALLED {
            return false;
        }
        let last_failure = record.id.ends_with("_last_failure_0");
        let timeout = self.rscs[rsc].failure_timeout_s;
        let mut expired = false;
        let mut clear = false;
        if timeout > 0
            && let Some(changed) = record.changed
        {
            expired = self.input.now >= changed + timeout;
            let unexpired = self.failures(node, rsc, true, Some(record)).0;
            if expired && self.failures(node, rsc, false, Some(record)).0 != 0 {
                expired = unexpired == 0;
                clear = expired;
            }
        }
        let task = record.task.as_str();
        if !expired && last_failure && record.outdated && matches!(task, "start" | "monitor") {
            clear = true;
        }
        if clear {
            self.act(rsc, Task::ClearFailures, Some(node), false);
        }
        let lasting = [
            rc::OK,
            rc::NOT_RUNNING,
            rc::PROMOTED,
            rc::DEGRADED,
            rc::DEGRADED_PROMOTED,
        ];
        expired && !(result.is_probe() && lasting.contains(&result.rc))
    }

    /// Takes a result for what it means, given what was expected.
    fn remap(&mut self, result: &mut Result<'_>, seen: &mut Seen) {
        result.rc = match result.rc {
            rc::DEGRADED => rc::OK,
            rc::DEGRADED_PROMOTED => rc::PROMOTED,
            other => other,
        };
        if result.is_masked() && (result.status != status::DONE || result.rc != rc::NOT_RUNNING) {
            result.status = status::DONE;
            result.rc = rc::NOT_RUNNING;
        }
        match result.status {
            status::DONE | status::ERROR => {}
            status::NO_FENCE_DEVICE | status::NO_SECRETS => {
                result.status = status::ERROR_HARD;
                return;
            }
            _ => return,
        }
        result.status = if result.expected >= 0 && result.rc == result.expected {
            status::DONE
        } else {
            status::ERROR
        };
        self.remap_by_code(result, seen);
    }

    fn remap_by_code(&mut self, result: &mut Result<'_>, seen: &mut Seen) {
        let (rsc, probe) = (result.rsc, result.is_probe());
        let as_expected = result.rc == result.expected;
        match result.rc {
            rc::OK if probe && result.expected == rc::NOT_RUNNING => result.status = status::DONE,
            rc::NOT_RUNNING if probe || as_expected || !self.rscs[rsc].managed => {
                result.status = status::DONE;
                self.rscs[rsc].role = Role::Stopped;
                seen.on_fail = OnFail::Ignore;
                self.rscs[rsc].next_role = Role::Unknown;
            }
            rc::PROMOTED => {
                if probe && !as_expected {
                    result.status = status::DONE;
                }
                if !result.expired || as_expected {
                    self.rscs[rsc].role = Role::Promoted;
                }
            }
            rc::FAILED_PROMOTED => {
                if !result.expired {
                    self.rscs[rsc].role = Role::Promoted;
                }
                result.status = status::ERROR;
            }
            rc::NOT_CONFIGURED => result.status = status::ERROR_FATAL,
            rc::UNIMPLEMENTED if result.record.interval_ms > 0 => {
                result.status = status::NOT_SUPPORTED;
            }
            rc::UNIMPLEMENTED | rc::NOT_INSTALLED | rc::INVALID_PARAM | rc::PRIVILEGES => {
                if !result.expired {
                    self.block_if_unrecoverable(result);
                }
                result.status = status::ERROR_HARD;
            }
            _ => {}
        }
        let known = (rc::OK..=rc::FAILED_PROMOTED).contains(&result.rc) && result.rc != 1;
        if !known && result.status == status::DONE {
            result.status = status::ERROR;
        }
    }

    fn block_if_unrecoverable(&mut self, result: &Result<'_>) {
        if result.record.task == "stop" && !self.can_fence(result.node) {
            self.rscs[result.rsc].managed = false;
            self.rscs[result.rsc].blocked = true;
        }
    }

    /// Whether an expired result says nothing any more.
    fn ignore_expired(&mut self, result: &Result<'_>) -> bool {
        if result.is_masked() && result.record.rc != result.expected {
            let me = &mut self.rscs[result.rsc];
            if me.role <= Role::Stopped {
                me.role = Role::Unknown;
            }
            return true;
        }
        if result.rc == result.expected {
            return false;
        }
        let there = &self.nodes[result.node];
        result.record.interval_ms == 0 || (there.online && !there.unclean)
    }

    fn mask_probe(&mut self, result: &Result<'_>, seen: &mut Seen) {
        let rsc = result.rsc;
        let whole = if self.rscs[rsc].spec.unique {
            rsc
        } else {
            self.top_of(rsc)
        };
        self.update_state(result, result.expected, seen);
        self.locate(whole, Some(result.node), -INFINITY, false);
    }

    fn note_pending(&mut self, result: &Result<'_>) {
        let rsc = result.rsc;
        match result.record.task.as_str() {
            "start" => {
                self.rscs[rsc].start_pending = true;
                self.set_active(rsc);
            }
            "promote" => self.rscs[rsc].role = Role::Promoted,
            "migrate_to" if self.nodes[result.node].unclean => {
                let target = result.record.target.as_deref();
                if let Some(target) = target.and_then(|name| self.node_named(name)) {
                    self.act(rsc, Task::Stop, Some(target), false);
                }
            }
            _ => {}
        }
        if !result.is_probe() && self.rscs[rsc].pending_node.is_none() {
            self.rscs[rsc].pending_node = Some(result.node);
        }
    }

    pub(crate) fn set_active(&mut self, rsc: RscId) {
        let top = self.top_of(rsc);
        let promotable = self.rscs[top].spec.promotable;
        self.rscs[rsc].role = if promotable {
            Role::Unpromoted
        } else {
            Role::Started
        };
    }

    fn update_state(&mut self, result: &Result<'_>, rc: i32, seen: &mut Seen) {
        let rsc = result.rsc;
        let task = result.record.task.as_str();
        let mut clear = true;
        if rc == rc::NOT_INSTALLED || result.is_masked() {
            self.rscs[rsc].role = Role::Stopped;
            clear = false;
        } else if rc == rc::NOT_RUNNING {
        } else if task == "monitor" {
            clear = seen.last_failure.as_ref() == Some(&result.record.key);
            if self.rscs[rsc].role < Role::Started {
                self.set_active(rsc);
            }
        } else if task == "demote" {
            clear = seen.on_fail == OnFail::Demote;
            self.rscs[rsc].role = Role::Unpromoted;
        } else if task == "migrate_to" {
            self.take_migrate_to(rsc, result.node, result.record);
            clear = false;
        } else if let Some(role) = role_after(task) {
            self.rscs[rsc].role = role;
        } else {
            if self.rscs[rsc].role < Role::Started {
                self.set_active(rsc);
            }
            clear = false;
        }
        let cleared = matches!(
            seen.on_fail,
            OnFail::Block
                | OnFail::Ignore
                | OnFail::Demote
                | OnFail::Recover
                | OnFail::RestartContainer
                | OnFail::ResetRemote
        );
        if clear && cleared {
            seen.on_fail = OnFail::Ignore;
            self.rscs[rsc].next_role = Role::Unknown;
        }
    }

    fn take_failure(&mut self, result: &Result<'_>, seen: &mut Seen) {
        let (rsc, node, record) = (result.rsc, result.node, result.record);
        seen.last_failure = Some(record.key.clone());
        let (policy, role_after) = self.on_fail(rsc, &record.task, record.interval_ms);
        seen.on_fail = seen.on_fail.max(policy);
        match record.task.as_str() {
            "stop" => self.locate(rsc, Some(node), -INFINITY, false),
            "migrate_to" => self.take_failed_migrate_to(rsc, node, record),
            "migrate_from" => self.take_failed_migrate_from(rsc, node, record),
            "promote" => self.rscs[rsc].role = Role::Promoted,
            "demote" if policy == OnFail::Block => {
                self.rscs[rsc].role = Role::Promoted;
                self.rscs[rsc].next_role = Role::Stopped;
            }
            "demote" if result.rc == rc::NOT_RUNNING => self.rscs[rsc].role = Role::Stopped,
            "demote" => self.rscs[rsc].role = Role::Unpromoted,
            _ => {}
        }
        if result.is_probe() && result.rc == rc::NOT_INSTALLED {
            self.rscs[rsc].role = Role::Stopped;
        } else if self.rscs[rsc].role < Role::Started {
            self.set_active(rsc);
        }
        if role_after != Role::Started && self.rscs[rsc].next_role < role_after {
            self.rscs[rsc].next_role = role_after;
        }
        if role_after == Role::Stopped {
            let top = self.top_of(rsc);
            let whole = if self.is_anonymous_clone(top) {
                top
            } else {
                rsc
            };
            self.ban_everywhere(whole);
        }
    }
}

fn role_after(task: &str) -> Option<Role> {
    match task {
        "start" | "migrate_from" => Some(Role::Started),
        "stop" => Some(Role::Stopped),
        "promote" => Some(Role::Promoted),
        _ => None,
    }
}
