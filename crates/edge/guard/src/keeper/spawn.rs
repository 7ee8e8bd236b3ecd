//! The agent's side: start keepers and adopt those that an earlier agent started. Not for hearing from them (the
//! watcher) nor for what to do about it.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::cgroup::{Cgroup, find_hierarchy};
use crate::lease::LeaseWord;
use crate::network::NetworkGuard;
use crate::process_id;
use crate::spec::KeeperSpec;
use crate::status::{Guard, Missing};

use super::KeeperError;
use super::folder::{Prepared, RunFolder, boot_id};
use super::handle::KeeperHandle;
use super::watch::{KeeperEvent, Life, Watched, Watcher};
use super::wire;

/// How long a keeper that was just started may take to write its first status before an adopting agent gives up.
const ADOPT_PATIENCE: Duration = Duration::from_secs(1);
/// A Unix socket's address has 108 bytes, `/control` and a final zero included.
const MAX_RUN_DIR_BYTES: usize = 90;

/// How the keeper process is executed: `path ARGUMENTS... RUN_DIR`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeeperProgram {
    /// Default `/proc/self/exe`.
    pub path: PathBuf,
    /// Default `keeper`.
    pub arguments: Vec<String>,
}

impl Default for KeeperProgram {
    fn default() -> Self {
        Self {
            path: PathBuf::from("/proc/self/exe"),
            arguments: vec!["keeper".to_owned()],
        }
    }
}

/// All keepers of one agent, with the one thread that listens to them.
#[derive(Debug)]
pub struct Keepers {
    program: KeeperProgram,
    watcher: Watcher,
}

impl Keepers {
    /// Starts the watcher thread, which calls `on_event` (it must not block; send into a channel).
    ///
    /// # Errors
    /// When the thread or its descriptors can't be had.
    pub fn new(
        program: KeeperProgram,
        on_event: impl Fn(KeeperEvent) + Send + 'static,
    ) -> Result<Self, KeeperError> {
        let watcher = Watcher::start(on_event)
            .map_err(|error| KeeperError::system("start the watcher", error))?;
        Ok(Self { program, watcher })
    }

    /// Makes control group and network guard, arms the lease and starts the keeper. Returns before the service runs;
    /// a start that fails later arrives as an event. The agent's death or restart from here on does not disturb it.
    ///
    /// # Errors
    /// When nothing was started.
    pub fn spawn(
        &self,
        spec: &KeeperSpec,
        deadline_boot_ns: u64,
    ) -> Result<KeeperHandle, KeeperError> {
        check(spec)?;
        let folder = RunFolder::at(&spec.run_dir);
        if self.watcher.is_watching(&folder) {
            return Err(KeeperError::Occupied(spec.run_dir.clone()));
        }
        folder.make().map_err(|error| {
            KeeperError::system(format!("make {}", spec.run_dir.display()), error)
        })?;
        let lock = folder
            .try_lock()
            .map_err(|error| KeeperError::system("lock the run folder", error))?;
        let lock = lock.ok_or_else(|| KeeperError::Occupied(spec.run_dir.clone()))?;
        let boot_id = boot_id().map_err(|error| KeeperError::system("read the boot id", error))?;
        refuse_unended(&folder, &boot_id)?;
        let guards = Guards::make(spec, &folder)?;
        let (cgroup, network) = (
            guards.cgroup.as_ref().map(|group| group.dir().to_owned()),
            guards.network,
        );
        let prepared = Prepared {
            spec: spec.clone(),
            cgroup,
            network,
            missing: guards.missing,
            boot_id,
        };
        let started = guards.lease.arm(deadline_boot_ns).map_err(io::Error::other);
        let started = started.and_then(|()| start(&self.program, &folder, &prepared, lock));
        let (connection, process) = match started {
            Ok(started) => started,
            Err(error) => {
                guards.lease.close();
                // Empty: nothing was started.
                guards.cgroup.map(|group| group.remove().ok());
                return Err(KeeperError::system("start the keeper", error));
            }
        };
        self.watch(
            folder,
            prepared,
            Some(guards.lease),
            Some((connection, process)),
        )
    }

