//! Measured availability: when a group that had been served was not, why, and for how long.
//!
//! Times are the leader's wall clock as commands carry it: for showing and counting, never for deciding.
//! Not for what a failover is predicted to take (`request::RtoPrediction`).

use crate::id::NodeId;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// Outages kept for each group; older ones are only counted.
pub const OUTAGES: usize = 20;

/// Upper bounds of the counted classes, milliseconds; what takes longer is in the count only.
pub const BOUNDS_MS: [u64; 12] = [
    50, 100, 200, 350, 500, 750, 1000, 1500, 2500, 5000, 10_000, 60_000,
];

/// How a group has been served since it is in the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// The node that serves it now, every member active.
    pub on: Option<NodeId>,
    /// The outage that it is in.
    #[serde(default)]
    pub open: Option<Outage>,
    /// What is over, counted by cause; only grows.
    #[serde(default)]
    pub totals: BTreeMap<Cause, Totals>,
    /// The last ones, oldest first.
    #[serde(default)]
    pub last: VecDeque<Outage>,
}

/// Why a group is not served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// Its node was lost.
    Failover,
    /// Something of it failed.
    Failure,
    /// Somebody wanted it: a switchover, a drain, a change of the configuration.
    Planned,
}

impl Cause {
    /// As a label of a metric and in texts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Failover => "failover",
            Self::Failure => "failure",
            Self::Planned => "planned",
        }
    }
}

/// A time without service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outage {
    /// Why.
    pub cause: Cause,
    /// Who served before.
    pub from: NodeId,
    /// Who serves since.
    pub to: Option<NodeId>,
    /// Since when: for a lost node, when it was heard last. Milliseconds since 1970.
    pub began_ms: u64,
    /// When it was noticed and acted upon.
    pub noticed_ms: u64,
    /// Until when; none while it lasts.
    pub ended_ms: Option<u64>,
}

impl Outage {
    /// How long it took, as soon as it is over.
    #[must_use]
    pub fn length_ms(&self) -> Option<u64> {
        self.ended_ms
            .map(|ended| ended.saturating_sub(self.began_ms))
    }
}

/// Outages of one cause, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// How many.
    pub count: u64,
    /// Their lengths together, milliseconds.
    pub sum_ms: u64,
    /// How many were at most as long as each of [`BOUNDS_MS`].
    pub at_most: Vec<u64>,
}

impl Totals {
    /// Counts one more.
    pub fn add(&mut self, length_ms: u64) {
        self.count = self.count.saturating_add(1);
        self.sum_ms = self.sum_ms.saturating_add(length_ms);
        self.at_most.resize(BOUNDS_MS.len(), 0);
        for (bound, counted) in BOUNDS_MS.iter().zip(&mut self.at_most) {
            if length_ms <= *bound {
                *counted = counted.saturating_add(1);
            }
        }
    }
}
