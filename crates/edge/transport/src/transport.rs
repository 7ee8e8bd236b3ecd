//! The handle that the agent holds: starts the transport's thread and passes requests to it.
//!
//! Nothing here waits for the network. Not for deciding anything about connections: that is `hub`.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use bytes::Bytes;
use thiserror::Error;
use tokio::sync::mpsc;

use crate::{
    Config, EventSink, MAX_DATAGRAM_BYTES, MAX_LINKS, MAX_STREAM_BYTES, NodeName, Outgoing, Peer,
    hub::{Control, Hub},
    join::{JoinDesk, JoinError, JoinToken},
    pki::{Authority, Credentials},
    quic, tls,
};

/// Parcels handed over but not yet taken by the transport's thread.
const MAX_HANDED_OVER: usize = 4096;
/// Bytes handed over but not yet taken by the transport's thread.
const MAX_HANDED_OVER_BYTES: usize = 4 * MAX_STREAM_BYTES;

/// Why the transport could not be started.
#[derive(Debug, Error)]
pub enum TransportError {
    /// No own address, or more than [`MAX_LINKS`].
    #[error("a node needs 1 to {MAX_LINKS} addresses of its own, not {0}")]
    Links(usize),
    /// An own address cannot be used.
    #[error("cannot receive on {address} (UDP): {source}")]
    Bind {
        /// Which address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Keys or certificates do not work.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
    /// The thread or its event loop could not be made.
    #[error("cannot start the transport's thread: {0}")]
    Thread(io::Error),
}

/// Why a message was not taken. A message that is taken may be lost all the same.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SendError {
    /// The message is longer than its class allows; retrying cannot help.
    #[error("message of {len} bytes is longer than the {max} allowed")]
    TooLong {
        /// Its length in bytes.
        len: usize,
        /// What is allowed.
        max: usize,
    },
    /// The transport's thread does not keep up: the message is dropped.
    #[error("too much is waiting to be sent")]
    Busy,
    /// The transport has stopped.
    #[error("the transport has stopped")]
    Stopped,
}

/// A running transport. Dropping it closes all connections and ends its thread.
pub struct Transport {
    outgoing: mpsc::Sender<Vec<Outgoing>>,
    control: mpsc::UnboundedSender<Control>,
    handed_over_bytes: Arc<AtomicUsize>,
    members: tls::Members,
    own_name: NodeName,
    addresses: Vec<SocketAddr>,
    desk: JoinDesk,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transport")
            .field("own_name", &self.own_name)
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

impl Transport {
    /// Binds the addresses of `config` and starts the thread. Nobody is let in before
    /// [`Self::set_peers`] names them.
    pub fn start(config: Config, sink: Arc<dyn EventSink>) -> Result<Self, TransportError> {
        if config.links.is_empty() || config.links.len() > MAX_LINKS {
            return Err(TransportError::Links(config.links.len()));
        }
        let mut sockets = Vec::new();
        for &address in &config.links {
            let bound =
                quic::bind(address).map_err(|source| TransportError::Bind { address, source })?;
            sockets.push(bound);
        }
        let addresses = sockets.iter().map(|bound| bound.address).collect();
        let members = tls::Members::default();
        let desk = JoinDesk::default();
        let own_name = config.credentials.name().clone();
        let (outgoing, outgoing_in) = mpsc::channel(MAX_HANDED_OVER);
        let (control, control_in) = mpsc::unbounded_channel();
        let handed_over_bytes = Arc::new(AtomicUsize::new(0));
        let hub = Hub::new(
            config,
            sink,
            members.clone(),
            desk.clone(),
            Arc::clone(&handed_over_bytes),
        )?;
        let thread = hub
            .spawn(sockets, outgoing_in, control_in)
            .map_err(TransportError::Thread)?;
        Ok(Self {
            outgoing,
            control,
            handed_over_bytes,
            members,
            own_name,
            addresses,
            desk,
            thread: Some(thread),
        })
    }

