//! A changed configuration of what runs on this node: addresses are changed where they are, an agent takes over what it can,
//! everything else is started anew. And what of that is told.
//!
//! Not for what kind of change it is (`standfast_model::change`).

use crate::{apply::Entry, core::Core};
use standfast_model::{
    change::Change,
    config::ResourceKind,
    effect::{Effect, Level},
    id::{NodeId, ResourceId},
    plan::Assignment,
    state::{ClusterState, NodeReport, Phase},
    time::Now,
};
use std::collections::BTreeSet;

impl Core {
    /// Compares what runs of a group with its configuration. The driver is told a state and not a change: it may be told twice, and
    /// whoever finds something running has it compared by the driver, who knows what it was given.
    pub(crate) fn adapt(&mut self, now: Now, members: &[ResourceId], assignment: &Assignment) {
        let in_step = self.is_in_step(now);
        for resource in members {
            let earlier = members.iter().take_while(|earlier| *earlier != resource);
            let mut earlier = earlier.filter_map(|earlier| self.locals.get(earlier));
            if earlier.any(|earlier| earlier.to_restart) {
                // It is stopped with what it follows, and started as it is configured then.
                break;
            }
            let Some(config) = self.state.config.resources.get(resource) else {
                continue;
            };
            let Some(local) = self.locals.get_mut(resource) else {
                continue;
            };
            if local.phase != Phase::Active || local.since != assignment.since_of(resource) {
                continue;
            }
            let change = match &local.kind {
                Some(before) => before.change_to(&config.kind),
                // What is known here may be an older configuration than that by which it runs.
                None if has_agent(&config.kind) && !in_step => {
                    self.holder.to_compare = true;
                    continue;
                }
                None if has_agent(&config.kind) => Change::Reload(BTreeSet::new()),
                None => {
                    local.kind = Some(config.kind.clone());
                    continue;
                }
            };
            if change == Change::Nothing {
                continue;
            }
            local.kind = Some(config.kind.clone());
            let live = matches!(config.kind, ResourceKind::Vip(_));
            if change == Change::Restart && !live {
                local.to_restart = true;
                continue;
            }
            self.out.push(Effect::Reconfigure {
                resource: resource.clone(),
                kind: Box::new(config.kind.clone()),
            });
            if let Change::Reload(names) = change
                && !names.is_empty()
            {
                let names = listed(&names);
                self.log(Level::Info, format!("{resource}: is to take over {names}"));
            }
        }
    }
}

fn has_agent(kind: &ResourceKind) -> bool {
    match kind {
        ResourceKind::Process(process) => process.agent.is_some(),
        ResourceKind::Vip(_) => false,
    }
}

/// Names of parameters in a sentence.
pub(crate) fn listed<'n>(names: impl IntoIterator<Item = &'n String>) -> String {
    let names: Vec<&str> = names.into_iter().map(String::as_str).collect();
    names.join(", ")
}

/// What an agent has taken over is told in the journal.
pub(crate) fn note(
    state: &mut ClusterState,
    entry: &mut Entry,
    node: &NodeId,
    (before, report): (&NodeReport, &NodeReport),
) {
    let same = before.incarnation == report.incarnation;
    for (resource, instance) in &report.instances {
        let known = before.instances.get(resource).filter(|_| same);
        if instance.reloads > known.map_or(0, |known| known.reloads) {
            let text = format!(
                "{resource} on {node} has taken over its changed parameters, without a restart"
            );
            entry.write(state, "config", text, Vec::new());
        }
    }
}
