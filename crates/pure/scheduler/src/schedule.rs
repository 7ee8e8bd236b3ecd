//! All stages in their order, down to a plan that leaves no choice but what may happen at once.
//!
//! Not for the stages themselves.

use std::collections::{BTreeMap, BTreeSet};

use crate::build::build;
use crate::input::Cluster;
use crate::outcome::Step;
use crate::role::Task;
use crate::work::{Action, ActionId, Work, flag, order};

/// What has to be done in a cluster.
#[must_use]
pub fn plan(input: &Cluster) -> Vec<Step> {
    let work = decide(input);
    let order = work.planned();
    work.steps(&order)
}

/// Everything decided.
pub(crate) fn decide(input: &Cluster) -> Work<'_> {
    let mut work = build(input);
    work.unpack_status();
    work.apply_health();
    work.unpack_constraints();
    work.apply_node_criteria();
    for rsc in work.top.clone() {
        work.add_internal_constraints(rsc);
    }
    work.cancel_leftovers();
    work.assign_resources();
    work.schedule_probes();
    for rsc in work.top.clone() {
        work.create_actions(rsc);
    }
    work.schedule_fencing();
    work.apply_orderings();
    work
}

impl Work<'_> {
    fn is_planned(&self, action: &Action) -> bool {
        let needed = !action.is(flag::OPTIONAL) || action.is(flag::PRINT);
        if !action.is(flag::RUNNABLE) || !needed {
            return false;
        }
        let managed = action.rsc.is_none_or(|rsc| self.rscs[rsc].managed);
        if !managed && action.task != Task::Probe {
            return false;
        }
        if action.is(flag::PSEUDO)
            || matches!(action.task, Task::Fence | Task::Unfence | Task::Shutdown)
        {
            return true;
        }
        let Some(node) = action.node else {
            return false;
        };
        let there = &self.nodes[node];
        (self.is_guest(node) && !there.remote_needs_reset) || (there.online && !there.unclean)
    }

    /// The actions of the plan, each after those that it waits for.
    pub(crate) fn planned(&self) -> Vec<ActionId> {
        let included: Vec<bool> = self
            .actions
            .ids()
            .map(|id| self.is_planned(&self.actions[id]))
            .collect();
        let is_in = |id: ActionId| included.get(id.0).copied().unwrap_or(false);
        let mut waits: Vec<usize> = self
            .actions
            .ids()
            .map(|id| self.inputs(id, &is_in).len())
            .collect();
        let mut ready: BTreeSet<(u8, ActionId)> = BTreeSet::new();
        let mut left: BTreeSet<(u8, ActionId)> = self
            .actions
            .ids()
            .filter(|id| is_in(*id))
            .map(|id| (self.kind_rank(id), id))
            .collect();
        ready.extend(left.iter().filter(|(_, id)| waits.get(id.0) == Some(&0)));
        let mut plan = Vec::new();
        // What waits in a circle is let go in the order of its kind.
        while let Some(next) = ready.pop_first().or_else(|| left.first().copied()) {
            if !left.remove(&next) {
                continue;
            }
            plan.push(next.1);
            for link in &self.actions[next.1].after {
                let counts = is_in(link.action) && link.flags != order::NONE;
                let count = waits
                    .get_mut(link.action.0)
                    .filter(|count| counts && **count > 0);
                let last = count.is_some_and(|count| std::mem::replace(count, *count - 1) == 1);
                ready.extend(last.then(|| (self.kind_rank(link.action), link.action)));
            }
        }
        plan
    }

    fn kind_rank(&self, id: ActionId) -> u8 {
        let order = [Task::Fence, Task::Demote, Task::Stop];
        let task = self.actions[id].task;
        let early = order.iter().zip(0..).find(|(known, _)| **known == task);
        early.map_or(if task == Task::Promote { 4 } else { 3 }, |(_, rank)| rank)
    }

    fn inputs(&self, id: ActionId, is_in: &dyn Fn(ActionId) -> bool) -> Vec<ActionId> {
        let links = self.actions[id].before.iter();
        let real = links.filter(|link| link.flags != order::NONE && is_in(link.action));
        real.map(|link| link.action).collect()
    }

    /// The plan in words. Marks of collectives are left out: what waits for them waits for what
    /// they stand for.
    pub(crate) fn steps(&self, plan: &[ActionId]) -> Vec<Step> {
        let mut number: Vec<Option<usize>> = vec![None; self.actions.len()];
        let mut steps: Vec<Step> = Vec::new();
        let mut behind: BTreeMap<ActionId, Vec<usize>> = BTreeMap::new();
        for id in plan {
            let action = &self.actions[*id];
            let mut after: Vec<usize> = Vec::new();
            for link in action
                .before
                .iter()
                .filter(|link| link.flags != order::NONE)
            {
                match number.get(link.action.0).copied().flatten() {
                    Some(step) => after.push(step),
                    None => after.extend(behind.get(&link.action).into_iter().flatten()),
                }
            }
            after.sort_unstable();
            after.dedup();
            if action.is(flag::PSEUDO) {
                behind.insert(*id, after);
                continue;
            }
            if let Some(slot) = number.get_mut(id.0) {
                *slot = Some(steps.len());
            }
            steps.push(Step {
                id: steps.len(),
                task: action.task.name().to_owned(),
                resource: action.rsc.map(|rsc| self.rscs[rsc].id.clone()),
                node: action.node.map(|node| self.nodes[node].name.clone()),
                after,
            });
        }
        steps
    }
}
