//! One connection with a member, from the end of the handshake to its close: hello, reading, writing.
//!
//! Not for choosing among connections (`slot`) and not for making them (`hub`, `accept`).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use quinn::{Connection, ConnectionError, RecvStream, SendStream, TransportErrorCode, VarInt};
use rustls::pki_types::CertificateDer;
use tokio::sync::mpsc;

use crate::{
    ClusterId, EventSink, MAX_DATAGRAM_BYTES, MAX_LINKS, MAX_STREAM_BYTES, NodeName,
    TransportEvent,
    hello::{Hello, ReadError, read_frame, read_hello, write_frame, write_hello},
    limits::PeerMeter,
    pki::{certificate_names, is_outside_validity, key_fingerprint},
    tls::{NOT_A_MEMBER_ALERT, STRANGE_AUTHORITY_ALERT},
};

/// Why this side closed a connection, as the other side sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Close {
    Stopping = 0,
    Refused = 1,
    Superseded = 2,
    Removed = 3,
    Limit = 4,
}

impl Close {
    pub(crate) fn code(self) -> VarInt {
        VarInt::from_u32(self as u32)
    }
}

/// A full event queue is tried again after this pause, which holds back the sender of a stream.
const SINK_RETRY: Duration = Duration::from_millis(2);

/// What this node says in every hello.
#[derive(Debug)]
pub(crate) struct Me {
    pub(crate) name: NodeName,
    pub(crate) cluster: ClusterId,
    pub(crate) feature_level: u32,
    pub(crate) instance: u64,
}

/// A connection on which both sides have said hello.
pub(crate) struct Session {
    pub(crate) connection: Connection,
    pub(crate) peer: NodeName,
    pub(crate) link: u8,
    /// Whether this node dialled.
    pub(crate) dialled: bool,
    pub(crate) instance: u64,
    pub(crate) feature_level: u32,
    /// Whether the peer's certificate is outside its validity.
    pub(crate) expired: bool,
    /// Fingerprint of the peer's public key.
    pub(crate) key: String,
    send: SendStream,
    receive: RecvStream,
}

/// Exchanges hellos. `dialled_link` is the link when this node dialled. On failure the connection is
/// closed with the reason, so that the operator of the other side reads it too.
pub(crate) async fn establish(
    connection: Connection,
    me: &Me,
    dialled_link: Option<u8>,
) -> Result<Session, NotEstablished> {
    match try_establish(&connection, me, dialled_link).await {
        Ok(session) => Ok(session),
        Err(why) => {
            // The other end may have said more than what this end ran into.
            let refused = connection.close_reason().map(NotEstablished::from);
            let reason: String = why.chars().take(200).collect();
            connection.close(Close::Refused.code(), reason.as_bytes());
            Err(refused
                .filter(|refused| refused.not_let_in)
                .unwrap_or(NotEstablished {
                    why,
                    not_let_in: false,
                }))
        }
    }
}

/// Why there is no session.
#[derive(Debug)]
pub(crate) struct NotEstablished {
    pub(crate) why: String,
    /// The other end says that this node is no member.
    pub(crate) not_let_in: bool,
}

impl From<ConnectionError> for NotEstablished {
    fn from(error: ConnectionError) -> Self {
        Self {
            not_let_in: says_no_member(&error),
            why: error.to_string(),
        }
    }
}

/// Whether the other end has closed the connection because this node is no member to it.
fn says_no_member(error: &ConnectionError) -> bool {
    match error {
        ConnectionError::ConnectionClosed(close) => {
            close.error_code == TransportErrorCode::crypto(NOT_A_MEMBER_ALERT)
        }
        ConnectionError::ApplicationClosed(close) => close.error_code == Close::Removed.code(),
        // Found by this end: the others have another authority by now, and none of them is left for this node.
        ConnectionError::TransportError(error) => {
            error.code == TransportErrorCode::crypto(STRANGE_AUTHORITY_ALERT)
        }
        ConnectionError::VersionMismatch
        | ConnectionError::Reset
        | ConnectionError::TimedOut
        | ConnectionError::LocallyClosed
        | ConnectionError::CidsExhausted => false,
    }
}

