//! What the driver knows and does, behind one lock: the operations on resources. Not for what is observed from outside
//! (`observe`), nor for waiting (`watch`).

use super::gateway::Gateway;
use super::place::{Place, resolve};
use super::{AddressConfig, AddressStatus, Adopted, Extended, VipStatus};
use crate::clock::{boot_now_ns, remaining};
use crate::guard::{AddressGuard, GuardExtended, SHORTEST};
use crate::packet::Speaker;
use crate::route::{Assigned, Link, Routing};
use crate::{AddressError, VipSpec};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Announcements after the one at the start, counted from it; then every [`ANNOUNCE_EVERY_NS`]. A switch or client that
/// missed one, or heard an older one after it, has a wrong answer until the next.
const ANNOUNCE_AT_MS: [u64; 4] = [100, 300, 1_000, 3_000];
const ANNOUNCE_EVERY_NS: u64 = 10_000_000_000;
const NS_PER_MS: u64 = 1_000_000;

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) config: AddressConfig,
    pub(crate) guard: Option<AddressGuard>,
    pub(crate) routing: Routing,
    pub(crate) speaker: Result<Speaker, Errno>,
    pub(crate) resources: BTreeMap<String, Resource>,
    /// The watching thread is to end.
    pub(crate) ending: bool,
}

#[derive(Debug)]
pub(crate) struct Resource {
    pub(crate) spec: VipSpec,
    /// Empty while an interface is missing.
    pub(crate) places: Vec<Place>,
    pub(crate) addresses: Vec<IpAddr>,
    /// Held until then; `None` when not held.
    pub(crate) deadline: Option<u64>,
    pub(crate) announcing: Option<Announcing>,
    pub(crate) gateway: Option<Gateway>,
    /// Last reported state of each interface.
    pub(crate) reported_up: BTreeMap<String, bool>,
    /// When a conflict was answered last.
    pub(crate) conflict_at: u64,
}

/// The schedule of announcements.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Announcing {
    since: u64,
    step: usize,
    pub(crate) due: u64,
}

impl Announcing {
    fn from(now: u64) -> Self {
        let mut schedule = Self {
            since: now,
            step: 0,
            due: now,
        };
        schedule.advance();
        schedule
    }

    pub(crate) fn advance(&mut self) {
        self.due = match ANNOUNCE_AT_MS.get(self.step) {
            Some(offset) => self.since.saturating_add(offset * NS_PER_MS),
            None => self.due.saturating_add(ANNOUNCE_EVERY_NS),
        };
        self.step += 1;
    }
}

impl State {
    pub(crate) fn new(config: AddressConfig) -> Result<Self, AddressError> {
        let guard = if config.guard {
            Some(AddressGuard::new(&config.table)?)
        } else {
            None
        };
        let (routing, speaker) = (Routing::new()?, Speaker::new());
        Ok(Self {
            config,
            guard,
            routing,
            speaker,
            resources: BTreeMap::new(),
            ending: false,
        })
    }

    pub(crate) fn prepare(&mut self, name: &str, spec: &VipSpec) -> Result<(), AddressError> {
        let addresses: Vec<IpAddr> = spec.vips()?.iter().map(|vip| vip.address).collect();
        self.refuse_shared(name, &addresses)?;
        if self
            .resources
            .get(name)
            .is_some_and(|known| known.spec != *spec)
        {
            return self.reconfigure(name, spec);
        }
        // Guarded before anything that can fail: born closed.
        if let Some(guard) = &mut self.guard {
            guard.manage(&addresses)?;
        }
        let resource = self
            .resources
            .entry(name.to_owned())
            .or_insert_with(|| Resource {
                spec: spec.clone(),
                places: Vec::new(),
                addresses,
                deadline: None,
                announcing: None,
                gateway: spec.gateway.map(Gateway::new),
                reported_up: BTreeMap::new(),
                conflict_at: 0,
            });
        if resource.places.is_empty() {
            resource.places = resolve(&mut self.routing, spec)?;
        }
        Ok(())
    }

