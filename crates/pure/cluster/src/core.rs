//! `Core`: one node's decisions. One exhaustive match over events; then everything level-triggered
//! is looked at again until nothing moves.
//!
//! The parts: `voting` (this member of consensus), `returning` (after a lost disk), `committed` (what comes out of it), `leading` (rounds
//! and grants), `deciding` (plans), `holding` (leases of this node), `running` (its resources),
//! `reporting`, `serving` and `view` (clients), `disk` (durable writes).

use crate::{
    Init, Inspect,
    committed::read_state,
    disk::Disk,
    fencing::Fencing,
    hold::Holder,
    lead::Lead,
    leaving::Ending,
    local::Local,
    paired::{Paired, read_record},
    reporting::Watched,
    returning::Returning,
    serving::Clients,
    stalls::Stalls,
    voter::{Standing, Voter},
    voting::start_consensus,
};
use standfast_consensus::{Consensus, Role};
use standfast_model::{
    authority::AuthorityOrders,
    command::{Change, Command},
    config::Timing,
    effect::{Class, Effect, Level},
    event::{Event, Restored},
    fence::FenceDevice,
    guards::GuardSupport,
    id::{DeviceId, Incarnation, MemberId, NodeId, ResourceId},
    message::{Body, MemoryQuery, Message},
    plan::{Plan, PlanNumber},
    planted::Planted,
    request::{Refusal, RefusalKind},
    state::{CertificateReport, ClusterState, Newcomer, NodeReport},
    time::{Micros, Now},
};
use standfast_pair::{BootId, Record};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Consensus ticks in a heartbeat. They are counted, not slept: a node wakes up for a tick only when
/// something may come of it.
pub(crate) const TICKS: u64 = 4;
/// Messages of this node to itself within one event; more would be a loop.
const SELF_MESSAGES: u32 = 100;

/// One node's decisions.
#[derive(Debug)]
pub struct Core {
    pub(crate) node: NodeId,
    pub(crate) member: MemberId,
    pub(crate) incarnation: Incarnation,
    pub(crate) boot: BootId,
    pub(crate) seed: u64,
    pub(crate) wall_offset: u64,
    pub(crate) guards: GuardSupport,
    #[cfg(feature = "planted")]
    pub(crate) planted: Option<Planted>,

    pub(crate) state: ClusterState,
    pub(crate) consensus: Consensus,
    /// Term and last index on disk when this agent started.
    pub(crate) restored_at: (u64, u64),
    pub(crate) last_tick: Now,
    /// The election that this node stands for: its term, and since when.
    candidate: Option<(u64, Now)>,
    pub(crate) disk: Disk,
    pub(crate) voter: Voter,
    /// Writes of caps on their way to the disk: what they promise counts when the last of them is there.
    pub(crate) cap_writes: u32,
    pub(crate) returning: Returning,
    pub(crate) asked_memory: Option<Now>,

    pub(crate) lead: Option<Lead>,
    pub(crate) last_round: Option<Now>,
    pub(crate) proposals: u64,

    pub(crate) holder: Holder,
    pub(crate) locals: BTreeMap<ResourceId, Local>,
    pub(crate) promise: PlanNumber,
    pub(crate) promise_wanted: PlanNumber,
    pub(crate) report: NodeReport,
    pub(crate) report_sent: Option<(u64, Now)>,
    /// The plan before the present one, as far as this run has seen it.
    pub(crate) previous: Plan,
    pub(crate) sick_interfaces: BTreeMap<String, String>,
    pub(crate) notices: BTreeMap<String, String>,
    pub(crate) links: BTreeSet<(NodeId, u32)>,
    pub(crate) stalls: Stalls,
    pub(crate) certificate: CertificateReport,
    /// Wall clock of the last lapse of this node's leases, zero for none.
    pub(crate) lapsed_ms: u64,
    /// Something local has changed: the resources of this node are looked at again.
    pub(crate) look: bool,
    /// How long nothing local is due, counted from then; none when that is not known.
    pub(crate) local_due: Option<(Now, Micros)>,
    /// The state has changed: what edges are told of it is looked at again.
    pub(crate) republish: bool,
    pub(crate) restart_asked: Option<Now>,
    pub(crate) ending: Ending,
    /// Feature level that this program speaks.
    pub(crate) level: u32,
    pub(crate) watched: Watched,
    /// The file that the edge keeps equal to what is in force.
    pub(crate) kept_file: Option<(String, String)>,
    /// Fence devices that the edge watches.
    pub(crate) devices: Vec<(DeviceId, FenceDevice)>,
    pub(crate) fencing: Fencing,
    pub(crate) peers: Vec<(NodeId, Vec<String>)>,
    pub(crate) keys: BTreeMap<NodeId, BTreeSet<String>>,
    pub(crate) authorities: AuthorityOrders,
    /// Members that the state does not know yet, who are let in all the same.
    pub(crate) newcomers: BTreeMap<NodeId, Newcomer>,
    /// Members that do not let this node in, since it last heard them.
    pub(crate) not_let_in: BTreeSet<NodeId>,
    /// Members that the state does not know yet, by what they said themselves: for a joiner's answers.
    pub(crate) routes: BTreeMap<MemberId, NodeId>,

