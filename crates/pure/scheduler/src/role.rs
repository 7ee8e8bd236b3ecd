//! Roles and tasks: what a resource can be, and what can be done to it.
//!
//! Not for who does it when: that is the plan's business.

use serde::{Deserialize, Serialize};

/// What an instance is, from least to most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Role {
    /// Nobody knows.
    #[default]
    Unknown,
    /// Not running.
    Stopped,
    /// Running.
    Started,
    /// Running, of a resource that can be promoted.
    Unpromoted,
    /// Running and promoted.
    Promoted,
}

impl Role {
    /// Reads a role, old names included.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "stopped" => Some(Self::Stopped),
            "started" => Some(Self::Started),
            "unpromoted" | "slave" => Some(Self::Unpromoted),
            "promoted" | "master" => Some(Self::Promoted),
            _ => None,
        }
    }

    /// As people read it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "Unknown",
            Self::Stopped => "Stopped",
            Self::Started => "Started",
            Self::Unpromoted => "Unpromoted",
            Self::Promoted => "Promoted",
        }
    }
}

/// What can be done, and what marks that it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Task {
    /// Start.
    Start,
    /// All of a collective's starts are over.
    Started,
    /// Stop.
    Stop,
    /// All stops are over.
    Stopped,
    /// Promote.
    Promote,
    /// All promotions are over.
    Promoted,
    /// Demote.
    Demote,
    /// All demotions are over.
    Demoted,
    /// Look whether it is active.
    Probe,
    /// Hand over to another node, on the source.
    MigrateTo,
    /// Take over, on the target.
    MigrateFrom,
    /// Take new parameters without a restart.
    Reload,
    /// Forget the history.
    Delete,
    /// Forget the failures.
    ClearFailures,
    /// Fence a node.
    Fence,
    /// Let a node in again.
    Unfence,
    /// Let a node shut down.
    Shutdown,
    /// Enough of a set or of a clone is up.
    AnyOf,
    /// A node has room again.
    LoadStopped,
}

impl Task {
    /// Reads a task of a resource.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "start" => Self::Start,
            "running" | "started" => Self::Started,
            "stop" => Self::Stop,
            "stopped" => Self::Stopped,
            "promote" => Self::Promote,
            "promoted" => Self::Promoted,
            "demote" => Self::Demote,
            "demoted" => Self::Demoted,
            "monitor" => Self::Probe,
            "migrate_to" => Self::MigrateTo,
            "migrate_from" => Self::MigrateFrom,
            "reload" => Self::Reload,
            _ => return None,
        })
    }

    /// As agents and histories call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Started => "running",
            Self::Stop => "stop",
            Self::Stopped => "stopped",
            Self::Promote => "promote",
            Self::Promoted => "promoted",
            Self::Demote => "demote",
            Self::Demoted => "demoted",
            Self::Probe => "monitor",
            Self::MigrateTo => "migrate_to",
            Self::MigrateFrom => "migrate_from",
            Self::Reload => "reload",
            Self::Delete => "delete",
            Self::ClearFailures => "clear_failcount",
            Self::Fence => "stonith",
            Self::Unfence => "on",
            Self::Shutdown => "do_shutdown",
            Self::AnyOf => "one-or-more",
            Self::LoadStopped => "load_stopped",
        }
    }

    /// For a collective: what marks that the task is over.
    #[must_use]
    pub const fn completed(self) -> Self {
        match self {
            Self::Start => Self::Started,
            Self::Stop => Self::Stopped,
            Self::Promote => Self::Promoted,
            Self::Demote => Self::Demoted,
            other @ (Self::Started
            | Self::Stopped
            | Self::Promoted
            | Self::Demoted
            | Self::Probe
            | Self::MigrateTo
            | Self::MigrateFrom
            | Self::Reload
            | Self::Delete
            | Self::ClearFailures
            | Self::Fence
            | Self::Unfence
            | Self::Shutdown
            | Self::AnyOf
            | Self::LoadStopped) => other,
        }
    }

    /// For a primitive: the task whose end is marked.
    #[must_use]
    pub const fn atomic(self) -> Self {
        match self {
            Self::Started => Self::Start,
            Self::Stopped => Self::Stop,
            Self::Promoted => Self::Promote,
            Self::Demoted => Self::Demote,
            other @ (Self::Start
            | Self::Stop
            | Self::Promote
            | Self::Demote
            | Self::Probe
            | Self::MigrateTo
            | Self::MigrateFrom
            | Self::Reload
            | Self::Delete
            | Self::ClearFailures
            | Self::Fence
            | Self::Unfence
            | Self::Shutdown
            | Self::AnyOf
            | Self::LoadStopped) => other,
        }
    }

    /// What undoes it.
    #[must_use]
    pub const fn inverse(self) -> Option<Self> {
        Some(match self {
            Self::Start => Self::Stop,
            Self::Stop => Self::Start,
            Self::Promote => Self::Demote,
            Self::Demote => Self::Promote,
            Self::Promoted => Self::Demoted,
            Self::Demoted => Self::Promoted,
            Self::Started => Self::Stopped,
            Self::Stopped => Self::Started,
            Self::Probe
            | Self::MigrateTo
            | Self::MigrateFrom
            | Self::Reload
            | Self::Delete
            | Self::ClearFailures
            | Self::Fence
            | Self::Unfence
            | Self::Shutdown
            | Self::AnyOf
            | Self::LoadStopped => return None,
        })
    }
}
