//! Finding an agent's program, or a script. Not for what it says.

use rustix::process::geteuid;
use standfast_model::agent::parts;
use std::{
    fs::Metadata,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

/// Where the agents are, below `resource.d`, and what they share.
pub const ROOT: &str = "/usr/lib/ocf";

/// The program of an agent (`ocf:PROVIDER:TYPE`).
///
/// # Errors
/// It is not installed, may not be executed, or could be changed by somebody else than root; as a sentence.
pub fn find(root: &Path, name: &str) -> Result<PathBuf, String> {
    let (provider, kind) =
        parts(name).ok_or_else(|| format!("{name:?} is no resource agent (ocf:PROVIDER:TYPE)"))?;
    let path = root.join("resource.d").join(provider).join(kind);
    let metadata = match path.metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(match provider {
                "heartbeat" => {
                    format!("{name} is not installed here (Debian: package resource-agents)")
                }
                _ => format!(
                    "{name} is not installed here: there is no {}",
                    path.display()
                ),
            });
        }
        Err(error) => return Err(format!("{}: {error}", path.display())),
    };
    judge(&path, &metadata)?;
    Ok(path)
}

/// A script, by its absolute path.
///
/// # Errors
/// As for an agent.
pub fn find_script(path: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(path);
    let metadata = path.metadata().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("there is no {} here", path.display()),
        _ => format!("{}: {error}", path.display()),
    })?;
    judge(&path, &metadata)?;
    Ok(path)
}

/// Whether root may run it.
fn judge(path: &Path, metadata: &Metadata) -> Result<(), String> {
    if !metadata.is_file() {
        return Err(format!("{} is no program", path.display()));
    }
    if metadata.mode() & 0o111 == 0 {
        return Err(format!("{} may not be executed", path.display()));
    }
    let own = geteuid().as_raw();
    if metadata.mode() & 0o022 != 0 || (metadata.uid() != 0 && metadata.uid() != own) {
        let text = "can be changed by others than root; it would be run as root";
        return Err(format!("{} {text}", path.display()));
    }
    Ok(())
}
