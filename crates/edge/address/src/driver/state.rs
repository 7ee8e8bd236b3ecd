//! Addresses on interfaces, behind one lock: the operations on resources. Not for deadlines (`leases`), for what is
//! observed from outside (`observe`), nor for waiting (`watch`).

use super::announce::Announcing;
use super::gateway::Gateway;
use super::leases::{Leases, lock, not_prepared};
use super::place::{Place, resolve};
use super::{AddressConfig, Extended};
use crate::clock::{boot_now_ns, remaining};
use crate::packet::Speaker;
use crate::route::{Assigned, Routing};
use crate::{AddressError, Mac, VipSpec};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};

/// Who needs both locks takes this one first.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) leases: Arc<Mutex<Leases>>,
    pub(crate) members: Vec<Mac>,
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
    pub(crate) announcing: Option<Announcing>,
    pub(crate) gateway: Option<Gateway>,
    /// Last reported state of each interface.
    pub(crate) reported_up: BTreeMap<String, bool>,
    /// When a conflict was answered last.
    pub(crate) conflict_at: u64,
}

impl State {
    pub(crate) fn new(
        config: AddressConfig,
        leases: Arc<Mutex<Leases>>,
    ) -> Result<Self, AddressError> {
        let (routing, speaker) = (Routing::new()?, Speaker::new());
        Ok(Self {
            leases,
            members: config.members,
            routing,
            speaker,
            resources: BTreeMap::new(),
            ending: false,
        })
    }

    pub(crate) fn leases(&self) -> MutexGuard<'_, Leases> {
        lock(&self.leases)
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
        self.leases().prepare(name, &addresses)?;
        let resource = self
            .resources
            .entry(name.to_owned())
            .or_insert_with(|| Resource {
                spec: spec.clone(),
                places: Vec::new(),
                addresses,
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
        self.resource(name)?.places = places;
        let was_held = self.leases().running(name).is_some();
        if self.leases().begin(name, deadline)? == Extended::Lapsed {
            return Err(lapsed(name));
        }
        let added = self.add_missing(name);
        if added.is_err() && !was_held {
            self.leases().end(name)?;
            self.remove_from_links(name)?;
        }
        added
    }

    pub(crate) fn repair(&mut self, name: &str) -> Result<(), AddressError> {
        let spec = self.resource(name)?.spec.clone();
        let running = self.leases().running(name);
        match running {
            Some(deadline) => self.start(name, &spec, deadline),
            None => Err(lapsed(name)),
        }
    }

    /// The part of stopping that comes after the lease has ended.
    pub(crate) fn remove_from_links(&mut self, name: &str) -> Result<(), AddressError> {
        let resource = self.resource(name)?;
        resource.announcing = None;
        for place in &mut resource.places {
            place.lasts_until = 0;
        }
        let addresses = resource.addresses.clone();
        self.remove(&addresses)
    }

    pub(crate) fn forget(&mut self, name: &str) -> Result<(), AddressError> {
        self.remove_from_links(name)?;
        let Some(resource) = self.resources.remove(name) else {
            return Ok(());
        };
        self.leases().forget(name);
        self.leases().release(&resource.addresses)
    }

    pub(crate) fn remove_leftover(&mut self, address: IpAddr) -> Result<(), AddressError> {
        self.refuse_shared("", &[address])?;
        self.leases().close(&[address])?;
        self.remove(&[address])?;
        self.leases().release(&[address])
    }

    pub(crate) fn resource(&mut self, name: &str) -> Result<&mut Resource, AddressError> {
        self.resources
            .get_mut(name)
            .ok_or_else(|| not_prepared(name))
    }

    /// Lets the lifetimes follow the deadlines; of leases that ended without being stopped nothing is announced, and
    /// where there is no guard their addresses are removed.
    pub(crate) fn follow_leases(&mut self) {
        let names: Vec<String> = self.resources.keys().cloned().collect();
        for name in names {
            let running = self.leases().running(&name);
            let guarded = self.leases().guard.is_some();
            let Some(resource) = self.resources.get_mut(&name) else {
                continue;
            };
            let Some(deadline) = running else {
                if resource.announcing.take().is_some() && !guarded {
                    // What fails here is the lifetime's to end, and the core's to stop.
                    self.remove_from_links(&name).ok();
                }
                continue;
            };
            for place in resource
                .places
                .iter_mut()
                .filter(|p| p.lasts_until < deadline && p.lasts_until > 0)
            {
                // A failure (interface gone) shows as a removed address or link.
                add(&mut self.routing, place, deadline).ok();
            }
            let lasts_until = resource.lasts_until();
            self.leases().note_lasting(&name, lasts_until);
        }
    }

    /// Deletes addresses wherever they are, and confirms it.
    pub(super) fn remove(&mut self, addresses: &[IpAddr]) -> Result<(), AddressError> {
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
            None => Ok(()),
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

impl Resource {
    /// The earliest end of a lifetime; `u64::MAX` when there is none to renew.
    pub(super) fn lasts_until(&self) -> u64 {
        self.places
            .iter()
            .map(|place| place.lasts_until)
            .filter(|until| *until > 0)
            .min()
            .unwrap_or(u64::MAX)
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
