//! The keeper: a small process that holds one resource's process tree and ends it at the lease's deadline.
//!
//! The agent's side is [`Keepers`] (start, adopt, one watcher thread) and [`KeeperHandle`] (extend, stop, kill).
//! The keeper's own side is [`run`], which the binary's hidden subcommand `keeper` calls.
//! Not for deciding when to start or stop.

mod error;
mod handle;

pub use error::KeeperError;
pub use handle::{KeeperEvent, KeeperHandle, KeeperProgram, Keepers};

use std::path::Path;
use std::process::ExitCode;

/// The keeper process: runs until the tree has ended. Its argument is the run folder that [`Keepers::spawn`] prepared;
/// standard input is the listening control socket, standard output the held lock.
#[must_use]
pub fn run(run_dir: &Path) -> ExitCode {
    tracing::error!(run_dir = %run_dir.display(), "keeper not built yet");
    ExitCode::FAILURE
}
