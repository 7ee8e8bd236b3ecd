//! Invariant 23: what an operator has ordered holds for as long as it is in force, whoever leads. Invariant 24: failures
//! are forgotten only when they are old enough, or because an operator says so.
//!
//! One decision may have been on its way when an order came: from the second new plan on every one follows it. Ages of failures are judged by true
//! time, from when the first node knew of them.

use crate::world::World;
use standfast_model::{
    command::{Change, Command},
    id::{GroupId, NodeId, ResourceId},
    plan::Plan,
    state::ClusterState,
};
use std::collections::BTreeMap;

/// What one node was last seen with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// Orders by group and sort, with the generation of the plan that was in force when they were first seen.
    since: BTreeMap<(GroupId, bool), (u64, u64)>,
}

/// So many plans may not follow an order yet that was given when another one was in force: the one itself, and one on its way.
const ON_ITS_WAY: u64 = 1;

/// Clocks may be so much faster than true time, in millionths.
const FASTER: u64 = 20_000;

pub(crate) fn after_step(world: &mut World, node: usize) {
    note_failures(world, node);
    let Some(core) = &world.nodes[node].core else {
        return;
    };
    let state = core.inspect().state;
    if state.orders.is_empty() && state.maintenance.is_empty() {
        world.truth.nodes[node].ordered.since.clear();
        return;
    }
    let mut known = std::mem::take(&mut world.truth.nodes[node].ordered);
    let text = judge(state, &mut known);
    world.truth.nodes[node].ordered = known;
    if let Some(text) = text {
        let text = format!("n{}: {text}", node + 1);
        world.broken(23, text);
    }
}

fn judge(state: &ClusterState, known: &mut Known) -> Option<String> {
    let mut orders: BTreeMap<(GroupId, bool), u64> = BTreeMap::new();
    let maintenance = &state.maintenance;
    for group in state.config.groups.keys() {
        let own = state.orders.get(group);
        let disabled = own.and_then(|own| own.disabled.as_ref());
        let left_alone = own.and_then(|own| own.unmanaged.as_ref());
        let on_node = maintenance.nodes.values();
        let on_node = on_node.filter(|node| node.groups.contains(group));
        let on_node = on_node.map(|node| &node.given).next();
        let left_alone = left_alone.or(on_node).or(maintenance.cluster.as_ref());
        orders.extend(disabled.map(|given| ((group.clone(), false), given.index)));
        orders.extend(left_alone.map(|given| ((group.clone(), true), given.index)));
    }
    let generation = state.plan.number.generation;
    known
        .since
        .retain(|key, (index, _)| orders.get(key) == Some(index));
    for (key, index) in orders {
        let (_, first) = *known
            .since
            .entry(key.clone())
            .or_insert((index, generation));
        if generation > first + ON_ITS_WAY
            && let Some(text) = ignored(&state.plan, &key)
        {
            return Some(text);
        }
    }
    None
}

/// Why a plan does not follow an order, if it does not.
fn ignored(plan: &Plan, (group, left_alone): &(GroupId, bool)) -> Option<String> {
    let given = plan.groups.get(group)?;
    let number = plan.number;
    if *left_alone {
        let text = format!("plan {number} looks after {group}, which is to be left alone");
        return (!given.maintenance).then_some(text);
    }
    // It may still be running where its stop is not confirmed, and in maintenance it stays.
    let pinned = given
        .reasons
        .iter()
        .any(|reason| reason.text.contains("may still run there"));
    let runs = given.node.is_some() && !given.maintenance && !pinned;
    runs.then(|| format!("plan {number} gives {group} a node, although it is disabled"))
}

/// When each failure came that counts.
pub(crate) type Failures = BTreeMap<(ResourceId, NodeId), (u32, u64)>;

/// An entry that is committed and has just been applied for the first time.
pub(crate) fn on_entry(world: &mut World, node: usize, data: &[u8]) {
    let Ok(command) = serde_json::from_slice::<Command>(data) else {
        return;
    };
    let forgotten = if let Change::ForgetFailures {
        resource,
        node,
        by: None,
        ..
    } = command.change
    {
        Some((resource, node))
    } else {
        None
    };
    let Some(key) = forgotten else {
        return;
    };
    let Some(core) = &world.nodes[node].core else {
        return;
    };
    let state = core.inspect().state;
    if state.counts_failures(&key.0, &key.1) {
        // Another one came while that was on its way.
        return;
    }
    let settings = state.config.resources.get(&key.0);
    let Some(window) = settings.map(|settings| settings.failure.window.0) else {
        return;
    };
    let Some((_, at)) = world.truth.failures.get(&key).copied() else {
        return;
    };
    let age = world.time.saturating_sub(at);
    let least = window - window / 1_000_000 * FASTER;
    if age < least {
        let text = format!(
            "failures of {} on {} are forgotten after {} ms, and count for {} ms",
            key.0,
            key.1,
            age / 1000,
            window / 1000
        );
        world.broken(24, text);
    }
}

/// Notes failures that a node knows of, with the time when the first one did.
fn note_failures(world: &mut World, node: usize) {
    let Some(core) = &world.nodes[node].core else {
        return;
    };
    let seen = core.inspect();
    // An agent that starts goes once more through what was, and knows of fewer.
    if seen.applied < world.truth.failures_seen {
        return;
    }
    world.truth.failures_seen = seen.applied;
    let failures = &seen.state.failures;
    if failures.is_empty() {
        return;
    }
    let records = failures.iter();
    let counted = records.flat_map(|(resource, nodes)| {
        nodes
            .iter()
            .map(move |(node, record)| ((resource.clone(), node.clone()), record.count))
    });
    let counted: Vec<_> = counted.collect();
    let now = world.time;
    for (key, count) in counted {
        let known = world.truth.failures.entry(key).or_insert((0, now));
        if count > known.0 {
            known.1 = now;
        }
        known.0 = count;
    }
}
