//! What the watching thread reports. Not for the results of calls: those come back from the call.

use crate::Mac;
use std::net::IpAddr;

/// Something happened to an address, its link or the guard that nobody in this process did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddressEvent {
    /// A held address was removed by someone else. The core orders `repair`.
    AddressLost {
        /// Resource that holds it.
        resource: String,
        /// The address.
        address: IpAddr,
        /// `CLOCK_BOOTTIME` nanoseconds when it was seen.
        at_boot_ns: u64,
    },
    /// Carrier of the resource's interface came or went (interface removed counts as gone). Sent once at the start of
    /// watching when the link is down, then at every change. Reported for prepared resources, held or not.
    LinkHealth {
        /// Resource whose interface it is.
        resource: String,
        /// Interface name.
        interface: String,
        /// Whether the interface is up and has carrier.
        up: bool,
        /// `CLOCK_BOOTTIME` nanoseconds when it was seen.
        at_boot_ns: u64,
    },
    /// The gateway of a resource stopped answering (three probes, one a second) or answers again.
    /// The first outcome is always reported.
    GatewayHealth {
        /// Resource whose gateway it is.
        resource: String,
        /// The gateway.
        gateway: IpAddr,
        /// Whether it answers.
        reachable: bool,
        /// `CLOCK_BOOTTIME` nanoseconds when it was decided.
        at_boot_ns: u64,
    },
    /// Somebody else claims a held address on the link. It has been announced again already.
    ConflictSeen {
        /// Resource that holds the address.
        resource: String,
        /// The address.
        address: IpAddr,
        /// Who claims it.
        mac: Mac,
        /// Whether the MAC belongs to a member of the cluster (see `AddressDriver::set_members`).
        member: bool,
        /// `CLOCK_BOOTTIME` nanoseconds when it was seen.
        at_boot_ns: u64,
    },
    /// The guard's tables had been changed by someone else and were put back.
    GuardRestored {
        /// What was missing.
        reason: String,
        /// `CLOCK_BOOTTIME` nanoseconds when the restoration was complete.
        at_boot_ns: u64,
    },
    /// The guard's tables are damaged and could not be put back: the guard does not protect until they are.
    GuardLost {
        /// What the kernel said.
        reason: String,
        /// `CLOCK_BOOTTIME` nanoseconds of the attempt.
        at_boot_ns: u64,
    },
}
