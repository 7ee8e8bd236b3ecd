//! What runs on this node: it is learned at a start, started and stopped as the plan says, and every
//! word of a driver comes in here.
//!
//! Not for the choice of the next step in a group (`local`) and not for leases (`holding`).

use crate::{
    apply::assigned,
    core::Core,
    hold::Lease,
    local::{Changed, Local, MemberFacts, Step, decide_local},
};
use standfast_model::{
    config::{ResourceKind, Timing},
    effect::{Effect, Level, Start},
    event::InstanceChange,
    id::ResourceId,
    plan::{Assignment, PlanNumber},
    planted::Planted,
    state::Phase,
    time::{HoldUntil, Micros, Now, WaitUntil},
};

impl Core {
    /// A resource seen for the first time in this run may be running here: its driver is asked.
    pub(crate) fn learn_resources(&mut self, now: Now) {
        let configured = self.state.config.resources.iter();
        let configured = configured.map(|(resource, config)| (resource, &config.kind));
        let configured = configured.filter(|(resource, _)| self.touches(resource));
        // What was removed just before this agent was started.
        let removed = self.state.removed.iter();
        let removed = removed.filter(|(resource, _)| {
            let holders = self.state.may_hold.get(*resource);
            holders.is_some_and(|holders| holders.contains(&self.node))
        });
        let new: Vec<(ResourceId, ResourceKind)> = configured
            .chain(removed)
            .filter(|(resource, _)| !self.locals.contains_key(*resource))
            .map(|(resource, kind)| (resource.clone(), kind.clone()))
            .collect();
        for (resource, kind) in new {
            self.locals.insert(resource.clone(), Local::unknown(now));
            self.out.push(Effect::Probe {
                resource,
                kind: Box::new(kind),
            });
        }
    }

    /// Groups as this node has to look at them: what the plan gives it, then what it still has besides.
    fn local_groups(&self) -> Vec<(Vec<ResourceId>, Option<Assignment>)> {
        let mut groups = Vec::new();
        let mut seen: Vec<&ResourceId> = Vec::new();
        let plan = if self.planted(Planted::OldGeneration) {
            &self.previous
        } else {
            &self.state.plan
        };
        for assignment in plan.groups.values() {
            seen.extend(assignment.members.iter());
            let ours = assignment.node.as_ref() == Some(&self.node);
            let here = assignment.members.iter().any(|member| {
                self.locals
                    .get(member)
                    .is_some_and(|local| local.phase.may_run() && !local.probing)
            });
            if ours {
                groups.push((assignment.members.clone(), Some(assignment.clone())));
            } else if here {
                groups.push((assignment.members.clone(), None));
            }
        }
        for (resource, local) in &self.locals {
            if local.phase.may_run() && !local.probing && !seen.contains(&resource) {
                groups.push((vec![resource.clone()], None));
            }
        }
        groups
    }

    /// Starts and stops what is to be started and stopped now.
    pub(crate) fn drive(&mut self, now: Now) {
        let restless = self.planted(Planted::ObserverActs);
        if self.state.config.observes() && !restless {
            return;
        }
        for (members, assignment) in self.local_groups() {
            if assignment
                .as_ref()
                .is_some_and(|assignment| assignment.maintenance && !restless)
            {
                continue;
            }
            // Until it is known what an earlier agent left running here, nothing of the group is touched.
            if members
                .iter()
                .any(|member| self.locals.get(member).is_some_and(|local| local.probing))
            {
                continue;
            }
            if let Some(assignment) = &assignment {
                self.adapt(now, &members, assignment);
            }
            let facts: Vec<MemberFacts> = members
                .iter()
                .map(|member| self.member_facts(now, member, assignment.as_ref()))
                .collect();
            match decide_local(&facts, assignment.is_some()) {
                Step::Start(resource) => {
                    let of = |assignment: Assignment| assignment.since_of(&resource);
                    let since = assignment.map(of).unwrap_or_default();
                    self.start(now, &resource, since);
                }
                Step::Stop(resource) if self.is_promoted_here(&resource) => {}
                Step::Stop(resource) => self.stop(now, &resource),
                Step::Wait => {}
            }
        }
    }

