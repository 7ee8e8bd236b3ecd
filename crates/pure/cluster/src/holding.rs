//! This node as a holder: it asks for leases, runs what the plan gives it under them, stops what
//! the plan takes away, and reports.
//!
//! Level-triggered: everything here is derived from the plan in force and the facts, again and again.

use crate::{
    apply::release_needs,
    core::Core,
    hold::Lease,
    local::{Changed, Local, MemberFacts, Step, decide_local},
};
use standfast_model::{
    config::{ResourceKind, VipConfig},
    effect::{Batch, Class, Effect, Level, Start},
    event::InstanceChange,
    id::{NodeId, ResourceId},
    message::{Body, Instance, LeaseGrant, LeaseRequest, Report},
    plan::{Assignment, PlanNumber},
    planted::Planted,
    state::{NodeReport, Phase},
    time::{HoldUntil, Micros, Now},
};
use std::collections::BTreeMap;

impl Core {
    /// Everything that a holder does without being asked.
    pub(crate) fn hold_on(&mut self, now: Now) {
        self.watch_leases(now);
        if self.look || self.next_local(now) == Micros::ZERO {
            self.look = false;
            self.learn_resources(now);
            self.drive(now);
            self.keep_promise();
            self.update_report();
        }
        self.finish_restart(now);
        self.send_report(now);
        self.ask_for_leases(now);
    }

    /// How long until a holder has something to do.
    pub(crate) fn next_holding(&self, now: Now) -> Micros {
        let heartbeat = self.timing().heartbeat;
        let silent = self.may_not_ask();
        let request = match (&self.holder.leader, self.holder.last_sent) {
            (Some(_), _) if silent => Micros::MAX,
            (None, _) => Micros::MAX,
            (Some(_), None) => Micros::ZERO,
            (Some(_), Some(at)) => heartbeat.minus(now.held_since(at)),
        };
        request.min(self.next_local(now))
    }

    /// How long until a lease runs out or a delay is over; zero when something is due.
    fn next_local(&self, now: Now) -> Micros {
        let budget = self.timing().stop_budget;
        let mut next = Micros::MAX;
        for (resource, lease) in self.holder.leases() {
            let Some(local) = self.locals.get(resource) else {
                continue;
            };
            if !local.phase.may_run()
                || local.phase == Phase::Lapsed
                || local.phase == Phase::StopFailed
            {
                continue;
            }
            let left = lease.until.left(now);
            next = next.min(if local.lease_ending {
                left
            } else {
                left.minus(budget)
            });
        }
        for local in self.locals.values() {
            if matches!(
                local.phase,
                Phase::Failed | Phase::Inactive | Phase::StopFailed | Phase::Lapsed
            ) && local.waits(now) > Micros::ZERO
            {
                next = next.min(local.waits(now));
            }
        }
        next
    }

    /// Notices leases that end: the stop begins before the end, and at the end nothing is believed to run.
    fn watch_leases(&mut self, now: Now) {
        let budget = self.timing().stop_budget;
        let mut lapsed = Vec::new();
        for (resource, lease) in self.holder.leases() {
            let Some(local) = self.locals.get_mut(resource) else {
                continue;
            };
            if !local.phase.may_run() || matches!(local.phase, Phase::Lapsed | Phase::StopFailed) {
                continue;
            }
            let left = lease.until.left(now);
            if left == Micros::ZERO {
                local.phase = Phase::Lapsed;
                local.lease_ending = true;
                lapsed.push(resource.clone());
                self.look = true;
            } else if left <= budget && !local.lease_ending {
                local.lease_ending = true;
                self.look = true;
            }
        }
        for resource in lapsed {
            self.log(
                Level::Warn,
                format!("{resource}: the lease is over; the guards have ended it"),
            );
            self.out.push(Effect::Stop {
                resource,
                grace: Micros::ZERO,
            });
        }
    }

