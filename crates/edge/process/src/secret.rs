//! Values of the environment that stay on this node: read from their files at each start, and hidden in what
//! a service says as its last words.
//!
//! Not for where they are configured: only the files' names are in the cluster's state.

use crate::running::Running;
use standfast_model::config::ProcessConfig;
use std::{
    collections::BTreeMap,
    fs::OpenOptions,
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
};

/// Largest secret, in bytes.
const MAX_SECRET: u64 = 64 * 1024;
/// Shorter values are words like `1` or `on`, which would be hidden everywhere.
const SHORTEST: usize = 4;

/// All secret values of a resource, by variable.
///
/// # Errors
/// Which file of which variable cannot be read, and why; never what is in it.
pub(crate) fn read(config: &ProcessConfig) -> Result<BTreeMap<String, String>, String> {
    let files = config.secret_environment.iter();
    let values = files.map(|(name, file)| {
        let value = read_file(file).map_err(|error| {
            format!("cannot read the secret file {file} of the variable {name}: {error}")
        })?;
        Ok((name.clone(), value))
    });
    values.collect()
}

/// Without the newline that editors leave at the end.
fn read_file(path: &str) -> io::Result<String> {
    let invalid = |text: &str| io::Error::new(io::ErrorKind::InvalidData, text.to_owned());
    // A pipe that nobody writes to must not keep the driver waiting.
    let flags = libc::O_NONBLOCK | libc::O_CLOEXEC;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(invalid("it is no regular file"));
    }
    let mut text = String::new();
    file.take(MAX_SECRET + 1).read_to_string(&mut text)?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > MAX_SECRET {
        return Err(invalid("it has more than 64 KiB"));
    }
    let value = text.strip_suffix('\n').unwrap_or(&text);
    if value.contains('\0') {
        return Err(invalid("it has a zero byte"));
    }
    Ok(value.to_owned())
}

/// A line of a service's output without the values that it was given.
pub(crate) fn hide(running: &Running, line: &str) -> String {
    let mut all = present(running);
    all.extend(running.hidden.iter().cloned());
    without(&all, line)
}

/// Keeps what is not to be said, before it is given other values: it may still say the earlier ones.
pub(crate) fn remember(running: &mut Running) {
    let present = present(running);
    running.hidden.extend(present);
}

fn present(running: &Running) -> Vec<String> {
    let mut all = values(&running.config, &running.handle.spec().environment);
    all.extend(values(&running.config, &running.secrets));
    all
}

/// What is not to be said of what a resource was given.
pub(crate) fn values(
    config: &ProcessConfig,
    environment: &BTreeMap<String, String>,
) -> Vec<String> {
    let names = config.environment.keys();
    let names = names.chain(config.secret_environment.keys());
    let values = names.filter_map(|name| environment.get(name));
    values
        .filter(|value| value.len() >= SHORTEST)
        .cloned()
        .collect()
}

/// A line without these values.
pub(crate) fn without(values: &[String], line: &str) -> String {
    let hidden = |line: String, value: &String| line.replace(value.as_str(), "(hidden)");
    values.iter().fold(line.to_owned(), hidden)
}
