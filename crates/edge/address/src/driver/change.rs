//! Changing a resource's addresses while it is held: only the difference is touched.

use super::gateway::Gateway;
use super::place::{Place, resolve};
use super::state::{State, kernel, lapsed};
use crate::guard::GuardExtended;
use crate::{AddressError, VipSpec};
use std::net::IpAddr;

impl State {
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
}
