//! What strikes a pair, and what its operators do.

use super::{
    cases::Case,
    faults::{Fault, MS, QUIET, SECOND},
    world::{Happening, Mend, World},
};
use standfast_model::{event::Event, pair::PairOrder, request::Request};

/// An operator looks again after so long.
const LOOKS: u64 = 2 * SECOND;
/// An operator who stands by looks so many times, once a second.
const STANDS_BY: u64 = 40;

impl World {
    /// An operator asks a node for a change that has to be there later.
    pub(super) fn ask(&mut self, number: usize) {
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

    /// Change after change, until the primary is no more.
    pub(super) fn burst(&mut self, left: u64) {
        let Some(primary) = self.primary() else {
            return;
        };
        self.ask(primary);
        if left > 0 {
            let pause = self.rng.range(5 * MS, 60 * MS);
            self.later(pause, Happening::Burst(left - 1));
        }
    }

    fn order(&mut self, number: usize, order: PairOrder) {
        self.asked += 1;
        let id = self.asked;
        let author = "operator".to_owned();
        let request = Request::Pair { order, author };
        self.step(number, Event::Request { id, request });
    }

    pub(super) fn kill(&mut self, number: usize, back: u64) {
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

    pub(super) fn begin(&mut self, fault: Fault) {
        self.note(2, || format!("{fault:?}"));
        self.part(fault);
        match fault {
            Fault::Power(number, down) => self.power_off(number, down),
            Fault::PowerOfPrimary(down) => {
                if let Some(primary) = self.primary() {
                    self.hit(Case::PrimaryLost);
                    self.power_off(primary, down);
                }
            }
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
            Fault::Stall(length) => self.stalled = self.stalled.max(self.time + length),
            Fault::SlowDisk(number, by, length) => {
                self.machines[number].disk.slowdown = by;
                self.later(length, Happening::Heal(Mend::Disk(number)));
            }
            Fault::Burst(changes) => self.burst(changes),
            Fault::Dark(number, length) => {
                self.targets.dark[number] += 1;
                self.later(length, Happening::Heal(Mend::Dark(number)));
            }
            Fault::Swap(_)
            | Fault::Demote(_)
            | Fault::SeenOff(..)
            | Fault::Force(..)
            | Fault::Restart(..) => self.operate(fault),
        }
    }

    /// An operator is there for a while, switches the other one of a node that waits for that off, and says so. This one is
    /// looked at first.
    pub(super) fn stand_by(&mut self, number: usize, down: u64, looks: u64) {
        let nodes = [number, 1 - number];
        if let Some(waits) = nodes.into_iter().find(|node| self.waits_for_off(*node)) {
            self.power_off(1 - waits, down);
            self.hit(Case::SeenOff);
            self.order(waits, PairOrder::PeerIsOff);
        } else if looks > 0 && self.time < QUIET {
            let next = Happening::StandBy(number, down, looks - 1);
            self.later(SECOND, next);
        }
    }

    fn operate(&mut self, fault: Fault) {
        match fault {
            Fault::Swap(number) => self.order(number, PairOrder::Swap),
            Fault::Demote(length) => {
                if let Some(primary) = self.primary() {
                    self.hit(Case::Demoted);
                    self.order(primary, PairOrder::Demote);
                    self.later(length, Happening::Heal(Mend::Demotion));
                }
            }
            Fault::SeenOff(number, down) => self.stand_by(number, down, STANDS_BY),
            Fault::Force(number, down) => {
                // The operator looks first: whoever has no primary to speak of is made one.
                if self.is_primary(number) || self.machines[number].core.is_none() {
                    return;
                }
                self.hit(Case::Forced);
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
            Fault::Power(..)
            | Fault::PowerOfPrimary(_)
            | Fault::Kill(..)
            | Fault::Cut(_)
            | Fault::Mute(..)
            | Fault::Loss(..)
            | Fault::Stall(_)
            | Fault::SlowDisk(..)
            | Fault::Dark(..)
            | Fault::Burst(_) => {}
        }
    }

    pub(super) fn mend(&mut self, mend: Mend) {
        match mend {
            Mend::Cut => self.cuts -= 1,
            Mend::Mute(number) => self.mutes[number] -= 1,
            Mend::Loss => self.loss = 0,
            Mend::Disk(number) => self.machines[number].disk.slowdown = 0,
            Mend::Dark(number) => {
                self.targets.dark[number] -= 1;
                return;
            }
            Mend::Demotion => {
                let number = self.rng.index(2);
                return self.order(number, PairOrder::Promote);
            }
        }
        self.link(false);
        self.link(true);
    }

    /// What an operator does who finds a node like this, once everything else is repaired; now and then.
    pub(super) fn tidy_up(&mut self, number: usize, order: PairOrder) {
        if self.time < self.tidied + LOOKS {
            return;
        }
        self.tidied = self.time;
        if order == PairOrder::Rebuild {
            // What only this one had is given up.
            self.confirmed.forget();
            self.hit(Case::Diverged);
        }
        self.order(number, order);
    }
}
