//! One peer: its links with their connections, its queue of stream messages, and dialling.
//!
//! Not for what happens inside a connection (`session`) nor for which one is better (`slot`).

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::{sync::mpsc, time::timeout};

use super::{
    Common, Report,
    link::{Held, Link, authentic_frames},
};
use crate::{
    MAX_LINKS, MAX_STREAM_BYTES, NodeName, TransportEvent,
    limits::{PeerMeter, pause_after},
    session::{self, Close, NotEstablished, Session, SessionContext, SessionReport, establish},
    slot::{Standing, replaces, surplus},
    tls,
};

/// Bytes of stream messages waiting for one peer; the oldest give way.
const MAX_QUEUED_BYTES: usize = 2 * MAX_STREAM_BYTES;
/// Stream messages waiting for one peer; the oldest give way.
const MAX_QUEUED: usize = 1024;
/// A stream message that waited longer for a link is of no use any more: consensus repeats itself.
const MAX_WAIT: Duration = Duration::from_secs(1);
/// A peer that broke a limit is shut out for so long.
const PENALTY: Duration = Duration::from_secs(1);
/// An expired certificate is mentioned no more often than this.
const EXPIRY_REMINDER: Duration = Duration::from_secs(3600);

/// A datagram without content: nobody but the other end's transport sees it.
const KEEP_ALIVE: Bytes = Bytes::new();

/// Why dialling failed.
#[derive(Debug)]
pub(crate) struct DialFailure {
    pub(crate) addr: SocketAddr,
    pub(crate) why: String,
    /// Nobody answered, as opposed to: someone refused.
    pub(crate) timed_out: bool,
    /// The peer says that this node is no member.
    pub(crate) not_let_in: bool,
}

pub(crate) struct PeerState {
    name: NodeName,
    own_name_is_lower: bool,
    links: Vec<Link>,
    meter: Arc<PeerMeter>,
    queue: VecDeque<(Instant, Bytes)>,
    queued_bytes: usize,
    barred_until: Option<Instant>,
    reminded_at: Option<Instant>,
    /// A datagram left since the last tick.
    spoke: bool,
}

impl PeerState {
    pub(crate) fn new(name: NodeName, own_name: &NodeName, now: Instant) -> Self {
        Self {
            own_name_is_lower: *own_name < name,
            name,
            links: Vec::new(),
            meter: Arc::new(PeerMeter::new(now)),
            queue: VecDeque::new(),
            queued_bytes: 0,
            barred_until: None,
            reminded_at: None,
            spoke: false,
        }
    }

    /// Sets the peer's addresses, one a link, and dials the new ones at once.
    pub(crate) fn set_addresses(
        &mut self,
        addresses: &[SocketAddr],
        now: Instant,
        common: &Common,
    ) {
        let wanted = addresses.len().min(MAX_LINKS);
        while self.links.len() < wanted {
            self.links.push(Link::new(now));
        }
        for (index, link) in self.links.iter_mut().enumerate() {
            let address = addresses.get(index).copied();
            if link.address != address {
                link.close(Close::Superseded, "the member's addresses were changed");
                link.address = address;
                link.next_dial = now;
            }
        }
        self.announce(now, common);
        self.dial_where_needed(now, common);
    }

    /// Takes a new connection into use.
    pub(crate) fn adopt(&mut self, session: Session, now: Instant, common: &mut Common) {
        let index = usize::from(session.link);
        if self.is_barred(now) || index >= MAX_LINKS {
            let why = b"shut out for a moment";
            session.connection.close(Close::Limit.code(), why);
            return;
        }
        while self.links.len() <= index {
            self.links.push(Link::new(now));
        }
        let standing = Standing {
            id: common.next_id(),
            by_lower: session.dialled == self.own_name_is_lower,
            instance: session.instance,
            established_at: now,
            heard_at: now,
        };
        for (other, link) in self.links.iter_mut().enumerate() {
            link.close_where("a newer connection took its place", |old| {
                old.instance != standing.instance || (other == index && replaces(&standing, old))
            });
        }
        self.remind_of_expiry(session.expired, now, common);
        self.hold(session, standing, common);
        self.announce(now, common);
        self.flush(now, common);
    }

    fn hold(&mut self, session: Session, standing: Standing, common: &Common) {
        let Some(link) = self.links.get_mut(usize::from(session.link)) else {
            return;
        };
        let (writer, outgoing) = mpsc::channel(1);
        link.refusals = 0;
        link.connections.push(Held {
            standing,
            connection: session.connection.clone(),
            feature_level: session.feature_level,
            key: session.key.clone(),
            writer,
            writing: false,
            heard_frames: authentic_frames(&session.connection),
        });
        let reports = common.reports.clone();
        let peer = self.name.clone();
        let context = SessionContext {
            meter: Arc::clone(&self.meter),
            sink: Arc::clone(&common.sink),
            outgoing,
            report: Box::new(move |report| {
                drop(reports.send(Report::Session {
                    peer: peer.clone(),
                    id: standing.id,
                    report,
                }));
            }),
        };
        tokio::spawn(Box::pin(session::run(session, context)));
    }

