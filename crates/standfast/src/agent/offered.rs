//! What this machine's kernel offers, found out by trying, with the reasons for what it does not. Not for using any of it.

use super::{Options, realtime};
use crate::failure::Failure;
use standfast_address::{Support, probe_support};
use standfast_guard::{status::Guard, support::GuardSupport as Local};
use standfast_model::guards::GuardSupport;
use std::{collections::BTreeMap, path::Path, thread::JoinHandle};

/// What is offered.
pub(super) struct Offered {
    /// As the core counts on it.
    pub(super) guards: GuardSupport,
    /// As the address driver needs it.
    pub(super) address: Support,
}

/// Everything is being tried. An agent that was killed has only until its lease ends, and the packet filter answers
/// late: it is asked on a thread of its own.
pub(super) struct Trying {
    local: Local,
    address: JoinHandle<Support>,
}

impl Trying {
    /// Begins. To be called at ordinary priority: guards are tried in children that are waited for, and who does that
    /// at real-time priority may keep a core.
    pub(super) fn begin(options: &Options) -> Result<Self, Failure> {
        let realtime = options.realtime;
        let address = std::thread::Builder::new()
            .name("probe".to_owned())
            .spawn(move || {
                if realtime {
                    // Whether that is allowed is told once, by the thread that decides.
                    realtime::raise_this_thread().ok();
                }
                probe_support()
            })
            .map_err(|error| Failure::cannot("start a thread", &error))?;
        let local = Local::probe(&options.cgroup);
        Ok(Self { local, address })
    }

    /// Waits for what is not known yet.
    pub(super) fn end(self, options: &Options) -> Result<Offered, Failure> {
        let address = self.address.join().map_err(|_panic| {
            Failure::new(
                70,
                "what the packet filter offers could not be found out".to_owned(),
            )
        })?;
        let wanted = (options.realtime, options.without_guards);
        let guards = counted_on(&self.local, &address, wanted);
        Ok(Offered { guards, address })
    }
}

/// The same, one after the other, for whoever only wants to know.
pub(super) fn probe_guards(
    cgroup: &Path,
    wants_realtime: bool,
    without_guards: bool,
) -> GuardSupport {
    let wanted = (wants_realtime, without_guards);
    counted_on(&Local::probe(cgroup), &probe_support(), wanted)
}

fn counted_on(
    local: &Local,
    address: &Support,
    (wants_realtime, without_guards): (bool, bool),
) -> GuardSupport {
    let mut missing: BTreeMap<String, String> = local
        .missing()
        .into_iter()
        // Not a guard of the lease: the kernel kills a keeper last in any case.
        .filter(|missing| missing.guard != Guard::OutOfMemory)
        .map(|missing| (format!("{:?}", missing.guard).to_lowercase(), missing.why))
        .collect();
    for (name, offered) in [
        ("address guard", &address.nft),
        ("address lifetime", &address.lifetimes),
    ] {
        if let Err(why) = offered {
            missing.insert(name.to_owned(), why.clone());
        }
    }
    let realtime = wants_realtime && local.offers(Guard::RealTime);
    if wants_realtime {
        if let Err(why) = realtime::lock_memory() {
            missing.insert("lockedmemory".to_owned(), why);
        }
    } else {
        missing.insert(
            "realtime".to_owned(),
            "switched off by --no-realtime".to_owned(),
        );
    }
    if without_guards {
        missing.insert(
            "all guards".to_owned(),
            "switched off by --without-guards".to_owned(),
        );
    }
    let on = !without_guards;
    GuardSupport {
        cgroup: on && local.offers(Guard::Cgroup) && local.offers(Guard::Kill),
        pid_namespace: on && local.offers(Guard::PrivatePids),
        network: on && local.offers(Guard::Network),
        address: on && address.guard(),
        address_lifetime: on && address.lifetimes.is_ok(),
        realtime,
        missing,
        watchdog: None,
    }
}
