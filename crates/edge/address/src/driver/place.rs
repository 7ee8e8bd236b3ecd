//! Where an address belongs: interface, MAC, prefix route. Asks the kernel; remembers nothing.

use crate::packet::Port;
use crate::route::{Addition, Assigned, Link, Routing};
use crate::{AddressError, Vip, VipSpec};
use std::net::IpAddr;
use std::time::Duration;

/// The kernel removes an address up to 20 ms before its lifetime is over (ADDRCONF_TIMER_FUZZ_MINUS).
const KERNEL_EARLY: Duration = Duration::from_millis(50);

/// One address of a resource and the interface that it belongs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) vip: Vip,
    pub(crate) link: Link,
    /// `boot_now_ns` before which the kernel does not remove it.
    pub(crate) lasts_until: u64,
    no_prefix_route: bool,
}

impl Place {
    /// 127.0.0.0/8 on `lo` is there without being added, and cannot be taken away.
    pub(crate) fn ambient(&self) -> bool {
        self.link.loopback && self.vip.address.is_loopback()
    }

    /// The same address and prefix on the same interface.
    pub(crate) fn same_spot(&self, other: &Self) -> bool {
        self.vip == other.vip && self.link.index == other.link.index
    }

    /// Where to speak on the link; `None` on loopback and on links without MAC addresses.
    pub(crate) fn port(&self) -> Option<Port> {
        let mac = self.link.mac.filter(|_| !self.link.loopback)?;
        Some(Port {
            index: self.link.index,
            mac,
        })
    }

    /// The addition that lasts until the deadline at least, and what `lasts_until` will be.
    pub(crate) fn addition(&self, left: Duration, now_boot_ns: u64) -> (Addition, u64) {
        let lifetime = left + 2 * KERNEL_EARLY;
        let whole = lifetime.as_secs() + u64::from(lifetime.subsec_nanos() > 0);
        let lifetime_s = u32::try_from(whole).unwrap_or(u32::MAX - 1);
        let addition = Addition {
            vip: self.vip,
            index: self.link.index,
            lifetime_s,
            no_prefix_route: self.no_prefix_route,
        };
        let lasts = Duration::from_secs(u64::from(lifetime_s)).saturating_sub(KERNEL_EARLY);
        (
            addition,
            now_boot_ns.saturating_add(u64::try_from(lasts.as_nanos()).unwrap_or(u64::MAX)),
        )
    }
}

/// Finds the place of each address of the specification.
pub(crate) fn resolve(routing: &mut Routing, spec: &VipSpec) -> Result<Vec<Place>, AddressError> {
    let vips = spec.vips()?;
    let (links, assigned) = (routing.links()?, routing.addresses()?);
    let own: Vec<IpAddr> = vips.iter().map(|vip| vip.address).collect();
    vips.iter()
        .map(|vip| {
            let link = interface_of(routing, spec.interface.as_deref(), *vip, &links, &assigned)?;
            Ok(Place {
                vip: *vip,
                no_prefix_route: needs_no_prefix_route(*vip, link.index, &assigned, &own),
                link,
                lasts_until: 0,
            })
        })
        .collect()
}

fn interface_of(
    routing: &mut Routing,
    named: Option<&str>,
    vip: Vip,
    links: &[Link],
    assigned: &[Assigned],
) -> Result<Link, AddressError> {
    if let Some(name) = named {
        return links
            .iter()
            .find(|link| link.name == name)
            .cloned()
            .ok_or_else(|| {
                let names: Vec<&str> = links.iter().map(|link| link.name.as_str()).collect();
                AddressError::Spec(format!(
                    "no interface {name} for {vip}; this machine has {}",
                    names.join(", ")
                ))
            });
    }
    let present = assigned.iter().find(|a| a.vip.address == vip.address);
    let covering = || {
        assigned
            .iter()
            .filter(|a| a.covers(vip.address))
            .max_by_key(|a| a.vip.prefix)
    };
    let index = match present.or_else(covering) {
        Some(found) => Some(found.index),
        None => routing.route_to(vip.address),
    };
    links
        .iter()
        .find(|link| Some(link.index) == index)
        .cloned()
        .ok_or_else(|| {
            AddressError::Spec(format!(
                "no interface has a subnet or route for {vip}: name one with `interface`"
            ))
        })
}

/// A subnet route is added with the address only when the interface does not reach the subnet yet: with a lifetime of its
/// own it would otherwise disturb the route that the node's permanent address made.
fn needs_no_prefix_route(vip: Vip, index: u32, assigned: &[Assigned], own: &[IpAddr]) -> bool {
    if let Some(present) = assigned.iter().find(|a| a.vip == vip && a.index == index) {
        return present.no_prefix_route();
    }
    assigned.iter().any(|a| {
        a.index == index
            && a.vip.prefix == vip.prefix
            && a.covers(vip.address)
            && !own.contains(&a.vip.address)
    })
}
