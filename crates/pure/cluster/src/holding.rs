//! This node as a holder: it asks for leases, takes grants, and watches how long they last.
//!
//! Level-triggered: everything here is derived from the plan in force and the facts, again and again.
//! Not for what runs under a lease (`running`).

use crate::{apply::assigned, core::Core, hold::Lease};
use standfast_model::{
    effect::{Class, Effect, Level},
    id::{NodeId, ResourceId},
    message::{Body, Instance, LeaseGrant, LeaseRequest},
    plan::PlanNumber,
    planted::Planted,
    state::Phase,
    time::{HoldUntil, Micros, Now},
};

impl Core {
    /// Everything that a holder does without being asked.
    pub(crate) fn hold_on(&mut self, now: Now) {
        if self.holder.to_compare && self.is_in_step(now) {
            self.holder.to_compare = false;
            self.look = true;
        }
        let quiet = !self.look
            && self
                .local_due
                .is_some_and(|(at, left)| now.held_since(at) < left);
        if !quiet {
            self.local_due = None;
            self.watch_leases(now);
            for local in self.locals.values_mut() {
                self.look |= local.end_wait(now);
            }
            if self.stalls.forgotten_in(now) == Micros::ZERO {
                self.stalls.forget(now);
                self.look = true;
            }
        }
        if !quiet && (self.look || self.next_local(now) == Micros::ZERO) {
            self.look = false;
            self.learn_resources(now);
            self.holder.learned |=
                self.state.applied > 0 && self.locals.values().all(|local| !local.probing);
            self.drive(now);
            self.keep_promise();
            self.update_report();
        }
        self.restart_when_asked(now);
        self.finish_restart(now);
        self.finish_leaving(now);
        self.send_report(now);
        self.ask_for_leases(now);
        if self.local_due.is_none() {
            self.local_due = Some((now, self.next_local(now)));
        }
    }

    /// How long until a holder has something to do.
    pub(crate) fn next_holding(&self, now: Now) -> Micros {
        let silent = self.may_not_ask();
        let request = match (&self.holder.leader, self.holder.last_sent) {
            (Some(_), _) if silent => Micros::MAX,
            (None, _) => Micros::MAX,
            (Some(_), None) => Micros::ZERO,
            (Some(_), Some(at)) => self.patience().minus(now.held_since(at)),
        };
        let local = match self.local_due {
            Some((at, left)) => left.minus(now.held_since(at)),
            None => self.next_local(now),
        };
        request.min(local)
    }

    /// How long until a lease runs out or a delay is over; zero when something is due.
    fn next_local(&self, now: Now) -> Micros {
        let budget = self.timing().stop_budget;
        let mut next = self.stalls.forgotten_in(now);
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
        let (mut lapsed, mut ends) = (Vec::new(), false);
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
                ends |= !local.lease_ending;
                local.lease_ending = true;
                lapsed.push(resource.clone());
                self.look = true;
            } else if left <= budget && !local.lease_ending {
                ends = true;
                local.lease_ending = true;
                self.look = true;
            }
        }
        if ends {
            self.lapsed_ms = self.wall_ms(now);
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
            let asked = self.holder.sent_at(grant.sequence);
            self.fencing.answered = asked.or(self.fencing.answered);
            self.fencing.leader_commit = self.fencing.leader_commit.max(Some(grant.commit));
        }
        if PlanNumber::from(grant.plan) < self.promise_wanted && !stale {
            return;
        }
        let from_receipt = self.planted(Planted::LeaseFromReceipt).then_some(now);
        for (resource, mut lease) in self.holder.on_grant(now, grant, from_receipt) {
            lease.until = lease.until.counted_from(now);
            self.take_lease(now, &resource, lease);
        }
    }

    fn take_lease(&mut self, now: Now, resource: &ResourceId, lease: Lease) {
        let Some(local) = self.locals.get_mut(resource) else {
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
        // Nor is the guard of what could not be stopped moved: its lease is the one that the guard has.
        if matches!(local.phase, Phase::Lapsed | Phase::StopFailed) {
            return;
        }
        let assigned = assigned(&self.state.plan, resource)
            .is_some_and(|(owner, since)| owner == Some(&self.node) && since == lease.since);
        if !running && !assigned {
            return;
        }
        let phase = local.phase;
        if local.on_restart_grant && self.restart_asked.is_none() {
            // A restart grant is over with the restart: from here on an ordinary lease is enough.
            local.on_restart_grant = false;
            self.holder.replace(resource, lease);
            self.look = true;
        } else if !self.holder.take(now, resource, lease) {
            return;
        }
        self.local_due = None;
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
        if !self.pair_holds() {
            return wants;
        }
        let ours = self
            .state
            .plan
            .groups
            .values()
            .filter(|given| given.node.as_ref() == Some(&self.node));
        let given = ours.flat_map(|given| {
            let members = given.members.iter();
            members.map(|member| (member, given.since_of(member)))
        });
        for (resource, since) in given {
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
    /// Until its restart is granted it goes on as ever: the word may have been lost on the way.
    fn may_not_ask(&self) -> bool {
        let granted = self.state.restart_grants.get(&self.node);
        let ending = self.restart_asked.is_some()
            && granted.is_some_and(|grant| self.clients.restart_index == Some(grant.index));
        !self.holder.learned || self.state.applied == 0 || ending
    }

    /// How long after a request the next one follows by itself. A request answers the leader's round, so
    /// that both travel together and everybody wakes up once for both; only when that round is late
    /// does it not wait any longer.
    fn patience(&self) -> Micros {
        let heartbeat = self.timing().heartbeat;
        Micros(heartbeat.0.saturating_add(heartbeat.0 / 16))
    }

    fn request_is_due(&self, now: Now) -> bool {
        let Some(at) = self.holder.last_sent else {
            return true;
        };
        let since = now.held_since(at);
        let answers_round = self.holder.leader_heard == Some(now);
        since >= self.patience() || (answers_round && since.0 >= self.timing().heartbeat.0 / 2)
    }

    fn ask_for_leases(&mut self, now: Now) {
        let Some((_, leader)) = self.holder.leader.clone() else {
            return;
        };
        if self.may_not_ask() {
            return;
        }
        let due = self.request_is_due(now);
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
            heard_term: self.holder.round_heard.0,
            heard_round: self.holder.round_heard.1,
        };
        self.holder.asked_for = wants;
        self.send(&leader, Class::Datagram, Body::LeaseRequest(request));
    }

    /// The restart grant is in force: leases run on, and the agent may end.
    fn finish_restart(&mut self, now: Now) {
        let Some(asked) = self.restart_asked else {
            return;
        };
        let Some(grant) = self.state.restart_grants.get(&self.node) else {
            return;
        };
        if grant.incarnation != self.incarnation || self.clients.restart_index != Some(grant.index)
        {
            return;
        }
        let until = HoldUntil {
            from: asked,
            length: grant.length,
        };
        // What was granted too late for the next run to take over is not used; this run goes on.
        if until.left(now).0 < grant.length.0 / 2 && self.clients.restart_late(&mut self.out) {
            self.restart_asked = None;
            return;
        }
        if self.peer_lacks(grant.index) {
            return;
        }
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
                self.local_due = None;
                self.out.push(Effect::Extend { resource, deadline });
            }
        }
        if self.clients.restart_answered(&mut self.out, grant.index) {
            self.out.push(Effect::RestartReady { deadline });
        }
    }
}
