//! Questions that any node answers about itself: its log, what its services print, and how it is.
//! They go to the node that they are about, change nothing, and never reach the core.

use crate::id::{NodeId, ResourceId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Name of the agent's own log among the sources of [`Page`].
pub const AGENT: &str = "agent";

/// Most bytes of text in one page.
pub const PAGE_BYTES: usize = 128 * 1024;

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Query {
    /// Lines that the agent logged and that its services printed.
    Logs {
        /// Output of these resources only, without the agent's own log; none means everything.
        only: Option<Vec<ResourceId>>,
        /// Where the last page of each source ended; a source that is not named gives its last `lines`.
        after: BTreeMap<String, u64>,
        /// Lines of each source that is not named in `after`.
        lines: u32,
    },
    /// What is wrong on that machine.
    Findings,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Lines.
    Logs(Page),
    /// What is wrong.
    Findings(Examined),
    /// It cannot be answered: why.
    Failed(String),
}

/// A page of lines.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The lines, in order within each source.
    pub lines: Vec<Line>,
    /// Where each source ended: for the next page.
    pub next: BTreeMap<String, u64>,
    /// There is more already.
    pub more: bool,
}

/// A line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// [`AGENT`], or the resource that printed it.
    pub source: String,
    /// What it says. The agent's own begin with their time in UTC.
    pub text: String,
}

/// What a machine says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Examined {
    /// The node; empty when it does not know.
    pub node: String,
    /// Its wall clock, milliseconds since 1970.
    pub wall_ms: u64,
    /// What was looked at.
    pub checked: Vec<String>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The node that it is about; none when it is about the cluster.
    pub node: Option<NodeId>,
    /// What was looked at: `links`, `fsync`, `clock`, ...
    pub subject: String,
    /// What is wrong.
    pub text: String,
    /// What to do.
    pub remedy: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Services are at risk now.
    Critical,
    /// It will hurt at the next fault.
    Warning,
    /// Good to know.
    Note,
}
