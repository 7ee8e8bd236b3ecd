//! Resources: drivers that start and stop them, and the kernel's guards that end them.

use super::{Happening, World};
use crate::{coverage::Case, invariants, kernel::Work, node::Agent, truth::Lease};
use standfast_model::{
    config::ResourceKind,
    effect::Start,
    event::{Event, InstanceChange},
    id::ResourceId,
    planted::Planted,
    time::Micros,
};

/// How a driver's work ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Ready,
    NotReady,
    Stopped,
    NotStopped,
    /// It ended by itself.
    Ended,
}

/// A start that is not ready after this long has failed.
const START_TIMEOUT: u64 = 5_000_000;
/// Without a guard on the network, an address goes up to so much later than its deadline.
const LATE: u64 = 430_000;

impl World {
    /// Carries out `Effect::Start`.
    pub(super) fn start(&mut self, number: usize, start: &Start) {
        let Some(resource) = self.resource_number(&start.resource) else {
            return;
        };
        self.truth.nodes[number]
            .running
            .insert(resource, start.since);
        invariants::lease_end::on_deadline(self, number, resource, start.since, start.deadline);
        let now = self.nodes[number].boot.read(self.time);
        let troubles = self.nodes[number].troubles;
        if self.nodes[number].units[resource].active {
            self.start_again(number, resource, start);
            return;
        }
        invariants::promoted::on_order(self, number, resource);
        if let Some(copy) = invariants::promoted::copy(self, number, resource)
            && !self.nodes[number].units[copy].is_ready()
        {
            let why = "its copy does not run here".to_owned();
            return self.tell(number, resource, InstanceChange::StartFailed(why));
        }
        if now >= start.deadline {
            self.hit(Case::StartRefused);
            self.tell(
                number,
                resource,
                InstanceChange::StartFailed("the lease is over".to_owned()),
            );
            return;
        }
        let address = matches!(start.kind, ResourceKind::Vip(_));
        let unguarded = address && !self.scenario.guards.network && !self.scenario.guards.address;
        let late = if unguarded {
            self.draw_driver.below(LATE)
        } else {
            0
        };
        let unit = &mut self.nodes[number].units[resource];
        unit.start(start.since, start.deadline);
        unit.late = late;
        let work = unit.work_id;
        invariants::on_start(self, number, resource, start.since);
        self.truth.last_ran[resource] = Some(number);
        self.truth.ran_at[resource] = self.time;
        self.truth.ran_since[resource] = start.since;
        let takes = self.scenario.takes[resource].0;
        let takes = self.draw_driver.range(takes / 2, takes) + troubles.start_slow;
        let (outcome, takes) = if troubles.start_hangs > 0 || takes > START_TIMEOUT {
            (Outcome::NotReady, START_TIMEOUT)
        } else if troubles.start_fails > 0 {
            (Outcome::NotReady, takes)
        } else {
            (Outcome::Ready, takes)
        };
        self.later(
            takes,
            Happening::Driver {
                node: number,
                resource,
                work,
                outcome,
            },
        );
        self.watch_guard(number, resource);
    }

    /// A start of what runs already: the same instance goes on.
    fn start_again(&mut self, number: usize, resource: usize, start: &Start) {
        let unit = &mut self.nodes[number].units[resource];
        unit.since = start.since;
        unit.extend(start.deadline);
        match unit.work {
            Work::Starting => {}
            Work::None => self.tell(number, resource, InstanceChange::Started),
            Work::Stopping => {
                self.tell(
                    number,
                    resource,
                    InstanceChange::StartFailed("it is being stopped".to_owned()),
                );
            }
        }
    }

