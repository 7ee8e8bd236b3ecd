//! The drop-in that makes a unit ours for one run: its slice, no restarts by systemd, no ways to other daemons. In /run: a
//! boot forgets it. Not for having systemd read it.

use crate::Order;
use std::{fs, io, path::PathBuf};

const FOLDER: &str = "/run/systemd/system";
/// Applied after whatever an administrator has.
const NAME: &str = "zz-standfast.conf";

fn path(unit: &str) -> PathBuf {
    PathBuf::from(FOLDER).join(format!("{unit}.d")).join(NAME)
}

/// What it says. The unit stops after the agent when the machine goes down, so that the agent stops it.
fn text(order: &Order) -> String {
    format!(
        "# Written by Standfast, which runs this unit as its resource {}, and taken away when it has stopped it.\n\
         [Unit]\nStartLimitIntervalSec=0\nBefore=standfast.service\n\
         [Service]\nSlice={}\nRestart=no\nFileDescriptorStoreMax=0\n\
         InaccessiblePaths=-/run/dbus -/run/systemd/private -/run/systemd/seats\n",
        order.resource, order.slice
    )
}

/// Writes it.
pub(crate) fn write(order: &Order) -> Result<(), String> {
    let path = path(&order.unit);
    let folder = path.parent().unwrap_or(&path);
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(&path, text(order)));
    written.map_err(|error| format!("{}: {error}", path.display()))
}

/// Takes it away if it is this run's. True when it was.
pub(crate) fn remove(order: &Order) -> Result<bool, String> {
    let path = path(&order.unit);
    match fs::read_to_string(&path) {
        Ok(found) if found == text(order) => {}
        Ok(_) => return Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(format!("{}: {error}", path.display())),
    }
    fs::remove_file(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    if let Some(folder) = path.parent() {
        // Others may have drop-ins there.
        fs::remove_dir(folder).ok();
    }
    Ok(true)
}
