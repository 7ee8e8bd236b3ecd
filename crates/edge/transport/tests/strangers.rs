//! What everyone else gets: nothing; and what members lose by it: nothing either.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
#![allow(
    clippy::print_stdout,
    reason = "tests that measure say what they measured"
)]

mod support;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    sync::Arc,
    time::{Duration, Instant},
};

use quinn::{ClientConfig, Connection, Endpoint, crypto::rustls::QuicClientConfig};
use rustls::{
    DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};
use standfast_transport::{Config, MAX_STREAM_BYTES, Peer, Transport, TransportEvent};
use support::{Forwarder, Node, Pki, introduce, loopback, name, pair, resident_kib};

const SOON: Duration = Duration::from_secs(3);
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 99));

/// Trusts everyone: a stranger does not care whom it talks to.
#[derive(Debug)]
struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// A QUIC client of our own making, with the certificate of `identity` when given.
struct Rogue {
    runtime: tokio::runtime::Handle,
    endpoint: Endpoint,
    /// Ends the thread that drives the runtime.
    _stop: tokio::sync::oneshot::Sender<()>,
}

impl Rogue {
    fn new(identity: Option<(&Pki, &str)>) -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone));
        let mut tls = match identity {
            None => builder.with_no_client_auth(),
            Some((pki, node)) => {
                pki.credentials(node);
                let read = |file| std::fs::read(pki.path(node).join(file)).unwrap();
                let certificate = CertificateDer::from_pem_slice(&read("node.crt")).unwrap();
                let key = PrivateKeyDer::from_pem_slice(&read("node.key")).unwrap();
                builder
                    .with_client_auth_cert(vec![certificate], key)
                    .unwrap()
            }
        };
        tls.alpn_protocols = vec![b"standfast/1".to_vec()];
        let driven = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let runtime = driven.handle().clone();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || driven.block_on(stopped));
        let inside = runtime.enter();
        let mut endpoint = Endpoint::client((STRANGER, 0).into()).unwrap();
        let crypto = QuicClientConfig::try_from(tls).unwrap();
        endpoint.set_default_client_config(ClientConfig::new(Arc::new(crypto)));
        drop(inside);
        Self {
            runtime,
            endpoint,
            _stop: stop,
        }
    }

    /// Connects, sends what it likes as the first thing, and gives the connection.
    fn say(&self, to: SocketAddr, bytes: Vec<u8>) -> Result<Connection, String> {
        self.runtime.block_on(async {
            let connecting = self.endpoint.connect(to, "x").unwrap();
            let connection = tokio::time::timeout(SOON, connecting)
                .await
                .map_err(|_elapsed| "no answer".to_owned())?
                .map_err(|error| error.to_string())?;
            drop(connection.send_datagram("beat".into()));
            if let Ok(Ok(mut stream)) =
                tokio::time::timeout(Duration::from_millis(300), connection.open_uni()).await
            {
                drop(stream.write_all(&bytes).await);
                std::mem::forget(stream);
            }
            Ok(connection)
        })
    }

    /// Why the other side closed.
    fn closed(&self, connection: &Connection) -> String {
        self.runtime
            .block_on(async { tokio::time::timeout(SOON, connection.closed()).await })
            .unwrap_or_else(|_| panic!("the connection is still open"))
            .to_string()
    }
}

fn frame(payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes().to_vec();
    bytes.extend_from_slice(payload);
    bytes
}

/// A hello in protobuf, by hand: level 1, cluster, node, instance 9.
fn hello(cluster: &str, node: &str) -> Vec<u8> {
    let mut bytes = vec![0x08, 1];
    for (tag, text) in [(0x12, cluster), (0x1a, node)] {
        bytes.extend([tag, u8::try_from(text.len()).unwrap()]);
        bytes.extend(text.as_bytes());
    }
    bytes.extend([0x20, 9]);
    frame(&bytes)
}

