//! Which join tokens are alive on this member, and taking one when its proof is right.
//!
//! In memory only: a restart of the agent ends all tokens.

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{JoinError, JoinToken, MAX_TOKEN_LIFETIME, token::Side};
use crate::pki::Authority;

/// Most tokens alive at once; the oldest gives way.
const MAX_TOKENS: usize = 16;

struct Live {
    token: JoinToken,
    authority: Arc<Authority>,
    until: Instant,
    /// Someone with the right proof is being served: nobody else may use it meanwhile.
    in_use: bool,
}

/// The tokens that are alive, shared between the handle and the transport's thread.
#[derive(Clone, Default)]
pub(crate) struct JoinDesk(Arc<Mutex<Vec<Live>>>);

impl fmt::Debug for JoinDesk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JoinDesk")
    }
}

/// A token in use. Dropped without [`Claim::spend`], it can be used again.
pub(super) struct Claim {
    desk: JoinDesk,
    pub(super) token: JoinToken,
    pub(super) authority: Arc<Authority>,
}

impl JoinDesk {
    fn lock(&self) -> MutexGuard<'_, Vec<Live>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn open(
        &self,
        authority: Authority,
        addresses: Vec<SocketAddr>,
        lifetime: Duration,
    ) -> Result<JoinToken, JoinError> {
        let lifetime = lifetime.min(MAX_TOKEN_LIFETIME);
        let token = JoinToken::generate(authority.fingerprint(), addresses, lifetime)?;
        let mut live = self.lock();
        live.retain(|entry| entry.until > Instant::now());
        if live.len() >= MAX_TOKENS {
            live.remove(0);
        }
        live.push(Live {
            token: token.clone(),
            authority: Arc::new(authority),
            until: Instant::now() + lifetime,
            in_use: false,
        });
        Ok(token)
    }

    /// Whether any token is alive; forgets those that are not.
    pub(crate) fn is_open(&self) -> bool {
        let mut live = self.lock();
        live.retain(|entry| entry.until > Instant::now());
        !live.is_empty()
    }

    /// Finds the token that `proof` was made with and marks it as being used.
    pub(super) fn claim(&self, session: &[u8; 32], request: &[u8], proof: &[u8]) -> Option<Claim> {
        let mut live = self.lock();
        live.retain(|entry| entry.until > Instant::now());
        let entry = live.iter_mut().find(|entry| {
            !entry.in_use && entry.token.verify(Side::Joining, session, request, proof)
        })?;
        entry.in_use = true;
        Some(Claim {
            desk: self.clone(),
            token: entry.token.clone(),
            authority: Arc::clone(&entry.authority),
        })
    }
}

impl Claim {
    /// Ends the token: it let someone in.
    pub(super) fn spend(&self) {
        self.desk.lock().retain(|entry| entry.token != self.token);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut live = self.desk.lock();
        if let Some(entry) = live.iter_mut().find(|entry| entry.token == self.token) {
            entry.in_use = false;
        }
    }
}
