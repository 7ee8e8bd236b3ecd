//! A node's own key and certificate, read from its directory, and what a certificate says.
//!
//! Not for verifying peers: `tls` does that. What is parsed here is either our own file or has
//! been verified against the authority before.

use std::{
    fmt,
    path::Path,
    time::{Duration, SystemTime},
};

use rcgen::KeyPair;
use rustls::{
    RootCertStore,
    client::{verify_server_cert_signed_by_trust_anchor, verify_server_name},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::ParsedCertificate,
};
use x509_parser::{extensions::GeneralName, prelude::FromDer, prelude::X509Certificate};

use super::{
    Authority, CA_CERTIFICATE, CA_KEY, Fingerprint, NODE_CERTIFICATE, NODE_KEY, PkiError,
    authority::{make_request, pem},
    files, rotate, seal, trust,
};
use crate::{ClusterId, NodeName, name::parse_dns_name, tls};

/// A node's private key and certificate, and the authority's certificate.
pub struct Credentials {
    name: NodeName,
    cluster: ClusterId,
    certificate: CertificateDer<'static>,
    /// Who signed it.
    authority: CertificateDer<'static>,
    /// Everybody that peers' certificates may be signed by.
    trusted: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("name", &self.name)
            .field("cluster", &self.cluster)
            .finish_non_exhaustive()
    }
}

impl Clone for Credentials {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            cluster: self.cluster.clone(),
            certificate: self.certificate.clone(),
            authority: self.authority.clone(),
            trusted: self.trusted.clone(),
            key: self.key.clone_key(),
        }
    }
}

impl Credentials {
    /// Reads `ca.crt`, `node.crt` and `node.key` from `dir` and checks that they belong together. Of several
    /// trusted authorities, the one that signed `node.crt` is this node's.
    pub fn load(dir: &Path) -> Result<Self, PkiError> {
        let malformed = |file: &str, why: String| PkiError::Malformed {
            what: dir.join(file).display().to_string(),
            why,
        };
        let read_certificate = |file: &str| {
            let text = files::read(dir, file)?;
            CertificateDer::from_pem_slice(text.as_bytes())
                .map_err(|error| malformed(file, error.to_string()))
        };
        rotate::finish(dir)?;
        let trusted = trust::read_all(dir)?;
        let certificate = read_certificate(NODE_CERTIFICATE)?;
        let key_text = files::read_private(dir, NODE_KEY)?;
        let key = PrivateKeyDer::from_pem_slice(key_text.as_bytes())
            .map_err(|error| malformed(NODE_KEY, error.to_string()))?;
        let (name, cluster) = certificate_names(&certificate)
            .ok_or_else(|| malformed(NODE_CERTIFICATE, "names no node of a cluster".to_owned()))?;
        let authority = find_issuer(&certificate, &trusted, &name, &cluster)
            .map_err(|error| malformed(NODE_CERTIFICATE, error.to_string()))?;
        tls::check_key(&certificate, &key)
            .map_err(|error| malformed(NODE_KEY, error.to_string()))?;
        Ok(Self {
            name,
            cluster,
            certificate,
            authority,
            trusted,
            key,
        })
    }

    /// The node's name, from its certificate.
    #[must_use]
    pub fn name(&self) -> &NodeName {
        &self.name
    }

    /// The cluster's id, from its certificate.
    #[must_use]
    pub fn cluster(&self) -> &ClusterId {
        &self.cluster
    }

    /// The node's certificate.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// From when until when the node's certificate is valid, seconds since 1970.
    #[must_use]
    pub fn validity(&self) -> (u64, u64) {
        validity(&self.certificate)
    }

    /// The same of the authority's certificate.
    #[must_use]
    pub fn authority_validity(&self) -> (u64, u64) {
        validity(&self.authority)
    }

    /// The fingerprint of the node's public key.
    #[must_use]
    pub fn key_fingerprint(&self) -> String {
        key_fingerprint(&self.certificate).unwrap_or_default()
    }

    /// The authority's certificate.
    #[must_use]
    pub fn authority(&self) -> &CertificateDer<'static> {
        &self.authority
    }

    /// Certificates of everybody that peers' certificates may be signed by.
    #[must_use]
    pub fn trusted(&self) -> &[CertificateDer<'static>] {
        &self.trusted
    }

    /// The fingerprint of the authority's certificate.
    #[must_use]
    pub fn authority_fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.authority)
    }

    pub(crate) fn key(&self) -> &PrivateKeyDer<'static> {
        &self.key
    }
}

