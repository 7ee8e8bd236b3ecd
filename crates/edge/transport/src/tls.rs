//! Who is let in: TLS 1.3 with certificates on both sides, checked against the authority and the
//! member list.
//!
//! Chains and signatures are checked by rustls and webpki; this module only chooses the moment at
//! which they are checked (membership authorises, not a certificate's expiry) and adds the member
//! list. Not for what is said after the handshake (`hello`).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, RwLock},
};

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore,
    SignatureScheme,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, ring::default_provider},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime},
    server::{
        NoServerSessionStorage, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    version::TLS13,
};
use thiserror::Error as ThisError;

use crate::{
    ClusterId, NodeName,
    pki::{Credentials, certificate_names, key_fingerprint},
};

/// The application protocol between members.
pub(crate) const ALPN_MEMBER: &[u8] = b"standfast/1";
/// The application protocol of a node that wants to become a member.
pub(crate) const ALPN_JOIN: &[u8] = b"standfast-join/1";

/// Why a certificate that our authority signed is not enough.
#[derive(ThisError)]
enum NotAMember {
    #[error("the certificate names no single node")]
    NoName,
    #[error("the certificate is of cluster {0}, not of ours")]
    OtherCluster(ClusterId),
    #[error("{0} is not a member")]
    Removed(NodeName),
    #[error(
        "the certificate is not the one that {0} joined with: an earlier node of that name had it"
    )]
    OtherKey(NodeName),
}

/// What rustls prints of it: the same sentence.
impl fmt::Debug for NotAMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Who may talk to this node now; shared with the handshakes that are under way.
#[derive(Debug, Clone, Default)]
pub(crate) struct Members(Arc<RwLock<Allowed>>);

/// Fingerprints of the public keys that each member may show.
pub(crate) type Keys = BTreeMap<NodeName, BTreeSet<String>>;

#[derive(Debug, Default)]
struct Allowed {
    names: BTreeSet<NodeName>,
    /// `None` before they are known: then the authority's signature and the name are enough.
    keys: Option<Keys>,
}

impl Members {
    fn change(&self, change: impl FnOnce(&mut Allowed)) {
        match self.0.write() {
            Ok(mut allowed) => change(&mut allowed),
            Err(poisoned) => change(&mut poisoned.into_inner()),
        }
    }

    pub(crate) fn set(&self, names: BTreeSet<NodeName>) {
        self.change(|allowed| allowed.names = names);
    }

    pub(crate) fn set_keys(&self, keys: Keys) {
        self.change(|allowed| allowed.keys = Some(keys));
    }

    /// Whether `name` may show the key of this fingerprint.
    pub(crate) fn allows_key(&self, name: &NodeName, key: &str) -> bool {
        self.0.read().is_ok_and(|allowed| match &allowed.keys {
            None => true,
            Some(keys) => keys.get(name).is_some_and(|known| known.contains(key)),
        })
    }

    fn contains(&self, name: &NodeName) -> bool {
        self.0
            .read()
            .is_ok_and(|allowed| allowed.names.contains(name))
    }

    /// Whether a certificate of ours is that of a member.
    fn check(&self, certificate: &CertificateDer<'_>, cluster: &ClusterId) -> Result<(), Error> {
        let refused = match certificate_names(certificate) {
            None => NotAMember::NoName,
            Some((_, other)) if other != *cluster => NotAMember::OtherCluster(other),
            Some((name, _)) if !self.contains(&name) => NotAMember::Removed(name),
            Some((name, _)) => {
                let key = key_fingerprint(certificate).unwrap_or_default();
                if self.allows_key(&name, &key) {
                    return Ok(());
                }
                NotAMember::OtherKey(name)
            }
        };
        let other = OtherError(Arc::new(refused));
        Err(Error::InvalidCertificate(CertificateError::Other(other)))
    }
}

/// The alert that [`NotAMember`] becomes on the wire (RFC 8446, `certificate_unknown`); nothing else here does.
pub(crate) const NOT_A_MEMBER_ALERT: u8 = 46;
/// What this end says, and acts on, when a peer's certificate is of an authority that it does not trust
/// (`unknown_ca`).
pub(crate) const STRANGE_AUTHORITY_ALERT: u8 = 48;

fn provider() -> Arc<CryptoProvider> {
    Arc::new(default_provider())
}

/// The signature algorithms of the one cryptographic provider.
pub(crate) fn algorithms() -> WebPkiSupportedAlgorithms {
    default_provider().signature_verification_algorithms
}