    pub(crate) fn start(
        &mut self,
        name: &str,
        spec: &VipSpec,
        deadline: u64,
    ) -> Result<(), AddressError> {
        self.prepare(name, spec)?;
        let places = resolve(&mut self.routing, spec)?;
        let resource = self.resource(name)?;
        let was_held = resource.deadline.is_some();
        let addresses = resource.addresses.clone();
        resource.places = places;
        if was_held && self.extend(name, deadline)? == Extended::Lapsed {
            return Err(lapsed(name));
        }
        if !was_held && self.open(&addresses, deadline)? == GuardExtended::Lapsed {
            return Err(lapsed(name));
        }
        self.resource(name)?.deadline = Some(deadline);
        let result = self.add_missing(name, deadline);
        if let Err(failure) = result {
            if !was_held {
                self.stop(name)?;
            }
            return Err(failure);
        }
        Ok(())
    }

    pub(crate) fn extend(&mut self, name: &str, deadline: u64) -> Result<Extended, AddressError> {
        let resource = self
            .resources
            .get_mut(name)
            .ok_or_else(|| not_prepared(name))?;
        let now = boot_now_ns();
        let in_time = resource.deadline.is_some_and(|held| now < held)
            && remaining(deadline, now) >= SHORTEST;
        if !in_time {
            self.lapse(name)?;
            return Ok(Extended::Lapsed);
        }
        if resource.deadline == Some(deadline) {
            return Ok(Extended::Live);
        }
        if let Some(guard) = &mut self.guard
            && guard.extend(&resource.addresses, deadline)? == GuardExtended::Lapsed
        {
            self.lapse(name)?;
            return Ok(Extended::Lapsed);
        }
        resource.deadline = Some(deadline);
        for place in resource
            .places
            .iter_mut()
            .filter(|p| p.lasts_until < deadline && p.lasts_until > 0)
        {
            // An address that somebody removed is put back here too, and reported by the watching thread.
            add(&mut self.routing, place, deadline)?;
        }
        Ok(Extended::Live)
    }

    pub(crate) fn repair(&mut self, name: &str) -> Result<(), AddressError> {
        let resource = self.resource(name)?;
        let deadline = resource
            .deadline
            .filter(|deadline| boot_now_ns() < *deadline);
        let spec = resource.spec.clone();
        match deadline {
            Some(deadline) => self.start(name, &spec, deadline),
            None => Err(lapsed(name)),
        }
    }

    pub(crate) fn stop(&mut self, name: &str) -> Result<(), AddressError> {
        let resource = self.resource(name)?;
        resource.deadline = None;
        resource.announcing = None;
        for place in &mut resource.places {
            place.lasts_until = 0;
        }
        let addresses = resource.addresses.clone();
        self.remove(&addresses)
    }

    pub(crate) fn reconfigure(&mut self, name: &str, new: &VipSpec) -> Result<(), AddressError> {
        let new_addresses: Vec<IpAddr> = new.vips()?.iter().map(|vip| vip.address).collect();
        self.refuse_shared(name, &new_addresses)?;
        if let Some(guard) = &mut self.guard {
            guard.manage(&new_addresses)?;
        }
        let mut places = resolve(&mut self.routing, new)?;
        let resource = self.resource(name)?;
        let (old, deadline) = (std::mem::take(&mut resource.places), resource.deadline);
        let old_addresses = std::mem::replace(&mut resource.addresses, new_addresses.clone());
        for place in &mut places {
            if let Some(same) = old
                .iter()
                .find(|o| o.vip == place.vip && o.link.index == place.link.index)
            {
                *place = same.clone();
            }
        }
        let moved: Vec<Place> = old
            .into_iter()
            .filter(|o| !places.iter().any(|p| p.vip == o.vip && p.link == o.link))
            .collect();
        resource.places = places;
        resource.gateway = if resource.spec.gateway == new.gateway {
            resource.gateway.take()
        } else {
            new.gateway.map(Gateway::new)
        };
        resource.spec = new.clone();
        // Same address, other prefix or interface: the old one has to go before the new one can be added.
        for place in moved
            .iter()
            .filter(|place| new_addresses.contains(&place.vip.address) && !place.ambient())
        {
            self.routing
                .delete(place.vip, place.link.index)
                .map_err(|errno| kernel("remove", place, errno))?;
        }
        if let Some(deadline) = deadline {
            let added: Vec<IpAddr> = new_addresses
                .iter()
                .copied()
                .filter(|a| !old_addresses.contains(a))
                .collect();
            if self.open(&added, deadline)? == GuardExtended::Lapsed {
                self.lapse(name)?;
                return Err(lapsed(name));
            }
            self.add_missing(name, deadline)?;
        }
        let gone: Vec<IpAddr> = old_addresses
            .into_iter()
            .filter(|a| !new_addresses.contains(a))
            .collect();
        self.remove(&gone)?;
        match &mut self.guard {
            Some(guard) => guard.release(&gone),
            None => Ok(()),
        }
    }