/// Which of the trusted ones signed a certificate.
fn find_issuer(
    certificate: &CertificateDer<'_>,
    trusted: &[CertificateDer<'static>],
    name: &NodeName,
    cluster: &ClusterId,
) -> Result<CertificateDer<'static>, rustls::Error> {
    let mut failure = rustls::Error::General("nobody is trusted".to_owned());
    for authority in trusted {
        match check_issuer(certificate, authority, name, cluster) {
            Ok(()) => return Ok(authority.clone()),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

fn check_issuer(
    certificate: &CertificateDer<'_>,
    authority: &CertificateDer<'static>,
    name: &NodeName,
    cluster: &ClusterId,
) -> Result<(), rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone())?;
    let parsed = ParsedCertificate::try_from(certificate)?;
    tls::at_any_time(|now| {
        verify_server_cert_signed_by_trust_anchor(&parsed, &roots, &[], now, tls::algorithms().all)
    })?;
    match name.server_name(cluster) {
        Some(server_name) => verify_server_name(&parsed, &server_name),
        None => Err(rustls::Error::General("names no node".to_owned())),
    }
}

/// Writes what a joining node was given: its key, its certificate, the authority's certificate, and
/// the authority's key (PEM) for a voter. After a crash in the middle it may be called again.
pub fn install(
    dir: &Path,
    key_pem: &str,
    certificate: &CertificateDer<'_>,
    authority: &CertificateDer<'_>,
    authority_key_pem: Option<&str>,
) -> Result<Credentials, PkiError> {
    let marker = dir.join(CA_CERTIFICATE);
    if marker.exists() {
        return Err(PkiError::Exists(marker));
    }
    files::make_directory(dir)?;
    files::write_private(dir, NODE_KEY, key_pem.as_bytes())?;
    files::write_private(dir, NODE_CERTIFICATE, pem(certificate).as_bytes())?;
    if let Some(text) = authority_key_pem {
        seal::write(dir, CA_KEY, text)?;
    }
    files::write_private(dir, CA_CERTIFICATE, pem(authority).as_bytes())?;
    Credentials::load(dir)
}

/// The private key of a node that is about to join: the one of an interrupted attempt, or a new one.
pub(crate) fn own_key(dir: &Path) -> Result<KeyPair, PkiError> {
    let crypto = |error: rcgen::Error| PkiError::Crypto(error.to_string());
    if dir.join(NODE_KEY).exists() {
        return KeyPair::from_pem(&files::read_private(dir, NODE_KEY)?).map_err(crypto);
    }
    let key = KeyPair::generate().map_err(crypto)?;
    files::make_directory(dir)?;
    files::write_private(dir, NODE_KEY, key.serialize_pem().as_bytes())?;
    Ok(key)
}

/// Node and cluster of a certificate that has been verified (or is our own).
pub(crate) fn certificate_names(certificate: &CertificateDer<'_>) -> Option<(NodeName, ClusterId)> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let names = parsed.subject_alternative_name().ok()??;
    // Exactly one name: a certificate must not be two nodes.
    match names.value.general_names.as_slice() {
        [GeneralName::DNSName(dns)] => parse_dns_name(dns),
        _ => None,
    }
}

/// The SHA-256 of a certificate's public key, in hexadecimal: what a member is known by. It stays the
/// same when a certificate is renewed.
#[must_use]
pub fn key_fingerprint(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let digest = ring::digest::digest(&ring::digest::SHA256, parsed.public_key().raw);
    Some(
        digest
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
    )
}

pub(super) fn validity(certificate: &CertificateDer<'_>) -> (u64, u64) {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
        return (0, 0);
    };
    let seconds = |at: x509_parser::time::ASN1Time| u64::try_from(at.timestamp()).unwrap_or(0);
    let validity = parsed.validity();
    (seconds(validity.not_before), seconds(validity.not_after))
}

/// Signs a new certificate for this node with the same key, valid for `life` from now, and puts it in
/// the old one's place. Peers know the key, so that nothing else changes.
///
/// # Errors
/// This node has no authority's key (only voters have), or the files cannot be read or written.
pub fn renew(dir: &Path, life: Duration) -> Result<Credentials, PkiError> {
    let _alone = files::writing();
    renew_alone(dir, life)
}

/// The same, for whoever is alone already.
pub(super) fn renew_alone(dir: &Path, life: Duration) -> Result<Credentials, PkiError> {
    let authority = Authority::load(dir)?;
    let before = Credentials::load(dir)?;
    let key = own_key(dir)?;
    let certificate = authority.sign_until(
        before.name(),
        &make_request(&key)?,
        SystemTime::now() + life,
    )?;
    files::write_private(dir, NODE_CERTIFICATE, pem(&certificate).as_bytes())?;
    Credentials::load(dir)
}

/// Whether a verified certificate is expired or not valid yet, by this machine's clock.
pub(crate) fn is_outside_validity(certificate: &CertificateDer<'_>) -> bool {
    let Ok(now) = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) else {
        return false;
    };
    let (Ok((_, parsed)), Ok(now)) = (
        X509Certificate::from_der(certificate),
        i64::try_from(now.as_secs()),
    ) else {
        return false;
    };
    let validity = parsed.validity();
    now < validity.not_before.timestamp() || now > validity.not_after.timestamp()
}
