//! Keeps an agent from handing its service to another daemon, whose processes no keeper could end: the ways to systemd and
//! to whoever listens on the system's bus are hidden from it, in a mount namespace of its own.
//!
//! `su` alone would have systemd-logind move what it starts into a control group of a session. Not for hiding anything
//! from a program that means harm: it runs as root.
#![allow(
    unsafe_code,
    reason = "a raw system call; the block says why it is sound"
)]

use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_bind, mount_change};
use std::{fs, io, path::Path};

/// What is looked for by whoever wants systemd, logind or the bus. Names are looked up elsewhere, and go on being so.
const HIDDEN: [&str; 4] = [
    "/run/dbus",
    "/run/systemd/private",
    "/run/systemd/seats",
    "/run/systemd/system",
];

/// Hides them from this process and all that it starts.
///
/// # Errors
/// The kernel's answer, with what it was asked for: then nothing may be started.
pub(crate) fn enclose() -> Result<(), String> {
    let hidden: Vec<&Path> = HIDDEN
        .iter()
        .map(Path::new)
        .filter(|path| path.exists())
        .collect();
    if hidden.is_empty() {
        return Ok(());
    }
    let failed = |what: &str, error: io::Error| {
        format!("the ways to other daemons cannot be closed to the agent: {what}: {error}")
    };
    // SAFETY: this flag changes only which mounts this process sees from now on; no memory or descriptor is affected.
    if unsafe { libc::unshare(libc::CLONE_NEWNS) } < 0 {
        return Err(failed("a mount namespace", io::Error::last_os_error()));
    }
    // What is mounted here is seen by nobody else, and what others mount is seen here.
    let flags = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    mount_change("/", flags).map_err(|error| failed("its mounts", error.into()))?;
    for path in hidden {
        let hidden = match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => mount(
                "none",
                path,
                "tmpfs",
                MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::RDONLY,
                None,
            ),
            Ok(_) => mount_bind("/dev/null", path),
            Err(_) => continue,
        };
        hidden.map_err(|error| failed(&path.display().to_string(), error.into()))?;
    }
    Ok(())
}