    /// The addresses this transport receives on, in the order of `Config::links`, with real ports.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Sets who is a member now: they are connected to and let in, everyone else is cut off at once.
    /// This node itself may be among them or not.
    pub fn set_peers(&self, peers: Vec<Peer>) {
        let others: Vec<Peer> = peers
            .into_iter()
            .filter(|peer| peer.name != self.own_name)
            .collect();
        self.members
            .set(others.iter().map(|peer| peer.name.clone()).collect());
        // A stopped transport has no peers: nothing to report.
        drop(self.control.send(Control::SetPeers(others)));
    }

    /// Sets which public keys (by fingerprint) each node may show. Nobody else is let in from now on, and
    /// connections made with other keys are closed at once. Before the first call every certificate of
    /// the authority that names a member is good enough.
    pub fn set_keys(&self, keys: BTreeMap<NodeName, BTreeSet<String>>) {
        self.members.set_keys(keys);
        drop(self.control.send(Control::KeysChanged));
    }

    /// Shows another certificate of this node from the next handshake on; connections stay.
    pub fn set_credentials(&self, credentials: Credentials) {
        drop(
            self.control
                .send(Control::SetCredentials(Box::new(credentials))),
        );
    }

    /// Sends a datagram of at most [`MAX_DATAGRAM_BYTES`] (and at least one) on every link of `peer` at
    /// once. It is dropped where it cannot leave at once; it may arrive several times, in any order, or not at all.
    pub fn send_datagram(&self, peer: &NodeName, bytes: Bytes) -> Result<(), SendError> {
        self.send_together(vec![Outgoing {
            peer: peer.clone(),
            bytes,
            stream: false,
        }])
    }

    /// Sends a message of at most [`MAX_STREAM_BYTES`] to `peer` on its best link, in order with the
    /// others. What waits for a peer without a link is dropped after a second, the oldest first.
    pub fn send_stream(&self, peer: &NodeName, bytes: Bytes) -> Result<(), SendError> {
        self.send_together(vec![Outgoing {
            peer: peer.clone(),
            bytes,
            stream: true,
        }])
    }

    /// Sends several messages, each as [`Self::send_datagram`] or [`Self::send_stream`] would. The
    /// transport's thread wakes up once for all of them, and datagrams for one peer share a packet.
    pub fn send_together(&self, messages: Vec<Outgoing>) -> Result<(), SendError> {
        let mut len = 0;
        for message in &messages {
            let max = if message.stream {
                MAX_STREAM_BYTES
            } else {
                MAX_DATAGRAM_BYTES
            };
            check_length(&message.bytes, max)?;
            len += message.bytes.len();
        }
        let before = self.handed_over_bytes.fetch_add(len, Ordering::Relaxed);
        let result = if before + len > MAX_HANDED_OVER_BYTES {
            Err(SendError::Busy)
        } else {
            self.outgoing
                .try_send(messages)
                .map_err(|error| match error {
                    mpsc::error::TrySendError::Full(_) => SendError::Busy,
                    mpsc::error::TrySendError::Closed(_) => SendError::Stopped,
                })
        };
        if result.is_err() {
            self.handed_over_bytes.fetch_sub(len, Ordering::Relaxed);
        }
        result
    }

    /// Makes a token with which one node may ask to join within `lifetime` (at most 15 minutes), at
    /// one of `addresses` (this node's own, as others reach them). It dies with this process.
    pub fn open_join(
        &self,
        authority: Authority,
        addresses: Vec<SocketAddr>,
        lifetime: Duration,
    ) -> Result<JoinToken, JoinError> {
        let token = self.desk.open(authority, addresses, lifetime)?;
        drop(self.control.send(Control::JoinsChanged));
        Ok(token)
    }
}

fn check_length(bytes: &Bytes, max: usize) -> Result<(), SendError> {
    if bytes.len() > max {
        return Err(SendError::TooLong {
            len: bytes.len(),
            max,
        });
    }
    Ok(())
}

impl Drop for Transport {
    fn drop(&mut self) {
        drop(self.control.send(Control::Stop));
        if let Some(thread) = self.thread.take() {
            // A panic of that thread was printed by it already.
            drop(thread.join());
        }
    }
}