/// Nothing but refusals happened at `node`.
fn assert_nothing_delivered(node: &Node) -> Vec<String> {
    let mut refusals = Vec::new();
    for event in node.drain(Duration::from_millis(300)) {
        match event {
            TransportEvent::Refused { why, .. } => refusals.push(why),
            other => panic!("{other:?}"),
        }
    }
    refusals
}

fn assert_served(alpha: &Node, beta: &Node) {
    alpha
        .transport
        .send_stream(&beta.name, "append".into())
        .unwrap();
    beta.expect_message(&alpha.name, b"append", SOON);
}

#[test]
fn someone_without_a_certificate_gets_nothing() {
    let pki = Pki::new("c1", "alpha");
    let (alpha, beta) = pair(&pki, 1);
    alpha.drain(Duration::from_millis(100));
    let rogue = Rogue::new(None);
    if let Ok(connection) = rogue.say(alpha.addresses()[0], hello("c1", "beta")) {
        rogue.closed(&connection);
    }
    let refusals = assert_nothing_delivered(&alpha);
    assert_eq!(refusals.len(), 1, "{refusals:?}");
    assert_served(&alpha, &beta);

    // The same while a token lives and a certificate is not asked of those who join.
    alpha
        .transport
        .open_join(pki.authority(), alpha.addresses(), SOON)
        .unwrap();
    std::thread::sleep(Duration::from_millis(100));
    if let Ok(connection) = rogue.say(alpha.addresses()[0], hello("c1", "beta")) {
        rogue.closed(&connection);
    }
    let refusals = assert_nothing_delivered(&alpha);
    assert!(refusals[0].contains("no certificate"), "{refusals:?}");
    assert_served(&alpha, &beta);
}

#[test]
fn a_certificate_of_another_authority_gets_nothing() {
    let pki = Pki::new("c1", "alpha");
    let (alpha, beta) = pair(&pki, 1);
    alpha.drain(Duration::from_millis(100));
    let others = Pki::new("c1", "beta");
    let rogue = Rogue::new(Some((&others, "beta")));
    if let Ok(connection) = rogue.say(alpha.addresses()[0], hello("c1", "beta")) {
        let why = rogue.closed(&connection);
        assert!(why.contains("peer"), "{why}");
    }
    assert_nothing_delivered(&alpha);
    assert_served(&alpha, &beta);
}

#[test]
fn we_do_not_talk_to_a_node_that_only_sits_at_a_members_address() {
    let pki = Pki::new("c1", "alpha");
    let alpha = Node::start(pki.credentials("alpha"), loopback(1));
    // Of the same cluster, but not the one that is meant.
    let gamma = Node::start(pki.credentials("gamma"), loopback(1));
    gamma.transport.set_peers(vec![alpha.as_peer()]);
    alpha.transport.set_peers(vec![Peer {
        name: name("beta"),
        addresses: gamma.addresses(),
    }]);
    for _ in 0..20 {
        drop(alpha.transport.send_datagram(&name("beta"), "beat".into()));
        std::thread::sleep(Duration::from_millis(20));
    }
    for event in gamma.drain(Duration::ZERO) {
        let refused = matches!(
            event,
            TransportEvent::Refused { .. } | TransportEvent::NotLetIn { .. }
        );
        assert!(refused, "{event:?}");
    }
}

#[test]
fn a_hello_of_another_cluster_is_refused_with_the_reason() {
    let pki = Pki::new("c1", "alpha");
    let alpha = Node::start(pki.credentials("alpha"), loopback(1));
    alpha.transport.set_peers(vec![Peer {
        name: name("beta"),
        addresses: vec![],
    }]);
    let rogue = Rogue::new(Some((&pki, "beta")));
    let connection = rogue
        .say(alpha.addresses()[0], hello("c2", "beta"))
        .unwrap();
    let why = rogue.closed(&connection);
    assert!(
        why.contains("belongs to cluster c2, this node to c1"),
        "{why}"
    );
    assert_nothing_delivered(&alpha);

    let connection = rogue
        .say(alpha.addresses()[0], hello("c1", "gamma"))
        .unwrap();
    let why = rogue.closed(&connection);
    assert!(why.contains("its certificate is of beta"), "{why}");
}

