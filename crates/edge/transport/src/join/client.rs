//! The joining node's side: from a token to a directory with keys and certificates.
//!
//! Blocks its caller; meant for the command line, before there is an agent.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use prost::Message;
use quinn::Connection;
use rcgen::KeyPair;
use ring::rand::{SecureRandom, SystemRandom};
use rustls::{
    DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};

use super::{
    JoinError, JoinToken,
    message::{Answer, ECHO_BYTES, EXPORTER_LABEL, MAX_ANSWER_BYTES, Request},
    server::read_all,
    token::Side,
};
use crate::{
    NodeName,
    pki::{self, Credentials, Fingerprint, PkiError},
    quic, tls,
};

/// The token names the authority of its time.
const STRANGER: &str = "its authority is not the one of the token: it is of another cluster, or its authority was replaced since; \
                        make a new token there";
/// How long one address of the token may take to answer the handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the member's packet may take to arrive at an own address.
const ECHO_PATIENCE: Duration = Duration::from_secs(2);
/// How long the member may take to decide and answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(45);

/// What a node says about itself when it joins.
#[derive(Debug, Clone)]
pub struct JoinOptions {
    /// The token that a member made.
    pub token: JoinToken,
    /// This node's name.
    pub name: NodeName,
    /// This node's addresses, one a link.
    pub addresses: Vec<SocketAddr>,
    /// The highest feature level this program speaks.
    pub feature_level: u32,
    /// Join as a witness: vote and run nothing.
    pub witness: bool,
    /// Ask here instead of at the addresses of the token.
    pub through: Option<SocketAddr>,
}

/// What a node is after it joined; its directory is written.
#[derive(Clone)]
pub struct Joined {
    /// Its key and certificate.
    pub credentials: Credentials,
    /// What the agent of the member told it about the cluster.
    pub bootstrap: Bytes,
}

impl fmt::Debug for Joined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Joined")
            .field("credentials", &self.credentials)
            .field("bootstrap_bytes", &self.bootstrap.len())
            .finish()
    }
}

/// Checks that the member's certificate is signed by the authority whose fingerprint is in the token.
#[derive(Debug)]
struct PinnedAuthority(Fingerprint);

impl ServerCertVerifier for PinnedAuthority {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let authority = find_authority(intermediates, self.0)
            .ok_or_else(|| Error::General(STRANGER.to_owned()))?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        let parsed = ParsedCertificate::try_from(end_entity)?;
        tls::at_any_time(|now| {
            let algorithms = tls::algorithms().all;
            verify_server_cert_signed_by_trust_anchor(&parsed, &roots, &[], now, algorithms)
        })?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &tls::algorithms())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &tls::algorithms())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        tls::algorithms().supported_schemes()
    }
}

fn find_authority<'a, 'b>(
    chain: &'a [CertificateDer<'b>],
    fingerprint: Fingerprint,
) -> Option<&'a CertificateDer<'b>> {
    chain
        .iter()
        .find(|certificate| Fingerprint::of(certificate) == fingerprint)
}

/// Asks to become a member and, when let in, writes keys and certificates to `dir`. Blocks for up to
/// a minute; must not be called inside an async runtime.
pub fn join(options: &JoinOptions, dir: &Path) -> Result<Joined, JoinError> {
    let marker = dir.join(pki::CA_CERTIFICATE);
    if marker.exists() {
        return Err(PkiError::Exists(marker).into());
    }
    let system = |error: std::io::Error| JoinError::System(error.to_string());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(system)?;
    // On disk before it is shown to anyone: whoever asks again after an interruption is the same node.
    let key = pki::own_key(dir)?;
    let (answer, authority) = runtime.block_on(ask_any(options, &key))?;
    let authority_key = Some(answer.authority_key_pem.as_str()).filter(|text| !text.is_empty());
    let credentials = pki::install(
        dir,
        &key.serialize_pem(),
        &CertificateDer::from(answer.certificate),
        &authority,
        authority_key,
    )?;
    Ok(Joined {
        credentials,
        bootstrap: answer.bootstrap,
    })
}

