//! The `vip` driver: what the agent calls. Every call may be repeated and may have been interrupted before; each brings
//! the machine to the state it names. It decides nothing: the caller holds the lease and brings its deadline.

mod announce;
mod change;
mod foreign;
mod gateway;
mod leases;
mod observe;
pub(crate) mod place;
mod report;
mod state;
mod watch;

use crate::{AddressError, AddressEvent, AddressGuard, Mac, VipSpec};
use leases::{Leases, lock};
use state::State;
use std::net::IpAddr;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use watch::Watch;

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
    /// The lease had lapsed before the extension took effect: the guard is closed (without a guard the addresses are
    /// being removed), and it stays so until the resource is stopped and started again.
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
    leases: Arc<Mutex<Leases>>,
    state: Arc<Mutex<State>>,
    watch: Watch,
}

impl AddressDriver {
    /// Starts watching. Takes over tables of the same name; changes nothing by itself.
    ///
    /// # Errors
    /// [`AddressError::Unsupported`] when a netlink socket cannot be had, or the guard is wanted and cannot be had.
    pub fn new(config: AddressConfig, events: Sender<AddressEvent>) -> Result<Self, AddressError> {
        let leases = Arc::new(Mutex::new(Leases::new(&config)?));
        let state = Arc::new(Mutex::new(State::new(config, Arc::clone(&leases))?));
        let watch = Watch::begin(Arc::clone(&state), events)?;
        Ok(Self {
            leases,
            state,
            watch,
        })
    }

    /// Replaces the list of members' MAC addresses.
    pub fn set_members(&self, members: &[Mac]) {
        members.clone_into(&mut self.state().members);
    }

    /// What an earlier agent with the same table left: the managed addresses, whether they are still open and present.
    /// A resource that continues is `prepare`d and `start`ed with its lease; of others call `stop`, and
    /// `remove_leftover` for addresses that belong to no resource any more.
    ///
    /// # Errors
    /// [`AddressError::Kernel`] when the kernel cannot be asked.
    pub fn adopt(&self) -> Result<Vec<Adopted>, AddressError> {
        self.state().adopt()
    }

    /// Makes the resource known, its addresses managed and (unless open already) closed, and starts watching its link
    /// and gateway. To be called for every configured `vip` resource at agent start, before anything else. With another
    /// specification than before it is `reconfigure`.
    ///
    /// # Errors
    /// [`AddressError::Spec`] for a specification that cannot be right on this machine (the addresses are guarded
    /// nevertheless), [`AddressError::Kernel`].
    pub fn prepare(&self, resource: &str, spec: &VipSpec) -> Result<(), AddressError> {
        self.changing(|state| state.prepare(resource, spec))
    }

    /// Opens the guard, adds the addresses, announces them at once and again later. The conflict probe is the caller's
    /// to run before ([`crate::probe_conflict`]). When held already, the same as `extend` plus adding what is missing.
    ///
    /// # Errors
    /// [`AddressError::Lapsed`] when the deadline passes meanwhile (then nothing is open), [`AddressError::Kernel`] and
    /// [`AddressError::Unsupported`] (then what was done is undone, unless it was held before).
    pub fn start(
        &self,
        resource: &str,
        spec: &VipSpec,
        deadline_boot_ns: u64,
    ) -> Result<(), AddressError> {
        self.changing(|state| state.start(resource, spec, deadline_boot_ns))
    }

    /// Moves the deadline. Made to be called every 40 to 100 ms: sets the guard and waits for nothing else; lifetimes
    /// follow in the background.
    ///
    /// # Errors
    /// [`AddressError::NotPrepared`], or [`AddressError::Kernel`] when the kernel refuses for another reason than a
    /// lapsed lease.
    pub fn extend(&self, resource: &str, deadline_boot_ns: u64) -> Result<Extended, AddressError> {
        let (extended, follow) = lock(&self.leases).extend(resource, deadline_boot_ns)?;
        if follow {
            self.watch.follow();
        }
        Ok(extended)
    }

    /// Adds again what is missing of a held resource and announces it, within the deadline it already has.
    ///
    /// # Errors
    /// As `start`; [`AddressError::Lapsed`] when it is not held.
    pub fn repair(&self, resource: &str) -> Result<(), AddressError> {
        self.changing(|state| state.repair(resource))
    }

    /// Closes the guard and deletes the addresses; they stay managed. `Ok` means confirmed: the kernel has answered that
    /// each address is gone. Works for resources that were prepared but never started here.
    ///
    /// # Errors
    /// Any error means unknown: the address may still be there.
    pub fn stop(&self, resource: &str) -> Result<(), AddressError> {
        // The lease first: it needs no waiting for whatever holds the other lock.
        let closed = lock(&self.leases).end(resource);
        self.state().remove_from_links(resource)?;
        closed
    }

    /// Changes the specification of a prepared resource. Of a held one only the difference is added (open, announced)
    /// and removed; connections through the others live on.
    ///
    /// # Errors
    /// As `start`; the addresses that stay are not touched by a failure.
    pub fn reconfigure(&self, resource: &str, new: &VipSpec) -> Result<(), AddressError> {
        self.changing(|state| state.reconfigure(resource, new))
    }

    /// Stops the resource and guards its addresses no longer. The tables go with the last one.
    ///
    /// # Errors
    /// As `stop`.
    pub fn forget(&self, resource: &str) -> Result<(), AddressError> {
        lock(&self.leases).end(resource)?;
        self.state().forget(resource)
    }

    /// Removes an address that `adopt` found and that belongs to no resource.
    ///
    /// # Errors
    /// As `stop`; [`AddressError::Spec`] when it belongs to a resource after all.
    pub fn remove_leftover(&self, address: IpAddr) -> Result<(), AddressError> {
        self.state().remove_leftover(address)
    }

    /// The resource as the kernel has it now.
    ///
    /// # Errors
    /// [`AddressError::NotPrepared`], [`AddressError::Kernel`].
    pub fn status(&self, resource: &str) -> Result<VipStatus, AddressError> {
        self.state().status(resource)
    }

    /// Removes the guard's tables whatever they hold: for taking Standfast off the machine.
    ///
    /// # Errors
    /// [`AddressError::Kernel`].
    pub fn uninstall(&self) -> Result<(), AddressError> {
        lock(&self.leases)
            .guard
            .as_mut()
            .map_or(Ok(()), AddressGuard::uninstall)
    }

    /// An operation after which the watching thread has other things to wait for.
    fn changing<T>(&self, operation: impl FnOnce(&mut State) -> T) -> T {
        let result = operation(&mut self.state());
        self.watch.look();
        result
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}
