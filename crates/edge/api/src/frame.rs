//! Frames: length and JSON, with limits on both sides.

use serde::{Deserialize, Serialize};
use standfast_model::request::{Request, Response};

/// Version of the envelope. A side that does not know the other's says so and changes nothing.
pub const VERSION: u32 = 1;

/// Largest request, in bytes. A configuration of full size fits.
pub const MAX_REQUEST: usize = 4 << 20;

/// Largest request of a user who may only look, in bytes: 32 connections of these fit into memory.
pub(crate) const MAX_LOOKING_REQUEST: usize = 256 << 10;

/// Largest answer that a client reads, in bytes.
pub(crate) const MAX_RESPONSE: usize = 64 << 20;

/// Bytes of a length.
pub(crate) const HEADER: usize = 4;

/// What a client sends.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Asked {
    pub(crate) v: u32,
    pub(crate) request: Request,
}

/// What it gets back: one of both.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Answered {
    pub(crate) v: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) response: Option<Response>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<Fault>,
}

/// Why the request never reached the core.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Fault {
    pub(crate) kind: FaultKind,
    pub(crate) text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum FaultKind {
    /// The user may not do that.
    Permission,
    /// Too many connections.
    Busy,
    /// Not a request that this agent understands.
    Malformed,
    /// The agent is ending, or dropped the request.
    Unanswered,
}

/// Only the version, to say something useful when the rest is of another one.
#[derive(Deserialize)]
struct Versioned {
    v: u32,
}

/// Reads a request.
///
/// # Errors
/// What to tell the client.
pub(crate) fn read_request(body: &[u8]) -> Result<Request, Fault> {
    let malformed = |text: String| Fault {
        kind: FaultKind::Malformed,
        text,
    };
    let version = serde_json::from_slice::<Versioned>(body)
        .map_err(|e| malformed(format!("not a request: {e}")))?;
    if version.v != VERSION {
        let text = format!(
            "the client speaks version {} of the local API, this agent {VERSION}: use the same version of both",
            version.v
        );
        return Err(malformed(text));
    }
    serde_json::from_slice::<Asked>(body)
        .map(|asked| asked.request)
        .map_err(|e| malformed(format!("not a request that this agent knows: {e}")))
}

/// An answer as a frame.
pub(crate) fn answer(outcome: Result<Response, Fault>) -> Vec<u8> {
    let (response, error) = match outcome {
        Ok(response) => (Some(response), None),
        Err(fault) => (None, Some(fault)),
    };
    let answered = Answered {
        v: VERSION,
        response,
        error,
    };
    encode(&answered).unwrap_or_default()
}

/// A value as a frame.
///
/// # Errors
/// It is no JSON, or longer than a length can say.
pub(crate) fn encode(value: &impl Serialize) -> Result<Vec<u8>, String> {
    let mut frame = vec![0; HEADER];
    serde_json::to_writer(&mut frame, value).map_err(|e| e.to_string())?;
    let length = u32::try_from(frame.len() - HEADER).map_err(|e| e.to_string())?;
    for (byte, value) in frame.iter_mut().zip(length.to_be_bytes()) {
        *byte = value;
    }
    Ok(frame)
}

/// The length at the beginning of a buffer, once all of it is there.
pub(crate) fn length(buffer: &[u8]) -> Option<usize> {
    let header: [u8; HEADER] = buffer.get(..HEADER)?.try_into().ok()?;
    usize::try_from(u32::from_be_bytes(header)).ok()
}