    /// Which run of an agent speaks as which member.
    pub(crate) speaks_as: BTreeMap<MemberId, Incarnation>,

    pub(crate) paired: Option<Box<Paired>>,
    /// What the disk knows of a pair, until that begins.
    pub(crate) pair_record: Option<Record>,
    /// The first record of a pair is on its way to the disk.
    pub(crate) pair_begins: bool,
    pub(crate) clients: Clients,
    to_self: VecDeque<Message>,
    pub(crate) out: Vec<Effect>,
}

/// Index of the last entry on the disk, zero for none.
fn last_index(restored: &Restored) -> u64 {
    let snapshot = restored.snapshot.as_ref().map(|snapshot| snapshot.index);
    let entry = restored.entries.last().map(|entry| entry.index);
    entry.or(snapshot).unwrap_or(0)
}

impl Core {
    /// A core that has just started. The effects are to be carried out before the first event.
    #[must_use]
    pub fn new(init: Init, now: Now) -> (Self, Vec<Effect>) {
        let voter = Voter::new(&init.restored, now);
        let state = init
            .restored
            .snapshot
            .as_ref()
            .and_then(read_state)
            .unwrap_or_default();
        let (consensus, broken) = start_consensus(&init, &state);
        let mut core = Self {
            node: init.node,
            member: init.member,
            incarnation: init.incarnation,
            boot: BootId(init.boot),
            seed: init.seed,
            wall_offset: init.wall_offset,
            guards: init.guards,
            #[cfg(feature = "planted")]
            planted: init.planted,
            restored_at: (init.restored.hard_state.term, last_index(&init.restored)),
            state,
            consensus,
            last_tick: now,
            candidate: None,
            disk: Disk::default(),
            voter,
            cap_writes: 0,
            returning: Returning::new(),
            asked_memory: None,
            lead: None,
            last_round: None,
            proposals: 0,
            holder: Holder::new(init.incarnation),
            locals: BTreeMap::new(),
            promise: init.restored.promise,
            promise_wanted: init.restored.promise,
            report: NodeReport::default(),
            report_sent: None,
            previous: Plan::default(),
            sick_interfaces: BTreeMap::new(),
            notices: BTreeMap::new(),
            links: BTreeSet::new(),
            stalls: Stalls::default(),
            certificate: CertificateReport::default(),
            lapsed_ms: 0,
            look: true,
            local_due: None,
            republish: true,
            restart_asked: None,
            ending: Ending::default(),
            level: init.level,
            watched: Watched::default(),
            kept_file: None,
            devices: Vec::new(),
            fencing: Fencing::of(&init.restored),
            peers: init.peers,
            keys: BTreeMap::new(),
            authorities: AuthorityOrders::default(),
            newcomers: BTreeMap::new(),
            not_let_in: BTreeSet::new(),
            routes: BTreeMap::new(),
            speaks_as: BTreeMap::new(),
            paired: None,
            pair_record: read_record(&init.restored),
            pair_begins: false,
            clients: Clients::default(),
            to_self: VecDeque::new(),
            out: Vec::new(),
        };
        let effects = core.begin(now, broken);
        (core, effects)
    }

