//! The driver's thread: carries out one order after the other. What keepers and checks say is the
//! business of `hearing`. It waits for nothing but its queue, except while an adoption waits for a keeper.

use crate::{
    check::Found,
    driver::ProcessSettings,
    leases::Leases,
    remains::{Outcome, Remains},
    roles::Role,
    running::{Running, Stage},
    spec,
};
use standfast_guard::{KeeperError, KeeperEvent, Keepers, StopRequest};
use standfast_model::{
    agent::NOT_INSTALLED, config::ProcessConfig, copies::is_role, event::InstanceChange,
    id::ResourceId, plan::PlanNumber,
};
use standfast_ocf::{Done, Refusal, Task};
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
pub(crate) const CONFIRM: Duration = Duration::from_millis(spec::CONFIRM_MS + 500);
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
    Reconfigure(ResourceId, Box<ProcessConfig>),
    Reloaded(ResourceId, u64, Result<Done, Refusal>),
    Keeper(KeeperEvent),
    Found(ResourceId, u64, Found),
    Said(ResourceId, u64, Result<(), Refusal>),
    Called(ResourceId, Outcome),
    End,
}

/// Where outcomes go.
pub(crate) type Tell = Box<dyn Fn(ResourceId, InstanceChange) + Send>;

/// The thread's state.
pub(crate) struct Worker {
    pub(crate) settings: ProcessSettings,
    keepers: Keepers,
    pub(crate) leases: Arc<Leases>,
    pub(crate) running: BTreeMap<ResourceId, Running>,
    /// Promoted roles of copies that run here, as far as something is known of them.
    pub(crate) roles: BTreeMap<ResourceId, Role>,
    /// What may be there still although no keeper holds it.
    pub(crate) remains: BTreeMap<ResourceId, Remains>,
    pub(crate) orders: Sender<Order>,
    tell: Tell,
    pub(crate) serial: u64,
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
            roles: BTreeMap::new(),
            remains: BTreeMap::new(),
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
                .chain(self.roles.values().filter_map(Role::until))
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
                }) if is_role(resource.as_str()) => {
                    self.promote(&resource, *config, since, deadline);
                }
                Ok(Order::Start {
                    resource,
                    config,
                    since,
                    deadline,
                }) => {
                    self.start(&resource, *config, since, deadline);
                }
                Ok(Order::Said(role, serial, said)) => self.on_said(&role, serial, said),
                Ok(Order::Stop(role, grace)) if is_role(role.as_str()) => self.demote(&role, grace),
                Ok(Order::Probe(role, config)) if is_role(role.as_str()) => {
                    self.probe_role(&role, *config);
                }
                Ok(Order::Stop(resource, grace)) => self.stop(&resource, grace),
                Ok(Order::Probe(resource, config)) => self.probe(&resource, *config),
                Ok(Order::Reconfigure(resource, config)) => self.reconfigure(&resource, *config),
                Ok(Order::Reloaded(resource, serial, said)) => {
                    self.on_reloaded(&resource, serial, said);
                }
                Ok(Order::Keeper(event)) => self.on_keeper(&event),
                Ok(Order::Found(resource, serial, found)) => {
                    self.on_found(&resource, serial, found)
                }
                Ok(Order::Called(resource, outcome)) => self.on_called(&resource, outcome),
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Order::End) | Err(RecvTimeoutError::Disconnected) => return,
            }
            self.on_time();
        }
    }

    pub(crate) fn tell(&self, resource: &ResourceId, change: InstanceChange) {
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
        if self.remains.contains_key(resource) {
            self.leases.release(resource);
            return self.refuse(resource, "its last run is not known to be stopped");
        }
        let now = (Instant::now(), SystemTime::now());
        let until = now.0 + Duration::from_micros(config.start_timeout.0) + CHECKER_LATE;
        let program = match spec::program(&self.settings, &config) {
            Ok(program) => program,
            Err(why) => {
                self.leases.release(resource);
                let code = NOT_INSTALLED;
                return self.tell(resource, InstanceChange::AgentFailed { code, why });
            }
        };
        let spec = match spec::keeper_spec(&self.settings, resource, &config, since, program) {
            Ok(spec) => spec,
            Err(why) => return self.on_no_start(resource, &KeeperError::Invalid(why)),
        };
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
    pub(crate) fn refuse(&self, resource: &ResourceId, why: &str) {
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
        let outlives = config.outlives().then(|| config.clone());
        match self.adopt_remains(resource, config) {
            Ok(()) => return true,
            Err(KeeperError::NothingThere(_))
                if outlives.is_some_and(|config| self.look_for(resource, &config)) => {}
            Err(KeeperError::NothingThere(_)) => self.tell(resource, InstanceChange::Stopped),
            Err(error) => self.refuse(resource, &error.to_string()),
        }
        false
    }

    fn stop(&mut self, resource: &ResourceId, grace: Duration) {
        if self.end_remains(resource, Task::End) {
            return;
        }
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
        if self.end_remains(resource, Task::Look) {
            return;
        }
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
}

pub(crate) fn adopted(running: &Running) -> InstanceChange {
    InstanceChange::Adopted {
        since: running.since,
        deadline: running.deadline(),
    }
}
