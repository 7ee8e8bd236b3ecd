//! One run: a scenario, its faults, and what came of it.

use crate::{
    attributes, constraints, copies, coverage::Coverage, fault::Fault, invariants::Violation,
    scenario::Scenario, timeline::Timeline, world::World,
};
use standfast_model::planted::Planted;

/// What is run.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) scenario: Scenario,
    pub(crate) faults: Vec<Fault>,
    pub(crate) planted: Option<Planted>,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) seed: u64,
    /// Over everything that happened, in order.
    pub(crate) hash: u64,
    /// Simulated time, microseconds.
    pub(crate) simulated: u64,
    /// Operators acted.
    pub(crate) acts: bool,
    /// There were fence devices.
    pub(crate) fences: bool,
    pub(crate) faults: usize,
    pub(crate) steps: u64,
    /// From healing to settling, microseconds.
    pub(crate) settled: Option<u64>,
    /// Until what a last change forbids had stopped, microseconds.
    pub(crate) moved: Option<u64>,
    pub(crate) coverage: Coverage,
    pub(crate) violation: Option<Violation>,
}

impl Case {
    /// The case of a seed.
    pub(crate) fn of_seed(seed: u64) -> Self {
        let scenario = Scenario::new(seed);
        let mut faults = crate::schedule::draw(&scenario);
        faults.extend(attributes::draw(&scenario));
        if constraints::are_in(&scenario) {
            faults.retain(|fault| !constraints::excuses(fault));
        }
        if copies::are_in(&scenario) {
            faults.retain(|fault| !copies::excuses(fault));
        }
        faults.sort_by_key(|fault| fault.at);
        Self {
            scenario,
            faults,
            planted: None,
        }
    }

    /// The same, and operators act meanwhile (`acts`).
    pub(crate) fn with_acts(seed: u64) -> Self {
        let mut scenario = Scenario::new(seed);
        scenario.acts = true;
        scenario.tells_of_links = true;
        scenario.first_level = crate::acts::first_level(seed);
        let mut faults = crate::schedule::draw(&scenario);
        faults.extend(crate::acts::draw(&scenario));
        faults.extend(attributes::draw(&scenario));
        if constraints::are_in(&scenario) {
            faults.retain(|fault| !constraints::excuses(fault));
        }
        if copies::are_in(&scenario) {
            faults.retain(|fault| !copies::excuses(fault));
        }
        faults.sort_by_key(|fault| fault.at);
        Self {
            scenario,
            faults,
            planted: None,
        }
    }

    /// The same without acts, and operators give orders meanwhile (`orders`).
    pub(crate) fn with_orders(seed: u64) -> Self {
        let mut scenario = Scenario::new(seed);
        scenario.orders = true;
        let mut faults = crate::schedule::draw(&scenario);
        faults.extend(crate::orders::draw(&scenario));
        faults.extend(attributes::draw(&scenario));
        faults.sort_by_key(|fault| fault.at);
        Self {
            scenario,
            faults,
            planted: None,
        }
    }

    /// Runs it.
    pub(crate) fn run(&self) -> Outcome {
        let mut world = World::new(self.scenario.clone(), self.faults.clone(), self.planted);
        world.run();
        self.outcome(world)
    }

    /// Runs it again and keeps the last lines of what happened.
    pub(crate) fn explain(&self, lines: usize) -> (Outcome, Vec<String>) {
        let mut world = World::new(self.scenario.clone(), self.faults.clone(), self.planted);
        world.timeline = Some(Timeline::new(lines));
        world.run();
        let lines = world.timeline.take().map(Timeline::into_lines);
        (self.outcome(world), lines.unwrap_or_default())
    }

    fn outcome(&self, world: World) -> Outcome {
        Outcome {
            seed: self.scenario.seed,
            hash: world.hash.value(),
            simulated: world.time,
            acts: self.scenario.acts,
            fences: !self.scenario.devices.behave.is_empty(),
            faults: self.faults.len(),
            steps: world.steps,
            settled: world.settling.took,
            moved: world.settling.last.as_ref().and_then(|last| last.took),
            coverage: world.coverage,
            violation: world.violation,
        }
    }
}
