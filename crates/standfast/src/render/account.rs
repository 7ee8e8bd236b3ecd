//! The full account of a resource of a Pacemaker cluster: scores with what they are made of, and what would have to change.
//!
//! Not for the groups of a cluster of our own: see `explain`.

use super::{
    explain::score,
    style::{Style, Tone},
};
use serde::Serialize;
use standfast_scheduler::{
    Elsewhere, InstanceAccount, NodeAccount, account as instances, elsewhere, input::Cluster,
};

/// `standfast/account/1`.
#[derive(Debug, Serialize)]
pub struct Account {
    schema: &'static str,
    resource: String,
    /// Each primitive of the resource, and each copy of it.
    instances: Vec<InstanceAccount>,
    /// What would have to change for the resource to be on each node.
    elsewhere: Vec<Elsewhere>,
}

impl Account {
    /// The account of a resource; none if there is no such resource.
    #[must_use]
    pub fn of(cluster: &Cluster, resource: &str) -> Option<Self> {
        Some(Self {
            schema: "standfast/account/1",
            resource: resource.to_owned(),
            instances: instances(cluster, resource)?,
            elsewhere: elsewhere(cluster, resource),
        })
    }
}

/// An account as text.
#[must_use]
pub fn account(account: &Account, style: Style) -> String {
    let mut text = String::new();
    for instance in &account.instances {
        text.push_str(&told(instance, style));
        text.push('\n');
    }
    text.push_str(&style.paint(Tone::Heading, "What would have to change"));
    text.push('\n');
    for there in &account.elsewhere {
        text.push_str(&format!("  {:<12} {}\n", there.node, needed(there)));
    }
    text
}

fn told(instance: &InstanceAccount, style: Style) -> String {
    let name = &instance.resource;
    let place = match &instance.node {
        Some(node) => format!("{name} belongs on {node}"),
        None => format!("{name} belongs nowhere"),
    };
    let active = match instance.active_on.as_slice() {
        [] => String::from("; it is not active"),
        nodes
            if instance
                .node
                .as_ref()
                .is_some_and(|node| nodes == [node.clone()]) =>
        {
            String::from(", where it is")
        }
        nodes => format!("; it is active on {}", nodes.join(", ")),
    };
    let mut text = style.paint(Tone::Heading, &format!("{place}{active}."));
    text.push('\n');
    for note in &instance.notes {
        text.push_str(&format!("  {note}\n"));
    }
    if let Some(promotion) = instance.promotion {
        text.push_str(&format!(
            "  its score for being promoted is {}\n",
            score(promotion.into())
        ));
    }
    for node in &instance.nodes {
        text.push_str(&line(
            node,
            instance.node.as_ref() == Some(&node.node),
            style,
        ));
    }
    text
}

fn line(node: &NodeAccount, chosen: bool, style: Style) -> String {
    let mark = if chosen { "*" } else { " " };
    let written = |score: i32| self::score(score.into());
    let score = node.score.map_or_else(|| String::from("none"), written);
    let head = format!("{mark} {:<12} {score:>10}", node.node);
    let tone = if chosen { Tone::Good } else { Tone::Plain };
    let mut text = style.paint(tone, &head);
    if let Some(why) = &node.unusable {
        text.push_str(&format!("   takes nothing: {why}"));
    } else if node.score.is_none() {
        text.push_str("   nothing allows it here (opt-in cluster)");
    }
    text.push('\n');
    for part in &node.parts {
        // What neither adds nor takes away only matters where it is what allows the node.
        if part.score != 0 || part.constraint.is_some() {
            text.push_str(&format!("{:>25}   {}\n", written(part.score), part.text));
        }
    }
    text
}

fn needed(there: &Elsewhere) -> String {
    match &there.changes {
        _ if there.there => String::from("it ends up there as things are"),
        Some(changes) => changes.join(", and "),
        None => String::from("nothing was found that would bring it there"),
    }
}
