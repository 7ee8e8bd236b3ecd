//! Groups: two that must be together become one, and what remains to be said of each.
//!
//! Not for which must be together: see `constraints`.

use standfast_scheduler::score::{self, INFINITY};

use crate::draft::{Draft, Group};

impl Group {
    /// Whether a resource came into the group as part of what an id means.
    pub(crate) fn belongs(&self, resource: &str, id: &str) -> bool {
        let parts = self.parts.iter().filter(|(whole, _)| whole == id);
        parts
            .flat_map(|(_, members)| members)
            .any(|member| member == resource)
    }
}

/// Makes one group of two, the members of `first` first.
pub(crate) fn join(draft: &mut Draft, first: usize, then: usize, what: &str) {
    if first == then || first >= draft.groups.len() || then >= draft.groups.len() {
        return;
    }
    let late = draft.groups.remove(then);
    let first = if then < first { first - 1 } else { first };
    let Some(group) = draft.groups.get_mut(first) else {
        return;
    };
    group.ids.extend(late.ids);
    group.parts.extend(late.parts);
    group.members.extend(late.members);
    group.comments.extend(late.comments);
    group.comments.push(format!("Together by {what}."));
    group.stickiness = score::add(group.stickiness, late.stickiness);
    group.priority = group.priority.max(late.priority);
    for (node, score) in late.prefer {
        let known = group.prefer.entry(node).or_insert(0);
        *known = score::add(*known, score);
    }
}

/// What is left: nodes that a group may not run on unless it says so, and scores that do not exist here.
pub(crate) fn settle(draft: &mut Draft) {
    let nodes: Vec<String> = draft.nodes.iter().map(|node| node.name.clone()).collect();
    let opt_in = draft.opt_in;
    let mut negative = Vec::new();
    for group in &mut draft.groups {
        if opt_in {
            for node in &nodes {
                group.prefer.entry(node.clone()).or_insert(-INFINITY);
            }
        }
        if group.stickiness < 0 {
            negative.push(format!(
                "{} resource-stickiness={}",
                group.name, group.stickiness
            ));
            group.stickiness = 0;
        }
    }
    for what in negative {
        draft.changed(&what, "0 here: nothing is pushed away from where it is");
    }
}
