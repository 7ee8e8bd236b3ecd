//! Which guards of a lease a machine offers, and what that does to the arithmetic.

use crate::{config::ResourceKind, time::Micros};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What this machine's kernel offers. Probed by the edges at start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardSupport {
    /// The keeper can freeze and kill a resource's own cgroup.
    pub cgroup: bool,
    /// The keeper can give a resource its own process-id namespace.
    pub pid_namespace: bool,
    /// Network guard: cgroup-BPF with an absolute deadline.
    pub network: bool,
    /// Address guard: nftables sets with timeouts for IP, ARP and neighbour discovery.
    pub address: bool,
    /// Addresses carry a lifetime.
    pub address_lifetime: bool,
    /// The core runs with real-time priority and locked memory.
    pub realtime: bool,
    /// For each thing that is missing: its name, and why.
    #[serde(default)]
    pub missing: BTreeMap<String, String>,
    /// The hardware watchdog that its agent feeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watchdog: Option<Watchdog>,
}

/// A hardware watchdog: it resets its machine unless it is fed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watchdog {
    /// What its driver calls it.
    pub identity: String,
    /// So long after its last feeding it resets the machine.
    pub timeout: Micros,
    /// An agent that ends in an orderly way can stop it.
    pub stoppable: bool,
}

impl GuardSupport {
    /// All of them, as on an ordinary Debian machine with root.
    #[must_use]
    pub fn full() -> Self {
        Self {
            cgroup: true,
            pid_namespace: true,
            network: true,
            address: true,
            address_lifetime: true,
            realtime: true,
            missing: BTreeMap::new(),
            watchdog: None,
        }
    }

    /// Whether something ends this kind of resource with its lease, whatever becomes of the agent. If nothing does, a
    /// lease that is over says nothing. A process always has its keeper; how far that reaches is what the others say, and
    /// what an agent does on the machine itself is out of its reach. Of an agent's address the address guard silences all that is heard outside.
    #[must_use]
    pub fn covers(&self, kind: &ResourceKind) -> bool {
        match kind {
            ResourceKind::Process(process) => {
                !process.outlives() || (self.address && process.silenced_address().is_some())
            }
            ResourceKind::Vip(_) => self.address || self.address_lifetime,
        }
    }

    /// How much longer than the lease everybody else waits. Without the address guard only the
    /// address's lifetime silences it: whole seconds, removed lazily, so up to 1.5 s late (measured
    /// 80 to 660 ms). The network guard does not help: it cannot stop the kernel's answers to ARP.
    #[must_use]
    pub const fn extra_wait(&self) -> Micros {
        if self.address {
            Micros::ZERO
        } else {
            Micros::from_millis(1500)
        }
    }
}
