//! The `vip` driver: what the agent calls. Every call may be repeated and may have been interrupted before; each brings
//! the machine to the state it names. It decides nothing: the caller holds the lease and brings its deadline.

use crate::{AddressError, AddressEvent, Mac, VipSpec};
use std::net::IpAddr;
use std::sync::mpsc::Sender;
use std::time::Duration;

/// How much later than the deadline the kernel's address lifetime may remove an address, at worst: one second because
/// lifetimes are whole seconds, the rest because the kernel checks them lazily. The guard, where there is one, has
/// silenced the address long before.
pub const LIFETIME_BACKSTOP_LATE: Duration = Duration::from_millis(1500);

/// How the driver is set up on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressConfig {
    /// Name of the guard's tables: one name per agent. Default `standfast`.
    pub table: String,
    /// Whether to guard at all. `false` where [`crate::probe_support`] says there is no guard, and on loopback without
    /// privileges.
    pub guard: bool,
    /// MAC addresses of the cluster's members on the client network.
    pub members: Vec<Mac>,
}

impl Default for AddressConfig {
    fn default() -> Self {
        Self {
            table: "standfast".to_owned(),
            guard: true,
            members: Vec::new(),
        }
    }
}

/// The outcome of an extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extended {
    /// Everything is held until the new deadline.
    Live,
    /// The lease had lapsed before the extension took effect: the guard is closed and stays closed until the resource
    /// is stopped and started again.
    Lapsed,
}

/// One address as found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressStatus {
    /// The address in its normal spelling.
    pub address: IpAddr,
    /// Interface that has it, if any.
    pub present_on: Option<String>,
    /// What is left of its opening by the kernel's own account; `None` when the guard is closed or there is none.
    pub live_for: Option<Duration>,
}

/// A resource as found on the machine (not as remembered).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VipStatus {
    /// Per address.
    pub addresses: Vec<AddressStatus>,
    /// Whether this driver holds it (started, not stopped, not lapsed).
    pub held: bool,
    /// Whether the interface is up with carrier.
    pub link_up: bool,
    /// Last outcome of the gateway probe; `None` before the first or without a gateway.
    pub gateway_reachable: Option<bool>,
}

/// An address that an earlier agent left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adopted {
    /// The address; it is managed by the guard.
    pub address: IpAddr,
    /// What is left of its opening; `None` when closed.
    pub live_for: Option<Duration>,
    /// Interface that has it, if any.
    pub present_on: Option<String>,
}

/// The driver. One background thread watches, announces and probes gateways; it shares the scheduling priority of the
/// thread that calls [`AddressDriver::new`] and ends with the driver. Dropping the driver changes nothing on the machine.
#[derive(Debug)]
pub struct AddressDriver {
    _config: AddressConfig,
    _events: Sender<AddressEvent>,
}

impl AddressDriver {
    /// Starts watching. Takes over tables of the same name; changes nothing by itself.
    ///
    /// # Errors
    /// [`AddressError::Unsupported`] when a netlink socket cannot be had.
    pub fn new(config: AddressConfig, events: Sender<AddressEvent>) -> Result<Self, AddressError> {
        Ok(Self {
            _config: config,
            _events: events,
        })
    }

    /// Replaces the list of members' MAC addresses.
    pub fn set_members(&self, _members: &[Mac]) {}

    /// What an earlier agent with the same table left: the managed addresses, whether they are still open and present.
    /// A resource that continues is `prepare`d and `start`ed with its lease; of others call `stop`.
    ///
    /// # Errors
    /// [`AddressError::Kernel`] when the kernel cannot be asked.
    pub fn adopt(&self) -> Result<Vec<Adopted>, AddressError> {
        Ok(Vec::new())
    }

    /// Makes the resource known, its addresses managed and (unless open already) closed, and starts watching its link
    /// and gateway. To be called for every configured `vip` resource at agent start, before anything else.
    ///
    /// # Errors
    /// [`AddressError::Spec`] for a specification that cannot be right on this machine, [`AddressError::Kernel`].
    pub fn prepare(&self, _resource: &str, _spec: &VipSpec) -> Result<(), AddressError> {
        Ok(())
    }

    /// Opens the guard, adds the addresses, announces them at once and again later. The conflict probe is the caller's
    /// to run before ([`crate::probe_conflict`]). When held already, the same as `extend` plus adding what is missing.
    ///
    /// # Errors
    /// [`AddressError::Lapsed`] when the deadline passes meanwhile (then nothing is open), [`AddressError::Kernel`]
    /// (then what was done is undone).
    pub fn start(
        &self,
        _resource: &str,
        _spec: &VipSpec,
        _deadline_boot_ns: u64,
    ) -> Result<(), AddressError> {
        Err(AddressError::Unsupported("not built yet".to_owned()))
    }

    /// Moves the deadline of guard and lifetimes. Made to be called every 40 to 100 ms.
    ///
    /// # Errors
    /// [`AddressError::NotPrepared`], or [`AddressError::Kernel`] when the kernel refuses for another reason than a
    /// lapsed lease.
    pub fn extend(
        &self,
        _resource: &str,
        _deadline_boot_ns: u64,
    ) -> Result<Extended, AddressError> {
        Err(AddressError::Unsupported("not built yet".to_owned()))
    }

    /// Adds again what is missing of a held resource and announces it, within the deadline it already has.
    ///
    /// # Errors
    /// As `start`.
    pub fn repair(&self, _resource: &str) -> Result<(), AddressError> {
        Err(AddressError::Unsupported("not built yet".to_owned()))
    }

    /// Closes the guard and deletes the addresses; they stay managed. `Ok` means confirmed: the kernel has answered that
    /// each address is gone. Works for resources that were prepared but never started here.
    ///
    /// # Errors
    /// Any error means unknown: the address may still be there.
    pub fn stop(&self, _resource: &str) -> Result<(), AddressError> {
        Err(AddressError::Unsupported("not built yet".to_owned()))
    }

    /// Changes the address list of a prepared resource. Of a held one only the difference is added (open, announced)
    /// and removed; connections through the others live on.
    ///
    /// # Errors
    /// As `start`; the addresses that stay are not touched by a failure.
    pub fn reconfigure(&self, _resource: &str, _new: &VipSpec) -> Result<(), AddressError> {
        Err(AddressError::Unsupported("not built yet".to_owned()))
    }

    /// Stops the resource and guards its addresses no longer. The tables go with the last one.
    ///
    /// # Errors
    /// As `stop`.
    pub fn forget(&self, _resource: &str) -> Result<(), AddressError> {
        Err(AddressError::Unsupported("not built yet".to_owned()))
    }

    /// The resource as the kernel has it now.
    ///
    /// # Errors
    /// [`AddressError::NotPrepared`], [`AddressError::Kernel`].
    pub fn status(&self, _resource: &str) -> Result<VipStatus, AddressError> {
        Err(AddressError::Unsupported("not built yet".to_owned()))
    }

    /// Removes the guard's tables whatever they hold: for taking Standfast off the machine.
    ///
    /// # Errors
    /// [`AddressError::Kernel`].
    pub fn uninstall(&self) -> Result<(), AddressError> {
        Err(AddressError::Unsupported("not built yet".to_owned()))
    }
}
