//! A small world for scenarios: cores on a perfect network with drivers that always succeed. Faults
//! are what a test does by hand; the simulator does them at random.
#![allow(dead_code, reason = "each file of tests uses another part")]

pub(crate) mod configs;
pub(crate) mod fences;
pub(crate) mod pairs;
mod seen;

use standfast_cluster::{Core, Feeding, Init};
use standfast_model::{
    config::{ClusterConfig, NodeConfig, ResourceKind},
    effect::{Batch, Effect},
    event::{DiskCondition, Event, HardState, InstanceChange, Restored},
    fence_act::FenceOrder,
    guards::GuardSupport,
    id::{Incarnation, MemberId, NodeId, ResourceId},
    message::{LogSnapshot, Message},
    plan::PlanNumber,
    request::{JoinOffer, Request, Response},
    state::{ClusterState, Member, NodeState},
    time::{Micros, Now},
};
use std::collections::{BTreeMap, BTreeSet};

const DELAY: u64 = 500;
const FSYNC: u64 = 3000;
const DRIVER: u64 = 20_000;

/// The world.
pub(crate) struct Net {
    /// Feature level that agents know which start from now on.
    pub(crate) level: u32,
    pub(crate) now: u64,
    pub(crate) cores: BTreeMap<NodeId, Core>,
    queue: BTreeMap<(u64, u64), (NodeId, Event)>,
    order: u64,
    /// Nodes that nobody hears and that hear nobody.
    pub(crate) cut: BTreeSet<NodeId>,
    /// Nodes that reach no ping target.
    pub(crate) blind: BTreeSet<NodeId>,
    /// What runs where, by what drivers were told.
    pub(crate) active: BTreeMap<ResourceId, BTreeSet<NodeId>>,
    pub(crate) replies: BTreeMap<u64, Response>,
    pub(crate) log: Vec<String>,
    pub(crate) messages: u64,
    /// Messages that are lost.
    pub(crate) lose: Option<Lose>,
    /// So many stops fail before one succeeds.
    pub(crate) failing_stops: u32,
    /// Guards that are due cannot end what they hold: it hangs in the kernel.
    pub(crate) stuck_guards: bool,
    /// Drivers do not say whether something runs.
    pub(crate) silent_probes: bool,
    /// Writes of this node take longer.
    pub(crate) slow_disk: Option<(NodeId, u64)>,
    /// An ordinary write, microseconds.
    pub(crate) fsync: u64,
    /// How often something was started.
    pub(crate) starts: u64,
    /// How often a core was stepped.
    pub(crate) steps: u64,
    /// What drivers were asked to look at or to guard, ever.
    pub(crate) touched: BTreeSet<(ResourceId, NodeId)>,
    /// What drivers were told of what runs, in order.
    pub(crate) reconfigured: Vec<(NodeId, ResourceKind)>,
    /// Agents that may end, their restart grant being in force.
    pub(crate) may_end: BTreeSet<NodeId>,
    /// Devices let nodes in that join.
    pub(crate) lets_in: bool,
    /// Orders to fence, with who got them.
    pub(crate) orders: Vec<(NodeId, FenceOrder)>,
    /// The same, where nothing is to be switched.
    pub(crate) looks: Vec<(NodeId, FenceOrder)>,
    disks: BTreeMap<NodeId, Restored>,
    /// Whom each node lets in.
    pub(crate) peers: BTreeMap<NodeId, BTreeSet<NodeId>>,
    /// Guards: the instance and its deadline.
    guards: BTreeMap<(ResourceId, NodeId), (PlanNumber, u64)>,
    requests: u64,
    /// How often each machine was started.
    starts_of: BTreeMap<NodeId, u64>,
    /// Under which number a disk came back, where it did.
    pub(crate) reborn: BTreeMap<NodeId, MemberId>,
    /// Whose agent ends in the middle of what it does, and after how many more effects.
    pub(crate) ends_after: Option<(NodeId, u64)>,
}

/// From, to, what.
pub(crate) type Lose = Box<dyn Fn(&NodeId, &NodeId, &Message) -> bool>;

