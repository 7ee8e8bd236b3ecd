//! Exit codes: those of sysexits, and Pacemaker's where they say more.

use standfast_api::ClientError;
use standfast_model::request::{Refusal, RefusalKind};

/// The command line makes no sense.
pub const USAGE: u8 = 2;
/// sysexits: what came in is not right.
pub const DATA: u8 = 65;
/// sysexits: a file cannot be read.
pub const NO_INPUT: u8 = 66;
/// sysexits: a service is not there.
pub const UNAVAILABLE: u8 = 69;
/// sysexits: reading or writing failed.
pub const IO: u8 = 74;
/// sysexits: try again later.
pub const TRY_AGAIN: u8 = 75;
/// sysexits: both sides do not understand each other.
pub const PROTOCOL: u8 = 76;
/// sysexits: this user may not do that.
pub const NO_PERMISSION: u8 = 77;
/// sysexits: the configuration is wrong.
pub const CONFIG: u8 = 78;
/// Pacemaker's: no agent answers.
pub const NOT_CONNECTED: u8 = 102;
/// Pacemaker's: no such item.
pub const NO_SUCH_ITEM: u8 = 105;
/// Pacemaker's: no quorum.
pub const NO_QUORUM: u8 = 106;
/// Pacemaker's: unsafe, needs `--force` or something else first.
pub const UNSAFE: u8 = 107;
/// Pacemaker's: it exists already.
pub const EXISTS: u8 = 108;
/// Pacemaker's: it took too long.
pub const TIMEOUT: u8 = 124;

/// Why a command did not do what it was asked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Exit code.
    pub code: u8,
    /// For an operator: what, where, and what to do. Nothing is printed when it is empty.
    pub text: String,
}

impl Failure {
    /// A failure.
    #[must_use]
    pub fn new(code: u8, text: impl Into<String>) -> Self {
        Self {
            code,
            text: text.into(),
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal.kind {
            RefusalKind::NoQuorum => NO_QUORUM,
            RefusalKind::NoSuchItem => NO_SUCH_ITEM,
            RefusalKind::Exists => EXISTS,
            RefusalKind::Unsafe => UNSAFE,
            RefusalKind::Invalid => CONFIG,
            RefusalKind::Stale => TRY_AGAIN,
            RefusalKind::Timeout => TIMEOUT,
        };
        Self::new(code, refusal.text)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let text = error.to_string();
        match error {
            ClientError::NotConnected { source, .. } => Self::new(
                NOT_CONNECTED,
                format!("{text} ({source}); is it running? `systemctl status standfast` says so"),
            ),
            ClientError::Permission(_) => Self::new(NO_PERMISSION, text),
            ClientError::Busy(_) => Self::new(TRY_AGAIN, text),
            ClientError::Timeout(_) => Self::new(TIMEOUT, text),
            ClientError::Unanswered(_) => Self::new(UNAVAILABLE, text),
            ClientError::Protocol(_) => Self::new(PROTOCOL, text),
        }
    }
}