/// Runs a verification now and, if the only thing it finds is the time, once more at a moment that
/// lies inside the certificate's validity: everything else of it is checked all the same.
pub(crate) fn at_any_time<T>(
    mut verify: impl FnMut(UnixTime) -> Result<T, Error>,
) -> Result<T, Error> {
    match verify(UnixTime::now()) {
        Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            verify(not_after)
        }
        Err(Error::InvalidCertificate(CertificateError::NotValidYetContext {
            not_before, ..
        })) => verify(not_before),
        result => result,
    }
}

/// Checks that `key` belongs to `certificate`.
pub(crate) fn check_key(
    certificate: &CertificateDer<'static>,
    key: &PrivateKeyDer<'static>,
) -> Result<(), Error> {
    let signing = default_provider()
        .key_provider
        .load_private_key(key.clone_key())?;
    rustls::sign::CertifiedKey::new(vec![certificate.clone()], signing).keys_match()
}

/// Checks members that connect to us.
struct MemberVerifier {
    inner: Arc<dyn ClientCertVerifier>,
    cluster: ClusterId,
    members: Members,
    /// False only while a join token lives: then someone without a certificate may ask to join, and
    /// is cut off when it asks for anything else.
    mandatory: bool,
}

impl fmt::Debug for MemberVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemberVerifier")
    }
}

impl ClientCertVerifier for MemberVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        // Members are signed by the authority itself: intermediates have no say.
        let verified = at_any_time(|now| self.inner.verify_client_cert(end_entity, &[], now))?;
        self.members.check(end_entity, &self.cluster)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Checks the member that we connect to: it must be the very node we meant.
#[derive(Debug)]
struct PeerVerifier {
    inner: Arc<WebPkiServerVerifier>,
    cluster: ClusterId,
    members: Members,
}

impl ServerCertVerifier for PeerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = at_any_time(|now| {
            self.inner
                .verify_server_cert(end_entity, &[], server_name, &[], now)
        })
        .map_err(strange_authority)?;
        self.members.check(end_entity, &self.cluster)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

fn roots(credentials: &Credentials) -> Result<Arc<RootCertStore>, Error> {
    let mut roots = RootCertStore::empty();
    for authority in credentials.trusted() {
        roots.add(authority.clone())?;
    }
    Ok(Arc::new(roots))
}

/// Two authorities of one cluster have the same name, so that a signature of another one looks like a broken one.
fn strange_authority(error: Error) -> Error {
    match error {
        Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        ) => Error::InvalidCertificate(CertificateError::UnknownIssuer),
        other => other,
    }
}

fn general(error: impl fmt::Display) -> Error {
    Error::General(error.to_string())
}

/// The server side of every handshake. `joins`: whether nodes without a certificate may ask to join.
pub(crate) fn server(
    credentials: &Credentials,
    members: &Members,
    joins: bool,
) -> Result<Arc<QuicServerConfig>, Error> {
    let inner = WebPkiClientVerifier::builder_with_provider(roots(credentials)?, provider())
        .build()
        .map_err(general)?;
    let verifier = MemberVerifier {
        inner,
        cluster: credentials.cluster().clone(),
        members: members.clone(),
        mandatory: !joins,
    };
    // The authority's certificate goes along for nodes that join: they know only its fingerprint.
    let chain = vec![
        credentials.certificate().clone(),
        credentials.authority().clone(),
    ];
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::new(verifier))
        .with_single_cert(chain, credentials.key().clone_key())?;
    config.alpn_protocols = vec![ALPN_MEMBER.to_vec()];
    if joins {
        config.alpn_protocols.push(ALPN_JOIN.to_vec());
    }
    // A resumed session would skip the look at the member list.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(
        QuicServerConfig::try_from(config).map_err(general)?,
    ))
}

/// The client side of a handshake with a member.
pub(crate) fn client(
    credentials: &Credentials,
    members: &Members,
) -> Result<Arc<QuicClientConfig>, Error> {
    let inner = WebPkiServerVerifier::builder_with_provider(roots(credentials)?, provider())
        .build()
        .map_err(general)?;
    let verifier = PeerVerifier {
        inner,
        cluster: credentials.cluster().clone(),
        members: members.clone(),
    };
    let mut config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_client_auth_cert(
            vec![credentials.certificate().clone()],
            credentials.key().clone_key(),
        )?;
    config.alpn_protocols = vec![ALPN_MEMBER.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(
        QuicClientConfig::try_from(config).map_err(general)?,
    ))
}

/// The client side of a handshake of a node that has no certificate yet.
pub(crate) fn joining_client(
    verifier: Arc<dyn ServerCertVerifier>,
) -> Result<Arc<QuicClientConfig>, Error> {
    let mut config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN_JOIN.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(
        QuicClientConfig::try_from(config).map_err(general)?,
    ))
}
