//! The first message on every connection, and how messages are framed on streams.
//!
//! The hello says nothing about who someone is (the certificate does); it finds out whether two
//! authenticated programs mean the same cluster, link and feature level.

use bytes::{Bytes, BytesMut};
use prost::Message;
use quinn::{RecvStream, SendStream};

use crate::{ClusterId, NodeName};

/// A hello needs far less.
const MAX_HELLO_BYTES: usize = 1024;
/// Memory set aside at once for a message, whatever length it claims.
const FIRST_CHUNK_BYTES: usize = 64 * 1024;

/// What each end says first, on its one stream, before anything else.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Hello {
    /// The highest feature level the program speaks.
    #[prost(uint32, tag = "1")]
    pub(crate) feature_level: u32,
    #[prost(string, tag = "2")]
    pub(crate) cluster: String,
    /// The name, the same as in the certificate.
    #[prost(string, tag = "3")]
    pub(crate) node: String,
    /// A random number of this run of the program: a new one means that it was restarted, and that
    /// all its older connections are dead.
    #[prost(uint64, tag = "4")]
    pub(crate) instance: u64,
    /// The link that whoever dials means; ignored from the one who was dialled.
    #[prost(uint32, tag = "5")]
    pub(crate) link: u32,
}

impl Hello {
    /// Checks the hello of a peer whose certificate says `name`.
    pub(crate) fn check(&self, cluster: &ClusterId, name: &NodeName) -> Result<(), String> {
        if self.cluster != cluster.as_str() {
            return Err(format!(
                "it belongs to cluster {:.64}, this node to {cluster}",
                self.cluster
            ));
        }
        if self.node != name.as_str() {
            return Err(format!(
                "it calls itself {:.128}, but its certificate is of {name}",
                self.node
            ));
        }
        Ok(())
    }
}

/// Why reading from a stream ended.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// The stream or connection ended: nobody's fault.
    Ended(String),
    /// The peer broke a limit.
    TooLong { len: usize, max: usize },
}

impl std::fmt::Display for ReadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ended(why) => f.write_str(why),
            Self::TooLong { len, max } => {
                write!(f, "message of {len} bytes, longer than the {max} allowed")
            }
        }
    }
}

/// Writes one message: its length as four bytes, highest first, and its bytes.
pub(crate) async fn write_frame(send: &mut SendStream, payload: Bytes) -> Result<(), String> {
    let len = u32::try_from(payload.len()).map_err(|error| error.to_string())?;
    let mut chunks = [Bytes::copy_from_slice(&len.to_be_bytes()), payload];
    send.write_all_chunks(&mut chunks)
        .await
        .map_err(|error| error.to_string())
}

/// Reads one message of at most `max` bytes. Memory grows with what arrives, not with what is claimed.
pub(crate) async fn read_frame(receive: &mut RecvStream, max: usize) -> Result<Bytes, ReadError> {
    let ended = |error: &dyn std::fmt::Display| ReadError::Ended(error.to_string());
    let mut prefix = [0; 4];
    receive
        .read_exact(&mut prefix)
        .await
        .map_err(|error| ended(&error))?;
    let len = usize::try_from(u32::from_be_bytes(prefix)).unwrap_or(usize::MAX);
    if len > max {
        return Err(ReadError::TooLong { len, max });
    }
    let mut payload = BytesMut::with_capacity(len.min(FIRST_CHUNK_BYTES));
    while payload.len() < len {
        let rest = len - payload.len();
        match receive.read_chunk(rest, true).await {
            Ok(Some(chunk)) => payload.extend_from_slice(&chunk.bytes),
            Ok(None) => return Err(ReadError::Ended("cut off".to_owned())),
            Err(error) => return Err(ended(&error)),
        }
    }
    Ok(payload.freeze())
}

pub(crate) async fn write_hello(send: &mut SendStream, hello: &Hello) -> Result<(), String> {
    write_frame(send, hello.encode_to_vec().into()).await
}

pub(crate) async fn read_hello(receive: &mut RecvStream) -> Result<Hello, String> {
    let bytes = read_frame(receive, MAX_HELLO_BYTES)
        .await
        .map_err(|error| error.to_string())?;
    Hello::decode(bytes).map_err(|error| error.to_string())
}
