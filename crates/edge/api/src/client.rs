//! The client's side: connect, ask, wait for the answer.

use crate::frame::{
    self, Answered, Asked, Fault, FaultKind, HEADER, MAX_REQUEST, MAX_RESPONSE, VERSION,
};
use standfast_model::request::{Request, Response};
use std::{
    io::{self, ErrorKind, Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Why there is no answer. One variant for each thing a caller does about it.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No agent answers: start it, or name the right socket.
    #[error("no agent answers on {path}")]
    NotConnected {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// This user may not do that (or may not even connect).
    #[error("{0}")]
    Permission(String),
    /// The agent has too many clients: try again.
    #[error("{0}")]
    Busy(String),
    /// No answer in time: the outcome is unknown.
    #[error("no answer within {0:?}; whether the request took effect is unknown")]
    Timeout(Duration),
    /// The connection broke after the request was sent: the outcome is unknown.
    #[error("{0}")]
    Unanswered(String),
    /// Both sides do not understand each other.
    #[error("{0}")]
    Protocol(String),
}

/// A connection to the agent of this machine.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
}

impl Client {
    /// Connects to the agent's socket.
    ///
    /// # Errors
    /// Nobody listens there, or this user may not connect.
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        match UnixStream::connect(path) {
            Ok(stream) => Ok(Self { stream }),
            Err(e) if e.kind() == ErrorKind::PermissionDenied => {
                let text = format!("this user may not use {}", path.display());
                Err(ClientError::Permission(text))
            }
            Err(source) => Err(ClientError::NotConnected {
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// Asks and waits for the answer at most `timeout`. After an error the connection is of no use.
    ///
    /// # Errors
    /// See [`ClientError`]. A refusal by the core is an answer, not an error.
    pub fn call(&mut self, request: &Request, timeout: Duration) -> Result<Response, ClientError> {
        let deadline = Instant::now() + timeout;
        let asked = Asked {
            v: VERSION,
            request: request.clone(),
        };
        let frame = frame::encode(&asked).map_err(ClientError::Protocol)?;
        if frame.len() > HEADER + MAX_REQUEST {
            let text = format!("a request of {} bytes; at most {MAX_REQUEST}", frame.len());
            return Err(ClientError::Protocol(text));
        }
        // A server that refuses the connection has answered and closed before it reads anything.
        let sent = self
            .stream
            .set_write_timeout(Some(timeout))
            .and_then(|()| self.stream.write_all(&frame));
        match self.read_answer(deadline, timeout) {
            Err(ClientError::Unanswered(_)) if sent.is_err() => {
                let text =
                    String::from("the agent closed the connection before it took the request");
                Err(ClientError::Protocol(text))
            }
            answer => answer,
        }
    }

    fn read_answer(
        &mut self,
        deadline: Instant,
        timeout: Duration,
    ) -> Result<Response, ClientError> {
        let mut header = [0; HEADER];
        self.read_exact(&mut header, deadline, timeout)?;
        let length = frame::length(&header).unwrap_or(usize::MAX);
        if length > MAX_RESPONSE {
            let text = format!("an answer of {length} bytes; at most {MAX_RESPONSE} are read");
            return Err(ClientError::Protocol(text));
        }
        let mut body = vec![0; length];
        self.read_exact(&mut body, deadline, timeout)?;
        let answered: Answered = serde_json::from_slice(&body).map_err(|e| {
            ClientError::Protocol(format!("not an answer that this client knows: {e}"))
        })?;
        match (answered.response, answered.error) {
            (Some(response), None) => Ok(response),
            (_, Some(fault)) => Err(fault.into()),
            (None, None) => Err(ClientError::Protocol(String::from("an empty answer"))),
        }
    }

    fn read_exact(
        &mut self,
        mut buffer: &mut [u8],
        deadline: Instant,
        timeout: Duration,
    ) -> Result<(), ClientError> {
        while !buffer.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(ClientError::Timeout(timeout));
            }
            let read = self
                .stream
                .set_read_timeout(Some(left))
                .and_then(|()| self.stream.read(buffer));
            match read {
                Ok(0) => return Err(broken("it was closed")),
                Ok(count) => buffer = &mut buffer[count..],
                Err(e)
                    if e.kind() == ErrorKind::Interrupted || e.kind() == ErrorKind::WouldBlock => {}
                Err(e) => return Err(broken(&e.to_string())),
            }
        }
        Ok(())
    }
}

fn broken(why: &str) -> ClientError {
    ClientError::Unanswered(format!(
        "the connection to the agent broke ({why}); whether the request took effect is unknown"
    ))
}

impl From<Fault> for ClientError {
    fn from(fault: Fault) -> Self {
        match fault.kind {
            FaultKind::Permission => Self::Permission(fault.text),
            FaultKind::Busy => Self::Busy(fault.text),
            FaultKind::Malformed => Self::Protocol(fault.text),
            FaultKind::Unanswered => Self::Unanswered(fault.text),
        }
    }
}
