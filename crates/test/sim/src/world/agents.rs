//! Agents: processes with a core in them. They start, take events, stand still and die.

use super::{Happening, World};
use crate::{
    attributes,
    coverage::Case,
    invariants,
    kernel::Work,
    node::{Agent, Disturbance, Held, Machine, Taint},
};
use standfast_cluster::{Core, Init};
use standfast_model::{effect::Effect, event::Event, id::Incarnation, time::Now};

/// Datagrams and other events that wait for a standing agent; what is more is lost.
const HELD: usize = 400;

impl World {
    /// A machine comes up.
    pub(super) fn boot(&mut self, node: usize) {
        let machine = &mut self.nodes[node];
        if machine.machine != Machine::Off {
            return;
        }
        if machine.disk_taint == Taint::RolledBack && !self.reaches_everybody(node) {
            self.later(50_000, Happening::Boot(node));
            return;
        }
        let machine = &mut self.nodes[node];
        machine.machine = Machine::On;
        machine.boots += 1;
        let reading = self.draw_node.range(1_000_000, 30_000_000);
        let raw = reading + self.draw_node.below(100_000);
        machine.boot.set(self.time, reading);
        machine.raw.set(self.time, raw);
        let epoch = machine.epoch;
        self.note_at(node, || "machine boots".to_owned());
        self.agent_start(node, epoch);
    }

    /// The agent's process starts, unless something else happened to it meanwhile.
    pub(super) fn agent_start(&mut self, number: usize, epoch: u64) {
        let node = &mut self.nodes[number];
        if node.machine == Machine::Suspended {
            self.later(
                100_000,
                Happening::AgentStart {
                    node: number,
                    epoch,
                },
            );
            return;
        }
        if node.agent != Agent::Down || node.epoch != epoch || node.machine != Machine::On {
            return;
        }
        node.epoch += 1;
        node.agent = if node.pauses > 0 {
            Agent::Paused
        } else {
            Agent::Running
        };
        node.incarnation = Incarnation(self.draw_node.next() | 1);
        node.started = self.time;
        self.fenced.met.remove(&number);
        node.restarting = None;
        node.leaving = None;
        node.keys = None;
        node.heard.fill(0);
        node.runs_level = node.level;
        node.highest_level = node.highest_level.max(node.level);
        if let Some(member) = node.disk.durable.member {
            node.member = member;
        }
        let now = node.now(self.time);
        let init = Init {
            node: node.name.clone(),
            member: node.member,
            incarnation: node.incarnation,
            boot: node.boots,
            restored: node.disk.durable.restore(node.disk.condition),
            peers: node.peers.clone(),
            seed: self.draw_node.next(),
            guards: self.scenario.guards.clone(),
            level: node.level,
            wall_offset: 1_700_000_000_000_000,
            planted: self.planted,
        };
        let of = &mut self.truth.nodes[number];
        let order = u64::try_from(of.runs.len()).unwrap_or(0);
        of.runs.insert(node.incarnation, order);
        of.begin_run(node.disk.durable.snapshot_index());
        let (core, effects) = Core::new(init, now);
        node.core = Some(core);
        let run = node.incarnation.0;
        self.note_at(number, || format!("agent starts, run {run:x}"));
        self.after_step(number, now, effects);
    }

    /// Something for the core of one run.
    pub(super) fn tell_core(&mut self, number: usize, epoch: u64, event: Box<Event>) {
        let node = &self.nodes[number];
        if node.epoch != epoch {
            return;
        }
        if node.machine == Machine::Suspended {
            self.later(
                50_000,
                Happening::ToCore {
                    node: number,
                    epoch,
                    event,
                },
            );
            return;
        }
        self.deliver(number, *event);
    }

    pub(super) fn deliver(&mut self, number: usize, event: Event) {
        let node = &mut self.nodes[number];
        match node.agent {
            Agent::Down => {}
            Agent::Running => self.step(number, event),
            Agent::Paused if node.held.len() < HELD => node.held.push_back(Held::Event(event)),
            Agent::Paused => {}
        }
    }

