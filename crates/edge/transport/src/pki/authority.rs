//! The cluster's certificate authority: made once by `init`, kept by voters, signs node certificates.
//!
//! Not for revocation: a node is shut out by removing it from the member list.

use std::{
    fmt,
    path::Path,
    time::{Duration, SystemTime},
};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer};

use super::{
    CA_CERTIFICATE, CA_KEY, Credentials, Fingerprint, NODE_CERTIFICATE, NODE_KEY, PkiError, files,
    seal, trust,
};
use crate::{ClusterId, NodeName};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Life of a node certificate. Its end stops nothing (membership authorises), it only warns.
const NODE_CERTIFICATE_LIFE: Duration = Duration::from_secs(365 * 24 * 3600);

/// The cluster's certificate authority with its private key.
pub struct Authority {
    cluster: ClusterId,
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    /// PEM of the private key, to hand on to a voter that joins.
    key_pem: String,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("cluster", &self.cluster)
            .field("fingerprint", &self.fingerprint())
            .finish_non_exhaustive()
    }
}

fn crypto(error: rcgen::Error) -> PkiError {
    PkiError::Crypto(error.to_string())
}

impl Authority {
    /// Makes a cluster in `dir`: its authority and this node's own certificate. Refused when `dir`
    /// holds an authority already; after a crash in the middle it may be called again.
    pub fn init(dir: &Path, cluster: &ClusterId, node: &NodeName) -> Result<Credentials, PkiError> {
        let marker = dir.join(CA_CERTIFICATE);
        if marker.exists() {
            return Err(PkiError::Exists(marker));
        }
        let authority = Self::generate(cluster)?;
        let key = KeyPair::generate().map_err(crypto)?;
        let certificate = authority.sign(node, &make_request(&key)?)?;
        files::make_directory(dir)?;
        files::write_private(dir, NODE_KEY, key.serialize_pem().as_bytes())?;
        files::write_private(dir, NODE_CERTIFICATE, pem(&certificate).as_bytes())?;
        seal::write(dir, CA_KEY, &authority.key_pem)?;
        // Last, because it is what says that the directory is complete.
        files::write_private(dir, CA_CERTIFICATE, pem(&authority.certificate).as_bytes())?;
        Credentials::load(dir)
    }

    /// Reads the authority from a voter's directory.
    pub fn load(dir: &Path) -> Result<Self, PkiError> {
        let cluster = Credentials::load(dir)?.cluster().clone();
        let key_pem = seal::read(dir, CA_KEY)?;
        let malformed = |why: String| PkiError::Malformed {
            what: dir.join(CA_CERTIFICATE).display().to_string(),
            why,
        };
        let key = KeyPair::from_pem(&key_pem).map_err(crypto)?;
        let certificate = trust::read_all(dir)?
            .into_iter()
            .find(|certificate| trust::fits(certificate, &key))
            .ok_or_else(|| malformed(format!("{CA_KEY} is of another authority")))?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key)
            .map_err(|error| malformed(error.to_string()))?;
        Ok(Self {
            cluster,
            issuer,
            certificate,
            key_pem,
        })
    }

    pub(super) fn generate(cluster: &ClusterId) -> Result<Self, PkiError> {
        let key = KeyPair::generate().map_err(crypto)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, format!("Standfast cluster {cluster}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = params.self_signed(&key).map_err(crypto)?.der().clone();
        let key_pem = key.serialize_pem();
        Ok(Self {
            cluster: cluster.clone(),
            issuer: Issuer::new(params, key),
            certificate,
            key_pem,
        })
    }

    /// Signs a certificate for `node` with the public key of `request` (a signing request in DER,
    /// whose own signature is checked; the names in it are not looked at).
    pub fn sign(
        &self,
        node: &NodeName,
        request: &[u8],
    ) -> Result<CertificateDer<'static>, PkiError> {
        self.sign_until(node, request, SystemTime::now() + NODE_CERTIFICATE_LIFE)
    }

    /// The same with an end of one's own choice, for tests of expiry.
    pub fn sign_until(
        &self,
        node: &NodeName,
        request: &[u8],
        not_after: SystemTime,
    ) -> Result<CertificateDer<'static>, PkiError> {
        let request = CertificateSigningRequestDer::from(request);
        let mut signing = CertificateSigningRequestParams::from_der(&request).map_err(crypto)?;
        let mut params = node_params(node, &self.cluster)?;
        // A day back, because clocks of machines differ.
        params.not_before = (not_after.min(SystemTime::now()) - DAY).into();
        params.not_after = not_after.into();
        params.use_authority_key_identifier_extension = true;
        signing.params = params;
        Ok(signing
            .signed_by(&self.issuer)
            .map_err(crypto)?
            .der()
            .clone())
    }

    /// The authority's certificate.
    #[must_use]
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// What identifies this authority in join tokens.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.certificate)
    }

    pub(crate) fn key_pem(&self) -> &str {
        &self.key_pem
    }
}

fn node_params(node: &NodeName, cluster: &ClusterId) -> Result<CertificateParams, PkiError> {
    let mut params = CertificateParams::new(vec![node.dns_name(cluster)]).map_err(crypto)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, node.as_str());
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    Ok(params)
}

/// A signing request in DER for `key`. It names nobody: who signs decides the names.
pub(crate) fn make_request(key: &KeyPair) -> Result<Vec<u8>, PkiError> {
    let request = CertificateParams::default()
        .serialize_request(key)
        .map_err(crypto)?;
    Ok(request.der().to_vec())
}

/// A certificate as PEM text.
pub(super) fn pem(certificate: &CertificateDer<'_>) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let encoded = STANDARD.encode(certificate);
    let mut text = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = tail;
    }
    text.push_str("-----END CERTIFICATE-----\n");
    text
}
