//! The leases of everything that was started here, within reach of the thread that extends them:
//! that thread waits for no start, no stop and no disk. Not for deciding a deadline.

use standfast_guard::{KeeperHandle, LeaseState};
use standfast_model::id::ResourceId;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Microseconds here, nanoseconds there.
const NS: u64 = 1000;

/// One resource's lease.
#[derive(Debug)]
enum Lease {
    /// Its keeper is being started; the latest deadline, microseconds.
    Ordered(u64),
    /// The keeper's, and until when it may run by its own lease.
    Held(Arc<KeeperHandle>, u64),
    /// The promoted role of this copy, and until when it may have that: the copy's keeper has one deadline, the earlier one.
    Role(ResourceId, u64),
}

/// All of them. The lock is held for a look into the map and one store, never for a system call
/// that waits.
#[derive(Debug, Default)]
pub(crate) struct Leases(Mutex<BTreeMap<ResourceId, Lease>>);

impl Leases {
    /// A start was ordered: what is extended from now on counts for it.
    pub(crate) fn order(&self, resource: &ResourceId, deadline: u64) {
        let mut leases = self.lock();
        let held = leases.get(resource);
        if !matches!(held, Some(Lease::Held(..) | Lease::Role(..))) {
            leases.insert(resource.clone(), Lease::Ordered(deadline));
        }
    }

    /// Moves a deadline, later or earlier.
    pub(crate) fn extend(&self, resource: &ResourceId, deadline: u64) {
        let mut leases = self.lock();
        match leases.get_mut(resource) {
            Some(Lease::Ordered(ordered)) => *ordered = deadline,
            Some(Lease::Held(_, own)) => {
                *own = deadline;
                apply(&leases, resource);
            }
            Some(Lease::Role(copy, role)) => {
                *role = deadline;
                let copy = copy.clone();
                apply(&leases, &copy);
            }
            None => {}
        }
    }

    /// From here on a copy runs no longer than its promoted role may: until `deadline`, or what was ordered since. False where
    /// there is no such copy, or its keeper cannot be told.
    pub(crate) fn carry(&self, role: &ResourceId, copy: &ResourceId, deadline: u64) -> bool {
        let mut leases = self.lock();
        let deadline = match leases.get(role) {
            Some(Lease::Ordered(ordered)) => *ordered,
            Some(Lease::Held(..) | Lease::Role(..)) | None => deadline,
        };
        leases.insert(role.clone(), Lease::Role(copy.clone(), deadline));
        apply(&leases, copy)
    }

    /// The keeper is there.
    pub(crate) fn hold(&self, resource: &ResourceId, handle: &Arc<KeeperHandle>) {
        let mut leases = self.lock();
        let present = match (leases.get(resource), handle.lease()) {
            (Some(Lease::Ordered(deadline)), _) => *deadline,
            (_, LeaseState::Until(deadline)) => deadline / NS,
            (_, LeaseState::Unset | LeaseState::Closed) => 0,
        };
        let ordered = matches!(leases.get(resource), Some(Lease::Ordered(_)));
        let held = Lease::Held(Arc::clone(handle), present);
        leases.insert(resource.clone(), held);
        if ordered {
            apply(&leases, resource);
        }
    }

    /// It is over, or was never started.
    pub(crate) fn release(&self, resource: &ResourceId) {
        self.lock().remove(resource);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ResourceId, Lease>> {
        // The map is whole after every statement.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells a keeper its deadline: its own, or that of the role that it carries, if that is earlier. False where it is not told.
fn apply(leases: &BTreeMap<ResourceId, Lease>, resource: &ResourceId) -> bool {
    let Some(Lease::Held(handle, own)) = leases.get(resource) else {
        return false;
    };
    let roles = leases.values().filter_map(|lease| match lease {
        Lease::Role(copy, deadline) if copy == resource => Some(*deadline),
        Lease::Ordered(_) | Lease::Held(..) | Lease::Role(..) => None,
    });
    set(resource, handle, roles.fold(*own, u64::min))
}

fn set(resource: &ResourceId, handle: &KeeperHandle, deadline: u64) -> bool {
    let deadline = deadline.saturating_mul(NS);
    match handle.lease() {
        LeaseState::Until(present) if present > deadline => {
            if let Err(error) = handle.shorten(deadline) {
                tracing::warn!(%resource, %error, "only the network guard obeys the shorter lease");
                return false;
            }
        }
        LeaseState::Unset | LeaseState::Until(_) | LeaseState::Closed => {
            if let Err(error) = handle.extend(deadline) {
                tracing::debug!(%resource, %error, "not extended");
                return false;
            }
        }
    }
    true
}
