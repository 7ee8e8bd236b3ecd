//! The world of a pair: what happens next, in order, and one match over it.

use super::{
    cases::{Case, Counts},
    faults::{self, Fault, MS, QUIET, SECOND},
    judge::Confirmed,
    machine::Machine,
    scene,
    targets::Targets,
};
use crate::{
    invariants::Violation,
    rng::{Rng, Stream},
    timeline::TraceHash,
};
use standfast_model::{
    config::ClusterConfig,
    event::{Event, InstanceChange},
    fence_act::FenceOrder,
    id::ResourceId,
    message::Message,
    pair::{Arbiter, PingRound},
    planted::{PairPlanted, Planted},
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// They have to settle within this time after the last fault.
const BOUND: u64 = 90 * SECOND;

/// What came of a run.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) seed: u64,
    pub(crate) hash: u64,
    pub(crate) violation: Option<Violation>,
    pub(crate) cases: Counts,
}

#[derive(Debug)]
pub(super) enum Happening {
    Arrive(usize, u64, Box<Message>),
    Disk(usize, u64),
    Driver(usize, u64, ResourceId, InstanceChange),
    Fence(usize, u64, Box<FenceOrder>),
    Pinged(usize, u64, PingRound),
    Fault(Fault),
    Boot(usize),
    AgentStart(usize, u64),
    Heal(Mend),
    Ask,
    Burst(u64),
    StandBy(usize, u64, u64),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Mend {
    Cut,
    Mute(usize),
    Loss,
    Disk(usize),
    Demotion,
    Dark(usize),
}

/// Everything.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) time: u64,
    pub(crate) machines: [Machine; 2],
    pub(super) planted: Option<Planted>,
    queue: BTreeMap<(u64, u64), Happening>,
    order: u64,
    pub(super) wakes: [u64; 2],
    pub(super) rng: Rng,
    pub(super) cuts: u32,
    pub(super) mutes: [u32; 2],
    pub(super) loss: u64,
    /// Who reaches no ping target, and what is known of that.
    pub(super) targets: Targets,
    /// When the last message of a stream arrives: they stay in order.
    pub(super) streams: [u64; 2],
    /// Nothing of a stream arrives before.
    pub(super) stalled: u64,
    /// Of a thousand orders to a device so many work, and so many take long.
    pub(super) device_works: u64,
    pub(super) device_slow: u64,
    pub(super) config: ClusterConfig,
    pub(crate) confirmed: Confirmed,
    pub(super) asked: u64,
    /// Requests that change something, and are not answered yet.
    pub(super) changes: BTreeSet<u64>,
    pub(super) last_ran: Option<usize>,
    /// When an operator tidied up last.
    pub(super) tidied: u64,
    /// When each of them was one that may run something last, and whether it hands over.
    pub(super) acted: [u64; 2],
    pub(super) handing: [bool; 2],
    /// Term, index and number of confirmed changes with which each was judged last.
    pub(super) looked_at: [(u64, u64, u64); 2],
    pub(crate) outcome: Outcome,
    hash: TraceHash,
    lines: VecDeque<String>,
    pub(super) most_lines: usize,
}