    fn member_facts(
        &self,
        now: Now,
        resource: &ResourceId,
        assignment: Option<&Assignment>,
    ) -> MemberFacts {
        let config = self.state.config.resources.get(resource);
        let policy = config.map(|config| config.failure).unwrap_or_default();
        let kind = config.map(|config| &config.kind);
        let Some(local) = self.locals.get(resource) else {
            return MemberFacts {
                resource: resource.clone(),
                phase: Phase::Stopping,
                outdated: false,
                may_start: false,
                may_stop: false,
                to_stop: false,
            };
        };
        let since = assignment.map(|assignment| assignment.since_of(resource));
        let left = since.map_or(Micros::ZERO, |since| self.holder.left(resource, since, now));
        let leased = left > self.timing().stop_budget
            || (self.planted(Planted::RestartWithoutLease)
                && local.failures > 0
                && local.phase == Phase::Failed);
        let promised = self.state.plan.number >= self.promise_wanted;
        let carried = self.is_carried(resource);
        MemberFacts {
            resource: resource.clone(),
            phase: local.phase,
            outdated: local.phase.may_run()
                && !local.probing
                && since.is_some_and(|since| since != local.since),
            may_start: leased
                && promised
                && local.waits(now) == Micros::ZERO
                && !local.is_exhausted(now, &policy, kind)
                && carried,
            may_stop: !local.probing && local.waits(now) == Micros::ZERO,
            to_stop: local.lease_ending || local.to_restart || !carried,
        }
    }

    /// Every start, local restarts included, comes through here: lease and promise were checked just before.
    fn start(&mut self, now: Now, resource: &ResourceId, since: PlanNumber) {
        let Some(config) = self.state.config.resources.get(resource) else {
            return;
        };
        if config.needs_fencing && !self.is_let_in() {
            return;
        }
        let kind = config.kind.clone();
        let free = self.planted(Planted::RestartWithoutLease);
        let held = self
            .holder
            .lease(resource)
            .filter(|lease| lease.since == since);
        let deadline = match held {
            Some(lease) if !lease.until.is_over(now) => lease.until.boot_deadline(now),
            _ if free => now.boot.saturating_add(self.timing().lease.0),
            _ => return,
        };
        let Some(local) = self.locals.get_mut(resource) else {
            return;
        };
        local.phase = Phase::Starting;
        local.promotion = None;
        local.since = since;
        local.kind = Some(kind.clone());
        local.began = now;
        local.stopping = None;
        local.lease_ending = false;
        local.to_restart = false;
        local.not_before = None;
        self.look = true;
        self.log(Level::Info, format!("{resource}: start under plan {since}"));
        let start = Start {
            resource: resource.clone(),
            kind,
            since,
            deadline,
            fresh: assigned(&self.previous, resource).is_none_or(|(owner, _)| owner.is_none()),
        };
        self.out.push(Effect::Start(Box::new(start)));
    }

