//! Bringing addresses up and telling the link, now and again later. Opens nothing: the guard is open already.

use super::leases::not_prepared;
use super::state::{State, add, kernel, lapsed};
use crate::AddressError;
use crate::clock::boot_now_ns;
use rustix::io::Errno;
use std::time::Duration;

/// How long to wait for the kernel to deliver packets to an IPv6 address before announcing it all the same.
const DELIVERED_WITHIN_NS: u64 = 25_000_000;
/// Announcements after the one at the start, counted from it; then every [`ANNOUNCE_EVERY_NS`]. A switch or client that
/// missed one, or heard an older one after it, has a wrong answer until the next.
const ANNOUNCE_AT_MS: [u64; 4] = [100, 300, 1_000, 3_000];
const ANNOUNCE_EVERY_NS: u64 = 10_000_000_000;
const NS_PER_MS: u64 = 1_000_000;

/// The schedule of announcements.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Announcing {
    since: u64,
    step: usize,
    pub(crate) due: u64,
}

impl Announcing {
    pub(super) fn from(now: u64) -> Self {
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
    /// Adds what the kernel does not have, announces, and makes sure that the lease still runs.
    pub(super) fn add_missing(&mut self, name: &str) -> Result<(), AddressError> {
        let deadline = self.leases().running(name).ok_or_else(|| lapsed(name))?;
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
        // The kernel makes an IPv6 address deliverable a moment after it has answered; announced earlier, the first
        // packets would be lost.
        let enough = boot_now_ns()
            .saturating_add(DELIVERED_WITHIN_NS)
            .min(deadline);
        for place in resource
            .places
            .iter()
            .filter(|place| place.vip.address.is_ipv6())
        {
            while !self.routing.is_delivered_here(place.vip.address) && boot_now_ns() < enough {
                std::thread::sleep(Duration::from_micros(200));
            }
        }
        resource.announcing = Some(Announcing::from(boot_now_ns()));
        let lasts_until = resource.lasts_until();
        self.leases().note_lasting(name, lasts_until);
        self.announce(name)?;
        let running = self.leases().running(name);
        running.map(|_deadline| ()).ok_or_else(|| lapsed(name))
    }

    /// Announces every address of a resource now, as long as its lease runs; returns the first failure.
    pub(crate) fn announce(&self, name: &str) -> Result<(), AddressError> {
        let mut result = Ok(());
        for place in self
            .resources
            .get(name)
            .iter()
            .flat_map(|resource| &resource.places)
        {
            let Some(port) = place.port() else { continue };
            let router = place.vip.address.is_ipv6() && forwards(&place.link.name);
            let speaker = self.speaker.as_ref().map_err(|errno| no_speaker(*errno))?;
            // Immediately before sending: packet sockets pass by the guard.
            if self.leases().running(name).is_none() {
                break;
            }
            let sent = speaker.announce(port, place.vip.address, router);
            result = result.and(sent.map_err(|errno| kernel("announce", place, errno)));
        }
        result
    }
}

/// Whether this machine is an IPv6 router on the interface, which its advertisements have to say.
fn forwards(interface: &str) -> bool {
    let path = format!("/proc/sys/net/ipv6/conf/{interface}/forwarding");
    std::fs::read(path).is_ok_and(|text| text.first() == Some(&b'1'))
}

fn no_speaker(errno: Errno) -> AddressError {
    AddressError::Unsupported(format!("announcing an address needs CAP_NET_RAW: {errno}"))
}
