//! What reaches the agent's loop, and how edges put it there. Plain translation.

use super::{
    certificates,
    copies::Copies,
    inquiry::{Inquiry, Work},
    queue::Queue,
};
use prost::Message as _;
use standfast_model::{
    event::Event,
    id::NodeId,
    message::{Body, Message, Query, QueryAnswer},
    time::Micros,
};
use standfast_storage::StorageEvent;
use standfast_transport::{EventSink, TransportEvent, join::JoinRequest, pki::Credentials};
use std::{
    sync::{
        Mutex, PoisonError,
        mpsc::{Sender, channel},
    },
    thread,
};

/// One input.
#[derive(Debug)]
pub(crate) enum Input {
    /// For the core.
    Event(Event),
    /// A client on the local socket.
    Client(standfast_api::Incoming),
    /// A machine that wants to join.
    Join(JoinRequest),
    /// This node takes another key.
    Rotation(super::rotation::Step),
    /// A client's token is in the journal: it can be made.
    Token(standfast_api::ReplyHandle),
    /// This node's certificate was renewed, or it trusts other authorities.
    Renewed(Box<Credentials>),
    /// A program that watches.
    Watcher(standfast_web::Asked),
    /// A message of ours that the core has no part in.
    Send {
        /// To whom.
        to: NodeId,
        /// What.
        message: Box<Message>,
    },
}

/// Takes what the transport tells.
#[derive(Debug)]
pub(crate) struct Sink {
    inputs: Queue,
    inquiry: Inquiry,
    certificates: Sender<certificates::Work>,
    copies: Mutex<Copies>,
}

impl Sink {
    pub(crate) fn new(
        inputs: Queue,
        inquiry: Inquiry,
        certificates: Sender<certificates::Work>,
    ) -> Self {
        Self {
            inputs,
            inquiry,
            certificates,
            copies: Mutex::default(),
        }
    }

    /// A datagram comes on every link. Only the first copy wakes the loop up.
    fn datagram(&self, from: &str, link: u8, bytes: &[u8]) {
        let mut copies = self.copies.lock().unwrap_or_else(PoisonError::into_inner);
        let is_copy = copies.is_copy(from, link, bytes);
        drop(copies);
        if !is_copy {
            self.message(from, u32::from(link), bytes);
        }
    }

    fn message(&self, from: &str, link: u32, bytes: &[u8]) {
        match Message::decode(bytes) {
            Ok(Message {
                body: Some(Body::Query(Query { id, json })),
                ..
            }) => {
                let from = NodeId::from(from);
                self.inquiry.hand(Work::Asked { from, id, json });
            }
            Ok(Message {
                body: Some(Body::QueryAnswer(QueryAnswer { id, json })),
                ..
            }) => {
                let from = NodeId::from(from);
                self.inquiry.hand(Work::Answered { from, id, json });
            }
            Ok(Message {
                body: Some(Body::AuthorityKey(key)),
                ..
            }) => {
                let from = NodeId::from(from);
                drop(self.certificates.send(certificates::Work::Key(from, key)));
            }
            Ok(message) => {
                let event = Event::Message {
                    from: NodeId::from(from),
                    link,
                    message: Box::new(message),
                };
                self.inputs.send(Input::Event(event));
            }
            Err(error) => tracing::warn!(from, %error, "a message that is none was dropped"),
        }
    }

    fn link(&self, peer: &str, link: u8, up: bool) {
        let event = Event::Link {
            peer: NodeId::from(peer),
            link: u32::from(link),
            up,
        };
        self.inputs.send(Input::Event(event));
    }

    fn notice(&self, topic: String, text: String) {
        self.inputs
            .send(Input::Event(Event::Notice { topic, text }));
    }
}

impl EventSink for Sink {
    fn offer(&self, event: TransportEvent) -> Result<(), TransportEvent> {
        match event {
            TransportEvent::Datagram { from, link, bytes } => {
                self.datagram(from.as_str(), link, &bytes);
            }
            TransportEvent::Stream { from, bytes, .. } => self.message(from.as_str(), 0, &bytes),
            TransportEvent::LinkUp { peer, link, .. } => {
                tracing::info!(peer = peer.as_str(), link, "link up");
                self.link(peer.as_str(), link, true);
            }
            TransportEvent::LinkDown { peer, link, why } => {
                tracing::warn!(peer = peer.as_str(), link, why, "link down");
                self.link(peer.as_str(), link, false);
            }
            TransportEvent::Refused {
                addr,
                why,
                suppressed,
            } => {
                tracing::warn!(%addr, why, suppressed, "refused");
            }
            TransportEvent::PeerLimited { peer, why } => {
                tracing::warn!(peer = peer.as_str(), why, "a member broke a limit");
            }
            TransportEvent::CertificateExpired { peer } => {
                let peer = peer.as_str();
                self.notice(
                    format!("certificate:{peer}"),
                    format!("the certificate of {peer} has expired; renew it"),
                );
            }
            TransportEvent::NotLetIn { peer } => {
                let peer = NodeId::from(peer.as_str());
                self.inputs.send(Input::Event(Event::NotLetIn { peer }));
            }
            TransportEvent::Join(request) => self.inputs.send(Input::Join(request)),
        }
        Ok(())
    }
}

/// What became of a write.
pub(crate) fn storage_event(event: StorageEvent) -> Event {
    match event {
        StorageEvent::Persisted { seq, took } => {
            let took = Micros(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
            Event::Persisted {
                sequence: seq,
                took,
            }
        }
        StorageEvent::Failed { seq, error, .. } => Event::PersistFailed {
            sequence: seq,
            error: error.to_string(),
        },
    }
}

/// A sender of plain events, for edges that know no other input.
///
/// # Errors
/// The system gives no thread.
pub(crate) fn event_sender(inputs: Queue) -> std::io::Result<Sender<Event>> {
    let (sender, receiver) = channel::<Event>();
    thread::Builder::new()
        .name("events".to_owned())
        .spawn(move || {
            for event in receiver {
                inputs.send(Input::Event(event));
            }
        })?;
    Ok(sender)
}
