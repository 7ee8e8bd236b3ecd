//! What has to hold in a run of a pair, judged against what really happened.

use super::{faults::SECOND, world::World};
use standfast_model::pair::PairOrder;
use standfast_pair::{Role, State};
use std::collections::VecDeque;

/// An invariant that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) invariant: u32,
    pub(crate) text: String,
}

/// Changes that a client was told are done.
#[derive(Debug, Default)]
pub(crate) struct Confirmed(VecDeque<(u64, String)>);

/// So many of the newest are looked for; the state remembers fifty.
const REMEMBERED: usize = 12;

impl Confirmed {
    pub(crate) fn note(&mut self, index: u64, name: String) {
        self.0.push_back((index, name));
        if self.0.len() > REMEMBERED {
            self.0.pop_front();
        }
    }

    /// An operator has accepted that they may be lost.
    pub(crate) fn forget(&mut self) {
        self.0.clear();
    }
}

impl World {
    /// Whether this node takes itself for the primary.
    pub(crate) fn is_primary(&self, number: usize) -> bool {
        let core = self.machines[number].core.as_ref();
        let pair = core.and_then(|core| core.inspect().pair);
        pair.is_some_and(|pair| matches!(pair.role(), Role::Primary { .. }))
    }

    pub(crate) fn judge(&mut self) {
        if let Some(text) = self.lost_change() {
            self.violate(8, text);
        }
        if let Some(text) = self.unleased() {
            self.violate(4, text);
        }
    }

    /// A primary that leads the log lacks what a client was told is done.
    fn lost_change(&self) -> Option<String> {
        for number in 0..2 {
            let Some(core) = &self.machines[number].core else {
                continue;
            };
            let seen = core.inspect();
            let acts = seen.pair.is_some_and(standfast_pair::Pair::acts);
            if !acts || seen.leads.is_none() || self.is_primary(1 - number) {
                continue;
            }
            for (index, name) in &self.confirmed.0 {
                let mut records = seen.state.config_history.iter();
                let there = records.any(|record| record.index == *index && record.reason == *name);
                let forgotten = seen.state.config_history.front().is_some_and(|first| {
                    first.index > *index && seen.state.config_history.len() >= 50
                });
                if seen.applied >= *index && !there && !forgotten {
                    return Some(format!(
                        "n{} is primary without change {name} at index {index}, which was confirmed",
                        number + 1
                    ));
                }
            }
        }
        None
    }

    /// Something runs on a machine under a guard that lets it run for longer than any lease.
    fn unleased(&self) -> Option<String> {
        for (number, machine) in self.machines.iter().enumerate() {
            let reading = machine.boot.read(self.time);
            for (resource, unit) in &machine.units {
                // A restart grant is the longest.
                if unit.deadline > reading + 11 * SECOND {
                    return Some(format!(
                        "{resource} on n{} has a lease without end",
                        number + 1
                    ));
                }
            }
        }
        None
    }

    /// Why they have not settled, if so; and what an operator has to do is done.
    pub(crate) fn unsettled(&mut self) -> Option<String> {
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
            if state == State::Diverged && !leads && self.time.is_multiple_of(7) {
                // What only this one had is given up.
                self.confirmed.forget();
                self.tidy_up(number, PairOrder::Rebuild);
                return Some("they have diverged".to_owned());
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
