//! The resources of this node: what each is doing, and what to do next, level-triggered.
//!
//! [`decide_local`] looks at the plan in force and at the facts, and names at most one action for
//! each group. It is asked again after every event, so that an interrupted or repeated action does
//! no harm. Not for leases (`hold`) and not for carrying anything out.

use standfast_model::{
    agent::{self, Severity},
    config::{FailurePolicy, ResourceKind},
    event::InstanceChange,
    id::ResourceId,
    plan::PlanNumber,
    state::{InstanceReport, Phase},
    time::{Micros, Now, WaitUntil},
};

/// A stop that was not confirmed is tried again after this long.
const STOP_AGAIN: Micros = Micros::from_millis(2000);

/// One resource on this node.
#[derive(Clone, Debug)]
pub(crate) struct Local {
    pub(crate) phase: Phase,
    pub(crate) since: PlanNumber,
    /// As it was started.
    pub(crate) kind: Option<ResourceKind>,
    pub(crate) failures: u32,
    pub(crate) last_failure: String,
    /// How far that one reaches.
    pub(crate) severity: Severity,
    pub(crate) began: Now,
    pub(crate) start_took: Micros,
    /// When its stop was first ordered.
    pub(crate) stopping: Option<Now>,
    pub(crate) stop_took: Micros,
    /// It may not be started (or stopped again) before.
    pub(crate) not_before: Option<WaitUntil>,
    /// Failures in a row, for damping; forgotten after a quiet window.
    recent: u32,
    recent_at: Option<Now>,
    /// The agent has asked whether it runs here, and has no answer yet.
    pub(crate) probing: bool,
    /// Stopping because the lease is about to end, or has ended.
    pub(crate) lease_ending: bool,
    /// Found running under a restart grant, which outlasts an ordinary lease: until this run has got a lease of its own.
    pub(crate) on_restart_grant: bool,
    /// To be stopped and started again: it does not work, or its configuration has changed.
    pub(crate) to_restart: bool,
    /// By how much this copy is to be promoted, as its agent says as long as it runs.
    pub(crate) promotion: Option<i64>,
    /// How often it has taken over changed parameters while it ran.
    reloads: u32,
}

/// What a driver's word changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    /// Nothing that anybody else needs to know.
    No,
    /// The phase or the failures.
    Yes,
    /// It is damaged: put it back.
    Repair,
    /// It does not work, or not as it is configured: stop it, so that it can be started again.
    Restart,
}

impl Local {
    /// A resource of which nothing is known yet.
    pub(crate) fn unknown(now: Now) -> Self {
        Self {
            phase: Phase::StopFailed,
            since: PlanNumber::default(),
            kind: None,
            failures: 0,
            last_failure: String::new(),
            severity: Severity::Soft,
            began: now,
            start_took: Micros::ZERO,
            stopping: None,
            stop_took: Micros::ZERO,
            not_before: None,
            recent: 0,
            recent_at: None,
            probing: true,
            lease_ending: false,
            on_restart_grant: false,
            to_restart: false,
            promotion: None,
            reloads: 0,
        }
    }

