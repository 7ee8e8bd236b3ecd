//! What the transport tells its user, and through what it tells it.

use std::net::SocketAddr;

use bytes::Bytes;

use crate::{NodeName, join::JoinRequest};

/// A member of the cluster other than this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its name, as in its certificate.
    pub name: NodeName,
    /// Its addresses, one a link, in the order of the cluster's configuration.
    pub addresses: Vec<SocketAddr>,
}

/// A message for a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The member.
    pub peer: NodeName,
    /// The payload: at most `MAX_STREAM_BYTES` on a stream, else `MAX_DATAGRAM_BYTES`.
    pub bytes: Bytes,
    /// In order with the others on the best link, or at once on every link.
    pub stream: bool,
}

/// Something that happened on the network. Only authenticated members cause the first four.
#[derive(Debug)]
pub enum TransportEvent {
    /// A datagram of a member. The same one may arrive on several links and in any order.
    Datagram {
        /// Who sent it (from the certificate, not from the payload).
        from: NodeName,
        /// On which link it came.
        link: u8,
        /// The payload.
        bytes: Bytes,
    },
    /// A stream message of a member. Those on one link are in order and complete.
    Stream {
        /// Who sent it.
        from: NodeName,
        /// On which link it came.
        link: u8,
        /// The payload.
        bytes: Bytes,
    },
    /// A link can be used: connected, and heard lately.
    LinkUp {
        /// The member at the other end.
        peer: NodeName,
        /// Which of its links.
        link: u8,
        /// The feature level that the other end's program speaks; it may differ from ours.
        feature_level: u32,
    },
    /// A link cannot be used: disconnected, or silent for three heartbeats.
    LinkDown {
        /// The member at the other end.
        peer: NodeName,
        /// Which of its links.
        link: u8,
        /// In words, for the operator.
        why: String,
    },
    /// Someone was not let in, or we were not let in there. At most a few a second; the rest is counted.
    Refused {
        /// The other end.
        addr: SocketAddr,
        /// In words, for the operator.
        why: String,
        /// How many like it were not reported since the last one.
        suppressed: u64,
    },
    /// A member broke a limit (size or rate) and was disconnected for a second.
    PeerLimited {
        /// The member.
        peer: NodeName,
        /// Which limit.
        why: String,
    },
    /// A member's certificate is outside its validity. It is served all the same, but should be renewed.
    CertificateExpired {
        /// The member.
        peer: NodeName,
    },
    /// A member says that this node's certificate is worth nothing, or shows one of an authority that this node does
    /// not trust: this node was removed, or that member does not know it yet.
    NotLetIn {
        /// The member.
        peer: NodeName,
    },
    /// Someone with a valid token asks to become a member.
    Join(JoinRequest),
}

/// Where events go. Called on the transport's thread: it must return at once and never block.
///
/// It gives the event back when it has no room. A stream message is then offered again a little
/// later, which holds back its sender; a datagram is dropped.
pub trait EventSink: Send + Sync + 'static {
    /// Takes one event, or gives it back when there is no room.
    fn offer(&self, event: TransportEvent) -> Result<(), TransportEvent>;
}

impl EventSink for std::sync::mpsc::Sender<TransportEvent> {
    /// An unbounded channel: always room. Events after its receiver is gone are dropped.
    fn offer(&self, event: TransportEvent) -> Result<(), TransportEvent> {
        match self.send(event) {
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

impl EventSink for std::sync::mpsc::SyncSender<TransportEvent> {
    fn offer(&self, event: TransportEvent) -> Result<(), TransportEvent> {
        use std::sync::mpsc::TrySendError;
        match self.try_send(event) {
            Err(TrySendError::Full(event)) => Err(event),
            Ok(()) | Err(TrySendError::Disconnected(_)) => Ok(()),
        }
    }
}
