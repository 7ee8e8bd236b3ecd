//! What can go wrong with an emulated machine. Not for what a check finds: that is text in `Unexpected`.

use std::path::{Path, PathBuf};

/// Why a check did not pass, or could not be tried.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    /// A file of ours could not be read, written or made.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Something has to be installed or built first.
    #[error("{0}")]
    NotReady(String),
    /// A machine said nothing for too long.
    #[error("{machine}: no {what} within {seconds} s")]
    TimedOut {
        /// Its name.
        machine: String,
        /// What was waited for.
        what: String,
        /// How long.
        seconds: u64,
    },
    /// Something else than what has to be.
    #[error("{0}")]
    Unexpected(String),
}

/// The answer of everything that can fail here.
pub(crate) type Result<T> = std::result::Result<T, Broken>;

/// For `map_err`.
pub(crate) fn file(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Broken {
    let path = path.as_ref().to_owned();
    move |source| Broken::File { path, source }
}

/// Something else than what has to be.
pub(crate) fn unexpected<T>(text: impl Into<String>) -> Result<T> {
    Err(Broken::Unexpected(text.into()))
}
