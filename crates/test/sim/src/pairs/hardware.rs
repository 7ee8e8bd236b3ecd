//! Disks, powers and fence devices of a run of a pair.

use super::{
    cases::Case,
    faults::{Fault, MS, QUIET, SECOND},
    world::{Happening, World},
};
use standfast_cluster::Core;
use standfast_model::{
    event::Event,
    fence_act::{FenceOrder, FenceResult},
    time::Micros,
};

impl World {
    pub(super) fn begin_write(&mut self, number: usize) {
        let disk = &mut self.machines[number].disk;
        disk.in_flight = disk.queue.len();
        if disk.in_flight == 0 {
            return;
        }
        disk.began = self.time;
        let takes = self.rng.range(disk.fsync.0, disk.fsync.1) + disk.slowdown;
        let run = self.machines[number].runs;
        self.later(takes, Happening::Disk(number, run));
    }

    pub(super) fn disk_done(&mut self, number: usize, run: u64) {
        let machine = &mut self.machines[number];
        if machine.runs != run || !machine.on {
            return;
        }
        let took = Micros(self.time - machine.disk.began);
        let mut done = Vec::new();
        for _ in 0..machine.disk.in_flight {
            if let Some(batch) = machine.disk.queue.pop_front() {
                machine.disk.write(&batch);
                done.push(batch.sequence);
            }
        }
        machine.disk.in_flight = 0;
        for sequence in done {
            self.step(number, Event::Persisted { sequence, took });
        }
        if self.machines[number].disk.in_flight == 0 {
            self.begin_write(number);
        }
    }

    /// A device begins with an order.
    pub(super) fn fence(&mut self, number: usize, order: Box<FenceOrder>) {
        self.hit(if order.look {
            Case::Looked
        } else {
            Case::FenceOrdered
        });
        let delay = if self.rng.below(1000) < self.device_slow {
            self.hit(Case::FenceSlow);
            self.rng.spread(3 * SECOND, 9 * SECOND)
        } else {
            self.rng.spread(100 * MS, 4 * SECOND)
        };
        let run = self.machines[number].runs;
        self.later(delay, Happening::Fence(number, run, order));
    }

    pub(super) fn fence_now(&mut self, number: usize, run: u64, order: &FenceOrder) {
        let works = self.time > QUIET || self.rng.below(1000) < self.device_works;
        let target = 1 - number;
        let says = if !works {
            "the device does not answer"
        } else if order.look && self.machines[target].on {
            "it has power"
        } else {
            ""
        };
        if order.look {
            self.note(target, || format!("its power is looked at: {says}"));
        } else if works {
            self.hit(Case::FenceWorked);
            let down = self.rng.spread(SECOND, 12 * SECOND);
            self.note(target, || "its power is cut by the device".to_owned());
            self.power_off(target, down);
        } else {
            self.hit(Case::FenceFailed);
            self.cut_late(target);
        }
        if self.machines[number].runs != run {
            return;
        }
        let result = FenceResult {
            id: order.id,
            turn: order.turn,
            problem: says.to_owned(),
            note: String::new(),
            took: Micros(SECOND),
        };
        self.step(number, Event::Fenced(result));
    }

    /// A device that has said that it could not may be at it all the same.
    fn cut_late(&mut self, target: usize) {
        let after = self.rng.spread(100 * MS, 20 * SECOND);
        if self.rng.chance(200_000) && self.time + after < QUIET {
            self.hit(Case::FenceLate);
            let down = self.rng.spread(SECOND, 12 * SECOND);
            self.later(after, Happening::Fault(Fault::Power(target, down)));
        }
    }

    pub(super) fn power_off(&mut self, number: usize, down: u64) {
        let machine = &mut self.machines[number];
        machine.down_until = machine.down_until.max(self.time + down);
        if machine.on {
            machine.on = false;
            machine.core = None;
            machine.units.clear();
            self.wakes[number] = u64::MAX;
            self.crash_disk(number);
        }
        let until = self.machines[number].down_until;
        self.later(until - self.time, Happening::Boot(number));
    }

    pub(super) fn crash_disk(&mut self, number: usize) {
        let survivors = self.rng.index(4);
        self.machines[number].disk.crash(survivors);
    }

    pub(super) fn boot(&mut self, number: usize) {
        let reading = self.rng.range(SECOND, 30 * SECOND);
        let machine = &mut self.machines[number];
        if machine.on || machine.down_until > self.time {
            return;
        }
        machine.on = true;
        machine.boots += 1;
        machine.boot.set(self.time, reading);
        machine.raw.set(self.time, reading);
        self.note(number, || "boots".to_owned());
        self.start_agent(number);
    }

    pub(super) fn start_agent(&mut self, number: usize) {
        if !self.machines[number].on || self.machines[number].core.is_some() {
            return;
        }
        let drawn = (self.rng.next(), self.rng.next());
        let peer = self.machines[1 - number].name.clone();
        let machine = &mut self.machines[number];
        let init = machine.init(drawn, &peer, self.planted);
        let (core, effects) = Core::new(init, machine.now(self.time));
        machine.core = Some(core);
        self.note(number, || "its agent starts".to_owned());
        self.after(number, effects);
        self.link(true);
    }
}