    pub(super) fn wake(&mut self, number: usize, epoch: u64) {
        let node = &mut self.nodes[number];
        if node.epoch != epoch || node.wake_queued != self.time {
            return;
        }
        node.wake_queued = u64::MAX;
        if node.agent != Agent::Running || node.machine != Machine::On {
            return;
        }
        if node.wake_at > self.time {
            self.queue_wake(number);
        } else {
            self.step(number, Event::Timer);
        }
    }

    fn step(&mut self, number: usize, event: Event) {
        if self.violation.is_some() {
            return;
        }
        if self.has_devices() {
            self.meets(number, &event);
        }
        let node = &mut self.nodes[number];
        let now = node.now(self.time);
        let Some(core) = &mut node.core else { return };
        self.steps += 1;
        if let Event::Instance { resource, change } = &event
            && let Some(resource) = self.resource_numbers.get(resource)
        {
            let active = node.units[*resource].active;
            self.truth.nodes[number].hear(*resource, change, active);
        }
        if let Some(timeline) = &mut self.timeline {
            super::transport::describe_event(timeline, self.time, &node.name, &event);
        }
        let effects = core.step(now, event);
        self.after_step(number, now, effects);
    }

    fn after_step(&mut self, number: usize, now: Now, effects: Vec<Effect>) {
        if let Some(core) = &self.nodes[number].core {
            let asks = core.inspect().restart_asked;
            self.truth.nodes[number].asks_to_restart(asks, now.boot);
        }
        self.record_sends(number, now, &effects);
        invariants::stand_still::after_step(self, number, &effects);
        if attributes::are_in(&self.scenario) {
            invariants::located::after_step(self, number, &effects);
        }
        let unfit = |effect: &Effect| matches!(effect, Effect::Unfit { .. });
        if effects.iter().any(unfit) {
            invariants::fitness::on_unfit(self, number);
        } else {
            invariants::after_step(self, number);
        }
        let disturbance = self.nodes[number].disturbance;
        self.nodes[number].disturbance = Disturbance::None;
        match disturbance {
            // Interrupting nothing proves nothing: wait for a step that does something.
            _ if effects.is_empty() => self.nodes[number].disturbance = disturbance,
            Disturbance::None => self.carry_out_all(number, effects, now.boot),
            Disturbance::Pause { at_start: true } if !starts(&effects) => {
                self.nodes[number].disturbance = disturbance;
                self.carry_out_all(number, effects, now.boot);
            }
            Disturbance::Pause { .. } => {
                self.hit(Case::EffectInterrupted);
                let node = &mut self.nodes[number];
                node.held.push_front(Held::Effects(effects, now.boot));
                if node.agent == Agent::Running {
                    node.agent = Agent::Paused;
                }
                self.note_at(number, || "agent stands still before it acts".to_owned());
            }
            Disturbance::Kill(down) => {
                self.hit(Case::EffectInterrupted);
                let keep = self.draw_node.index(effects.len());
                let part = effects.into_iter().take(keep).collect();
                self.carry_out_all(number, part, now.boot);
                self.note_at(number, || "agent is killed while it acts".to_owned());
                self.kill_agent(number, down);
            }
        }
        self.plan_wake(number);
    }

    fn plan_wake(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        let now = node.now(self.time);
        let Some(core) = &node.core else { return };
        let left = core.next_wakeup(now).0;
        node.wake_at = if left == u64::MAX {
            u64::MAX
        } else {
            // Timers are a little late, never early.
            node.boot.when(self.time, now.boot.saturating_add(left)) + 30
        };
        self.queue_wake(number);
    }

    fn queue_wake(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        if node.wake_at < node.wake_queued {
            node.wake_queued = node.wake_at;
            let (at, epoch) = (node.wake_at, node.epoch);
            self.push(
                at,
                Happening::Wake {
                    node: number,
                    epoch,
                },
            );
        }
    }

    /// The agent's process ends; what it started goes on. It comes back after so long.
    pub(super) fn kill_agent(&mut self, number: usize, down: u64) {
        if self.nodes[number].agent == Agent::Down {
            return;
        }
        self.end_agent(number);
        let epoch = self.nodes[number].epoch;
        self.note_at(number, || "agent is dead".to_owned());
        self.later(
            down,
            Happening::AgentStart {
                node: number,
                epoch,
            },
        );
    }

