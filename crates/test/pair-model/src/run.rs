//! One check: all states within its bounds, or the shortest way to one where something does not hold.

use crate::{bounds::Bounds, properties::PairModel};
use stateright::{Checker, HasDiscoveries, Model};
use std::time::{Duration, Instant};

/// What a check found.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its bounds.
    pub bounds: Bounds,
    /// Different states that were looked at.
    pub states: usize,
    /// The longest chain of events.
    pub depth: usize,
    /// How long it took.
    pub took: Duration,
    /// Properties that do not hold, each with the events that lead there.
    pub broken: Vec<(&'static str, String)>,
    /// Interesting cases that never came up: then the check says less than it seems to.
    pub unseen: Vec<&'static str>,
}

impl Outcome {
    /// Everything holds, and everything interesting came up.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.broken.is_empty() && self.unseen.is_empty()
    }
}

/// Checks a pair within bounds. With a planted bug it ends at the first property that does not hold.
#[must_use]
pub fn check(bounds: Bounds, threads: usize, most: usize) -> Outcome {
    let started = Instant::now();
    let model = PairModel { bounds };
    let ends = if bounds.planted.is_some() {
        HasDiscoveries::AnyFailures
    } else {
        HasDiscoveries::All
    };
    let checker = model
        .checker()
        .threads(threads)
        .finish_when(ends)
        .target_state_count(most)
        .spawn_bfs()
        .join();
    let mut broken = Vec::new();
    let mut unseen = Vec::new();
    for property in model.properties() {
        let found = checker.discovery(property.name);
        match (property.expectation, found) {
            (stateright::Expectation::Sometimes, None) => unseen.push(property.name),
            (stateright::Expectation::Sometimes, Some(_)) | (_, None) => {}
            (_, Some(path)) => {
                let actions = path.into_actions();
                let lines = actions.iter().map(|action| format!("  {action:?}\n"));
                broken.push((property.name, lines.collect()));
            }
        }
    }
    Outcome {
        bounds,
        states: checker.unique_state_count(),
        depth: checker.max_depth(),
        took: started.elapsed(),
        broken,
        unseen,
    }
}
