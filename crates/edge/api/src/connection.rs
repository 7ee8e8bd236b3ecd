//! One connection: bytes in until a request is whole, then nothing more until its answer is out.

use crate::{
    frame::{self, Fault, FaultKind, HEADER, MAX_LOOKING_REQUEST, MAX_REQUEST},
    peer::Peer,
};
use rustix::event::PollFlags;
use standfast_model::request::{Request, Response};
use std::{
    io::{ErrorKind, Read, Write},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

/// A client that sends no whole request, or takes no answer, for so long is let go.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: UnixStream,
    pub(crate) peer: Peer,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    /// A request is with the core; it may take as long as the core gives it.
    waiting: bool,
    /// The outgoing bytes are the last ones.
    closing: bool,
    since: Instant,
}

/// What became of a readiness.
#[derive(Debug)]
pub(crate) enum Progress {
    /// Nothing to hand on.
    None,
    /// A whole request.
    Request(Box<Request>),
    /// The connection is over.
    Over,
}

impl Connection {
    pub(crate) fn new(stream: UnixStream, peer: Peer) -> Self {
        Self {
            stream,
            peer,
            incoming: Vec::new(),
            outgoing: Vec::new(),
            waiting: false,
            closing: false,
            since: Instant::now(),
        }
    }

    /// What to wait for. A hangup is reported in any case.
    pub(crate) fn interest(&self) -> PollFlags {
        if !self.outgoing.is_empty() {
            PollFlags::OUT
        } else if self.waiting {
            PollFlags::RDHUP
        } else {
            PollFlags::IN
        }
    }

    pub(crate) fn expired(&self) -> bool {
        !self.waiting && self.since.elapsed() > PATIENCE
    }

    pub(crate) fn on_ready(&mut self, ready: PollFlags) -> Progress {
        let gone = PollFlags::HUP | PollFlags::RDHUP | PollFlags::ERR;
        if self.waiting && ready.intersects(gone) {
            return Progress::Over;
        }
        if ready.intersects(PollFlags::OUT) {
            return self.on_writable();
        }
        if ready.intersects(PollFlags::IN | gone) {
            return self.on_readable();
        }
        Progress::None
    }

    fn on_readable(&mut self) -> Progress {
        let mut chunk = [0; 16 * 1024];
        match self.stream.read(&mut chunk) {
            Ok(0) => return Progress::Over,
            Ok(count) => self.incoming.extend_from_slice(&chunk[..count]),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => return Progress::Over,
        }
        let Some(length) = frame::length(&self.incoming) else {
            return Progress::None;
        };
        let most = if self.peer.may_change {
            MAX_REQUEST
        } else {
            MAX_LOOKING_REQUEST
        };
        if length > most {
            let text = format!("a request of {length} bytes; at most {most} are read");
            return self.refuse(FaultKind::Malformed, text);
        }
        if self.incoming.len() < HEADER + length {
            return Progress::None;
        }
        let body: Vec<u8> = self
            .incoming
            .drain(..HEADER + length)
            .skip(HEADER)
            .collect();
        self.on_request(&body)
    }

    fn on_request(&mut self, body: &[u8]) -> Progress {
        let request = match frame::read_request(body) {
            Ok(request) => request,
            Err(fault) => return self.refuse(fault.kind, fault.text),
        };
        if matches!(
            request,
            Request::Join { .. }
                | Request::Keys { .. }
                | Request::ReplaceAuthority { .. }
                | Request::Act { .. }
        ) {
            let text =
                String::from("only agents ask this; machines join over the network, with a token");
            return self.refuse(FaultKind::Malformed, text);
        }
        if !request.looks_only() && !self.peer.may_change {
            let text = format!(
                "{} may look, but only root and members of the agent's group may change things",
                self.peer.name
            );
            return self.refuse(FaultKind::Permission, text);
        }
        self.waiting = true;
        Progress::Request(Box::new(request))
    }

    /// Answers with a fault and ends the connection after it.
    pub(crate) fn refuse(&mut self, kind: FaultKind, text: String) -> Progress {
        self.outgoing = frame::answer(Err(Fault { kind, text }));
        self.closing = true;
        self.since = Instant::now();
        self.on_writable()
    }

    pub(crate) fn on_answer(&mut self, answer: Result<Response, Fault>) -> Progress {
        self.waiting = false;
        self.outgoing = frame::answer(answer);
        self.since = Instant::now();
        self.on_writable()
    }

    fn on_writable(&mut self) -> Progress {
        match self.stream.write(&self.outgoing) {
            Ok(count) => {
                self.outgoing.drain(..count);
                self.since = Instant::now();
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => return Progress::Over,
        }
        if self.outgoing.is_empty() && self.closing {
            return Progress::Over;
        }
        Progress::None
    }
}