    /// A resource seen for the first time in this run may be running here: its driver is asked.
    fn learn_resources(&mut self, now: Now) {
        let new: Vec<(ResourceId, ResourceKind)> = self
            .state
            .config
            .resources
            .iter()
            .filter(|(resource, _)| !self.locals.contains_key(*resource))
            .map(|(resource, config)| (resource.clone(), config.kind.clone()))
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
        for assignment in self.state.plan.groups.values() {
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
    fn drive(&mut self, now: Now) {
        for (members, assignment) in self.local_groups() {
            if assignment
                .as_ref()
                .is_some_and(|assignment| assignment.maintenance)
            {
                continue;
            }
            if let Some(assignment) = &assignment {
                self.adapt(&members, assignment);
            }
            let facts: Vec<MemberFacts> = members
                .iter()
                .map(|member| self.member_facts(now, member, assignment.as_ref()))
                .collect();
            match decide_local(&facts, assignment.is_some()) {
                Step::Start(resource) => {
                    let since =
                        assignment.map_or_else(PlanNumber::default, |assignment| assignment.since);
                    self.start(now, &resource, since);
                }
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
        let policy = self
            .state
            .config
            .resources
            .get(resource)
            .map(|config| config.failure)
            .unwrap_or_default();
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
        let since = assignment.map(|assignment| assignment.since);
        let left = since.map_or(Micros::ZERO, |since| self.holder.left(resource, since, now));
        let leased = left > self.timing().stop_budget
            || (self.planted(Planted::RestartWithoutLease)
                && local.failures > 0
                && local.phase == Phase::Failed);
        let promised = self.state.plan.number >= self.promise_wanted;
        MemberFacts {
            resource: resource.clone(),
            phase: local.phase,
            outdated: local.phase.may_run()
                && !local.probing
                && since.is_some_and(|since| since != local.since),
            may_start: leased
                && promised
                && local.waits(now) == Micros::ZERO
                && !local.is_exhausted(now, &policy),
            may_stop: !local.probing && local.waits(now) == Micros::ZERO,
            to_stop: local.lease_ending,
        }
    }

    /// A changed configuration of what runs: addresses are changed live, a command is restarted.
    fn adapt(&mut self, members: &[ResourceId], assignment: &Assignment) {
        for resource in members {
            let Some(config) = self.state.config.resources.get(resource) else {
                continue;
            };
            let Some(local) = self.locals.get_mut(resource) else {
                continue;
            };
            if local.phase != Phase::Active || local.since != assignment.since {
                continue;
            }
            if local.kind.as_ref() == Some(&config.kind) {
                continue;
            }
            let live = matches!(config.kind, ResourceKind::Vip(_));
            let known = local.kind.replace(config.kind.clone()).is_some();
            if live {
                let kind = Box::new(config.kind.clone());
                self.out.push(Effect::Reconfigure {
                    resource: resource.clone(),
                    kind,
                });
            } else if known {
                local.lease_ending = true;
            }
        }
    }

    /// Every start, local restarts included, comes through here: lease and promise were checked just before.
    fn start(&mut self, now: Now, resource: &ResourceId, since: PlanNumber) {
        let Some(config) = self.state.config.resources.get(resource) else {
            return;
        };
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
        local.since = since;
        local.kind = Some(kind.clone());
        local.began = now;
        local.lease_ending = false;
        local.not_before = None;
        self.look = true;
        self.log(Level::Info, format!("{resource}: start under plan {since}"));
        let start = Start {
            resource: resource.clone(),
            kind,
            since,
            deadline,
        };
        self.out.push(Effect::Start(Box::new(start)));
    }

    fn stop(&mut self, now: Now, resource: &ResourceId) {
        let grace = match self
            .state
            .config
            .resources
            .get(resource)
            .map(|config| &config.kind)
        {
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
            Phase::Lapsed => Phase::Lapsed,
            Phase::Inactive
            | Phase::Starting
            | Phase::Active
            | Phase::Stopping
            | Phase::StopFailed
            | Phase::Failed => Phase::Stopping,
        };
        local.not_before = Some(standfast_model::time::WaitUntil {
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
            Changed::Restart => local.lease_ending = true,
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
        }
        if let (true, InstanceChange::Adopted { since, deadline }) = (probing, change) {
            let kept = Micros(deadline.saturating_sub(now.boot)).min(lease);
            let until = HoldUntil {
                from: now,
                length: kept,
            };
            self.holder.take(
                now,
                resource,
                Lease {
                    since: *since,
                    until,
                },
            );
            // A restart grant is over with the restart: from here on an ordinary lease is enough.
            self.out.push(Effect::Extend {
                resource: resource.clone(),
                deadline: until.boot_deadline(now),
            });
            self.log(
                Level::Info,
                format!("{resource}: found running, and taken over"),
            );
        }
        self.look = true;
    }

    pub(crate) fn on_link_health(&mut self, interface: String, problem: Option<String>) {
        match problem {
            Some(why) => self.sick_interfaces.insert(interface, why),
            None => self.sick_interfaces.remove(&interface),
        };
        self.look = true;
    }

    pub(crate) fn on_lease_grant(&mut self, now: Now, from: &NodeId, grant: &LeaseGrant) {
        let stale = self.planted(Planted::OldGeneration);
        if grant.term < self.consensus.term() && !stale {
            return;
        }
        if self
            .holder
            .leader
            .as_ref()
            .is_some_and(|(term, node)| *term == grant.term && node == from)
        {
            self.holder.leader_has_report = grant.report_version;
            self.holder.leader_heard = Some(now);
        }
        if PlanNumber::from(grant.plan) < self.promise_wanted && !stale {
            return;
        }
        let from_receipt = self.planted(Planted::LeaseFromReceipt).then_some(now);
        for (resource, lease) in self.holder.on_grant(now, grant, from_receipt) {
            self.take_lease(now, &resource, lease);
        }
    }

    fn take_lease(&mut self, now: Now, resource: &ResourceId, lease: Lease) {
        let Some(local) = self.locals.get(resource) else {
            return;
        };
        let running = local.phase.may_run();
        let over = self
            .holder
            .lease(resource)
            .is_some_and(|held| held.until.is_over(now));
        // A lease that lapsed under a running instance is not brought back: its guard has closed.
        if running && (over || local.since != lease.since) {
            return;
        }
        let assigned = crate::apply::assigned(&self.state.plan, resource)
            .is_some_and(|(owner, since)| owner == Some(&self.node) && since == lease.since);
        if !running && !assigned {
            return;
        }
        let phase = local.phase;
        if !self.holder.take(now, resource, lease) {
            return;
        }
        match phase {
            Phase::Starting | Phase::Active | Phase::Stopping => {
                let deadline = lease.until.boot_deadline(now);
                self.out.push(Effect::Extend {
                    resource: resource.clone(),
                    deadline,
                });
            }
            Phase::Inactive | Phase::Failed => self.look = true,
            Phase::StopFailed | Phase::Lapsed => {}
        }
    }

    /// What to ask a lease for: what the plan gives this node, and what it is still stopping. Never
    /// an instance whose lease lapsed and whose stop is not confirmed.
    fn wants(&self, now: Now) -> Vec<(ResourceId, PlanNumber)> {
        let mut wants = Vec::new();
        let ours = self
            .state
            .plan
            .groups
            .values()
            .filter(|given| given.node.as_ref() == Some(&self.node));
        for (resource, since) in
            ours.flat_map(|given| given.members.iter().map(|member| (member, given.since)))
        {
            if self
                .locals
                .get(resource)
                .is_some_and(|local| !local.phase.may_run())
            {
                wants.push((resource.clone(), since));
            }
        }
        for (resource, local) in &self.locals {
            let lapsed = self
                .holder
                .lease(resource)
                .is_none_or(|lease| lease.until.is_over(now))
                || matches!(local.phase, Phase::Lapsed | Phase::StopFailed);
            if local.phase.may_run() && (!lapsed || self.planted(Planted::LapsedAsksAgain)) {
                wants.push((resource.clone(), local.since));
            }
        }
        wants.sort();
        wants
    }

    /// Nothing is asked for before it is known what runs here, nor while this agent is about to end.
    fn may_not_ask(&self) -> bool {
        self.locals.values().any(|local| local.probing)
            || self.state.applied == 0
            || self.restart_asked.is_some()
    }

    fn ask_for_leases(&mut self, now: Now) {
        let Some((_, leader)) = self.holder.leader.clone() else {
            return;
        };
        if self.may_not_ask() {
            return;
        }
        let due = self
            .holder
            .last_sent
            .is_none_or(|at| now.held_since(at) >= self.timing().heartbeat);
        let wants = if due || self.holder.wants_stale {
            self.wants(now)
        } else {
            return;
        };
        self.holder.wants_stale = false;
        if !due && wants == self.holder.asked_for {
            return;
        }
        let request = LeaseRequest {
            sequence: self.holder.next_request(now),
            plan: self.state.plan.number.into(),
            wants: wants
                .iter()
                .map(|(resource, since)| Instance {
                    resource: resource.to_string(),
                    since: (*since).into(),
                })
                .collect(),
            report_version: self.report.version,
            applied: self.state.applied,
        };
        self.holder.asked_for = wants;
        self.send(&leader, Class::Datagram, Body::LeaseRequest(request));
    }

    /// Promises, on disk, to refuse older plans, as soon as a plan takes something away from this node.
    fn keep_promise(&mut self) {
        let plan = &self.state.plan;
        let due = self.state.may_hold.iter().any(|(resource, holders)| {
            let needs = release_needs(plan, resource);
            holders.contains(&self.node)
                && crate::apply::assigned(plan, resource)
                    .is_none_or(|(owner, _)| owner != Some(&self.node))
                && self.promise_wanted < needs
        });
        if due {
            let promise = plan.number;
            self.promise_wanted = promise;
            let effect = self.disk.write(
                Batch {
                    promise: Some(promise),
                    ..Batch::default()
                },
                None,
            );
            self.out.extend(effect);
        }
    }

    fn update_report(&mut self) {
        let instances: BTreeMap<_, _> = self
            .locals
            .iter()
            .filter(|(_, local)| local.phase != Phase::Inactive || local.failures > 0)
            .map(|(resource, local)| (resource.clone(), local.report()))
            .collect();
        let mut warnings: Vec<String> = self.notices.values().cloned().collect();
        if !self.disk.problem.is_empty() {
            warnings.push(format!(
                "cannot write to its state directory: {}",
                self.disk.problem
            ));
        }
        let report = NodeReport {
            incarnation: self.incarnation,
            version: self.report.version,
            promise: if self.planted(Planted::InactiveWithoutPromise) {
                PlanNumber {
                    term: u64::MAX,
                    generation: u64::MAX,
                }
            } else {
                self.promise
            },
            instances,
            guards: self.guards.clone(),
            sick_interfaces: self.sick_interfaces.clone(),
            interfaces: self.interfaces(),
            fsync: coarse(self.disk.took),
            stall: coarse(self.stall),
            warnings,
            program_version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        self.holder.wants_stale = true;
        if report != self.report || self.report.version == 0 {
            self.report = report;
            self.report.version += 1;
        }
    }

    /// Sends the report to the leader until the leader says that it has it.
    fn send_report(&mut self, now: Now) {
        let Some((_, leader)) = self.holder.leader.clone() else {
            return;
        };
        // A first report says that nothing runs here but what it names: not before that is known.
        if self.locals.values().any(|local| local.probing)
            || self.state.applied == 0
            || self.report.version == 0
        {
            return;
        }
        if self.holder.leader_has_report >= self.report.version {
            return;
        }
        let patience = Micros(self.timing().heartbeat.0.saturating_mul(2));
        let recently = self.report_sent.is_some_and(|(version, at)| {
            version == self.report.version && now.held_since(at) < patience
        });
        if recently {
            return;
        }
        self.report_sent = Some((self.report.version, now));
        if let Ok(json) = serde_json::to_vec(&self.report) {
            self.send(&leader, Class::Stream, Body::Report(Report { json }));
        }
    }

    /// The restart grant is in force: leases run on, and the agent may end.
    fn finish_restart(&mut self, now: Now) {
        let Some(asked) = self.restart_asked else {
            return;
        };
        let Some(grant) = self.state.restart_grants.get(&self.node) else {
            return;
        };
        if grant.incarnation != self.incarnation {
            return;
        }
        let until = HoldUntil {
            from: asked,
            length: grant.length,
        };
        let deadline = until.boot_deadline(now);
        let held: Vec<(ResourceId, PlanNumber)> = self
            .locals
            .iter()
            .filter(|(resource, local)| {
                matches!(local.phase, Phase::Active | Phase::Starting)
                    && self.holder.left(resource, local.since, now) > Micros::ZERO
            })
            .map(|(resource, local)| (resource.clone(), local.since))
            .collect();
        for (resource, since) in held {
            if self.holder.take(now, &resource, Lease { since, until }) {
                self.out.push(Effect::Extend { resource, deadline });
            }
        }
        if self
            .clients
            .restart_answered(&mut self.out, self.state.applied)
        {
            self.out.push(Effect::RestartReady { deadline });
        }
    }

    /// Address resources that may run on this node.
    pub(crate) fn address_resources(&self) -> Vec<(ResourceId, VipConfig)> {
        let witness = self
            .state
            .config
            .nodes
            .get(&self.node)
            .is_some_and(|node| node.witness);
        self.state
            .config
            .resources
            .iter()
            .filter_map(|(resource, config)| match &config.kind {
                ResourceKind::Vip(vip) if !witness => Some((resource.clone(), vip.clone())),
                ResourceKind::Vip(_) | ResourceKind::Process(_) => None,
            })
            .collect()
    }

    fn interfaces(&self) -> BTreeMap<ResourceId, String> {
        self.address_resources()
            .into_iter()
            .filter_map(|(resource, vip)| Some((resource, vip.interface?)))
            .collect()
    }
}

/// Rounded so that a report does not change with every measurement: to the next power of two milliseconds.
fn coarse(length: Micros) -> Micros {
    if length == Micros::ZERO {
        length
    } else {
        Micros::from_millis(length.as_millis_ceil().next_power_of_two())
    }
}
