//! Which guards this machine offers, found out by trying each once. Not for what a keeper really got: that is in its status.

use std::io;
use std::path::Path;

use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{WaitOptions, waitpid};

use crate::cgroup::{Cgroup, find_hierarchy};
use crate::network::NetworkGuard;
use crate::status::{Guard, Missing};
use crate::sys::{self, Forked};

/// Whether something is offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Support {
    /// It was tried and works.
    Offered,
    /// It does not, and the sentence says why.
    Missing(String),
}

/// What this machine offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuardSupport {
    /// Each guard once, in the order of [`Guard`].
    pub guards: Vec<(Guard, Support)>,
}

impl GuardSupport {
    /// Tries everything, with a control group of its own under `cgroup_parent` (inside the cgroup2 hierarchy) that is
    /// removed again. Takes some milliseconds.
    #[must_use]
    pub fn probe(cgroup_parent: &Path) -> Self {
        let made = find_hierarchy().and_then(|mount| {
            Cgroup::create(&mount, cgroup_parent, "probe")
                .map_err(|error| format!("make a control group: {error}"))
        });
        let with_group = |try_it: &dyn Fn(&Cgroup) -> Support| match &made {
            Ok(group) => try_it(group),
            Err(why) => Support::Missing(why.clone()),
        };
        let guards = vec![
            (Guard::Cgroup, with_group(&|_| Support::Offered)),
            (
                Guard::Freeze,
                with_group(&|group| offers_file(group, "cgroup.freeze", "5.2")),
            ),
            (
                Guard::Kill,
                with_group(&|group| offers_file(group, "cgroup.kill", "5.14")),
            ),
            (Guard::Network, with_group(&probe_network)),
            (
                Guard::PrivatePids,
                probe_in_child("a process-id namespace", true, || Ok(())),
            ),
            (
                Guard::RealTime,
                probe_in_child("real-time priority", false, || sys::set_real_time(1)),
            ),
            (
                Guard::LockedMemory,
                probe_in_child("locked memory", false, lock_memory),
            ),
            (
                Guard::OutOfMemory,
                probe_in_child("oom_score_adj -1000", false, lower_oom_score),
            ),
        ];
        if let Ok(group) = &made {
            // Empty and ours: only a machine that is out of memory keeps it.
            group.remove().ok();
        }
        Self { guards }
    }

    /// Whether `guard` is offered.
    #[must_use]
    pub fn offers(&self, guard: Guard) -> bool {
        self.guards
            .iter()
            .any(|(each, support)| *each == guard && *support == Support::Offered)
    }

    /// Those that are not.
    #[must_use]
    pub fn missing(&self) -> Vec<Missing> {
        let missing = |(guard, support): &(Guard, Support)| match support {
            Support::Offered => None,
            Support::Missing(why) => Some(Missing {
                guard: *guard,
                why: why.clone(),
            }),
        };
        self.guards.iter().filter_map(missing).collect()
    }
}

fn offers_file(group: &Cgroup, name: &str, since: &str) -> Support {
    if group.dir().join(name).exists() {
        return Support::Offered;
    }
    Support::Missing(format!(
        "this kernel has no {name} (it came with Linux {since})"
    ))
}

fn probe_network(group: &Cgroup) -> Support {
    match NetworkGuard::attach(group.dir()) {
        Ok(_) => Support::Offered,
        Err(error) => Support::Missing(error.to_string()),
    }
}

/// Tries something in a child, so that this process stays as it is. `try_it` may do nothing but system calls: the
/// child of a process with threads must not allocate.
fn probe_in_child(what: &str, new_pids: bool, try_it: fn() -> io::Result<()>) -> Support {
    let missing = |error: io::Error| Support::Missing(format!("{what}: {error}"));
    let child = match sys::fork(None, new_pids) {
        Err(error) => return missing(error),
        Ok(Forked::Child) => {
            sys::exit_now(try_it().map_or_else(|error| error.raw_os_error().unwrap_or(255), |()| 0))
        }
        Ok(Forked::Parent(child)) => child,
    };
    loop {
        match waitpid(Some(child), WaitOptions::empty()) {
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return missing(error.into()),
            Ok(ended) => match ended.and_then(|(_, how)| how.exit_status()) {
                Some(0) => return Support::Offered,
                Some(errno) => return missing(io::Error::from_raw_os_error(errno)),
                None => {
                    return Support::Missing(format!("{what}: the child that tried was killed"));
                }
            },
        }
    }
}

/// What is allowed is counted by size, not by what is resident: locking on fault asks without copying everything.
fn lock_memory() -> io::Result<()> {
    Ok(mlockall(MlockAllFlags::CURRENT | MlockAllFlags::ONFAULT)?)
}

fn lower_oom_score() -> io::Result<()> {
    use rustix::fs::{Mode, OFlags, open};
    let file = open(
        c"/proc/self/oom_score_adj",
        OFlags::WRONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    rustix::io::write(&file, b"-1000")?;
    Ok(())
}