fn addresses_of(options: &JoinOptions) -> Vec<SocketAddr> {
    options
        .through
        .map_or_else(|| options.token.addresses.clone(), |one| vec![one])
}

/// What a member says before anything changes, and which ways are open.
#[derive(Debug, Clone)]
pub struct Checked {
    /// Highest feature level of the member's program.
    pub feature_level: u32,
    /// Version of the member's program.
    pub version: String,
    /// The member's clock, milliseconds since 1970, and ours when its answer came.
    pub clocks_ms: (u64, u64),
    /// How long asking took: the clocks are known no better.
    pub took: Duration,
    /// Addresses of the token, and why one cannot be reached from here.
    pub reached: Vec<(SocketAddr, Result<(), String>)>,
    /// Own addresses, and whether the member's packet arrived there.
    pub heard: Vec<(SocketAddr, bool)>,
}

/// Asks a member how it is, and whether it reaches this node's addresses. Changes nothing; the token stays
/// valid. Blocks for some seconds; must not be called inside an async runtime.
///
/// # Errors
/// No member answers, or whoever answers does not know the token; an own address cannot be bound.
pub fn check(options: &JoinOptions) -> Result<Checked, JoinError> {
    let system = |error: std::io::Error| JoinError::System(error.to_string());
    let mut sockets = Vec::new();
    for &address in &options.addresses {
        let socket = UdpSocket::bind(address)
            .map_err(|error| JoinError::System(format!("{address} (UDP): {error}")))?;
        socket.set_nonblocking(true).map_err(system)?;
        sockets.push((address, socket));
    }
    let mut echo = vec![0; ECHO_BYTES];
    SystemRandom::new()
        .fill(&mut echo)
        .map_err(|_unspecified| JoinError::System("no random numbers".to_owned()))?;
    let key = KeyPair::generate().map_err(|error| PkiError::Crypto(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(system)?;
    let mut checked = runtime.block_on(ask_all(options, &key, &echo))?;
    let until = Instant::now() + ECHO_PATIENCE;
    checked.heard = options.addresses.iter().map(|own| (*own, false)).collect();
    while Instant::now() < until && checked.heard.iter().any(|(_, heard)| !heard) {
        for ((_, socket), (_, heard)) in sockets.iter().zip(&mut checked.heard) {
            let mut buffer = [0; 2 * ECHO_BYTES];
            while let Ok(length) = socket.recv(&mut buffer) {
                *heard |= buffer.get(..length) == Some(echo.as_slice());
            }
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(checked)
}

/// Asks at every address: each is a link.
async fn ask_all(options: &JoinOptions, key: &KeyPair, echo: &[u8]) -> Result<Checked, JoinError> {
    let (mut reached, mut known) = (Vec::new(), None);
    for address in addresses_of(options) {
        let result = match connect(address, options.token.authority).await {
            Ok((connection, endpoint)) => {
                let began = Instant::now();
                let answer = ask(&connection, address, options, key, echo.to_vec()).await;
                let took = began.elapsed();
                connection.close(0u32.into(), b"done");
                drop(tokio::time::timeout(Duration::from_millis(200), endpoint.wait_idle()).await);
                let (answer, _) = answer?;
                known = Some((answer, took, wall_ms()));
                Ok(())
            }
            Err(why) => Err(why),
        };
        reached.push((address, result));
    }
    let Some((answer, took, own_ms)) = known else {
        let all: Vec<String> = reached
            .iter()
            .filter_map(|(address, result)| Some(format!("{address}: {}", result.as_ref().err()?)))
            .collect();
        return Err(JoinError::Unreachable(all.join("; ")));
    };
    Ok(Checked {
        feature_level: answer.feature_level,
        version: answer.version,
        clocks_ms: (answer.wall_ms, own_ms),
        took,
        reached,
        heard: Vec::new(),
    })
}

fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).ok();
    since
        .and_then(|since| u64::try_from(since.as_millis()).ok())
        .unwrap_or(0)
}

/// Asks at each address of the token until one answers, whatever it answers.
async fn ask_any(
    options: &JoinOptions,
    key: &KeyPair,
) -> Result<(Answer, CertificateDer<'static>), JoinError> {
    let mut failures = Vec::new();
    for address in addresses_of(options) {
        match connect(address, options.token.authority).await {
            Ok((connection, endpoint)) => {
                let result = ask(&connection, address, options, key, Vec::new()).await;
                connection.close(0u32.into(), b"done");
                drop(tokio::time::timeout(Duration::from_millis(200), endpoint.wait_idle()).await);
                return result;
            }
            Err(why) => failures.push(format!("{address}: {why}")),
        }
    }
    Err(JoinError::Unreachable(failures.join("; ")))
}

async fn connect(
    address: SocketAddr,
    authority: Fingerprint,
) -> Result<(Connection, quinn::Endpoint), String> {
    let text = |error: &dyn fmt::Display| error.to_string();
    let any: SocketAddr = if address.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let endpoint = quinn::Endpoint::client(any).map_err(|error| text(&error))?;
    let crypto =
        tls::joining_client(Arc::new(PinnedAuthority(authority))).map_err(|error| text(&error))?;
    let config = quic::joining_client(crypto);
    let connecting = endpoint
        .connect_with(config, address, "join.standfast")
        .map_err(|error| text(&error))?;
    match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
        Ok(Ok(connection)) => Ok((connection, endpoint)),
        Ok(Err(error)) => Err(explain(&error)),
        Err(_) => Err("no answer".to_owned()),
    }
}

/// A member without a live token ends the handshake for want of a certificate or of our protocol.
fn explain(error: &quinn::ConnectionError) -> String {
    match error {
        quinn::ConnectionError::ConnectionClosed(_) => format!(
            "it takes no new nodes now: the token is used or expired, or its agent was restarted ({error})"
        ),
        _ => error.to_string(),
    }
}

async fn ask(
    connection: &Connection,
    address: SocketAddr,
    options: &JoinOptions,
    key: &KeyPair,
    echo: Vec<u8>,
) -> Result<(Answer, CertificateDer<'static>), JoinError> {
    let wrong = |why: &str| JoinError::WrongCluster {
        address,
        why: why.to_owned(),
    };
    let mut session = [0; 32];
    connection
        .export_keying_material(&mut session, EXPORTER_LABEL, &[])
        .map_err(|_elapsed| JoinError::System("TLS gave no keying material".to_owned()))?;
    let mut request = Request {
        feature_level: options.feature_level,
        name: options.name.as_str().to_owned(),
        addresses: options.addresses.iter().map(ToString::to_string).collect(),
        signing_request: pki::make_request(key)?,
        proof: Vec::new(),
        witness: options.witness,
        echo,
    };
    let proven = request.proven_bytes();
    request.proof = options.token.prove(Side::Joining, &session, &proven);
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, exchange(connection, &request))
        .await
        .map_err(|_elapsed| JoinError::Unreachable(format!("{address} did not answer in time")))?
        .map_err(|why| JoinError::Unreachable(format!("{address}: {}", why)))?;
    if !answer.refused.is_empty() {
        return Err(JoinError::Refused(answer.refused));
    }
    if !options
        .token
        .verify(Side::Member, &session, &proven, &answer.proof)
    {
        return Err(wrong("it does not know the token's secret"));
    }
    let chain = connection
        .peer_identity()
        .and_then(|identity| identity.downcast::<Vec<CertificateDer<'static>>>().ok())
        .ok_or_else(|| wrong("it has no certificate"))?;
    let authority = find_authority(&chain, options.token.authority)
        .cloned()
        .ok_or_else(|| wrong("its authority is another"))?;
    Ok((answer, authority))
}

async fn exchange(connection: &Connection, request: &Request) -> Result<Answer, String> {
    let (mut send, mut receive) = connection
        .open_bi()
        .await
        .map_err(|error| error.to_string())?;
    send.write_all(&request.encode_to_vec())
        .await
        .map_err(|error| error.to_string())?;
    send.finish().map_err(|error| error.to_string())?;
    let bytes = read_all(&mut receive, MAX_ANSWER_BYTES).await?;
    Answer::decode(bytes.as_slice()).map_err(|error| error.to_string())
}
