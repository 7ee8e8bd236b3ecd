//! What has to hold in a run of a pair, judged against what really happened.

use super::{cases::Case, faults::SECOND, world::World};
use standfast_model::{
    history::{ConfigRecord, RECORDS_LIMIT},
    pair::{Arbiter, PairOrder},
};
use standfast_pair::{Role, State};
use std::collections::VecDeque;

/// Longer than any lease: a grant for a planned restart is the longest, of ten seconds.
const LONGEST: u64 = 11 * SECOND;
/// So many of the newest changes are looked for.
const REMEMBERED: usize = 12;

/// Changes that a client was told are done.
#[derive(Debug, Default)]
pub(crate) struct Confirmed {
    /// Index and name.
    newest: VecDeque<(u64, String)>,
    /// How many there have been.
    noted: u64,
}

impl Confirmed {
    pub(crate) fn note(&mut self, index: u64, name: String) {
        self.noted += 1;
        self.newest.push_back((index, name));
        if self.newest.len() > REMEMBERED {
            self.newest.pop_front();
        }
    }

    /// An operator has accepted that they may be lost.
    pub(crate) fn forget(&mut self) {
        self.newest.clear();
    }
}

impl World {
    /// Whether this node takes itself for the primary.
    pub(crate) fn is_primary(&self, number: usize) -> bool {
        let core = self.machines[number].core.as_ref();
        let pair = core.and_then(|core| core.inspect().pair);
        pair.is_some_and(|pair| matches!(pair.role(), Role::Primary { .. }))
    }

    /// Whichever of them is primary.
    pub(crate) fn primary(&self) -> Option<usize> {
        (0..2).find(|number| self.is_primary(*number))
    }

    /// Whether a node goes on when the other one is off.
    pub(crate) fn waits_for_off(&self, number: usize) -> bool {
        let core = self.machines[number].core.as_ref();
        let pair = core.and_then(|core| core.inspect().pair);
        self.config
            .pair
            .as_ref()
            .is_some_and(|pair| pair.arbiter == Arbiter::Fence)
            && pair.is_some_and(|pair| pair.lost_boot().is_some())
    }

    pub(crate) fn judge(&mut self) {
        self.note_roles();
        self.meet();
        if let Some(text) = self.lost_change() {
            self.violate(8, text);
        }
        if let Some(text) = self.unleased() {
            self.violate(4, text);
        }
        if let Some(text) = self.runs_on() {
            self.violate(4, text);
        }
        if let Some(text) = self.hands_running() {
            self.violate(21, text);
        }
    }

    fn note_roles(&mut self) {
        for number in 0..2 {
            let handing = matches!(self.role(number), Some(Role::Handing { .. }));
            if handing && !self.handing[number] {
                self.hit(Case::HandedOver);
            }
            self.handing[number] = handing;
            self.note_targets(number);
            if self.may_act(number) {
                self.acted[number] = self.time;
            }
        }
    }

    /// Whether a node may run what only a primary runs: one that is of no pair yet may if it leads the log.
    pub(super) fn may_act(&self, number: usize) -> bool {
        match self.role(number) {
            Some(Role::Primary { .. } | Role::Releasing { .. }) => true,
            Some(_) => false,
            None => self.leads_log(number),
        }
    }

    pub(super) fn role(&self, number: usize) -> Option<Role> {
        let core = self.machines[number].core.as_ref()?;
        core.inspect().pair.map(standfast_pair::Pair::role)
    }

    fn leads_log(&self, number: usize) -> bool {
        let core = self.machines[number].core.as_ref();
        core.is_some_and(|core| core.inspect().leads.is_some())
    }

    /// Whoever hands over has stopped everything first.
    fn hands_running(&self) -> Option<String> {
        let number = (0..2)
            .find(|number| self.handing[*number] && !self.machines[*number].units.is_empty())?;
        let resource = self.machines[number].units.keys().next()?;
        Some(format!(
            "n{} hands over while {resource} runs there",
            number + 1
        ))
    }

