//! What the runner finds and makes on the machine before it calls an agent: process numbers, children, mounts, a folder. Not for
//! what is hidden from the agent (`enclose`).

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt as _, path::PathBuf};

/// Numbers below are given out again too soon, and by the kernel to its own.
const FIRST_PID: u32 = 1000;

/// In a process-id namespace of its own this process has one of the first numbers, and what it starts gets nearly the
/// same numbers every time. A file that an earlier run left would name a process of this one. So the numbers go on
/// from a place that differs. Where that cannot be done it is as likely as with every container.
pub(crate) fn skip_old_numbers() {
    if std::process::id() >= FIRST_PID {
        return;
    }
    let most = fs::read_to_string("/proc/sys/kernel/pid_max").ok();
    let most: u32 = most
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(32_768);
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let nanos = since.map_or(0, |since| since.subsec_micros());
    let span = (most / 2).max(1);
    let next = FIRST_PID + nanos.wrapping_mul(7919) % span;
    fs::write("/proc/sys/kernel/ns_last_pid", next.to_string()).ok();
}

/// Whether what an agent mounts is seen, and unmounted, everywhere. A copy in another mount namespace would keep a disk in
/// use after its unmounting here.
pub(crate) fn mounts_are_shared() -> Result<(), String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let root = mounts
        .lines()
        .find(|line| line.split(' ').nth(4) == Some("/"));
    // The optional fields end with a hyphen (proc(5)).
    let mut fields = root.unwrap_or_default().split(' ').skip(6);
    let shared = fields.find(|field| *field == "-" || field.starts_with("shared:"));
    if shared.is_some_and(|field| field != "-") {
        return Ok(());
    }
    Err("the machine's mounts are private, so it could not be seen whether a disk is in use: `mount --make-rshared /`".to_owned())
}

/// Where agents keep their marks: made at boot by their package, but not before it is installed.
pub(crate) fn make_temporary_folder() {
    let Some(folder) = std::env::var_os("HA_RSCTMP").map(PathBuf::from) else {
        return;
    };
    if fs::create_dir(&folder).is_ok() {
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o1755)).ok();
    }
}

/// The numbers of this process's children.
pub(crate) fn children() -> BTreeSet<i32> {
    let text = fs::read_to_string("/proc/thread-self/children").unwrap_or_default();
    text.split_whitespace()
        .filter_map(|number| number.parse().ok())
        .collect()
}
