//! Finding an agent's program, and what it says of itself, asked once for each version of the program.

use crate::{
    error::FenceError,
    metadata::Metadata,
    run::{self, Ended},
};
use std::{
    collections::BTreeMap,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Where Debian and others put agents.
const FOLDERS: [&str; 3] = ["/usr/sbin", "/sbin", "/usr/local/sbin"];
/// Printing a text takes no longer, on any machine that works.
const METADATA_TIMEOUT: Duration = Duration::from_secs(20);

/// A program and the moment of its last change.
type Version = (PathBuf, i64, i64);
static KNOWN: Mutex<BTreeMap<Version, Arc<Metadata>>> = Mutex::new(BTreeMap::new());

/// The program of an agent.
///
/// # Errors
/// There is none of that name, or somebody else than root could change it.
pub(crate) fn find(agent: &str) -> Result<PathBuf, FenceError> {
    let wrong = |text: String| Err(FenceError::Agent(text));
    let path = if agent.starts_with('/') {
        PathBuf::from(agent)
    } else if agent.contains('/') || agent.is_empty() {
        return wrong(format!(
            "{agent:?} is neither the name of a fence agent nor an absolute path"
        ));
    } else {
        let candidates = FOLDERS.map(|folder| Path::new(folder).join(agent));
        match candidates.into_iter().find(|path| path.is_file()) {
            Some(path) => path,
            None => {
                let text =
                    "is not installed here (Debian's package fence-agents has it, or has it not)";
                return wrong(format!("{agent} {text}"));
            }
        }
    };
    let metadata = match path.metadata() {
        Ok(metadata) if metadata.is_file() => metadata,
        Ok(_) => return wrong(format!("{} is no program", path.display())),
        Err(error) => return wrong(format!("{}: {error}", path.display())),
    };
    let own = rustix::process::geteuid().as_raw();
    if metadata.mode() & 0o111 == 0 {
        return wrong(format!("{} may not be executed", path.display()));
    }
    if metadata.mode() & 0o022 != 0 || (metadata.uid() != 0 && metadata.uid() != own) {
        let text = "can be changed by others than root; it would be run with this agent's rights";
        return wrong(format!("{} {text}", path.display()));
    }
    Ok(path)
}

/// What an agent says of itself.
///
/// # Errors
/// It does not say it.
pub(crate) fn metadata(program: &Path) -> Result<Arc<Metadata>, FenceError> {
    let version = version(program);
    let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(found) = version.as_ref().and_then(|v| known().get(v).cloned()) {
        return Ok(found);
    }
    let name = program.display();
    let wrong = |what: String| FenceError::Agent(format!("{name} describes no parameters: {what}"));
    let finished = run::run(program, b"action=metadata\n".to_vec(), METADATA_TIMEOUT)
        .map_err(|error| FenceError::Agent(format!("{name}: {error}")))?;
    match finished.ended {
        Ended::Code(0) => {}
        Ended::Code(code) => return Err(wrong(format!("it exits with {code}"))),
        Ended::Signal(signal) => return Err(wrong(format!("it was killed by signal {signal}"))),
        Ended::TimedOut => return Err(wrong("it does not end".to_owned())),
    }
    let found = Metadata::parse(&String::from_utf8_lossy(&finished.output)).map_err(wrong)?;
    let found = Arc::new(found);
    if let Some(version) = version {
        known().insert(version, Arc::clone(&found));
    }
    Ok(found)
}

fn version(program: &Path) -> Option<Version> {
    let metadata = program.metadata().ok()?;
    Some((program.to_owned(), metadata.mtime(), metadata.mtime_nsec()))
}
