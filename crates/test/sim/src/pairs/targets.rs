//! Ping targets in a run of a pair, and the assumption under which they promise one primary: of two that may not hear each
//! other one at most reaches them, until both have met again. Both may be without them at any time.

use super::{
    cases::Case,
    faults::{Fault, MS},
    world::{Happening, World},
};
use standfast_model::pair::{Arbiter, PingOrder, PingRound};
use standfast_pair::{Confirms, Role};

/// Who reaches no target.
#[derive(Debug, Default)]
pub(super) struct Targets {
    /// The one that is cut off from everything, until both have met.
    cut_off: Option<usize>,
    /// Faults under way that keep one from them.
    pub(super) dark: [u32; 2],
    /// What each was at the last look.
    before: [Option<Role>; 2],
}

impl World {
    fn pings(&self) -> bool {
        let pair = self.config.pair.as_ref();
        pair.is_some_and(|pair| pair.arbiter == Arbiter::Ping)
    }

    /// A fault that may keep them from hearing each other cuts one of them off from the targets.
    pub(super) fn part(&mut self, fault: Fault) {
        let parts = matches!(
            fault,
            Fault::Cut(_) | Fault::Mute(..) | Fault::Loss(..) | Fault::Stall(_)
        );
        if parts && self.pings() && self.targets.cut_off.is_none() {
            let number = self.rng.index(2);
            self.note(number, || "is the one that is cut off".to_owned());
            self.targets.cut_off = Some(number);
        }
    }

    /// They hear each other, and a change is confirmed when both have it.
    pub(super) fn meet(&mut self) {
        let calm =
            self.cuts == 0 && self.mutes == [0; 2] && self.loss == 0 && self.stalled <= self.time;
        if calm && self.targets.cut_off.is_some() && (0..2).any(|number| self.has_follower(number))
        {
            self.targets.cut_off = None;
        }
    }

    fn has_follower(&self, number: usize) -> bool {
        matches!(
            self.role(number),
            Some(Role::Primary {
                confirms: Confirms::Both,
                ..
            })
        )
    }

    /// Whoever answers does so soon, and nobody else before the time is over; that it is over is told a little later, as by a program that has to
    /// wake up for it.
    pub(super) fn ping(&mut self, number: usize, order: &PingOrder) {
        let linked = self.cuts == 0 && self.mutes == [0; 2];
        let peer = linked && self.machines[1 - number].on;
        let reached = self.targets.cut_off != Some(number) && self.targets.dark[number] == 0;
        let run = self.machines[number].runs;
        let soon = self.rng.range(MS, 20 * MS);
        let end = order.timeout.0 + self.rng.range(1, 20 * MS);
        for (wait, over) in [(soon, false), (end, true)] {
            let round = PingRound {
                round: order.round,
                peer,
                targets: order.targets.iter().map(|_| reached).collect(),
                over,
            };
            self.later(wait, Happening::Pinged(number, run, round));
        }
    }

    /// What became of a node by what its targets said.
    pub(super) fn note_targets(&mut self, number: usize) {
        let role = self.role(number);
        let before = std::mem::replace(&mut self.targets.before[number], role);
        if !self.pings() || before == role {
            return;
        }
        let was_primary = |confirms: Confirms| confirms != Confirms::Alone;
        match (before, role) {
            (Some(Role::Claiming { .. }), Some(Role::Rising)) => self.hit(Case::TargetsGranted),
            (
                Some(Role::Primary { confirms, .. }),
                Some(Role::Primary {
                    confirms: Confirms::Alone,
                    ..
                }),
            ) if was_primary(confirms) => self.hit(Case::TargetsKept),
            (Some(Role::Primary { confirms, .. }), Some(Role::Waiting { .. }))
                if was_primary(confirms) =>
            {
                self.hit(Case::GaveUp);
            }
            _ => {}
        }
    }
}
