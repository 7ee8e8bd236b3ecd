//! What a runner is told. Not for what it does with that (`runner`).

use crate::code::Dialect;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What a runner is told, in its one argument.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// `ocf:PROVIDER:TYPE`, a script's path, or a unit.
    pub name: String,
    /// How it is asked and what it answers.
    pub dialect: Dialect,
    /// The agent's program, or the script.
    pub program: PathBuf,
    /// What comes before the action's word.
    #[serde(default)]
    pub arguments: Vec<String>,
    /// The keeper's run folder, where the runner is asked.
    pub run_dir: PathBuf,
    /// How long a start may take, milliseconds; whoever ordered it sees to that.
    pub start_ms: u64,
    /// The same for a stop; the keeper sees to that.
    pub stop_ms: u64,
    /// A `monitor` that takes longer is killed, milliseconds.
    pub monitor_ms: u64,
    /// Between two of them, milliseconds.
    pub interval_ms: u64,
    /// Those that look more closely.
    #[serde(default)]
    pub deep: Vec<Deep>,
    /// What it does outlives its processes: it runs on the machine itself, and has ended when it says so.
    #[serde(default)]
    pub outlives: bool,
    /// One of several copies may be promoted, and this is one of them: how often it is asked while it is, milliseconds.
    #[serde(default)]
    pub promoted_interval_ms: Option<u64>,
    /// What the runner is there for.
    #[serde(default)]
    pub task: Task,
}

/// A recurring `monitor` with a depth.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deep {
    /// What the agent is told as `OCF_CHECK_LEVEL`.
    pub depth: u32,
    /// One that takes longer is killed, milliseconds.
    pub monitor_ms: u64,
    /// Between two of them, milliseconds.
    pub interval_ms: u64,
}

/// What a runner is there for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// To run the resource until it is to be stopped.
    #[default]
    Run,
    /// To stop what an earlier one left, and see that it is stopped.
    End,
    /// To see whether it is stopped.
    Look,
}
