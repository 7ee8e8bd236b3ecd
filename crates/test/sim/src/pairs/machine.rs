//! One of the two machines: clocks, disk, what runs on it under its guards, and the agent with the real core.

use crate::{clock::Clock, disk::Disk};
use standfast_cluster::{Core, Init};
use standfast_model::{
    FEATURE_LEVEL,
    guards::GuardSupport,
    id::{Incarnation, MemberId, NodeId, ResourceId},
    plan::PlanNumber,
    planted::Planted,
    time::Now,
};
use std::collections::BTreeMap;

/// Something that runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unit {
    pub(crate) since: PlanNumber,
    /// Its guard ends it at this reading of the boot clock.
    pub(crate) deadline: u64,
}

/// A machine.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) name: NodeId,
    pub(crate) member: MemberId,
    pub(crate) core: Option<Core>,
    pub(crate) on: bool,
    /// Grows with every start of the machine and of the agent: what is under way for an earlier one is void.
    pub(crate) boots: u64,
    pub(crate) runs: u64,
    pub(crate) boot: Clock,
    pub(crate) raw: Clock,
    pub(crate) disk: Disk,
    pub(crate) units: BTreeMap<ResourceId, Unit>,
    /// The power stays off until then (true time), when a fault says so.
    pub(crate) down_until: u64,
}

impl Machine {
    pub(crate) fn now(&self, time: u64) -> Now {
        Now {
            boot: self.boot.read(time),
            raw: self.raw.read(time),
        }
    }

    /// A new run of the agent. The effects come from `Core::new`.
    pub(crate) fn init(
        &mut self,
        (incarnation, seed): (u64, u64),
        peer: &NodeId,
        planted: Option<Planted>,
    ) -> Init {
        self.runs += 1;
        if let Some(member) = self.disk.durable.member {
            self.member = member;
        }
        let address = |name: &NodeId| (name.clone(), vec![format!("{name}:7000")]);
        Init {
            node: self.name.clone(),
            member: self.member,
            incarnation: Incarnation(incarnation | 1),
            boot: self.boots * 10 + u64::from(self.name.as_str() == "n2"),
            restored: self.disk.durable.restore(self.disk.condition),
            peers: vec![address(&self.name), address(peer)],
            seed,
            guards: GuardSupport::full(),
            wall_offset: 1_700_000_000_000_000,
            level: FEATURE_LEVEL,
            planted,
        }
    }
}