async fn try_establish(
    connection: &Connection,
    me: &Me,
    dialled_link: Option<u8>,
) -> Result<Session, String> {
    let certificate = peer_certificate(connection).ok_or("it has no certificate")?;
    let (peer, _) = certificate_names(&certificate).ok_or("its certificate names no node")?;
    let mut send = connection.open_uni().await.map_err(|e| e.to_string())?;
    let own = Hello {
        feature_level: me.feature_level,
        cluster: me.cluster.as_str().to_owned(),
        node: me.name.as_str().to_owned(),
        instance: me.instance,
        link: u32::from(dialled_link.unwrap_or(0)),
    };
    write_hello(&mut send, &own).await?;
    let mut receive = connection.accept_uni().await.map_err(|e| e.to_string())?;
    let hello = read_hello(&mut receive).await?;
    hello.check(&me.cluster, &peer)?;
    let link = match dialled_link {
        Some(link) => link,
        None => u8::try_from(hello.link)
            .ok()
            .filter(|link| usize::from(*link) < MAX_LINKS)
            .ok_or_else(|| format!("it names link {}, which cannot be", hello.link))?,
    };
    Ok(Session {
        connection: connection.clone(),
        peer,
        link,
        dialled: dialled_link.is_some(),
        instance: hello.instance,
        feature_level: hello.feature_level,
        expired: is_outside_validity(&certificate),
        key: key_fingerprint(&certificate).unwrap_or_default(),
        send,
        receive,
    })
}

fn peer_certificate(connection: &Connection) -> Option<CertificateDer<'static>> {
    let identity = connection.peer_identity()?;
    let chain = identity.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    chain.first().cloned()
}

/// What a session tells the hub.
#[derive(Debug)]
pub(crate) enum SessionReport {
    /// The last message was handed to the connection: the next one may come.
    Writable,
    /// The peer broke a limit.
    Limit(String),
    /// The connection is gone.
    Closed(String),
}

/// What a running session needs from the hub.
pub(crate) struct SessionContext {
    pub(crate) meter: Arc<PeerMeter>,
    pub(crate) sink: Arc<dyn EventSink>,
    /// Messages to write, one at a time.
    pub(crate) outgoing: mpsc::Receiver<Bytes>,
    pub(crate) report: Box<dyn Fn(SessionReport) + Send + Sync>,
}

/// Reads and writes on one connection until it is closed.
pub(crate) async fn run(session: Session, mut context: SessionContext) {
    let Session {
        connection,
        peer,
        link,
        send,
        receive,
        ..
    } = session;
    let inbox = Inbox {
        from: peer,
        link,
        meter: context.meter,
        sink: context.sink,
    };
    let broken = tokio::select! {
        broken = inbox.read_datagrams(&connection) => broken,
        broken = inbox.read_stream(receive) => broken,
        () = write(send, &mut context.outgoing, &*context.report) => None,
    };
    if let Some(why) = broken {
        connection.close(Close::Limit.code(), why.as_bytes());
        (context.report)(SessionReport::Limit(why));
    }
    let reason = connection.close_reason();
    // A stream never ends before its connection; if it does, the connection is of no use any more.
    connection.close(Close::Superseded.code(), b"stream ended");
    let why = reason.unwrap_or(connection.closed().await).to_string();
    (context.report)(SessionReport::Closed(why));
}

/// Where the messages of one connection go.
struct Inbox {
    from: NodeName,
    link: u8,
    meter: Arc<PeerMeter>,
    sink: Arc<dyn EventSink>,
}

impl Inbox {
    /// Ends with `Some` when the peer broke a limit.
    async fn read_datagrams(&self, connection: &Connection) -> Option<String> {
        while let Ok(bytes) = connection.read_datagram().await {
            if bytes.len() > MAX_DATAGRAM_BYTES {
                return Some(format!("datagram of {} bytes", bytes.len()));
            }
            if let Err(why) = self.meter.count(bytes.len(), Instant::now()) {
                return Some(why.to_owned());
            }
            if bytes.is_empty() {
                // It only says that the other end lives.
                continue;
            }
            // No room: the next heartbeat says the same again.
            drop(self.sink.offer(TransportEvent::Datagram {
                from: self.from.clone(),
                link: self.link,
                bytes,
            }));
        }
        None
    }

    async fn read_stream(&self, mut receive: RecvStream) -> Option<String> {
        loop {
            let bytes = match read_frame(&mut receive, MAX_STREAM_BYTES).await {
                Ok(bytes) => bytes,
                Err(ReadError::Ended(_)) => return None,
                Err(error @ ReadError::TooLong { .. }) => return Some(error.to_string()),
            };
            if let Err(why) = self.meter.count(bytes.len(), Instant::now()) {
                return Some(why.to_owned());
            }
            let mut event = TransportEvent::Stream {
                from: self.from.clone(),
                link: self.link,
                bytes,
            };
            while let Err(back) = self.sink.offer(event) {
                event = back;
                tokio::time::sleep(SINK_RETRY).await;
            }
        }
    }
}

async fn write(
    mut send: SendStream,
    outgoing: &mut mpsc::Receiver<Bytes>,
    report: &(dyn Fn(SessionReport) + Send + Sync),
) {
    while let Some(bytes) = outgoing.recv().await {
        if write_frame(&mut send, bytes).await.is_err() {
            return;
        }
        report(SessionReport::Writable);
    }
}
