//! The promoted role on this node: it is taken and kept only while all of the node's own copy runs and is to run on, and
//! the copy is stopped after it. Both are this node's own matter: who may have the role is a lease, as of everything else.
//!
//! And by how much each copy is to be promoted, for placement. Not for where the role belongs (crate `schedule`).

use crate::core::Core;
use standfast_model::{
    config::ClusterConfig,
    copies::{is_role, named, node_of, role_of, written},
    id::{GroupId, NodeId, ResourceId},
    planted::Planted,
    state::{ClusterState, Phase},
};
use std::collections::BTreeMap;

/// By how much each copy is to be promoted. An agent that has just started again does not know yet what its own says: what
/// it holds by the plan stays there meanwhile.
pub(crate) fn promotion(
    state: &ClusterState,
    config: &ClusterConfig,
) -> BTreeMap<GroupId, BTreeMap<NodeId, i64>> {
    let roles = config.groups.iter();
    let roles = roles.filter(|(_, group)| group.promoted_of.is_some());
    let scores = roles.map(|(role, group)| {
        let here = state.plan.groups.get(role).and_then(|a| a.node.as_ref());
        let is_asked = |node: &NodeId| {
            let report = state.nodes.get(node).map(|known| &known.report);
            let copies = group.members.iter().map(|member| {
                let copy = ResourceId::from(named(written(member.as_str()), node));
                report.and_then(|report| report.instances.get(&copy))
            });
            let mut copies = copies.map(|seen| seen.map(|seen| seen.phase));
            here == Some(node)
                && copies.any(|phase| matches!(phase, None | Some(Phase::StopFailed)))
        };
        let score = |node: &NodeId| {
            let said = state.promotion_score(role, node);
            said.or_else(|| is_asked(node).then_some(0))
        };
        let said = config.nodes.keys();
        let said = said.filter_map(|node| Some((node.clone(), score(node)?)));
        (role.clone(), said.collect())
    });
    scores.collect()
}

impl Core {
    /// Whether what carries a resource runs, and is to go on: of a promoted role it is the node's copy. Anything else is
    /// carried by nothing.
    pub(crate) fn is_carried(&self, resource: &ResourceId) -> bool {
        if !is_role(resource.as_str()) || self.planted(Planted::PromotedUncarried) {
            return true;
        }
        let config = &self.state.config;
        let role = config.group_of(resource);
        let of = role.and_then(|role| config.groups.get(role)?.promoted_of.as_ref());
        let Some(of) = of else { return false };
        let copy = GroupId::from(named(of.as_str(), &self.node));
        let Some(given) = self.state.plan.groups.get(&copy) else {
            return false;
        };
        given.node.as_ref() == Some(&self.node)
            && given.members.iter().all(|member| {
                self.locals.get(member).is_some_and(|local| {
                    local.phase == Phase::Active
                        && local.since == given.since_of(member)
                        && !local.lease_ending
                        && !local.to_restart
                })
            })
    }

    /// Whether a copy has to stay for a moment because it is promoted, or being demoted. The end of its lease waits for
    /// nobody, and neither does it where nobody would demote it.
    pub(crate) fn is_promoted_here(&self, copy: &ResourceId) -> bool {
        if node_of(copy.as_str()).is_none() {
            return false;
        }
        let ends = self.locals.get(copy);
        if ends.is_none_or(|local| local.lease_ending || local.phase != Phase::Active) {
            return false;
        }
        let written = written(copy.as_str());
        let group = self.state.config.copies.groups.values();
        let mut members = group.flat_map(|group| group.resources.keys().map(move |id| (group, id)));
        let of = members.find(|(group, id)| group.promoted && id.as_str() == written);
        let roles = of.into_iter().flat_map(|(group, _)| group.resources.keys());
        let mut roles = roles.map(|id| ResourceId::from(role_of(id.as_str())));
        roles.any(|role| {
            let plan = &self.state.plan;
            let ours = plan
                .groups
                .values()
                .find(|given| given.members.contains(&role));
            let left_alone = ours
                .is_some_and(|given| given.maintenance && given.node.as_ref() == Some(&self.node));
            let phase = self.locals.get(&role).map(|local| local.phase);
            let up = matches!(
                phase,
                Some(Phase::Starting | Phase::Active | Phase::Stopping)
            );
            up && !left_alone
        })
    }
}
