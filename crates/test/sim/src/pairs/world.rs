//! The world of a pair: what happens next, in order, and one match over it.

use super::{
    faults::{self, Fault, MS, QUIET, SECOND},
    judge::{Confirmed, Violation},
    machine::{Machine, Unit},
    scene,
};
use crate::{
    rng::{Rng, Stream},
    timeline::TraceHash,
};
use standfast_model::{
    config::ClusterConfig,
    effect::{Class, Effect, Level},
    event::{Event, InstanceChange},
    fence_act::FenceOrder,
    id::ResourceId,
    message::Message,
    pair::{Arbiter, PairOrder},
    planted::{PairPlanted, Planted},
    request::{Request, Response},
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
    /// How often the service began on the other machine than before.
    pub(crate) moves: u64,
    /// Orders to fence, and how many of them cut the power.
    pub(crate) fences: (u64, u64),
    pub(crate) confirmed: u64,
}

#[derive(Debug)]
pub(super) enum Happening {
    Arrive(usize, u64, Box<Message>),
    Disk(usize, u64),
    Driver(usize, u64, ResourceId, InstanceChange),
    Fence(usize, u64, Box<FenceOrder>),
    Fault(Fault),
    Boot(usize),
    AgentStart(usize, u64),
    Heal(Mend),
    Ask,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Mend {
    Cut,
    Mute(usize),
    Loss,
    Disk(usize),
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
    cuts: u32,
    mutes: [u32; 2],
    loss: u64,
    /// When the last message of a stream arrives: they stay in order.
    streams: [u64; 2],
    pub(super) device_works: u64,
    config: ClusterConfig,
    pub(crate) confirmed: Confirmed,
    asked: u64,
    /// Requests that change something, and are not answered yet.
    changes: BTreeSet<u64>,
    last_ran: Option<usize>,
    pub(crate) outcome: Outcome,
    hash: TraceHash,
    lines: VecDeque<String>,
    most_lines: usize,
}

impl World {
    pub(crate) fn new(seed: u64, planted: Option<PairPlanted>, most_lines: usize) -> Self {
        let mut rng = Rng::new(seed, Stream::Scenario);
        let arbiter = if rng.chance(750_000) {
            Arbiter::Fence
        } else {
            Arbiter::None
        };
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
            streams: [0; 2],
            config,
            confirmed: Confirmed::default(),
            asked: 0,
            changes: BTreeSet::new(),
            last_ran: None,
            outcome: Outcome {
                seed,
                hash: 0,
                violation: None,
                moves: 0,
                fences: (0, 0),
                confirmed: 0,
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
                        self.violate(
                            7,
                            format!(
                                "not settled {} s after the last fault: {why}",
                                BOUND / SECOND
                            ),
                        );
                    }
                }
            }
        }
        self.outcome.hash = self.hash.value();
        self.outcome.clone()
    }

    pub(crate) fn violate(&mut self, invariant: u32, text: String) {
        self.note(2, || format!("VIOLATION of invariant {invariant}: {text}"));
        self.outcome
            .violation
            .get_or_insert(Violation { invariant, text });
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

    fn driver_says(
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
            Happening::Fault(fault) => self.begin(fault),
            Happening::Boot(number) => self.boot(number),
            Happening::AgentStart(number, boots) => {
                if self.machines[number].boots == boots {
                    self.start_agent(number);
                }
            }
            Happening::Heal(mend) => self.mend(mend),
            Happening::Ask => self.ask(),
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

    /// An operator asks for a change that has to be there later.
    fn ask(&mut self) {
        let pause = self.rng.spread(200 * MS, 4 * SECOND);
        self.later(pause, Happening::Ask);
        let number = self.rng.index(2);
        if self.machines[number].core.is_none() {
            return;
        }
        self.asked += 1;
        let request = Request::Apply {
            config: Box::new(self.config.clone()),
            text: String::new(),
            based_on: None,
            author: "operator".to_owned(),
            reason: format!("c{}", self.asked),
            draft: None,
        };
        let id = self.asked;
        self.changes.insert(id);
        self.step(number, Event::Request { id, request });
    }

    fn order(&mut self, number: usize, order: PairOrder) {
        self.asked += 1;
        let id = self.asked;
        let author = "operator".to_owned();
        let request = Request::Pair { order, author };
        self.step(number, Event::Request { id, request });
    }

    pub(crate) fn step(&mut self, number: usize, event: Event) {
        let now = self.machines[number].now(self.time);
        if self.most_lines > 0
            && let Event::Message { message, .. } = &event
            && let Some(text) = crate::world::describe_message(message)
        {
            self.note(number, || format!("<- {text}"));
        }
        let Some(core) = &mut self.machines[number].core else {
            return;
        };
        let effects = core.step(now, event);
        self.after(number, effects);
    }

    pub(super) fn after(&mut self, number: usize, effects: Vec<Effect>) {
        for effect in effects {
            self.carry_out(number, effect);
        }
        let machine = &self.machines[number];
        self.wakes[number] = machine.core.as_ref().map_or(u64::MAX, |core| {
            let wait = core.next_wakeup(machine.now(self.time)).0;
            self.time.saturating_add(wait.max(1))
        });
    }

    fn carry_out(&mut self, number: usize, effect: Effect) {
        match effect {
            Effect::Send { class, message, .. } => self.send(number, class, message),
            Effect::Persist(batch) => {
                let disk = &mut self.machines[number].disk;
                disk.issue(&batch, 0);
                disk.queue.push_back(batch);
                if disk.in_flight == 0 {
                    self.begin_write(number);
                }
            }
            Effect::Start(start) => {
                let unit = Unit {
                    since: start.since,
                    deadline: start.deadline,
                };
                self.starts(number, start.resource, unit);
            }
            Effect::Stop { resource, .. } => {
                let delay = self.rng.range(MS, 30 * MS);
                self.driver_says(number, delay, resource, InstanceChange::Stopped);
            }
            Effect::Extend { resource, deadline } => {
                if let Some(unit) = self.machines[number].units.get_mut(&resource) {
                    unit.deadline = deadline;
                }
            }
            Effect::Probe { resource, .. } => {
                let unit = self.machines[number].units.get(&resource);
                let change = unit.map_or(InstanceChange::Stopped, |unit| InstanceChange::Adopted {
                    since: unit.since,
                    deadline: unit.deadline,
                });
                self.driver_says(number, 2 * MS, resource, change);
            }
            Effect::Fence(order) => {
                self.outcome.fences.0 += u64::from(!order.look);
                let delay = self.rng.spread(100 * MS, 4 * SECOND);
                let run = self.machines[number].runs;
                self.later(delay, Happening::Fence(number, run, order));
            }
            Effect::Reply(reply) => self.answered(reply.id, &reply.response),
            Effect::RestartReady { .. } => {
                let back = self.rng.spread(50 * MS, 2 * SECOND);
                self.kill(number, back);
            }
            Effect::Log { level, text } => {
                if level != Level::Debug {
                    self.note(number, || text);
                }
            }
            Effect::Unfit { text } => self.violate(18, text),
            Effect::Left { .. }
            | Effect::Repair { .. }
            | Effect::Reconfigure { .. }
            | Effect::Keys(_)
            | Effect::Authorities(_)
            | Effect::Peers(_)
            | Effect::WatchNetworks(_)
            | Effect::WatchFences(_)
            | Effect::Unfence(_) => {}
        }
    }

    fn answered(&mut self, id: u64, response: &Response) {
        if let (true, Response::Done { index }) = (self.changes.remove(&id), response) {
            self.outcome.confirmed += 1;
            self.confirmed.note(*index, format!("c{id}"));
        }
    }

    fn starts(&mut self, number: usize, resource: ResourceId, unit: Unit) {
        let other = &self.machines[1 - number];
        let late = unit.deadline <= self.machines[number].boot.read(self.time);
        if other.on && other.units.contains_key(&resource) && !late {
            let text = format!(
                "{resource} starts on n{} and runs on the other one",
                number + 1
            );
            self.violate(1, text);
        }
        if late {
            return self.driver_says(number, MS, resource, InstanceChange::LeaseEnded);
        }
        if self.last_ran.is_some_and(|last| last != number) {
            self.outcome.moves += 1;
        }
        self.last_ran = Some(number);
        self.machines[number].units.insert(resource.clone(), unit);
        let delay = self.rng.range(5 * MS, 100 * MS);
        self.driver_says(number, delay, resource, InstanceChange::Started);
    }

    fn send(&mut self, from: usize, class: Class, message: Box<Message>) {
        let to = 1 - from;
        let datagram = class == Class::Datagram;
        let lost = datagram && self.rng.below(1000) < self.loss;
        if lost || self.cuts > 0 || self.mutes[from] > 0 || !self.machines[to].on {
            return;
        }
        let mut delay = self.rng.range(80, 900);
        if !datagram {
            let at = (self.time + delay).max(self.streams[to] + 1);
            self.streams[to] = at;
            delay = at - self.time;
        }
        let boots = self.machines[to].boots;
        self.later(delay, Happening::Arrive(to, boots, message));
    }

    /// Both are told of their link.
    pub(super) fn link(&mut self, up: bool) {
        for number in 0..2 {
            let peer = self.machines[1 - number].name.clone();
            self.step(number, Event::Link { peer, link: 0, up });
        }
    }

    fn kill(&mut self, number: usize, back: u64) {
        if self.machines[number].core.take().is_none() {
            return;
        }
        self.wakes[number] = u64::MAX;
        self.crash_disk(number);
        self.machines[number].runs += 1;
        self.note(number, || "its agent ends".to_owned());
        let boots = self.machines[number].boots;
        self.later(back, Happening::AgentStart(number, boots));
    }

    fn begin(&mut self, fault: Fault) {
        self.note(2, || format!("{fault:?}"));
        match fault {
            Fault::Power(number, down) => self.power_off(number, down),
            Fault::Kill(number, back) => self.kill(number, back),
            Fault::Cut(length) => {
                self.cuts += 1;
                self.later(length, Happening::Heal(Mend::Cut));
            }
            Fault::Mute(number, length) => {
                self.mutes[number] += 1;
                self.later(length, Happening::Heal(Mend::Mute(number)));
            }
            Fault::Loss(lost, length) => {
                self.loss = lost;
                self.later(length, Happening::Heal(Mend::Loss));
            }
            Fault::SlowDisk(number, by, length) => {
                self.machines[number].disk.slowdown = by;
                self.later(length, Happening::Heal(Mend::Disk(number)));
            }
            Fault::Swap(number) => self.order(number, PairOrder::Swap),
            Fault::Force(number, down) => {
                // The operator looks first: whoever has no primary to speak of is made one.
                if self.is_primary(number) || self.machines[number].core.is_none() {
                    return;
                }
                self.power_off(1 - number, down);
                self.confirmed.forget();
                self.order(number, PairOrder::ForcePrimary);
            }
            Fault::Restart(number, _) => {
                self.asked += 1;
                let id = self.asked;
                let author = "operator".to_owned();
                let request = Request::Restart { author };
                self.step(number, Event::Request { id, request });
            }
        }
    }

    fn mend(&mut self, mend: Mend) {
        match mend {
            Mend::Cut => self.cuts -= 1,
            Mend::Mute(number) => self.mutes[number] -= 1,
            Mend::Loss => self.loss = 0,
            Mend::Disk(number) => self.machines[number].disk.slowdown = 0,
        }
        self.link(false);
        self.link(true);
    }

    /// What an operator does who finds them like this, once everything else is repaired.
    pub(crate) fn tidy_up(&mut self, number: usize, order: PairOrder) {
        self.order(number, order);
    }
}
