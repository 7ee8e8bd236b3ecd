//! What the driver knows and does, behind one lock: the operations on resources. Not for what is observed from outside
//! (`observe`), nor for waiting (`watch`).

use super::announce::Announcing;
use super::gateway::Gateway;
use super::place::{Place, resolve};
use super::{AddressConfig, Extended};
use crate::clock::{boot_now_ns, remaining};
use crate::guard::{AddressGuard, GuardExtended, SHORTEST};
use crate::packet::Speaker;
use crate::route::{Assigned, Routing};
use crate::{AddressError, VipSpec};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::net::IpAddr;

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

    pub(crate) fn resource(&mut self, name: &str) -> Result<&mut Resource, AddressError> {
        self.resources
            .get_mut(name)
            .ok_or_else(|| not_prepared(name))
    }

    pub(super) fn open(
        &mut self,
        addresses: &[IpAddr],
        deadline: u64,
    ) -> Result<GuardExtended, AddressError> {
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

    /// The lease is over: what a guard can close is closed; without a guard the addresses are removed. The resource is
    /// held no longer and can only be stopped and started.
    pub(super) fn lapse(&mut self, name: &str) -> Result<(), AddressError> {
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
    pub(super) fn remove(&mut self, addresses: &[IpAddr]) -> Result<(), AddressError> {
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

    pub(super) fn refuse_shared(
        &self,
        name: &str,
        addresses: &[IpAddr],
    ) -> Result<(), AddressError> {
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

pub(super) fn add(
    routing: &mut Routing,
    place: &mut Place,
    deadline: u64,
) -> Result<(), AddressError> {
    let now = boot_now_ns();
    let (addition, lasts_until) = place.addition(remaining(deadline, now), now);
    routing
        .add(&addition)
        .map_err(|errno| kernel("add", place, errno))?;
    place.lasts_until = lasts_until;
    Ok(())
}

pub(super) fn kernel(verb: &str, place: &Place, errno: Errno) -> AddressError {
    AddressError::kernel(
        format!("{verb} {} on {}", place.vip, place.link.name),
        errno,
    )
}

pub(super) fn lapsed(name: &str) -> AddressError {
    AddressError::Lapsed {
        resource: name.to_owned(),
    }
}

pub(super) fn not_prepared(name: &str) -> AddressError {
    AddressError::NotPrepared {
        resource: name.to_owned(),
    }
}