/// The first node's disk after `init`.
pub(crate) fn first_disk(name: &str) -> Restored {
    let node = NodeId::from(name);
    let state = ClusterState {
        cluster_id: "test".into(),
        applied: 1,
        config: ClusterConfig {
            nodes: BTreeMap::from([(node.clone(), NodeConfig::default())]),
            ..ClusterConfig::default()
        },
        members: BTreeMap::from([(
            MemberId(1),
            Member {
                node: node.clone(),
                voter: true,
                addresses: Vec::new(),
            },
        )]),
        next_member: 2,
        nodes: BTreeMap::from([(node, NodeState::default())]),
        ..ClusterState::default()
    };
    Restored {
        condition: DiskCondition::Intact,
        hard_state: HardState {
            term: 1,
            vote: 0,
            commit: 1,
        },
        snapshot: Some(LogSnapshot {
            index: 1,
            term: 1,
            voters: vec![1],
            learners: Vec::new(),
            data: serde_json::to_vec(&state).unwrap(),
        }),
        ..Restored::default()
    }
}

impl Net {
    /// A cluster of one that leads.
    pub(crate) fn new(first: &str) -> Self {
        Self::at_level(first, standfast_model::FEATURE_LEVEL)
    }

    /// The same, of a build that knows this feature level.
    pub(crate) fn at_level(first: &str, level: u32) -> Self {
        Self::with_disk(first, level, first_disk(first))
    }

    /// The same, with what that node's disk has.
    pub(crate) fn with_disk(first: &str, level: u32, disk: Restored) -> Self {
        let mut net = Self {
            level,
            now: 1_000_000,
            cores: BTreeMap::new(),
            queue: BTreeMap::new(),
            order: 0,
            cut: BTreeSet::new(),
            blind: BTreeSet::new(),
            active: BTreeMap::new(),
            replies: BTreeMap::new(),
            log: Vec::new(),
            messages: 0,
            lose: None,
            failing_stops: 0,
            stuck_guards: false,
            silent_probes: false,
            slow_disk: None,
            fsync: FSYNC,
            starts: 0,
            steps: 0,
            touched: BTreeSet::new(),
            reconfigured: Vec::new(),
            may_end: BTreeSet::new(),
            lets_in: true,
            orders: Vec::new(),
            looks: Vec::new(),
            disks: BTreeMap::new(),
            peers: BTreeMap::new(),
            guards: BTreeMap::new(),
            requests: 0,
            starts_of: BTreeMap::new(),
            reborn: BTreeMap::new(),
            ends_after: None,
        };
        net.boot(first, MemberId(1), disk);
        net.run(2000);
        net
    }

    /// A cluster of these nodes, all voting.
    pub(crate) fn cluster(names: &[&str]) -> Self {
        let mut net = Self::new(names[0]);
        for name in &names[1..] {
            net.join(names[0], name);
        }
        net
    }

    pub(crate) fn clock(&self) -> Now {
        Now {
            boot: self.now,
            raw: self.now,
        }
    }

    pub(crate) fn boot(&mut self, name: &str, member: MemberId, restored: Restored) {
        let node = NodeId::from(name);
        self.disks.insert(node.clone(), restored.clone());
        let peers = self
            .cores
            .keys()
            .map(|node| (node.clone(), Vec::new()))
            .collect();
        let boot = self.starts_of.get(&node).copied().unwrap_or(0);
        let init = Init {
            node: node.clone(),
            member,
            incarnation: Incarnation(self.now + member.0),
            boot: boot * 1000 + name.bytes().map(u64::from).sum::<u64>(),
            restored,
            peers,
            seed: member.0.wrapping_mul(0x9E37_79B9_7F4A_7C15),
            guards: GuardSupport::full(),
            wall_offset: 0,
            level: self.level,
            planted: None,
        };
        let (core, effects) = Core::new(init, self.clock());
        self.cores.insert(node.clone(), core);
        self.carry_out(&node, effects);
    }

    /// Makes a new node a member and boots it; returns when it votes.
    pub(crate) fn join(&mut self, through: &str, name: &str) {
        let request = Request::Join {
            node: NodeId::from(name),
            addresses: Vec::new(),
            offer: JoinOffer::default(),
        };
        let Response::Joined { member, .. } = self.ask(through, request) else {
            panic!("{name} was not taken")
        };
        self.boot(
            name,
            member,
            Restored {
                condition: DiskCondition::Intact,
                ..Restored::default()
            },
        );
        self.run(3000);
    }

