//! `Core`: one node's decisions. One exhaustive match over events; then everything level-triggered
//! is looked at again until nothing moves.
//!
//! The parts: `voter` (promises), `leading` (rounds, grants, decisions), `holding` (leases and
//! resources of this node), `serving` (clients), `disk` (durable writes).

use crate::{
    Init, Inspect,
    apply::apply,
    disk::Disk,
    hold::Holder,
    lead::Lead,
    local::Local,
    serving::Clients,
    voter::{OnRound, Standing, Voter},
};
use standfast_consensus::{Consensus, Role, Settings};
use standfast_model::{
    command::{Change, Command},
    config::{Timing, VipConfig},
    effect::{Batch, Class, Effect, Level},
    event::{Event, Restored},
    guards::GuardSupport,
    id::{Incarnation, MemberId, NodeId, ResourceId},
    message::{
        Acknowledged, Body, LogSnapshot, MemoryAnswer, MemoryQuery, Message, Rejoin, Round,
        RoundAck,
    },
    plan::PlanNumber,
    planted::Planted,
    request::{Refusal, RefusalKind},
    state::{ClusterState, NodeReport},
    time::{Micros, Now},
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Consensus ticks in a heartbeat.
const TICKS: u64 = 4;
/// Applied entries after which the log is replaced by a snapshot.
const COMPACT_AFTER: u64 = 2000;
/// Messages of this node to itself within one event; more would be a loop.
const SELF_MESSAGES: u32 = 100;

/// One node's decisions.
#[derive(Debug)]
pub struct Core {
    pub(crate) node: NodeId,
    pub(crate) member: MemberId,
    pub(crate) incarnation: Incarnation,
    pub(crate) seed: u64,
    pub(crate) wall_offset: u64,
    pub(crate) guards: GuardSupport,
    #[cfg(feature = "planted")]
    pub(crate) planted: Option<Planted>,

    pub(crate) state: ClusterState,
    pub(crate) consensus: Consensus,
    /// Term and last index on disk when this agent started.
    restored_at: (u64, u64),
    last_tick: Now,
    pub(crate) disk: Disk,
    pub(crate) voter: Voter,
    raising: bool,
    asked_memory: Option<Now>,

    pub(crate) lead: Option<Lead>,
    pub(crate) last_round: Option<Now>,
    pub(crate) proposals: u64,

    pub(crate) holder: Holder,
    pub(crate) locals: BTreeMap<ResourceId, Local>,
    pub(crate) promise: PlanNumber,
    pub(crate) promise_wanted: PlanNumber,
    pub(crate) report: NodeReport,
    pub(crate) report_sent: Option<(u64, Now)>,
    pub(crate) sick_interfaces: BTreeMap<String, String>,
    pub(crate) notices: BTreeMap<String, String>,
    pub(crate) links: BTreeSet<(NodeId, u32)>,
    pub(crate) stall: Micros,
    /// Something local has changed: the resources of this node are looked at again.
    pub(crate) look: bool,
    /// The state has changed: what edges are told of it is looked at again.
    republish: bool,
    pub(crate) restart_asked: Option<Now>,
    watched: Vec<(ResourceId, VipConfig)>,
    peers: Vec<(NodeId, Vec<String>)>,
    /// Members that the state does not know yet, by what they said themselves: for a joiner's answers.
    routes: BTreeMap<MemberId, NodeId>,

    pub(crate) clients: Clients,
    to_self: VecDeque<Message>,
    pub(crate) out: Vec<Effect>,
}

impl Core {
    /// A core that has just started. The effects are to be carried out before the first event.
    #[must_use]
    pub fn new(init: Init, now: Now) -> (Self, Vec<Effect>) {
        let voter = Voter::new(&init.restored, now);
        let last = init
            .restored
            .entries
            .last()
            .map(|entry| entry.index)
            .or_else(|| {
                init.restored
                    .snapshot
                    .as_ref()
                    .map(|snapshot| snapshot.index)
            });
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
            seed: init.seed,
            wall_offset: init.wall_offset,
            guards: init.guards,
            #[cfg(feature = "planted")]
            planted: init.planted,
            restored_at: (init.restored.hard_state.term, last.unwrap_or(0)),
            state,
            consensus,
            last_tick: now,
            disk: Disk::default(),
            voter,
            raising: false,
            asked_memory: None,
            lead: None,
            last_round: None,
            proposals: 0,
            holder: Holder::default(),
            locals: BTreeMap::new(),
            promise: init.restored.promise,
            promise_wanted: init.restored.promise,
            report: NodeReport::default(),
            report_sent: None,
            sick_interfaces: BTreeMap::new(),
            notices: BTreeMap::new(),
            links: BTreeSet::new(),
            stall: Micros::ZERO,
            look: true,
            republish: true,
            restart_asked: None,
            watched: Vec::new(),
            peers: init.peers,
            routes: BTreeMap::new(),
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
        self.settle(now);
        std::mem::take(&mut self.out)
    }

    /// Takes one event.
    pub fn step(&mut self, now: Now, event: Event) -> Vec<Effect> {
        match event {
            Event::Timer => {}
            Event::Message { from, message, .. } => self.on_message(now, &from, *message),
            Event::Link { peer, link, up } => self.on_link(peer, link, up),
            Event::Persisted { sequence, took } => self.on_persisted(sequence, took),
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
            Event::Request { id, request } => self.on_request(now, id, request),
            Event::Notice { topic, text } => {
                if text.is_empty() {
                    self.notices.remove(&topic);
                } else {
                    self.notices.insert(topic, text);
                }
            }
            Event::Paused(length) => {
                self.stall = self.stall.max(length);
                self.log(
                    Level::Warn,
                    format!(
                        "this machine stood still for {} ms",
                        length.as_millis_ceil()
                    ),
                );
            }
            Event::Guards(guards) => self.guards = guards,
        }
        self.settle(now);
        std::mem::take(&mut self.out)
    }

    /// How long until it wants `Event::Timer`, if nothing else happens before.
    #[must_use]
    pub fn next_wakeup(&self, now: Now) -> Micros {
        let tick = self.tick_length().minus(now.waited_since(self.last_tick));
        let disk = self.disk.retry_left(now).unwrap_or(Micros::MAX);
        tick.min(disk)
            .min(self.next_holding(now))
            .min(self.next_leading(now))
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
            member: self.member,
            locals: self
                .locals
                .iter()
                .map(|(resource, local)| (resource, local.phase))
                .collect(),
        }
    }

    fn on_link(&mut self, peer: NodeId, link: u32, up: bool) {
        if up {
            // What was under way on the old link may be lost: the leader gets the report again.
            self.report_sent = None;
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

    pub(crate) fn wall_ms(&self, now: Now) -> u64 {
        now.boot.saturating_add(self.wall_offset) / 1000
    }

    fn tick_length(&self) -> Micros {
        Micros(self.timing().heartbeat.0 / TICKS)
    }

    /// Looks at everything level-triggered until nothing moves.
    fn settle(&mut self, now: Now) {
        let retries = self.disk.retries(now);
        self.out.extend(retries);
        self.tick(now);
        let mut own = 0;
        loop {
            self.drain_consensus(now);
            self.lead_on(now);
            self.hold_on(now);
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

    /// At most one tick for each call: time that this agent slept through is not made up, or it
    /// would stand for election because it overslept.
    fn tick(&mut self, now: Now) {
        let length = self.tick_length();
        let waited = now.waited_since(self.last_tick);
        if waited < length {
            return;
        }
        let late = waited.minus(length);
        self.last_tick = if late < length {
            Now {
                boot: now.boot.saturating_sub(late.0),
                raw: now.raw.saturating_sub(late.0),
            }
        } else {
            now
        };
        if self.voter.takes_part() {
            let may = self.voter.may_vote(now);
            self.consensus.tick(may);
        }
    }

    fn drain_consensus(&mut self, now: Now) {
        while let Some(output) = self.consensus.take_output() {
            for message in output.messages {
                self.send_to_member(message);
            }
            if let Some(persist) = output.persist {
                let memory = self.voter.memory_changed.then(|| self.voter.memory());
                self.voter.memory_changed = false;
                let batch = Batch {
                    hard_state: persist.hard_state,
                    entries: persist.entries,
                    snapshot: persist.snapshot,
                    memory,
                    ..Batch::default()
                };
                let effect = self.disk.write(batch, Some(persist.ticket));
                self.out.extend(effect);
            }
            if let Some(snapshot) = output.installed
                && let Some(state) = read_state(&snapshot)
            {
                self.state = state;
                self.state.applied = snapshot.index;
                self.after_apply(now);
            }
            for entry in output.committed {
                self.on_committed(now, entry.index, entry.term, &entry.data);
            }
        }
        let wants = self.consensus.wants_snapshot()
            || self.consensus.applied_since_snapshot() > COMPACT_AFTER;
        if wants && let Ok(data) = serde_json::to_vec(&self.state) {
            let index = self.consensus.applied_index();
            if let Some(snapshot) = self.consensus.compact(index, data) {
                let effect = self.disk.write(
                    Batch {
                        snapshot: Some(snapshot),
                        ..Batch::default()
                    },
                    None,
                );
                self.out.extend(effect);
            }
        }
    }

    fn send_to_member(&mut self, message: standfast_model::message::Consensus) {
        if let Some(node) = self.node_of(MemberId(message.to)) {
            self.send(&node, Class::Stream, Body::Consensus(message));
        }
    }

    fn on_committed(&mut self, now: Now, index: u64, term: u64, data: &[u8]) {
        self.state.applied = index;
        if let Some(lead) = &mut self.lead
            && lead.term == term
            && !lead.caught_up
        {
            lead.caught_up = true;
            lead.last_change = now;
        }
        if data.is_empty() {
            return;
        }
        let Ok(command) = serde_json::from_slice::<Command>(data) else {
            self.log(
                Level::Error,
                format!("entry {index} of the log is not a command of this version"),
            );
            return;
        };
        let outcome = apply(&mut self.state, index, &command);
        if let Change::RemoveMember { .. } = command.change
            && self.planted(Planted::RemovalEndsLease)
        {
            let members: Vec<NodeId> = self
                .state
                .members
                .values()
                .map(|info| info.node.clone())
                .collect();
            for holders in self.state.may_hold.values_mut() {
                holders.retain(|node| members.contains(node));
            }
        }
        if let Some(request) = command.request {
            self.on_applied_request(now, request, index, &outcome);
        }
        self.after_apply(now);
    }

    /// The state has changed: whatever is derived from it is looked at again.
    fn after_apply(&mut self, now: Now) {
        if let Some((member, _)) = self
            .state
            .members
            .iter()
            .rev()
            .find(|(_, info)| info.node == self.node)
            && self.voter.takes_part()
        {
            self.member = *member;
        }
        if let Some(lead) = &mut self.lead {
            lead.last_change = now;
            lead.look = true;
        }
        self.look = true;
        self.republish = true;
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
        match message.body {
            None => {}
            Some(Body::Consensus(inner)) => self.on_consensus(now, from, &inner),
            Some(Body::Round(round)) => self.on_round(now, from, sender, &round),
            Some(Body::RoundAck(ack)) => self.on_round_ack(now, from, sender, &ack),
            Some(Body::LeaseRequest(request)) => {
                self.on_lease_request(now, from, incarnation, request)
            }
            Some(Body::LeaseGrant(grant)) => self.on_lease_grant(now, from, &grant),
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
            Some(Body::MemoryAnswer(answer)) => self.on_memory(from, answer.remembered),
            Some(Body::Rejoin(rejoin)) => self.on_rejoin(now, from, sender, &rejoin.why),
        }
    }

    fn on_memory_query(&mut self, from: &NodeId, sender: MemberId) {
        let remembered = self.voter.remembered(sender);
        let current_member = self.member_of(from).map_or(0, |member| member.0);
        let answer = MemoryAnswer {
            remembered,
            current_member,
        };
        self.send(from, Class::Stream, Body::MemoryAnswer(answer));
    }

    fn on_memory(&mut self, from: &NodeId, remembered: Acknowledged) {
        if remembered.member != self.member.0 {
            return;
        }
        let needed = self.consensus.voters().len() / 2;
        self.voter
            .on_memory(from, remembered, self.restored_at, needed);
        if let Standing::Lost(why) = &self.voter.standing {
            let why = why.clone();
            self.log(Level::Error, why);
        }
    }

    fn member_of(&self, node: &NodeId) -> Option<MemberId> {
        self.state
            .members
            .iter()
            .rev()
            .find(|(_, info)| info.node == *node)
            .map(|(member, _)| *member)
    }

    fn on_consensus(
        &mut self,
        now: Now,
        from: &NodeId,
        inner: &standfast_model::message::Consensus,
    ) {
        let to = MemberId(inner.to);
        if to != self.member {
            // A higher number is our new identity, given after a lost disk or to a joiner.
            let reborn = matches!(self.voter.standing, Standing::Lost(_)) && to > self.member;
            if !reborn {
                return;
            }
            self.rebirth(now, to);
        }
        if !self.voter.takes_part() {
            return;
        }
        if self
            .node_of(MemberId(inner.from))
            .is_some_and(|node| node != *from)
        {
            return;
        }
        if !self.state.members.contains_key(&MemberId(inner.from)) {
            self.routes.insert(MemberId(inner.from), from.clone());
        }
        let may = self.voter.may_vote(now);
        self.consensus.step(inner, may);
    }

    /// Starts again as a new member with an empty log. What stays: the promise, and the caps.
    fn rebirth(&mut self, now: Now, member: MemberId) {
        let settings = settings(&self.timing(), member, self.seed);
        let Ok(consensus) = Consensus::new(&settings, &Restored::default()) else {
            return;
        };
        self.consensus = consensus;
        self.member = member;
        self.lead = None;
        self.voter.standing = Standing::Full;
        let (vote_cap, lease_cap) = self.voter.caps();
        let effect = self.disk.write(
            Batch {
                reset: Some(member),
                promise: Some(self.promise_wanted),
                vote_cap: Some(vote_cap),
                lease_cap: Some(lease_cap),
                ..Batch::default()
            },
            None,
        );
        self.out.extend(effect);
        self.last_tick = now;
        self.log(
            Level::Warn,
            format!("this node comes back as new member {member}"),
        );
    }

    fn on_round(&mut self, now: Now, from: &NodeId, sender: MemberId, round: &Round) {
        let known = self.node_of(sender).is_none_or(|node| node == *from);
        if round.term < self.consensus.term() || !known {
            return;
        }
        if self.holder.on_leader(now, round.term, from) {
            self.holder.last_sent = None;
        }
        for known in &round.acknowledged {
            self.voter.remember(*known);
        }
        self.voter.remember(Acknowledged {
            member: sender.0,
            index: 0,
            term: round.term,
        });
        if !self.voter.takes_part() || !self.consensus.voters().contains(&self.member) {
            return;
        }
        let drift = self.wait_drift();
        match self.voter.on_round(now, round, drift) {
            OnRound::Ignore => {}
            OnRound::Acknowledge(horizon) => self.acknowledge(from, round, horizon),
            OnRound::Raise(vote, lease) => {
                if !self.raising {
                    self.raising = true;
                    let batch = Batch {
                        vote_cap: Some(vote),
                        lease_cap: Some(lease),
                        ..Batch::default()
                    };
                    let effect = self.disk.write(batch, None);
                    self.out.extend(effect);
                }
                if self.planted(Planted::PromiseBeforeDisk) {
                    self.acknowledge(from, round, Micros::ZERO);
                }
            }
        }
    }

    fn acknowledge(&mut self, to: &NodeId, round: &Round, horizon: Micros) {
        let ack = RoundAck {
            term: round.term,
            round: round.round,
            horizon_us: horizon.0,
        };
        self.send(to, Class::Datagram, Body::RoundAck(ack));
    }

    fn on_persisted(&mut self, sequence: u64, took: Micros) {
        let Some(stored) = self.disk.stored(sequence, took) else {
            return;
        };
        if let Some(ticket) = stored.ticket {
            self.consensus.persisted(ticket);
        }
        if let Some(promise) = stored.promise {
            self.promise = self.promise.max(promise);
        }
        if stored.vote_cap.is_some() || stored.lease_cap.is_some() {
            self.raising = false;
            self.voter.caps_stored(stored.vote_cap, stored.lease_cap);
        }
    }

    /// A voter that has just started asks the others what they remember of it before it takes part.
    fn ask_memory(&mut self, now: Now) {
        let pause = Micros(self.timing().heartbeat.0.saturating_mul(2));
        if self.voter.takes_part()
            || self
                .asked_memory
                .is_some_and(|at| now.waited_since(at) < pause)
        {
            return;
        }
        self.asked_memory = Some(now);
        if let Standing::Lost(why) = &self.voter.standing {
            let why = why.clone();
            for node in self.peer_names() {
                self.send(
                    &node,
                    Class::Stream,
                    Body::Rejoin(Rejoin { why: why.clone() }),
                );
            }
            return;
        }
        let voters = self.consensus.voters();
        if voters.len() <= 1 || !voters.contains(&self.member) {
            self.voter.nobody_to_ask();
            return;
        }
        if self.planted(Planted::LostDiskVotes) {
            self.voter.nobody_to_ask();
            return;
        }
        for node in self.others() {
            self.send(&node, Class::Stream, Body::MemoryQuery(MemoryQuery {}));
        }
    }

    fn peer_names(&self) -> Vec<NodeId> {
        let mut names: Vec<NodeId> = self.peers.iter().map(|(node, _)| node.clone()).collect();
        names.retain(|node| *node != self.node);
        names
    }

    /// Tells the edges who the members are and which networks matter, when that has changed.
    fn publish_peers(&mut self) {
        if !self.republish || self.state.applied == 0 {
            return;
        }
        self.republish = false;
        let mut peers: Vec<(NodeId, Vec<String>)> = Vec::new();
        for info in self.state.members.values() {
            let addresses = self
                .state
                .config
                .nodes
                .get(&info.node)
                .map_or_else(|| info.addresses.clone(), |node| node.addresses.clone());
            if peers.iter().all(|(node, _)| *node != info.node) {
                peers.push((info.node.clone(), addresses));
            }
        }
        // A node that is being taken back (old number gone, new one not yet given) stays a peer.
        for (node, config) in &self.state.config.nodes {
            if peers.iter().all(|(known, _)| known != node)
                && self.peers.iter().any(|(known, _)| known == node)
            {
                peers.push((node.clone(), config.addresses.clone()));
            }
        }
        if peers != self.peers && !peers.is_empty() {
            self.peers.clone_from(&peers);
            self.out.push(Effect::Peers(peers));
        }
        let watched = self.address_resources();
        if watched != self.watched {
            self.watched.clone_from(&watched);
            self.out.push(Effect::WatchNetworks(watched));
        }
    }

    /// Why this node has no vote, empty when it has.
    pub(crate) fn why_no_vote(&self) -> String {
        match &self.voter.standing {
            Standing::Full if self.consensus.voters().contains(&self.member) => String::new(),
            Standing::Full => "it is catching up and votes when it has everything".to_owned(),
            Standing::Asking(_) => {
                "it has just started and asks the others what they remember of it".to_owned()
            }
            Standing::Lost(why) => why.clone(),
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

fn read_state(snapshot: &LogSnapshot) -> Option<ClusterState> {
    serde_json::from_slice(&snapshot.data).ok()
}

fn settings(timing: &Timing, member: MemberId, seed: u64) -> Settings {
    let tick = (timing.heartbeat.0 / TICKS).max(1);
    let ticks = |length: Micros| u32::try_from(length.0.div_ceil(tick)).unwrap_or(u32::MAX);
    Settings {
        member,
        election_min_ticks: ticks(timing.election_min),
        election_max_ticks: ticks(timing.election_max).max(ticks(timing.election_min) + 1),
        heartbeat_ticks: u32::try_from(TICKS).unwrap_or(1),
        seed: seed ^ member.0,
    }
}

/// Consensus as the disk remembers it. Records that contradict themselves make this node a new member.
fn start_consensus(init: &Init, state: &ClusterState) -> (Consensus, Option<String>) {
    let member = MemberId(init.member.0.max(1));
    let settings = settings(&state.config.timing, member, init.seed);
    let (records, broken) = match Consensus::new(&settings, &init.restored) {
        Ok(consensus) => return (consensus, None),
        Err(error) => (Restored::default(), error.to_string()),
    };
    match Consensus::new(&settings, &records) {
        Ok(consensus) => (consensus, Some(broken)),
        #[expect(
            clippy::unreachable,
            reason = "an empty log with sane settings is always a member"
        )]
        Err(_) => unreachable!("an empty log is always accepted"),
    }
}