    /// Carries out `Effect::Stop`.
    pub(super) fn stop(&mut self, number: usize, name: &ResourceId, grace: Micros) {
        let Some(resource) = self.resource_number(name) else {
            return;
        };
        let now = self.nodes[number].boot.read(self.time);
        let troubles = self.nodes[number].troubles;
        let unit = &mut self.nodes[number].units[resource];
        if !unit.active {
            unit.open = false;
            self.tell(number, resource, InstanceChange::Stopped);
            return;
        }
        if unit.work == Work::Stopping {
            return;
        }
        if now < unit.deadline {
            self.coverage.hit(Case::StoppedBeforeEnd);
        }
        unit.begin(Work::Stopping);
        let work = unit.work_id;
        let usual = self.scenario.takes[resource].1;
        let takes = self.draw_driver.range(usual / 2, usual) + troubles.stop_slow;
        let (outcome, takes) = if troubles.stop_hangs > 0 {
            (Outcome::NotStopped, grace.0 + 5_000_000)
        } else if troubles.stop_fails > 0 {
            (Outcome::NotStopped, takes)
        } else {
            // After the graceful part it is killed, which takes a moment.
            (Outcome::Stopped, takes.min(grace.0 + 5_000))
        };
        self.later(
            takes,
            Happening::Driver {
                node: number,
                resource,
                work,
                outcome,
            },
        );
    }

    /// Carries out `Effect::Extend`, which was decided at a reading of the boot clock.
    pub(super) fn extend(&mut self, number: usize, name: &ResourceId, deadline: u64, decided: u64) {
        let Some(resource) = self.resource_number(name) else {
            return;
        };
        let since = self.nodes[number].units[resource].since;
        let boot = self.nodes[number].boot.read(self.time);
        if self.planted == Some(Planted::GuardReopened) {
            // A relative timeout that is set again whatever happened meanwhile.
            let unit = &mut self.nodes[number].units[resource];
            unit.deadline = boot + deadline.saturating_sub(decided);
            let reopened = !unit.open && unit.deadline > boot;
            unit.open = true;
            unit.active = true;
            let deadline = unit.deadline;
            if reopened {
                invariants::on_start(self, number, resource, since);
            }
            invariants::lease_end::on_deadline(self, number, resource, since, deadline);
            self.watch_guard(number, resource);
            return;
        }
        let unit = &mut self.nodes[number].units[resource];
        let before = unit.deadline;
        if unit.extend(deadline) {
            if deadline > before {
                invariants::lease_end::on_deadline(self, number, resource, since, deadline);
            } else {
                // A run that takes over after a planned restart gives up what it does not need.
                self.truth.nodes[number].shorten(resource, deadline);
            }
            self.watch_guard(number, resource);
        }
    }

    /// Carries out `Effect::Probe`.
    pub(super) fn probe(&mut self, number: usize, name: &ResourceId) {
        let Some(resource) = self.resource_number(name) else {
            return;
        };
        let node = &self.nodes[number];
        let unit = &node.units[resource];
        let said = unit.promotion;
        let change = if unit.active {
            self.coverage.hit(Case::Adopted);
            let lease = Lease {
                resource,
                incarnation: node.incarnation,
                since: unit.since,
                plan: node.disk.durable.promise.max(unit.since),
                ends: unit.deadline,
                adopted: true,
            };
            self.truth.nodes[number].give(lease, node.boot.read(self.time));
            InstanceChange::Adopted {
                since: unit.since,
                deadline: unit.deadline,
            }
        } else {
            InstanceChange::Stopped
        };
        self.tell_promotion(number, resource, said);
        self.tell(number, resource, change);
    }

    /// An agent says by how much its copy is to be promoted, before anything else is said of that.
    fn tell_promotion(&mut self, number: usize, resource: usize, said: Option<i64>) {
        let node = &self.nodes[number];
        if node.agent == Agent::Down || invariants::promoted::role(self, number, resource).is_none()
        {
            return;
        }
        let event = Event::Instance {
            resource: self.scenario.resources[resource].clone(),
            change: InstanceChange::Promotion(said),
        };
        let epoch = node.epoch;
        self.later(
            10,
            Happening::ToCore {
                node: number,
                epoch,
                event: Box::new(event),
            },
        );
    }

