//! Nodes that are lost and may still run something: the leader has them fenced by themselves, where that is configured.
//!
//! It shortens no lease: what ran there starts elsewhere when the leases are over, long before. It is there for what needs
//! fencing, and because a machine that hangs comes back by it. A majority decides, so two sides never fence each other, and
//! who survives is settled before anybody is fenced.
//!
//! Not for how an act goes on once it has begun (`fences`, `fencing`).

use crate::{core::Core, fences};
use standfast_model::{
    command::Change,
    config::ClusterConfig,
    fence_act::FenceOutcome,
    id::{Incarnation, NodeId, ResourceId},
    planted::Planted,
    state::{ClusterState, NodeState},
    time::{Micros, Now},
};

/// A machine that starts meets the others first: for so long it fences nobody whom it has not met in this run. After
/// a power failure of all, one may need minutes longer than the others to boot.
const MEET: Micros = Micros::from_millis(120_000);

/// For so long after its power was cut a machine boots, and is not fenced by itself, unless it is heard before and lost once
/// more. A device that is slower than the boot cuts the run that follows; fencing that one as lost would go on for ever. (One
/// that says "off" before it acts, and acts when the machine is heard again, is not covered.)
const BOOT: Micros = Micros::from_millis(120_000);

impl Core {
    /// Notes since when nodes are lost. Every node does, so that a change of leader begins no new wait.
    pub(crate) fn note_lost(&mut self, now: Now) {
        let fencing = &self.state.config.fencing;
        let nodes = self.state.nodes.iter().filter(|_| fencing.is_on());
        let lost: Vec<(NodeId, Incarnation)> = nodes
            .filter(|(_, known)| !known.online && !known.is_leaving())
            .map(|(node, known)| (node.clone(), known.report.incarnation))
            .filter(|(_, run)| *run != Incarnation(0))
            .collect();
        let known = &mut self.fencing.lost;
        known.retain(|node, (run, _)| lost.iter().any(|(lost, of)| lost == node && of == run));
        for (node, run) in lost {
            known.entry(node).or_insert((run, now));
        }
    }

    /// Has nodes fenced that have been lost for long enough. Each run of an agent once.
    pub(crate) fn fence_lost(&mut self, now: Now) {
        let config = &self.state.config;
        // A pair's own protocol fences the other one.
        let spared = config.observes() || self.state.all_in_maintenance() || self.paired.is_some();
        if config.fencing.manual || spared {
            return;
        }
        let patience = config.fencing.patience();
        let due = self.fencing.lost.iter().find_map(|(node, (run, since))| {
            let known = self.state.nodes.get(node)?;
            let runs = self.may_run(node, known);
            let left_alone = self.state.maintenance.nodes.contains_key(node);
            let due = now.waited_since(*since) >= patience && !runs.is_empty() && !left_alone;
            (due && self.may_be_fenced(now, node, *run)).then(|| (node.clone(), *run, runs))
        });
        let Some((node, incarnation, runs)) = due else {
            return;
        };
        if self.was_told(now, (incarnation.0, u32::MAX)) {
            return;
        }
        let names: Vec<&str> = runs.iter().map(ResourceId::as_str).collect();
        let change = Change::Fence {
            node,
            incarnation,
            by: "the cluster".to_owned(),
            why: format!("it is lost and may still run {}", names.join(", ")),
            power_on: !self.state.config.fencing.stay_off,
            lost: !self.planted(Planted::FencedAgain),
        };
        if self.check_level(now, &change).is_ok() {
            self.propose(now, None, change);
        }
    }

    /// What a lost node may still run: what is still named for it, and what it ran when it was heard last.
    fn may_run(&self, node: &NodeId, known: &NodeState) -> Vec<ResourceId> {
        let may_hold = self.state.may_hold.iter();
        let held = may_hold.filter(|(_, holders)| holders.contains(node));
        let ran = known.report.instances.iter();
        let ran = ran.filter(|(_, instance)| instance.phase.may_run());
        let mut all: Vec<ResourceId> = held
            .map(|(resource, _)| resource.clone())
            .chain(ran.map(|(resource, _)| resource.clone()))
            .collect();
        all.sort();
        all.dedup();
        all
    }

    fn may_be_fenced(&self, now: Now, node: &NodeId, run: Incarnation) -> bool {
        let Some(known) = self.state.nodes.get(node) else {
            return false;
        };
        let member = self.state.members.values().any(|info| info.node == *node);
        let done = fences::is_known(&self.state, node, known);
        let done = done && !self.planted(Planted::FencedAgain);
        let began = self.fencing.began;
        let settled = began.is_some_and(|began| now.waited_since(began) >= MEET);
        let met = settled
            || self.planted(Planted::FencedUnmet)
            || self.fencing.met.contains(node)
            || self.speaks_as.values().any(|by| *by == run);
        let booting = self.is_booting(now, node) && !self.planted(Planted::FencedAgain);
        let silent = self
            .lead
            .as_ref()
            .is_some_and(|lead| !lead.is_heard(node, now, &self.timing()));
        let able = !self.state.config.fencing.levels_of(node).is_empty();
        member && !done && !booting && met && silent && able && self.majority_without(node)
    }

    /// Whether a node's power was cut a short time ago, and it was not heard since or only a moment ago.
    fn is_booting(&self, now: Now, node: &NodeId) -> bool {
        let patience = self.state.config.fencing.patience();
        let acts = self.state.fences.iter();
        let mut off = acts.filter(|act| act.node == *node && act.says_off());
        off.any(|act| {
            let seen = self.fencing.seen_off.get(&act.id);
            let boots = seen.is_none_or(|at| now.waited_since(*at) < BOOT);
            let back = self.fencing.back.get(&act.id);
            boots && back.is_none_or(|at| now.waited_since(*at) < patience)
        })
    }
}

/// How long after its loss a node is off, if any of these needs that: as configured, and as the last act took.
pub(crate) fn fencing_takes(
    state: &ClusterState,
    config: &ClusterConfig,
    members: &[ResourceId],
) -> Micros {
    let needs = |resource: &ResourceId| {
        let settings = config.resources.get(resource);
        settings.is_some_and(|settings| settings.needs_fencing)
    };
    if !members.iter().any(needs) {
        return Micros::ZERO;
    }
    let acts = state.fences.iter().rev();
    let mut off = acts.filter(|act| act.outcome == FenceOutcome::Off);
    let last = off
        .next()
        .map_or(0, |act| act.ended_ms.saturating_sub(act.began_ms));
    config.fencing.patience().plus(Micros::from_millis(last))
}
