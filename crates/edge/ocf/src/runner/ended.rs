//! How an action of an agent has ended, and what a runner hears of its processes. Not for what follows.

use standfast_model::agent::severity;
use std::{io::Read as _, os::unix::net::UnixStream};

/// How an action ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Code(i32),
    Signal(i32),
    TimedOut,
    /// A stop was asked for meanwhile.
    Interrupted,
    NotStarted(String),
}

/// In every dialect.
pub(super) const SUCCEEDED: Ended = Ended::Code(0);

/// An action that is over, with what it said.
#[derive(Clone, Debug)]
pub(super) struct Finished {
    pub(super) ended: Ended,
    pub(super) said: String,
}

impl Finished {
    pub(super) fn code(&self) -> Option<i32> {
        match self.ended {
            Ended::Code(code) => Some(code),
            Ended::Signal(_) | Ended::TimedOut | Ended::Interrupted | Ended::NotStarted(_) => None,
        }
    }

    /// Whether waiting for another answer is of no use.
    pub(super) fn lasts(&self) -> bool {
        self.code().is_some_and(|code| !severity(code).is_soft())
    }
}

/// Whether a signal has come. Forgets it.
pub(super) fn has_bytes(pipe: &mut UnixStream) -> bool {
    let mut buffer = [0; 64];
    let mut any = false;
    while matches!(pipe.read(&mut buffer), Ok(length) if length > 0) {
        any = true;
    }
    any
}
