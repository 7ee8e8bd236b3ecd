//! What a runner is told beside its one argument, by the process driver. Not for what it does with that (`runner`).

use crate::WORDS_SOCKET;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
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
    /// These are the variables of all its parameters from now on. What the agent is not known to have is told to it by
    /// `reload-agent`, if it can take that over.
    Reload {
        /// By variable.
        parameters: BTreeMap<String, String>,
        /// The variables of those that it can take over.
        reloadable: BTreeSet<String>,
    },
}

/// What a runner has done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Done {
    /// It is so now.
    Now,
    /// It was so before, and that was told.
    Before,
    /// It is not so, and only another start makes it so: these variables are others.
    Outdated(BTreeSet<String>),
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
pub fn say(run_dir: &Path, word: &Word, timeout: Duration) -> Result<Done, Refusal> {
    let failed =
        |error: std::io::Error| Refusal::unknown(format!("its runner cannot be told: {error}"));
    let mut runner = UnixStream::connect(run_dir.join(WORDS_SOCKET)).map_err(failed)?;
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
    serde_json::from_str::<Result<Done, Refusal>>(&answer).map_err(Refusal::unknown)?
}
