//! The address driver on a thread of its own: orders come in, outcomes go out as events of the core.
//!
//! Not for deciding; and not for extending a lease, which the core's thread does itself.

use super::guarded::Guarded;
use standfast_address::{
    AddressConfig, AddressDriver, AddressEvent, Extended, PROBE_ROUND, Support, VipSpec,
    probe_conflict,
};
use standfast_model::{
    config::VipConfig,
    event::{Event, InstanceChange},
    id::ResourceId,
    plan::PlanNumber,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

/// Under what an address is started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) since: PlanNumber,
    /// `CLOCK_BOOTTIME` microseconds.
    pub(crate) deadline: u64,
    /// Nobody had it just before: the network is asked first.
    pub(crate) fresh: bool,
}

/// An order for an address resource.
#[derive(Debug)]
pub(crate) enum Order {
    Start(ResourceId, VipConfig, Terms),
    Stop(ResourceId),
    Probe(ResourceId, VipConfig),
    Repair(ResourceId),
    Reconfigure(ResourceId, VipConfig),
    Prepare(Vec<(ResourceId, VipConfig)>),
    /// Addresses that agents of resources put on interfaces: all of them.
    Guard(Vec<(ResourceId, IpAddr)>),
}

/// The driver and its thread.
#[derive(Debug)]
pub(crate) struct Addresses {
    driver: Option<Arc<AddressDriver>>,
    orders: Sender<Order>,
    events: Sender<Event>,
    /// Of which a closed guard has been told: it is one failure, however often it is found.
    closed: Mutex<BTreeSet<ResourceId>>,
}

impl Addresses {
    /// Starts the driver. Where this machine offers none, every start of an address is refused with the reason.
    pub(crate) fn start(
        run: &Path,
        table: &str,
        support: &Support,
        events: Sender<Event>,
    ) -> std::io::Result<Self> {
        let (seen, from_driver) = channel();
        let config = AddressConfig {
            table: table.to_owned(),
            guard: support.guard(),
            members: Vec::new(),
        };
        let (driver, why) = match AddressDriver::new(config, seen) {
            Ok(driver) => (Some(Arc::new(driver)), String::new()),
            Err(error) => (None, error.to_string()),
        };
        let (orders, queue) = channel();
        let worker = Worker {
            driver: driver.clone(),
            why,
            memory: run.join("addresses"),
            specs: BTreeMap::new(),
            guarded: Guarded::default(),
            events: events.clone(),
        };
        let own = events.clone();
        thread::Builder::new()
            .name("addresses".to_owned())
            .spawn(move || worker.run(&queue))?;
        thread::Builder::new()
            .name("address-events".to_owned())
            .spawn(move || watch(&from_driver, &events))?;
        Ok(Self {
            driver,
            orders,
            events: own,
            closed: Mutex::default(),
        })
    }

    /// Hands an order on.
    pub(crate) fn order(&self, order: Order) {
        // The thread lives as long as the agent.
        drop(self.orders.send(order));
    }

    fn closed(&self) -> MutexGuard<'_, BTreeSet<ResourceId>> {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the guards away: nothing is left to guard, and perhaps nobody comes back to do it.
    pub(crate) fn uninstall(&self) {
        let Some(driver) = &self.driver else { return };
        if let Err(error) = driver.uninstall() {
            tracing::warn!(%error, "the address guard's tables stay");
        }
    }

    /// Lets the address that a resource's agent is about to put on an interface speak until the deadline, `CLOCK_BOOTTIME` microseconds. Where there is
    /// no guard at all, another node waits for more than the lease.
    pub(crate) fn open(&self, resource: &ResourceId, address: IpAddr, deadline: u64) -> bool {
        let Some(driver) = &self.driver else {
            return true;
        };
        match driver.open(resource.as_str(), address, deadline.saturating_mul(1000)) {
            Ok(()) => {
                self.closed().remove(resource);
                true
            }
            Err(error) => {
                let change =
                    InstanceChange::StartFailed(format!("its address is not let out: {error}"));
                let resource = resource.clone();
                drop(self.events.send(Event::Instance { resource, change }));
                false
            }
        }
    }

    /// Guards the address of a resource that may be running here, open if an earlier agent's lease still runs.
    pub(crate) fn guard(&self, resource: &ResourceId, address: IpAddr) {
        let guarded = self
            .driver
            .as_ref()
            .map(|driver| driver.guard(resource.as_str(), address));
        if let Some(Err(error)) = guarded {
            tracing::warn!(%resource, %error, "cannot guard its address");
        }
    }

