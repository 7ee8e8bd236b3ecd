//! The promoted role of a copy that runs here: a resource without a process of its own. To start it is to have the copy's runner
//! promote, to stop it is to have it demote, and what cannot be demoted in time is killed with the copy.
//!
//! The copy's keeper has one deadline, the earlier one of both leases (`leases`). So the kernel ends a promoted copy when
//! its role's lease ends, whatever becomes of this program. Not for how an agent is called: that is the runner's.

use crate::{
    running::Stage,
    secret, spec,
    worker::{CONFIRM, Order, Worker},
};
use standfast_model::{
    config::ProcessConfig,
    copies::{named, role_of, written},
    event::InstanceChange,
    id::{NodeId, ResourceId},
    plan::PlanNumber,
};
use standfast_ocf::{Refusal, Word};
use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// Besides the agent's own time, the runner may take so long: a check that is under way is ended first, and one follows.
pub(crate) const LATE: Duration = Duration::from_millis(2000);
/// A copy that was found is asked for its role within so long.
const FOUND: Duration = Duration::from_millis(5000);
/// Locked with the rest of the agent's memory, hence small.
const STACK_BYTES: usize = 128 * 1024;

/// One role.
#[derive(Debug)]
pub(crate) struct Role {
    since: PlanNumber,
    config: ProcessConfig,
    state: RoleState,
    /// Tells the answers to the last word from those to an earlier one.
    serial: u64,
}

/// Where it is. A time is the one by which the next state has to be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
enum RoleState {
    /// It may be there since an earlier run of this program.
    Probing(Instant),
    Promoting(Instant),
    Active,
    Demoting(Instant),
    /// Its copy is being killed, because of this. `starting`: before it was ever promoted.
    Ending {
        starting: bool,
        why: String,
        until: Option<Instant>,
    },
}

impl Role {
    /// When something has to be said though nothing was heard.
    pub(crate) fn until(&self) -> Option<Instant> {
        match &self.state {
            RoleState::Probing(until)
            | RoleState::Promoting(until)
            | RoleState::Demoting(until) => Some(*until),
            RoleState::Ending { until, .. } => *until,
            RoleState::Active => None,
        }
    }
}

impl Worker {
    /// The copy of this node that a role is of.
    fn copy(&self, role: &ResourceId) -> ResourceId {
        let node = NodeId::from(self.settings.node.as_str());
        ResourceId::from(named(written(role.as_str()), &node))
    }

    pub(crate) fn promote(
        &mut self,
        role: &ResourceId,
        config: ProcessConfig,
        since: PlanNumber,
        deadline: u64,
    ) {
        if let Some(known) = self.roles.get(role) {
            match known.state {
                RoleState::Active if known.since == since => {
                    self.tell(role, InstanceChange::Started);
                }
                // Its answer is still to come.
                RoleState::Promoting(_) if known.since == since => {}
                _ => self.refuse(role, "an earlier promotion of it is not over yet"),
            }
            return;
        }
        let copy = self.copy(role);
        let runs = self.running.get(&copy);
        if !runs.is_some_and(|copy| copy.stage == Stage::Active && copy.up) {
            self.leases.release(role);
            let why = format!("{copy} does not run here");
            return self.tell(role, InstanceChange::StartFailed(why));
        }
        // Its keeper ends it when this lease is over, and has to know that before anything is promoted.
        if !self.leases.carry(role, &copy, deadline) {
            self.leases.release(role);
            let why = "its keeper cannot be told of the lease".to_owned();
            return self.tell(role, InstanceChange::StartFailed(why));
        }
        let patience = Duration::from_micros(config.start_timeout.0) + LATE;
        let state = RoleState::Promoting(Instant::now() + patience);
        self.note(role, since, config, state);
        self.talk(role, Word::Promote(since.to_string()), patience);
    }

    fn note(
        &mut self,
        role: &ResourceId,
        since: PlanNumber,
        config: ProcessConfig,
        state: RoleState,
    ) {
        let role_known = Role {
            since,
            config,
            state,
            serial: 0,
        };
        self.roles.insert(role.clone(), role_known);
    }

