//! The cluster's own certificate authority, and keys and certificates on disk.
//!
//! The files of a directory: `ca.crt`, `node.crt`, `node.key` on every node, and `ca.key` on voters; while
//! another authority takes the place of the present one also `trusted.crt` and `ca-*.key` (`trust`).
//! Not for deciding who is a member: a certificate says who someone is, the member list says whether
//! that someone is let in.

mod authority;
mod credentials;
mod expiry;
mod files;
mod rotate;
mod seal;
mod trust;

use std::{fmt, io, path::PathBuf};

use rustls::pki_types::CertificateDer;
use thiserror::Error;

pub use authority::Authority;
pub(crate) use authority::make_request;
pub use credentials::key_fingerprint;
pub(crate) use credentials::own_key;
pub use credentials::{Credentials, install, renew};
pub(crate) use credentials::{certificate_names, is_outside_validity};
pub use expiry::expiry;
pub use rotate::{adopt_key, prepare_key};
pub use trust::{
    Prepared, TRUSTED, authority_key, distrust, forget_authority, keep_authority_key,
    prepare_authority, trust, trusted, use_authority,
};

/// The authority's certificate.
pub const CA_CERTIFICATE: &str = "ca.crt";
/// The authority's private key; only voters have it.
pub const CA_KEY: &str = "ca.key";
/// This node's certificate.
pub const NODE_CERTIFICATE: &str = "node.crt";
/// This node's private key.
pub const NODE_KEY: &str = "node.key";

/// Why keys and certificates could not be made, read or written.
#[derive(Debug, Error)]
pub enum PkiError {
    /// The directory holds a cluster's authority already.
    #[error("{} exists: this directory belongs to a cluster already", .0.display())]
    Exists(PathBuf),
    /// A file is readable or writable by others than its owner.
    #[error("{} may be read by others than its owner: chmod 600 {}", .0.display(), .0.display())]
    TooOpen(PathBuf),
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file or a message does not hold what it should.
    #[error("{what}: {why}")]
    Malformed {
        /// Which file or message.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// The cryptographic library refused.
    #[error("making a key or certificate failed: {0}")]
    Crypto(String),
}

/// The SHA-256 of a certificate in DER.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

impl Fingerprint {
    /// The fingerprint of `certificate`.
    #[must_use]
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest.as_ref());
        Self(bytes)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

#[cfg(test)]
mod testing {
    use super::{Authority, Credentials};
    use crate::{ClusterId, NodeName};

    /// The first node of a cluster of its own, and the folder with its keys.
    pub(super) fn node() -> (tempfile::TempDir, Credentials) {
        let dir = tempfile::tempdir().unwrap();
        let (cluster, name) = (
            ClusterId::new("c1").unwrap(),
            NodeName::new("alpha").unwrap(),
        );
        let credentials = Authority::init(dir.path(), &cluster, &name).unwrap();
        (dir, credentials)
    }
}
