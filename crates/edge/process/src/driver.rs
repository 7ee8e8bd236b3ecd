//! The driver: orders in, outcomes out, on one thread. Extending a lease does not go through the
//! thread: it is one store, made by whoever calls.

use crate::{
    check::{Checker, Found, Plan},
    running::{OnStatus, Running, Stage},
    spec,
};
use standfast_guard::{KeeperError, KeeperEvent, KeeperHandle, KeeperProgram, Keepers, LeaseState, StopRequest};
use standfast_model::{
    config::ProcessConfig, event::InstanceChange, id::ResourceId, plan::PlanNumber, time::Micros,
};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread,
    time::{Duration, Instant},
};

/// Besides grace and kill, a keeper may take so long until it confirms a stop.
const CONFIRM: Duration = Duration::from_millis(1500);

/// Where and how processes run on this node.
#[derive(Clone, Debug)]
pub struct ProcessSettings {
    /// Folder of the keepers' run folders, on tmpfs.
    pub run_dir: PathBuf,
    /// Folder of the kept output.
    pub output_dir: PathBuf,
    /// Folder inside the cgroup2 hierarchy under which resources get their own group.
    pub cgroup_parent: PathBuf,
    /// This node's name, told to every process as `STANDFAST_NODE`.
    pub node: String,
    /// Whether the network guard is attached.
    pub network_guard: bool,
    /// How a keeper is executed.
    pub keeper: KeeperProgram,
}

type Handles = Arc<Mutex<BTreeMap<ResourceId, Arc<KeeperHandle>>>>;

/// The driver.
#[derive(Debug)]
pub struct ProcessDriver {
    orders: Sender<Order>,
    handles: Handles,
}

#[derive(Debug)]
enum Order {
    Start(ResourceId, Box<ProcessConfig>, PlanNumber, u64),
    Stop(ResourceId, Duration),
    Probe(ResourceId, Box<ProcessConfig>),
    Keeper(KeeperEvent),
    Found(ResourceId, u64, Found),
}

impl ProcessDriver {
    /// Starts the driver's thread. `tell` is called on it and must not block.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn new(
        settings: ProcessSettings,
        tell: impl Fn(ResourceId, InstanceChange) + Send + 'static,
    ) -> std::io::Result<Self> {
        let (orders, queue) = channel();
        let from_keepers = orders.clone();
        let keepers = Keepers::new(settings.keeper.clone(), move |event| {
            drop(from_keepers.send(Order::Keeper(event)));
        })
        .map_err(std::io::Error::other)?;
        let handles = Handles::default();
        let worker = Worker {
            settings,
            keepers,
            handles: Arc::clone(&handles),
            running: BTreeMap::new(),
            orders: orders.clone(),
            tell: Box::new(tell),
            serial: 0,
        };
        thread::Builder::new().name("processes".to_owned()).spawn(move || worker.run(&queue))?;
        Ok(Self { orders, handles })
    }

    /// Starts a resource under guards that end it at `deadline` (`CLOCK_BOOTTIME` microseconds).
    /// Answered by `Started` or `StartFailed`. What runs already under the same plan is left alone.
    pub fn start(&self, resource: &ResourceId, config: &ProcessConfig, since: PlanNumber, deadline: u64) {
        self.order(Order::Start(resource.clone(), Box::new(config.clone()), since, deadline));
    }

    /// Moves the guards' deadline, later or (after an adoption) earlier. One store. Guards that have
    /// closed stay closed.
    pub fn extend(&self, resource: &ResourceId, deadline: u64) {
        let handle = lock(&self.handles).get(resource).cloned();
        let Some(handle) = handle else { return };
        let deadline = deadline.saturating_mul(1000);
        match handle.lease() {
            LeaseState::Until(present) if present > deadline => {
                if let Err(error) = handle.shorten(deadline) {
                    tracing::warn!(%resource, %error, "cannot shorten the lease");
                }
            }
            LeaseState::Unset | LeaseState::Until(_) | LeaseState::Closed => {
                if let Err(error) = handle.extend(deadline) {
                    tracing::debug!(%resource, %error, "not extended");
                }
            }
        }
    }

    /// Stops it, gracefully for so long, then by force. Answered by `Stopped` or `StopFailed`.
    pub fn stop(&self, resource: &ResourceId, grace: Micros) {
        self.order(Order::Stop(resource.clone(), Duration::from_micros(grace.0)));
    }

    /// Finds out whether it runs here, started by an earlier agent. Answered by `Adopted`, `Stopped`
    /// or `StopFailed`.
    pub fn probe(&self, resource: &ResourceId, config: &ProcessConfig) {
        self.order(Order::Probe(resource.clone(), Box::new(config.clone())));
    }

    fn order(&self, order: Order) {
        // The thread lives as long as this handle does.
        drop(self.orders.send(order));
    }
}