    /// Says something to the copy's runner; its answer comes as an order.
    fn talk(&mut self, role: &ResourceId, word: Word, patience: Duration) {
        self.serial += 1;
        let serial = self.serial;
        if let Some(known) = self.roles.get_mut(role) {
            known.serial = serial;
        }
        let run_dir = spec::run_dir(&self.settings, &self.copy(role));
        let (orders, name) = (self.orders.clone(), role.clone());
        let spawned = thread::Builder::new()
            .name("role".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                let said = standfast_ocf::say(&run_dir, &word, patience).map(|_done| ());
                drop(orders.send(Order::Said(name, serial, said)));
            });
        if let Err(error) = spawned {
            tracing::error!(%role, %error, "its runner cannot be told");
        }
    }

    pub(crate) fn on_said(&mut self, role: &ResourceId, serial: u64, said: Result<(), Refusal>) {
        let Some(known) = self.roles.get(role).filter(|known| known.serial == serial) else {
            return;
        };
        let state = known.state.clone();
        match (state, said) {
            (RoleState::Promoting(_), Ok(())) => {
                self.set(role, RoleState::Active);
                self.tell_score(&self.copy(role));
                self.tell(role, InstanceChange::Started);
            }
            (RoleState::Probing(_), Ok(())) => {
                self.set(role, RoleState::Active);
                self.tell_adopted(role);
            }
            (RoleState::Demoting(_), Ok(())) => {
                self.tell_score(&self.copy(role));
                self.forget(role, InstanceChange::Stopped);
            }
            (RoleState::Promoting(_), Err(refusal)) if !refusal.unknown => {
                self.tell_score(&self.copy(role));
                let why = self.hide(role, &refusal.why);
                self.forget(
                    role,
                    match refusal.code {
                        Some(code) => InstanceChange::AgentFailed { code, why },
                        None => InstanceChange::StartFailed(why),
                    },
                );
            }
            (RoleState::Probing(_), Err(refusal)) if !refusal.unknown => {
                self.forget(role, InstanceChange::Stopped);
            }
            (
                RoleState::Promoting(_) | RoleState::Probing(_) | RoleState::Demoting(_),
                Err(refusal),
            ) => {
                let why = self.hide(role, &refusal.why);
                self.end_copy(role, &why);
            }
            (RoleState::Active | RoleState::Ending { .. }, _) => {}
        }
    }

    pub(crate) fn reconfigure_role(&mut self, role: &ResourceId, config: ProcessConfig) {
        if let Some(known) = self.roles.get_mut(role) {
            known.config = config;
        }
    }

    fn set(&mut self, role: &ResourceId, state: RoleState) {
        if let Some(known) = self.roles.get_mut(role) {
            known.state = state;
        }
    }

    fn hide(&self, role: &ResourceId, why: &str) -> String {
        let copy = self.running.get(&self.copy(role));
        copy.map_or_else(|| why.to_owned(), |copy| secret::hide(copy, why))
    }

    /// It is over. The copy goes on under its own lease.
    fn forget(&mut self, role: &ResourceId, change: InstanceChange) {
        self.roles.remove(role);
        self.leases.release(role);
        self.tell(role, change);
    }

    /// Tells by how much a copy is to be promoted, unless that is known.
    fn tell_score(&mut self, copy: &ResourceId) {
        let score = standfast_ocf::score(&spec::run_dir(&self.settings, copy));
        let known = self.running.get_mut(copy);
        if known.is_some_and(|copy| copy.score.replace(score) != Some(score)) {
            self.tell(copy, InstanceChange::Promotion(score));
        }
    }

    fn tell_adopted(&self, role: &ResourceId) {
        let copy = self.running.get(&self.copy(role));
        if let (Some(known), Some(copy)) = (self.roles.get(role), copy) {
            let (since, deadline) = (known.since, copy.deadline());
            self.tell(role, InstanceChange::Adopted { since, deadline });
        }
    }

    /// It cannot be demoted, or nobody knows: the copy is killed, which ends the role.
    fn end_copy(&mut self, role: &ResourceId, why: &str) {
        let copy = self.copy(role);
        let Some(known) = self.roles.get_mut(role) else {
            return;
        };
        if matches!(known.state, RoleState::Ending { .. }) {
            return;
        }
        known.state = RoleState::Ending {
            starting: matches!(known.state, RoleState::Promoting(_)),
            why: why.to_owned(),
            until: Some(Instant::now() + CONFIRM),
        };
        let Some(running) = self.running.get_mut(&copy) else {
            // Nothing is left to be promoted.
            return self.forget(role, InstanceChange::Stopped);
        };
        running.checker = None;
        running.doomed.get_or_insert_with(|| why.to_owned());
        if let Err(error) = running.handle.kill() {
            tracing::debug!(%copy, %error, "the keeper cannot be told to kill");
        }
    }

    pub(crate) fn demote(&mut self, role: &ResourceId, grace: Duration) {
        let copy = self.copy(role);
        if !self.roles.contains_key(role) {
            let run_dir = spec::run_dir(&self.settings, &copy);
            let Some(since) = standfast_ocf::may_be_promoted(&run_dir) else {
                self.leases.release(role);
                return self.tell(role, InstanceChange::Stopped);
            };
            if !self.running.contains_key(&copy) {
                return self.refuse(role, &format!("it is not known yet how {copy} is"));
            }
            let since = spec::plan_number(&since).unwrap_or_default();
            let state = RoleState::Active;
            self.note(role, since, ProcessConfig::default(), state);
        }
        if grace.is_zero() {
            return self.end_copy(role, "it was not demoted before its lease ended");
        }
        let until = Instant::now() + grace + LATE;
        match self.roles.get(role).map(|known| known.state.clone()) {
            Some(RoleState::Demoting(before)) => {
                self.set(role, RoleState::Demoting(before.min(until)));
            }
            Some(RoleState::Active | RoleState::Promoting(_) | RoleState::Probing(_)) => {
                self.set(role, RoleState::Demoting(until));
                let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
                self.talk(role, Word::Demote(grace_ms), grace + LATE);
            }
            Some(RoleState::Ending {
                why, until: None, ..
            }) => self.refuse(role, &why),
            Some(RoleState::Ending { .. }) | None => {}
        }
    }

    pub(crate) fn probe_role(&mut self, role: &ResourceId, config: ProcessConfig) {
        let copy = self.copy(role);
        match self.roles.get_mut(role) {
            Some(known) => match &known.state {
                RoleState::Active => self.tell_adopted(role),
                RoleState::Probing(_) => known.config = config,
                RoleState::Promoting(until) => known.state = RoleState::Probing(*until),
                RoleState::Demoting(_) | RoleState::Ending { .. } => {
                    self.refuse(role, "it is being demoted");
                }
            },
            None => {
                let run_dir = spec::run_dir(&self.settings, &copy);
                let Some(since) = standfast_ocf::may_be_promoted(&run_dir) else {
                    return self.tell(role, InstanceChange::Stopped);
                };
                // The copy is asked for by itself, and tells when it is found.
                let since = spec::plan_number(&since).unwrap_or_default();
                let state = RoleState::Probing(Instant::now() + FOUND);
                self.note(role, since, config, state);
                let found = self.running.get(&copy);
                if found.is_some_and(|copy| copy.stage == Stage::Active) {
                    self.talk(role, Word::Ask, FOUND);
                }
            }
        }
    }

    /// A copy was found that may be promoted: it runs no longer than its role may, from here on.
    pub(crate) fn adopt_role(&mut self, copy: &ResourceId, run_dir: &Path) {
        if standfast_ocf::may_be_promoted(run_dir).is_none() {
            return;
        }
        let role = ResourceId::from(role_of(copy.as_str()));
        let deadline = self.running.get(copy).map_or(0, |copy| copy.deadline());
        self.leases.carry(&role, copy, deadline);
        let probed = self.roles.get(&role);
        if probed.is_some_and(|known| matches!(known.state, RoleState::Probing(_))) {
            self.talk(&role, Word::Ask, FOUND);
        }
    }

    /// Whether a copy is being demoted, or killed because of that: what its checks find meanwhile says nothing.
    pub(crate) fn is_being_demoted(&self, copy: &ResourceId) -> bool {
        let known = self.roles.get(&ResourceId::from(role_of(copy.as_str())));
        known.is_some_and(|known| {
            matches!(
                known.state,
                RoleState::Demoting(_) | RoleState::Ending { .. }
            )
        })
    }

    /// A copy's agent was asked how it is. What it stands for is read now: a promotion that was lost and a score that
    /// was said since the last time.
    pub(crate) fn on_asked(&mut self, copy: &ResourceId) {
        self.tell_score(copy);
        let role = ResourceId::from(role_of(copy.as_str()));
        let held = self.roles.get(&role);
        let run_dir = spec::run_dir(&self.settings, copy);
        let lost = held.is_some_and(|known| known.state == RoleState::Active)
            && standfast_ocf::may_be_promoted(&run_dir).is_none();
        if lost {
            let why = "its agent said that it is not promoted any more, and it was demoted";
            self.forget(&role, InstanceChange::Exited(why.to_owned()));
        }
    }

    /// A copy is over: so is its role. That is told first, and is no failure of the role's.
    pub(crate) fn end_roles(&mut self, copy: &ResourceId, change: &InstanceChange) {
        let role = ResourceId::from(role_of(copy.as_str()));
        let Some(known) = self.roles.get(&role) else {
            return self.leases.release(&role);
        };
        let told = match (&known.state, change) {
            (
                RoleState::Ending {
                    starting: true,
                    why,
                    ..
                },
                _,
            ) => InstanceChange::StartFailed(why.clone()),
            (RoleState::Promoting(_), _) => {
                InstanceChange::StartFailed(format!("{copy} has ended meanwhile"))
            }
            (RoleState::Active, InstanceChange::LeaseEnded) => InstanceChange::LeaseEnded,
            _ => InstanceChange::Stopped,
        };
        self.forget(&role, told);
    }

    /// Says what has to be said of those that were not heard of in time.
    pub(crate) fn on_late_roles(&mut self, now: Instant) {
        let late = self.roles.iter();
        let late = late.filter(|(_, known)| known.until().is_some_and(|until| until <= now));
        let late: Vec<ResourceId> = late.map(|(role, _)| role.clone()).collect();
        for role in late {
            let Some(known) = self.roles.get_mut(&role) else {
                continue;
            };
            match &mut known.state {
                RoleState::Active => {}
                RoleState::Promoting(_) => {
                    let limit = known.config.start_timeout.as_millis_ceil();
                    self.end_copy(&role, &format!("not promoted within {limit} ms"));
                }
                RoleState::Demoting(_) => self.end_copy(&role, "it was not demoted in time"),
                RoleState::Probing(_) => {
                    self.end_copy(&role, "it does not say whether it is promoted")
                }
                RoleState::Ending { why, until, .. } => {
                    *until = None;
                    let why = format!("{why}; its copy is not known to have ended");
                    self.refuse(&role, &why);
                }
            }
        }
    }
}