impl World {
    pub(crate) fn new(seed: u64, planted: Option<PairPlanted>, most_lines: usize) -> Self {
        let mut rng = Rng::new(seed, Stream::Scenario);
        let arbiter = if rng.chance(750_000) {
            Arbiter::Fence
        } else {
            Arbiter::None
        };
        let pinging = seed % 4 == 1;
        let arbiter = if pinging { Arbiter::Ping } else { arbiter };
        let config = scene::config(&mut rng, arbiter);
        let genesis = scene::genesis(&config);
        let machines = [0, 1].map(|number| scene::machine(number, &mut rng, &genesis));
        let mut world = Self {
            time: 0,
            machines,
            planted: planted.map(Planted::Pair),
            queue: BTreeMap::new(),
            order: 0,
            wakes: [u64::MAX; 2],
            device_works: rng.range(0, 1000),
            rng: Rng::new(seed, Stream::Network),
            cuts: 0,
            mutes: [0; 2],
            loss: 0,
            targets: Targets::default(),
            streams: [0; 2],
            stalled: 0,
            device_slow: if rng.chance(300_000) {
                rng.range(100, 1000)
            } else {
                0
            },
            config,
            confirmed: Confirmed::default(),
            asked: 0,
            changes: BTreeSet::new(),
            last_ran: None,
            tidied: 0,
            acted: [0; 2],
            handing: [false; 2],
            looked_at: [(0, 0, 0); 2],
            outcome: Outcome {
                seed,
                hash: 0,
                violation: None,
                cases: Counts::new(),
            },
            hash: TraceHash::default(),
            lines: VecDeque::new(),
            most_lines,
        };
        world.later(0, Happening::Boot(0));
        let second = world.rng.below(2 * SECOND);
        world.later(second, Happening::Boot(1));
        for (at, fault) in faults::draw(seed) {
            world.later(at, Happening::Fault(fault));
        }
        if pinging {
            for (at, fault) in faults::draw_dark(seed) {
                world.later(at, Happening::Fault(fault));
            }
        }
        world.later(5 * SECOND, Happening::Ask);
        world
    }

    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines.into()
    }

    pub(crate) fn run(&mut self) -> Outcome {
        let mut settled_since = None;
        while self.outcome.violation.is_none() {
            self.next();
            self.judge();
            if self.time < QUIET + 45 * SECOND {
                continue;
            }
            match self.unsettled() {
                None => {
                    let since = *settled_since.get_or_insert(self.time);
                    if self.time - since > 3 * SECOND {
                        break;
                    }
                }
                Some(why) => {
                    settled_since = None;
                    if self.time > QUIET + 45 * SECOND + BOUND {
                        let bound = BOUND / SECOND;
                        let text = format!("not settled {bound} s after the last fault: {why}");
                        self.violate(7, text);
                    }
                }
            }
        }
        self.outcome.hash = self.hash.value();
        self.outcome.clone()
    }

    pub(crate) fn violate(&mut self, invariant: u8, text: String) {
        self.note(2, || format!("VIOLATION of invariant {invariant}: {text}"));
        self.outcome.violation.get_or_insert(Violation {
            invariant,
            at: self.time,
            text,
        });
    }

    pub(super) fn hit(&mut self, case: Case) {
        *self.outcome.cases.entry(case).or_default() += 1;
    }

    pub(crate) fn note(&mut self, who: usize, what: impl FnOnce() -> String) {
        if self.most_lines == 0 {
            return;
        }
        let who = ["n1", "n2", "--"].get(who).copied().unwrap_or("--");
        let time = self.time;
        self.lines.push_back(format!(
            "{:>4}.{:06} {who}: {}",
            time / SECOND,
            time % SECOND,
            what()
        ));
        while self.lines.len() > self.most_lines {
            self.lines.pop_front();
        }
    }

    pub(super) fn later(&mut self, delay: u64, what: Happening) {
        self.order += 1;
        self.queue
            .insert((self.time.saturating_add(delay), self.order), what);
    }

    /// The next thing, whatever it is.
    fn next(&mut self) {
        let queued = self.queue.keys().next().map_or(u64::MAX, |(at, _)| *at);
        let woken = self.wakes.into_iter().min().unwrap_or(u64::MAX);
        let guard = self.next_guard();
        let at = queued
            .min(woken)
            .min(guard.as_ref().map_or(u64::MAX, |(at, ..)| *at));
        self.time = self.time.max(at);
        self.hash.add(self.time);
        if let Some((due, number, resource)) = guard
            && due <= at
        {
            return self.guard_ends(number, resource);
        }
        if queued <= at {
            if let Some((_, what)) = self.queue.pop_first() {
                self.happen(what);
            }
            return;
        }
        for number in 0..2 {
            if self.wakes[number] <= at {
                self.wakes[number] = u64::MAX;
                self.step(number, Event::Timer);
                return;
            }
        }
    }

    fn next_guard(&self) -> Option<(u64, usize, ResourceId)> {
        let machines = self.machines.iter().enumerate();
        let units = machines.flat_map(|(number, machine)| {
            machine.units.iter().map(move |(resource, unit)| {
                let at = machine.boot.when(self.time, unit.deadline);
                (at, number, resource.clone())
            })
        });
        units.min()
    }

    fn guard_ends(&mut self, number: usize, resource: ResourceId) {
        self.machines[number].units.remove(&resource);
        self.note(number, || format!("the guard of {resource} has closed"));
        let change = InstanceChange::LeaseEnded;
        self.driver_says(number, 2 * MS, resource, change);
    }

    pub(super) fn driver_says(
        &mut self,
        number: usize,
        delay: u64,
        resource: ResourceId,
        change: InstanceChange,
    ) {
        let boots = self.machines[number].boots;
        self.later(delay, Happening::Driver(number, boots, resource, change));
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Arrive(to, boots, message) => {
                let machine = &self.machines[to];
                if machine.boots == boots && machine.on {
                    let from = self.machines[1 - to].name.clone();
                    let link = 0;
                    self.step(
                        to,
                        Event::Message {
                            from,
                            link,
                            message,
                        },
                    );
                }
            }
            Happening::Disk(number, run) => self.disk_done(number, run),
            Happening::Driver(number, boots, resource, change) => {
                self.driver(number, boots, resource, change);
            }
            Happening::Fence(number, run, order) => self.fence_now(number, run, &order),
            Happening::Pinged(number, run, round) => {
                if self.machines[number].runs == run {
                    self.step(number, Event::Pinged(round));
                }
            }
            Happening::Fault(fault) => self.begin(fault),
            Happening::Boot(number) => self.boot(number),
            Happening::AgentStart(number, boots) => {
                if self.machines[number].boots == boots {
                    self.start_agent(number);
                }
            }
            Happening::Heal(mend) => self.mend(mend),
            Happening::Ask => {
                let pause = self.rng.spread(50 * MS, 4 * SECOND);
                self.later(pause, Happening::Ask);
                let number = self.rng.index(2);
                self.ask(number);
            }
            Happening::Burst(left) => self.burst(left),
            Happening::StandBy(number, down, looks) => self.stand_by(number, down, looks),
        }
    }

    fn driver(&mut self, number: usize, boots: u64, resource: ResourceId, change: InstanceChange) {
        let machine = &mut self.machines[number];
        if machine.boots != boots || !machine.on {
            return;
        }
        if change == InstanceChange::Stopped {
            machine.units.remove(&resource);
        }
        let gone = change == InstanceChange::Started && !machine.units.contains_key(&resource);
        if !gone {
            self.step(number, Event::Instance { resource, change });
        }
    }
}
