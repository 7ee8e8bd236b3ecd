//! Two machines, what is between them, and everything that can happen next.
//!
//! Time is not modelled: whatever a timer leads to may happen at any moment, so every real order of events
//! is among those that are tried. Two things that a lease guarantees are taken from it: a waiter learns that
//! a lease is over only when it is, and a kernel ends what runs under a lease that is over. Loss and
//! partitions need no action of their own: a word that is never delivered is lost.

use crate::bounds::Bounds;
use standfast_model::{id::Incarnation, pair::BootPolicy};
use standfast_pair::{
    BootId, Confirms, Contents, Effect, Event, FenceOutcome, History, Order, Pair, Record, Role,
    Session, Settings, Side, Word,
};
use std::collections::BTreeSet;

/// Numbers of writes, in their order.
pub type Copy_ = Vec<u8>;

/// What a disk has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Disk {
    /// The node's record.
    pub record: Record,
    /// The contents of its copy.
    pub copy: Copy_,
}

impl Disk {
    /// How many writes its copy has.
    #[must_use]
    pub fn length(&self) -> u64 {
        u64::try_from(self.copy.len()).unwrap_or(u64::MAX)
    }
}

/// One of the two machines.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Machine {
    /// What survives a loss of power.
    pub disk: Disk,
    /// What a restored snapshot would bring back.
    pub snapshot: Option<Disk>,
    /// The agent, while one runs.
    pub agent: Option<Pair>,
    /// What the agent wants on the disk.
    pub pending: Option<Disk>,
    /// What is to come after the record that was taken over: the contents of the leader's copy.
    pub coming: Option<Copy_>,
    /// The power is on.
    pub on: bool,
    /// Something that only a primary may run is running.
    pub running: bool,
    /// It was told to stop.
    pub stopping: bool,
    /// It runs under a lease, and its kernel ends it.
    pub leased: bool,
    /// Times that it was started.
    pub boots: u8,
    /// Times that its agent was started.
    pub runs: u8,
}

impl Machine {
    /// Its agent follows somebody who leads.
    fn follows(&self) -> bool {
        let role = self.agent.as_ref().map(Pair::role);
        matches!(role, Some(Role::Following { ask: None, .. }))
    }

    /// Contents of its copy are on their way, and get there at any moment.
    #[must_use]
    pub fn gets_contents(&self) -> bool {
        self.coming.is_some() && self.pending.is_none() && self.follows()
    }
}

/// A word on its way, with the copy that can be taken over with it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Letter {
    /// Who gets it.
    pub to: usize,
    /// What it says.
    pub word: Word,
    /// The sender's copy at that time.
    pub copy: Copy_,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    /// The two.
    pub machines: [Machine; 2],
    /// Words on their way; each may arrive at any time, any number of times, or never.
    pub air: Vec<Letter>,
    /// What each has asked of its fence device.
    pub orders: [Option<BootId>; 2],
    /// What the devices said, not heard yet.
    pub answers: Vec<(usize, BootId, FenceOutcome)>,
    /// Who alone reaches ping targets until both meet again: the assumption under which ping targets promise one primary.
    /// Without it (`Bounds::split`) there are two, and that is checked too.
    pub reaches: Option<usize>,
    /// Writes that clients were told are safe, and that whoever leads must have.
    pub safe: BTreeSet<u8>,
    /// Writes that were given up by an operator's word, and that must stay on some disk.
    pub kept: BTreeSet<u8>,
    /// What may still go wrong.
    pub left: Left,
    /// A rule that is about a step and not about a state was broken.
    pub broken: Option<&'static str>,
}

/// What is left of the bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Left {
    /// Losses of power.
    pub power: u8,
    /// Restarts of an agent.
    pub restarts: u8,
    /// Disks lost or rolled back.
    pub disks: u8,
    /// Orders of an operator.
    pub orders: u8,
    /// Writes.
    pub writes: u8,
    /// Orders to a fence device.
    pub fences: u8,
}