    fn end_agent(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        node.agent = Agent::Down;
        node.unfit = false;
        node.core = None;
        node.epoch += 1;
        node.held.clear();
        node.disturbance = Disturbance::None;
        node.wake_at = u64::MAX;
        node.wake_queued = u64::MAX;
        let queued = node.disk.queue.len();
        let survivors = self.draw_disk.index(node.disk.in_flight + 1);
        if survivors < queued {
            self.coverage.hit(Case::UnsyncedLost);
        }
        node.disk.crash(survivors);
        for unit in &mut node.units {
            // A stop that was asked for may still come true; nobody waits for a start any more.
            if unit.work == Work::Starting || self.draw_node.chance(500_000) {
                unit.begin(Work::None);
            }
        }
        for (to, message) in self.network.break_streams(number) {
            if self.draw_network.chance(500_000) {
                let delay = self.draw_network.spread(100, 2_000_000);
                let from = number;
                self.later(
                    delay,
                    Happening::Datagram {
                        from,
                        to,
                        link: 0,
                        message,
                    },
                );
            }
        }
    }

    /// Power is lost: nothing runs, and what was not synced is gone.
    pub(super) fn power_off(&mut self, number: usize, down: Option<u64>) {
        if matches!(self.nodes[number].machine, Machine::Off | Machine::Absent) {
            return;
        }
        self.end_agent(number);
        for resource in 0..self.nodes[number].units.len() {
            self.unit_ends(number, resource);
        }
        self.nodes[number].machine = Machine::Off;
        self.truth.lost_power[number] = self.time;
        self.note_at(number, || "power is lost".to_owned());
        if let Some(down) = down {
            self.later(down, Happening::Boot(number));
        }
    }

    /// The agent stands still.
    pub(super) fn pause(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        node.pauses += 1;
        if node.agent == Agent::Running {
            node.agent = Agent::Paused;
        }
        self.note_at(number, || "agent is stopped (SIGSTOP)".to_owned());
    }

    /// The agent goes on, if nothing else holds it.
    pub(super) fn resume(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        node.pauses = node.pauses.saturating_sub(1);
        // A pause that has not struck by its end does not strike any more: nothing would end it.
        if node.pauses == 0 && matches!(node.disturbance, Disturbance::Pause { .. }) {
            node.disturbance = Disturbance::None;
        }
        if node.pauses == 0 && node.agent == Agent::Paused && node.machine == Machine::On {
            self.go_on(number);
        }
    }

    /// Everything that waited for a standing agent reaches it now.
    pub(super) fn go_on(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        node.agent = Agent::Running;
        node.wake_queued = u64::MAX;
        let epoch = node.epoch;
        self.note_at(number, || "agent goes on".to_owned());
        while self.nodes[number].agent == Agent::Running && self.nodes[number].epoch == epoch {
            match self.nodes[number].held.pop_front() {
                None => break,
                Some(Held::Effects(effects, boot)) => self.carry_out_all(number, effects, boot),
                Some(Held::Event(event)) => self.step(number, event),
            }
        }
        self.plan_wake(number);
    }

    /// The machine sleeps, guards and all.
    pub(super) fn suspend(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        if node.machine == Machine::On {
            node.machine = Machine::Suspended;
            node.asleep_since = self.time;
            self.note_at(number, || "machine sleeps".to_owned());
        }
    }

    /// The machine wakes up: the kernel's guards come before everything else.
    pub(super) fn unsuspend(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        if node.machine != Machine::Suspended {
            return;
        }
        node.machine = Machine::On;
        let slept = self.time - node.asleep_since;
        let raw = node.raw.read(self.time).saturating_sub(slept);
        node.raw.set(self.time, raw);
        self.note_at(number, || "machine wakes up".to_owned());
        self.check_guards(number);
        let node = &mut self.nodes[number];
        node.wake_queued = u64::MAX;
        let epoch = node.epoch;
        if node.agent == Agent::Running {
            self.plan_wake(number);
        } else if node.agent == Agent::Paused && node.pauses == 0 {
            self.go_on(number);
        }
        let event = Box::new(Event::Paused(standfast_model::time::Micros(slept)));
        self.later(
            1_000,
            Happening::ToCore {
                node: number,
                epoch,
                event,
            },
        );
    }
}

fn starts(effects: &[Effect]) -> bool {
    effects
        .iter()
        .any(|effect| matches!(effect, Effect::Start(_)))
}
