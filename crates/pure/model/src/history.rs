//! Configurations that were in force, and drafts of those to come: who, when, why, and the text.
//!
//! Bounded, because they are part of the replicated state. Not for what a configuration means (`config`).

use serde::{Deserialize, Serialize};

/// Configurations that are remembered with who, when and why.
pub const RECORDS_LIMIT: usize = 50;
/// Bytes of text that all remembered configurations have together, the one in force not counted. Of older
/// ones only who, when and why is left.
pub const RECORD_TEXTS_LIMIT: usize = 512 * 1024;
/// Drafts at once.
pub const DRAFTS_LIMIT: usize = 16;
/// Bytes of text that all drafts have together.
pub const DRAFT_TEXTS_LIMIT: usize = 512 * 1024;
/// Characters of a reason.
pub const REASON_LIMIT: usize = 500;

/// A configuration that was put in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigRecord {
    /// Its number.
    pub version: u64,
    /// Index of the command.
    pub index: u64,
    /// Wall clock of the leader, milliseconds since 1970, for display only.
    pub wall_ms: u64,
    /// Who put it in force.
    pub author: String,
    /// Why, in the author's words; may be empty.
    #[serde(default)]
    pub reason: String,
    /// As its author wrote it; none for the one in force, whose text stands beside it in the state, and for
    /// one that is too old. Empty in what a client is shown.
    #[serde(default)]
    pub text: Option<String>,
}

/// A configuration that is not in force yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draft {
    /// As its author wrote it. Empty in what a client is shown.
    pub text: String,
    /// Version that was in force when it was saved.
    pub based_on: u64,
    /// Wall clock of the leader, milliseconds since 1970, for display only.
    pub wall_ms: u64,
    /// Who saved it.
    pub author: String,
    /// What for; may be empty.
    #[serde(default)]
    pub reason: String,
}

/// Whether a draft may be called so: what stands in commands and in the journal.
#[must_use]
pub fn is_draft_name(name: &str) -> bool {
    let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=63).contains(&name.len()) && name.chars().all(letters) && !name.starts_with(['-', '.'])
}