/// What happens next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The machine, or its agent, starts.
    Start(usize),
    /// The power of a machine is lost; what was being written is on the disk or is not.
    PowerLoss(usize, bool),
    /// An agent dies; what it runs goes on.
    AgentDies(usize, bool),
    /// A copy of the disk is put aside.
    Snapshot(usize),
    /// The disk of a machine without power is lost.
    DiskLost(usize),
    /// The disk of a machine without power is what it was.
    DiskRolledBack(usize),
    /// What is being written is on the disk.
    Persisted(usize),
    /// The contents of the copy that is taken over are on the disk, after their record.
    Copied(usize),
    /// A word is delivered at once.
    Deliver(usize),
    /// A word is on its way.
    Delay(usize),
    /// One of those on their way arrives, and may arrive again.
    Arrive(usize),
    /// It never arrives again.
    Vanish(usize),
    /// A fence device carries out an order: it works, and it says so or not.
    Fenced(usize, bool, FenceOutcome),
    /// The device's answer arrives.
    Answer(usize),
    /// What ran is confirmed stopped.
    Stopped(usize),
    /// The kernel ends what runs without a lease or an agent.
    Guard(usize),
    /// An event of time.
    Time(usize, Event),
    /// A client writes.
    Write(usize),
    /// An operator says something.
    Order(usize, Order),
}

const SIDES: [Side; 2] = [Side::First, Side::Second];

impl World {
    /// Two machines that ran as a pair, both with nothing written yet, both off.
    #[must_use]
    pub fn new(bounds: &Bounds) -> Self {
        let history = History::new(Side::First, Incarnation(0));
        let record = Record {
            history: Some(history),
            ..Record::default()
        };
        let disk = Disk {
            record,
            copy: Vec::new(),
        };
        let machine = Machine {
            disk,
            snapshot: None,
            agent: None,
            pending: None,
            coming: None,
            on: false,
            running: false,
            stopping: false,
            leased: false,
            boots: 0,
            runs: 0,
        };
        let mut world = Self {
            machines: [machine.clone(), machine],
            air: Vec::new(),
            orders: [None; 2],
            answers: Vec::new(),
            reaches: None,
            safe: BTreeSet::new(),
            kept: BTreeSet::new(),
            left: bounds.left,
            broken: None,
        };
        world.start(bounds, 0);
        world.start(bounds, 1);
        if bounds.begins_in_sync {
            crate::heal::settle(&mut world, bounds);
            world.left = bounds.left;
        }
        world
    }

    /// A machine or its agent starts.
    pub fn start(&mut self, bounds: &Bounds, side: usize) {
        let machine = &mut self.machines[side];
        if !machine.on {
            machine.on = true;
            machine.boots += 1;
        }
        machine.runs += 1;
        let number = |count: u8| u64::from(count) * 2 + u64::try_from(side).unwrap_or(0);
        let session = Session {
            boot: BootId(number(machine.boots)),
            run: Incarnation(number(machine.runs)),
        };
        let settings = Settings {
            side: SIDES[side],
            arbiter: bounds.arbiter,
            boot: BootPolicy::Automatic,
            failback_to: None,
            by_log: false,
            planted: bounds.planted,
        };
        let found = (machine.disk.record.clone(), machine.disk.length());
        let agent = Pair::start(settings, session, found, machine.running);
        // Whoever goes on alone arms the guards itself.
        machine.leased &= !agent.acts();
        machine.agent = Some(agent);
    }

    /// An agent gets an event; `copy` is what came with it.
    pub fn event(&mut self, side: usize, event: Event, copy: &Copy_) {
        let Some(agent) = &mut self.machines[side].agent else {
            return;
        };
        let effects = agent.step(event);
        for effect in effects {
            self.carry_out(side, effect, copy);
        }
        let machine = &mut self.machines[side];
        let Some(agent) = &machine.agent else { return };
        // The kernel's guard stays armed for what still runs, until somebody is alone and needs no lease.
        let armed = machine.leased && machine.running && !agent.acts();
        machine.leased = agent.acts_by_lease() || armed;
        if machine.pending.is_none() && !machine.follows() {
            machine.coming = None;
        }
    }