    /// Lets the guards of a resource run until the deadline, `CLOCK_BOOTTIME` microseconds. A guard that has closed stays closed:
    /// an address that is believed to be up has to be started anew then, or nobody would ever reach it again.
    pub(crate) fn extend(&self, resource: &ResourceId, deadline: u64) {
        let Some(driver) = &self.driver else { return };
        match driver.extend(resource.as_str(), deadline.saturating_mul(1000)) {
            Ok(Extended::Live) => {
                self.closed().remove(resource);
            }
            Ok(Extended::Lapsed) => {
                tracing::warn!(%resource, "the guard had closed; the extension was too late");
                if !self.closed().insert(resource.clone()) {
                    return;
                }
                let why = "its guard had closed before the lease was extended".to_owned();
                let change = InstanceChange::Unhealthy(why);
                let resource = resource.clone();
                drop(self.events.send(Event::Instance { resource, change }));
            }
            Err(error) => tracing::warn!(%resource, %error, "cannot extend the address guard"),
        }
    }
}

struct Worker {
    driver: Option<Arc<AddressDriver>>,
    why: String,
    memory: PathBuf,
    specs: BTreeMap<ResourceId, VipSpec>,
    guarded: Guarded,
    events: Sender<Event>,
}

impl Worker {
    fn run(mut self, queue: &Receiver<Order>) {
        while let Some(order) = self.guarded.wait(queue, self.driver.as_deref()) {
            match order {
                Order::Guard(all) => self.guarded.set(all, self.driver.as_deref()),
                Order::Start(resource, config, terms) => {
                    let change = match self.start(&resource, &config, terms) {
                        Ok(()) => InstanceChange::Started,
                        Err(why) => InstanceChange::StartFailed(why),
                    };
                    self.tell(resource, change);
                }
                Order::Stop(resource) => {
                    let change = self.stop(&resource);
                    self.tell(resource, change);
                }
                Order::Probe(resource, config) => {
                    let change = self.probe(&resource, &config);
                    self.tell(resource, change);
                }
                Order::Repair(resource) => {
                    let done = self
                        .driver
                        .as_ref()
                        .map(|driver| driver.repair(resource.as_str()));
                    if let Some(Err(error)) = done {
                        self.tell(
                            resource,
                            InstanceChange::Unhealthy(format!("cannot be put back: {error}")),
                        );
                    }
                }
                Order::Reconfigure(resource, config) => {
                    let spec = spec(&config);
                    let done = self
                        .driver
                        .as_ref()
                        .map(|driver| driver.reconfigure(resource.as_str(), &spec));
                    self.specs.insert(resource.clone(), spec);
                    if let Some(Err(error)) = done {
                        self.tell(
                            resource,
                            InstanceChange::Unhealthy(format!("cannot be changed: {error}")),
                        );
                    }
                }
                Order::Prepare(resources) => self.prepare(resources),
            }
        }
    }

    fn tell(&self, resource: ResourceId, change: InstanceChange) {
        drop(self.events.send(Event::Instance { resource, change }));
    }

    fn notice(&self, topic: String, text: String) {
        drop(self.events.send(Event::Notice { topic, text }));
    }

    fn start(&self, resource: &ResourceId, config: &VipConfig, terms: Terms) -> Result<(), String> {
        let driver = self.driver.as_ref().ok_or_else(|| self.why.clone())?;
        let spec = spec(config);
        driver
            .prepare(resource.as_str(), &spec)
            .map_err(|error| error.to_string())?;
        if terms.fresh {
            self.check_conflict(resource, &spec)?;
        }
        self.remember(resource, terms.since)
            .map_err(|error| format!("cannot write {}: {error}", self.memory.display()))?;
        driver
            .start(
                resource.as_str(),
                &spec,
                terms.deadline.saturating_mul(1000),
            )
            .map_err(|error| error.to_string())
    }

    /// A stranger's answer refuses the start; a member's raises an alarm and does not: it has lost its lease.
    fn check_conflict(&self, resource: &ResourceId, spec: &VipSpec) -> Result<(), String> {
        let topic = format!("conflict:{resource}");
        match probe_conflict(spec, &[], PROBE_ROUND) {
            Ok(report) if report.is_clear() => {
                self.notice(topic, String::new());
                Ok(())
            }
            Ok(report) => {
                let text =
                    format!("{resource}: the address is already in use on the network: {report:?}");
                self.notice(topic, text.clone());
                Err(text)
            }
            // Where nothing can be asked (loopback, no privilege), nothing is known: the lease still holds.
            Err(error) => {
                tracing::debug!(%resource, %error, "no conflict probe");
                Ok(())
            }
        }
    }

