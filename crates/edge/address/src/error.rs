//! What can go wrong, by what the caller does about it. Not for refusals that are an ordinary answer
//! (a lapsed lease is [`crate::Extended::Lapsed`], a foreign MAC is [`crate::ConflictReport`]).

use rustix::io::Errno;

/// Errors of the address driver and the guard.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The specification cannot be right on any machine: tell the operator, do not retry.
    #[error("{0}")]
    Spec(String),
    /// This machine lacks something; the sentence says what, and what to do. Do not retry here.
    #[error("{0}")]
    Unsupported(String),
    /// The lease was over (or too close to its end) when the operation was tried; nothing was opened, and what was
    /// open has been closed. Ask for no lease until the resource is confirmed stopped.
    #[error("the lease of {resource} had ended; its addresses are closed")]
    Lapsed {
        /// The resource.
        resource: String,
    },
    /// The resource was never prepared on this driver.
    #[error("{resource} is not prepared on this node: call prepare first")]
    NotPrepared {
        /// The resource.
        resource: String,
    },
    /// The kernel refused; `errno` says whether trying again can help.
    #[error("{what}: {errno}")]
    Kernel {
        /// What was tried, in words for an operator.
        what: String,
        /// The kernel's answer.
        errno: Errno,
    },
}

impl AddressError {
    pub(crate) fn kernel(what: impl Into<String>, errno: Errno) -> Self {
        Self::Kernel {
            what: what.into(),
            errno,
        }
    }
}
