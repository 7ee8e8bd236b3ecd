//! The state folder around the database: the lock, the identity marker, and setting files aside.
//! Nothing here reads the database.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::error::{OpenError, is_full};
use crate::record::Identity;

/// The paths, and the lock for as long as this lives.
#[derive(Debug)]
pub(crate) struct Folder {
    dir: PathBuf,
    _lock: File,
}

/// What `identity.json` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Marker {
    /// There is none.
    Absent,
    /// This node became this member.
    Present(Identity),
    /// There is one, but it cannot be read: this node was a member.
    Unreadable,
}

impl Folder {
    /// Makes the folder if need be (mode 0700) and takes its lock.
    pub(crate) fn lock(dir: &Path) -> Result<Self, OpenError> {
        std::fs::create_dir_all(dir)
            .and_then(|()| std::fs::set_permissions(dir, Permissions::from_mode(0o700)))
            .map_err(|source| failed("create", dir, source))?;
        let path = dir.join("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|source| failed("open", &path, source))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                return Err(OpenError::InUse {
                    dir: dir.to_owned(),
                    pid: read_pid(&mut file),
                });
            }
            Err(errno) => return Err(failed("lock", &path, errno.into())),
        }
        // Only for the refusal's sentence: a full disk must not keep a healthy agent down.
        if let Err(error) = write_pid(&mut file) {
            tracing::warn!(%error, "cannot note the process id in {}", path.display());
        }
        Ok(Self {
            dir: dir.to_owned(),
            _lock: file,
        })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.dir.join("state.redb")
    }

    pub(crate) fn new_database(&self) -> PathBuf {
        self.dir.join("state.redb.new")
    }

    fn marker(&self) -> PathBuf {
        self.dir.join("identity.json")
    }

    fn new_marker(&self) -> PathBuf {
        self.dir.join("identity.json.new")
    }

    pub(crate) fn read_marker(&self) -> Result<Marker, OpenError> {
        match std::fs::read(self.marker()) {
            Ok(bytes) => {
                Ok(serde_json::from_slice(&bytes).map_or(Marker::Unreadable, Marker::Present))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Marker::Absent),
            Err(source) => Err(failed("read", &self.marker(), source)),
        }
    }

    /// Writes the marker beside the present one; [`Self::adopt_marker`] completes it.
    pub(crate) fn prepare_marker(&self, identity: &Identity) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(self.new_marker())?;
        file.write_all(&serde_json::to_vec_pretty(identity)?)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        self.sync()?;
        self.sync_way()
    }

    /// The folder itself may be new, and those that it is in: whoever made them, their names are durable after this. Stops
    /// where another file system begins: what that is mounted on was there before.
    fn sync_way(&self) -> io::Result<()> {
        let dir = self.dir.canonicalize()?;
        let device = dir.metadata()?.dev();
        for above in dir.ancestors().skip(1) {
            if above.metadata()?.dev() != device {
                break;
            }
            File::open(above)?.sync_all()?;
        }
        Ok(())
    }

    /// Replaces the marker by the prepared one.
    pub(crate) fn adopt_marker(&self) -> io::Result<()> {
        std::fs::rename(self.new_marker(), self.marker())?;
        self.sync()
    }

    /// Whether an initialisation as this identity was interrupted before its last step.
    pub(crate) fn is_prepared(&self, identity: &Identity) -> bool {
        std::fs::read(self.new_marker())
            .ok()
            .and_then(|bytes| serde_json::from_slice::<Identity>(&bytes).ok())
            .is_some_and(|prepared| prepared == *identity)
    }

    fn suspect(&self) -> PathBuf {
        self.dir.join("state.redb.suspect")
    }

    /// Tells the next process on this boot that a sync has failed. Needs no sync itself: a reboot
    /// drops the page cache, and with it the reason for suspicion.
    pub(crate) fn mark_suspect(&self) {
        if let Err(error) = File::create(self.suspect()) {
            tracing::warn!(%error, "cannot create {}", self.suspect().display());
        }
    }

    pub(crate) fn is_suspect(&self) -> bool {
        self.suspect().exists()
    }

    pub(crate) fn clear_suspect(&self) -> io::Result<()> {
        remove_if_present(&self.suspect())
    }

    /// Makes `state.redb.new` the database.
    pub(crate) fn adopt_new_database(&self) -> io::Result<()> {
        std::fs::rename(self.new_database(), self.database())?;
        self.sync()
    }

    /// Removes what an interrupted write left behind.
    pub(crate) fn remove_new_database(&self) -> io::Result<()> {
        remove_if_present(&self.new_database())
    }

    /// Renames the database to `state.redb.<why>-<utc>` and returns the new path. Never overwrites.
    pub(crate) fn set_aside(&self, why: &str) -> io::Result<PathBuf> {
        let target = self.free_name(why)?;
        std::fs::rename(self.database(), &target)?;
        self.sync()?;
        Ok(target)
    }

    /// Gives the database the name `state.redb.<why>-<utc>` too. Never overwrites.
    pub(crate) fn keep_as(&self, why: &str) -> io::Result<()> {
        let target = self.free_name(why)?;
        let linked = std::fs::hard_link(self.database(), &target);
        let impossible = |error: &io::Error| {
            use io::ErrorKind::{PermissionDenied, Unsupported};
            matches!(error.kind(), PermissionDenied | Unsupported)
        };
        match linked {
            // This file system has one name for a file.
            Err(error) if impossible(&error) => {
                std::fs::copy(self.database(), &target)?;
                File::open(&target)?.sync_all()?;
            }
            linked => linked?,
        }
        self.sync()
    }

    fn free_name(&self, why: &str) -> io::Result<PathBuf> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let stem = format!("state.redb.{why}-{}", utc(now));
        let names = (0..).map(|n| match n {
            0 => stem.clone(),
            n => format!("{stem}-{n}"),
        });
        let mut free = names
            .map(|name| self.dir.join(name))
            .filter(|path| !path.exists());
        free.next().ok_or(io::ErrorKind::AlreadyExists.into())
    }

    /// A rename is durable once its folder is.
    fn sync(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }
}

/// Wraps an I/O error of the folder for the operator.
pub(crate) fn failed(action: &'static str, path: &Path, source: io::Error) -> OpenError {
    if is_full(&source) {
        return OpenError::Full {
            path: path.to_owned(),
        };
    }
    OpenError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

fn remove_if_present(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn read_pid(file: &mut File) -> String {
    let mut text = String::new();
    match file.read_to_string(&mut text) {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => "unknown".to_owned(),
    }
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

/// Seconds since 1970 as `20261121T153400Z`; the calendar arithmetic is Howard Hinnant's
/// "`chrono`-Compatible Low-Level Date Algorithms", `civil_from_days`.
fn utc(seconds: u64) -> String {
    let (days, time) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::utc;

    #[test]
    fn dates_follow_the_calendar() {
        assert_eq!(utc(0), "19700101T000000Z");
        assert_eq!(utc(951_782_400), "20000229T000000Z");
        assert_eq!(utc(1_795_275_240), "20261121T153400Z");
        assert_eq!(utc(4_107_542_399), "21000228T235959Z");
        assert_eq!(utc(4_107_542_400), "21000301T000000Z");
    }
}