    fn stop(&self, resource: &ResourceId) -> InstanceChange {
        let Some(driver) = &self.driver else {
            return InstanceChange::Stopped;
        };
        match driver.stop(resource.as_str()) {
            Ok(()) => InstanceChange::Stopped,
            Err(error) => InstanceChange::StopFailed(error.to_string()),
        }
    }

    /// Whether an earlier agent's addresses are still open here.
    fn probe(&mut self, resource: &ResourceId, config: &VipConfig) -> InstanceChange {
        let Some(driver) = &self.driver else {
            return InstanceChange::Stopped;
        };
        let spec = spec(config);
        let found = driver.adopt().unwrap_or_default();
        if let Err(error) = driver.prepare(resource.as_str(), &spec) {
            self.notice(
                format!("address:{resource}"),
                format!("{resource}: {error}"),
            );
        }
        let wanted: Vec<IpAddr> = spec
            .vips()
            .map(|vips| vips.iter().map(|vip| vip.address).collect())
            .unwrap_or_default();
        let left = found
            .iter()
            .filter(|address| wanted.contains(&address.address) && address.present_on.is_some())
            .map(|address| address.live_for)
            .min();
        let deadline = |left: std::time::Duration| {
            super::clock::now()
                .boot
                .saturating_add(u64::try_from(left.as_micros()).unwrap_or(0))
        };
        let all = found
            .iter()
            .filter(|address| address.present_on.is_some() && wanted.contains(&address.address))
            .count();
        if let (Some(Some(left)), Some(since), true) =
            (left, self.recall(resource), all == wanted.len())
        {
            let deadline = deadline(left);
            if driver
                .start(resource.as_str(), &spec, deadline.saturating_mul(1000))
                .is_ok()
            {
                return InstanceChange::Adopted { since, deadline };
            }
        }
        self.stop(resource)
    }

    fn prepare(&mut self, resources: Vec<(ResourceId, VipConfig)>) {
        let Some(driver) = &self.driver else { return };
        let new: BTreeMap<ResourceId, VipSpec> = resources
            .into_iter()
            .map(|(resource, config)| (resource, spec(&config)))
            .collect();
        for (resource, spec) in &new {
            if self.specs.get(resource) == Some(spec) {
                continue;
            }
            // One that is held is changed by the core's own order.
            if driver
                .status(resource.as_str())
                .is_ok_and(|status| status.held)
            {
                continue;
            }
            let text = match driver.prepare(resource.as_str(), spec) {
                Ok(()) => String::new(),
                Err(error) => format!("{resource}: {error}"),
            };
            self.notice(format!("address:{resource}"), text);
        }
        for resource in self
            .specs
            .keys()
            .filter(|resource| !new.contains_key(*resource))
        {
            if driver
                .status(resource.as_str())
                .is_ok_and(|status| !status.held)
                && let Err(error) = driver.forget(resource.as_str())
            {
                tracing::warn!(%resource, %error, "cannot take the guard of a removed resource away");
            }
        }
        self.specs = new;
    }

    /// The plan that an address was started under, for the next agent. On tmpfs: gone with the machine.
    fn remember(&self, resource: &ResourceId, since: PlanNumber) -> std::io::Result<()> {
        std::fs::create_dir_all(&self.memory)?;
        std::fs::write(
            self.memory.join(resource.as_str()),
            format!("{} {}", since.term, since.generation),
        )
    }

    fn recall(&self, resource: &ResourceId) -> Option<PlanNumber> {
        let text = std::fs::read_to_string(self.memory.join(resource.as_str())).ok()?;
        let (term, generation) = text.split_once(' ')?;
        Some(PlanNumber {
            term: term.parse().ok()?,
            generation: generation.parse().ok()?,
        })
    }
}

fn spec(config: &VipConfig) -> VipSpec {
    VipSpec {
        addresses: config.addresses.clone(),
        interface: config.interface.clone(),
        gateway: config
            .gateway
            .as_ref()
            .and_then(|gateway| gateway.parse().ok()),
    }
}

/// Turns what the driver sees by itself into events of the core.
fn watch(from_driver: &Receiver<AddressEvent>, events: &Sender<Event>) {
    let mut watcher = Watcher::default();
    while let Ok(event) = from_driver.recv() {
        if let Some(event) = watcher.translate(event)
            && events.send(event).is_err()
        {
            return;
        }
    }
}

