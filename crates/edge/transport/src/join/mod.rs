//! How a node without a certificate becomes a member: with a token made on a member.
//!
//! The token holds a secret, the fingerprint of the cluster's authority and addresses. The joining
//! node connects to the same UDP port under an application protocol of its own, checks that the
//! member's certificate is signed by the authority of that fingerprint, and both sides prove that
//! they know the secret by a MAC over keying material of that very TLS session: neither a recorded
//! proof nor one relayed through another connection is worth anything. The member then asks its agent
//! (`TransportEvent::Join`), which accepts or refuses.
//!
//! Not for deciding who may join, and not for what the new member is told about the cluster: that
//! is an opaque payload of the agent.

mod client;
mod desk;
mod message;
mod server;
mod token;

use std::{fmt, net::SocketAddr, time::Duration};

use bytes::Bytes;
use thiserror::Error;
use tokio::sync::oneshot;

use crate::{NodeName, pki::PkiError};

pub use client::{Checked, JoinOptions, Joined, check, join};
pub(crate) use desk::JoinDesk;
pub(crate) use server::serve;
pub use token::JoinToken;

/// Longest life of a join token.
pub const MAX_TOKEN_LIFETIME: Duration = Duration::from_secs(15 * 60);

/// Why joining failed, or a token could not be made.
#[derive(Debug, Error)]
pub enum JoinError {
    /// The text is not a token.
    #[error("not a join token: {0}")]
    NotAToken(String),
    /// Nobody answered at any address of the token.
    #[error("no member answered: {0}")]
    Unreachable(String),
    /// Whoever answered is not of the token's cluster, or does not know the token.
    #[error("the node at {address} is not the one that made this token: {why}")]
    WrongCluster {
        /// Which address of the token.
        address: SocketAddr,
        /// What did not match.
        why: String,
    },
    /// The member refused.
    #[error("the member refused: {0}")]
    Refused(String),
    /// Keys or certificates could not be made or written.
    #[error(transparent)]
    Pki(#[from] PkiError),
    /// The system refused a socket, a thread or random numbers.
    #[error("{0}")]
    System(String),
}

/// Someone who holds a valid token asks to become a member. Dropped unanswered, it is refused.
pub struct JoinRequest {
    /// The name it wants.
    pub name: NodeName,
    /// The addresses it says it has.
    pub addresses: Vec<SocketAddr>,
    /// The feature level its program speaks.
    pub feature_level: u32,
    /// From where it asks.
    pub from: SocketAddr,
    /// Fingerprint of the public key that it will be known by.
    pub key: String,
    /// It wants to vote and run nothing.
    pub witness: bool,
    pub(crate) answer: oneshot::Sender<Decision>,
}

/// What the agent answered.
pub(crate) enum Decision {
    Accept {
        bootstrap: Bytes,
        share_authority: bool,
    },
    Refuse(String),
}

impl JoinRequest {
    /// Lets it in: it receives a signed certificate and `bootstrap` (opaque here, at most 4 MiB), and
    /// with `share_authority` the authority's key, which voters keep.
    pub fn accept(self, bootstrap: Bytes, share_authority: bool) {
        // It may have given up meanwhile; there is nobody to tell then.
        drop(self.answer.send(Decision::Accept {
            bootstrap,
            share_authority,
        }));
    }

    /// Refuses it; `reason` is shown to whoever runs `join`. The token stays valid.
    pub fn refuse(self, reason: &str) {
        drop(self.answer.send(Decision::Refuse(reason.to_owned())));
    }
}

impl fmt::Debug for JoinRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinRequest")
            .field("name", &self.name)
            .field("addresses", &self.addresses)
            .field("from", &self.from)
            .finish_non_exhaustive()
    }
}
