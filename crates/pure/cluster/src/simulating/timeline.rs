//! When each step of something imagined begins and how long it takes: the estimates of `plan`, one after the other.
//!
//! Not for losses, which begin with a wait (`losses`).

use crate::preview::{decision_takes, measured};
use standfast_model::{
    config::ClusterConfig,
    id::{GroupId, NodeId, ResourceId},
    plan::{Action, ActionKind, Plan},
    request::{Interruption, InterruptionPart, Source},
    simulation::Step,
    state::ClusterState,
    time::Micros,
};
use standfast_schedule::{
    interruption::{interruptions, part, whole},
    turns::{Parts, wait_in_turn},
};
use std::collections::BTreeMap;

/// What a decision changes.
pub(super) struct Timeline<'t> {
    /// Before it: who has measured what.
    pub(super) state: &'t ClusterState,
    /// Before and after.
    pub(super) configs: (&'t ClusterConfig, &'t ClusterConfig),
    /// Before and after.
    pub(super) plans: (&'t Plan, &'t Plan),
}

impl Timeline<'_> {
    pub(super) fn interruptions(&self, list: &[Action]) -> Vec<Interruption> {
        let took = |node: &NodeId, resource: &ResourceId, kind: ActionKind| {
            measured(self.state, node, resource, kind)
        };
        let decide = decision_takes(self.state);
        interruptions(self.plans, list, self.configs, decide, &took)
    }

    /// The starts of a group among some actions.
    pub(super) fn starts(&self, list: &[Action], group: &GroupId) -> Vec<InterruptionPart> {
        let took = |node: &NodeId, resource: &ResourceId, kind: ActionKind| {
            measured(self.state, node, resource, kind)
        };
        let given = self.plans.1.groups.get(group);
        let mine = list.iter().filter(|action| {
            action.kind == ActionKind::Start
                && given.is_some_and(|given| given.members.contains(&action.resource))
        });
        mine.map(|action| part(action, self.configs.1, &took))
            .collect()
    }

    /// Adds to what is interrupted how long it waits for its turn. When each group's first step begins.
    pub(super) fn wait(
        &self,
        list: &[Action],
        interruptions: &mut [Interruption],
    ) -> BTreeMap<GroupId, Micros> {
        let sequences = &self.configs.1.constraints.sequences;
        if sequences.is_empty() {
            return BTreeMap::new();
        }
        let groups = self.plans.1.groups.keys();
        let mut starts: Parts = groups
            .map(|group| (group.clone(), self.starts(list, group)))
            .collect();
        starts.retain(|_, parts| !parts.is_empty());
        wait_in_turn(
            sequences,
            interruptions,
            &starts,
            decision_takes(self.state),
        )
    }

    /// Everything that is interrupted, and what starts that did not run.
    pub(super) fn steps(&self, list: &[Action], interruptions: &mut [Interruption]) -> Vec<Step> {
        let begins = self.wait(list, interruptions);
        let begins = |group: &GroupId| begins.get(group).copied().unwrap_or(Micros::ZERO);
        let mut steps: Vec<Step> = Vec::new();
        for found in interruptions.iter() {
            steps.extend(in_a_row(&found.group, &found.parts, begins(&found.group)));
        }
        for group in self.plans.1.groups.keys() {
            if interruptions.iter().all(|found| found.group != *group) {
                steps.extend(in_a_row(group, &self.starts(list, group), begins(group)));
            }
        }
        steps.sort_by_key(|step| step.at);
        steps
    }
}

/// One after the other, from then on.
fn in_a_row(group: &GroupId, parts: &[InterruptionPart], begins: Micros) -> Vec<Step> {
    let mut at = begins;
    let steps = parts.iter().map(|part| {
        let step = Step {
            at,
            length: part.length,
            group: group.clone(),
            what: part.what.clone(),
            source: part.source.clone(),
        };
        at = at.plus(part.length);
        step
    });
    steps.collect()
}

/// A resource that has ended by itself is not stopped. Where it is started again, that may have to wait.
pub(super) fn without_stop(
    interruptions: &mut [Interruption],
    resource: &ResourceId,
    node: &NodeId,
    wait: Micros,
) {
    let stop = format!("stop {resource} on {node}");
    let start = format!("start {resource} on {node}");
    for found in interruptions {
        let mut parts = std::mem::take(&mut found.parts);
        parts.retain(|part| part.what != stop);
        let starts = parts.iter().position(|part| part.what == start);
        if let Some(position) = starts.filter(|_| wait > Micros::ZERO) {
            let what = String::from("wait before the next restart");
            parts.insert(position, usual(what, wait));
        }
        *found = whole(&found.group, &found.from, found.to.clone(), parts);
    }
}

/// A part that nobody measures.
pub(super) fn usual(what: String, length: Micros) -> InterruptionPart {
    InterruptionPart {
        what,
        length,
        source: Source::Usual,
    }
}
