//! How often a resource failed on a node, and what a failure of an operation means.
//!
//! Not for what follows from it.

use crate::input::Record;
use crate::role::Role;
use crate::score::{self, leading_integer};
use crate::work::{NodeId, RscId, Work};

/// What to do about a failure, from least to most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum OnFail {
    #[default]
    Ignore,
    Demote,
    Recover,
    ResetRemote,
    RestartContainer,
    Migrate,
    Block,
    Stop,
    Standby,
    Fence,
}

impl Work<'_> {
    /// What a failed operation leads to, and which role the resource has after it.
    pub(crate) fn on_fail(&self, rsc: RscId, task: &str, interval_ms: u64) -> (OnFail, Role) {
        let spec = &self.rscs[rsc].spec;
        let same = |name: &str, interval| name == task && interval == interval_ms;
        let policies = &spec.config.policies;
        let policy = policies
            .iter()
            .find(|policy| same(&policy.task, policy.interval_ms));
        let configured = policy.and_then(|policy| policy.on_fail.as_deref());
        let value = self.allowed_policy(rsc, task, interval_ms, configured);
        let usual = if task == "promote" {
            Role::Unpromoted
        } else {
            Role::Started
        };
        let after = policy.and_then(|policy| policy.role_after.as_deref());
        let after = after.and_then(Role::parse).unwrap_or(usual);
        match value.as_deref() {
            Some("block") => (OnFail::Block, after),
            Some("fence") if !self.options.fencing => (OnFail::Stop, Role::Stopped),
            Some("fence") => (OnFail::Fence, after),
            Some("standby") => (OnFail::Standby, after),
            Some("ignore" | "nothing") => (OnFail::Ignore, after),
            Some("migrate") => (OnFail::Migrate, after),
            Some("stop") => (OnFail::Stop, Role::Stopped),
            Some("restart") => (OnFail::Recover, after),
            Some("demote") => (OnFail::Demote, after),
            Some("restart-container") if self.rscs[rsc].container.is_some() => {
                (OnFail::RestartContainer, after)
            }
            _ => (self.usual_on_fail(rsc, task, interval_ms), after),
        }
    }

    fn usual_on_fail(&self, rsc: RscId, task: &str, interval_ms: u64) -> OnFail {
        let probe = task == "monitor" && interval_ms == 0;
        if self.rscs[rsc].container.is_some() {
            OnFail::RestartContainer
        } else if self.rscs[rsc].spec.remote && !probe && task != "start" {
            if self.rscs[rsc].managed {
                OnFail::ResetRemote
            } else {
                OnFail::Stop
            }
        } else if task == "stop" {
            if self.options.fencing {
                OnFail::Fence
            } else {
                OnFail::Block
            }
        } else {
            OnFail::Recover
        }
    }

    /// The configured policy where it makes sense for the operation.
    fn allowed_policy(
        &self,
        rsc: RscId,
        task: &str,
        interval_ms: u64,
        value: Option<&str>,
    ) -> Option<String> {
        let value = value.map(str::to_ascii_lowercase);
        let operations = &self.rscs[rsc].spec.config.operations;
        let for_promoted =
            |role: &Option<String>| role.as_deref().and_then(Role::parse) == Some(Role::Promoted);
        match (task, value.as_deref()) {
            ("stop", Some("standby" | "demote" | "stop")) => None,
            ("demote", None) => {
                let monitors = operations.iter().filter(|op| {
                    op.name == "monitor"
                        && op.interval_ms > 0
                        && op.enabled
                        && for_promoted(&op.role)
                });
                let mut policies = monitors.filter_map(|op| op.on_fail.as_deref());
                let policy = policies.find(|policy| !policy.eq_ignore_ascii_case("demote"));
                policy.map(str::to_ascii_lowercase)
            }
            ("promote", Some("demote")) => value,
            (_, Some("demote")) => {
                let configured = operations
                    .iter()
                    .find(|op| op.name == task && op.interval_ms == interval_ms);
                let fits = configured.is_some_and(|op| {
                    op.name == "monitor" && op.interval_ms > 0 && for_promoted(&op.role)
                });
                value.filter(|_| fits)
            }
            _ => value,
        }
    }

    /// Failures of a resource on a node, and when the last one was. `effective` leaves out what has
    /// expired.
    pub(crate) fn failures(
        &mut self,
        node: NodeId,
        rsc: RscId,
        effective: bool,
        of: Option<&Record>,
    ) -> (i32, i64) {
        if self.nodes[node].failures.is_empty() {
            return (0, 0);
        }
        let name = self.fail_name(rsc);
        let unique = self.rscs[rsc].spec.unique;
        let old = is_older(&self.input.feature_set, &[3, 0, 13]);
        let (mut count, mut last) = (0, 0);
        for (key, value) in &self.nodes[node].failures {
            if is_failure_key(key, "fail-count-", &name, unique, old) {
                count = score::add(count, score::parse(value));
            } else if is_failure_key(key, "last-failure-", &name, unique, old) {
                last = last.max(leading_integer(value).unwrap_or(0));
            }
        }
        if count > 0 && self.rscs[rsc].failure_timeout_s > 0 && self.blocks(node, rsc, of) {
            self.rscs[rsc].failure_timeout_s = 0;
        }
        let timeout = self.rscs[rsc].failure_timeout_s;
        if effective && count > 0 && last > 0 && timeout != 0 && self.input.now > last + timeout {
            count = 0;
        }
        (count, last)
    }

    /// Failures of a resource and of what runs inside it.
    pub(crate) fn failures_with_fillers(&mut self, node: NodeId, rsc: RscId) -> i32 {
        let mut count = self.failures(node, rsc, true, None).0;
        for filler in self.rscs[rsc].fillers.clone() {
            count = score::add(count, self.failures_with_fillers(node, filler));
        }
        count
    }

    /// The name of a resource in failure attributes.
    fn fail_name(&self, rsc: RscId) -> String {
        let me = &self.rscs[rsc];
        let name = me.history_name.as_ref().unwrap_or(&me.id);
        if me.spec.unique {
            name.clone()
        } else {
            strip(name).to_owned()
        }
    }

    /// Whether a failure that blocks the resource is on record: it does not expire.
    fn blocks(&self, node: NodeId, rsc: RscId, of: Option<&Record>) -> bool {
        let base = strip(&self.rscs[rsc].id).to_owned();
        let operations = &self.rscs[rsc].spec.config.operations;
        let blocking = operations
            .iter()
            .filter(|op| op.on_fail.as_deref() == Some("block"));
        let recorded: Vec<&Record> = match of {
            Some(record) => vec![record],
            None => self.recorded(&base, &self.nodes[node].name),
        };
        let failed = |record: &Record, name: &str, interval_ms: u64| {
            record.task == name
                && record.interval_ms == interval_ms
                && (record.id == format!("{base}_last_failure_0")
                    || (record.id == format!("{base}_{name}_{interval_ms}")
                        && Some(record.rc) != record.expected))
        };
        let mut blocking = blocking;
        blocking.any(|op| {
            recorded
                .iter()
                .any(|record| failed(record, &op.name, op.interval_ms))
        })
    }
}