    /// What the agent of a copy says when it has started, and of one that is promoted or demoted.
    fn draw_promotion(&mut self, number: usize, resource: usize) {
        if invariants::promoted::role(self, number, resource).is_none() {
            return;
        }
        let score = self.draw_driver.below(100);
        let score = i64::try_from(score).unwrap_or(0);
        let said = match score {
            0..5 => None,
            5..10 => Some(-1),
            score => Some(score),
        };
        self.nodes[number].units[resource].promotion = said;
        self.tell_promotion(number, resource, said);
    }

    /// A driver has something to say; sometimes it says it twice.
    pub(super) fn tell(&mut self, number: usize, resource: usize, change: InstanceChange) {
        let node = &self.nodes[number];
        if node.agent == Agent::Down {
            return;
        }
        let (epoch, work) = (node.epoch, node.units[resource].work_id);
        let repeats = self.repeats > 0 && self.draw_driver.chance(self.repeats * 4);
        let again = repeats.then(|| self.draw_driver.spread(100, 30_000));
        let delay = self.draw_driver.range(20, 300);
        if let Some(again) = again {
            // What is said twice is said the first time first.
            self.later(
                delay + again,
                Happening::Again {
                    node: number,
                    epoch,
                    resource,
                    work,
                    change: Box::new(change.clone()),
                },
            );
        }
        let event = Event::Instance {
            resource: self.scenario.resources[resource].clone(),
            change,
        };
        self.later(
            delay,
            Happening::ToCore {
                node: number,
                epoch,
                event: Box::new(event),
            },
        );
    }

    pub(super) fn again(
        &mut self,
        number: usize,
        epoch: u64,
        resource: usize,
        work: u64,
        change: InstanceChange,
    ) {
        if self.nodes[number].units[resource].work_id == work {
            self.hit(Case::ResultRepeated);
            let resource = self.scenario.resources[resource].clone();
            self.tell_core(
                number,
                epoch,
                Box::new(Event::Instance { resource, change }),
            );
        }
    }

    /// A driver's work is done, unless something newer has come between.
    pub(super) fn driver_done(
        &mut self,
        number: usize,
        resource: usize,
        work: u64,
        outcome: Outcome,
    ) {
        if self.nodes[number].units[resource].work_id != work {
            return;
        }
        if !self.nodes[number].is_awake() {
            self.later(
                50_000,
                Happening::Driver {
                    node: number,
                    resource,
                    work,
                    outcome,
                },
            );
            return;
        }
        let change = match outcome {
            Outcome::Ready => {
                self.nodes[number].units[resource].work = Work::None;
                invariants::turns::look(self, resource);
                self.next_exit(number, resource);
                self.draw_promotion(number, resource);
                InstanceChange::Started
            }
            Outcome::NotReady => {
                self.unit_ends(number, resource);
                InstanceChange::StartFailed("it did not become ready".to_owned())
            }
            Outcome::Stopped => {
                self.unit_ends(number, resource);
                InstanceChange::Stopped
            }
            // What cannot be demoted ends with its copy, which ends it.
            Outcome::NotStopped
                if let Some(copy) = invariants::promoted::copy(self, number, resource) =>
            {
                self.unit_ends(number, copy);
                let why = "it could not be demoted".to_owned();
                return self.tell(number, copy, InstanceChange::Exited(why));
            }
            Outcome::NotStopped => {
                self.nodes[number].units[resource].work = Work::None;
                InstanceChange::StopFailed("it goes on running".to_owned())
            }
            Outcome::Ended => {
                self.unit_ends(number, resource);
                InstanceChange::Exited("exit status 1".to_owned())
            }
        };
        self.tell(number, resource, change);
    }

