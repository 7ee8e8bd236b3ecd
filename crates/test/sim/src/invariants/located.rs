//! Invariant 27: nothing is started on a node that a location forbids. Judged by the configuration that the leader had when it
//! decided the plan which gives the node what starts there: what has changed since is for the next plan. And once all is calm,
//! what a change forbids where it runs has stopped there soon.
//!
//! Not judged: what a plan leaves alone, because nothing of it is started (16).

use crate::{attributes, coverage::Case, scenario::Scenario, truth::place, world::World};
use standfast_model::{
    command::{Change, Command},
    config::ClusterConfig,
    effect::Effect,
    id::{GroupId, NodeId},
    plan::PlanNumber,
};
use std::{collections::BTreeMap, rc::Rc};

/// Once an operator's change is in force and nothing else is wrong, so long may what it forbids still run there.
pub(crate) const CALM: u64 = 3_000_000;

/// Where groups may not be, and because of which location.
pub(crate) type Forbidden = BTreeMap<(GroupId, NodeId), String>;

/// What a node was last seen with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// Version of the configuration and number of nodes.
    of: (u64, usize),
    forbidden: Rc<Forbidden>,
}

/// What a leader knew when it decided a plan: before the step in which it did so, and after it.
pub(crate) type Decided = BTreeMap<PlanNumber, [Rc<Forbidden>; 2]>;

fn forbidden(config: &ClusterConfig) -> Forbidden {
    let pairs = config
        .groups
        .keys()
        .flat_map(|group| config.nodes.keys().map(move |node| (group, node)));
    pairs
        .filter_map(|(group, node)| {
            let name = attributes::forbids(config, group, node)?;
            Some(((group.clone(), node.clone()), name))
        })
        .collect()
}

/// After every step of a core, with what it wants done: a plan is decided when its leader writes it.
pub(crate) fn after_step(world: &mut World, node: usize, effects: &[Effect]) {
    let Some(core) = &world.nodes[node].core else {
        return;
    };
    let seen = core.inspect();
    let config = &seen.state.config;
    let before = world.truth.nodes[node].located.forbidden.clone();
    let of = (seen.state.config_version, config.nodes.len());
    if world.truth.nodes[node].located.of != of {
        let forbidden = Rc::new(forbidden(config));
        world.truth.nodes[node].located = Known { of, forbidden };
    }
    if seen.leads.is_none() {
        return;
    }
    let after = world.truth.nodes[node].located.forbidden.clone();
    let batches = effects.iter().filter_map(|effect| match effect {
        Effect::Persist(batch) => Some(batch),
        _ => None,
    });
    for entry in batches.flat_map(|batch| &batch.entries) {
        let command = serde_json::from_slice::<Command>(&entry.data);
        let Ok(Change::Decide(decision)) = command.map(|command| command.change) else {
            continue;
        };
        if let Some(plan) = decision.plan.filter(|plan| plan.number.term == seen.term) {
            let decided = &mut world.truth.decided;
            decided.insert(plan.number, [before.clone(), after.clone()]);
        }
    }
}

/// Something of a resource begins to run on a node.
pub(crate) fn on_start(world: &mut World, node: usize, resource: usize, since: PlanNumber) {
    let Some(core) = &world.nodes[node].core else {
        return;
    };
    let newest = core.inspect().state.plan.number.max(since);
    let name = &world.scenario.resources[resource];
    let me = Scenario::node_name(node);
    let mut plans = world.truth.plans.range(since..=newest).rev();
    let found = plans.find_map(|(number, plan)| {
        let (group, owner, of) = place(plan, name)?;
        (owner == Some(&me) && of == since).then(|| (*number, group.clone()))
    });
    let Some((number, group)) = found else {
        return;
    };
    let Some(decided) = world.truth.decided.get(&number) else {
        return;
    };
    let key = (group, me);
    let by = decided[0].get(&key).and(decided[1].get(&key)).cloned();
    if let Some(location) = by {
        let (group, me) = key;
        let text = format!(
            "{name} starts on {me}, from which location {location} kept {group} when plan {number} was decided"
        );
        world.broken(27, text);
    } else if decided[1].keys().any(|(other, _)| *other == key.0) {
        world.hit(Case::StartedWhereAllowed);
    }
}

/// What runs where a location of a configuration does not let it.
pub(crate) fn misplaced(world: &World, config: &ClusterConfig) -> Option<String> {
    let forbidden = forbidden(config);
    for (group, settings) in &config.groups {
        for member in &settings.members {
            let number = world.resource_number(member);
            let mut nodes = number.into_iter().flat_map(|number| world.runs_on(number));
            let found = nodes.find_map(|node| {
                let key = (group.clone(), Scenario::node_name(node));
                forbidden.get(&key).map(|location| (key.1, location))
            });
            if let Some((node, location)) = found {
                return Some(format!(
                    "{member} runs on {node}, from which location {location} keeps {group}"
                ));
            }
        }
    }
    None
}