/// A resource's name without the number of the instance.
pub(crate) fn strip(name: &str) -> &str {
    match name.rsplit_once(':') {
        Some((base, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => base,
        _ => name,
    }
}

/// Whether a dotted version is older than another.
pub(crate) fn is_older(version: &str, than: &[u64]) -> bool {
    let mut parts = version
        .split('.')
        .map(|part| part.parse::<u64>().unwrap_or(0));
    for wanted in than {
        match parts.next().unwrap_or(0).cmp(wanted) {
            std::cmp::Ordering::Less => return true,
            std::cmp::Ordering::Greater => return false,
            std::cmp::Ordering::Equal => {}
        }
    }
    false
}

fn is_failure_key(key: &str, prefix: &str, name: &str, unique: bool, old: bool) -> bool {
    let Some(mut rest) = key
        .strip_prefix(prefix)
        .and_then(|rest| rest.strip_prefix(name))
    else {
        return false;
    };
    if !unique && let Some(numbered) = rest.strip_prefix(':') {
        let after = numbered.trim_start_matches(|c: char| c.is_ascii_digit());
        if after.len() < numbered.len() {
            rest = after;
        }
    }
    if old {
        return rest.is_empty();
    }
    let operation = rest
        .strip_prefix('#')
        .and_then(|rest| rest.rsplit_once('_'));
    operation.is_some_and(|(task, interval)| {
        !task.is_empty() && !interval.is_empty() && interval.bytes().all(|b| b.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_attributes_name_resource_and_operation() {
        assert!(is_failure_key(
            "fail-count-web#monitor_10000",
            "fail-count-",
            "web",
            true,
            false
        ));
        assert!(!is_failure_key(
            "fail-count-web",
            "fail-count-",
            "web",
            true,
            false
        ));
        assert!(is_failure_key(
            "fail-count-web",
            "fail-count-",
            "web",
            true,
            true
        ));
        assert!(is_failure_key(
            "fail-count-web:0",
            "fail-count-",
            "web",
            false,
            true
        ));
        assert!(!is_failure_key(
            "fail-count-web2",
            "fail-count-",
            "web",
            true,
            true
        ));
    }

    #[test]
    fn versions_compare_by_number() {
        assert!(is_older("3.0.9", &[3, 0, 13]));
        assert!(!is_older("3.1.0", &[3, 0, 13]));
    }
}
