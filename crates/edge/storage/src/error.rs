//! What can go wrong, by what the caller will do about it.

use std::path::PathBuf;

use crate::record::Batch;

/// Why a state folder could not be opened. The agent cannot run; the text is for the operator.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another agent has the folder.
    #[error("{} is in use by process {pid}: only one agent may run on a state folder", dir.display())]
    InUse {
        /// The folder.
        dir: PathBuf,
        /// The holder as it wrote itself down; "unknown" if it has not.
        pid: String,
    },
    /// The database belongs to another node or cluster than `identity.json` says.
    #[error(
        "{} holds the state of {found}, but identity.json says {expected}: a state folder was copied \
         or mixed up. Put the right files back, or empty the folder and join again",
        dir.display()
    )]
    Foreign {
        /// The folder.
        dir: PathBuf,
        /// Identity in the database.
        found: String,
        /// Identity in the marker.
        expected: String,
    },
    /// No room to write even the little that an open needs.
    #[error("no space left for {}: free some disk space and start again", path.display())]
    Full {
        /// What was being written.
        path: PathBuf,
    },
    /// The operating system refused. Not a sign of damaged data.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
}

/// Why a batch is not durable. Nothing of it counts, and nothing acknowledged before is lost.
#[derive(Debug, thiserror::Error)]
pub enum PersistError {
    /// No space left (or a quota or size limit). Retry the same batch once there is room.
    #[error("no space left on the disk that holds the state folder")]
    Full,
    /// The disk failed. Retry the same batch; the database is rewritten first.
    #[error("the disk that holds the state folder failed: {0}")]
    Io(String),
    /// The database is damaged. Stop: the next start sets it aside.
    #[error("the state database is damaged: {0}")]
    Corrupt(String),
    /// The batch would take something back. A bug in the caller; never retry.
    #[error("refused to write: {0}")]
    Refused(String),
    /// There is no database yet.
    #[error("the state folder is not initialised")]
    NotInitialised,
    /// There is a database already.
    #[error("the state folder is already initialised")]
    AlreadyInitialised,
}

impl PersistError {
    /// Whether the same batch can succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Full | Self::Io(_))
    }
}

/// Why a batch was not queued; it is handed back.
#[derive(Debug)]
pub enum SubmitError {
    /// As many batches wait as the queue holds: the disk is too slow for what is asked of it.
    Busy(Box<Batch>),
    /// The storage thread has ended.
    Closed(Box<Batch>),
}

/// Failures while reading a database, before it is known what they mean to the caller.
#[derive(Debug)]
pub(crate) enum ReadError {
    Damaged(String),
    Io(std::io::Error),
}

impl From<redb::Error> for ReadError {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::Io(io)
                if !matches!(
                    io.kind(),
                    std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::InvalidData
                ) =>
            {
                Self::Io(io)
            }
            other => Self::Damaged(other.to_string()),
        }
    }
}

/// Whether an I/O error means "no room", which passes when someone makes room.
pub(crate) fn is_full(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

impl From<std::io::Error> for PersistError {
    fn from(error: std::io::Error) -> Self {
        if is_full(&error) {
            Self::Full
        } else {
            Self::Io(error.to_string())
        }
    }
}

impl From<redb::Error> for PersistError {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::Io(io) => io.into(),
            redb::Error::PreviousIo => Self::Io("an earlier write failed".to_owned()),
            other => Self::Corrupt(other.to_string()),
        }
    }
}

impl From<ReadError> for PersistError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Damaged(reason) => Self::Corrupt(reason),
            ReadError::Io(io) => io.into(),
        }
    }
}
