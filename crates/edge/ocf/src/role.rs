//! What is known of the promoted role without asking the runner. Not for having it promote or demote (`word`).
//!
//! A file in the run folder is there from before the agent's `promote` until its `demote` has succeeded. So who finds none
//! knows that nothing is promoted there, whoever has died meanwhile.

use crate::{ROLE, SCORE};
use std::{fs, path::Path};

/// Under which plan a resource may be promoted; none where it is not.
#[must_use]
pub fn may_be_promoted(run_dir: &Path) -> Option<String> {
    fs::read_to_string(run_dir.join(ROLE)).ok()
}

/// By how much it is to be promoted, as its agent has said.
#[must_use]
pub fn score(run_dir: &Path) -> Option<i64> {
    let text = fs::read_to_string(run_dir.join(SCORE)).ok()?;
    text.trim().parse().ok()
}
