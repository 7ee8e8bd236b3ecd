//! What a machine shows without its agent: keys and certificates, disk, leftovers, the service unit.

use super::{Findings, Place};
use standfast_guard::cgroup;
use standfast_model::{
    id::{NodeId, ResourceId},
    query::Severity,
    request::View,
};
use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

const DAY: i64 = 86_400;
/// Certificates are warned about so long before their end.
const SOON: i64 = 30 * DAY;
/// Durable writes that are timed.
const WRITES: usize = 5;
/// A durable write that takes longer slows failovers down.
const SLOW: Duration = Duration::from_millis(250);
/// Free space below which a state directory is about to fill up.
const LOW: u64 = 256 * 1024 * 1024;

pub(super) fn examine(place: &Place, view: Option<&View>, found: &mut Findings) {
    certificates(place, found);
    disk(place, found);
    groups(place, view, found);
    unit(found);
    tables(view, found);
}

fn certificates(place: &Place, found: &mut Findings) {
    found.check("certificates");
    let folder = place.pki();
    let now = i64::try_from(super::wall_ms() / 1000).unwrap_or(i64::MAX);
    let expiry = standfast_transport::pki::expiry(&folder);
    if expiry.is_empty() && folder.exists() {
        let text = format!("no certificate can be read in {}", folder.display());
        found.add(
            Severity::Critical,
            "certificates",
            text,
            "look at its owner and mode, or restore it from a backup",
        );
    }
    for (file, ends) in expiry {
        let days = (ends - now) / DAY;
        if ends <= now {
            let text = format!("{file} ended {} days ago", -days);
            found.add(
                Severity::Critical,
                "certificates",
                text,
                "renew it; members still accept it, joining machines do not",
            );
        } else if ends - now < SOON {
            let text = format!("{file} ends in {days} days");
            found.add(Severity::Warning, "certificates", text, "certificates renew themselves before that; `standfast logs` says what keeps this one from it");
        }
    }
    for key in ["node.key", "ca.key"] {
        let Ok(metadata) = fs::metadata(folder.join(key)) else {
            continue;
        };
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            let path = folder.join(key).display().to_string();
            let text = format!("{path} may be read by others than its owner (mode {mode:o})");
            found.add(
                Severity::Critical,
                "certificates",
                text,
                format!("chmod 600 {path}, and replace the key if others were on this machine"),
            );
        }
    }
}

fn disk(place: &Place, found: &mut Findings) {
    found.check("disk");
    let state = place.state.display();
    match rustix::fs::statvfs(&place.state) {
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            if free < LOW {
                let text = format!("{state} has {} MiB left", free / 1024 / 1024);
                found.add(
                    Severity::Warning,
                    "disk",
                    text,
                    "make room: a full disk costs this node its vote",
                );
            }
        }
        Err(error) => {
            let text = format!("{state}: {error}");
            found.add(
                Severity::Critical,
                "disk",
                text,
                "mount it, or run `standfast init` or `standfast join`",
            );
            return;
        }
    }
    found.check("fsync");
    match slowest_write(&place.state) {
        Ok(took) if took > SLOW => {
            let text = format!("a durable write in {state} took {} ms", took.as_millis());
            found.add(Severity::Warning, "fsync", text, "give the state directory a quieter or faster disk: failovers that need this node wait for it");
        }
        Ok(_) => {}
        Err(error) => {
            let text = format!("nothing can be written to {state}: {error}");
            found.add(
                Severity::Critical,
                "fsync",
                text,
                "make room on the disk or replace it; the node has no vote until then",
            );
        }
    }
}

/// In a file of its own, which is gone afterwards.
fn slowest_write(folder: &Path) -> std::io::Result<Duration> {
    let path = folder.join(format!(".doctor-{}", std::process::id()));
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path);
    let result = file.and_then(|mut file| {
        let mut slowest = Duration::ZERO;
        for _ in 0..WRITES {
            let begun = Instant::now();
            file.write_all(&[0; 4096])?;
            file.sync_data()?;
            slowest = slowest.max(begun.elapsed());
        }
        Ok(slowest)
    });
    fs::remove_file(&path).ok();
    result
}

/// A control group of a resource that has processes.
#[derive(Debug)]
pub(crate) struct Left {
    pub(crate) resource: String,
    pub(crate) path: PathBuf,
}

/// What runs under an agent's folder of control groups, whether or not there is an agent.
pub(crate) fn running(folder: &Path) -> Vec<Left> {
    let Ok(hierarchy) = cgroup::find_hierarchy() else {
        return Vec::new();
    };
    let entries = fs::read_dir(hierarchy.join(folder)).into_iter().flatten();
    entries
        .flatten()
        .filter(|entry| {
            let group = cgroup::Cgroup::at(entry.path());
            entry.path().is_dir() && group.populated().unwrap_or(false)
        })
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            // Each start has a group of its own: the resource, then when it was made.
            let resource = name
                .rsplit_once('.')
                .map_or(name.as_str(), |(name, _)| name);
            Some(Left {
                resource: resource.to_owned(),
                path: entry.path(),
            })
        })
        .collect()
}

/// Control groups with processes that the agent does not know of.
fn groups(place: &Place, view: Option<&View>, found: &mut Findings) {
    found.check("leftovers");
    for Left {
        resource: name,
        path,
    } in running(&place.cgroup)
    {
        if is_known(view, &name) {
            continue;
        }
        let what = format!("{} still has processes", path.display());
        if view.is_some() {
            let remedy = format!(
                "nothing here should run {name}: look with `systemd-cgls {}`, then write 1 to cgroup.kill in it",
                path.display()
            );
            found.add(Severity::Critical, "leftovers", what, remedy);
        } else {
            found.add(Severity::Note, "leftovers", what, "their keepers end them when their leases are over; start the agent, which takes them over or removes them");
        }
    }
}

/// A resource that this node reports, or may hold.
fn is_known(view: Option<&View>, name: &str) -> bool {
    let Some(view) = view else { return false };
    let node = NodeId::from(view.node.as_str());
    let resource = ResourceId::from(name);
    let reported = view.state.nodes.get(&node);
    let reported = reported.is_some_and(|known| known.report.instances.contains_key(&resource));
    let holds = view.state.may_hold.get(&resource);
    reported || holds.is_some_and(|holders| holders.contains(&node))
}

fn unit(found: &mut Findings) {
    if !Path::new("/run/systemd/system").exists() {
        return;
    }
    found.check("service unit");
    let output = Command::new("systemctl")
        .args(["is-enabled", "standfast.service"])
        .output();
    let Ok(output) = output else { return };
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if said == "disabled" {
        found.add(
            Severity::Warning,
            "service unit",
            "the agent is not started at boot",
            "systemctl enable standfast",
        );
    }
}

/// The address guard's table of an agent that is gone keeps its addresses closed: on purpose.
fn tables(view: Option<&View>, found: &mut Findings) {
    let output = Command::new("nft").args(["list", "tables"]).output();
    let Ok(output) = output else { return };
    let tables = String::from_utf8_lossy(&output.stdout).into_owned();
    let ours: Vec<&str> = tables
        .lines()
        .filter(|line| line.ends_with(" standfast"))
        .collect();
    if view.is_none() && !ours.is_empty() {
        found.add(
            Severity::Note,
            "leftovers",
            "the address guard's tables of an agent that does not run are in the kernel (nft list tables)",
            "they keep managed addresses silent until an agent opens them; if this machine has left the cluster: `nft delete table FAMILY standfast` for each of them",
        );
    }
}
