//! Invariant 18: no program is given what it cannot understand, unless somebody has installed an older
//! one where a newer one has run.
//!
//! A command of a feature level is in the log only after the level was raised there, and a program ends
//! as unfit only where it was downgraded.

use crate::{coverage::Case, truth::News, world::World};
use standfast_model::FEATURE_LEVEL;

/// A program says that it cannot go on.
pub(crate) fn on_unfit(world: &mut World, node: usize) {
    let machine = &world.nodes[node];
    if machine.runs_level < machine.highest_level {
        world.hit(Case::Unfit);
        return;
    }
    let text = format!(
        "the program on n{} knows feature level {}, was never downgraded, and cannot go on",
        node + 1,
        machine.runs_level
    );
    world.broken(18, text);
}

/// A command has been committed that has to do with feature levels.
pub(crate) fn on_news(world: &mut World, index: u64, news: &News) {
    match news {
        News::Unknown(level) => {
            let text = format!(
                "a command of feature level {level} is committed at index {index}, and level {} is in use",
                world.truth.level
            );
            world.broken(18, text);
        }
        News::Raised if world.scenario.first_level < FEATURE_LEVEL => {
            world.hit(Case::LevelRaised);
        }
        News::New => world.hit(Case::NewCommand),
        News::Raised | News::Nothing | News::RestartGrant(..) | News::Removed(_) => {}
    }
}
