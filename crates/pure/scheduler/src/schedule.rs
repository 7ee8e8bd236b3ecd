//! All stages in their order, down to a plan that leaves no choice but what may happen at once.
//!
//! Not for the stages themselves.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use crate::account::{Cause, Ledger};
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
    decide_with(input, None)
}

/// Everything decided, with an account of scores if one is asked for.
pub(crate) fn decide_with(input: &Cluster, ledger: Option<Box<Ledger>>) -> Work<'_> {
    let mut work = build(input, &input.states);
    work.ledger = ledger;
    work.note(|_| Cause::new("score of the node for everything"));
    work.unpack_status();
    work.note(|_| Cause::new("what is known of it there"));
    work.apply_health();
    work.unpack_constraints();
    work.note(|_| Cause::new("a ticket"));
    work.apply_node_criteria();
    for rsc in work.top.clone() {
        work.add_internal_constraints(rsc);
    }
    work.note(|_| Cause::new("it may not run behind a remote connection"));
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
        let is_in = |id: ActionId| included.get(id.at()).copied().unwrap_or(false);
        let inputs = |id: ActionId| {
            let links = self.actions[id].before.iter();
            let real = links.filter(|link| link.flags != order::NONE && is_in(link.action));
            real.count()
        };
        let mut waits: Vec<usize> = self.actions.ids().map(inputs).collect();
        let wanted = self.actions.ids().filter(|id| is_in(*id));
        let mut all: Vec<(u8, ActionId)> = wanted.map(|id| (self.kind_rank(id), id)).collect();
        all.sort_unstable();
        let free = all.iter().filter(|(_, id)| waits.get(id.at()) == Some(&0));
        let mut ready: BinaryHeap<Reverse<(u8, ActionId)>> = free.copied().map(Reverse).collect();
        let mut done = vec![false; self.actions.len()];
        let mut plan = Vec::with_capacity(all.len());
        // What waits in a circle is let go in the order of its kind.
        let mut in_turn = all.into_iter();
        while let Some((_, next)) = ready.pop().map(|next| next.0).or_else(|| in_turn.next()) {
            if done
                .get_mut(next.at())
                .is_none_or(|done| std::mem::replace(done, true))
            {
                continue;
            }
            plan.push(next);
            for link in &self.actions[next].after {
                let counts = is_in(link.action) && link.flags != order::NONE;
                let count = waits
                    .get_mut(link.action.at())
                    .filter(|count| counts && **count > 0);
                let last = count.is_some_and(|count| std::mem::replace(count, *count - 1) == 1);
                ready.extend(last.then(|| Reverse((self.kind_rank(link.action), link.action))));
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
                match number.get(link.action.at()).copied().flatten() {
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
            if let Some(slot) = number.get_mut(id.at()) {
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
