//! The world around the cores: global time, the queue of what happens next, and one exhaustive match
//! over it. The parts: `agents` (processes with a core), `effects` (what cores ask for), `drivers`
//! (resources and guards), `storage`, `transport`, `inject` (faults), `clients`, `settle` (healing).

mod agents;
mod calm;
mod clients;
mod drivers;
mod effects;
mod fencing;
mod inject;
mod operator;
mod ordering;
mod settle;
mod storage;
mod transport;

use crate::{
    clock::Clock,
    coverage::{Case, Coverage},
    disk::Disk,
    fault::{Fault, Kind},
    fencing::Happened,
    invariants::{self, Violation},
    kernel::Unit,
    network::Network,
    node::{Agent, Disturbance, Machine, Node, Removal, Taint, Troubles},
    rng::{Rng, Stream},
    scenario::Scenario,
    timeline::{Timeline, TraceHash},
    truth::Truth,
};
use clients::Purpose;
use drivers::Outcome;
use standfast_model::{
    event::{Event, InstanceChange},
    fence_act::FenceOrder,
    id::{Incarnation, MemberId, NodeId, ResourceId},
    message::Message,
    planted::Planted,
};
use std::{
    cmp::Ordering,
    collections::{BTreeMap, BinaryHeap, VecDeque},
};

pub(crate) use settle::Settling;
pub(crate) use transport::describe_message;

/// Something that is going to happen.
#[derive(Debug)]
enum Happening {
    Wake {
        node: usize,
        epoch: u64,
    },
    Datagram {
        from: usize,
        to: usize,
        link: u32,
        message: Box<Message>,
    },
    Stream {
        from: usize,
        to: usize,
    },
    Disk {
        node: usize,
        epoch: u64,
    },
    ToCore {
        node: usize,
        epoch: u64,
        event: Box<Event>,
    },
    /// A driver's word, once more, unless something newer has happened to the resource.
    Again {
        node: usize,
        epoch: u64,
        resource: usize,
        work: u64,
        change: Box<InstanceChange>,
    },
    Driver {
        node: usize,
        resource: usize,
        work: u64,
        outcome: Outcome,
    },
    Guard {
        node: usize,
        resource: usize,
    },
    Begin(usize),
    End(usize),
    AgentStart {
        node: usize,
        epoch: u64,
    },
    Boot(usize),
    Roll(usize),
    Join(usize),
    Remove(usize),
    Upgrade(usize),
    Copy,
    Heal,
    Look,
    /// An operator fences a machine.
    AskFence(usize),
    /// Devices act.
    Fence {
        node: usize,
        epoch: u64,
        order: Box<FenceOrder>,
    },
}

#[derive(Debug)]
struct Entry {
    at: u64,
    order: u64,
    what: Happening,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    /// The earliest is the greatest: `BinaryHeap` gives the greatest first.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.order).cmp(&(self.at, self.order))
    }
}

/// Everything.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) scenario: Scenario,
    pub(crate) planted: Option<Planted>,
    pub(crate) time: u64,
    queue: BinaryHeap<Entry>,
    order: u64,
    pub(crate) nodes: Vec<Node>,
    pub(crate) network: Network,
    resource_numbers: BTreeMap<ResourceId, usize>,
    draw_network: Rng,
    draw_disk: Rng,
    draw_driver: Rng,
    draw_node: Rng,
    draw_fencing: Rng,
    /// What fence devices really did.
    fenced: Happened,
    pub(crate) truth: Truth,
    pub(crate) coverage: Coverage,
    pub(crate) timeline: Option<Timeline>,
    pub(crate) hash: TraceHash,
    pub(crate) violation: Option<Violation>,
    faults: Vec<Fault>,
    /// Faults that have begun and not ended, with the node they struck.
    active_faults: BTreeMap<usize, usize>,
    /// Effects carried out twice, in a million.
    repeats: u64,
    clients: BTreeMap<u64, Purpose>,
    pub(crate) settling: Settling,
    pub(crate) messages: u64,
    pub(crate) steps: u64,
}

