//! The device: opening it starts it, every feeding gives it the whole time again. Not for when.
#![allow(
    unsafe_code,
    reason = "the ioctls of a watchdog, which no safe wrapper offers; every block says why it is sound"
)]

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
    ioctl::{self, Getter, NoArg, Opcode, Updater, opcode},
};
use std::{
    ffi::c_int,
    fs,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::Duration,
};

/// `WDIOC_GETSUPPORT`, `WDIOC_KEEPALIVE`, `WDIOC_SETTIMEOUT` and `WDIOC_GETTIMEOUT` of `linux/watchdog.h`.
const GET_SUPPORT: Opcode = opcode::read::<Info>(b'W', 0);
const KEEP_ALIVE: Opcode = opcode::read::<c_int>(b'W', 5);
const SET_TIMEOUT: Opcode = opcode::read_write::<c_int>(b'W', 6);
const GET_TIMEOUT: Opcode = opcode::read::<c_int>(b'W', 7);

/// `WDIOF_MAGICCLOSE`: writing the character V before closing stops it.
const MAGIC_CLOSE: u32 = 0x0100;

/// `struct watchdog_info`.
#[repr(C)]
struct Info {
    options: u32,
    firmware: u32,
    identity: [u8; 32],
}

/// Why a watchdog cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WatchdogError {
    /// There is no such device.
    #[error("there is no {}: load the driver of this machine's watchdog", .0.display())]
    Missing(PathBuf),
    /// Somebody else feeds it.
    #[error("another program has {} open: the watchdog package, or systemd by RuntimeWatchdogSec", .0.display())]
    Busy(PathBuf),
    /// It is something else.
    #[error("{} is no watchdog", .0.display())]
    Other(PathBuf),
    /// Everything else, with the system's answer.
    #[error("{}: {what}: {why}", .device.display())]
    System {
        /// The device.
        device: PathBuf,
        /// What was tried.
        what: &'static str,
        /// The system's answer.
        why: String,
    },
}

/// What a device said of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its driver's name for it.
    pub identity: String,
    /// So long after the last feeding it resets the machine. May differ from what was asked for.
    pub timeout: Duration,
    /// It can be stopped again. Some cannot, by their nature or by their driver's `nowayout`.
    pub stoppable: bool,
}

/// An open watchdog. It counts; dropping it does not stop that.
#[derive(Debug)]
pub struct Device {
    path: PathBuf,
    fd: OwnedFd,
    found: Found,
}

impl Device {
    /// Opens it, which starts it, and sets its time (whole seconds).
    ///
    /// # Errors
    /// Why it cannot be used. What was opened goes on counting, except when it is no watchdog.
    pub fn open(path: &Path, timeout: Duration) -> Result<Self, WatchdogError> {
        let fd = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()).map_err(
            |error| match error {
                Errno::NOENT | Errno::NODEV | Errno::NXIO => WatchdogError::Missing(path.into()),
                Errno::BUSY => WatchdogError::Busy(path.into()),
                error => failed(path, "cannot be opened", error),
            },
        )?;
        // SAFETY: the kernel fills the structure that belongs to this operation, or fails.
        let info = match unsafe { ioctl::ioctl(&fd, Getter::<GET_SUPPORT, Info>::new()) } {
            Ok(info) => info,
            Err(Errno::NOTTY | Errno::INVAL) => return Err(WatchdogError::Other(path.into())),
            Err(error) => return Err(failed(path, "does not say what it is", error)),
        };
        let mut seconds = c_int::try_from(timeout.as_secs()).unwrap_or(c_int::MAX);
        // SAFETY: the operation reads and writes one integer, which lives over the call.
        let set = unsafe { ioctl::ioctl(&fd, Updater::<SET_TIMEOUT, c_int>::new(&mut seconds)) };
        // One whose time cannot be set has one of its own.
        match set {
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOTTY) => {}
            Err(error) => return Err(failed(path, "does not take its time", error)),
        }
        // SAFETY: the operation writes one integer, or fails.
        let present = unsafe { ioctl::ioctl(&fd, Getter::<GET_TIMEOUT, c_int>::new()) };
        let present = present.map_err(|error| failed(path, "does not say its time", error))?;
        let name = info.identity.split(|byte| *byte == 0).next();
        let found = Found {
            identity: String::from_utf8_lossy(name.unwrap_or_default()).into_owned(),
            timeout: Duration::from_secs(u64::try_from(present).unwrap_or(0)),
            stoppable: info.options & MAGIC_CLOSE != 0 && !is_for_good(path),
        };
        Ok(Self {
            path: path.into(),
            fd,
            found,
        })
    }

    /// What it said of itself.
    #[must_use]
    pub fn found(&self) -> &Found {
        &self.found
    }

    /// Gives it its whole time again.
    ///
    /// # Errors
    /// The system's answer.
    pub fn feed(&self) -> Result<(), WatchdogError> {
        // SAFETY: the operation takes no argument.
        unsafe { ioctl::ioctl(&self.fd, NoArg::<KEEP_ALIVE>::new()) }
            .map_err(|error| failed(&self.path, "cannot be fed", error))
    }

    /// Stops it for good, where it can be stopped.
    ///
    /// # Errors
    /// The system's answer; it goes on counting then.
    pub fn stop(self) -> Result<(), WatchdogError> {
        match rustix::io::write(&self.fd, b"V") {
            Ok(_) => Ok(()),
            Err(error) => Err(failed(&self.path, "cannot be stopped", error)),
        }
    }
}

fn failed(path: &Path, what: &'static str, error: Errno) -> WatchdogError {
    WatchdogError::System {
        device: path.into(),
        what,
        why: std::io::Error::from(error).to_string(),
    }
}

/// Whether the driver was told never to stop it (`nowayout`). The device without a number is the first one.
fn is_for_good(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = match name {
        Some("watchdog") | None => "watchdog0",
        Some(name) => name,
    };
    let told = fs::read_to_string(Path::new("/sys/class/watchdog").join(name).join("nowayout"));
    told.is_ok_and(|told| told.trim() == "1")
}
