//! What a client is shown: the view of this node, and predictions.
//!
//! Changes nothing. Not for requests that do (`serving`), and not for previews (`preview`).

use crate::core::Core;
use standfast_model::{
    config::ClusterConfig,
    id::{GroupId, ResourceId},
    request::{RtoPrediction, View},
    state::{ClusterState, NodeReport},
    time::{Micros, Now},
};
use standfast_schedule::rto;
use std::collections::BTreeMap;

impl Core {
    /// The state as clients are shown it: texts are asked for one at a time.
    fn without_texts(&self) -> ClusterState {
        let mut state = self.state.clone();
        state.config_text.clear();
        for record in &mut state.config_history {
            if let Some(text) = &mut record.text {
                text.clear();
            }
        }
        for draft in state.drafts.values_mut() {
            draft.text.clear();
        }
        state
    }

    pub(crate) fn predictions(&self, config: &ClusterConfig) -> BTreeMap<GroupId, RtoPrediction> {
        // In a pair it depends on the arbiter, of whom nobody knows how long it takes.
        if self.state.config.pair.is_some() {
            return BTreeMap::new();
        }
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
                    fencing: self.fencing_takes(config, &settings.members),
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
            state: self.without_texts(),
            lease_left,
            links,
            predicted_rto: self.predictions(&self.state.config),
            storage_problem: self.disk.problem.clone(),
            no_vote: self.why_no_vote(),
            removed: self.why_removed(),
            pair: self.pair_view(),
        }
    }
}

fn start_took(report: &NodeReport, resource: &ResourceId) -> Micros {
    report
        .instances
        .get(resource)
        .map_or(Micros::ZERO, |seen| seen.start_took)
}
