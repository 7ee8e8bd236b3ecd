//! The checks, each a function that says in a few words what it has seen.

mod disk;
mod guards;
mod hung;
mod pair;
mod watchdog;

use std::path::PathBuf;

use crate::{error::Result, image::Image};

/// What every check is given.
#[derive(Debug)]
pub(crate) struct Place {
    /// Kernel and first root.
    pub(crate) image: Image,
    /// The program to be tested.
    pub(crate) program: PathBuf,
    /// For files of this run.
    pub(crate) folder: PathBuf,
}

/// One check.
#[derive(Debug)]
pub(crate) struct Check {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it is about.
    pub(crate) what: &'static str,
    /// Part of `make test`.
    pub(crate) short: bool,
    /// Does it.
    pub(crate) run: fn(&Place) -> Result<String>,
}

/// All of them, those that take long last.
pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "short",
        what: "a watchdog survives a killed agent, and resets a machine whose agent is stopped",
        short: true,
        run: watchdog::short,
    },
    Check {
        name: "guards",
        what: "with agent and keepers stopped, the kernel shuts a service and its addresses by the end of the lease",
        short: false,
        run: guards::guards,
    },
    Check {
        name: "pair",
        what: "a delayed, lossy network changes nothing; a primary whose kernel stands still loses its power by IPMI, then the other one takes over",
        short: false,
        run: pair::pair,
    },
    Check {
        name: "hung-fenced",
        what: "a service that hangs in the kernel starts nowhere else until its machine has lost its power, by IPMI",
        short: false,
        run: hung::fenced,
    },
    Check {
        name: "power-cut",
        what: "what was acknowledged is there after a power cut that loses the page cache, and is not without fsync",
        short: false,
        run: disk::power_cut,
    },
    Check {
        name: "agent-stopped",
        what: "restarts and an orderly end reset nothing, a stopped agent does, and the machine comes back",
        short: false,
        run: watchdog::agent_stopped,
    },
    Check {
        name: "upgraded",
        what: "an agent is replaced by a newer program while the watchdog counts, and the service notices nothing",
        short: false,
        run: watchdog::upgraded,
    },
    Check {
        name: "kernel-frozen",
        what: "a kernel that has panicked and stands still is reset",
        short: false,
        run: watchdog::kernel_frozen,
    },
];
