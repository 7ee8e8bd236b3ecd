//! What the driver makes of things that happen to it: kernel notifications, claims heard on a link, due times. Reports;
//! the only things it does by itself are announcing again and putting the guard's tables back.

use super::announce::Announcing;
use super::leases::lock;
use super::place::Place;
use super::state::State;
use crate::AddressEvent;
use crate::clock::boot_now_ns;
use crate::packet::Claim;
use crate::route::Routing;
use std::net::IpAddr;

/// A conflict is answered and reported at most this often per resource.
const CONFLICT_EVERY_NS: u64 = 200_000_000;

impl State {
    /// Nothing has happened for a while: was a notification lost?
    pub(crate) fn on_idle(&mut self) -> Vec<AddressEvent> {
        let mut events: Vec<AddressEvent> = self
            .leases()
            .on_foreign_ruleset_change()
            .into_iter()
            .collect();
        events.extend(self.on_link_change());
        events.extend(self.on_address_removed());
        events
    }

    /// An address was removed from the machine: which held ones are missing?
    pub(crate) fn on_address_removed(&mut self) -> Vec<AddressEvent> {
        let now = boot_now_ns();
        let Ok(assigned) = self.routing.addresses() else {
            return Vec::new();
        };
        let mut events = Vec::new();
        for (name, resource) in &mut self.resources {
            if lock(&self.leases).running(name).is_none() {
                continue;
            }
            for place in resource
                .places
                .iter_mut()
                .filter(|place| !place.ambient() && place.lasts_until > 0)
            {
                let present = assigned
                    .iter()
                    .any(|a| a.vip == place.vip && a.index == place.link.index);
                if !present {
                    // Reported once; extending does not add it, `repair` does.
                    place.lasts_until = 0;
                    let address = place.vip.address;
                    events.push(AddressEvent::AddressLost {
                        resource: name.clone(),
                        address,
                        at_boot_ns: now,
                    });
                }
            }
        }
        events
    }

    /// A link changed (or watching begins): whose state is news?
    pub(crate) fn on_link_change(&mut self) -> Vec<AddressEvent> {
        let at_boot_ns = boot_now_ns();
        let Ok(links) = self.routing.links() else {
            return Vec::new();
        };
        let mut events = Vec::new();
        for (name, resource) in &mut self.resources {
            for place in &mut resource.places {
                let interface = place.link.name.clone();
                let found = links.iter().find(|link| link.name == interface);
                if let Some(found) = found {
                    // An interface that was made anew has another index, perhaps another MAC.
                    place.link.clone_from(found);
                }
                let up = found.is_some_and(|link| link.up);
                let before = resource
                    .reported_up
                    .insert(interface.clone(), up)
                    .unwrap_or(true);
                if before != up {
                    events.push(AddressEvent::LinkHealth {
                        resource: name.clone(),
                        interface,
                        up,
                        at_boot_ns,
                    });
                }
            }
        }
        events
    }

    /// Somebody said on a link that an address is theirs.
    pub(crate) fn on_claim(&mut self, claim: Claim) -> Vec<AddressEvent> {
        let now = boot_now_ns();
        let member = self.members.contains(&claim.mac);
        let mut events = Vec::new();
        let mut announce = None;
        for (name, resource) in &mut self.resources {
            let on_link = resource
                .places
                .iter()
                .any(|place| place.link.index == claim.index);
            if let Some(gateway) = resource
                .gateway
                .as_mut()
                .filter(|g| on_link && g.address == claim.address)
                && gateway.heard(claim.mac)
            {
                let (resource, gateway) = (name.clone(), claim.address);
                events.push(AddressEvent::GatewayHealth {
                    resource,
                    gateway,
                    reachable: true,
                    at_boot_ns: now,
                });
            }
            let foreign = |place: &Place| {
                place.vip.address == claim.address
                    && place
                        .port()
                        .is_some_and(|port| port.index == claim.index && port.mac != claim.mac)
            };
            let quiet = now.saturating_sub(resource.conflict_at) < CONFLICT_EVERY_NS
                && resource.conflict_at > 0;
            if resource.places.iter().any(foreign)
                && !quiet
                && lock(&self.leases).running(name).is_some()
            {
                resource.conflict_at = now;
                // What the rival says while this one is answered is outlasted by the dense part of the schedule.
                resource.announcing = Some(Announcing::from(now));
                announce = Some(name.clone());
                let (resource, address, mac) = (name.clone(), claim.address, claim.mac);
                events.push(AddressEvent::ConflictSeen {
                    resource,
                    address,
                    mac,
                    member,
                    at_boot_ns: now,
                });
            }
        }
        if let Some(name) = announce {
            // A failure is the link's: its own event tells.
            self.announce(&name).ok();
        }
        events
    }

    /// Does what is due; returns the events and the next due time.
    pub(crate) fn on_time(&mut self) -> (Vec<AddressEvent>, Option<u64>) {
        let now = boot_now_ns();
        self.follow_leases();
        let mut announcing = Vec::new();
        for (name, resource) in &mut self.resources {
            if let Some(schedule) = resource
                .announcing
                .as_mut()
                .filter(|schedule| schedule.due <= now)
            {
                schedule.advance();
                announcing.push(name.clone());
            }
        }
        for name in announcing {
            self.announce(&name).ok();
        }
        let events = self.ask_gateways(now);
        let unguarded_end = self.leases().first_unguarded_end();
        let schedules = self.resources.values().flat_map(|resource| {
            [
                resource.announcing.map(|schedule| schedule.due),
                resource.gateway.as_ref().map(|g| g.due),
            ]
        });
        (events, schedules.chain([unguarded_end]).flatten().min())
    }

    fn ask_gateways(&mut self, now: u64) -> Vec<AddressEvent> {
        let mut events = Vec::new();
        for (name, resource) in &mut self.resources {
            let Some(gateway) = resource.gateway.as_mut().filter(|g| g.due <= now) else {
                continue;
            };
            let question = gateway.ask(now);
            if question.lost {
                let (resource, gateway) = (name.clone(), gateway.address);
                events.push(AddressEvent::GatewayHealth {
                    resource,
                    gateway,
                    reachable: false,
                    at_boot_ns: now,
                });
            }
            let same_family = |p: &&Place| p.vip.address.is_ipv4() == gateway.address.is_ipv4();
            let place = resource
                .places
                .iter()
                .find(same_family)
                .or(resource.places.first());
            if let (Some(port), Ok(speaker)) = (place.and_then(Place::port), &self.speaker) {
                let source = own_address(
                    &mut self.routing,
                    port.index,
                    gateway.address,
                    &resource.addresses,
                );
                // No answer counts as a miss, whatever kept the question from leaving.
                speaker.ask(port, source, gateway.address, question.to).ok();
            }
        }
        events
    }
}

/// An address of the node's own to ask from: never a virtual one, which this node may not hold.
fn own_address(
    routing: &mut Routing,
    index: u32,
    gateway: IpAddr,
    virtuals: &[IpAddr],
) -> Option<IpAddr> {
    let link_local =
        |address: IpAddr| matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    let assigned = routing.addresses().ok()?;
    let own = assigned
        .iter()
        .filter(|a| a.index == index && !virtuals.contains(&a.vip.address));
    own.filter(|a| a.covers(gateway) || (gateway.is_ipv6() && link_local(a.vip.address)))
        .map(|a| a.vip.address)
        .next()
}
