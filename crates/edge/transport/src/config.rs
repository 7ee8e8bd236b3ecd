//! What the transport is started with, and the fixed limits of the protocol.
//!
//! Not for cluster configuration: peers come at run time through `Transport::set_peers`.

use std::{fmt, net::SocketAddr, time::Duration};

use crate::pki::Credentials;

/// Longest payload of a datagram, in bytes. It fits the smallest QUIC packet (1200 bytes), so that it
/// can be sent on every path without any discovery.
pub const MAX_DATAGRAM_BYTES: usize = 1150;
/// Longest payload of a stream message, in bytes.
pub const MAX_STREAM_BYTES: usize = 8 * 1024 * 1024;
/// Most links between two nodes.
pub const MAX_LINKS: usize = 8;

/// Settings of one transport.
pub struct Config {
    /// This node's key and certificate; they also say its name and its cluster.
    pub credentials: Credentials,
    /// This node's own addresses, bound one by one: link `n` leaves from `links[n]` (from `links[0]`
    /// when a peer has more addresses than this node). Port 0 takes any free port.
    pub links: Vec<SocketAddr>,
    /// The highest feature level this program speaks; told to peers in the first message.
    pub feature_level: u32,
    /// How often the caller sends datagrams to each peer. A link that was not heard for three of
    /// these (200 ms at least) is silent; the idle timeout follows from it too.
    pub heartbeat: Duration,
    /// How long one attempt to connect may take before a fresh one is made. Must exceed three round
    /// trips of the slowest link; short is what makes a healed link usable at once.
    pub dial_timeout: Duration,
    /// Called once on the transport's own thread before anything else, so that the caller can give
    /// that thread its scheduling class.
    pub on_thread_start: Option<Box<dyn FnOnce() + Send>>,
}

impl Config {
    /// Settings for a local network: heartbeats every 100 ms.
    #[must_use]
    pub fn new(credentials: Credentials, links: Vec<SocketAddr>) -> Self {
        Self {
            credentials,
            links,
            feature_level: 1,
            heartbeat: Duration::from_millis(100),
            dial_timeout: Duration::from_millis(400),
            on_thread_start: None,
        }
    }

    /// A link that was not heard for so long is silent: it is dialled anew and used last. Not less
    /// than what an ordinary stall of a busy machine takes.
    pub(crate) fn silence(&self) -> Duration {
        (self.heartbeat * 3).max(Duration::from_millis(200))
    }

    /// A connection that was not heard for so long is closed.
    pub(crate) fn idle_timeout(&self) -> Duration {
        self.silence().max(Duration::from_secs(1))
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("credentials", &self.credentials)
            .field("links", &self.links)
            .field("feature_level", &self.feature_level)
            .field("heartbeat", &self.heartbeat)
            .field("dial_timeout", &self.dial_timeout)
            .finish_non_exhaustive()
    }
}
