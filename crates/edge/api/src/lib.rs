//! The local API: what the command line asks of the agent on the same machine, over a Unix socket.
//!
//! A frame is a length (four bytes, big-endian) and so many bytes of JSON:
//! `{"v":1,"request":…}` one way, `{"v":1,"response":…}` or `{"v":1,"error":…}` back, in order, one at
//! a time. Root, the agent's own user and the members of one group may ask for everything; whoever
//! else the socket's mode lets in may look. How much each of them may ask, and how often, is limited.
//!
//! Not for deciding anything: requests go to the core and its answers come back. Not for other
//! machines: that is the transport.
#![warn(missing_docs)]

mod access;
mod client;
mod connection;
mod frame;
mod peer;
mod reply;
mod server;
mod sys;

pub use access::Access;
pub use client::{Client, ClientError};
pub use frame::{MAX_REQUEST, VERSION};
pub use peer::Peer;
pub use reply::ReplyHandle;
pub use server::{Incoming, MAX_CONNECTIONS, Server, ServerError};
