//! What a client is shown: the view of this node, the preview of a configuration, predictions.
//!
//! Changes nothing. Not for requests that do (`serving`).

use crate::{
    core::Core,
    deciding::{facts, plan_from},
};
use standfast_model::{
    config::{ClusterConfig, ResourceKind},
    id::{GroupId, NodeId, ResourceId},
    request::{PlanPreview, RtoPrediction, View},
    state::NodeReport,
    time::{Micros, Now},
};
use standfast_schedule::{actions, place, rto};
use std::collections::BTreeMap;

impl Core {
    pub(crate) fn preview(&self, config: &ClusterConfig) -> PlanPreview {
        let online = |node: &NodeId| self.state.nodes.get(node).is_some_and(|known| known.online);
        let placements = place(&facts(&self.state, config, &online));
        let after = plan_from(&self.state, config, placements, self.consensus.term());
        let changed = config.resources.iter().filter(|(resource, new)| {
            self.state
                .config
                .resources
                .get(*resource)
                .is_some_and(|old| old.kind != new.kind)
        });
        let live_changes = changed
            .map(|(resource, new)| match &new.kind {
                ResourceKind::Vip(_) => format!("{resource}: addresses change live"),
                ResourceKind::Process(_) => format!("{resource}: restarts where it runs"),
            })
            .collect();
        PlanPreview {
            based_on: self.state.config_version,
            differences: Vec::new(),
            actions: actions(&self.state.plan, &after),
            live_changes,
            rto_before: self.predictions(&self.state.config),
            rto_after: self.predictions(config),
            warnings: Vec::new(),
        }
    }

    pub(crate) fn predictions(&self, config: &ClusterConfig) -> BTreeMap<GroupId, RtoPrediction> {
        let worst = |measure: &dyn Fn(&NodeReport) -> Micros| {
            self.state
                .nodes
                .values()
                .map(|node| measure(&node.report))
                .max()
                .unwrap_or(Micros::ZERO)
        };
        config
            .groups
            .iter()
            .map(|(group, settings)| {
                let took = |resource: &ResourceId| worst(&|report| start_took(report, resource));
                let start = settings
                    .members
                    .iter()
                    .map(took)
                    .fold(Micros::ZERO, Micros::plus);
                let guards = self
                    .state
                    .nodes
                    .values()
                    .filter(|node| node.report.version > 0)
                    .map(|node| &node.report.guards)
                    .max_by_key(|guards| guards.extra_wait())
                    .unwrap_or(&self.guards);
                let facts = rto::RtoFacts {
                    timing: &config.timing,
                    guards,
                    fsync: worst(&|report| report.fsync),
                    stall: Micros::ZERO,
                    start,
                };
                (group.clone(), rto::predict(&facts))
            })
            .collect()
    }

    pub(crate) fn view(&self, now: Now) -> View {
        let timing = self.timing();
        let heard = Micros(timing.heartbeat.0.saturating_mul(4));
        let leader = self.holder.leader.as_ref().map(|(_, node)| node.clone());
        let quorum = match &self.lead {
            Some(lead) => lead.lease(now, &timing).is_some(),
            None => self
                .holder
                .leader_heard
                .is_some_and(|at| now.held_since(at) < heard),
        };
        let mut lease_left = BTreeMap::new();
        if let Some(lead) = &self.lead {
            for (node, peer) in &lead.peers {
                lease_left.insert(node.clone(), peer.granted.left(now));
            }
        }
        let mut links = BTreeMap::new();
        for node in self.others() {
            let total = self
                .state
                .config
                .nodes
                .get(&node)
                .map_or(0, |node| node.addresses.len());
            let alive = self.links.iter().filter(|(peer, _)| *peer == node).count();
            links.insert(
                node,
                (
                    u32::try_from(alive).unwrap_or(0),
                    u32::try_from(total).unwrap_or(0),
                ),
            );
        }
        View {
            node: self.node.to_string(),
            leader: leader.filter(|_| quorum),
            term: self.consensus.term(),
            quorum,
            state: self.state.clone(),
            lease_left,
            links,
            predicted_rto: self.predictions(&self.state.config),
            storage_problem: self.disk.problem.clone(),
            no_vote: self.why_no_vote(),
            removed: self.why_removed(),
        }
    }
}

fn start_took(report: &NodeReport, resource: &ResourceId) -> Micros {
    report
        .instances
        .get(resource)
        .map_or(Micros::ZERO, |seen| seen.start_took)
}
