//! Addresses that agents of resources put on interfaces themselves: guarded as long as the configuration has them, and until they are gone.
//!
//! Not for opening and extending: the core's thread does that. Not for addresses of kind `vip`.

use super::addresses::Order;
use standfast_address::AddressDriver;
use standfast_model::id::ResourceId;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::mpsc::{Receiver, RecvTimeoutError},
    time::Duration,
};

/// How often it is looked whether an address that nobody has any more is gone.
const LOOK: Duration = Duration::from_secs(1);

/// Which there are.
#[derive(Debug, Default)]
pub(super) struct Guarded {
    addresses: BTreeMap<ResourceId, IpAddr>,
    /// No longer in the configuration.
    leaving: BTreeSet<ResourceId>,
}

impl Guarded {
    /// The next order; none when the agent ends.
    pub(super) fn wait(
        &mut self,
        queue: &Receiver<Order>,
        driver: Option<&AddressDriver>,
    ) -> Option<Order> {
        while !self.leaving.is_empty() {
            match queue.recv_timeout(LOOK) {
                Ok(order) => return Some(order),
                Err(RecvTimeoutError::Timeout) => self.let_go(driver),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
        queue.recv().ok()
    }

    /// These are all that there are.
    pub(super) fn set(&mut self, all: Vec<(ResourceId, IpAddr)>, driver: Option<&AddressDriver>) {
        let all: BTreeMap<ResourceId, IpAddr> = all.into_iter().collect();
        let before = std::mem::take(&mut self.addresses);
        let gone = before
            .into_keys()
            .filter(|resource| !all.contains_key(resource));
        self.leaving.extend(gone);
        self.leaving.retain(|resource| !all.contains_key(resource));
        for (resource, address) in &all {
            // Of one that runs, the start with its new address changes it.
            let guarded =
                driver.map(|driver| driver.guard_unless_held(resource.as_str(), *address));
            if let Some(Err(error)) = guarded {
                tracing::warn!(%resource, %error, "cannot guard its address");
            }
        }
        self.addresses = all;
        self.let_go(driver);
    }

    fn let_go(&mut self, driver: Option<&AddressDriver>) {
        let Some(driver) = driver else {
            return self.leaving.clear();
        };
        self.leaving.retain(|resource| match driver.release(resource.as_str()) {
            Ok(released) => !released,
            Err(error) => {
                tracing::warn!(%resource, %error, "cannot take the guard of a removed resource's address away");
                true
            }
        });
    }
}
