//! What this node tells the leader: its report, and the durable promise that makes "not running" a release.
//!
//! Not for what is done with a report (`leading`, `apply`).

use crate::{
    apply::{assigned, release_needs},
    core::Core,
    stalls::coarse,
};
use standfast_model::{
    config::{ResourceConfig, ResourceKind, VipConfig},
    effect::{Batch, Class},
    guards::GuardSupport,
    id::ResourceId,
    message::{Body, Report},
    plan::PlanNumber,
    planted::Planted,
    state::{NodeReport, Phase},
    time::{Micros, Now},
};
use std::{collections::BTreeMap, net::IpAddr};

/// Addresses that were handed to the edges last.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    pub(crate) vips: Vec<(ResourceId, VipConfig)>,
    /// Those that agents put on interfaces.
    pub(crate) of_agents: Vec<(ResourceId, IpAddr)>,
}

impl Core {
    /// Promises, on disk, to refuse older plans, as soon as a plan takes something away from this node.
    pub(crate) fn keep_promise(&mut self) {
        let plan = &self.state.plan;
        let due = self.state.may_hold.iter().any(|(resource, holders)| {
            let needs = release_needs(plan, resource);
            holders.contains(&self.node)
                && assigned(plan, resource).is_none_or(|(owner, _)| owner != Some(&self.node))
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

    /// The disk has a promise.
    pub(crate) fn promise_kept(&mut self, promise: PlanNumber) {
        self.promise = self.promise.max(promise);
        // What was given up is released by the report that says so, and nothing else may be going to happen here.
        self.look = true;
    }

    pub(crate) fn wall_ms(&self, now: Now) -> u64 {
        now.boot.saturating_add(self.wall_offset) / 1000
    }

    /// What this machine's kernel offers has changed: it is told.
    pub(crate) fn on_guards(&mut self, guards: GuardSupport) {
        self.guards = guards;
        self.look = true;
    }

    pub(crate) fn update_report(&mut self) {
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
        let (stall, lease) = (self.stalls.longest(), self.timing().lease);
        if stall.0.saturating_mul(2) >= lease.0 {
            warnings.push(format!(
                "its agent stood still for up to {} ms within the last 10 minutes, and a lease lasts {} ms: the machine \
                 is overloaded, or was paused from outside",
                stall.as_millis_ceil(),
                lease.as_millis_ceil()
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
            restart: self.restart_done(),
            guards: self.guards.clone(),
            sick_interfaces: self.sick_interfaces.clone(),
            interfaces: self.interfaces(),
            fsync: steady(self.report.fsync, coarse(self.disk.took)),
            stall: self.stalls.longest(),
            warnings,
            program_version: self.version(),
            feature_level: self.level,
            certificate: self.certificate.clone(),
            lapsed_ms: self.lapsed_ms,
        };
        self.holder.wants_stale = true;
        if report != self.report || self.report.version == 0 {
            self.report = report;
            self.report.version += 1;
        }
    }

    /// Index of the restart grant that this run needs no more: nothing here rests on it.
    fn restart_done(&self) -> u64 {
        let rests = self.locals.values().any(|local| local.on_restart_grant);
        let grant = self.state.restart_grants.get(&self.node);
        grant.filter(|_| !rests).map_or(0, |grant| grant.index)
    }

    /// Sends the report to the leader until the leader says that it has it.
    pub(crate) fn send_report(&mut self, now: Now) {
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

    /// Addresses that agents put on interfaces, and a guard silences. A witness never has one.
    pub(crate) fn addresses_of_agents(&self) -> Vec<(ResourceId, IpAddr)> {
        let silenced = |(resource, config): (&ResourceId, &ResourceConfig)| match &config.kind {
            ResourceKind::Process(process) => Some((resource.clone(), process.silenced_address()?)),
            ResourceKind::Vip(_) => None,
        };
        let resources = self.state.config.resources.iter();
        resources
            .filter(|_| !self.is_witness())
            .filter_map(silenced)
            .collect()
    }

    fn is_witness(&self) -> bool {
        let nodes = &self.state.config.nodes;
        nodes.get(&self.node).is_some_and(|node| node.witness)
    }

    /// Address resources that may run on this node.
    pub(crate) fn address_resources(&self) -> Vec<(ResourceId, VipConfig)> {
        let witness = self.is_witness();
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

/// What is reported changes only when it has become longer, or is less than half of what was reported: each
/// report in the log is a write on every disk, and a figure that goes to and fro for that would never end.
fn steady(reported: Micros, measured: Micros) -> Micros {
    if measured > reported || measured.0 < reported.0 / 2 {
        measured
    } else {
        reported
    }
}
