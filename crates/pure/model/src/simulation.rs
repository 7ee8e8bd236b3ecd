//! What an operator may imagine, and what would happen then. Nothing of it is ever in the log.
//!
//! Not for working it out: crate `cluster` does, with what it really decides with.

use crate::{
    config::ClusterConfig,
    id::{GroupId, NodeId, ResourceId},
    request::{Interruption, Request, Source},
    time::Micros,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most that may be imagined in one go.
pub const MOST_IMAGINED: usize = 64;

/// Something that is only imagined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Imagined {
    /// It is that time: what operators ordered until then is over, and so are failures that are older than their window.
    /// Before everything else.
    Time {
        /// Milliseconds since 1970.
        wall_ms: u64,
    },
    /// A configuration is put in force. Only as the first but for a time.
    Apply {
        /// The configuration.
        config: Box<ClusterConfig>,
    },
    /// An operator asks for something. Only as the first but for a time.
    Asked {
        /// For what.
        request: Box<Request>,
    },
    /// A resource fails once where it runs.
    ResourceFails {
        /// Which.
        resource: ResourceId,
    },
    /// Nodes are lost at once.
    NodesLost {
        /// Which.
        nodes: Vec<NodeId>,
    },
}

/// What would happen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Simulation {
    /// Version of the configuration in force.
    pub based_on: u64,
    /// What follows from each thing imagined, one after the other: each begins when the one before is over.
    pub stages: Vec<Stage>,
    /// All stages together.
    pub length: Micros,
    /// What to know of the whole.
    pub warnings: Vec<String>,
}

/// What follows from one thing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// What is imagined, as a sentence.
    pub what: String,
    /// Everything that is done for it or passes, by time.
    pub steps: Vec<Step>,
    /// What is interrupted, and for how long.
    pub interruptions: Vec<Interruption>,
    /// Until the last step is over.
    pub length: Micros,
    /// Where each group is then; none means nowhere.
    pub places: BTreeMap<GroupId, Option<NodeId>>,
    /// Warnings.
    pub warnings: Vec<String>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// When it begins, from the beginning of its stage.
    pub at: Micros,
    /// How long it takes.
    pub length: Micros,
    /// For which group.
    pub group: GroupId,
    /// What: `stop web on alpha`.
    pub what: String,
    /// Where the figure is from.
    pub source: Source,
}
