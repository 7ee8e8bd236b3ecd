//! Changing a resource's addresses while it is held: only the difference is touched.

use super::Extended;
use super::gateway::Gateway;
use super::place::{Place, resolve};
use super::state::{State, kernel, lapsed};
use crate::{AddressError, VipSpec};
use std::net::IpAddr;

impl State {
    pub(crate) fn reconfigure(&mut self, name: &str, new: &VipSpec) -> Result<(), AddressError> {
        let addresses: Vec<IpAddr> = new.vips()?.iter().map(|vip| vip.address).collect();
        self.refuse_shared(name, &addresses)?;
        self.resource(name)?;
        let mut places = resolve(&mut self.routing, new)?;
        if self.leases().prepare(name, &addresses)? == Extended::Lapsed {
            return Err(lapsed(name));
        }
        let resource = self.resource(name)?;
        let old = std::mem::take(&mut resource.places);
        for place in &mut places {
            if let Some(same) = old.iter().find(|o| o.same_spot(place)) {
                *place = same.clone();
            }
        }
        let moved: Vec<Place> = old
            .into_iter()
            .filter(|o| !places.iter().any(|p| p.same_spot(o)))
            .collect();
        resource.places = places;
        if resource.spec.gateway != new.gateway {
            resource.gateway = new.gateway.map(Gateway::new);
        }
        resource.spec = new.clone();
        let old_addresses = std::mem::replace(&mut resource.addresses, addresses.clone());
        // Same address, other prefix or interface: the old one has to go before the new one can be added.
        for place in moved
            .iter()
            .filter(|place| addresses.contains(&place.vip.address) && !place.ambient())
        {
            self.routing
                .delete(place.vip, place.link.index)
                .map_err(|errno| kernel("remove", place, errno))?;
        }
        let held = self.leases().running(name).is_some();
        if held {
            self.add_missing(name)?;
        }
        let gone: Vec<IpAddr> = old_addresses
            .into_iter()
            .filter(|a| !addresses.contains(a))
            .collect();
        self.leases().close(&gone)?;
        self.remove(&gone)?;
        self.leases().release(&gone)
    }
}