fn lock(handles: &Handles) -> MutexGuard<'_, BTreeMap<ResourceId, Arc<KeeperHandle>>> {
    handles.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Worker {
    settings: ProcessSettings,
    keepers: Keepers,
    handles: Handles,
    running: BTreeMap<ResourceId, Running>,
    orders: Sender<Order>,
    tell: Box<dyn Fn(ResourceId, InstanceChange) + Send>,
    serial: u64,
}

impl Worker {
    fn run(mut self, queue: &Receiver<Order>) {
        loop {
            let order = match self.next_deadline() {
                None => queue.recv().map_err(|_closed| RecvTimeoutError::Disconnected),
                Some(at) => queue.recv_timeout(at.saturating_duration_since(Instant::now())),
            };
            match order {
                Ok(Order::Start(resource, config, since, deadline)) => self.start(resource, *config, since, deadline),
                Ok(Order::Stop(resource, grace)) => self.stop(resource, grace),
                Ok(Order::Probe(resource, config)) => self.probe(resource, *config),
                Ok(Order::Keeper(event)) => self.on_keeper(&event),
                Ok(Order::Found(resource, serial, found)) => self.on_found(resource, serial, found),
                Err(RecvTimeoutError::Timeout) => self.on_late(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn tell(&self, resource: &ResourceId, change: InstanceChange) {
        (self.tell)(resource.clone(), change);
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.running
            .values()
            .filter_map(|running| match running.stage {
                Stage::Stopping(until) => Some(until),
                Stage::Starting | Stage::Active | Stage::Probing | Stage::Failing => None,
            })
            .min()
    }

    fn start(&mut self, resource: ResourceId, config: ProcessConfig, since: PlanNumber, deadline: u64) {
        if let Some(running) = self.running.get(&resource) {
            let same = running.since == since && running.config == config;
            match running.stage {
                Stage::Active if same => self.tell(&resource, InstanceChange::Started),
                Stage::Starting if same => {}
                Stage::Starting | Stage::Active | Stage::Probing | Stage::Stopping(_) | Stage::Failing => {
                    let why = "an earlier run of it is not over yet".to_owned();
                    self.tell(&resource, InstanceChange::StartFailed(why));
                }
            }
            return;
        }
        let spec = spec::keeper_spec(&self.settings, &resource, &config, since);
        match self.keepers.spawn(&spec, deadline.saturating_mul(1000)) {
            Ok(handle) => self.add(resource, handle, config, since, Stage::Starting),
            Err(error) => self.tell(&resource, InstanceChange::StartFailed(error.to_string())),
        }
    }

    fn add(
        &mut self,
        resource: ResourceId,
        handle: KeeperHandle,
        config: ProcessConfig,
        since: PlanNumber,
        stage: Stage,
    ) {
        self.serial += 1;
        let handle = Arc::new(handle);
        lock(&self.handles).insert(resource.clone(), Arc::clone(&handle));
        let failure = String::new();
        let running = Running { handle, config, since, stage, checker: None, serial: self.serial, failure };
        self.running.insert(resource, running);
    }

    fn stop(&mut self, resource: ResourceId, grace: Duration) {
        let Some(running) = self.running.get_mut(&resource) else {
            // Nothing known here: whatever an earlier agent left is looked for before that is said.
            self.probe_then_stop(resource);
            return;
        };
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        running.checker = None;
        running.stage = Stage::Stopping(Instant::now() + grace + CONFIRM);
        let asked = if grace.is_zero() {
            running.handle.kill()
        } else {
            running.handle.stop(StopRequest { grace_ms, signal: running.config.stop_signal })
        };
        if let Err(error) = asked {
            tracing::warn!(%resource, %error, "the keeper cannot be told; its deadline ends the resource");
        }
    }

    fn probe_then_stop(&mut self, resource: ResourceId) {
        match self.keepers.adopt(&spec::run_dir(&self.settings, &resource)) {
            Ok(handle) => {
                self.add(resource.clone(), handle, ProcessConfig::default(), PlanNumber::default(), Stage::Probing);
                self.stop(resource, Duration::ZERO);
            }
            Err(KeeperError::NothingThere(_)) => self.tell(&resource, InstanceChange::Stopped),
            Err(error) => self.tell(&resource, InstanceChange::StopFailed(error.to_string())),
        }
    }

    fn probe(&mut self, resource: ResourceId, config: ProcessConfig) {
        if self.running.contains_key(&resource) {
            return;
        }
        match self.keepers.adopt(&spec::run_dir(&self.settings, &resource)) {
            Ok(handle) => {
                let since = spec::since(handle.spec()).unwrap_or_default();
                self.add(resource, handle, config, since, Stage::Probing);
            }
            Err(KeeperError::NothingThere(_)) => self.tell(&resource, InstanceChange::Stopped),
            Err(error) => self.tell(&resource, InstanceChange::StopFailed(error.to_string())),
        }
    }

    fn on_keeper(&mut self, event: &KeeperEvent) {
        let resource = ResourceId::from(event.name.as_str());
        let Some(running) = self.running.get_mut(&resource) else { return };
        match running.on_status(&event.status) {
            OnStatus::Nothing => {}
            OnStatus::CheckReadiness => self.check(&resource, false),
            OnStatus::Adopt => self.adopt(&resource),
            OnStatus::Over(change) => {
                lock(&self.handles).remove(&resource);
                self.tell(&resource, change);
                self.forget(&resource);
            }
            OnStatus::Stuck(left) => {
                self.tell(&resource, InstanceChange::StopFailed(format!("killed, but still there: {left}")));
            }
        }
    }

    /// Takes the remains away, so that the next start finds a clean place.
    fn forget(&mut self, resource: &ResourceId) {
        let Some(running) = self.running.remove(resource) else { return };
        drop(running.checker);
        if let Some(handle) = Arc::into_inner(running.handle)
            && let Err(error) = handle.forget()
        {
            tracing::debug!(%resource, %error, "remains are left for the next start");
        }
    }

    fn adopt(&mut self, resource: &ResourceId) {
        let Some(running) = self.running.get_mut(resource) else { return };
        running.stage = Stage::Active;
        let since = running.since;
        let deadline = match running.handle.lease() {
            LeaseState::Until(deadline) => deadline / 1000,
            LeaseState::Unset | LeaseState::Closed => 0,
        };
        self.tell(resource, InstanceChange::Adopted { since, deadline });
        self.check(resource, true);
    }

    /// Starts the checks of a process that runs.
    fn check(&mut self, resource: &ResourceId, ready: bool) {
        let Some(running) = self.running.get_mut(resource) else { return };
        let config = &running.config;
        let plan = Plan {
            readiness: config.readiness.clone(),
            health: config.health.clone(),
            start_timeout: Duration::from_micros(config.start_timeout.0),
            environment: spec::environment(&self.settings, resource, config),
            identity: spec::identity(config),
            ready,
        };
        let (orders, name, serial) = (self.orders.clone(), resource.clone(), running.serial);
        let tell = move |found| drop(orders.send(Order::Found(name.clone(), serial, found)));
        match Checker::start(plan, Arc::new(tell)) {
            Ok(checker) => running.checker = Some(checker),
            Err(error) => tracing::error!(%resource, %error, "cannot start the checks"),
        }
    }

    fn on_found(&mut self, resource: ResourceId, serial: u64, found: Found) {
        let Some(running) = self.running.get_mut(&resource) else { return };
        if running.serial != serial {
            return;
        }
        let change = match (found, running.stage) {
            (Found::Ready, Stage::Starting) => {
                running.stage = Stage::Active;
                InstanceChange::Started
            }
            (Found::NotReady(why), Stage::Starting) => {
                running.stage = Stage::Failing;
                running.failure = why;
                if let Err(error) = running.handle.kill() {
                    tracing::warn!(%resource, %error, "the keeper cannot be told; its deadline ends the resource");
                }
                return;
            }
            (Found::Unhealthy(why), Stage::Active) => InstanceChange::Unhealthy(why),
            (Found::Healthy, Stage::Active) => InstanceChange::Healthy,
            (Found::Ready | Found::NotReady(_) | Found::Unhealthy(_) | Found::Healthy, _) => return,
        };
        self.tell(&resource, change);
    }

    /// Stops that were not confirmed in time. They are never taken for stops.
    fn on_late(&mut self) {
        let now = Instant::now();
        let mut late = Vec::new();
        for (resource, running) in &mut self.running {
            if matches!(running.stage, Stage::Stopping(until) if until <= now) {
                running.stage = Stage::Stopping(now + CONFIRM);
                // The lease is closed in any case; the keeper hears of it when it can.
                drop(running.handle.kill());
                late.push(resource.clone());
            }
        }
        for resource in late {
            let why = "the stop was not confirmed in time: its keeper does not answer".to_owned();
            self.tell(&resource, InstanceChange::StopFailed(why));
        }
    }
}