    fn carry_out(&mut self, side: usize, effect: Effect, came: &Copy_) {
        let machine = &mut self.machines[side];
        match effect {
            Effect::Persist(record, contents) => {
                let mut copy = machine.disk.copy.clone();
                match contents {
                    Contents::Keep => {}
                    Contents::Append => copy.push(self.left.writes),
                    // A log brings the rest of a copy that has its beginning, and brings it later.
                    Contents::Install
                        if came.starts_with(&copy) && machine.disk.record.history.is_some() =>
                    {
                        machine.coming = Some(came.clone()).filter(|came| *came != copy);
                    }
                    Contents::Install => copy.clone_from(came),
                    Contents::Discard => copy.clear(),
                }
                machine.pending = Some(Disk { record, copy });
            }
            Effect::Start => {
                machine.running = true;
                machine.stopping = false;
            }
            Effect::Stop => machine.stopping = true,
            Effect::Fence(boot) => {
                if self.left.fences > 0 {
                    self.orders[side] = Some(boot);
                }
            }
            Effect::Confirm(index) => {
                let at = usize::try_from(index).unwrap_or(0).saturating_sub(1);
                let holders = [
                    &machine.disk,
                    machine.pending.as_ref().unwrap_or(&machine.disk),
                ];
                if let Some(write) = holders.iter().find_map(|disk| disk.copy.get(at)) {
                    self.safe.insert(*write);
                }
            }
            Effect::Speak | Effect::Alarm(_) | Effect::Refuse(_) | Effect::Done => {}
        }
    }

    /// The word that an agent would send now.
    #[must_use]
    pub fn letter(&self, from: usize) -> Option<Letter> {
        let machine = &self.machines[from];
        let word = machine.agent.as_ref()?.word();
        let copy = machine.disk.copy.clone();
        Some(Letter {
            to: 1 - from,
            word,
            copy,
        })
    }

    /// A word arrives.
    pub fn arrive(&mut self, letter: &Letter) {
        let Some(agent) = &self.machines[letter.to].agent else {
            return;
        };
        let was_off = agent.fenced() == Some(letter.word.from.boot);
        let rose = agent.role() == Role::Rising;
        self.event(letter.to, Event::Word(letter.word.clone()), &letter.copy);
        let alone = |role| {
            matches!(
                role,
                Role::Primary {
                    confirms: Confirms::Alone,
                    ..
                }
            )
        };
        let agent = self.machines[letter.to].agent.as_ref();
        if was_off && agent.is_some_and(|agent| alone(agent.role())) {
            self.broken = Some("goes on alone on a fence that is void");
        }
        if !rose {
            self.watch_election(letter);
        }
        let both = |pair: &Pair| {
            matches!(
                pair.role(),
                Role::Primary {
                    confirms: Confirms::Both,
                    ..
                }
            )
        };
        if self
            .machines
            .iter()
            .flat_map(|machine| &machine.agent)
            .any(both)
        {
            self.reaches = None;
        }
    }

    /// Nobody is made primary beside a copy that nothing is known about, unless an operator gave that up.
    fn watch_election(&mut self, letter: &Letter) {
        let agent = self.machines[letter.to].agent.as_ref();
        let rises = agent.is_some_and(|agent| agent.role() == Role::Rising);
        if rises && letter.word.history.is_none() && !letter.word.rebuild {
            self.broken = Some("leads beside an empty disk without an operator's word");
        }
    }

    /// What was written is on the disk.
    pub fn persisted(&mut self, side: usize) {
        let machine = &mut self.machines[side];
        if let Some(disk) = machine.pending.take() {
            let length = disk.length();
            machine.disk = disk;
            self.event(side, Event::Persisted(length), &Vec::new());
        }
    }

    /// The contents that were to come after their record are on the disk.
    pub fn copied(&mut self, side: usize) {
        let machine = &mut self.machines[side];
        if !machine.gets_contents() {
            return;
        }
        if let Some(copy) = machine.coming.take() {
            machine.disk.copy = copy;
            let length = machine.disk.length();
            self.event(side, Event::Length(length), &Vec::new());
        }
    }