/// What is wrong with each interface, by what it is: a link and a gateway fail apart.
#[derive(Default)]
struct Watcher {
    sick: BTreeMap<String, BTreeMap<&'static str, String>>,
    interfaces: BTreeMap<String, String>,
}

impl Watcher {
    fn translate(&mut self, event: AddressEvent) -> Option<Event> {
        match event {
            AddressEvent::AddressLost {
                resource, address, ..
            } => Some(Event::Instance {
                resource: ResourceId::from(resource),
                change: InstanceChange::Damaged(format!("{address} was removed by someone else")),
            }),
            AddressEvent::LinkHealth {
                resource,
                interface,
                up,
                ..
            } => {
                self.interfaces.insert(resource, interface.clone());
                let problem = (!up).then(|| format!("{interface} has no carrier"));
                Some(self.health(interface, "link", problem))
            }
            AddressEvent::GatewayHealth {
                resource,
                gateway,
                reachable,
                ..
            } => {
                let interface = self.interfaces.get(&resource).cloned()?;
                let problem = (!reachable).then(|| format!("gateway {gateway} does not answer"));
                Some(self.health(interface, "gateway", problem))
            }
            AddressEvent::ConflictSeen {
                resource,
                address,
                mac,
                member,
                ..
            } => {
                let who = if member {
                    "a member of the cluster"
                } else {
                    "a stranger"
                };
                let text = format!(
                    "{resource}: {address} is also claimed by {mac} ({who}); announced again"
                );
                Some(notice(format!("conflict:{resource}"), text))
            }
            AddressEvent::GuardRestored { reason, .. } => Some(notice(
                "address-guard".to_owned(),
                format!(
                    "the address guard had been changed by someone else and was restored: {reason}"
                ),
            )),
            AddressEvent::GuardLost { reason, .. } => Some(notice(
                "address-guard".to_owned(),
                format!("the address guard is damaged and could not be restored: {reason}"),
            )),
        }
    }

    fn health(&mut self, interface: String, which: &'static str, problem: Option<String>) -> Event {
        let problems = self.sick.entry(interface.clone()).or_default();
        match problem {
            Some(text) => problems.insert(which, text),
            None => problems.remove(which),
        };
        let all: Vec<&str> = problems.values().map(String::as_str).collect();
        let problem = (!all.is_empty()).then(|| all.join("; "));
        Event::LinkHealth { interface, problem }
    }
}

fn notice(topic: String, text: String) -> Event {
    Event::Notice { topic, text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use standfast_model::time::Micros;
    use std::{sync::mpsc::channel, time::Duration};

    fn next(events: &Receiver<Event>) -> InstanceChange {
        loop {
            let event = events.recv_timeout(Duration::from_secs(10));
            if let Event::Instance { change, .. } = event.expect("it is told") {
                return change;
            }
        }
    }

    /// A moment from now, in microseconds since boot.
    fn in_ms(count: u64) -> u64 {
        super::super::clock::now().boot + Micros::from_millis(count).0
    }

    #[test]
    fn an_address_whose_guard_closed_before_it_was_extended_is_not_taken_for_healthy() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut support = standfast_address::probe_support();
        support.nft = Err("not on the machine that tests run on".to_owned());
        let (send, events) = channel();
        let addresses =
            Addresses::start(folder.path(), "standfast-test", &support, send).expect("a driver");
        let resource = ResourceId::from("site-ip");
        let config = VipConfig {
            addresses: vec!["127.0.77.9/32".to_owned()],
            interface: None,
            gateway: None,
        };
        let terms = Terms {
            since: PlanNumber::default(),
            deadline: in_ms(500),
            fresh: false,
        };
        addresses.order(Order::Start(resource.clone(), config, terms));
        assert_eq!(next(&events), InstanceChange::Started);
        addresses.extend(&resource, in_ms(500));
        assert!(events.try_recv().is_err(), "in time: nothing to tell");
        thread::sleep(Duration::from_millis(600));
        addresses.extend(&resource, in_ms(1000));
        let told = next(&events);
        addresses.extend(&resource, in_ms(1000));
        assert!(events.try_recv().is_err(), "it is told once");
        assert!(
            matches!(&told, InstanceChange::Unhealthy(why) if why.contains("guard")),
            "{told:?}"
        );
        addresses.order(Order::Stop(resource));
        assert_eq!(next(&events), InstanceChange::Stopped);
    }
}
