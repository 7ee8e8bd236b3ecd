//! The cluster's certificate authority while another one takes its place: what is agreed on, and what each
//! node is to do about it.
//!
//! Certificates only: private keys never come here, they travel between members and lie encrypted on disks.

use crate::{
    id::NodeId,
    state::{ClusterState, NodeReport},
};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Authorities that are remembered as replaced; a node that was away for more changes has to join again.
pub const MOST_RETIRED: usize = 16;
/// Longest certificate of an authority, as PEM text.
pub const LONGEST_CERTIFICATE: usize = 4096;

/// What the cluster knows of its authorities. The one in use is no secret of the state: every node's own
/// certificate says who signed it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorities {
    /// The change under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub change: Option<AuthorityChange>,
    /// Fingerprints of authorities that nobody trusts any more, the newest last. Only what is named here is
    /// ever forgotten by a node: a state that is behind takes nothing away.
    #[serde(default)]
    pub retired: VecDeque<String>,
}

/// Another authority takes the place of the present one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuthorityChange {
    /// Fingerprint of the new one's certificate.
    pub fingerprint: String,
    /// The new one's certificate, PEM.
    pub certificate: String,
    /// Fingerprint of the old one's certificate.
    pub old: String,
    /// When the old one's certificate ends, milliseconds since 1970: nobody who is away is waited for after that.
    pub old_until_ms: u64,
    /// How far it is.
    #[serde(default)]
    pub step: AuthorityStep,
    /// Who asked.
    pub by: String,
    /// Why; may be empty.
    #[serde(default)]
    pub reason: String,
    /// When it began, milliseconds since 1970, for display only.
    #[serde(default)]
    pub since_ms: u64,
}

/// How far a change of the authority is. The last step, after which nobody trusts the old one, ends it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuthorityStep {
    /// Every member learns to trust both, and gets the new one's key.
    #[default]
    Trust,
    /// Every member takes a certificate from the new one.
    Take,
}

impl AuthorityStep {
    /// What a member has not done yet that is waited for.
    #[must_use]
    pub const fn missing(self) -> &'static str {
        match self {
            Self::Trust => "to trust the new one",
            Self::Take => "to use the new one",
        }
    }

    /// Its number, from 1.
    #[must_use]
    pub const fn number(self) -> u64 {
        match self {
            Self::Trust => 1,
            Self::Take => 2,
        }
    }
}

impl AuthorityChange {
    /// Whether a node has done what the present step asks, by its own report.
    #[must_use]
    pub fn is_done_by(&self, report: &NodeReport) -> bool {
        let certificate = &report.certificate;
        let uses = certificate.authority == self.fingerprint;
        match self.step {
            AuthorityStep::Trust => uses || certificate.ready_for == self.fingerprint,
            AuthorityStep::Take => uses,
        }
    }

    /// Whether a node has the new authority's key, by its own report.
    #[must_use]
    pub fn is_held_by(&self, report: &NodeReport) -> bool {
        let certificate = &report.certificate;
        certificate.authority == self.fingerprint || certificate.ready_for == self.fingerprint
    }
}

impl ClusterState {
    /// Members that the present step of a change of the authority waits for.
    #[must_use]
    pub fn authority_waits_for(&self) -> Vec<&NodeId> {
        let Some(change) = &self.authorities.change else {
            return Vec::new();
        };
        let done = |node: &NodeId| {
            let known = self.nodes.get(node);
            known.is_some_and(|known| change.is_done_by(&known.report))
        };
        let mut waits: Vec<&NodeId> = self.members.values().map(|info| &info.node).collect();
        waits.retain(|node| !done(node));
        waits.sort();
        waits.dedup();
        waits
    }
}

/// What a node is to do about authorities. Complete every time, and may be repeated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthorityOrders {
    /// The authority to come.
    pub next: Option<NextAuthority>,
    /// Fingerprints of authorities that are to be forgotten.
    pub retired: Vec<String>,
}

/// An authority to come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NextAuthority {
    /// Fingerprint of its certificate.
    pub fingerprint: String,
    /// Its certificate, PEM.
    pub certificate: String,
    /// Everybody trusts it: this node is to take a certificate from it.
    pub take: bool,
    /// Members that have its key, this node excepted.
    pub holders: Vec<NodeId>,
}