    pub(crate) fn off(&mut self, side: usize, flushed: bool) {
        let machine = &mut self.machines[side];
        match machine.pending.take() {
            Some(disk) if flushed => machine.disk = disk,
            Some(_) | None => {}
        }
        machine.agent = None;
        machine.coming = None;
        machine.on = false;
        machine.running = false;
        machine.stopping = false;
        machine.leased = false;
        self.orders[side] = None;
    }

    pub(crate) fn agent_dies(&mut self, side: usize, flushed: bool) {
        let machine = &mut self.machines[side];
        match machine.pending.take() {
            Some(disk) if flushed => machine.disk = disk,
            Some(_) | None => {}
        }
        machine.agent = None;
        machine.coming = None;
        machine.stopping = false;
        self.orders[side] = None;
    }

    pub(crate) fn replace_disk(&mut self, side: usize, disk: Disk) {
        self.machines[side].disk = disk;
        self.forget_what_nobody_has();
    }

    /// What was on a lost disk alone is lost, whatever anybody does.
    fn forget_what_nobody_has(&mut self) {
        // An operator's word to give a copy up may be on its way to the disk.
        let given_up = |machine: &Machine| {
            machine
                .pending
                .as_ref()
                .is_some_and(|disk| disk.record.rebuild)
        };
        let holds =
            |machine: &Machine, write: &u8| !given_up(machine) && machine.disk.copy.contains(write);
        let has = |write: &u8| self.machines.iter().any(|machine| holds(machine, write));
        let safe = self.safe.iter().copied().filter(has).collect();
        let kept = self.kept.iter().copied().filter(has).collect();
        (self.safe, self.kept) = (safe, kept);
    }

    pub(crate) fn fence(&mut self, by: usize, works: bool, outcome: FenceOutcome) {
        let Some(boot) = self.orders[by].take() else {
            return;
        };
        self.left.fences = self.left.fences.saturating_sub(1);
        if works {
            self.off(1 - by, false);
        }
        self.answers.push((by, boot, outcome));
    }

    /// An operator's order, with what the operator gives up by it.
    pub(crate) fn order(&mut self, side: usize, order: Order) {
        self.event(side, Event::Operator(order), &Vec::new());
        let accepted = self.machines[side].pending.is_some();
        match order {
            Order::ForcePrimary if accepted => {
                let copy = &self.machines[side].disk.copy;
                let lacks: Vec<u8> = self
                    .safe
                    .iter()
                    .copied()
                    .filter(|w| !copy.contains(w))
                    .collect();
                for write in lacks {
                    self.safe.remove(&write);
                    self.kept.insert(write);
                }
            }
            Order::Rebuild if accepted => {
                // What only this copy has is what the operator gave up.
                let other = self.machines[1 - side].disk.copy.clone();
                self.safe.retain(|write| other.contains(write));
                self.kept.retain(|write| other.contains(write));
            }
            _ => {}
        }
    }

    /// Whether somebody may not be told yet that this node's lease is over.
    pub(crate) fn holds_lease(&self, side: usize) -> bool {
        let machine = &self.machines[side];
        machine.leased && (machine.running || machine.agent.as_ref().is_some_and(Pair::acts))
    }
}

impl World {
    /// Whether `side` waits for the lease that it gives `leader`.
    #[must_use]
    pub fn follows(&self, side: usize, leader: usize) -> bool {
        let agents = (&self.machines[side].agent, &self.machines[leader].agent);
        let (Some(agent), Some(leader)) = agents else {
            return false;
        };
        match agent.role() {
            Role::Following {
                leader: followed, ..
            }
            | Role::Handing { partner: followed } => followed == leader.word().from,
            _ => false,
        }
    }

    /// The kernel ends what runs under a lease that is over.
    pub fn guard(&mut self, side: usize) {
        self.machines[side].running = false;
        self.machines[side].leased = false;
    }
}
