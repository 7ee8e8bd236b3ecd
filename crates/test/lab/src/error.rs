//! What can go wrong in the laboratory itself. Not for what a trial measured: that is a result, not an error.

use std::path::{Path, PathBuf};

/// A laboratory that could not be built or operated. Everything here ends the run.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A file of the laboratory could not be read, written or made.
    #[error("{what} {path}: {source}")]
    File {
        /// What was attempted, as a verb.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A system call on something that has no path failed.
    #[error("{what}: {source}")]
    System {
        /// What was attempted.
        what: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A program of the machine answered with a failure.
    #[error("`{command}` failed: {output}")]
    Command {
        /// The command line.
        command: String,
        /// What it printed, or why it could not be started.
        output: String,
    },
    /// A process of the laboratory is not what was expected.
    #[error("{0}")]
    Unexpected(String),
    /// The system under test did not become ready in time.
    #[error("{system} was not ready after {seconds} s: {detail}")]
    NotReady {
        /// The system under test.
        system: String,
        /// How long was waited.
        seconds: u64,
        /// What is missing.
        detail: String,
    },
}

/// Results of laboratory operations.
pub type Result<T> = std::result::Result<T, LabError>;

impl LabError {
    /// An operation on `path` that failed.
    #[must_use]
    pub fn file(what: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::File {
            what,
            path: path.to_path_buf(),
            source,
        }
    }

    /// A failed system call.
    #[must_use]
    pub fn system(what: &'static str, source: impl Into<std::io::Error>) -> Self {
        Self::System {
            what,
            source: source.into(),
        }
    }
}
