//! The run folder, by which agents and keepers find each other. Not for the resource's own files.
//!
//! `lock` is held by the living keeper (an flock it inherits from the agent), `prepared` says what was started and
//! with which guards, `control` is the socket, `status` the keeper's latest report, `lease` the lease word where the
//! network guard does not hold it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::lease::LeaseWord;
use crate::network::NetworkGuard;
use crate::spec::KeeperSpec;
use crate::status::{Missing, Status};
use crate::sys::SharedWord;

/// What the agent prepared before it started the keeper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Prepared {
    pub(crate) spec: KeeperSpec,
    /// The resource's control group.
    pub(crate) cgroup: Option<PathBuf>,
    /// The lease word is the network guard's.
    pub(crate) network: bool,
    /// The guards that could not be had.
    pub(crate) missing: Vec<Missing>,
    /// The boot it was prepared in: nothing survives a boot.
    pub(crate) boot_id: String,
}

/// The folder of one keeper.
#[derive(Debug, Clone)]
pub(crate) struct RunFolder {
    dir: PathBuf,
}

impl RunFolder {
    pub(crate) fn at(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
        }
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn socket_path(&self) -> PathBuf {
        self.dir.join("control")
    }

    /// Makes the folder, for the owner only.
    pub(crate) fn make(&self) -> io::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.dir)
    }

    /// The lock, or nothing while a keeper (or a start) holds it.
    pub(crate) fn try_lock(&self) -> io::Result<Option<File>> {
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.dir.join("lock"))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(crate) fn read_prepared(&self) -> io::Result<Prepared> {
        Ok(serde_json::from_slice(&fs::read(
            self.dir.join("prepared"),
        )?)?)
    }

    pub(crate) fn write_prepared(&self, prepared: &Prepared) -> io::Result<()> {
        self.replace("prepared", &serde_json::to_vec(prepared)?)
    }

    pub(crate) fn read_status(&self) -> io::Result<Status> {
        Ok(serde_json::from_slice(&fs::read(self.dir.join("status"))?)?)
    }

    pub(crate) fn write_status(&self, status: &Status) -> io::Result<()> {
        self.replace("status", &serde_json::to_vec(status)?)
    }

    /// Replaces a file whole, so that a reader sees the old or the new one.
    fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let new = self.dir.join(format!("{name}.new"));
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?
            .write_all(content)?;
        fs::rename(&new, self.dir.join(name))
    }

    /// Clears what an earlier keeper left, except the lock.
    pub(crate) fn clear(&self) -> io::Result<()> {
        for name in ["status", "control", "lease", "prepared"] {
            match fs::remove_file(self.dir.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    pub(crate) fn remove(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.dir) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// A new lease word in a file, for kernels without the network guard.
    pub(crate) fn create_lease(&self) -> io::Result<LeaseWord> {
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(self.dir.join("lease"))?;
        file.set_len(4096)?;
        Ok(LeaseWord::new(SharedWord::map(OwnedFd::from(file))?))
    }

    /// The lease word of what was prepared.
    pub(crate) fn open_lease(&self, prepared: &Prepared) -> io::Result<LeaseWord> {
        match &prepared.cgroup {
            Some(cgroup) if prepared.network => NetworkGuard::open(cgroup)
                .map(NetworkGuard::into_lease)
                .map_err(io::Error::other),
            _ => {
                let file = OpenOptions::new()
                    .read(true)
                    .write(true)
                    .open(self.dir.join("lease"))?;
                if file.metadata()?.len() < 8 {
                    return Err(io::Error::other("the lease file is too short"));
                }
                Ok(LeaseWord::new(SharedWord::map(OwnedFd::from(file))?))
            }
        }
    }
}

/// This boot's random identity.
pub(crate) fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?
        .trim()
        .to_owned())
}