    fn begin(&mut self, now: Now, broken: Option<String>) -> Vec<Effect> {
        // Nodes that start together must not stand for election together.
        let phase = self.seed % self.tick_length().0.max(1);
        self.last_tick = Now {
            boot: now.boot.saturating_sub(phase),
            raw: now.raw.saturating_sub(phase),
        };
        if self.planted(Planted::VoteAfterStart) {
            self.voter.forget_start();
        }
        if self.planted(Planted::LostDiskVotes) {
            self.voter.standing = Standing::Full;
        }
        #[cfg(feature = "planted")]
        if let Some(bug) = self.planted {
            self.consensus.set_planted(bug);
        }
        if let Some(why) = broken {
            self.log(
                Level::Error,
                format!("{why}; this node rejoins as a new member"),
            );
            self.voter.standing = Standing::Lost(why);
        }
        self.out.push(Effect::Peers(self.peers.clone()));
        self.check_fitness();
        self.settle(now);
        std::mem::take(&mut self.out)
    }

    /// Takes one event.
    pub fn step(&mut self, now: Now, event: Event) -> Vec<Effect> {
        self.tick(now);
        match event {
            Event::Timer => {}
            Event::Message { from, message, .. } => self.on_message(now, &from, *message),
            Event::Link { peer, link, up } => self.on_link(now, peer, link, up),
            Event::NotLetIn { peer } => {
                if self.not_let_in.insert(peer.clone()) {
                    let text = format!("{peer} does not let this node in");
                    self.log(Level::Error, text);
                }
            }
            Event::Persisted { sequence, took } => self.on_persisted(now, sequence, took),
            Event::PersistFailed { sequence, error } => {
                if self.disk.failed(now, sequence, &error) {
                    self.log(
                        Level::Error,
                        format!("cannot write to the state directory: {error}"),
                    );
                }
            }
            Event::Instance { resource, change } => self.on_instance(now, &resource, &change),
            Event::LinkHealth { interface, problem } => self.on_link_health(interface, problem),
            Event::Fenced(result) if self.pair_fenced(now, &result) => {}
            Event::Fenced(result) => self.on_fenced(now, result),
            Event::Unfenced(devices) => self.on_unfenced(devices),
            Event::Pinged(round) => self.on_pinged(now, round),
            Event::Request { id, request } => self.on_request(now, id, request),
            Event::Notice { topic, text } => {
                if text.is_empty() {
                    self.notices.remove(&topic);
                } else {
                    self.notices.insert(topic, text);
                }
                self.look = true;
            }
            Event::Paused(length) => {
                self.stalls.note(now, length);
                self.look = true;
                self.log(
                    Level::Warn,
                    format!(
                        "this machine stood still for {} ms",
                        length.as_millis_ceil()
                    ),
                );
            }
            Event::Guards(guards) => self.on_guards(guards),
            Event::Certificate(certificate) => {
                self.certificate = certificate;
                self.look = true;
            }
        }
        self.settle(now);
        std::mem::take(&mut self.out)
    }

    /// How long until it wants `Event::Timer`, if nothing else happens before.
    #[must_use]
    pub fn next_wakeup(&self, now: Now) -> Micros {
        let tick = self.next_tick(now);
        let disk = self.disk.retry_left(now).unwrap_or(Micros::MAX);
        tick.min(disk)
            .min(self.next_holding(now))
            .min(self.next_leading(now))
            .min(self.next_pair(now))
            .max(Micros(1))
    }

