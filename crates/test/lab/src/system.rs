//! What the laboratory asks of a system under test. Everything that is particular to one system lives in its own file behind this trait.

use crate::error::Result;
use crate::fault::{Expected, Fault};
use crate::lab::Lab;
use crate::processes::HostProcess;
use serde::{Deserialize, Serialize};

/// The processes of a system that faults are aimed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The daemon that decides.
    Agent,
    /// The daemon that carries messages between the nodes, where that is a process of its own.
    Messaging,
    /// The small process that ends a resource when its lease ends.
    Keeper,
    /// The service itself.
    Service,
}

/// How the daemons are started from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Handicap {
    /// Every fsync and fdatasync of the daemon takes this long more.
    pub fsync_delay_ms: u64,
    /// The daemon may not take real-time priority.
    pub no_realtime: bool,
}

/// A machine was fenced in a trial.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FenceSeen {
    /// The device's own time: from the order, or the question, to the confirmed "off".
    pub took_ms: f64,
    /// It was found off: nothing was cut, and nobody waited before.
    pub already: bool,
    /// The device has given the machine its power back since.
    pub power_back: bool,
}

/// A system under test, deployed on the hosts of its own lab.
pub trait System: Send {
    /// Name in tables: `standfast lan`, `keepalived`.
    fn name(&self) -> &str;

    /// Its lab.
    fn lab(&self) -> &Lab;

    /// Its lab, for faults.
    fn lab_mut(&mut self) -> &mut Lab;

    /// Whether `fault` means anything for it.
    fn supports(&self, fault: Fault) -> bool;

    /// What a fault has to lead to.
    fn expected(&self, fault: Fault) -> Expected {
        fault.expected()
    }

    /// What happens outside of the nodes and by itself: devices give machines their power back. Called all the time.
    ///
    /// # Errors
    /// When a machine cannot boot.
    fn tend(&mut self) -> Result<()> {
        Ok(())
    }

    /// A trial begins.
    fn mark(&mut self) {}

    /// Whether a node that is lost is fenced, and nothing else lets another one go on.
    fn fences(&self) -> bool {
        false
    }

    /// What was fenced since [`System::mark`], where the system fences at all.
    fn fence_seen(&self) -> Option<FenceSeen> {
        None
    }

    /// Makes daemons and service run on every node that has power, as after boot. Does nothing where they run already.
    ///
    /// # Errors
    /// When a daemon cannot be started.
    fn start(&mut self) -> Result<()>;

    /// The processes with `role` on node `node`.
    fn processes(&self, node: usize, role: Role) -> Vec<HostProcess>;

    /// The node that leads, when there is such a thing.
    fn leader(&self) -> Option<usize>;

    /// Moves the service to node `to` (or anywhere else, where the system offers no choice) as an operator would.
    ///
    /// # Errors
    /// When the system refuses.
    fn switch_over(&mut self, from: usize, to: usize) -> Result<()>;

    /// Restarts the daemon of `node` as an upgrade would.
    ///
    /// # Errors
    /// When the system refuses.
    fn restart_agent(&mut self, node: usize) -> Result<()>;

    /// Restarts all daemons with `handicap`, one after the other.
    ///
    /// # Errors
    /// When a daemon cannot be started.
    fn handicap(&mut self, handicap: Handicap) -> Result<()>;

    /// Takes away, behind its back, everything with which the kernel would end the address on `node`. For proving that the watcher sees.
    ///
    /// # Errors
    /// When something could not be taken away.
    fn remove_guards(&mut self, node: usize) -> Result<()>;

    /// Nothing when every node has what it should have and the service is to stay on node `answering`; else what is missing.
    fn unsettled(&self, answering: usize) -> Option<String>;

    /// Earlier failures of the service no longer count: a trial is not to pay for the one before.
    fn forget_failures(&self) {}

    /// What the system's own status says on `node`, for faults after which it must explain itself.
    fn status(&self, node: usize) -> String;
}