    /// Closes the connections whose key the peer may not show any more.
    pub(crate) fn check_keys(&mut self, members: &tls::Members) {
        for link in &mut self.links {
            for held in &link.connections {
                if !members.allows_key(&self.name, &held.key) {
                    let why = b"not the key of a member any more";
                    held.connection.close(Close::Removed.code(), why);
                }
            }
        }
    }

    fn remind_of_expiry(&mut self, expired: bool, now: Instant, common: &Common) {
        let lately = self
            .reminded_at
            .is_some_and(|at| now.saturating_duration_since(at) < EXPIRY_REMINDER);
        if !expired || lately {
            return;
        }
        let told = common.tell(TransportEvent::CertificateExpired {
            peer: self.name.clone(),
        });
        if told {
            self.reminded_at = Some(now);
        }
    }

    pub(crate) fn on_session_report(
        &mut self,
        id: u64,
        report: SessionReport,
        now: Instant,
        common: &Common,
    ) {
        match report {
            SessionReport::Writable => {
                let all = self.links.iter_mut().flat_map(|link| &mut link.connections);
                for held in all.filter(|held| held.standing.id == id) {
                    held.writing = false;
                }
                self.flush(now, common);
            }
            SessionReport::Limit(why) => {
                self.barred_until = Some(now + PENALTY);
                self.close(Close::Limit, &why, common);
                common.tell(TransportEvent::PeerLimited {
                    peer: self.name.clone(),
                    why,
                });
            }
            SessionReport::Closed(why) => {
                for link in &mut self.links {
                    let before = link.connections.len();
                    link.connections.retain(|held| held.standing.id != id);
                    if link.connections.len() < before {
                        link.loss.clone_from(&why);
                    }
                }
                self.announce(now, common);
                self.dial_where_needed(now, common);
                self.flush(now, common);
            }
        }
    }

    /// Closes all connections and says so.
    pub(crate) fn close(&mut self, close: Close, why: &str, common: &Common) {
        for link in &mut self.links {
            link.close(close, why);
        }
        self.queue.clear();
        self.queued_bytes = 0;
        self.announce(Instant::now(), common);
    }

    pub(crate) fn on_tick(&mut self, now: Instant, common: &Common) {
        for link in &mut self.links {
            link.listen(now);
            if self.own_name_is_lower && link.connections.len() > 1 {
                let standings: Vec<Standing> = link.standings().collect();
                let surplus = surplus(&standings, now, common.silence);
                link.close_where("one connection a link is enough", |standing| {
                    surplus.contains(&standing.id)
                });
            }
        }
        self.keep_heard(now, common);
        self.forget_stale_messages(now, common);
        self.announce(now, common);
        self.dial_where_needed(now, common);
        self.flush(now, common);
    }

    /// Where nothing else is sent, one side asks and the other one's acknowledgement answers. Here and not
    /// by a timer of each connection, so that all links of all peers wake everybody up once.
    fn keep_heard(&mut self, now: Instant, common: &Common) {
        let spoke = std::mem::take(&mut self.spoke);
        if self.own_name_is_lower && !spoke {
            self.send_datagram(&KEEP_ALIVE, now, common);
            self.spoke = false;
        }
    }

    /// While a link is heard, messages wait however long those before them take.
    fn forget_stale_messages(&mut self, now: Instant, common: &Common) {
        let silence = common.silence;
        if self.links.iter_mut().any(|link| link.is_up(now, silence)) {
            return;
        }
        while let Some((since, _)) = self.queue.front() {
            if now.saturating_duration_since(*since) <= MAX_WAIT {
                break;
            }
            self.pop_queue();
        }
    }

    /// Tells the agent about links that came or went since it was told last.
    fn announce(&mut self, now: Instant, common: &Common) {
        for (number, link) in (0u8..).zip(&mut self.links) {
            let best = link.best(now, common.silence);
            let level = best.and_then(|(held, heard)| heard.then_some(held.feature_level));
            if level.is_some() == link.announced_up {
                continue;
            }
            let peer = self.name.clone();
            let told = common.tell(match level {
                Some(feature_level) => TransportEvent::LinkUp {
                    peer,
                    link: number,
                    feature_level,
                },
                None if link.connections.is_empty() => TransportEvent::LinkDown {
                    peer,
                    link: number,
                    why: link.loss.clone(),
                },
                None => TransportEvent::LinkDown {
                    peer,
                    link: number,
                    why: format!("nothing heard for {} ms", common.silence.as_millis()),
                },
            });
            if told {
                link.announced_up = level.is_some();
            }
        }
    }