#[test]
fn a_member_that_breaks_a_limit_is_cut_off_and_reported() {
    let pki = Pki::new("c1", "alpha");
    let alpha = Node::start(pki.credentials("alpha"), loopback(1));
    alpha.transport.set_peers(vec![Peer {
        name: name("beta"),
        addresses: vec![],
    }]);
    let rogue = Rogue::new(Some((&pki, "beta")));
    let too_long = u32::try_from(MAX_STREAM_BYTES + 1).unwrap();
    let floods = [too_long.to_be_bytes().to_vec(), frame(b"").repeat(200_000)];
    for (flood, why) in floods.into_iter().zip(["longer than", "messages a second"]) {
        let mut bytes = hello("c1", "beta");
        bytes.extend(flood);
        let connection = rogue.say(alpha.addresses()[0], bytes).unwrap();
        rogue.closed(&connection);
        let told = alpha.expect("PeerLimited", SOON, |event| match event {
            TransportEvent::PeerLimited { peer, why } if *peer == name("beta") => Some(why.clone()),
            _ => None,
        });
        assert!(told.contains(why), "{told}");
        // It is shut out for a moment, then let in again.
        let connection = rogue
            .say(alpha.addresses()[0], hello("c1", "beta"))
            .unwrap();
        assert!(rogue.closed(&connection).contains("shut out"));
        std::thread::sleep(Duration::from_millis(1100));
    }
}

