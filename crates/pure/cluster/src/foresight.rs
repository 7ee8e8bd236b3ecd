//! What would be decided if a node were lost now. Changes nothing; the same placement as a real loss.

use crate::deciding::facts;
use standfast_model::{
    id::{GroupId, NodeId},
    state::ClusterState,
};
use standfast_schedule::place;
use std::collections::BTreeMap;

/// Where each group would run without `lost`, as far as this state knows; none means nowhere.
#[must_use]
pub fn after_loss(state: &ClusterState, lost: &NodeId) -> BTreeMap<GroupId, Option<NodeId>> {
    let online =
        |node: &NodeId| node != lost && state.nodes.get(node).is_some_and(|known| known.online);
    place(&facts(state, &state.config, &online))
        .into_iter()
        .map(|(group, placement)| (group, placement.node))
        .collect()
}
