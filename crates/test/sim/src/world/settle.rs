//! The end of a run: everything is healed, operators tidy up, and the cluster has to settle. What
//! "settled" means is invariant 7's business.

use super::{Happening, World, calm::Last};
use crate::{
    coverage::Case,
    invariants::{self, Violation, convergence},
    node::{Agent, Machine, Troubles},
};
use standfast_model::{FEATURE_LEVEL, plan::PlanNumber, request::Request};

/// How far a run has settled.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settling {
    /// Everything was healed then.
    healed: Option<u64>,
    /// Settled without a break since then, with that plan.
    since: Option<(u64, PlanNumber)>,
    /// Time from healing to settling.
    pub(crate) took: Option<u64>,
    operator_came: u64,
    /// What is changed then, in runs with locations.
    pub(crate) last: Option<Last>,
}

/// The cluster has to settle within this time after everything was healed.
pub(crate) const BOUND: u64 = 90_000_000;
/// It has to stay settled for so long.
const STABLE: u64 = 5_000_000;
const LOOK_AGAIN: u64 = 250_000;
const OPERATOR_AGAIN: u64 = 3_000_000;

impl World {
    pub(super) fn is_over(&self) -> bool {
        let last = self.settling.last.as_ref();
        self.settling.took.is_some()
            && last.is_none_or(|last| last.took.is_some())
            && self.time >= self.scenario.ends
    }

    /// No fault is left.
    pub(super) fn heal(&mut self) {
        self.note("WORLD", || "everything is healed".to_owned());
        let numbers: Vec<usize> = self.active_faults.keys().copied().collect();
        for number in numbers {
            self.end_fault(number);
        }
        self.repeats = 0;
        self.settling.healed = Some(self.time);
        if convergence::unsettled(self).is_some() {
            self.hit(Case::ConvergedAfterMove);
        }
        for number in 0..self.nodes.len() {
            self.heal_node(number);
        }
        self.later(LOOK_AGAIN, Happening::Look);
    }

    fn heal_node(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        node.troubles = Troubles::default();
        node.disk.ailment = None;
        node.restarting = None;
        node.level = FEATURE_LEVEL;
        node.pauses = 0;
        for unit in &mut node.units {
            unit.exits = 0;
        }
        match (node.machine, node.agent) {
            (Machine::Off, _) => self.later(200_000, Happening::Boot(number)),
            (Machine::Suspended, _) => self.unsuspend(number),
            (Machine::On, Agent::Down) => {
                let epoch = node.epoch;
                self.later(
                    200_000,
                    Happening::AgentStart {
                        node: number,
                        epoch,
                    },
                );
            }
            (Machine::On, Agent::Paused) => self.go_on(number),
            (Machine::On, Agent::Running) | (Machine::Absent, _) => {}
        }
    }

    /// Looks whether the cluster has settled.
    pub(super) fn look(&mut self) {
        let Some(healed) = self.settling.healed else {
            return;
        };
        if self.look_at_last_change() {
            return;
        }
        match convergence::unsettled(self) {
            None => self.is_settled(healed),
            Some(why) => {
                self.settling.since = None;
                self.settling.took = None;
                if self.time > healed + BOUND {
                    let text = format!(
                        "not settled {} s after the last fault: {why}",
                        BOUND / 1_000_000
                    );
                    self.violate(Violation {
                        invariant: 7,
                        at: self.time,
                        text,
                    });
                    return;
                }
                if self.time >= self.settling.operator_came + OPERATOR_AGAIN {
                    self.settling.operator_came = self.time;
                    self.tidy_up();
                }
            }
        }
        self.later(LOOK_AGAIN, Happening::Look);
    }

    fn is_settled(&mut self, healed: u64) {
        let plan = convergence::plan_in_force(self);
        match self.settling.since {
            Some((since, known)) if known == plan => {
                if self.time >= since + STABLE && self.settling.took.is_none() {
                    invariants::turns::count(self);
                    if let Some(text) = invariants::fencing::left_over(self) {
                        self.broken(19, text);
                        return;
                    }
                    self.settling.took = Some(since - healed);
                    self.hit(Case::Converged);
                    invariants::fencing::count(self);
                    self.begin_last_change();
                }
            }
            _ => self.settling.since = Some((self.time, plan)),
        }
    }

    /// What an operator does after a bad day: the old configuration, no drained nodes, no old failures.
    fn tidy_up(&mut self) {
        if self.scenario.acts {
            self.find_removed();
        }
        if self.scenario.orders
            && let Some(leader) = self.leader()
        {
            self.take_orders_back(leader);
        }
        if self.restore_config() {
            return;
        }
        let Some(leader) = self.leader() else { return };
        let Some(core) = &self.nodes[leader].core else {
            return;
        };
        let state = core.inspect().state;
        let drained: Vec<_> = state
            .nodes
            .iter()
            .filter(|(_, known)| known.drained)
            .map(|(name, _)| name.clone())
            .collect();
        let failed: Vec<_> = state.config.groups.keys().cloned().collect();
        for node in drained {
            let request = Request::Drain {
                node,
                drained: false,
                author: "operator".to_owned(),
            };
            self.ask_someone(leader, super::clients::Purpose::Ordinary, request);
        }
        for group in failed {
            let request = Request::Cleanup {
                group,
                author: "operator".to_owned(),
            };
            self.ask_someone(leader, super::clients::Purpose::Ordinary, request);
        }
    }
}