    /// Asks and does not wait for the answer.
    pub(crate) fn tell(&mut self, node: &str, request: Request) -> u64 {
        self.requests += 1;
        let id = self.requests;
        self.deliver(&NodeId::from(node), Event::Request { id, request });
        id
    }

    /// Asks and runs until there is an answer.
    pub(crate) fn ask(&mut self, node: &str, request: Request) -> Response {
        let id = self.tell(node, request);
        for _ in 0..12_000 {
            if let Some(response) = self.replies.remove(&id) {
                return response;
            }
            self.run(1);
        }
        panic!("no answer; log:\n{}", self.log.join("\n"));
    }

    fn schedule(&mut self, at: u64, node: NodeId, event: Event) {
        self.order += 1;
        self.queue.insert((at, self.order), (node, event));
    }

    pub(crate) fn deliver(&mut self, node: &NodeId, event: Event) {
        let now = self.clock();
        let Some(core) = self.cores.get_mut(node) else {
            return;
        };
        self.steps += 1;
        let effects = core.step(now, event);
        let feeding = core.feeding(now);
        self.carry_out(node, effects);
        self.check_feeding(node, feeding);
    }

    /// A watchdog is not fed beyond the end of what a guard would end.
    fn check_feeding(&self, node: &NodeId, feeding: Feeding) {
        if !self.cores.contains_key(node) {
            return;
        }
        let guards = self.guards.iter().filter(|((_, at), _)| at == node);
        for ((resource, _), (_, deadline)) in guards {
            assert!(
                feeding.until_boot <= *deadline && !feeding.idle,
                "{node} may feed until {}, {resource} ends at {deadline}:\n{}",
                feeding.until_boot,
                self.log.join("\n")
            );
        }
    }

    fn carry_out(&mut self, node: &NodeId, effects: Vec<Effect>) {
        for effect in effects {
            if self.ends_before(node, &effect) {
                return;
            }
            match effect {
                Effect::Send { to, message, .. } => self.send(node, to, message),
                Effect::Persist(batch) => self.persist(node, *batch),
                Effect::Start(start) => {
                    self.starts += 1;
                    let guard = (start.since, start.deadline);
                    self.guards
                        .insert((start.resource.clone(), node.clone()), guard);
                    let nodes = self.active.entry(start.resource.clone()).or_default();
                    nodes.insert(node.clone());
                    assert!(
                        nodes.len() == 1,
                        "{} is active on {nodes:?}:\n{}",
                        start.resource,
                        self.log.join("\n")
                    );
                    self.instance(node, start.resource, InstanceChange::Started);
                }
                Effect::Stop { resource, .. } => self.stop(node, resource),
                Effect::Extend { resource, deadline } => {
                    self.extend(node, resource, deadline);
                }
                Effect::Probe { resource, .. } => {
                    self.touched.insert((resource.clone(), node.clone()));
                    self.probe(node, resource);
                }
                Effect::RestartReady { .. } | Effect::Left { .. } | Effect::Unfit { .. } => {
                    self.may_end.insert(node.clone());
                }
                Effect::WatchNetworks(resources) => {
                    let resources = resources.into_iter().map(|(resource, _)| resource);
                    self.touched
                        .extend(resources.map(|resource| (resource, node.clone())));
                }
                Effect::WatchFences(_) | Effect::GuardAddresses(_) => {}
                Effect::Ping(order) => self.pinged(node, &order),
                Effect::Unfence(devices) => {
                    let devices = devices.into_iter().map(|(id, _)| id);
                    let event = Event::Unfenced(devices.filter(|_| self.lets_in).collect());
                    self.schedule(self.now + DRIVER, node.clone(), event);
                }
                Effect::Fence(order) if order.look => self.looks.push((node.clone(), *order)),
                Effect::Fence(order) => self.orders.push((node.clone(), *order)),
                Effect::Reply(reply) => {
                    self.replies.insert(reply.id, reply.response);
                }
                Effect::Log { text, .. } => {
                    self.log.push(format!("{:>9} {node}: {text}", self.now))
                }
                Effect::Peers(peers) => {
                    let names = peers.into_iter().map(|(peer, _)| peer).collect();
                    self.peers.insert(node.clone(), names);
                }
                Effect::Reconfigure { kind, .. } => self.reconfigured.push((node.clone(), *kind)),
                Effect::Repair { .. }
                | Effect::Keys(_)
                | Effect::KeepFile(_)
                | Effect::Authorities(_) => {}
            }
        }
    }

