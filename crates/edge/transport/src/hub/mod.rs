//! The one task that owns all connections: takes requests of the agent, reports of the other tasks,
//! and the tick, and keeps every link of every peer connected.
//!
//! Everything of one peer is in `peer`; what a link prefers is decided in `slot`. This module does
//! not read or write messages.

mod link;
mod peer;
mod sockets;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use quinn::{ClientConfig, Endpoint};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::{sync::mpsc, time::sleep_until};

use self::peer::{DialFailure, PeerState};
use crate::{
    Config, EventSink, NodeName, Outgoing, Peer, TransportError, TransportEvent,
    accept::Door,
    join::JoinDesk,
    limits::ReportGate,
    pki::Credentials,
    quic::{self, Bound},
    session::{Close, Me, Session, SessionReport},
    tls,
};

/// Reports of refusals a second.
const REFUSALS_PER_SECOND: u32 = 5;
/// How often links are looked at: about once a heartbeat, which is cheap and quick enough.
const SHORTEST_TICK: Duration = Duration::from_millis(20);
const LONGEST_TICK: Duration = Duration::from_millis(100);
/// Time for the last packets when the transport stops.
const FAREWELL: Duration = Duration::from_millis(100);

/// A request of the agent other than a message.
#[derive(Debug)]
pub(crate) enum Control {
    SetPeers(Vec<Peer>),
    /// Who may show which key.
    KeysChanged,
    /// This node's renewed certificate.
    SetCredentials(Box<Credentials>),
    /// A join token was made.
    JoinsChanged,
    Stop,
}

/// What other tasks tell the hub.
pub(crate) enum Report {
    Accepted(Box<Session>),
    Dialled {
        peer: NodeName,
        link: u8,
        result: Result<Box<Session>, DialFailure>,
    },
    Session {
        peer: NodeName,
        id: u64,
        report: SessionReport,
    },
    Refused {
        addr: SocketAddr,
        why: String,
    },
    /// A join token may have been used up.
    JoinsChanged,
    EndpointLost(usize),
}

/// What is the same for all peers.
pub(crate) struct Common {
    pub(crate) me: Arc<Me>,
    pub(crate) sink: Arc<dyn EventSink>,
    pub(crate) reports: mpsc::UnboundedSender<Report>,
    pub(crate) client: ClientConfig,
    /// One for each own address; `None` while its socket is lost.
    pub(crate) endpoints: Vec<Option<Endpoint>>,
    pub(crate) silence: Duration,
    pub(crate) dial_timeout: Duration,
    next_id: u64,
}

impl Common {
    pub(crate) fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// Tells the agent; when it has no room, the event is dropped (the next tick says it again for
    /// links, the rest is only for the operator).
    pub(crate) fn tell(&self, event: TransportEvent) -> bool {
        self.sink.offer(event).is_ok()
    }
}

pub(crate) struct Hub {
    common: Common,
    peers: BTreeMap<NodeName, PeerState>,
    members: tls::Members,
    door: Arc<Door>,
    desk: JoinDesk,
    joins_open: bool,
    credentials: Credentials,
    heartbeat: Duration,
    idle_timeout: Duration,
    refusals: ReportGate,
    reports: mpsc::UnboundedReceiver<Report>,
    handed_over_bytes: Arc<AtomicUsize>,
    on_thread_start: Option<Box<dyn FnOnce() + Send>>,
    addresses: Vec<SocketAddr>,
    /// When to make lost sockets anew.
    rebind_at: Option<Instant>,
}