    /// What a driver says. Words that do not fit the phase are late or repeated, and change nothing.
    pub(crate) fn on_change(
        &mut self,
        now: Now,
        change: &InstanceChange,
        policy: &FailurePolicy,
    ) -> Changed {
        match change {
            InstanceChange::Started => {
                if self.phase != Phase::Starting {
                    return Changed::No;
                }
                self.phase = Phase::Active;
                self.start_took = now.held_since(self.began);
                Changed::Yes
            }
            InstanceChange::StartFailed(why) => {
                if self.phase != Phase::Starting {
                    return Changed::No;
                }
                self.fail(now, why, policy);
                self.phase = Phase::Failed;
                Changed::Yes
            }
            InstanceChange::Stopped => self.on_stopped(now),
            InstanceChange::StopFailed(why) => self.on_stop_failed(now, why),
            InstanceChange::Exited(why) => self.on_exited(now, why, policy, Severity::Soft),
            InstanceChange::AgentFailed { code, why } => {
                self.on_exited(now, why, policy, agent::severity(*code))
            }
            InstanceChange::Unhealthy(why) => {
                if self.phase != Phase::Active {
                    return Changed::No;
                }
                self.fail(now, why, policy);
                Changed::Restart
            }
            InstanceChange::Healthy => Changed::No,
            InstanceChange::Outdated(_) if self.phase != Phase::Active => Changed::No,
            InstanceChange::Outdated(_) => Changed::Restart,
            InstanceChange::Reloaded => {
                self.reloads = self.reloads.saturating_add(1);
                Changed::Yes
            }
            InstanceChange::Promotion(score) => {
                if !self.phase.may_run() || self.promotion == *score {
                    return Changed::No;
                }
                self.promotion = *score;
                Changed::Yes
            }
            InstanceChange::LeaseEnded => match self.phase {
                Phase::Inactive | Phase::Failed => Changed::No,
                Phase::Starting
                | Phase::Active
                | Phase::Stopping
                | Phase::StopFailed
                | Phase::Lapsed => self.on_stopped(now),
            },
            InstanceChange::Adopted { since, .. } => {
                if !self.probing {
                    return Changed::No;
                }
                self.probing = false;
                self.phase = Phase::Active;
                self.since = *since;
                Changed::Yes
            }
            InstanceChange::Damaged(_) => {
                if self.phase == Phase::Active {
                    Changed::Repair
                } else {
                    Changed::No
                }
            }
        }
    }

    fn on_exited(
        &mut self,
        now: Now,
        why: &str,
        policy: &FailurePolicy,
        severity: Severity,
    ) -> Changed {
        match self.phase {
            Phase::Active | Phase::Starting => {
                self.fail(now, why, policy);
                self.severity = severity;
                self.phase = Phase::Failed;
                Changed::Yes
            }
            Phase::Stopping | Phase::StopFailed | Phase::Lapsed => self.on_stopped(now),
            Phase::Inactive | Phase::Failed => Changed::No,
        }
    }

    fn on_stop_failed(&mut self, now: Now, why: &str) -> Changed {
        if !self.phase.may_run() || self.phase == Phase::Active {
            return Changed::No;
        }
        let new = self.phase != Phase::StopFailed || self.last_failure != why;
        self.phase = Phase::StopFailed;
        self.probing = false;
        why.clone_into(&mut self.last_failure);
        self.not_before = Some(WaitUntil {
            from: now,
            length: STOP_AGAIN,
        });
        if new { Changed::Yes } else { Changed::No }
    }

    fn on_stopped(&mut self, now: Now) -> Changed {
        let began = self.stopping.take();
        if let (Some(began), Phase::Stopping) = (began, self.phase) {
            self.stop_took = now.held_since(began);
        }
        self.probing = false;
        self.lease_ending = false;
        self.to_restart = false;
        match self.phase {
            Phase::Stopping | Phase::StopFailed | Phase::Lapsed | Phase::Active => {
                self.phase = Phase::Inactive;
                Changed::Yes
            }
            Phase::Starting | Phase::Inactive | Phase::Failed => Changed::No,
        }
    }

    fn fail(&mut self, now: Now, why: &str, policy: &FailurePolicy) {
        why.clone_into(&mut self.last_failure);
        self.failures = self.failures.saturating_add(1);
        self.severity = Severity::Soft;
        let quiet = self
            .recent_at
            .is_none_or(|at| now.waited_since(at) > policy.window);
        self.recent = if quiet {
            1
        } else {
            self.recent.saturating_add(1)
        };
        self.recent_at = Some(now);
        // The first restart is at once, each further one waits twice as long.
        let delay = match self.recent {
            0 | 1 => Micros::ZERO,
            n => Micros(policy.restart_delay.0.saturating_mul(1 << (n - 2).min(10))),
        };
        self.not_before = Some(WaitUntil {
            from: now,
            length: delay,
        });
    }