    /// Whether this agent is killed before it does this. What changes nothing outside is no step of its own.
    fn ends_before(&mut self, node: &NodeId, effect: &Effect) -> bool {
        let Some((_, left)) = self.ends_after.as_mut().filter(|(ends, _)| ends == node) else {
            return false;
        };
        let counts = matches!(
            effect,
            Effect::Send { .. } | Effect::Persist(_) | Effect::Start(_) | Effect::Stop { .. }
        );
        if !counts || *left > 0 {
            *left -= u64::from(counts);
            return false;
        }
        self.ends_after = None;
        self.kill_agent(node.as_str());
        true
    }

    fn send(&mut self, node: &NodeId, to: NodeId, message: Box<Message>) {
        self.messages += 1;
        let lost = self
            .lose
            .as_ref()
            .is_some_and(|lose| lose(node, &to, &message));
        // Both have to let the other one in.
        let lets_in = |one: &NodeId, other: &NodeId| {
            let known = self.peers.get(one);
            known.is_none_or(|known: &BTreeSet<NodeId>| known.contains(other))
        };
        if lost
            || self.cut.contains(node)
            || self.cut.contains(&to)
            || !lets_in(node, &to)
            || !lets_in(&to, node)
        {
            return;
        }
        let event = Event::Message {
            from: node.clone(),
            link: 0,
            message,
        };
        self.schedule(self.now + DELAY, to, event);
    }

    fn persist(&mut self, node: &NodeId, batch: Batch) {
        let slow = self.slow_disk.as_ref().filter(|(slow, _)| slow == node);
        let takes = slow.map_or(self.fsync, |(_, takes)| *takes);
        let event = Event::Persisted {
            sequence: batch.sequence,
            took: Micros(self.fsync),
        };
        self.schedule(self.now + takes, node.clone(), event);
        let disk = self.disks.entry(node.clone()).or_default();
        if let Some(member) = batch.reset {
            self.reborn.insert(node.clone(), member);
            disk.entries.clear();
            disk.snapshot = None;
            disk.hard_state = HardState::default();
            disk.pair_fences = None;
        }
        disk.hard_state = batch.hard_state.unwrap_or(disk.hard_state);
        if let Some(first) = batch.entries.first().map(|entry| entry.index) {
            disk.entries.retain(|entry| entry.index < first);
            disk.entries.extend(batch.entries);
        }
        if let Some(snapshot) = batch.snapshot {
            disk.entries.retain(|entry| entry.index > snapshot.index);
            disk.snapshot = Some(snapshot);
        }
        disk.pair = batch.pair.or(disk.pair.take());
        disk.pair_fences = batch.pair_fences.or(disk.pair_fences.take());
        disk.promise = batch.promise.unwrap_or(disk.promise);
        disk.vote_cap = batch.vote_cap.unwrap_or(disk.vote_cap);
        disk.lease_cap = batch.lease_cap.unwrap_or(disk.lease_cap);
    }

    fn stop(&mut self, node: &NodeId, resource: ResourceId) {
        let change = if self.failing_stops > 0 {
            self.failing_stops -= 1;
            InstanceChange::StopFailed("it does not listen".into())
        } else {
            self.end(node, &resource);
            InstanceChange::Stopped
        };
        self.instance(node, resource, change);
    }

    fn extend(&mut self, node: &NodeId, resource: ResourceId, deadline: u64) {
        if let Some(guard) = self.guards.get_mut(&(resource, node.clone())) {
            guard.1 = deadline;
        }
    }

    fn probe(&mut self, node: &NodeId, resource: ResourceId) {
        if self.silent_probes {
            return;
        }
        let guard = self.guards.get(&(resource.clone(), node.clone())).copied();
        let change = guard.map_or(InstanceChange::Stopped, |(since, deadline)| {
            InstanceChange::Adopted { since, deadline }
        });
        self.instance(node, resource, change);
    }