impl Hub {
    pub(crate) fn new(
        config: Config,
        sink: Arc<dyn EventSink>,
        members: tls::Members,
        desk: JoinDesk,
        handed_over_bytes: Arc<AtomicUsize>,
    ) -> Result<Self, TransportError> {
        let mut instance = [0; 8];
        SystemRandom::new()
            .fill(&mut instance)
            .map_err(|_unspecified| {
                TransportError::Thread(io::Error::other("no random numbers"))
            })?;
        let me = Arc::new(Me {
            name: config.credentials.name().clone(),
            cluster: config.credentials.cluster().clone(),
            feature_level: config.feature_level,
            instance: u64::from_be_bytes(instance),
        });
        let (report_in, reports) = mpsc::unbounded_channel();
        let door = Door::new(
            Arc::clone(&me),
            desk.clone(),
            Arc::clone(&sink),
            report_in.clone(),
        );
        let idle_timeout = config.idle_timeout();
        let client = quic::client(
            tls::client(&config.credentials, &members)?,
            config.heartbeat,
            idle_timeout,
        );
        Ok(Self {
            common: Common {
                me,
                sink,
                reports: report_in,
                client,
                endpoints: Vec::new(),
                silence: config.silence(),
                dial_timeout: config.dial_timeout,
                next_id: 0,
            },
            peers: BTreeMap::new(),
            members,
            door: Arc::new(door),
            desk,
            joins_open: false,
            heartbeat: config.heartbeat,
            idle_timeout,
            refusals: ReportGate::new(REFUSALS_PER_SECOND, Instant::now()),
            reports,
            handed_over_bytes,
            on_thread_start: config.on_thread_start,
            addresses: Vec::new(),
            rebind_at: None,
            credentials: config.credentials,
        })
    }

