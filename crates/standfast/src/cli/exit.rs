//! Exit codes: those of sysexits, and Pacemaker's where they say more.

use crate::failure::Failure;
use standfast_api::ClientError;
use standfast_model::request::{Refusal, RefusalKind};

/// The command line makes no sense.
pub(crate) const USAGE: u8 = 2;
/// sysexits: what came in is not right.
pub(crate) const DATA: u8 = 65;
/// sysexits: a file cannot be read.
pub(crate) const NO_INPUT: u8 = 66;
/// sysexits: a service is not there.
pub(crate) const UNAVAILABLE: u8 = 69;
/// sysexits: reading or writing failed.
pub(crate) const IO: u8 = 74;
/// sysexits: try again later.
pub(crate) const TRY_AGAIN: u8 = 75;
/// sysexits: both sides do not understand each other.
pub(crate) const PROTOCOL: u8 = 76;
/// sysexits: this user may not do that.
pub(crate) const NO_PERMISSION: u8 = 77;
/// sysexits: the configuration is wrong.
pub(crate) const CONFIG: u8 = 78;
/// Pacemaker's: no agent answers.
pub(crate) const NOT_CONNECTED: u8 = 102;
/// Pacemaker's: no such item.
pub(crate) const NO_SUCH_ITEM: u8 = 105;
/// Pacemaker's: no quorum.
pub(crate) const NO_QUORUM: u8 = 106;
/// Pacemaker's: unsafe, needs `--force` or something else first.
pub(crate) const UNSAFE: u8 = 107;
/// Pacemaker's: it exists already.
pub(crate) const EXISTS: u8 = 108;
/// Pacemaker's: it took too long.
pub(crate) const TIMEOUT: u8 = 124;

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