    /// Something runs where there has been no primary for longer than any lease.
    fn runs_on(&self) -> Option<String> {
        for (number, machine) in self.machines.iter().enumerate() {
            let idle = self.time - self.acted[number];
            if let (true, Some(resource)) = (idle > LONGEST, machine.units.keys().next()) {
                return Some(format!(
                    "{resource} runs on n{}, which has been no primary for {} s",
                    number + 1,
                    idle / SECOND
                ));
            }
        }
        None
    }

    /// A primary that leads the log lacks what a client was told is done. Looked at when one of them changed.
    fn lost_change(&mut self) -> Option<String> {
        for number in 0..2 {
            let Some(core) = &self.machines[number].core else {
                continue;
            };
            let seen = core.inspect();
            let acts = seen.pair.is_some_and(standfast_pair::Pair::acts);
            let Some(term) = seen.leads.filter(|_| acts && !self.is_primary(1 - number)) else {
                continue;
            };
            let looked_at = (term, seen.applied, self.confirmed.noted);
            if std::mem::replace(&mut self.looked_at[number], looked_at) == looked_at {
                continue;
            }
            let records = &seen.state.config_history;
            let oldest = records.front().filter(|_| records.len() >= RECORDS_LIMIT);
            let oldest = oldest.map_or(0, |record| record.index);
            let lost = self.confirmed.newest.iter().find(|(index, name)| {
                let is_it =
                    |record: &ConfigRecord| record.index == *index && record.reason == *name;
                (oldest..=seen.applied).contains(index) && !records.iter().rev().any(is_it)
            });
            if let Some((index, name)) = lost {
                return Some(format!(
                    "n{} is primary without change {name} at index {index}, which was confirmed",
                    number + 1
                ));
            }
        }
        None
    }

    /// Something runs on a machine under a guard that lets it run for longer than any lease.
    fn unleased(&self) -> Option<String> {
        for (number, machine) in self.machines.iter().enumerate() {
            let reading = machine.boot.read(self.time);
            for (resource, unit) in &machine.units {
                if unit.deadline > reading + LONGEST {
                    return Some(format!(
                        "{resource} on n{} has a lease without end",
                        number + 1
                    ));
                }
            }
        }
        None
    }

    /// An operator has demoted one, and promoted none.
    fn one_is_held(&self) -> bool {
        self.machines.iter().any(|machine| {
            let pair = machine.core.as_ref().and_then(|core| core.inspect().pair);
            pair.is_some_and(|pair| pair.record().held)
        })
    }

    /// Whose copy is given up where each has what the other one lacks: not that of whoever leads.
    fn diverged_follower(&self) -> Option<usize> {
        (0..2).find(|number| {
            let core = self.machines[*number].core.as_ref();
            let pair = core.and_then(|core| core.inspect().pair);
            let diverged = pair.is_some_and(|pair| pair.state() == State::Diverged);
            diverged && !self.is_primary(*number)
        })
    }

    /// Why they have not settled, if so; and what an operator has to do is done.
    pub(crate) fn unsettled(&mut self) -> Option<String> {
        if let Some(number) = self.diverged_follower() {
            self.tidy_up(number, PairOrder::Rebuild);
            return Some("they have diverged".to_owned());
        }
        for number in 0..2 {
            let Some(core) = &self.machines[number].core else {
                return Some(format!("n{} is not up", number + 1));
            };
            let seen = core.inspect();
            let Some(pair) = seen.pair else {
                return Some(format!("n{} is no pair yet", number + 1));
            };
            let state = pair.state();
            let leads = matches!(pair.role(), Role::Primary { .. });
            let groups = seen.state.config.groups.len();
            if state == State::NoPrimary && self.one_is_held() {
                let promoted = self.rng.index(2);
                self.tidy_up(promoted, PairOrder::Promote);
                return Some("one was demoted, and none promoted".to_owned());
            }
            if state != State::Normal {
                return Some(format!("n{} says {}", number + 1, state.name()));
            }
            if leads && self.machines[number].units.len() != groups {
                return Some(format!("not everything runs on n{}", number + 1));
            }
        }
        None
    }
}