    fn is_barred(&self, now: Instant) -> bool {
        self.barred_until.is_some_and(|until| now < until)
    }

    /// Sends on every link at once.
    pub(crate) fn send_datagram(&mut self, bytes: &Bytes, now: Instant, common: &Common) {
        self.spoke = true;
        for link in &mut self.links {
            match link.best(now, common.silence) {
                // A datagram that cannot leave now is lost, as every datagram may be.
                Some((held, true)) => drop(held.connection.send_datagram(bytes.clone())),
                Some((_, false)) => {
                    for held in &link.connections {
                        drop(held.connection.send_datagram(bytes.clone()));
                    }
                }
                None => {}
            }
        }
    }

    pub(crate) fn queue_message(&mut self, bytes: Bytes, now: Instant, common: &Common) {
        self.queued_bytes += bytes.len();
        self.queue.push_back((now, bytes));
        while self.queue.len() > MAX_QUEUED || self.queued_bytes > MAX_QUEUED_BYTES {
            self.pop_queue();
        }
        self.flush(now, common);
    }

    fn pop_queue(&mut self) -> Option<Bytes> {
        let (_, bytes) = self.queue.pop_front()?;
        self.queued_bytes -= bytes.len();
        Some(bytes)
    }

    /// Hands the next message to the first link that is heard.
    fn flush(&mut self, now: Instant, common: &Common) {
        if self.queue.is_empty() {
            return;
        }
        let Some(index) = self
            .links
            .iter_mut()
            .position(|link| link.is_up(now, common.silence))
        else {
            return;
        };
        let Some((_, message)) = self.queue.front().cloned() else {
            return;
        };
        let best = self
            .links
            .get_mut(index)
            .and_then(|link| link.best(now, common.silence));
        let Some((held, _)) = best else {
            return;
        };
        // One at a time: a message that is handed over is bound to that connection.
        if !held.writing && held.writer.try_send(message).is_ok() {
            held.writing = true;
            self.pop_queue();
        }
    }

    /// The outcome of dialling, for when to dial next.
    pub(crate) fn on_dialled(&mut self, link: u8, failure: Option<&DialFailure>, now: Instant) {
        let Some(link) = self.links.get_mut(usize::from(link)) else {
            return;
        };
        link.dialing = false;
        match failure {
            // No pause when nobody answered: the attempt itself took long enough.
            Some(failure) if failure.timed_out => link.next_dial = now,
            Some(_) => {
                link.refusals = link.refusals.saturating_add(1);
                link.next_dial = now + pause_after(link.refusals);
            }
            None => {}
        }
    }

    /// Dials every link that is not heard, with a fresh connection: one that stalled would first have
    /// to get over its own retransmission timers.
    pub(crate) fn dial_where_needed(&mut self, now: Instant, common: &Common) {
        if self.is_barred(now) {
            return;
        }
        for (number, link) in (0u8..).zip(&mut self.links) {
            let Some(address) = link.address else {
                continue;
            };
            if link.dialing || now < link.next_dial || link.is_up(now, common.silence) {
                continue;
            }
            link.dialing = dial(&self.name, number, address, common);
        }
    }
}

/// Starts one attempt to connect; `false` when there is nothing to dial from.
fn dial(peer: &NodeName, link: u8, address: SocketAddr, common: &Common) -> bool {
    let own = common.endpoints.get(usize::from(link)).into_iter();
    let suitable = own.chain(&common.endpoints).flatten().find(|endpoint| {
        endpoint
            .local_addr()
            .is_ok_and(|local| local.is_ipv4() == address.is_ipv4())
    });
    let Some(endpoint) = suitable else {
        return false;
    };
    let name = peer.dns_name(&common.me.cluster);
    let connecting = endpoint.connect_with(common.client.clone(), address, &name);
    let me = Arc::clone(&common.me);
    let reports = common.reports.clone();
    let peer = peer.clone();
    let limit = common.dial_timeout;
    let failure = move |why: String, timed_out, not_let_in| DialFailure {
        addr: address,
        why,
        timed_out,
        not_let_in,
    };
    tokio::spawn(Box::pin(async move {
        let attempt = async {
            let connecting = connecting.map_err(|error| NotEstablished {
                why: error.to_string(),
                not_let_in: false,
            })?;
            let connection = connecting.await?;
            establish(connection, &me, Some(link)).await
        };
        let result = match timeout(limit, attempt).await {
            Ok(Ok(session)) => Ok(Box::new(session)),
            Ok(Err(refused)) => Err(failure(refused.why, false, refused.not_let_in)),
            Err(_) => Err(failure("no answer".to_owned(), true, false)),
        };
        drop(reports.send(Report::Dialled { peer, link, result }));
    }));
    true
}
