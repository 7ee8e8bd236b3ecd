//! When certificates end, for whoever warns of it. Not for judging a peer's (`credentials`).

use super::{CA_CERTIFICATE, NODE_CERTIFICATE};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::{collections::BTreeMap, path::Path};
use x509_parser::prelude::{FromDer, X509Certificate};

/// End of each certificate in a node's folder, seconds since 1970, by file name. One that cannot be
/// read is left out.
#[must_use]
pub fn expiry(folder: &Path) -> BTreeMap<String, i64> {
    let ends = |name: &str| {
        let der = CertificateDer::from_pem_file(folder.join(name)).ok()?;
        let (_, certificate) = X509Certificate::from_der(&der).ok()?;
        Some((
            name.to_owned(),
            certificate.validity().not_after.timestamp(),
        ))
    };
    [CA_CERTIFICATE, NODE_CERTIFICATE]
        .into_iter()
        .filter_map(ends)
        .collect()
}
