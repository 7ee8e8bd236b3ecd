//! What would move a group, and what its last move cost: sentences for `explain`.

use super::text::{length, utc};
use standfast_cluster::after_loss;
use standfast_model::{
    config::ResourceKind,
    id::{GroupId, NodeId},
    plan::INFINITY,
    request::View,
    time::Micros,
};

/// Everything that would move a group away from where it is, the likeliest first.
pub(crate) fn movers(view: &View, group: &GroupId) -> Vec<String> {
    let state = &view.state;
    let assignment = state.plan.groups.get(group);
    let Some(node) = assignment.and_then(|assignment| assignment.node.as_ref()) else {
        return Vec::new();
    };
    let Some(settings) = state.config.groups.get(group) else {
        return Vec::new();
    };
    if state.in_maintenance(group) {
        return vec![String::from("nothing, as long as it is in maintenance")];
    }
    let mut sentences = vec![loss(view, group, node)];
    for member in &settings.members {
        let Some(resource) = state.config.resources.get(member) else {
            continue;
        };
        let records = state.failures.get(member);
        let counted = records.and_then(|records| records.get(node));
        let counted = counted.map_or(0, |record| record.count);
        let policy = &resource.failure;
        sentences.push(format!(
            "{} failures of {member} on {node} within {} ({counted} count now)",
            policy.threshold,
            length(policy.window)
        ));
        if matches!(resource.kind, ResourceKind::Vip(_)) {
            sentences.push(format!(
                "the loss of the client network of {member} on {node}: no carrier, or no gateway where one is watched"
            ));
        }
    }
    if settings.copy.is_some() {
        sentences.push(format!(
            "an operator: `standfast resource disable {group}`, `standfast node drain {node}`"
        ));
        return sentences;
    }
    sentences.push(format!(
        "an operator: `standfast switchover {group}`, `standfast node drain {node}`"
    ));
    if settings.stickiness >= INFINITY {
        sentences.push(String::from(
            "not the return of a node that it prefers: staying outweighs every preference (stickiness)",
        ));
    }
    sentences
}

fn loss(view: &View, group: &GroupId, node: &NodeId) -> String {
    if let Some(copy) = view.state.config.copy_of(group) {
        let of = &copy.group;
        return format!(
            "the loss of {node}: it ends with its node, and the other copies of {of} go on"
        );
    }
    let next = after_loss(&view.state, node).remove(group).flatten();
    match next {
        Some(next) => {
            let predicted = view.predicted_rto.get(group);
            let within = predicted.map_or_else(String::new, |rto| {
                format!(", which takes about {}", length(rto.node_lost))
            });
            format!("the loss of {node}: it would move to {next}{within}")
        }
        None => format!("the loss of {node}: it would run nowhere, no other node can run it"),
    }
}

/// The last times without service, newest first.
pub(crate) fn measured(view: &View, group: &GroupId) -> Vec<String> {
    let service = view.state.service.get(group);
    let outages = service
        .into_iter()
        .flat_map(|service| service.last.iter().rev());
    outages
        .take(3)
        .filter_map(|outage| {
            let took = length(Micros::from_millis(outage.length_ms()?));
            let to = outage.to.as_ref()?;
            let place = if *to == outage.from {
                format!("on {to}")
            } else {
                format!("from {} to {to}", outage.from)
            };
            let (time, cause) = (utc(outage.began_ms), outage.cause.name());
            Some(format!("{time}  {took} without service ({cause}, {place})"))
        })
        .collect()
}
