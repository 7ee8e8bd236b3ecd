//! The two messages of joining, in protobuf. Not for their meaning.

use prost::Message;

/// Length of what a member sends to a joiner's addresses.
pub(super) const ECHO_BYTES: usize = 32;
/// Longest request: a name, addresses, a signing request and a proof need far less.
pub(super) const MAX_REQUEST_BYTES: usize = 8 * 1024;
/// Longest payload of the agent in an answer.
pub(super) const MAX_BOOTSTRAP_BYTES: usize = 4 * 1024 * 1024;
/// Longest answer.
pub(super) const MAX_ANSWER_BYTES: usize = MAX_BOOTSTRAP_BYTES + 64 * 1024;
/// Label of the keying material that proofs are made for (RFC 9266 gives the idea).
pub(super) const EXPORTER_LABEL: &[u8] = b"EXPORTER-standfast-join-1";

#[derive(Clone, PartialEq, Eq, Message)]
pub(super) struct Request {
    #[prost(uint32, tag = "1")]
    pub(super) feature_level: u32,
    #[prost(string, tag = "2")]
    pub(super) name: String,
    #[prost(string, repeated, tag = "3")]
    pub(super) addresses: Vec<String>,
    /// A certificate signing request in DER.
    #[prost(bytes = "vec", tag = "4")]
    pub(super) signing_request: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    pub(super) proof: Vec<u8>,
    #[prost(bool, tag = "6")]
    pub(super) witness: bool,
    /// Nothing is to change: the member sends this to each address, and says how it is. Empty in a
    /// request to be let in.
    #[prost(bytes = "vec", tag = "7")]
    pub(super) echo: Vec<u8>,
}

impl Request {
    /// What the proof covers besides the session: all the rest of the request.
    pub(super) fn proven_bytes(&self) -> Vec<u8> {
        let mut rest = self.clone();
        rest.proof.clear();
        rest.encode_to_vec()
    }
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Answer {
    /// Empty when accepted.
    #[prost(string, tag = "1")]
    pub(super) refused: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) certificate: Vec<u8>,
    #[prost(string, tag = "3")]
    pub(super) authority_key_pem: String,
    #[prost(bytes = "bytes", tag = "4")]
    pub(super) bootstrap: bytes::Bytes,
    #[prost(bytes = "vec", tag = "5")]
    pub(super) proof: Vec<u8>,
    /// The member's clock, milliseconds since 1970.
    #[prost(uint64, tag = "6")]
    pub(super) wall_ms: u64,
    /// Highest feature level of the member's program.
    #[prost(uint32, tag = "7")]
    pub(super) feature_level: u32,
    /// Version of the member's program.
    #[prost(string, tag = "8")]
    pub(super) version: String,
}
