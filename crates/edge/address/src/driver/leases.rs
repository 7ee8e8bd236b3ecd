//! Deadlines and the guard, behind a lock of their own: extending a lease waits for nothing else, above all not for
//! rtnetlink, whose one lock is held for long while somebody removes interfaces or network namespaces.
//! Not for addresses on interfaces: that is `state`.

use super::{AddressConfig, Extended};
use crate::clock::{boot_now_ns, remaining};
use crate::guard::{AddressGuard, GuardExtended, SHORTEST};
use crate::{AddressError, AddressEvent};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Debug)]
pub(crate) struct Leases {
    pub(crate) guard: Option<AddressGuard>,
    leases: BTreeMap<String, Lease>,
}

#[derive(Debug, Default)]
struct Lease {
    addresses: Vec<IpAddr>,
    /// Held until then; `None` when not held.
    deadline: Option<u64>,
    /// Until when the addresses' lifetimes last: extending further needs the watching thread.
    lasts_until: u64,
}

impl Leases {
    pub(crate) fn new(config: &AddressConfig) -> Result<Self, AddressError> {
        let guard = if config.guard {
            Some(AddressGuard::new(&config.table)?)
        } else {
            None
        };
        Ok(Self {
            guard,
            leases: BTreeMap::new(),
        })
    }

    /// Makes a resource's addresses known and guarded. Of a held resource, new addresses are opened until its deadline;
    /// those no longer listed stay guarded until they are released.
    pub(crate) fn prepare(
        &mut self,
        name: &str,
        addresses: &[IpAddr],
    ) -> Result<Extended, AddressError> {
        if let Some(guard) = &mut self.guard {
            guard.manage(addresses)?;
        }
        let lease = self.leases.entry(name.to_owned()).or_default();
        let added: Vec<IpAddr> = addresses
            .iter()
            .copied()
            .filter(|a| !lease.addresses.contains(a))
            .collect();
        addresses.clone_into(&mut lease.addresses);
        let (Some(deadline), false) = (lease.deadline, added.is_empty()) else {
            return Ok(Extended::Live);
        };
        let opened = open(self.guard.as_mut(), &added, deadline)?;
        if opened == Extended::Lapsed {
            self.end(name)?;
        }
        Ok(opened)
    }

    /// Opens a resource, or extends it when it is held.
    pub(crate) fn begin(&mut self, name: &str, deadline: u64) -> Result<Extended, AddressError> {
        let lease = self.lease(name)?;
        if lease.deadline.is_some() {
            return self.extend(name, deadline).map(|(extended, _)| extended);
        }
        let addresses = lease.addresses.clone();
        let opened = open(self.guard.as_mut(), &addresses, deadline)?;
        if opened == Extended::Live {
            let lease = self.lease(name)?;
            (lease.deadline, lease.lasts_until) = (Some(deadline), u64::MAX);
        }
        Ok(opened)
    }

    /// Moves the deadline. Also tells whether lifetimes have to follow (after a lapse: whether addresses have to go).
    pub(crate) fn extend(
        &mut self,
        name: &str,
        deadline: u64,
    ) -> Result<(Extended, bool), AddressError> {
        let lease = self
            .leases
            .get_mut(name)
            .ok_or_else(|| not_prepared(name))?;
        let now = boot_now_ns();
        let running = lease.deadline.is_some_and(|held| now < held);
        if !running || remaining(deadline, now) < SHORTEST {
            self.end(name)?;
            return Ok((Extended::Lapsed, true));
        }
        if let Some(guard) = &mut self.guard
            && lease.deadline != Some(deadline)
            && guard.extend(&lease.addresses, deadline)? == GuardExtended::Lapsed
        {
            self.end(name)?;
            return Ok((Extended::Lapsed, true));
        }
        lease.deadline = Some(deadline);
        Ok((Extended::Live, lease.lasts_until < deadline))
    }

    /// The lease is over: the guard is closed, the addresses stay guarded.
    pub(crate) fn end(&mut self, name: &str) -> Result<(), AddressError> {
        let lease = self.lease(name)?;
        lease.deadline = None;
        let addresses = lease.addresses.clone();
        self.close(&addresses)
    }

    /// The addresses of a resource; none when it is not known.
    pub(super) fn addresses(&self, name: &str) -> Vec<IpAddr> {
        let lease = self.leases.get(name);
        lease.map_or_else(Vec::new, |lease| lease.addresses.clone())
    }

    /// The deadline of a lease that runs.
    pub(crate) fn running(&self, name: &str) -> Option<u64> {
        self.leases
            .get(name)?
            .deadline
            .filter(|deadline| boot_now_ns() < *deadline)
    }

    /// Without a guard somebody has to be there when a lease ends.
    pub(crate) fn first_unguarded_end(&self) -> Option<u64> {
        if self.guard.is_some() {
            return None;
        }
        self.leases
            .keys()
            .filter_map(|name| self.running(name))
            .min()
    }

    /// Somebody else changed the ruleset.
    pub(crate) fn on_foreign_ruleset_change(&mut self) -> Option<AddressEvent> {
        let repaired = self.guard.as_mut()?.repair();
        let at_boot_ns = boot_now_ns();
        match repaired {
            Ok(None) => None,
            Ok(Some(reason)) => Some(AddressEvent::GuardRestored { reason, at_boot_ns }),
            Err(failure) => Some(AddressEvent::GuardLost {
                reason: failure.to_string(),
                at_boot_ns,
            }),
        }
    }

    /// Notes until when the resource's lifetimes last.
    pub(crate) fn note_lasting(&mut self, name: &str, until: u64) {
        if let Some(lease) = self.leases.get_mut(name) {
            lease.lasts_until = until;
        }
    }

    /// The resource is not known any longer.
    pub(crate) fn forget(&mut self, name: &str) {
        self.leases.remove(name);
    }

    pub(crate) fn close(&mut self, addresses: &[IpAddr]) -> Result<(), AddressError> {
        self.guard
            .as_mut()
            .map_or(Ok(()), |guard| guard.close(addresses))
    }

    pub(crate) fn release(&mut self, addresses: &[IpAddr]) -> Result<(), AddressError> {
        self.guard
            .as_mut()
            .map_or(Ok(()), |guard| guard.release(addresses))
    }

    fn lease(&mut self, name: &str) -> Result<&mut Lease, AddressError> {
        self.leases.get_mut(name).ok_or_else(|| not_prepared(name))
    }
}

fn open(
    guard: Option<&mut AddressGuard>,
    addresses: &[IpAddr],
    deadline: u64,
) -> Result<Extended, AddressError> {
    let Some(guard) = guard else {
        let enough = remaining(deadline, boot_now_ns()) >= SHORTEST;
        return Ok(if enough {
            Extended::Live
        } else {
            Extended::Lapsed
        });
    };
    // An earlier agent may have left some of them open.
    let (open, closed): (Vec<IpAddr>, Vec<IpAddr>) =
        addresses.iter().partition(|a| guard.is_open(**a));
    let mut outcome = GuardExtended::Live;
    if !open.is_empty() {
        outcome = guard.extend(&open, deadline)?;
    }
    if outcome == GuardExtended::Live && !closed.is_empty() {
        outcome = guard.open(&closed, deadline)?;
    }
    match outcome {
        GuardExtended::Live => Ok(Extended::Live),
        GuardExtended::Lapsed => guard.close(addresses).map(|()| Extended::Lapsed),
    }
}

pub(super) fn not_prepared(name: &str) -> AddressError {
    AddressError::NotPrepared {
        resource: name.to_owned(),
    }
}

/// A panic elsewhere leaves nothing half done that the kernel would not tell.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
