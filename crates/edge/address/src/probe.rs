//! The conflict probe: one round of "who has these addresses?" before they are taken. Not for watching while held.

use crate::{AddressError, Mac, VipSpec};
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
/// neighbour solicitation from the unspecified address (RFC 4862). Blocks for the round; needs no driver, so it can run
/// during the wait for the old lease. Addresses on `lo` are never in conflict.
///
/// # Errors
/// [`AddressError::Unsupported`] without `CAP_NET_RAW`, [`AddressError::Spec`] for an interface that does not exist.
pub fn probe_conflict(
    _spec: &VipSpec,
    _members: &[Mac],
    _round: Duration,
) -> Result<ConflictReport, AddressError> {
    Err(AddressError::Unsupported("not built yet".to_owned()))
}
