//! The keeper: a small process that holds one resource's process tree and ends it at the lease's deadline.
//!
//! The agent's side is [`Keepers`] (start, adopt, one watcher thread) and [`KeeperHandle`] (extend, stop, kill).
//! The keeper's own side is [`run`], which the binary's hidden subcommand `keeper` calls.
//! Not for deciding when to start or stop.
//!
//! Processes of one resource: the keeper; a logger that copies its output; with private process ids the namespace's
//! first process, which dies with the keeper and takes the namespace along; and the service.
//!
//! A keeper stays in its agent's control group and only its session is its own: the agent's unit must stop the main
//! process alone (`KillMode=process`) and own its groups (`Delegate=yes`).
//!
//! Whoever reaps orphans where the agent runs (process 1) must really do so: a dead keeper's dead service is one, and
//! its namespace is not gone before.

mod control;
mod ending;
mod error;
mod folder;
mod handle;
mod harden;
mod launch;
mod output;
mod spawn;
mod supervise;
mod sweep;
mod watch;
mod wire;

pub use error::KeeperError;
pub use handle::KeeperHandle;
pub use spawn::{KeeperProgram, Keepers};
pub use watch::KeeperEvent;

use std::io;
use std::path::Path;
use std::process::ExitCode;

use crate::clock::boot_now_ns;
use crate::status::{Phase, Reason, Status};
use crate::sys;

use folder::RunFolder;
use supervise::Keeper;

/// The keeper process: runs until the tree has ended. Its argument is the run folder that [`Keepers::spawn`] prepared;
/// standard input is the listening control socket, standard output the held lock. The calling process must have no
/// other threads.
#[must_use]
pub fn run(run_dir: &Path) -> ExitCode {
    match take_over(run_dir) {
        Ok(keeper) => {
            keeper.run();
            ExitCode::SUCCESS
        }
        Err(error) => {
            // Nothing runs yet, so this is the truth and final; without it the agent finds out the same by itself.
            let reason = Reason::StartFailed(format!("the keeper could not start: {error}"));
            let phase = Phase::Ended {
                reason,
                at_boot_ns: boot_now_ns(),
            };
            let none = Status {
                phase,
                exit: None,
                keeper: None,
                init: None,
                service: None,
                cgroup: None,
                missing: Vec::new(),
            };
            RunFolder::at(run_dir).write_status(&none).ok();
            ExitCode::FAILURE
        }
    }
}

/// Leaves the agent's session and folder, and prepares everything short of starting the service.
fn take_over(run_dir: &Path) -> io::Result<Keeper> {
    let (listener, lock) = sys::take_standard_fds()?;
    rustix::process::setsid()?;
    rustix::process::chdir("/")?;
    Keeper::new(run_dir, listener, lock)
}
