//! Addresses that somebody else puts on interfaces and takes away, such as a resource agent: the guard alone makes them silent unless their lease
//! runs. All of it needs the lock of the leases only, as extending does. Nothing is added, announced or removed here.

use super::leases::{Leases, lock};
use super::{AddressDriver, Extended};
use crate::AddressError;
use std::net::IpAddr;

impl AddressDriver {
    /// Guards the address of a resource, closed unless it is open already. An address that an earlier agent left open stays open for as long as
    /// that one was allowed to have it.
    ///
    /// # Errors
    /// [`AddressError::Kernel`] when the kernel refuses.
    pub fn guard(&self, resource: &str, address: IpAddr) -> Result<(), AddressError> {
        lock(&self.leases).guard_foreign(resource, address)
    }

    /// The same, unless its lease runs, perhaps for another address.
    ///
    /// # Errors
    /// As [`Self::guard`].
    pub fn guard_unless_held(&self, resource: &str, address: IpAddr) -> Result<(), AddressError> {
        let mut leases = lock(&self.leases);
        match leases.running(resource) {
            Some(_) => Ok(()),
            None => leases.guard_foreign(resource, address),
        }
    }

    /// Lets the address of a resource speak until the deadline; `extend` moves that. Guards it first, if nobody has.
    ///
    /// # Errors
    /// [`AddressError::Lapsed`] when the deadline is too near, [`AddressError::Kernel`]. Nothing is open then.
    pub fn open(
        &self,
        resource: &str,
        address: IpAddr,
        deadline_boot_ns: u64,
    ) -> Result<(), AddressError> {
        let mut leases = lock(&self.leases);
        leases.guard_foreign(resource, address)?;
        // A lease that is over by now, or whose guard has closed a moment before its end, is none.
        for _ in 0..2 {
            if leases.running(resource).is_none() {
                leases.end(resource)?;
            }
            if leases.begin(resource, deadline_boot_ns)? == Extended::Live {
                return Ok(());
            }
        }
        Err(AddressError::Lapsed {
            resource: resource.to_owned(),
        })
    }

    /// Guards the address no longer, once its lease is over and no interface has it any more. False: not yet.
    ///
    /// # Errors
    /// [`AddressError::Kernel`] when the kernel refuses or cannot be asked.
    pub fn release(&self, resource: &str) -> Result<bool, AddressError> {
        let mut state = lock(&self.state);
        let assigned = state.routing.addresses()?;
        let mut leases = lock(&self.leases);
        let addresses = leases.addresses(resource);
        let there = assigned.iter().any(|a| addresses.contains(&a.vip.address));
        if there || leases.running(resource).is_some() {
            return Ok(false);
        }
        leases.forget(resource);
        leases.release(&addresses).map(|()| true)
    }
}

impl Leases {
    fn guard_foreign(&mut self, name: &str, address: IpAddr) -> Result<(), AddressError> {
        let before = self.addresses(name);
        if before == [address] {
            return Ok(());
        }
        if !before.is_empty() {
            // Whoever had the other address has been stopped.
            self.end(name)?;
        }
        self.prepare(name, &[address])?;
        let gone: Vec<IpAddr> = before.into_iter().filter(|old| *old != address).collect();
        self.release(&gone)?;
        let open_until = self
            .guard
            .as_ref()
            .and_then(|guard| guard.open_until(address));
        match open_until {
            Some(until) => self.begin(name, until).map(|_| ()),
            None => Ok(()),
        }
    }
}
