//! Who may begin a handshake, and the handshake itself on the side that is called.
//!
//! Strangers are the concern here: an unknown address must first show that it receives what is sent
//! to it (QUIC retry, which keeps no state), and however many there are, members' addresses have
//! places of their own. Not for what members say (`session`).

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
};

use quinn::{Connection, Endpoint, Incoming, crypto::rustls::HandshakeData};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::timeout,
};

use crate::{
    EventSink,
    hub::Report,
    join::{self, JoinDesk},
    limits::Bucket,
    session::{Close, Me, establish},
    tls,
};

/// Handshakes under way with addresses of members.
const MEMBER_HANDSHAKES: usize = 64;
/// Handshakes under way with all other addresses.
const STRANGER_HANDSHAKES: usize = 16;
/// Handshakes begun a second with all other addresses; each costs us a signature.
const STRANGER_HANDSHAKES_PER_SECOND: u32 = 50;
/// Nodes being served that want to join.
const JOINS: usize = 4;
/// A handshake with hello takes three round trips.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(2);

/// What all accepting tasks share.
pub(crate) struct Door {
    pub(crate) me: Arc<Me>,
    pub(crate) desk: JoinDesk,
    pub(crate) sink: Arc<dyn EventSink>,
    pub(crate) reports: mpsc::UnboundedSender<Report>,
    known: RwLock<BTreeSet<IpAddr>>,
    members: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
    joins: Arc<Semaphore>,
    stranger_rate: Mutex<Bucket>,
}

impl Door {
    pub(crate) fn new(
        me: Arc<Me>,
        desk: JoinDesk,
        sink: Arc<dyn EventSink>,
        reports: mpsc::UnboundedSender<Report>,
    ) -> Self {
        Self {
            me,
            desk,
            sink,
            reports,
            known: RwLock::default(),
            members: Arc::new(Semaphore::new(MEMBER_HANDSHAKES)),
            strangers: Arc::new(Semaphore::new(STRANGER_HANDSHAKES)),
            joins: Arc::new(Semaphore::new(JOINS)),
            stranger_rate: Mutex::new(Bucket::new(STRANGER_HANDSHAKES_PER_SECOND, Instant::now())),
        }
    }

    /// Sets the addresses of members.
    pub(crate) fn set_known(&self, addresses: BTreeSet<IpAddr>) {
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    fn is_known(&self, address: IpAddr) -> bool {
        self.known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&address)
    }

    fn refused(&self, addr: SocketAddr, why: String) {
        // The hub is gone only when the transport stops.
        drop(self.reports.send(Report::Refused { addr, why }));
    }

    /// A place for one handshake, or why there is none.
    fn admit(&self, known: bool) -> Result<OwnedSemaphorePermit, &'static str> {
        let places = if known {
            &self.members
        } else {
            let mut rate = self
                .stranger_rate
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if !rate.take(1, Instant::now()) {
                return Err("too many handshakes a second from addresses of no member");
            }
            &self.strangers
        };
        Arc::clone(places)
            .try_acquire_owned()
            .map_err(|_unspecified| "too many handshakes at once")
    }
}

/// Takes what comes in at one own address, until the endpoint is gone.
pub(crate) async fn accept_all(endpoint: Endpoint, door: Arc<Door>) {
    while let Some(incoming) = endpoint.accept().await {
        let addr = incoming.remote_address();
        let known = door.is_known(addr.ip());
        let crowded = door.members.available_permits() < MEMBER_HANDSHAKES / 2;
        if !incoming.remote_address_validated() && (!known || crowded) {
            // Cannot fail: an address that is not validated may be asked to retry.
            drop(incoming.retry());
            continue;
        }
        match door.admit(known) {
            Ok(permit) => {
                tokio::spawn(Box::pin(serve(incoming, Arc::clone(&door), permit)));
            }
            Err(why) => {
                incoming.ignore();
                door.refused(addr, why.to_owned());
            }
        }
    }
}

async fn serve(incoming: Incoming, door: Arc<Door>, permit: OwnedSemaphorePermit) {
    let addr = incoming.remote_address();
    match timeout(HANDSHAKE_TIMEOUT, shake_hands(incoming, &door)).await {
        Err(_) => door.refused(addr, "it did not finish the handshake".to_owned()),
        Ok(Err(why)) => door.refused(addr, why),
        Ok(Ok(None)) => {}
        Ok(Ok(Some(connection))) => {
            // Joining waits for the cluster's decision: it has places of its own.
            drop(permit);
            serve_join(&connection, &door).await;
        }
    }
}

/// Lets a member in, or gives back the connection of someone who wants to join.
async fn shake_hands(incoming: Incoming, door: &Door) -> Result<Option<Connection>, String> {
    let connecting = incoming.accept().map_err(|error| error.to_string())?;
    let connection = connecting.await.map_err(|error| error.to_string())?;
    if protocol(&connection).as_deref() == Some(tls::ALPN_JOIN) {
        return Ok(Some(connection));
    }
    let session = establish(connection, &door.me, None)
        .await
        .map_err(|refused| refused.why)?;
    drop(door.reports.send(Report::Accepted(Box::new(session))));
    Ok(None)
}

fn protocol(connection: &Connection) -> Option<Vec<u8>> {
    let data = connection.handshake_data()?;
    data.downcast::<HandshakeData>().ok()?.protocol
}

async fn serve_join(connection: &Connection, door: &Door) {
    let addr = connection.remote_address();
    let Ok(_place) = Arc::clone(&door.joins).try_acquire_owned() else {
        connection.close(Close::Refused.code(), b"too many nodes join at once");
        return;
    };
    if let Err(why) = join::serve(connection, &door.desk, &door.sink, door.me.feature_level).await {
        door.refused(addr, format!("joining: {why}"));
    }
    connection.close(Close::Stopping.code(), b"done");
    drop(door.reports.send(Report::JoinsChanged));
}
