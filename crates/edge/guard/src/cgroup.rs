//! Control groups (cgroup2): find the hierarchy, make a group, freeze it, kill it, see that it is empty, remove it.
//! Not for resource limits.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::clock::boot_now_ns;
use rustix::process::{Pid, Signal, kill_process};

/// Where cgroup2 is mounted, also beside the old hierarchies (`/sys/fs/cgroup/unified`).
///
/// # Errors
/// A sentence for the operator.
pub fn find_hierarchy() -> Result<PathBuf, String> {
    let mounts = fs::read("/proc/self/mountinfo")
        .map_err(|error| format!("/proc/self/mountinfo: {error}"))?;
    let found = mounts
        .split(|byte| *byte == b'\n')
        .filter_map(cgroup2_mount_point)
        .find(|path| path.is_dir());
    found.ok_or_else(|| "no cgroup2 file system is mounted".to_owned())
}

/// The folder of the group that this process is in, if it can be found.
#[must_use]
pub fn own() -> Option<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let group = find_hierarchy().ok()?.join(path);
    group.join("cgroup.procs").exists().then_some(group)
}

/// The mount point in a line of mountinfo (proc(5)) whose type is cgroup2.
fn cgroup2_mount_point(line: &[u8]) -> Option<PathBuf> {
    let mut fields = line.split(|byte| *byte == b' ');
    let mount_point = fields.nth(4)?;
    let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
    (kind == b"cgroup2").then(|| PathBuf::from(std::ffi::OsString::from_vec(unescape(mount_point))))
}

/// mountinfo writes space, tab, newline and backslash as three octal digits.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let octal = (*first == b'\\').then(|| after.get(..3)).flatten();
        let code = octal
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        plain.push(code.unwrap_or(*first));
        rest = if code.is_some() {
            after.get(3..).unwrap_or_default()
        } else {
            after
        };
    }
    plain
}

/// One control group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroup {
    dir: PathBuf,
}

impl Cgroup {
    /// Makes a new group under `parent` inside the hierarchy at `mount`, `parent` too if need be. Its name is `name`
    /// with the time of its making: no two groups of a boot are alike, so an old one may be removed at leisure.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn create(mount: &Path, parent: &Path, name: &str) -> io::Result<Self> {
        let parent = mount.join(parent.strip_prefix("/").unwrap_or(parent));
        fs::create_dir_all(&parent)?;
        let dir = parent.join(format!("{name}.{:x}", boot_now_ns()));
        fs::create_dir(&dir)?;
        Ok(Self { dir })
    }

    /// Makes the group that systemd will take for one of its slices, below the slice that the name says it is part of.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn create_slice(mount: &Path, name: &str) -> io::Result<Self> {
        let parent = name.split('-').next().unwrap_or(name);
        let parent = mount.join(format!("{parent}.slice"));
        fs::create_dir_all(&parent)?;
        let dir = parent.join(name);
        fs::create_dir(&dir)?;
        Ok(Self { dir })
    }

    /// The group in a folder that exists, or once did.
    #[must_use]
    pub fn at(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Its folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Stops every process in it from running user code. Returns before the last one is frozen.
    ///
    /// # Errors
    /// When the kernel does not offer it (before 5.2).
    pub fn freeze(&self) -> io::Result<()> {
        fs::write(self.dir.join("cgroup.freeze"), "1")
    }

    /// SIGKILL to every process in it, also frozen ones and those in groups below. A group that is gone is fine.
    ///
    /// # Errors
    /// The kernel's answer, when neither `cgroup.kill` (5.14) nor killing one by one was possible.
    pub fn kill(&self) -> io::Result<()> {
        match fs::write(self.dir.join("cgroup.kill"), "1") {
            Ok(()) => Ok(()),
            Err(_) if !self.dir.exists() => Ok(()),
            Err(_) => kill_each(&self.dir),
        }
    }

    /// Whether any process is in it or in a group below it. A group that is gone holds none.
    ///
    /// # Errors
    /// When that can't be known.
    pub fn populated(&self) -> io::Result<bool> {
        match fs::read_to_string(self.dir.join("cgroup.events")) {
            Ok(events) => Ok(!events.lines().any(|line| line == "populated 0")),
            // The group may go between open and read.
            Err(error) if error.kind() == io::ErrorKind::NotFound || !self.dir.exists() => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// The numbers of the processes in it, groups below included.
    ///
    /// # Errors
    /// The kernel's answer.
    pub fn processes(&self) -> io::Result<Vec<Pid>> {
        let mut found = Vec::new();
        for dir in [vec![self.dir.clone()], below(&self.dir)?].concat() {
            let text = fs::read_to_string(dir.join("cgroup.procs"))?;
            found.extend(
                text.lines()
                    .filter_map(|line| line.parse().ok().and_then(Pid::from_raw)),
            );
        }
        Ok(found)
    }

    /// What is in it, for an operator: number, name and state of each process.
    #[must_use]
    pub fn describe(&self) -> String {
        let Ok(processes) = self.processes() else {
            return format!("{} can't be read", self.dir.display());
        };
        let each = processes.iter().map(|pid| {
            let number = pid.as_raw_nonzero();
            let stat = fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
            let (name, rest) = stat.rsplit_once(')').unwrap_or_default();
            let name = name.split_once('(').map_or("?", |(_, name)| name);
            let state = rest.split_whitespace().next().unwrap_or("?");
            format!("process {number} ({name}) in state {state}")
        });
        let each: Vec<_> = each.collect();
        if each.is_empty() {
            "the control group is not empty".to_owned()
        } else {
            each.join(", ")
        }
    }

    /// Removes it with the empty groups below it. One that is gone already is fine.
    ///
    /// # Errors
    /// `ResourceBusy` while a process is in it.
    pub fn remove(&self) -> io::Result<()> {
        if !self.dir.exists() {
            return Ok(());
        }
        let below = match below(&self.dir) {
            // Removed meanwhile: keeper and agent both do.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return self.remove(),
            found => found?,
        };
        for dir in below.iter().rev().chain([&self.dir]) {
            match fs::remove_dir(dir) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// The groups below `dir`, parents first.
fn below(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
            found.extend(below(&entry.path())?);
        }
    }
    Ok(found)
}

/// For kernels before 5.14. The group should be frozen, so that nothing forks meanwhile.
fn kill_each(dir: &Path) -> io::Result<()> {
    for pid in Cgroup::at(dir.to_owned()).processes()? {
        match kill_process(pid, Signal::KILL) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_mount_in_mountinfo() {
        let line =
            br"41 31 0:38 / /sys/fs/cgroup/uni\040fied rw,relatime shared:9 - cgroup2 cgroup2 rw";
        assert_eq!(
            cgroup2_mount_point(line),
            Some(PathBuf::from("/sys/fs/cgroup/uni fied"))
        );
        let old = b"30 31 0:38 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu";
        assert_eq!(cgroup2_mount_point(old), None);
        assert_eq!(cgroup2_mount_point(b""), None);
    }
}