    /// Takes over what an earlier agent started in `run_dir`. A keeper that is dead is reported by events as well: its
    /// tree is killed and [`Phase::Ended`](crate::Phase::Ended) says so when nothing is left.
    ///
    /// # Errors
    /// When there is nothing to adopt, or its keeper does not answer.
    pub fn adopt(&self, run_dir: &Path) -> Result<KeeperHandle, KeeperError> {
        let folder = RunFolder::at(run_dir);
        let prepared = folder.read_prepared().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => KeeperError::NothingThere(run_dir.to_owned()),
            _ => KeeperError::system(
                format!("read what was prepared in {}", run_dir.display()),
                error,
            ),
        })?;
        let give_up = Instant::now() + ADOPT_PATIENCE;
        loop {
            let lock = folder
                .try_lock()
                .map_err(|error| KeeperError::system("lock the run folder", error))?;
            if lock.is_some() {
                let lease = folder.open_lease(&prepared).ok();
                return self.watch(folder, prepared, lease, None);
            }
            if let Ok(Some(alive)) = find_living(&folder)
                && let Ok(lease) = folder.open_lease(&prepared)
            {
                return self.watch(folder, prepared, Some(lease), Some(alive));
            }
            if Instant::now() >= give_up {
                return Err(KeeperError::Unresponsive(run_dir.to_owned()));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn watch(
        &self,
        folder: RunFolder,
        prepared: Prepared,
        lease: Option<LeaseWord>,
        alive: Option<(OwnedFd, OwnedFd)>,
    ) -> Result<KeeperHandle, KeeperError> {
        let (prepared, lease) = (Arc::new(prepared), lease.map(Arc::new));
        let (connection, life) = match alive {
            Some((connection, process)) => {
                let connection = Arc::new(connection);
                (
                    Some(Arc::clone(&connection)),
                    Life::Alive {
                        connection,
                        process,
                    },
                )
            }
            None => (None, Life::Dead(None)),
        };
        let handle = KeeperHandle {
            folder: folder.clone(),
            prepared: Arc::clone(&prepared),
            lease: lease.clone(),
            connection,
        };
        let added = self.watcher.add(Watched {
            folder,
            prepared,
            lease,
            life,
            ended: false,
        });
        added.map_err(|error| KeeperError::system("watch the keeper", error))?;
        Ok(handle)
    }
}

/// Refuses what can't work, before anything is touched.
fn check(spec: &KeeperSpec) -> Result<(), KeeperError> {
    let invalid = |why: String| Err(KeeperError::Invalid(why));
    if spec.name.is_empty() || spec.name.starts_with('.') || spec.name.contains(['/', '\n', '\0']) {
        return invalid(format!(
            "{:?} can't be the name of a control group",
            spec.name
        ));
    }
    if spec.slice.is_some() && !spec.private_pids {
        return invalid(format!("{} has nothing to hold its command", spec.name));
    }
    if spec.command.is_empty() {
        return invalid(format!("{} has no command", spec.name));
    }
    if !spec.run_dir.is_absolute() || spec.run_dir.as_os_str().len() > MAX_RUN_DIR_BYTES {
        return invalid(format!(
            "{} must be absolute and at most 90 bytes long",
            spec.run_dir.display()
        ));
    }
    Ok(())
}

/// A tree whose end was never confirmed is adopted first, which ends it.
fn refuse_unended(folder: &RunFolder, boot_id: &str) -> Result<(), KeeperError> {
    let earlier = (folder.read_prepared(), folder.read_status());
    let (Ok(prepared), Ok(status)) = earlier else {
        return Ok(());
    };
    if prepared.boot_id == boot_id && !status.is_ended() {
        return Err(KeeperError::Occupied(folder.dir().to_owned()));
    }
    Ok(())
}

/// What stands before the keeper starts.
struct Guards {
    cgroup: Option<Cgroup>,
    network: bool,
    lease: LeaseWord,
    missing: Vec<Missing>,
}

impl Guards {
    /// Control group, network guard, lease word. What the machine does not offer is noted; with neither control group
    /// nor process-id namespace nothing could be held, and nothing is started.
    fn make(spec: &KeeperSpec, folder: &RunFolder) -> Result<Self, KeeperError> {
        let mut missing = Vec::new();
        folder
            .clear()
            .map_err(|error| KeeperError::system("clear the run folder", error))?;
        let created = find_hierarchy().and_then(|mount| {
            let group = match &spec.slice {
                Some(slice) => Cgroup::create_slice(&mount, slice),
                None => Cgroup::create(&mount, &spec.cgroup_parent, &spec.name),
            };
            group.map_err(|error| format!("make a control group: {error}"))
        });
        let cgroup = match created {
            Ok(group) => Some(group),
            Err(why) if !spec.private_pids || spec.slice.is_some() => {
                return Err(KeeperError::Invalid(format!(
                    "{} has nothing to hold it: {why}",
                    spec.name
                )));
            }
            Err(why) => {
                missing.push(Missing {
                    guard: Guard::Cgroup,
                    why,
                });
                None
            }
        };
        let guard = match &cgroup {
            Some(group) if spec.network_guard => {
                NetworkGuard::attach(group.dir()).map_err(|error| error.to_string())
            }
            Some(_) => Err("not asked for".to_owned()),
            None => Err("there is no control group".to_owned()),
        };
        let (lease, network) = match guard {
            Ok(guard) => (guard.into_lease(), true),
            Err(why) => {
                missing.push(Missing {
                    guard: Guard::Network,
                    why,
                });
                (
                    folder
                        .create_lease()
                        .map_err(|error| KeeperError::system("make the lease word", error))?,
                    false,
                )
            }
        };
        Ok(Self {
            cgroup,
            network,
            lease,
            missing,
        })
    }
}

/// Starts the process and returns a connection to it and its descriptor.
fn start(
    program: &KeeperProgram,
    folder: &RunFolder,
    prepared: &Prepared,
    lock: File,
) -> io::Result<(OwnedFd, OwnedFd)> {
    folder.write_prepared(prepared)?;
    let listener = wire::listen_at(&folder.socket_path())?;
    let connection = wire::connect_to(&folder.socket_path())?;
    let mut command = Command::new(&program.path);
    command
        .args(&program.arguments)
        .arg(folder.dir())
        .env_clear();
    command
        .stdin(listener)
        .stdout(OwnedFd::from(lock))
        .stderr(Stdio::null());
    let child = command.spawn()?;
    let pid = i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .ok_or(io::ErrorKind::InvalidData)?;
    // Our child and not yet waited for: the number is still its own.
    let process = pidfd_open(pid, PidfdFlags::NONBLOCK)?;
    Ok((connection, process))
}

/// A connection to the folder's living keeper and its descriptor, once it has written who it is.
fn find_living(folder: &RunFolder) -> io::Result<Option<(OwnedFd, OwnedFd)>> {
    let Some(keeper) = folder.read_status()?.keeper else {
        return Ok(None);
    };
    let Some(process) = process_id::open(keeper)? else {
        return Ok(None);
    };
    Ok(Some((wire::connect_to(&folder.socket_path())?, process)))
}
