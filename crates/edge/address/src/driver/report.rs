//! The machine as it is, for `adopt` and `status`. Changes nothing.

use super::gateway::Gateway;
use super::place::Place;
use super::state::State;
use super::{AddressStatus, Adopted, VipStatus};
use crate::AddressError;
use crate::route::{Assigned, Link};
use std::net::IpAddr;

impl State {
    pub(crate) fn adopt(&mut self) -> Result<Vec<Adopted>, AddressError> {
        let (links, assigned) = (self.routing.links()?, self.routing.addresses()?);
        let managed = match &mut self.leases().guard {
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
        let open = match &mut self.leases().guard {
            Some(guard) => guard.addresses()?,
            None => Vec::new(),
        };
        let held = self.leases().running(name).is_some();
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
            held,
            link_up: !resource.places.is_empty() && resource.places.iter().all(up),
            gateway_reachable: resource.gateway.as_ref().and_then(Gateway::reachable),
        })
    }
}

fn present_on(address: IpAddr, links: &[Link], assigned: &[Assigned]) -> Option<String> {
    let index = assigned.iter().find(|a| a.vip.address == address)?.index;
    links
        .iter()
        .find(|link| link.index == index)
        .map(|link| link.name.clone())
}
