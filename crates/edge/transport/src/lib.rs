//! The mutually authenticated transport between the nodes of a cluster, and the small PKI under it.
//!
//! One UDP port, QUIC with TLS 1.3 on it, a certificate on both sides. Every pair of addresses of
//! two nodes is a *link*; all links are used. Two classes of messages:
//!
//! * [`Transport::send_datagram`]: heartbeats and leases. Sent at once on every link, never queued
//!   behind anything, never retransmitted.
//! * [`Transport::send_stream`]: consensus and reports. In order on the best link; what was under
//!   way on a link that dies is lost, which Raft tolerates.
//!
//! Payloads are opaque bytes. What arrives is handed to the [`EventSink`]. Who may talk is decided
//! by the caller through [`Transport::set_peers`]: membership authorises, not a certificate's
//! expiry. This crate never decides anything about the cluster.
//!
//! Reading order: [`Transport`] (the handle), `hub` (one actor that owns all state), `slot` (which
//! connection of a link is used), `session` (hello, reading and writing on one connection), `tls`
//! (who is let in), [`pki`] (keys and certificates on disk), [`join`] (how a node gets its own).

mod accept;
mod config;
mod event;
mod hello;
mod hub;
mod limits;
mod name;
mod quic;
mod runtime;
mod session;
mod slot;
mod tls;
mod transport;

pub mod join;
pub mod pki;

pub use config::{Config, MAX_DATAGRAM_BYTES, MAX_LINKS, MAX_STREAM_BYTES};
pub use event::{EventSink, Outgoing, Peer, TransportEvent};
pub use name::{ClusterId, NameError, NodeName};
pub use transport::{SendError, Transport, TransportError};
