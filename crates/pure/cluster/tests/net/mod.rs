//! A small world for scenarios: cores on a perfect network with drivers that always succeed. Faults
//! are what a test does by hand; the simulator does them at random.

use standfast_cluster::{Core, Init};
use standfast_model::{
    config::{ClusterConfig, NodeConfig},
    effect::Effect,
    event::{DiskCondition, Event, HardState, InstanceChange, Restored},
    guards::GuardSupport,
    id::{Incarnation, MemberId, NodeId, ResourceId},
    message::LogSnapshot,
    request::{Request, Response},
    state::{ClusterState, Member, NodeState},
    time::{Micros, Now},
};
use std::collections::{BTreeMap, BTreeSet};

const DELAY: u64 = 500;
const FSYNC: u64 = 3000;
const DRIVER: u64 = 20_000;

/// The world.
pub(crate) struct Net {
    pub(crate) now: u64,
    pub(crate) cores: BTreeMap<NodeId, Core>,
    queue: BTreeMap<(u64, u64), (NodeId, Event)>,
    order: u64,
    /// Nodes that nobody hears and that hear nobody.
    pub(crate) cut: BTreeSet<NodeId>,
    /// What runs where, by what drivers were told.
    pub(crate) active: BTreeMap<ResourceId, BTreeSet<NodeId>>,
    pub(crate) replies: BTreeMap<u64, Response>,
    pub(crate) log: Vec<String>,
    pub(crate) messages: u64,
    requests: u64,
}

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
        let mut net = Self {
            now: 1_000_000,
            cores: BTreeMap::new(),
            queue: BTreeMap::new(),
            order: 0,
            cut: BTreeSet::new(),
            active: BTreeMap::new(),
            replies: BTreeMap::new(),
            log: Vec::new(),
            messages: 0,
            requests: 0,
        };
        net.boot(first, MemberId(1), first_disk(first));
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

    fn clock(&self) -> Now {
        Now {
            boot: self.now,
            raw: self.now,
        }
    }

    pub(crate) fn boot(&mut self, name: &str, member: MemberId, restored: Restored) {
        let node = NodeId::from(name);
        let peers = self
            .cores
            .keys()
            .map(|node| (node.clone(), Vec::new()))
            .collect();
        let init = Init {
            node: node.clone(),
            member,
            incarnation: Incarnation(self.now + member.0),
            restored,
            peers,
            seed: member.0.wrapping_mul(0x9E37_79B9_7F4A_7C15),
            guards: GuardSupport::full(),
            wall_offset: 0,
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

    /// Asks and runs until there is an answer.
    pub(crate) fn ask(&mut self, node: &str, request: Request) -> Response {
        self.requests += 1;
        let id = self.requests;
        self.deliver(&NodeId::from(node), Event::Request { id, request });
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

    fn deliver(&mut self, node: &NodeId, event: Event) {
        let now = self.clock();
        let Some(core) = self.cores.get_mut(node) else {
            return;
        };
        let effects = core.step(now, event);
        self.carry_out(node, effects);
    }

    fn carry_out(&mut self, node: &NodeId, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Send { to, message, .. } => {
                    self.messages += 1;
                    if !self.cut.contains(node) && !self.cut.contains(&to) {
                        let event = Event::Message {
                            from: node.clone(),
                            link: 0,
                            message,
                        };
                        self.schedule(self.now + DELAY, to, event);
                    }
                }
                Effect::Persist(batch) => {
                    let event = Event::Persisted {
                        sequence: batch.sequence,
                        took: Micros(FSYNC),
                    };
                    self.schedule(self.now + FSYNC, node.clone(), event);
                }
                Effect::Start(start) => {
                    self.active
                        .entry(start.resource.clone())
                        .or_default()
                        .insert(node.clone());
                    self.instance(node, start.resource, InstanceChange::Started);
                }
                Effect::Stop { resource, .. } => {
                    if let Some(nodes) = self.active.get_mut(&resource) {
                        nodes.remove(node);
                    }
                    self.instance(node, resource, InstanceChange::Stopped);
                }
                Effect::Probe { resource, .. } => {
                    self.instance(node, resource, InstanceChange::Stopped)
                }
                Effect::Reply(reply) => {
                    self.replies.insert(reply.id, reply.response);
                }
                Effect::Log { text, .. } => {
                    self.log.push(format!("{:>9} {node}: {text}", self.now))
                }
                Effect::Extend { .. }
                | Effect::Repair { .. }
                | Effect::Reconfigure { .. }
                | Effect::Peers(_)
                | Effect::WatchNetworks(_)
                | Effect::RestartReady { .. } => {}
            }
        }
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
        for nodes in self.active.values_mut() {
            nodes.remove(&node);
        }
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
            self.now = wake.min(next).min(end).max(self.now);
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

    /// The node that leads, if exactly one does.
    pub(crate) fn leader(&self) -> Option<String> {
        let mut leaders = self
            .cores
            .iter()
            .filter(|(_, core)| core.inspect().leads.is_some());
        let first = leaders.next()?.0.to_string();
        leaders.next().is_none().then_some(first)
    }

    pub(crate) fn core(&self, name: &str) -> &Core {
        &self.cores[&NodeId::from(name)]
    }

    pub(crate) fn runs_on(&self, resource: &str) -> Vec<String> {
        self.active
            .get(&ResourceId::from(resource))
            .map(|nodes| nodes.iter().map(ToString::to_string).collect())
            .unwrap_or_default()
    }
}
