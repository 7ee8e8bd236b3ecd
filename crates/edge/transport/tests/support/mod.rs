//! A cluster of transports in one process, on loopback addresses, and a forwarder that can be cut.
//!
//! Everything is real: sockets, TLS, certificates on disk. Not for asserting anything.
#![allow(dead_code, reason = "every test file uses a part of it")]
#![allow(unreachable_pub, reason = "a module of several test programs")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a fixture that fails fails its test"
)]

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, channel},
    },
    thread::JoinHandle,
    time::{Duration, Instant, SystemTime},
};

use standfast_transport::{
    ClusterId, Config, NodeName, Peer, Transport, TransportEvent,
    pki::{self, Authority, Credentials},
};
use tempfile::TempDir;

pub fn name(text: &str) -> NodeName {
    NodeName::new(text).unwrap()
}

/// Certificates of one cluster, each node's in a directory of its own.
pub struct Pki {
    pub dir: TempDir,
    first: String,
}

impl Pki {
    pub fn new(cluster: &str, first: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let cluster = ClusterId::new(cluster).unwrap();
        Authority::init(&dir.path().join(first), &cluster, &name(first)).unwrap();
        Self {
            dir,
            first: first.to_owned(),
        }
    }

    pub fn path(&self, node: &str) -> PathBuf {
        self.dir.path().join(node)
    }

    pub fn authority(&self) -> Authority {
        Authority::load(&self.path(&self.first)).unwrap()
    }

    /// The node's credentials; made when it has none.
    pub fn credentials(&self, node: &str) -> Credentials {
        let in_a_day = SystemTime::now() + Duration::from_secs(24 * 3600);
        self.credentials_until(node, in_a_day)
    }

    pub fn credentials_until(&self, node: &str, not_after: SystemTime) -> Credentials {
        let path = self.path(node);
        if !path.exists() {
            let authority = self.authority();
            let key = rcgen::KeyPair::generate().unwrap();
            let request = rcgen::CertificateParams::default()
                .serialize_request(&key)
                .unwrap();
            let certificate = authority
                .sign_until(&name(node), request.der(), not_after)
                .unwrap();
            let ca = authority.certificate();
            pki::install(&path, &key.serialize_pem(), &certificate, ca, None).unwrap();
        }
        Credentials::load(&path).unwrap()
    }
}

/// A running transport with its events.
pub struct Node {
    pub name: NodeName,
    pub transport: Transport,
    pub events: Receiver<TransportEvent>,
}

/// `links` loopback addresses with any port: 127.0.0.1, 127.0.0.2, ...
pub fn loopback(links: u8) -> Vec<SocketAddr> {
    (1..=links)
        .map(|n| SocketAddr::from(([127, 0, 0, n], 0)))
        .collect()
}

impl Node {
    pub fn start(credentials: Credentials, links: Vec<SocketAddr>) -> Self {
        Self::start_with(Config::new(credentials, links))
    }

    pub fn start_with(config: Config) -> Self {
        let (sender, events) = channel();
        let name = config.credentials.name().clone();
        let transport = Transport::start(config, Arc::new(sender)).unwrap();
        Self {
            name,
            transport,
            events,
        }
    }

    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.transport.addresses().to_vec()
    }

    pub fn as_peer(&self) -> Peer {
        Peer {
            name: self.name.clone(),
            addresses: self.addresses(),
        }
    }

    /// The first event that `wanted` makes something of; panics after `limit`.
    pub fn expect<T>(
        &self,
        what: &str,
        limit: Duration,
        mut wanted: impl FnMut(&TransportEvent) -> Option<T>,
    ) -> T {
        let until = Instant::now() + limit;
        let mut others = Vec::new();
        loop {
            let rest = until.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(rest) {
                Ok(event) => match wanted(&event) {
                    Some(found) => return found,
                    None if others.len() < 20 => others.push(format!("{event:?}")),
                    None => {}
                },
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("{}: no {what} within {limit:?}, but {others:#?}", self.name)
                }
            }
        }
    }

    /// Waits until `count` links to `peer` are up.
    pub fn expect_links(&self, peer: &NodeName, count: usize) {
        let mut up = std::collections::BTreeSet::new();
        self.expect("links", Duration::from_secs(5), |event| {
            match event {
                TransportEvent::LinkUp { peer: p, link, .. } if p == peer => up.insert(*link),
                TransportEvent::LinkDown { peer: p, link, .. } if p == peer => up.remove(link),
                _ => false,
            };
            (up.len() == count).then_some(())
        });
    }

    pub fn expect_message(&self, from: &NodeName, payload: &[u8], limit: Duration) -> u8 {
        self.expect("message", limit, |event| match event {
            TransportEvent::Datagram {
                from: f,
                link,
                bytes,
            }
            | TransportEvent::Stream {
                from: f,
                link,
                bytes,
            } if f == from && bytes == payload => Some(*link),
            _ => None,
        })
    }

    /// Everything that has arrived and arrives within `time`.
    pub fn drain(&self, time: Duration) -> Vec<TransportEvent> {
        let until = Instant::now() + time;
        let mut all = Vec::new();
        while let Ok(event) = self
            .events
            .recv_timeout(until.saturating_duration_since(Instant::now()))
        {
            all.push(event);
        }
        all
    }
}

