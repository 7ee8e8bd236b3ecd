//! Why a keeper could not be started, adopted or told something. Not for how a resource ended: that is its status.

use std::io;
use std::path::PathBuf;

/// Errors by what the caller does next.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// A keeper lives in this run folder, or what it held is not confirmed ended. Adopt it and end it first.
    #[error("{0} is still in use: adopt its keeper or wait until its tree has ended")]
    Occupied(PathBuf),
    /// Nothing was ever started in this run folder: nothing to adopt, nothing running.
    #[error("no keeper was started in {0}")]
    NothingThere(PathBuf),
    /// The keeper lives but does not answer (stopped, starved). Try again; its lease ends by itself.
    #[error("the keeper in {0} does not answer")]
    Unresponsive(PathBuf),
    /// The request can't work as it is; the sentence is for the operator.
    #[error("{0}")]
    Invalid(String),
    /// The system refused.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// The system's answer.
        source: io::Error,
    },
}

impl KeeperError {
    /// A refusal of the system, with what was tried.
    pub(crate) fn system(what: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::System {
            what: what.into(),
            source: source.into(),
        }
    }
}