    pub(crate) fn forget(&mut self, name: &str) -> Result<(), AddressError> {
        self.stop(name)?;
        if let Some(resource) = self.resources.remove(name)
            && let Some(guard) = &mut self.guard
        {
            guard.release(&resource.addresses)?;
        }
        Ok(())
    }

    pub(crate) fn remove_leftover(&mut self, address: IpAddr) -> Result<(), AddressError> {
        self.refuse_shared("", &[address])?;
        self.remove(&[address])?;
        match &mut self.guard {
            Some(guard) => guard.release(&[address]),
            None => Ok(()),
        }
    }

    pub(crate) fn adopt(&mut self) -> Result<Vec<Adopted>, AddressError> {
        let (links, assigned) = (self.routing.links()?, self.routing.addresses()?);
        let managed = match &mut self.guard {
            Some(guard) => guard.addresses()?,
            None => assigned
                .iter()
                .filter(|a| a.ours)
                .map(|a| (a.vip.address, None))
                .collect(),
        };
        let adopted = |(address, live_for)| Adopted {
            address,
            live_for,
            present_on: present_on(address, &links, &assigned),
        };
        Ok(managed.into_iter().map(adopted).collect())
    }

    pub(crate) fn status(&mut self, name: &str) -> Result<VipStatus, AddressError> {
        let (links, assigned) = (self.routing.links()?, self.routing.addresses()?);
        let open = match &mut self.guard {
            Some(guard) => guard.addresses()?,
            None => Vec::new(),
        };
        let resource = self.resource(name)?;
        let status = |address: &IpAddr| AddressStatus {
            address: *address,
            present_on: present_on(*address, &links, &assigned),
            live_for: open
                .iter()
                .find(|(a, _)| a == address)
                .and_then(|(_, left)| *left),
        };
        let up = |place: &Place| {
            links
                .iter()
                .any(|link| link.name == place.link.name && link.up)
        };
        Ok(VipStatus {
            addresses: resource.addresses.iter().map(status).collect(),
            held: resource
                .deadline
                .is_some_and(|deadline| boot_now_ns() < deadline),
            link_up: !resource.places.is_empty() && resource.places.iter().all(up),
            gateway_reachable: resource.gateway.as_ref().and_then(Gateway::reachable),
        })
    }

    /// Announces every address of a resource now, if its lease still runs.
    pub(crate) fn announce(&self, resource: &Resource) -> Result<(), AddressError> {
        for place in &resource.places {
            let Some(port) = place.port() else { continue };
            let router = place.vip.address.is_ipv6() && forwards(&place.link.name);
            let speaker = self.speaker.as_ref().map_err(|errno| no_speaker(*errno))?;
            // Immediately before sending: packet sockets pass by the guard.
            if resource
                .deadline
                .is_none_or(|deadline| boot_now_ns() >= deadline)
            {
                return Ok(());
            }
            speaker
                .announce(port, place.vip.address, router)
                .map_err(|errno| kernel("announce", place, errno))?;
        }
        Ok(())
    }

    pub(crate) fn resource(&mut self, name: &str) -> Result<&mut Resource, AddressError> {
        self.resources
            .get_mut(name)
            .ok_or_else(|| not_prepared(name))
    }

    fn open(&mut self, addresses: &[IpAddr], deadline: u64) -> Result<GuardExtended, AddressError> {
        let Some(guard) = &mut self.guard else {
            let left = remaining(deadline, boot_now_ns());
            return Ok(if left < SHORTEST {
                GuardExtended::Lapsed
            } else {
                GuardExtended::Live
            });
        };
        let (open, closed): (Vec<IpAddr>, Vec<IpAddr>) =
            addresses.iter().partition(|a| guard.is_open(**a));
        let mut outcome = GuardExtended::Live;
        if !open.is_empty() {
            outcome = guard.extend(&open, deadline)?;
        }
        if outcome == GuardExtended::Live && !closed.is_empty() {
            outcome = guard.open(&closed, deadline)?;
        }
        if outcome == GuardExtended::Lapsed {
            guard.close(addresses)?;
        }
        Ok(outcome)
    }

