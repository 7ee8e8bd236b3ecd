//! The driver's thread: carries out one order after the other and passes on what keepers and checks
//! say. It waits for nothing but its queue, except while an adoption waits for a keeper.

use crate::{
    check::{Checker, Found, Plan},
    driver::ProcessSettings,
    leases::Leases,
    running::{OnStatus, Running, Stage},
    spec,
};
use standfast_guard::{KeeperError, KeeperEvent, Keepers, StopRequest};
use standfast_model::{
    config::ProcessConfig, event::InstanceChange, id::ResourceId, plan::PlanNumber,
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender},
    },
    time::{Duration, Instant, SystemTime},
};

/// Besides grace and kill, a keeper may take so long until it confirms a stop: more than its own
/// limit, so that a keeper that answers says itself what is left.
const CONFIRM: Duration = Duration::from_millis(spec::CONFIRM_MS + 500);
/// A keeper that lives says at once how it is.
const ANSWER: Duration = Duration::from_millis(1000);
/// The checker tells that a start took too long; only when it cannot, the driver does.
const CHECKER_LATE: Duration = Duration::from_millis(500);

/// What the thread is told.
#[derive(Debug)]
pub(crate) enum Order {
    Start {
        resource: ResourceId,
        config: Box<ProcessConfig>,
        since: PlanNumber,
        deadline: u64,
    },
    Stop(ResourceId, Duration),
    Probe(ResourceId, Box<ProcessConfig>),
    Keeper(KeeperEvent),
    Found(ResourceId, u64, Found),
    End,
}

/// Where outcomes go.
pub(crate) type Tell = Box<dyn Fn(ResourceId, InstanceChange) + Send>;

/// The thread's state.
pub(crate) struct Worker {
    settings: ProcessSettings,
    keepers: Keepers,
    leases: Arc<Leases>,
    running: BTreeMap<ResourceId, Running>,
    orders: Sender<Order>,
    tell: Tell,
    serial: u64,
}

impl Worker {
    pub(crate) fn new(
        settings: ProcessSettings,
        orders: Sender<Order>,
        leases: Arc<Leases>,
        tell: Tell,
    ) -> std::io::Result<Self> {
        let from_keepers = orders.clone();
        let keepers = Keepers::new(settings.keeper.clone(), move |event| {
            drop(from_keepers.send(Order::Keeper(event)));
        })
        .map_err(std::io::Error::other)?;
        Ok(Self {
            settings,
            keepers,
            leases,
            running: BTreeMap::new(),
            orders,
            tell,
            serial: 0,
        })
    }

