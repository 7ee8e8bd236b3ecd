//! The conflict probe: one round of "who has these addresses?" before they are taken. Not for watching while held.

use crate::clock::{boot_now_ns, remaining};
use crate::driver::place::{Place, resolve};
use crate::packet::{Claim, Listener, Speaker};
use crate::route::Routing;
use crate::{AddressError, Mac, VipSpec};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::net::IpAddr;
use std::time::Duration;

/// Length of one round.
pub const PROBE_ROUND: Duration = Duration::from_millis(50);

/// Who answered for one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Probed {
    /// The address.
    pub address: IpAddr,
    /// Who answered.
    pub mac: Mac,
}

/// What one round found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConflictReport {
    /// Claimed by machines that are not members: the start is to be refused.
    pub foreign: Vec<Probed>,
    /// Claimed by members: an alarm, two owners may be active.
    pub members: Vec<Probed>,
}

impl ConflictReport {
    /// Whether nobody answered.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        self.foreign.is_empty() && self.members.is_empty()
    }
}

/// Asks the link for `round` (usually [`PROBE_ROUND`]) whether anybody has the addresses: ARP probe (RFC 5227) and
/// neighbour solicitation from the unspecified address (RFC 4862), repeated in the middle of the round. Blocks for the
/// round; needs no driver, so it can run at the end of the wait for the old lease (before that the old holder answers). Addresses on `lo` are never in conflict.
///
/// # Errors
/// [`AddressError::Unsupported`] without `CAP_NET_RAW`, [`AddressError::Spec`] for an interface that does not exist,
/// [`AddressError::Kernel`] when a question could not be sent (link down): nobody was asked.
pub fn probe_conflict(
    spec: &VipSpec,
    members: &[Mac],
    round: Duration,
) -> Result<ConflictReport, AddressError> {
    let mut routing = Routing::new()?;
    let places: Vec<Place> = resolve(&mut routing, spec)?
        .into_iter()
        .filter(|p| p.port().is_some())
        .collect();
    let mut report = ConflictReport::default();
    if places.is_empty() {
        return Ok(report);
    }
    let unsupported =
        |errno| AddressError::Unsupported(format!("the conflict probe needs CAP_NET_RAW: {errno}"));
    let speaker = Speaker::new().map_err(unsupported)?;
    let listener = Listener::new().map_err(unsupported)?;
    let begun = boot_now_ns();
    let half = begun.saturating_add(nanoseconds(round / 2));
    let end = begun.saturating_add(nanoseconds(round));
    for until in [half, end] {
        ask_all(&speaker, &places)?;
        while wait(&listener, until) {
            for claim in listener.claims() {
                note(&mut report, &places, members, claim);
            }
        }
    }
    // Closing a packet socket waits for an RCU grace period, tens of milliseconds on a busy machine.
    std::thread::spawn(move || drop((speaker, listener)));
    Ok(report)
}

fn ask_all(speaker: &Speaker, places: &[Place]) -> Result<(), AddressError> {
    for place in places {
        let Some(port) = place.port() else { continue };
        let what = || {
            format!(
                "ask interface {} who has {}",
                place.link.name, place.vip.address
            )
        };
        speaker
            .ask(port, None, place.vip.address, None)
            .map_err(|errno| AddressError::kernel(what(), errno))?;
    }
    Ok(())
}

/// Waits for packets; false once the time has come.
fn wait(listener: &Listener, until_boot_ns: u64) -> bool {
    let left = remaining(until_boot_ns, boot_now_ns());
    if left.is_zero() {
        return false;
    }
    let timeout = Timespec {
        tv_sec: i64::try_from(left.as_secs()).unwrap_or(1),
        tv_nsec: i64::from(left.subsec_nanos()),
    };
    let mut descriptors = listener
        .descriptors()
        .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
    poll(&mut descriptors, Some(&timeout)).ok();
    true
}

fn note(report: &mut ConflictReport, places: &[Place], members: &[Mac], claim: Claim) {
    let foreign = |place: &Place| {
        place.vip.address == claim.address
            && place
                .port()
                .is_some_and(|port| port.index == claim.index && port.mac != claim.mac)
    };
    if !places.iter().any(foreign) {
        return;
    }
    let list = if members.contains(&claim.mac) {
        &mut report.members
    } else {
        &mut report.foreign
    };
    let probed = Probed {
        address: claim.address,
        mac: claim.mac,
    };
    if !list.contains(&probed) {
        list.push(probed);
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