    /// Starts the thread. One thread runs everything: the work is small, and its order is easy to follow.
    pub(crate) fn spawn(
        mut self,
        sockets: Vec<Bound>,
        outgoing: mpsc::Receiver<Vec<Outgoing>>,
        control: mpsc::UnboundedReceiver<Control>,
    ) -> io::Result<JoinHandle<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        self.open_endpoints(&runtime, sockets)?;
        std::thread::Builder::new()
            .name("transport".to_owned())
            .spawn(move || {
                if let Some(hook) = self.on_thread_start.take() {
                    hook();
                }
                // As a task of its own: what runs on this thread wakes it up without a system call.
                runtime.block_on(async {
                    if let Err(error) = tokio::spawn(self.run(outgoing, control)).await {
                        tracing::error!(%error, "the transport has ended");
                    }
                });
            })
    }

    async fn run(
        mut self,
        mut outgoing: mpsc::Receiver<Vec<Outgoing>>,
        mut control: mpsc::UnboundedReceiver<Control>,
    ) {
        let period = self.heartbeat.clamp(SHORTEST_TICK, LONGEST_TICK);
        let mut ticked = Instant::now();
        let latest = period * 3 / 2;
        let mut tick = pin!(sleep_until((ticked + latest).into()));
        loop {
            // Messages last: they are the only thing that comes in masses.
            tokio::select! {
                biased;
                request = control.recv() => match request {
                    Some(Control::SetPeers(peers)) => self.set_peers(peers),
                    Some(Control::KeysChanged) => self.check_keys(),
                    Some(Control::SetCredentials(new)) => self.set_credentials(*new),
                    Some(Control::JoinsChanged) => self.update_joins(),
                    Some(Control::Stop) | None => break,
                },
                Some(report) = self.reports.recv() => self.on_report(report),
                () = &mut tick => {}
                Some(messages) = outgoing.recv() => self.on_outgoing(messages),
            }
            // It looks at the links when it is awake anyway, and wakes up for that only when nothing else happens.
            if ticked.elapsed() >= period * 3 / 4 {
                ticked = Instant::now();
                self.on_tick();
                tick.set(sleep_until((ticked + latest).into()));
            }
        }
        self.stop().await;
    }

    async fn stop(&mut self) {
        for endpoint in self.common.endpoints.iter().flatten() {
            endpoint.close(Close::Stopping.code(), b"the agent stops");
        }
        let idle = async {
            for endpoint in self.common.endpoints.iter().flatten() {
                endpoint.wait_idle().await;
            }
        };
        drop(tokio::time::timeout(FAREWELL, idle).await);
    }

    fn on_outgoing(&mut self, messages: Vec<Outgoing>) {
        let now = Instant::now();
        let len = messages.iter().map(|message| message.bytes.len()).sum();
        self.handed_over_bytes.fetch_sub(len, Ordering::Relaxed);
        for message in messages {
            let Some(peer) = self.peers.get_mut(&message.peer) else {
                continue;
            };
            if message.stream {
                peer.queue_message(message.bytes, now, &self.common);
            } else {
                peer.send_datagram(&message.bytes, now, &self.common);
            }
        }
    }

    fn set_peers(&mut self, peers: Vec<Peer>) {
        let now = Instant::now();
        let named: BTreeSet<NodeName> = peers.iter().map(|peer| peer.name.clone()).collect();
        self.door.set_known(
            peers
                .iter()
                .flat_map(|peer| peer.addresses.iter().map(SocketAddr::ip))
                .collect(),
        );
        let removed: Vec<NodeName> = self
            .peers
            .keys()
            .filter(|name| !named.contains(*name))
            .cloned()
            .collect();
        for name in removed {
            if let Some(mut peer) = self.peers.remove(&name) {
                peer.close(Close::Removed, "not a member any more", &self.common);
            }
        }
        for peer in peers {
            let state = self
                .peers
                .entry(peer.name.clone())
                .or_insert_with(|| PeerState::new(peer.name.clone(), &self.common.me.name, now));
            state.set_addresses(&peer.addresses, now, &self.common);
        }
    }

    fn check_keys(&mut self) {
        for peer in self.peers.values_mut() {
            peer.check_keys(&self.members);
        }
    }

    fn on_report(&mut self, report: Report) {
        let now = Instant::now();
        match report {
            Report::Accepted(session) => self.on_session(*session, now),
            Report::Dialled { peer, link, result } => {
                if let Some(state) = self.peers.get_mut(&peer) {
                    state.on_dialled(link, result.as_ref().err(), now);
                }
                match result {
                    Ok(session) => self.on_session(*session, now),
                    Err(failure) => self.on_dial_failure(&peer, failure, now),
                }
            }
            Report::Session { peer, id, report } => {
                if let Some(state) = self.peers.get_mut(&peer) {
                    state.on_session_report(id, report, now, &self.common);
                }
            }
            Report::Refused { addr, why } => self.report_refusal(addr, why, now),
            Report::JoinsChanged => self.update_joins(),
            Report::EndpointLost(index) => self.on_endpoint_lost(index, now),
        }
    }

    fn on_session(&mut self, session: Session, now: Instant) {
        match self.peers.get_mut(&session.peer) {
            Some(peer) if self.members.allows_key(&session.peer, &session.key) => {
                peer.adopt(session, now, &mut self.common);
            }
            // Removed while it was shaking hands.
            Some(_) | None => session
                .connection
                .close(Close::Removed.code(), b"not a member any more"),
        }
    }

    fn on_dial_failure(&mut self, peer: &NodeName, failure: DialFailure, now: Instant) {
        if failure.not_let_in {
            self.common
                .tell(TransportEvent::NotLetIn { peer: peer.clone() });
        }
        if !failure.timed_out {
            self.report_refusal(failure.addr, failure.why, now);
        }
        // At once, not at the next tick: this is what finds a link that has come back.
        if let Some(state) = self.peers.get_mut(peer) {
            state.dial_where_needed(now, &self.common);
        }
    }

    fn report_refusal(&mut self, addr: SocketAddr, why: String, now: Instant) {
        if let Some(suppressed) = self.refusals.pass(now) {
            self.common.tell(TransportEvent::Refused {
                addr,
                why,
                suppressed,
            });
        }
    }

    fn on_tick(&mut self) {
        let now = Instant::now();
        for peer in self.peers.values_mut() {
            peer.on_tick(now, &self.common);
        }
        if self.joins_open && !self.desk.is_open() {
            self.update_joins();
        }
        if self.rebind_at.is_some_and(|at| now >= at) {
            self.rebind(now);
        }
    }
}
