//! The HTTP server for programs that watch: `/metrics`, read-only, loopback unless said otherwise.
//!
//! It asks for the picture through a closure and renders it with another one; what the numbers mean is
//! not known here. Nothing that a stranger sends reaches the agent: a method and a path select an
//! answer that is rendered at most a few times a second, however often it is asked for.
//!
//! Limits: connections at once, bytes of a request's head, time for a request, life of a connection.
#![warn(missing_docs)]

mod answer;
mod server;

pub use answer::{Asked, Format};
pub use server::{Server, WebError};
