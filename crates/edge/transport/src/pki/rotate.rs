//! Another private key for this node: prepared beside the present one, and put in its place when the
//! cluster knows it. May be interrupted anywhere.
//!
//! Not for telling the cluster.

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use rcgen::KeyPair;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use super::{
    Authority, Credentials, NODE_CERTIFICATE, NODE_KEY, PkiError,
    authority::{make_request, pem},
    credentials::key_fingerprint,
    files,
};
use crate::tls;

const NEXT_KEY: &str = "node.key.next";
const NEXT_CERTIFICATE: &str = "node.crt.next";

/// Makes another key with a certificate for it, beside the present ones; gives its fingerprint.
///
/// # Errors
/// This node has no authority's key, or the files cannot be read or written.
pub fn prepare_key(dir: &Path, life: Duration) -> Result<String, PkiError> {
    let _alone = files::writing();
    let name = Credentials::load(dir)?.name().clone();
    let key = KeyPair::generate().map_err(|error| PkiError::Crypto(error.to_string()))?;
    let certificate =
        Authority::load(dir)?.sign_until(&name, &make_request(&key)?, SystemTime::now() + life)?;
    let fingerprint = key_fingerprint(&certificate).unwrap_or_default();
    files::write_private(dir, NEXT_KEY, key.serialize_pem().as_bytes())?;
    files::write_private(dir, NEXT_CERTIFICATE, pem(&certificate).as_bytes())?;
    Ok(fingerprint)
}

/// Puts the prepared key and certificate in their place.
///
/// # Errors
/// The files cannot be moved, or do not belong together.
pub fn adopt_key(dir: &Path) -> Result<Credentials, PkiError> {
    let _alone = files::writing();
    files::rename(dir, NEXT_CERTIFICATE, NODE_CERTIFICATE)?;
    files::rename(dir, NEXT_KEY, NODE_KEY)?;
    Credentials::load(dir)
}

/// Finishes what was interrupted between the two files.
pub(super) fn finish(dir: &Path) -> Result<(), PkiError> {
    let half_done = dir.join(NEXT_KEY).exists() && !dir.join(NEXT_CERTIFICATE).exists();
    if !half_done {
        return Ok(());
    }
    let certificate = files::read(dir, NODE_CERTIFICATE)?;
    let key = files::read_private(dir, NEXT_KEY)?;
    let fits = match (
        CertificateDer::from_pem_slice(certificate.as_bytes()),
        PrivateKeyDer::from_pem_slice(key.as_bytes()),
    ) {
        (Ok(certificate), Ok(key)) => tls::check_key(&certificate, &key).is_ok(),
        (Err(_), _) | (_, Err(_)) => false,
    };
    if fits {
        files::rename(dir, NEXT_KEY, NODE_KEY)?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::pki::testing::node;

    const LIFE: Duration = Duration::from_secs(3600);

    #[test]
    fn a_prepared_key_changes_nothing_until_it_is_adopted() {
        let (dir, before) = node();
        let next = prepare_key(dir.path(), LIFE).unwrap();
        let present = Credentials::load(dir.path()).unwrap();
        assert_eq!(present.key_fingerprint(), before.key_fingerprint());
        let adopted = adopt_key(dir.path()).unwrap();
        assert_eq!(adopted.key_fingerprint(), next);
        assert_ne!(next, before.key_fingerprint());
        // Repeated, it changes nothing.
        assert_eq!(adopt_key(dir.path()).unwrap().key_fingerprint(), next);
    }

    #[test]
    fn an_interruption_between_the_two_files_is_finished() {
        let (dir, _) = node();
        let next = prepare_key(dir.path(), LIFE).unwrap();
        files::rename(dir.path(), NEXT_CERTIFICATE, NODE_CERTIFICATE).unwrap();
        let found = Credentials::load(dir.path()).unwrap();
        assert_eq!(found.key_fingerprint(), next);
    }
}