impl World {
    /// A world in which nothing has happened yet.
    pub(crate) fn new(scenario: Scenario, faults: Vec<Fault>, planted: Option<Planted>) -> Self {
        let seed = scenario.seed;
        let mut draw_node = Rng::new(seed, Stream::Nodes);
        let genesis = scenario.genesis();
        let nodes = (0..scenario.nodes)
            .map(|index| {
                let mut node = machine(&scenario, index, &mut draw_node);
                if index < scenario.founders {
                    node.disk.install(genesis.clone());
                    node.member = Scenario::member(index);
                }
                node
            })
            .collect();
        let numbers = scenario.resources.iter().cloned().enumerate();
        let mut world = Self {
            network: Network::new(scenario.nodes, scenario.links, scenario.quality),
            resource_numbers: numbers.map(|(number, name)| (name, number)).collect(),
            truth: Truth::new(scenario.nodes, scenario.resources.len()),
            scenario,
            planted,
            time: 0,
            queue: BinaryHeap::new(),
            order: 0,
            nodes,
            draw_network: Rng::new(seed, Stream::Network),
            draw_disk: Rng::new(seed, Stream::Disk),
            draw_driver: Rng::new(seed, Stream::Drivers),
            draw_node,
            draw_fencing: Rng::new(seed, Stream::Fencing),
            fenced: Happened::default(),
            coverage: Coverage::default(),
            timeline: None,
            hash: TraceHash::default(),
            violation: None,
            faults,
            active_faults: BTreeMap::new(),
            repeats: 0,
            clients: BTreeMap::new(),
            settling: Settling::default(),
            messages: 0,
            steps: 0,
        };
        world.truth.committed_genesis(&genesis);
        let config = world.scenario.config.clone();
        invariants::copies::note(&mut world, &config);
        world.repeats = if world.draw_node.chance(500_000) {
            2_000
        } else {
            0
        };
        world.prepare();
        world
    }

    fn prepare(&mut self) {
        for node in 0..self.scenario.founders {
            let delay = self.draw_node.below(300_000);
            self.push(delay, Happening::Boot(node));
        }
        for number in 0..self.faults.len() {
            let fault = self.faults[number];
            self.push(fault.at, Happening::Begin(number));
            if let Kind::DiskRolledBack(age) = fault.kind {
                self.push(fault.at.saturating_sub(age), Happening::Copy);
            }
        }
        self.plan_fences();
        self.push(self.scenario.quiet_from, Happening::Heal);
    }

    /// Lets everything happen until the run is over or an invariant is broken.
    pub(crate) fn run(&mut self) {
        while self.violation.is_none() && !self.is_over() {
            let Some(entry) = self.queue.pop() else { break };
            self.time = entry.at;
            self.happen(entry.what);
        }
    }

    /// Lets everything happen until then; for measurements.
    pub(crate) fn run_until(&mut self, until: u64) {
        while self.violation.is_none() && self.queue.peek().is_some_and(|entry| entry.at <= until) {
            let Some(entry) = self.queue.pop() else { break };
            self.time = entry.at;
            self.happen(entry.what);
        }
    }

    fn happen(&mut self, what: Happening) {
        self.hash.add(self.time);
        match what {
            Happening::Wake { node, epoch } => self.wake(node, epoch),
            Happening::Datagram {
                from,
                to,
                link,
                message,
            } => self.datagram(from, to, link, message),
            Happening::Stream { from, to } => self.pump(from, to),
            Happening::Disk { node, epoch } => self.disk_done(node, epoch),
            Happening::ToCore { node, epoch, event } => self.tell_core(node, epoch, event),
            Happening::Again {
                node,
                epoch,
                resource,
                work,
                change,
            } => {
                self.again(node, epoch, resource, work, *change);
            }
            Happening::Driver {
                node,
                resource,
                work,
                outcome,
            } => {
                self.driver_done(node, resource, work, outcome);
            }
            Happening::Guard { node, resource } => self.guard_due(node, resource),
            Happening::Begin(number) => self.begin_fault(number),
            Happening::End(number) => self.end_fault(number),
            Happening::AgentStart { node, epoch } => self.agent_start(node, epoch),
            Happening::Boot(node) => self.boot(node),
            Happening::Roll(node) => self.roll(node),
            Happening::Copy => self.copy_disks(),
            Happening::Join(node) => self.ask_to_join(node),
            Happening::Remove(node) => self.ask_to_remove(node),
            Happening::Upgrade(node) => self.upgrade(node),
            Happening::Heal => self.heal(),
            Happening::Look => self.look(),
            Happening::AskFence(node) => self.ask_fence(node),
            Happening::Fence { node, epoch, order } => self.fence_now(node, epoch, &order),
        }
    }

