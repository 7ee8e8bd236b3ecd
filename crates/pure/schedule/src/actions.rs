//! The actions that lead from one plan to another, for an operator to read before anything is done.
//!
//! Not for execution: each node derives what it does from the plan itself (crate `cluster`).

use standfast_model::{
    id::{GroupId, NodeId, ResourceId},
    plan::{Action, ActionKind, Assignment, Plan, PlanNumber},
};
use std::collections::{BTreeMap, BTreeSet};

/// Where a member runs, and as which instance.
type Home<'a> = (&'a NodeId, PlanNumber);

/// All stops, each group's in reverse member order, then all starts in member order.
///
/// A member whose node stays but whose group was given to it anew (`since` differs) is restarted.
/// Groups in maintenance in the new plan cause nothing; the end of a maintenance causes what it put off.
#[must_use]
pub fn actions(before: &Plan, after: &Plan) -> Vec<Action> {
    let mut list = Actions::default();
    let old = homes(before);
    let new = homes(after);
    for (group, assignment) in &before.groups {
        list.stop_group(group, assignment, &new, after);
    }
    for (group, assignment) in active_groups(after) {
        list.start_group(group, assignment, &old);
    }
    list.actions
}

/// Adds the restart of what runs on where its command has changed: the first changed member and all
/// that come after it stop in reverse order, then start again.
pub fn restart(
    list: &mut Vec<Action>,
    assignment: &Assignment,
    changed: &dyn Fn(&ResourceId) -> bool,
) {
    let Some(node) = &assignment.node else { return };
    let Some(first) = assignment.members.iter().position(changed) else {
        return;
    };
    let idle = |member: &&ResourceId| list.iter().all(|action| action.resource != **member);
    let members: Vec<ResourceId> = assignment
        .members
        .iter()
        .skip(first)
        .filter(idle)
        .cloned()
        .collect();
    let stops = members.iter().rev().map(|m| (ActionKind::Stop, m));
    let starts = members.iter().map(|m| (ActionKind::Start, m));
    let mut previous = None;
    for (kind, member) in stops.chain(starts) {
        list.push(Action {
            kind,
            resource: member.clone(),
            node: node.clone(),
            after: previous.into_iter().collect(),
        });
        previous = Some(list.len() - 1);
    }
}

fn active_groups(plan: &Plan) -> impl Iterator<Item = (&GroupId, &Assignment)> {
    plan.groups.iter().filter(|(_, a)| !a.maintenance)
}

fn homes(plan: &Plan) -> BTreeMap<&ResourceId, Home<'_>> {
    let mut homes = BTreeMap::new();
    for assignment in plan.groups.values() {
        let Some(node) = &assignment.node else {
            continue;
        };
        for member in &assignment.members {
            homes.insert(member, (node, assignment.since_of(member)));
        }
    }
    homes
}

fn in_maintenance(plan: &Plan, resource: &ResourceId) -> bool {
    plan.groups
        .values()
        .any(|a| a.maintenance && a.members.contains(resource))
}

#[derive(Default)]
struct Actions {
    actions: Vec<Action>,
    stop_of: BTreeMap<ResourceId, usize>,
    last_stop_of: BTreeMap<GroupId, usize>,
}

impl Actions {
    fn stop_group(
        &mut self,
        group: &GroupId,
        assignment: &Assignment,
        new: &BTreeMap<&ResourceId, Home<'_>>,
        after: &Plan,
    ) {
        let Some(node) = &assignment.node else { return };
        for member in assignment.members.iter().rev() {
            let stays = new.get(member) == Some(&(node, assignment.since_of(member)));
            if stays || in_maintenance(after, member) {
                continue;
            }
            let wait = self.last_stop_of.get(group).copied();
            let index = self.push(ActionKind::Stop, member, node, wait.into_iter().collect());
            self.stop_of.insert(member.clone(), index);
            self.last_stop_of.insert(group.clone(), index);
        }
    }

    fn start_group(
        &mut self,
        group: &GroupId,
        assignment: &Assignment,
        old: &BTreeMap<&ResourceId, Home<'_>>,
    ) {
        let Some(node) = &assignment.node else { return };
        let mut previous = None;
        for member in &assignment.members {
            let runs = old.get(member) == Some(&(node, assignment.since_of(member)));
            if runs {
                continue;
            }
            // The group's stops have to be complete before its first start; a member that comes
            // from another group waits for its own stop as well.
            let first = previous.or_else(|| self.last_stop_of.get(group).copied());
            let own = self.stop_of.get(member).copied();
            let wait: BTreeSet<usize> = first.into_iter().chain(own).collect();
            let wait = wait.into_iter().collect();
            previous = Some(self.push(ActionKind::Start, member, node, wait));
        }
    }

    fn push(
        &mut self,
        kind: ActionKind,
        resource: &ResourceId,
        node: &NodeId,
        after: Vec<usize>,
    ) -> usize {
        self.actions.push(Action {
            kind,
            resource: resource.clone(),
            node: node.clone(),
            after,
        });
        self.actions.len() - 1
    }
}
