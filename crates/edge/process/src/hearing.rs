//! What the driver's thread hears: words of keepers and checks, and silence where a word was due. Not
//! for orders (`worker`), nor for what a keeper's word means at which stage (`running`).

use crate::{
    check::{Checker, Found, Plan},
    running::{OnStatus, Running, Stage},
    secret, spec,
    worker::{CONFIRM, Order, Worker, adopted},
};
use standfast_guard::KeeperEvent;
use standfast_model::{event::InstanceChange, id::ResourceId};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

impl Worker {
    pub(crate) fn on_keeper(&mut self, event: &KeeperEvent) {
        let resource = ResourceId::from(event.name.as_str());
        let Some(running) = self.running.get_mut(&resource) else {
            return;
        };
        match running.on_status(&event.status) {
            OnStatus::Nothing => {}
            OnStatus::CheckReadiness => self.check(&resource, false),
            OnStatus::Adopt => self.adopt(&resource),
            OnStatus::Tell(change) => self.tell(&resource, change),
            OnStatus::Over(change) => self.finish(&resource, change),
        }
    }

    /// Nothing of it is left: tells it, and takes the remains away, so that the next start finds a
    /// clean place.
    fn finish(&mut self, resource: &ResourceId, change: InstanceChange) {
        self.leases.release(resource);
        let Some(running) = self.running.remove(resource) else {
            return;
        };
        self.end_roles(resource, &change);
        if running.leaves_something() {
            self.undo(resource, &running, change);
        } else {
            self.tell(resource, change);
        }
        if let Some(handle) = Arc::into_inner(running.handle)
            && let Err(error) = handle.forget()
        {
            tracing::debug!(%resource, %error, "remains are left for the next start");
        }
    }

    pub(crate) fn adopt(&mut self, resource: &ResourceId) {
        let Some(running) = self.running.get_mut(resource) else {
            return;
        };
        running.stage = Stage::Active;
        let adopted = adopted(running);
        let run_dir = running.handle.spec().run_dir.clone();
        if running.config.is_promotable() {
            // Before anybody extends its lease or looks for its score.
            self.adopt_role(resource, &run_dir);
            let score = standfast_ocf::score(&run_dir);
            self.tell(resource, InstanceChange::Promotion(score));
        }
        self.tell(resource, adopted);
        self.check(resource, true);
    }

    /// Starts the checks of a process that runs.
    fn check(&mut self, resource: &ResourceId, ready: bool) {
        let Some(running) = self.running.get_mut(resource) else {
            return;
        };
        let config = &running.config;
        let start_timeout = Duration::from_micros(config.start_timeout.0);
        let started = running
            .started
            .map_or_else(Instant::now, |(started, _)| started);
        let plan = Plan {
            readiness: config.readiness.clone(),
            health: config.health.clone(),
            deep: config
                .agent
                .as_ref()
                .map_or_else(Vec::new, |agent| agent.monitors.clone()),
            ready,
            ready_by: started + start_timeout,
            start_timeout,
            environment: spec::environment_of_checks(running.handle.spec()),
            directory: config.directory.clone(),
            run_dir: running.handle.spec().run_dir.clone(),
            promoted_interval: config
                .agent
                .as_ref()
                .filter(|_| config.is_promotable())
                .map(|agent| agent.promoted_interval),
            user: config.user.clone(),
        };
        let (orders, name, serial) = (self.orders.clone(), resource.clone(), running.serial);
        let tell = move |found| drop(orders.send(Order::Found(name.clone(), serial, found)));
        match Checker::start(plan, tell) {
            Ok(checker) => running.checker = Some(checker),
            Err(error) if ready => tracing::error!(%resource, %error, "its health is not checked"),
            Err(error) => self.fail(resource, format!("cannot start the checks: {error}")),
        }
    }

    pub(crate) fn on_found(&mut self, resource: &ResourceId, serial: u64, found: Found) {
        let demoted = self.is_being_demoted(resource);
        let Some(running) = self.running.get_mut(resource) else {
            return;
        };
        if running.serial != serial {
            return;
        }
        if found == Found::Asked {
            // One that is being stopped is demoted by that: its role has not been lost.
            let stops = matches!(running.stage, Stage::Stopping(_) | Stage::Failing(_));
            if !stops {
                self.on_asked(resource);
            }
            return;
        }
        let change = match (found, running.stage) {
            (Found::Ready, Stage::Starting(_)) => {
                running.stage = Stage::Active;
                InstanceChange::Started
            }
            (Found::NotReady(why), Stage::Starting(_)) => return self.fail(resource, why),
            (Found::Unhealthy(_), Stage::Active) if demoted => return,
            (Found::Unhealthy(why), Stage::Active) => {
                InstanceChange::Unhealthy(secret::hide(running, &why))
            }
            (Found::Healthy, Stage::Active) => InstanceChange::Healthy,
            (
                Found::Ready
                | Found::NotReady(_)
                | Found::Unhealthy(_)
                | Found::Healthy
                | Found::Asked,
                _,
            ) => return,
        };
        self.tell(resource, change);
    }

    /// A start that has failed: told once nothing of it is left.
    pub(crate) fn fail(&mut self, resource: &ResourceId, why: String) {
        let Some(running) = self.running.get_mut(resource) else {
            return;
        };
        running.checker = None;
        running.stage = Stage::Failing(Instant::now() + CONFIRM);
        running.why = why;
        if let Err(error) = running.handle.kill() {
            tracing::debug!(%resource, %error, "the keeper cannot be told to kill");
        }
    }

    /// Says what has to be said of those that were not heard of in time.
    pub(crate) fn on_time(&mut self) {
        let now = Instant::now();
        let late = |running: &Running| running.stage.until().is_some_and(|until| until <= now);
        let late = self.running.iter().filter(|(_, running)| late(running));
        let late: Vec<ResourceId> = late.map(|(resource, _)| resource.clone()).collect();
        for resource in late {
            self.on_late(&resource);
        }
        self.on_late_roles(now);
    }

    fn on_late(&mut self, resource: &ResourceId) {
        let Some(running) = self.running.get_mut(resource) else {
            return;
        };
        match running.stage {
            Stage::Active | Stage::Unconfirmed => return,
            Stage::Starting(_) => {
                let limit = running.config.start_timeout.as_millis_ceil();
                return self.fail(resource, format!("not ready within {limit} ms"));
            }
            Stage::Probing(_) => "its keeper does not answer".clone_into(&mut running.why),
            Stage::Stopping(_) | Stage::Failing(_) => {
                "the stop was not confirmed in time: its keeper does not answer"
                    .clone_into(&mut running.why);
                // By force: the lease is closed, and what the keeper holds dies with it.
                drop(running.handle.kill());
                if let Err(error) = running.handle.kill_keeper() {
                    tracing::warn!(%resource, %error, "its keeper cannot be killed");
                }
            }
        }
        running.stage = Stage::Unconfirmed;
        let why = running.why.clone();
        self.refuse(resource, &why);
    }
}