/// Heartbeats from alpha to beta for as long as `work` takes; gives how many were sent and arrived.
fn heartbeats_during(alpha: &Node, beta: &Node, work: impl FnOnce() + Send) -> (usize, usize) {
    beta.drain(Duration::from_millis(50));
    let mut sent = 0;
    std::thread::scope(|scope| {
        let work = scope.spawn(work);
        while !work.is_finished() {
            let beat = vec![1; 100].into();
            alpha.transport.send_datagram(&beta.name, beat).unwrap();
            sent += 1;
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    // On a busy machine the last ones are late; late is not lost.
    let patience = Instant::now() + Duration::from_secs(5);
    let mut arrived = 0;
    while arrived < sent && Instant::now() < patience {
        arrived += beta
            .drain(Duration::from_millis(100))
            .iter()
            .filter(|event| matches!(event, TransportEvent::Datagram { .. }))
            .count();
    }
    (sent, arrived)
}

/// Memory of what the kernel keeps for a UDP socket of this machine, until it is read: proc_net_udp(5). The kernel
/// walks its sockets while others come and go, so that a row can be missing from one reading: nothing is known then.
fn unread_bytes(address: SocketAddr) -> Option<usize> {
    let table = std::fs::read_to_string("/proc/net/udp").unwrap();
    let SocketAddr::V4(address) = address else {
        panic!("{address} stands in another table");
    };
    let octets = u32::from_ne_bytes(address.ip().octets());
    let local = format!("{octets:08X}:{:04X}", address.port());
    let row = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .find(|fields| fields.get(1).is_some_and(|field| **field == local))?;
    let (_, unread) = row[4].split_once(':').unwrap();
    Some(usize::from_str_radix(unread, 16).unwrap())
}

#[test]
fn a_flood_of_garbage_costs_no_memory_and_no_heartbeat() {
    let pki = Pki::new("c1", "alpha");
    let (alpha, beta) = pair(&pki, 1);
    let target = beta.addresses()[0];
    let before = resident_kib();
    let mut garbage = 0_u32;
    let (sent, arrived) = heartbeats_during(&alpha, &beta, || {
        let socket = UdpSocket::bind((STRANGER, 0)).unwrap();
        let mut state = 88_172_645_463_325_252_u64;
        let until = Instant::now() + Duration::from_secs(3);
        while Instant::now() < until {
            // Always a backlog before every heartbeat, but never so much that the kernel throws things
            // away: where threads of others take the processor, that says nothing about this program.
            garbage += 1;
            while garbage.is_multiple_of(32)
                && unread_bytes(target).is_none_or(|unread| unread > 512 * 1024)
                && Instant::now() < until
            {
                std::thread::yield_now();
            }
            let mut packet = vec![0; 1200];
            for chunk in packet.chunks_mut(8) {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                chunk.copy_from_slice(&state.to_le_bytes()[..chunk.len()]);
            }
            // Short headers, long headers of no version, first packets of QUIC 1.
            match state % 3 {
                0 => packet[0] &= 0x7f,
                1 => packet[0] |= 0xc0,
                _ => packet[..6].copy_from_slice(&[0xc3, 0, 0, 0, 1, 8]),
            }
            drop(socket.send_to(&packet, target));
        }
    });
    let grown = resident_kib().saturating_sub(before);
    println!(
        "{garbage} packets of garbage: {arrived} of {sent} heartbeats arrived, {grown} KiB more"
    );
    assert!(garbage > 5000, "{garbage} packets are no flood");
    assert!(arrived * 100 >= sent * 95, "{arrived} of {sent}");
    // Megabytes came in, hundreds on a quiet machine; other tests of this program run beside this one.
    assert!(grown < 32 * 1024, "{grown} KiB");
    assert_served(&alpha, &beta);
}

#[test]
fn handshakes_that_are_never_finished_keep_no_member_out() {
    let pki = Pki::new("c1", "alpha");
    let (alpha, beta) = pair(&pki, 1);
    let before = resident_kib();
    // Strangers show that they receive (the retry passes), then let the server's answer be lost.
    let stalling = Forwarder::with(beta.addresses()[0], STRANGER, 300);
    let rogue = Rogue::new(None);
    let handshakes: Vec<_> = {
        let _inside = rogue.runtime.enter();
        (0..500)
            .map(|_| rogue.endpoint.connect(stalling.address, "x").unwrap())
            .map(|connecting| rogue.runtime.spawn(connecting))
            .collect()
    };
    std::thread::sleep(Duration::from_millis(300));
    let config = Config::new(pki.credentials("gamma"), loopback(1));
    let gamma = Node::start_with(config);
    let started = Instant::now();
    introduce(&[&alpha, &beta, &gamma]);
    beta.expect_links(&gamma.name, 1);
    let connected = started.elapsed();
    let (sent, arrived) = heartbeats_during(&alpha, &beta, || {
        std::thread::sleep(Duration::from_secs(2));
    });
    let grown = resident_kib().saturating_sub(before);
    println!(
        "500 stalled handshakes: gamma in after {connected:?}, {arrived} of {sent} heartbeats, {grown} KiB more"
    );
    assert!(connected < Duration::from_millis(500), "{connected:?}");
    assert!(arrived * 100 >= sent * 95, "{arrived} of {sent}");
    // The strangers live in this process too.
    assert!(grown < 64 * 1024, "{grown} KiB");
    assert!(stalling.passed.load(std::sync::atomic::Ordering::Relaxed) > 500);
    handshakes.iter().for_each(|handshake| handshake.abort());
}

#[test]
fn nothing_secret_is_in_debug_output() {
    let pki = Pki::new("c1", "alpha");
    let key = std::fs::read_to_string(pki.path("alpha").join("node.key")).unwrap();
    let secret = key.lines().nth(1).unwrap();
    let config = Config::new(pki.credentials("alpha"), loopback(1));
    let (sender, _events) = std::sync::mpsc::channel::<TransportEvent>();
    let shown = format!("{config:?} {:?}", pki.authority());
    let transport = Transport::start(config, Arc::new(sender)).unwrap();
    let shown = format!("{shown} {transport:?}");
    assert!(
        !shown.contains(secret) && !shown.to_lowercase().contains("key"),
        "{shown}"
    );
}