    fn end(&mut self, node: &NodeId, resource: &ResourceId) {
        self.guards.remove(&(resource.clone(), node.clone()));
        if let Some(nodes) = self.active.get_mut(resource) {
            nodes.remove(node);
        }
    }

    /// The kernel ends what its lease no longer covers.
    fn guard(&mut self) {
        if self.stuck_guards {
            return;
        }
        let over: Vec<(ResourceId, NodeId)> = self
            .guards
            .iter()
            .filter(|(_, (_, deadline))| *deadline <= self.now)
            .map(|(instance, _)| instance.clone())
            .collect();
        for (resource, node) in over {
            self.end(&node, &resource);
            self.instance(&node, resource, InstanceChange::LeaseEnded);
        }
    }

    /// The agent ends, and what it supervises runs on under its guards.
    pub(crate) fn kill_agent(&mut self, name: &str) {
        let node = NodeId::from(name);
        self.cores.remove(&node);
        self.queue.retain(|_, (to, _)| *to != node);
        self.may_end.remove(&node);
    }

    /// The agent starts from its disk.
    pub(crate) fn start_agent(&mut self, name: &str, member: MemberId) {
        let disk = self.disks[&NodeId::from(name)].clone();
        self.boot(name, member, disk);
    }

    /// A copy of a node's disk, to be given back later.
    pub(crate) fn disk(&self, name: &str) -> Restored {
        self.disks[&NodeId::from(name)].clone()
    }

    pub(crate) fn report(&mut self, name: &str, resource: &str, change: InstanceChange) {
        if matches!(
            change,
            InstanceChange::Exited(_) | InstanceChange::AgentFailed { .. }
        ) {
            self.end(&NodeId::from(name), &ResourceId::from(resource));
        }
        self.instance(&NodeId::from(name), ResourceId::from(resource), change);
    }

    fn instance(&mut self, node: &NodeId, resource: ResourceId, change: InstanceChange) {
        self.schedule(
            self.now + DRIVER,
            node.clone(),
            Event::Instance { resource, change },
        );
    }

    /// The machine is gone: its core, its resources, and what was on its way to it.
    pub(crate) fn crash(&mut self, name: &str) {
        let node = NodeId::from(name);
        self.cores.remove(&node);
        self.guards.retain(|(_, at), _| *at != node);
        for nodes in self.active.values_mut() {
            nodes.remove(&node);
        }
    }

    /// The machine starts again after that, with what its disk has.
    pub(crate) fn power_on(&mut self, name: &str, member: MemberId) {
        let node = NodeId::from(name);
        self.queue.retain(|_, (to, _)| *to != node);
        *self.starts_of.entry(node.clone()).or_default() += 1;
        let member = self.reborn.get(&node).copied().unwrap_or(member);
        self.start_agent(name, member);
    }

    /// Lets milliseconds pass.
    pub(crate) fn run(&mut self, millis: u64) {
        let end = self.now + millis * 1000;
        while self.now < end {
            let wake = self
                .cores
                .values()
                .map(|core| self.now.saturating_add(core.next_wakeup(self.clock()).0))
                .min()
                .unwrap_or(u64::MAX);
            let next = self.queue.keys().next().map_or(u64::MAX, |(at, _)| *at);
            let guards = self.guards.values().filter(|_| !self.stuck_guards);
            let guard = guards.map(|(_, at)| *at).min();
            let next = next.min(guard.unwrap_or(u64::MAX));
            self.now = wake.min(next).min(end).max(self.now);
            self.guard();
            if let Some(entry) = self.queue.first_entry()
                && entry.key().0 <= self.now
            {
                let (node, event) = entry.remove();
                self.deliver(&node, event);
                continue;
            }
            let due: Vec<NodeId> = self
                .cores
                .iter()
                .filter(|(_, core)| core.next_wakeup(self.clock()) <= Micros(1))
                .map(|(node, _)| node.clone())
                .collect();
            if due.is_empty() {
                continue;
            }
            self.now += 1;
            for node in due {
                self.deliver(&node, Event::Timer);
            }
        }
    }
}