    fn push(&mut self, at: u64, what: Happening) {
        self.order += 1;
        let at = at.max(self.time);
        self.queue.push(Entry {
            at,
            order: self.order,
            what,
        });
    }

    fn later(&mut self, delay: u64, what: Happening) {
        self.push(self.time.saturating_add(delay), what);
    }

    /// Breaks the run off. The first violation counts.
    pub(crate) fn violate(&mut self, violation: Violation) {
        self.note("WORLD", || {
            format!(
                "VIOLATION of invariant {}: {}",
                violation.invariant, violation.text
            )
        });
        if self.violation.is_none() {
            self.violation = Some(violation);
        }
    }

    /// A line of the timeline, if one is kept.
    pub(crate) fn note(&mut self, who: &str, what: impl FnOnce() -> String) {
        if let Some(timeline) = &mut self.timeline {
            timeline.write(self.time, who, &what());
        }
    }

    pub(crate) fn note_at(&mut self, node: usize, what: impl FnOnce() -> String) {
        if let Some(timeline) = &mut self.timeline {
            timeline.write(self.time, self.nodes[node].name.as_str(), &what());
        }
    }

    pub(crate) fn hit(&mut self, case: Case) {
        self.coverage.hit(case);
    }

    /// A node's number, from its name.
    pub(crate) fn number_of(&self, name: &NodeId) -> Option<usize> {
        let number: usize = name.as_str().get(1..)?.parse().ok()?;
        let index = number.checked_sub(1)?;
        (index < self.nodes.len()).then_some(index)
    }

    pub(crate) fn resource_number(&self, name: &ResourceId) -> Option<usize> {
        self.resource_numbers.get(name).copied()
    }

    /// Whoever runs a resource, and is awake.
    pub(crate) fn runs_on(&self, resource: usize) -> impl Iterator<Item = usize> + '_ {
        self.nodes
            .iter()
            .enumerate()
            .filter_map(move |(index, node)| {
                let active = node.units.get(resource).is_some_and(|unit| unit.active);
                (active && node.is_awake()).then_some(index)
            })
    }

    /// The first of them.
    pub(crate) fn runner(&self, resource: usize) -> Option<usize> {
        self.runs_on(resource).next()
    }

    /// Whoever leads in the highest term.
    pub(crate) fn leader(&self) -> Option<usize> {
        let members = self.nodes.iter().enumerate();
        let members = members.filter(|(_, node)| node.removal != Removal::Done);
        let terms = members.filter_map(|(index, node)| {
            let term = node.core.as_ref()?.inspect().leads?;
            Some((term, index))
        });
        terms.max().map(|(_, index)| index)
    }
}

fn machine(scenario: &Scenario, index: usize, rng: &mut Rng) -> Node {
    let (boot, raw) = scenario.rates[index];
    Node {
        name: Scenario::node_name(index),
        member: MemberId(0),
        peers: (0..scenario.founders)
            .map(|peer| (Scenario::node_name(peer), crate::scenario::addresses(peer)))
            .collect(),
        accepts: u128::MAX,
        keys: None,
        key: 0,
        heard: vec![0; scenario.nodes],
        removal: Removal::None,
        core: None,
        agent: Agent::Down,
        machine: if index < scenario.founders {
            Machine::Off
        } else {
            Machine::Absent
        },
        boots: 0,
        pauses: 0,
        epoch: 0,
        incarnation: Incarnation(0),
        boot: Clock::new(0, rng.below(1 << 40), boot),
        raw: Clock::new(0, rng.below(1 << 40), raw),
        wake_at: u64::MAX,
        wake_queued: u64::MAX,
        held: VecDeque::new(),
        disturbance: Disturbance::None,
        disk: Disk::new(scenario.fsync[index]),
        units: vec![Unit::default(); scenario.resources.len()],
        troubles: Troubles::default(),
        sick: 0,
        restarting: None,
        restart_takes: None,
        unfit: false,
        level: scenario.first_level,
        runs_level: 0,
        highest_level: 0,
        leaving: None,
        asleep_since: 0,
        joining: false,
        jumped: None,
        started: 0,
        join_after: 0,
        disk_taint: Taint::None,
    }
}