/// Makes everyone a member for everyone.
pub fn introduce(nodes: &[&Node]) {
    let peers: Vec<Peer> = nodes.iter().map(|node| node.as_peer()).collect();
    for node in nodes {
        node.transport.set_peers(peers.clone());
    }
}

/// Two connected nodes, alpha and beta, with `links` links.
pub fn pair(pki: &Pki, links: u8) -> (Node, Node) {
    let alpha = Node::start(pki.credentials("alpha"), loopback(links));
    let beta = Node::start(pki.credentials("beta"), loopback(links));
    introduce(&[&alpha, &beta]);
    alpha.expect_links(&beta.name, links.into());
    beta.expect_links(&alpha.name, links.into());
    (alpha, beta)
}

/// Passes UDP packets on to `target` and back, until it is cut.
pub struct Forwarder {
    pub address: SocketAddr,
    pub cut: Arc<AtomicBool>,
    pub passed: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Forwarder {
    pub fn to(target: SocketAddr) -> Self {
        Self::with(target, target.ip(), usize::MAX)
    }

    /// The target sees packets come from `source`; of its answers, those longer than `longest_answer`
    /// bytes are lost.
    pub fn with(target: SocketAddr, source: IpAddr, longest_answer: usize) -> Self {
        let socket = UdpSocket::bind((target.ip(), 0)).unwrap();
        let address = socket.local_addr().unwrap();
        let cut = Arc::new(AtomicBool::new(false));
        let stop = Arc::new(AtomicBool::new(false));
        let passed = Arc::new(AtomicU64::new(0));
        let work = Passing {
            cut: Arc::clone(&cut),
            stop: Arc::clone(&stop),
            passed: Arc::clone(&passed),
            source,
            longest_answer,
        };
        let thread = std::thread::spawn(move || work.forward(&socket, target));
        Self {
            address,
            cut,
            passed,
            stop,
            thread: Some(thread),
        }
    }

    pub fn set_cut(&self, cut: bool) {
        self.cut.store(cut, Ordering::SeqCst);
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

struct Passing {
    cut: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    passed: Arc<AtomicU64>,
    source: IpAddr,
    longest_answer: usize,
}

impl Passing {
    fn forward(&self, socket: &UdpSocket, target: SocketAddr) {
        socket
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        let mut upstreams: HashMap<SocketAddr, UdpSocket> = HashMap::new();
        std::thread::scope(|scope| {
            let mut buffer = [0; 65536];
            while !self.stop.load(Ordering::SeqCst) {
                let Ok((len, client)) = socket.recv_from(&mut buffer) else {
                    continue;
                };
                let upstream = upstreams.entry(client).or_insert_with(|| {
                    let upstream = UdpSocket::bind((self.source, 0)).unwrap();
                    upstream.connect(target).unwrap();
                    let back = upstream.try_clone().unwrap();
                    scope.spawn(move || self.back(&back, socket, client));
                    upstream
                });
                if !self.cut.load(Ordering::SeqCst) && upstream.send(&buffer[..len]).is_ok() {
                    self.passed.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }

    fn back(&self, upstream: &UdpSocket, socket: &UdpSocket, client: SocketAddr) {
        upstream
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        let mut buffer = [0; 65536];
        while !self.stop.load(Ordering::SeqCst) {
            let Ok(len) = upstream.recv(&mut buffer) else {
                continue;
            };
            let lost = self.cut.load(Ordering::SeqCst) || len > self.longest_answer;
            if !lost && socket.send_to(&buffer[..len], client).is_ok() {
                self.passed.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Resident memory of this process in KiB.
pub fn resident_kib() -> u64 {
    let status = std::fs::read_to_string(Path::new("/proc/self/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// The value at `per_mille` of sorted durations.
pub fn quantile(sorted: &[Duration], per_mille: usize) -> Duration {
    sorted[(sorted.len() - 1) * per_mille / 1000]
}
