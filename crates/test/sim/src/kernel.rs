//! What really runs on a machine, and the guards that end it: the part of a machine that goes on
//! when the agent is dead or stands still. Knows nothing of leases: it is given a deadline.

use standfast_model::plan::PlanNumber;

/// What a driver is doing with a resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Work {
    /// Nothing.
    #[default]
    None,
    /// A start is not ready yet.
    Starting,
    /// A stop is under way.
    Stopping,
}

/// One resource on one machine.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unit {
    /// Something of it is running: the truth that invariant 1 is about.
    pub(crate) active: bool,
    /// Kept with the guard, for adoption.
    pub(crate) since: PlanNumber,
    /// The guard closes at this reading of the boot clock.
    pub(crate) deadline: u64,
    /// The guard has not closed.
    pub(crate) open: bool,
    pub(crate) work: Work,
    /// Grows with every piece of work: results of an older one are void.
    pub(crate) work_id: u64,
    /// True time of the next look at the guard, so that there is one at most.
    pub(crate) guard_check: Option<u64>,
    /// True time at which it last ended here.
    pub(crate) ended: u64,
    /// It ends so much later than its deadline, where the kernel has no better guard.
    pub(crate) late: u64,
    /// Exits still to come, by a fault.
    pub(crate) exits: u64,
    /// By how much it is to be promoted.
    pub(crate) promotion: Option<i64>,
}

impl Unit {
    /// Carries out a start: the process exists from here on.
    pub(crate) fn start(&mut self, since: PlanNumber, deadline: u64) {
        self.active = true;
        self.since = since;
        self.deadline = deadline;
        self.open = true;
        self.begin(Work::Starting);
    }

    /// It runs, and nothing is done with it.
    pub(crate) fn is_ready(&self) -> bool {
        self.active && self.open && self.work == Work::None
    }

    /// Moves an open guard, either way. A closed one stays closed.
    pub(crate) fn extend(&mut self, deadline: u64) -> bool {
        if self.open {
            self.deadline = deadline;
        }
        self.open
    }

    /// Nothing of it runs any more, and its guard is gone.
    pub(crate) fn end(&mut self, now: u64) {
        self.active = false;
        self.open = false;
        self.ended = now;
        self.begin(Work::None);
    }

    pub(crate) fn begin(&mut self, work: Work) {
        self.work = work;
        self.work_id += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_guard_stays_closed_until_a_new_start() {
        let mut unit = Unit::default();
        unit.start(PlanNumber::default(), 100);
        assert!(unit.extend(200));
        unit.end(150);
        assert!(!unit.extend(300));
        assert!(!unit.active);
        unit.start(PlanNumber::default(), 400);
        assert!(unit.active && unit.open);
    }
}
