//! What a client is shown: the view of this node, and predictions.
//!
//! Changes nothing. Not for requests that do (`serving`), and not for previews (`preview`).

use crate::{core::Core, lost::fencing_takes};
use standfast_model::{
    config::ClusterConfig,
    guards::GuardSupport,
    id::{GroupId, ResourceId},
    request::{Request, Response, RtoPrediction, View},
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

    /// The answer to what changes nothing; none to everything else.
    pub(crate) fn look(&self, now: Now, request: &Request) -> Option<Response> {
        if let Request::Plan { config } = request {
            let mut config = config.clone();
            config.keep_pair(&self.state.config);
            return Some(Response::Plan(Box::new(self.preview(&config))));
        }
        if let Request::Simulate { imagined } = request {
            let simulated = self.simulate(now, imagined);
            return Some(simulated.unwrap_or_else(Response::Refused));
        }
        if let Request::Text { of, .. } = request {
            return Some(self.text(of).unwrap_or_else(Response::Refused));
        }
        if !matches!(request, Request::View | Request::Backup) {
            return None;
        }
        let mut view = self.view(now);
        if matches!(request, Request::Backup) {
            view.state = self.state.clone();
        }
        Some(Response::View(Box::new(view)))
    }

    pub(crate) fn predictions(&self, config: &ClusterConfig) -> BTreeMap<GroupId, RtoPrediction> {
        predictions(&self.state, &self.guards, config)
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

/// `guards`: those of a machine whose own are not known.
pub(crate) fn predictions(
    state: &ClusterState,
    guards: &GuardSupport,
    config: &ClusterConfig,
) -> BTreeMap<GroupId, RtoPrediction> {
    // In a pair it depends on the arbiter, of whom nobody knows how long it takes.
    if state.config.pair.is_some() {
        return BTreeMap::new();
    }
    let reports = || state.nodes.values().map(|node| &node.report);
    let worst = |measure: &dyn Fn(&NodeReport) -> Micros| {
        let longest = reports().map(measure).max();
        longest.unwrap_or(Micros::ZERO)
    };
    let told = reports().filter(|report| report.version > 0);
    let guards = told
        .map(|report| &report.guards)
        .max_by_key(|guards| guards.extra_wait())
        .unwrap_or(guards);
    // Nothing takes the place of a copy where each node has one; where not, others go on meanwhile.
    let groups = config.groups.iter();
    let groups = groups.filter(|(_, settings)| settings.copy.is_none());
    let predicted = groups.map(|(group, settings)| {
        let took = |resource: &ResourceId| worst(&|report| start_took(report, resource));
        let starts = settings.members.iter().map(took);
        let facts = rto::RtoFacts {
            timing: &config.timing,
            guards,
            fsync: worst(&|report| report.fsync),
            stall: Micros::ZERO,
            start: starts.fold(Micros::ZERO, Micros::plus),
            fencing: fencing_takes(state, config, &settings.members),
        };
        (group.clone(), rto::predict(&facts))
    });
    predicted.collect()
}

fn start_took(report: &NodeReport, resource: &ResourceId) -> Micros {
    report
        .instances
        .get(resource)
        .map_or(Micros::ZERO, |seen| seen.start_took)
}