    /// For tests and the simulator.
    #[must_use]
    pub fn inspect(&self) -> Inspect<'_> {
        Inspect {
            state: &self.state,
            term: self.consensus.term(),
            leads: self.lead.as_ref().map(|lead| lead.term),
            applied: self.state.applied,
            promise: self.promise,
            votes: self.voter.takes_part(),
            asks: matches!(self.voter.standing, Standing::Asking(_)),
            member: self.member,
            restart_asked: self.restart_asked,
            pair: self.paired.as_ref().map(|paired| paired.clocked.pair()),
        }
    }

    fn on_link(&mut self, now: Now, peer: NodeId, link: u32, up: bool) {
        if up {
            // What was under way on the old link may be lost: the leader gets the report again.
            self.report_sent = None;
            self.not_let_in.remove(&peer);
            self.tell_members(&peer);
            self.meet(now, &peer);
            self.links.insert((peer, link));
        } else {
            self.links.remove(&(peer, link));
        }
    }

    pub(crate) fn timing(&self) -> Timing {
        self.state.config.timing
    }

    pub(crate) fn log(&mut self, level: Level, text: String) {
        self.out.push(Effect::Log { level, text });
    }

    fn tick_length(&self) -> Micros {
        Micros(self.timing().heartbeat.0 / TICKS)
    }

    /// Looks at everything level-triggered until nothing moves.
    fn settle(&mut self, now: Now) {
        let retries = self.disk.retries(now);
        self.out.extend(retries);
        let mut own = 0;
        loop {
            self.drain_consensus(now);
            self.pair_on(now);
            self.lead_on(now);
            self.hold_on(now);
            self.fence_on(now);
            self.drain_consensus(now);
            let Some(message) = self.to_self.pop_front() else {
                break;
            };
            own += 1;
            if own > SELF_MESSAGES {
                self.to_self.clear();
                break;
            }
            let node = self.node.clone();
            self.on_message(now, &node, message);
        }
        self.serve_on(now);
        self.ask_memory(now);
        self.publish_peers();
    }

    /// Counts the ticks that have passed, before anything that happened after them is looked at. At
    /// most a heartbeat's worth for each call: time that this agent slept through is not made up, or
    /// it would stand for election because it overslept. A leader's ticks come with its rounds.
    fn tick(&mut self, now: Now) {
        let length = self.tick_length();
        let waited = now.waited_since(self.last_tick);
        let passed = if !self.leads() {
            (waited.0 / length.0.max(1)).min(TICKS)
        } else if self.round_is_due(now) {
            TICKS
        } else {
            0
        };
        if passed == 0 {
            return;
        }
        let before = self.last_tick;
        let at = |tick: u64| Now {
            boot: before.boot.saturating_add(length.0.saturating_mul(tick)),
            raw: before.raw.saturating_add(length.0.saturating_mul(tick)),
        };
        self.last_tick = at(passed);
        if self.leads() || now.waited_since(self.last_tick) >= length {
            self.last_tick = now;
        }
        if !self.voter.takes_part() {
            return;
        }
        let patient = self.awaits_votes(now) || !self.pair_leads();
        for tick in 1..=passed {
            let may = self.voter.may_vote(at(tick)) && !patient;
            self.consensus.tick(may);
        }
    }

    /// How long until the next tick that something may come of, and never longer than a heartbeat.
    fn next_tick(&self, now: Now) -> Micros {
        if self.leads() && self.lead.is_some() {
            return Micros::MAX;
        }
        let ticks = u64::from(self.consensus.quiet_ticks()).min(TICKS);
        Micros(self.tick_length().0.saturating_mul(ticks)).minus(now.waited_since(self.last_tick))
    }

    /// Whether an election under way still has a chance, by how long votes take to reach the disks:
    /// one that is begun again sooner than that never ends.
    fn awaits_votes(&mut self, now: Now) -> bool {
        if !matches!(self.consensus.role(), Role::Candidate) {
            self.candidate = None;
            return false;
        }
        let term = self.consensus.term();
        let since = match self.candidate {
            Some((known, since)) if known == term => since,
            Some(_) | None => {
                self.candidate = Some((term, now));
                now
            }
        };
        now.waited_since(since) < Micros(self.slowest_write().0.saturating_mul(3))
    }

    /// How long a durable write takes where it takes longest, as far as this node knows.
    pub(crate) fn slowest_write(&self) -> Micros {
        let reported = self.state.nodes.values().map(|node| node.report.fsync);
        reported.max().unwrap_or(Micros::ZERO).max(self.disk.took)
    }

    /// Whether this bug is planted here: never outside the simulator.
    pub(crate) fn planted(&self, bug: Planted) -> bool {
        #[cfg(feature = "planted")]
        {
            self.planted == Some(bug)
        }
        #[cfg(not(feature = "planted"))]
        {
            let _ = (self, bug);
            false
        }
    }

    /// Drift by which waits are stretched, parts per million.
    pub(crate) fn wait_drift(&self) -> u64 {
        if self.planted(Planted::DriftIgnored) {
            0
        } else {
            self.timing().drift_ppm
        }
    }

    pub(crate) fn propose(&mut self, now: Now, request: Option<u64>, change: Change) -> bool {
        let command = Command {
            wall_ms: self.wall_ms(now),
            request,
            change,
        };
        let Ok(data) = serde_json::to_vec(&command) else {
            return false;
        };
        if self.log_is_closed() {
            return false;
        }
        self.consensus.propose(data).is_ok()
    }

    pub(crate) fn node_of(&self, member: MemberId) -> Option<NodeId> {
        self.state
            .members
            .get(&member)
            .map(|info| &info.node)
            .or_else(|| self.routes.get(&member))
            .cloned()
    }

    /// Everybody else.
    pub(crate) fn others(&self) -> Vec<NodeId> {
        let mut nodes: Vec<NodeId> = self
            .state
            .members
            .values()
            .map(|info| info.node.clone())
            .filter(|node| *node != self.node)
            .collect();
        nodes.dedup();
        nodes
    }

    pub(crate) fn send(&mut self, to: &NodeId, class: Class, body: Body) {
        let message = Message::new(self.member, self.incarnation.0, body);
        if *to == self.node {
            self.to_self.push_back(message);
        } else {
            self.out.push(Effect::Send {
                to: to.clone(),
                class,
                message: Box::new(message),
            });
        }
    }

    fn on_message(&mut self, now: Now, from: &NodeId, message: Message) {
        let incarnation = Incarnation(message.incarnation);
        let sender = MemberId(message.member);
        if self.state.members.contains_key(&sender) {
            self.speaks_as.insert(sender, incarnation);
        }
        self.note_heard(now, from, incarnation);
        match message.body {
            None => {}
            // Within a pair the log's messages are `PairConsensus`, but for answers of one that does not know of it yet.
            Some(Body::Consensus(_)) if self.paired.is_some() && !self.pair_leads() => {}
            Some(Body::Consensus(inner)) => self.on_consensus(now, from, &inner),
            Some(Body::PairConsensus(inner)) => self.on_pair_consensus(now, from, &inner),
            Some(Body::PairWord(word)) => self.on_pair_word(now, from, &word),
            Some(Body::Round(round)) => self.on_round(now, from, sender, &round),
            Some(Body::RoundAck(ack)) => self.on_round_ack(now, from, sender, &ack),
            Some(Body::LeaseRequest(request)) => {
                self.on_lease_request(now, from, incarnation, request)
            }
            Some(Body::LeaseGrant(grant)) => self.on_lease_grant(now, from, &grant),
            Some(Body::Members(members)) => self.on_members(from, &members.json),
            Some(Body::Report(report)) => {
                if let Ok(report) = serde_json::from_slice::<NodeReport>(&report.json)
                    && report.incarnation == incarnation
                {
                    self.on_report(now, from, report);
                }
            }
            Some(Body::Forward(forward)) => self.on_forward(now, from, forward.id, &forward.json),
            Some(Body::Answer(answer)) => self.on_answer(answer.id, &answer.json),
            Some(Body::MemoryQuery(MemoryQuery {})) => self.on_memory_query(from, sender),
            Some(Body::MemoryAnswer(answer)) => self.on_memory(now, from, &answer),
            // Answered before they reach the core.
            Some(Body::Query(_) | Body::QueryAnswer(_) | Body::AuthorityKey(_)) => {}
            Some(Body::Rejoin(rejoin)) => {
                self.on_rejoin(now, from, (sender, incarnation), &rejoin.why)
            }
        }
    }

    fn on_persisted(&mut self, now: Now, sequence: u64, took: Micros) {
        let Some(stored) = self.disk.stored(sequence, took) else {
            return;
        };
        if let Some(ticket) = stored.ticket {
            self.consensus.persisted(ticket);
        }
        if let Some(promise) = stored.promise {
            self.promise_kept(promise);
        }
        if stored.vote_cap.is_some() || stored.lease_cap.is_some() {
            self.cap_writes = self.cap_writes.saturating_sub(1);
            if self.cap_writes == 0 {
                self.voter.caps_stored(stored.vote_cap, stored.lease_cap);
            }
        }
        if stored.pair {
            self.pair_stored(now);
        }
    }

    pub(crate) fn leads(&self) -> bool {
        matches!(self.consensus.role(), Role::Leader)
    }

    pub(crate) fn refusal(kind: RefusalKind, text: impl Into<String>) -> Refusal {
        Refusal {
            kind,
            text: text.into(),
        }
    }
}
