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
    Held(Arc<KeeperHandle>),
}

/// All of them. The lock is held for a look into the map and one store, never for a system call
/// that waits.
#[derive(Debug, Default)]
pub(crate) struct Leases(Mutex<BTreeMap<ResourceId, Lease>>);

impl Leases {
    /// A start was ordered: what is extended from now on counts for it.
    pub(crate) fn order(&self, resource: &ResourceId, deadline: u64) {
        let mut leases = self.lock();
        if !matches!(leases.get(resource), Some(Lease::Held(_))) {
            leases.insert(resource.clone(), Lease::Ordered(deadline));
        }
    }

    /// Moves a deadline, later or earlier.
    pub(crate) fn extend(&self, resource: &ResourceId, deadline: u64) {
        match self.lock().get_mut(resource) {
            Some(Lease::Ordered(ordered)) => *ordered = deadline,
            Some(Lease::Held(handle)) => set(resource, handle, deadline),
            None => {}
        }
    }

    /// The keeper is there.
    pub(crate) fn hold(&self, resource: &ResourceId, handle: &Arc<KeeperHandle>) {
        let held = Lease::Held(Arc::clone(handle));
        let mut leases = self.lock();
        if let Some(Lease::Ordered(deadline)) = leases.insert(resource.clone(), held) {
            set(resource, handle, deadline);
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

fn set(resource: &ResourceId, handle: &KeeperHandle, deadline: u64) {
    let deadline = deadline.saturating_mul(NS);
    match handle.lease() {
        LeaseState::Until(present) if present > deadline => {
            if let Err(error) = handle.shorten(deadline) {
                tracing::warn!(%resource, %error, "only the network guard obeys the shorter lease");
            }
        }
        LeaseState::Unset | LeaseState::Until(_) | LeaseState::Closed => {
            if let Err(error) = handle.extend(deadline) {
                tracing::debug!(%resource, %error, "not extended");
            }
        }
    }
}