    /// Until the driver is dropped.
    pub(crate) fn run(mut self, queue: &Receiver<Order>) {
        loop {
            let next = self
                .running
                .values()
                .filter_map(|each| each.stage.until())
                .min();
            let order = match next {
                None => queue
                    .recv()
                    .map_err(|_closed| RecvTimeoutError::Disconnected),
                Some(at) => queue.recv_timeout(at.saturating_duration_since(Instant::now())),
            };
            match order {
                Ok(Order::Start {
                    resource,
                    config,
                    since,
                    deadline,
                }) => {
                    self.start(&resource, *config, since, deadline);
                }
                Ok(Order::Stop(resource, grace)) => self.stop(&resource, grace),
                Ok(Order::Probe(resource, config)) => self.probe(&resource, *config),
                Ok(Order::Keeper(event)) => self.on_keeper(&event),
                Ok(Order::Found(resource, serial, found)) => {
                    self.on_found(&resource, serial, found)
                }
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Order::End) | Err(RecvTimeoutError::Disconnected) => return,
            }
            self.on_time();
        }
    }

    fn tell(&self, resource: &ResourceId, change: InstanceChange) {
        (self.tell)(resource.clone(), change);
    }

    fn start(
        &mut self,
        resource: &ResourceId,
        config: ProcessConfig,
        since: PlanNumber,
        deadline: u64,
    ) {
        if let Some(running) = self.running.get(resource) {
            let same = running.since == since && running.config == config;
            match running.stage {
                Stage::Active if same => self.tell(resource, InstanceChange::Started),
                // Its answer is still to come.
                Stage::Starting(_) | Stage::Failing(_) if same => {}
                _ => self.refuse(resource, "an earlier run of it is not over yet"),
            }
            return;
        }
        let now = (Instant::now(), SystemTime::now());
        let until = now.0 + Duration::from_micros(config.start_timeout.0) + CHECKER_LATE;
        let spec = spec::keeper_spec(&self.settings, resource, &config, since);
        match self.keepers.spawn(&spec, deadline.saturating_mul(1000)) {
            Ok(handle) => {
                let mut running = Running::new(handle, config, Stage::Starting(until));
                running.started = Some(now);
                running.since = since;
                self.add(resource, running);
            }
            Err(error) => self.on_no_start(resource, &error),
        }
    }

    /// A keeper could not be started. Only when nothing at all is there has the start failed.
    fn on_no_start(&mut self, resource: &ResourceId, error: &KeeperError) {
        self.leases.release(resource);
        match error {
            KeeperError::Occupied(_) | KeeperError::Unresponsive(_) => {
                self.refuse(resource, &error.to_string());
            }
            KeeperError::NothingThere(_) | KeeperError::Invalid(_) => {
                self.tell(resource, InstanceChange::StartFailed(error.to_string()));
            }
            KeeperError::System { .. } => {
                match self.adopt_remains(resource, ProcessConfig::default()) {
                    Ok(()) => self.fail(resource, error.to_string()),
                    Err(KeeperError::NothingThere(_)) => {
                        self.tell(resource, InstanceChange::StartFailed(error.to_string()));
                    }
                    Err(_) => self.refuse(resource, &error.to_string()),
                }
            }
        }
    }

    /// It may be running, and nothing was done about it.
    fn refuse(&self, resource: &ResourceId, why: &str) {
        self.tell(resource, InstanceChange::StopFailed(why.to_owned()));
    }

    fn add(&mut self, resource: &ResourceId, mut running: Running) {
        self.serial += 1;
        running.serial = self.serial;
        self.leases.hold(resource, &running.handle);
        self.running.insert(resource.clone(), running);
    }

    /// Takes over what an earlier agent left, dead or alive; how it is comes from its keeper.
    fn adopt_remains(
        &mut self,
        resource: &ResourceId,
        config: ProcessConfig,
    ) -> Result<(), KeeperError> {
        let handle = self
            .keepers
            .adopt(&spec::run_dir(&self.settings, resource))?;
        let since = spec::since(handle.spec()).unwrap_or_default();
        let mut running = Running::new(handle, config, Stage::Probing(Instant::now() + ANSWER));
        running.since = since;
        self.add(resource, running);
        Ok(())
    }

    /// The same for a resource that is not known here. True when there is something.
    fn find(&mut self, resource: &ResourceId, config: ProcessConfig) -> bool {
        match self.adopt_remains(resource, config) {
            Ok(()) => return true,
            Err(KeeperError::NothingThere(_)) => self.tell(resource, InstanceChange::Stopped),
            Err(error) => self.refuse(resource, &error.to_string()),
        }
        false
    }

    fn stop(&mut self, resource: &ResourceId, grace: Duration) {
        if !self.running.contains_key(resource) && !self.find(resource, ProcessConfig::default()) {
            return;
        }
        let Some(running) = self.running.get_mut(resource) else {
            return;
        };
        running.checker = None;
        if running.stuck {
            running.stage = Stage::Unconfirmed;
            let why = running.why.clone();
            return self.refuse(resource, &why);
        }
        let until = Instant::now() + grace + CONFIRM;
        running.stage = match running.stage {
            // Repeated: the first one's time holds, or the outcome would never be told.
            Stage::Stopping(before) => Stage::Stopping(before.min(until)),
            Stage::Starting(_)
            | Stage::Active
            | Stage::Probing(_)
            | Stage::Failing(_)
            | Stage::Unconfirmed => Stage::Stopping(until),
        };
        let asked = if grace.is_zero() {
            running.handle.kill()
        } else {
            // What runs is stopped as it was configured when it was started.
            let signal = running.handle.spec().stop.signal;
            let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
            running.handle.stop(StopRequest { grace_ms, signal })
        };
        if let Err(error) = asked {
            tracing::debug!(%resource, %error, "the keeper cannot be told to stop");
        }
    }

    fn probe(&mut self, resource: &ResourceId, config: ProcessConfig) {
        let Some(running) = self.running.get_mut(resource) else {
            self.find(resource, config);
            return;
        };
        match running.stage {
            // Its answer is still to come.
            Stage::Probing(_) => {}
            Stage::Active => {
                let adopted = adopted(running);
                self.tell(resource, adopted);
            }
            // As after a restart of the agent in the middle of a start.
            Stage::Starting(_) if running.up => self.adopt(resource),
            Stage::Starting(_) => running.stage = Stage::Probing(Instant::now() + ANSWER),
            Stage::Unconfirmed if running.up && running.lease_holds() => self.adopt(resource),
            Stage::Unconfirmed => {
                let why = running.why.clone();
                self.refuse(resource, &why);
            }
            Stage::Stopping(until) | Stage::Failing(until) => {
                running.stage = Stage::Stopping(until);
                self.refuse(resource, "it is being ended");
            }
        }
    }

    fn on_keeper(&mut self, event: &KeeperEvent) {
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
        self.tell(resource, change);
        let Some(running) = self.running.remove(resource) else {
            return;
        };
        if let Some(handle) = Arc::into_inner(running.handle)
            && let Err(error) = handle.forget()
        {
            tracing::debug!(%resource, %error, "remains are left for the next start");
        }
    }

    fn adopt(&mut self, resource: &ResourceId) {
        let Some(running) = self.running.get_mut(resource) else {
            return;
        };
        running.stage = Stage::Active;
        let adopted = adopted(running);
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
            ready,
            ready_by: started + start_timeout,
            start_timeout,
            environment: spec::environment(&self.settings, resource, config),
            directory: config.directory.clone(),
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

    fn on_found(&mut self, resource: &ResourceId, serial: u64, found: Found) {
        let Some(running) = self.running.get_mut(resource) else {
            return;
        };
        if running.serial != serial {
            return;
        }
        let change = match (found, running.stage) {
            (Found::Ready, Stage::Starting(_)) => {
                running.stage = Stage::Active;
                InstanceChange::Started
            }
            (Found::NotReady(why), Stage::Starting(_)) => return self.fail(resource, why),
            (Found::Unhealthy(why), Stage::Active) => InstanceChange::Unhealthy(why),
            (Found::Healthy, Stage::Active) => InstanceChange::Healthy,
            (Found::Ready | Found::NotReady(_) | Found::Unhealthy(_) | Found::Healthy, _) => return,
        };
        self.tell(resource, change);
    }

    /// A start that has failed: told once nothing of it is left.
    fn fail(&mut self, resource: &ResourceId, why: String) {
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
    fn on_time(&mut self) {
        let now = Instant::now();
        let late = |running: &Running| running.stage.until().is_some_and(|until| until <= now);
        let late = self.running.iter().filter(|(_, running)| late(running));
        let late: Vec<ResourceId> = late.map(|(resource, _)| resource.clone()).collect();
        for resource in late {
            self.on_late(&resource);
        }
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

fn adopted(running: &Running) -> InstanceChange {
    InstanceChange::Adopted {
        since: running.since,
        deadline: running.deadline(),
    }
}
