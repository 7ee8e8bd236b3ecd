//! Locations: nodes that are better or worse for a group because of what an administrator says of them.
//!
//! Not for nodes by name: those are the group's own preferences.

use crate::place::Candidate;
use standfast_model::{
    attribute::Attributes, config::ClusterConfig, constraint::Location, copies::written,
    id::GroupId, plan::INFINITY,
};

/// Adds the score of each location of a group to the nodes that it holds for.
pub(crate) fn locate(config: &ClusterConfig, group: &GroupId, candidates: &mut [Candidate<'_>]) {
    let all = config.constraints.locations.iter();
    let own: Vec<(&str, &Location)> = all
        .filter(|(_, location)| location.group == *group)
        .map(|(name, location)| (written(name), location))
        .collect();
    if own.is_empty() {
        return;
    }
    for candidate in candidates {
        let Some(node) = config.nodes.get(candidate.node) else {
            continue;
        };
        for (name, location) in &own {
            if location.holds(&node.attributes) {
                say(name, location, &node.attributes, candidate);
            }
        }
    }
}

fn say(name: &str, location: &Location, has: &Attributes, candidate: &mut Candidate<'_>) {
    let text = format!("location {name}: {}", location.met_by(has));
    candidate.reason(location.score.clamp(-INFINITY, INFINITY), text);
}
