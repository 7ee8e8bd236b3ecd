//! What a keeper is asked to run: plain data, written by the agent into the run folder, read by keeper and adopting agent.
//! Not for policy: readiness, health and restarts are the driver's and the core's.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One supervised process tree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeeperSpec {
    /// Named in every event and in the control group's name. One path component.
    pub name: String,
    /// The keeper's own folder (socket, status, lock), one a resource: as long as what was started there is not confirmed
    /// ended, another start is refused. Made if absent, mode 0700. On tmpfs, such as `/run/standfast/keepers/NAME`;
    /// at most 90 bytes, because a socket's address has to fit.
    pub run_dir: PathBuf,
    /// Program and arguments. The program stays in the foreground: when it exits, everything it left behind is killed.
    /// Without a slash it is looked up in the `PATH` of `environment`.
    pub command: Vec<String>,
    /// The whole environment. `PATH`, and with `user` also `HOME`, `USER`, `LOGNAME`, `SHELL`, are added where missing.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Default `/`.
    #[serde(default)]
    pub working_directory: Option<PathBuf>,
    /// Name or number. Sets the supplementary groups too. Default: the keeper's own.
    #[serde(default)]
    pub user: Option<String>,
    /// Name or number. Default: the user's primary group.
    #[serde(default)]
    pub group: Option<String>,
    /// Folder inside the cgroup2 hierarchy under which the resource's group is made, such as `standfast`; made if absent.
    pub cgroup_parent: PathBuf,
    /// The name of a slice of systemd's (`NAME.slice`), which is the resource's group then: systemd puts a unit's processes
    /// into it, and what the command starts stays outside. It stays frozen when all has ended: what systemd puts there
    /// later begins nothing. Needs `private_pids`, which is all that holds the command.
    #[serde(default)]
    pub slice: Option<String>,
    /// Run in a private process-id namespace with a private `/proc`: the tree then dies with its keeper, and also what a
    /// service that runs as root has moved to another control group. Mounts of the machine are followed, the service's own
    /// mounts are not seen outside.
    pub private_pids: bool,
    /// Attach the network guard before the start. A kernel that does not offer it is reported in [`Status::missing`](crate::Status::missing).
    pub network_guard: bool,
    /// Where standard output and error go.
    pub output: Output,
    /// What the keeper does when it is itself asked to terminate (SIGTERM at machine shutdown).
    pub stop: StopRequest,
    /// How long after the kill the tree may still be there before the stop is reported as not confirmed. Milliseconds.
    pub confirm_ms: u64,
}

/// Where a resource's output is kept: `output.log`, and one predecessor `output.log.1`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Made if absent.
    pub directory: PathBuf,
    /// Size in bytes at which the file is rotated; at most twice this is kept.
    pub max_bytes: u64,
}

/// A graceful stop: a signal to the service's main process, then after the grace SIGKILL to the whole tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopRequest {
    /// Milliseconds. The lease's deadline still holds and may end it earlier.
    pub grace_ms: u64,
    /// Signal number; 15 is SIGTERM.
    pub signal: i32,
}