    /// Whether so many failures have come, or such a one, that only the leader may decide what is next. `kind` is what would be
    /// started.
    pub(crate) fn is_exhausted(
        &self,
        now: Now,
        policy: &FailurePolicy,
        kind: Option<&ResourceKind>,
    ) -> bool {
        if !self.severity.is_soft() && self.kind.as_ref() == kind {
            return true;
        }
        self.recent >= policy.threshold
            && self
                .recent_at
                .is_some_and(|at| now.waited_since(at) <= policy.window)
    }

    /// Whether it has to wait before its next start or stop.
    pub(crate) fn waits(&self, now: Now) -> Micros {
        self.not_before
            .map_or(Micros::ZERO, |until| until.left(now))
    }

    /// Ends a wait that is over. Returns whether there was one: then it is to be looked at again.
    pub(crate) fn end_wait(&mut self, now: Now) -> bool {
        let over = self.not_before.is_some_and(|until| until.is_over(now));
        if over {
            self.not_before = None;
        }
        over
    }

    /// Failures in a row no longer count: an operator or the leader said so.
    pub(crate) fn forget_failures(&mut self) {
        self.recent = 0;
        self.severity = Severity::Soft;
    }

    /// For the report.
    pub(crate) fn report(&self) -> InstanceReport {
        InstanceReport {
            phase: self.phase,
            since: self.since,
            failures: self.failures,
            last_failure: self.last_failure.clone(),
            severity: self.severity,
            start_took: in_steps(self.start_took),
            stop_took: in_steps(self.stop_took),
            promotion: self.promotion.filter(|_| self.phase.may_run()),
            reloads: self.reloads,
        }
    }
}

/// Rounded up to 10 ms: a report changes only when it says something new.
const fn in_steps(length: Micros) -> Micros {
    Micros(length.0.div_ceil(10_000).saturating_mul(10_000))
}

/// What to do next in a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Start this one.
    Start(ResourceId),
    /// Stop this one.
    Stop(ResourceId),
    /// Wait for a driver, a lease or a delay.
    Wait,
}

/// What is known of one member of a group when its next step is decided.
#[derive(Clone, Debug)]
pub(crate) struct MemberFacts {
    pub(crate) resource: ResourceId,
    pub(crate) phase: Phase,
    /// Runs as an instance that the plan in force does not know (an older one).
    pub(crate) outdated: bool,
    /// A start is allowed now: lease, promise, delay, failures.
    pub(crate) may_start: bool,
    /// A stop may be (re)tried now.
    pub(crate) may_stop: bool,
    /// Does not work, or its lease ends: is to be stopped.
    pub(crate) to_stop: bool,
}

/// The next step of a group whose members are given in start order. `wanted`: the plan in force
/// gives it to this node.
pub(crate) fn decide_local(members: &[MemberFacts], wanted: bool) -> Step {
    let stop_from = if wanted {
        // Everything after a member that is not (or not to stay) active has to stop before it.
        members
            .iter()
            .position(|member| member.phase != Phase::Active || member.outdated || member.to_stop)
    } else {
        Some(0)
    };
    let Some(first) = stop_from else {
        return Step::Wait;
    };
    for (position, member) in members.iter().enumerate().rev() {
        let keep = position < first
            || (position == first && wanted && !member.outdated && !member.to_stop)
            || !member.phase.may_run();
        if keep {
            continue;
        }
        return match member.phase {
            Phase::Active | Phase::Starting => Step::Stop(member.resource.clone()),
            Phase::StopFailed | Phase::Lapsed if member.may_stop => {
                Step::Stop(member.resource.clone())
            }
            Phase::Stopping | Phase::StopFailed | Phase::Lapsed => Step::Wait,
            Phase::Inactive | Phase::Failed => continue,
        };
    }
    if !wanted {
        return Step::Wait;
    }
    let Some(member) = members.get(first) else {
        return Step::Wait;
    };
    match member.phase {
        Phase::Inactive | Phase::Failed if member.may_start => Step::Start(member.resource.clone()),
        Phase::StopFailed | Phase::Lapsed if member.may_stop => Step::Stop(member.resource.clone()),
        Phase::Inactive
        | Phase::Failed
        | Phase::StopFailed
        | Phase::Lapsed
        | Phase::Active
        | Phase::Starting
        | Phase::Stopping => Step::Wait,
    }
}