    /// Adds what the kernel does not have, announces, and makes sure that the deadline has not passed meanwhile.
    fn add_missing(&mut self, name: &str, deadline: u64) -> Result<(), AddressError> {
        let resource = self
            .resources
            .get_mut(name)
            .ok_or_else(|| not_prepared(name))?;
        for place in resource.places.iter_mut().filter(|place| !place.ambient()) {
            if place.vip.address.is_ipv4() && !place.link.loopback {
                // Best effort: without it the removal of a subnet's first address takes the others with it, which is
                // noticed and repaired.
                self.routing.keep_secondaries(place.link.index).ok();
            }
            add(&mut self.routing, place, deadline)?;
        }
        resource.announcing = Some(Announcing::from(boot_now_ns()));
        if boot_now_ns() >= deadline {
            self.lapse(name)?;
            return Err(lapsed(name));
        }
        match self.resources.get(name) {
            Some(resource) => self.announce(resource),
            None => Ok(()),
        }
    }

    /// The lease is over: what a guard can close is closed; without a guard the addresses are removed. The resource is
    /// held no longer and can only be stopped and started.
    fn lapse(&mut self, name: &str) -> Result<(), AddressError> {
        let resource = self.resource(name)?;
        resource.deadline = None;
        resource.announcing = None;
        let addresses = resource.addresses.clone();
        match &mut self.guard {
            Some(guard) => guard.close(&addresses),
            None => self.remove(&addresses),
        }
    }

    /// Closes and deletes addresses wherever they are, and confirms it.
    fn remove(&mut self, addresses: &[IpAddr]) -> Result<(), AddressError> {
        let closed = match &mut self.guard {
            Some(guard) => guard.close(addresses),
            None => Ok(()),
        };
        let is_meant = |a: &Assigned| addresses.contains(&a.vip.address);
        for found in self.routing.addresses()?.iter().filter(|a| is_meant(a)) {
            let what = || format!("remove {} from interface {}", found.vip, found.index);
            self.routing
                .delete(found.vip, found.index)
                .map_err(|errno| AddressError::kernel(what(), errno))?;
        }
        match self.routing.addresses()?.iter().find(|a| is_meant(a)) {
            Some(left) => Err(AddressError::kernel(
                format!("{} is still there after its removal", left.vip),
                Errno::BUSY,
            )),
            None => closed,
        }
    }

    fn refuse_shared(&self, name: &str, addresses: &[IpAddr]) -> Result<(), AddressError> {
        for (other, resource) in self.resources.iter().filter(|(other, _)| *other != name) {
            if let Some(shared) = addresses.iter().find(|a| resource.addresses.contains(a)) {
                return Err(AddressError::Spec(format!(
                    "{shared} belongs to resource {other} already"
                )));
            }
        }
        Ok(())
    }
}

fn add(routing: &mut Routing, place: &mut Place, deadline: u64) -> Result<(), AddressError> {
    let now = boot_now_ns();
    let (addition, lasts_until) = place.addition(remaining(deadline, now), now);
    routing
        .add(&addition)
        .map_err(|errno| kernel("add", place, errno))?;
    place.lasts_until = lasts_until;
    Ok(())
}

fn present_on(address: IpAddr, links: &[Link], assigned: &[Assigned]) -> Option<String> {
    let index = assigned.iter().find(|a| a.vip.address == address)?.index;
    links
        .iter()
        .find(|link| link.index == index)
        .map(|link| link.name.clone())
}

/// Whether this machine is an IPv6 router on the interface, which its advertisements have to say.
fn forwards(interface: &str) -> bool {
    let path = format!("/proc/sys/net/ipv6/conf/{interface}/forwarding");
    std::fs::read(path).is_ok_and(|text| text.first() == Some(&b'1'))
}

fn kernel(verb: &str, place: &Place, errno: Errno) -> AddressError {
    AddressError::kernel(
        format!("{verb} {} on {}", place.vip, place.link.name),
        errno,
    )
}

fn no_speaker(errno: Errno) -> AddressError {
    AddressError::Unsupported(format!("announcing an address needs CAP_NET_RAW: {errno}"))
}

fn lapsed(name: &str) -> AddressError {
    AddressError::Lapsed {
        resource: name.to_owned(),
    }
}

fn not_prepared(name: &str) -> AddressError {
    AddressError::NotPrepared {
        resource: name.to_owned(),
    }
}
