//! Acts of fencing in the replicated state: what was decided, who carries it out, and what came of it.
//!
//! An act releases nothing by itself. Its machine stands still without power, so its leases run out as always.

use crate::{
    fence::FenceDevice,
    id::{DeviceId, Incarnation, NodeId},
    time::Micros,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Acts kept in the state; older ones that have ended are dropped.
pub const ACTS_LIMIT: usize = 50;

/// One act: a machine is to lose its power.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FenceAct {
    /// Index of the command that began it: its name for ever.
    pub id: u64,
    /// The node.
    pub node: NodeId,
    /// The run of its agent that was known then. A later run is not meant.
    pub incarnation: Incarnation,
    /// Who wants it: an operator, or the cluster.
    pub by: String,
    /// Why; may be empty.
    pub why: String,
    /// It gets its power back once it is off.
    pub power_on: bool,
    /// It is fenced because it was lost: what has not begun yet is called off when it is back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lost: bool,
    /// A drill: only this level (from 1) is tried, and only by the first executor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drill: Option<u32>,
    /// Devices, level after level, as configured when it began; of a drill its level alone.
    pub levels: Vec<Vec<DeviceId>>,
    /// The level that is tried, from 0.
    pub level: u32,
    /// Who carries it out; none once it has ended.
    pub executor: Option<NodeId>,
    /// The run of its agent that was asked to. A later one does not know how far that had come, and does not begin again: the
    /// device may be the one that ended it. Zero: whichever.
    #[serde(default, skip_serializing_if = "is_any")]
    pub executor_run: Incarnation,
    /// Grows with every order. What came of an earlier order changes nothing.
    pub turn: u32,
    /// Nodes that have tried every level.
    pub spent: BTreeSet<NodeId>,
    /// What was tried, one sentence each.
    pub tries: Vec<String>,
    /// What came of it.
    pub outcome: FenceOutcome,
    /// Wall clock of its beginning, milliseconds since 1970, for display only.
    pub began_ms: u64,
    /// Wall clock of its end, for display only; zero while it is under way.
    pub ended_ms: u64,
}

fn is_any(run: &Incarnation) -> bool {
    *run == Incarnation::default()
}

/// What came of an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FenceOutcome {
    /// Somebody carries it out.
    UnderWay,
    /// The devices said, after the act, that the machine is off.
    Off,
    /// An operator said so.
    Confirmed,
    /// No device of any level did it from any node. Nobody may take the machine for off.
    Failed,
    /// The machine was lost and is back, and nobody had begun yet to cut its power, or could.
    CalledOff,
    /// The machine was heard afterwards: it was not off, whatever a device or an operator said.
    Void,
}

impl FenceAct {
    /// Whether somebody is to carry it out.
    #[must_use]
    pub fn is_under_way(&self) -> bool {
        self.outcome == FenceOutcome::UnderWay
    }

    /// Whether the machine is taken for off.
    #[must_use]
    pub fn says_off(&self) -> bool {
        matches!(self.outcome, FenceOutcome::Off | FenceOutcome::Confirmed)
    }
}

/// An order to this node: cut a machine's power with all of these, one after the other, or only look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FenceOrder {
    /// The act.
    pub id: u64,
    /// The order within the act.
    pub turn: u32,
    /// The machine.
    pub node: NodeId,
    /// It is fenced because it was lost.
    pub lost: bool,
    /// All of them have to say "off".
    pub devices: Vec<(DeviceId, FenceDevice)>,
    /// Then it gets its power back.
    pub power_on: bool,
    /// Nothing is switched: all of them are asked whether the machine is off already.
    pub look: bool,
    /// What came of it is told as soon as the machine is off: something waits for that, and not for the power.
    pub told_when_off: bool,
}

/// What came of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FenceResult {
    /// The act.
    pub id: u64,
    /// The order within the act.
    pub turn: u32,
    /// Why it is not certain that the machine is off; empty when it is.
    pub problem: String,
    /// What else is to be said: that it could not be switched on again.
    pub note: String,
    /// How long it took.
    pub took: Micros,
}