    /// A resource that is to fail several times in a row fails again.
    pub(super) fn next_exit(&mut self, number: usize, resource: usize) {
        let unit = &mut self.nodes[number].units[resource];
        if unit.exits > 0 && unit.active {
            unit.exits -= 1;
            let work = unit.work_id;
            let delay = self.draw_driver.spread(100, 500_000);
            self.later(
                delay,
                Happening::Driver {
                    node: number,
                    resource,
                    work,
                    outcome: Outcome::Ended,
                },
            );
        }
    }

    pub(super) fn unit_ends(&mut self, number: usize, resource: usize) {
        let time = self.time;
        if self.nodes[number].units[resource].active {
            invariants::turns::look(self, resource);
        }
        let unit = &mut self.nodes[number].units[resource];
        if unit.active {
            unit.end(time);
            let name = &self.scenario.resources[resource];
            let text = self
                .timeline
                .is_some()
                .then(|| format!("{name} has ended here"));
            self.note_at(number, || text.unwrap_or_default());
            self.role_ends(number, resource);
        }
    }

    /// A copy has ended, and its role with it.
    fn role_ends(&mut self, number: usize, copy: usize) {
        self.nodes[number].units[copy].promotion = None;
        let Some(role) = invariants::promoted::role(self, number, copy) else {
            return;
        };
        let unit = &self.nodes[number].units[role];
        if !unit.active {
            return;
        }
        let change = if unit.work == Work::Starting {
            InstanceChange::StartFailed("its copy has ended".to_owned())
        } else {
            InstanceChange::Stopped
        };
        self.unit_ends(number, role);
        self.tell(number, role, change);
    }

    /// Sees to it that somebody looks when a guard is due.
    pub(super) fn watch_guard(&mut self, number: usize, resource: usize) {
        let node = &mut self.nodes[number];
        let unit = &mut node.units[resource];
        let due = node
            .boot
            .when(self.time, unit.deadline.saturating_add(unit.late));
        if unit.guard_check.is_none_or(|at| at > due || at < self.time) {
            unit.guard_check = Some(due);
            self.push(
                due,
                Happening::Guard {
                    node: number,
                    resource,
                },
            );
        }
    }

    pub(super) fn guard_due(&mut self, number: usize, resource: usize) {
        let time = self.time;
        let unit = &mut self.nodes[number].units[resource];
        if unit.guard_check != Some(time) {
            return;
        }
        unit.guard_check = None;
        if self.nodes[number].is_awake() {
            self.check_guard(number, resource);
        }
    }

    /// After a clock has jumped, or the machine has slept.
    pub(super) fn check_guards(&mut self, number: usize) {
        for resource in 0..self.nodes[number].units.len() {
            self.nodes[number].units[resource].guard_check = None;
            self.check_guard(number, resource);
        }
    }

    fn check_guard(&mut self, number: usize, resource: usize) {
        let node = &self.nodes[number];
        let unit = &node.units[resource];
        if !unit.active {
            return;
        }
        if node.boot.read(self.time) < unit.deadline.saturating_add(unit.late) {
            self.watch_guard(number, resource);
            return;
        }
        self.hit(Case::GuardEndedResource);
        if self.nodes[number].agent != Agent::Running {
            self.hit(Case::GuardEndedWithoutAgent);
        }
        self.note_at(number, || "a guard closes".to_owned());
        self.unit_ends(number, resource);
        self.tell(number, resource, InstanceChange::LeaseEnded);
        // One keeper has the earlier deadline of both.
        if let Some(copy) = invariants::promoted::copy(self, number, resource) {
            self.unit_ends(number, copy);
            self.tell(number, copy, InstanceChange::LeaseEnded);
        }
    }

    /// Tells a core how the client network is.
    pub(super) fn tell_network(&mut self, number: usize) {
        let node = &self.nodes[number];
        let problem = (node.sick > 0).then(|| "no carrier".to_owned());
        let event = Event::LinkHealth {
            interface: "eth0".to_owned(),
            problem,
        };
        let epoch = node.epoch;
        self.later(
            1_000,
            Happening::ToCore {
                node: number,
                epoch,
                event: Box::new(event),
            },
        );
    }
}
