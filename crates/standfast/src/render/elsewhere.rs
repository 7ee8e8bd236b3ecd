//! What would have to change for a group to be on another node: from the reasons of the decision itself.
//!
//! Not for what would move it away: see `movers`.

use serde::Serialize;
use standfast_model::{
    id::{GroupId, NodeId},
    plan::{INFINITY, Reason},
    request::View,
};

/// A node where the group is not, and what it would take.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct There {
    pub(crate) node: String,
    /// Sentences; all of them have to come true.
    pub(crate) changes: Vec<String>,
}

/// A node as the decision saw it.
pub(crate) struct Seen<'s> {
    pub(crate) node: &'s str,
    pub(crate) score: i64,
    pub(crate) reasons: &'s [Reason],
}

/// Every node but the one where the group is, best first.
pub(crate) fn elsewhere(view: &View, group: &GroupId, nodes: &[Seen<'_>]) -> Vec<There> {
    if view.state.config.copy_of(group).is_some() {
        // It belongs to its node.
        return Vec::new();
    }
    let assignment = view.state.plan.groups.get(group);
    let chosen = assignment.and_then(|assignment| assignment.node.as_ref());
    let here = nodes.iter().find(|seen| is(chosen, seen.node));
    let others = nodes.iter().filter(|seen| !is(chosen, seen.node));
    let mut whole = whole(view, group);
    if let Some(assignment) = assignment.filter(|_| here.is_none() && whole.is_empty()) {
        // That no node can is no cause: each node has its own.
        let cause = |reason: &&Reason| reason.node.is_none() && reason.text != "no node can run it";
        let about = assignment.reasons.iter().filter(cause);
        whole.extend(about.map(|reason| format!("{}: that has to end", reason.text)));
    }
    others
        .map(|seen| {
            let mut changes = whole.clone();
            let excluding = seen.reasons.iter().filter(|r| r.score <= -INFINITY);
            changes.extend(excluding.map(|reason| remedy(group, seen.node, &reason.text)));
            if changes.is_empty() {
                changes.push(outweigh(group, seen, here.map(|here| here.score)));
            }
            There {
                node: seen.node.to_owned(),
                changes,
            }
        })
        .collect()
}

fn is(chosen: Option<&NodeId>, node: &str) -> bool {
    chosen.is_some_and(|chosen| chosen.as_str() == node)
}

/// What keeps the group from every node but its own, or from all.
fn whole(view: &View, group: &GroupId) -> Vec<String> {
    let config = &view.state.config;
    let mut all = Vec::new();
    if !view.quorum {
        all.push(String::from("a majority of the voters has to be heard"));
    }
    if config.observes() {
        all.push(String::from("the cluster has to act, and not only observe"));
    }
    if view.state.in_maintenance(group) {
        all.push(String::from("the maintenance has to end"));
    }
    let orders = view.state.orders_of(group);
    if orders.is_some_and(|orders| orders.disabled.is_some()) {
        all.push(format!("`standfast resource enable {group}`"));
    }
    all
}

/// How an exclusion ends.
fn remedy(group: &GroupId, node: &str, text: &str) -> String {
    let lasting = text.contains(" cannot run on ") || text.contains(" cannot run anywhere as ");
    let end = if lasting {
        format!(
            "`standfast resource cleanup {group}`, once the cause is mended, or another configuration"
        )
    } else if text.ends_with("is drained") {
        format!("`standfast node resume {node}`")
    } else if text.ends_with("is not online") || text.ends_with("is shutting down") {
        String::from("it has to come back")
    } else if text.contains(" is a witness ") {
        String::from("never")
    } else if text.contains(" keeps it away from ") {
        format!("`standfast resource clear {group} {node}`")
    } else if text.contains(" failed ") && text.contains("(the limit is ") {
        format!("`standfast resource cleanup {group}`, once the cause is mended")
    } else if text.ends_with(" has no promotion score yet") {
        String::from("its agent has to say one, which it may after each monitor")
    } else if text.contains(" is not to be promoted (its agent says ") {
        String::from("its agent has to say one that is not negative")
    } else if text.starts_with("location ") {
        format!("other attributes of {node}, or another [location.NAME], in the configuration")
    } else {
        String::from("that has to end")
    };
    format!("{text}: {end}")
}

fn outweigh(group: &GroupId, seen: &Seen<'_>, here: Option<i64>) -> String {
    let node = seen.node;
    let order = format!("`standfast switchover {group} --to {node}`");
    match here {
        Some(here) if here < INFINITY && here >= seen.score => {
            let more = here.saturating_sub(seen.score).saturating_add(1);
            format!("{order}, or a preference for {node} of {more} more")
        }
        _ => order,
    }
}
