//! The promoted role, as seen by the process driver: having a runner promote or demote its resource, and what is known of
//! that without asking.
//!
//! A file in the run folder is there from before the agent's `promote` until its `demote` has succeeded. So who finds none
//! knows that nothing is promoted there, whoever has died meanwhile.

use crate::{ROLE, ROLE_SOCKET, SCORE};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

/// What a runner is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    /// Promote it, under this plan.
    Promote(String),
    /// Demote it, within so many milliseconds. What cannot be demoted ends with all its processes.
    Demote(u64),
    /// Say whether it is promoted, when nothing is under way.
    Ask,
}

/// Why a runner has not done it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// As a sentence.
    pub why: String,
    /// What its agent's action ended with, if it came to an end.
    pub code: Option<i32>,
    /// It was not said, or the runner cannot say it: the resource may be promoted.
    #[serde(default)]
    pub unknown: bool,
}

impl Refusal {
    fn unknown(why: impl ToString) -> Self {
        Self {
            why: why.to_string(),
            code: None,
            unknown: true,
        }
    }
}

/// Tells a runner, and waits for what comes of it.
///
/// # Errors
/// Why it has not come to that.
pub fn say(run_dir: &Path, word: &Word, timeout: Duration) -> Result<(), Refusal> {
    let failed =
        |error: std::io::Error| Refusal::unknown(format!("its runner cannot be told: {error}"));
    let mut runner = UnixStream::connect(run_dir.join(ROLE_SOCKET)).map_err(failed)?;
    let patience = Some(timeout.max(Duration::from_millis(1)));
    runner.set_read_timeout(patience).map_err(failed)?;
    let mut line = serde_json::to_string(word).map_err(Refusal::unknown)?;
    line.push('\n');
    runner.write_all(line.as_bytes()).map_err(failed)?;
    let mut answer = String::new();
    BufReader::new(runner)
        .read_line(&mut answer)
        .map_err(failed)?;
    if answer.is_empty() {
        return Err(Refusal::unknown("its runner has ended"));
    }
    serde_json::from_str::<Result<(), Refusal>>(&answer).map_err(Refusal::unknown)?
}

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
