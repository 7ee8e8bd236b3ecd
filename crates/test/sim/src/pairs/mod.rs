//! Runs of pairs: two nodes with the real core, one arbiter, and what goes wrong with machines, links, disks and
//! fence devices. A world of its own, and a small one: the invariants of the big one take a majority of voters for
//! granted, and here one of two leads by right.
//!
//! Judged after every event (`judge`): 1, one node active for a resource at any instant; 4, nothing exclusive where no
//! lease can live; 8, nothing that a client was told is missing on a primary; 7, they settle once faults stop.
//!
//! Not here: lost disks of both, ping targets, real kernels.

mod command;
mod faults;
mod hardware;
mod judge;
mod machine;
mod scene;
mod world;

pub(crate) use command::start;

use standfast_model::planted::PairPlanted;
use world::{Outcome, World};

/// One run.
fn run(seed: u64, planted: Option<PairPlanted>) -> Outcome {
    World::new(seed, planted, 0).run()
}

/// The same run with its last lines.
fn explain(seed: u64, planted: Option<PairPlanted>, lines: usize) -> (Outcome, Vec<String>) {
    let mut world = World::new(seed, planted, lines);
    let outcome = world.run();
    (outcome, world.into_lines())
}

#[cfg(test)]
mod tests {
    use super::run;

    /// A few; many more are run by the checks.
    const SEEDS: u64 = 3;

    #[test]
    fn pairs_hold_their_invariants() {
        for seed in 0..SEEDS {
            let outcome = run(seed, None);
            assert!(outcome.violation.is_none(), "seed {seed}: {outcome:?}");
        }
    }
}