    fn stop(&mut self, now: Now, resource: &ResourceId) {
        let started = self
            .locals
            .get(resource)
            .and_then(|local| local.kind.as_ref());
        let configured = self
            .state
            .config
            .resources
            .get(resource)
            .map(|config| &config.kind);
        let grace = match started.or(configured) {
            Some(ResourceKind::Process(process)) => process.stop_timeout,
            Some(ResourceKind::Vip(_)) | None => Micros::from_millis(1000),
        };
        let left = self
            .holder
            .lease(resource)
            .map_or(Micros::ZERO, |lease| lease.until.left(now));
        let Some(local) = self.locals.get_mut(resource) else {
            return;
        };
        // An ending lease leaves only what is left of it; a planned stop keeps its lease while it lasts.
        let grace = if local.lease_ending {
            grace.min(left)
        } else {
            grace
        };
        local.phase = match local.phase {
            // What could not be stopped is tried again, and gets no more of its lease by that: the lease has to end.
            kept @ (Phase::Lapsed | Phase::StopFailed) => kept,
            Phase::Inactive | Phase::Starting | Phase::Active | Phase::Stopping | Phase::Failed => {
                Phase::Stopping
            }
        };
        local.stopping.get_or_insert(now);
        local.not_before = Some(WaitUntil {
            from: now,
            length: Micros::from_millis(2000),
        });
        self.look = true;
        self.log(Level::Info, format!("{resource}: stop"));
        self.out.push(Effect::Stop {
            resource: resource.clone(),
            grace,
        });
    }

    pub(crate) fn on_instance(&mut self, now: Now, resource: &ResourceId, change: &InstanceChange) {
        self.local_due = None;
        let policy = self
            .state
            .config
            .resources
            .get(resource)
            .map(|config| config.failure)
            .unwrap_or_default();
        let lease = self.timing().lease;
        let forgiving = self.planted(Planted::FailedStopIsStop);
        let Some(local) = self.locals.get_mut(resource) else {
            return;
        };
        let stopped = InstanceChange::Stopped;
        let change = if forgiving && matches!(change, InstanceChange::StopFailed(_)) {
            &stopped
        } else {
            change
        };
        let probing = local.probing;
        match local.on_change(now, change, &policy) {
            Changed::No => return,
            Changed::Yes => {}
            Changed::Repair => {
                self.out.push(Effect::Repair {
                    resource: resource.clone(),
                });
                self.log(
                    Level::Warn,
                    format!("{resource}: put back what someone else took away"),
                );
                return;
            }
            Changed::Restart => local.to_restart = true,
        }
        if !local.phase.may_run() {
            local.not_before = local.not_before.filter(|_| local.phase == Phase::Failed);
            if self
                .holder
                .lease(resource)
                .is_some_and(|held| held.until.is_over(now))
            {
                self.holder.drop_lease(resource);
            }
            if std::mem::take(&mut local.on_restart_grant)
                && let Some(held) = self.holder.lease(resource)
            {
                let until = HoldUntil {
                    from: now,
                    length: held.until.left(now).min(lease),
                };
                self.holder.replace(resource, Lease { until, ..held });
            }
        }
        if let (true, InstanceChange::Adopted { since, deadline }) = (probing, change) {
            self.adopt(now, resource, (*since, *deadline));
        }
        if let InstanceChange::Outdated(why) = change {
            self.log(
                Level::Info,
                format!("{resource}: to be started anew: {why}"),
            );
        }
        self.look = true;
    }

    /// What an earlier run left is taken over with the lease that its guard knows.
    fn adopt(&mut self, now: Now, resource: &ResourceId, (since, deadline): (PlanNumber, u64)) {
        let Timing {
            lease,
            restart_grant,
            ..
        } = self.timing();
        let Some(local) = self.locals.get_mut(resource) else {
            return;
        };
        let kept = Micros(deadline.saturating_sub(now.boot)).min(lease.max(restart_grant));
        // It may take longer than a lease until this run has a leader: a restart grant is needed until then.
        local.on_restart_grant = kept > lease;
        let until = HoldUntil {
            from: now,
            length: kept,
        };
        self.holder.take(now, resource, Lease { since, until });
        self.out.push(Effect::Extend {
            resource: resource.clone(),
            deadline: until.boot_deadline(now).min(deadline),
        });
        self.log(
            Level::Info,
            format!("{resource}: found running, and taken over"),
        );
    }

    pub(crate) fn on_link_health(&mut self, interface: String, problem: Option<String>) {
        match problem {
            Some(why) => self.sick_interfaces.insert(interface, why),
            None => self.sick_interfaces.remove(&interface),
        };
        self.look = true;
    }
}
