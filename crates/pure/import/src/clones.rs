//! Clones whose instances nothing tells apart: a group with copies.
//!
//! Not for what they are made of (`resources`), and not for promotable ones, which are not expressed.

use standfast_model::agent::lacks_for_promotion;
use standfast_scheduler::{
    input::{Kind, Resource},
    score::is_true,
};

use crate::{
    draft::{Draft, Group},
    ocf,
    resources::{note_below, note_settings, read_children},
    source::{Source, agent},
};

/// Most copies of a group here.
const MOST: usize = 16;

/// Settings of a clone that are looked at here.
const SAID: [&str; 12] = [
    "clone-max",
    "clone-min",
    "clone-node-max",
    "globally-unique",
    "interleave",
    "notify",
    "ordered",
    "promotable",
    "promoted-max",
    "promoted-node-max",
    "master-max",
    "master-node-max",
];

/// Reads a clone. One that cannot be expressed is noted, with all that is in it.
pub(crate) fn read(source: &Source<'_>, resource: &Resource, draft: &mut Draft) {
    let is_device = |child: &Resource| child.agent[0] == "stonith";
    let what = format!("{} (clone)", resource.id);
    if !resource.children.is_empty() && resource.children.iter().all(is_device) {
        return draft.not_needed(&what, "every node can use every fence device here");
    }
    if let Some(reason) = why_not(resource) {
        draft.not_expressed(&what, &reason);
        for child in &resource.children {
            note_below(child, "part of a clone", draft);
        }
        return;
    }
    let inner = resource
        .children
        .first()
        .filter(|child| child.kind == Kind::Group);
    let whole = inner.unwrap_or(resource);
    let Some(mut group) = read_children(source, (resource, whole), draft) else {
        return draft.not_expressed(&what, "nothing of it can be expressed");
    };
    group.copies = Some(copies(resource, draft));
    group.promoted = is_promotable(resource);
    if group.stickiness == 0 && !resource.meta.contains_key("resource-stickiness") {
        // As Pacemaker has it for clones.
        group.stickiness = 1;
    }
    note_clone(source, resource, &what, draft);
    draft.groups.push(group);
}

/// Why a clone has no like here.
fn why_not(resource: &Resource) -> Option<String> {
    let get = |name: &str| resource.meta.get(name).map(String::as_str);
    let number = |name: &str| get(name).and_then(|value| value.trim().parse::<i64>().ok());
    if is_promotable(resource)
        && let Some(reason) = why_not_promoted(resource)
    {
        return Some(reason);
    }
    if is_true(get("globally-unique")) {
        return Some("copies are all alike here, and these differ (globally-unique)".to_owned());
    }
    if number("clone-node-max").is_some_and(|most| most > 1) {
        return Some("a node has one copy at most here".to_owned());
    }
    if number("clone-max").is_some_and(|most| most < 1) {
        return Some("it has no instances (clone-max)".to_owned());
    }
    let mut inner = resource.children.iter().flat_map(|child| {
        let children = child.children.iter();
        std::iter::once(child).chain(children)
    });
    let address = |child: &&Resource| {
        let [_, provider, kind] = &child.agent;
        provider == "heartbeat" && matches!(kind.as_str(), "IPaddr2" | "IPaddr" | "IPv6addr")
    };
    let found = inner.find(address)?;
    Some(format!(
        "{} is an address, which can be on one node only",
        agent(found)
    ))
}

fn is_promotable(resource: &Resource) -> bool {
    resource.legacy_promotable || is_true(resource.meta.get("promotable").map(String::as_str))
}

/// Why none of its copies could be promoted.
fn why_not_promoted(resource: &Resource) -> Option<String> {
    let number = |name: &str| {
        let value = resource.meta.get(name)?;
        value.trim().parse::<i64>().ok()
    };
    let most = number("promoted-max").or(number("master-max"));
    if let Some(most) = most.filter(|most| *most != 1) {
        return Some(format!(
            "one copy is promoted here, and these are {most} (promoted-max)"
        ));
    }
    let inner = resource.children.iter().flat_map(|child| {
        let own = std::iter::once(child).filter(|child| child.children.is_empty());
        own.chain(&child.children)
    });
    inner.into_iter().find_map(|child| {
        let name = agent(child);
        if let Some(lacking) = lacks_for_promotion(&name) {
            return Some(format!("{name} needs {lacking}, which are not there"));
        }
        let known = ocf::runs(child) && child.agent[2] != "anything";
        (!known).then(|| {
            format!("what of {name} is promoted is not ended by killing processes, as far as is known; if it is: effects = \"processes\"")
        })
    })
}

/// The value of `copies`.
fn copies(resource: &Resource, draft: &Draft) -> String {
    let most = resource.meta.get("clone-max");
    let most = most.and_then(|most| most.trim().parse::<usize>().ok());
    match most.filter(|most| *most < draft.nodes.len().min(MOST + 1)) {
        Some(most) => most.to_string(),
        None => String::from("\"all\""),
    }
}

fn note_clone(source: &Source<'_>, resource: &Resource, what: &str, draft: &mut Draft) {
    let is = |name: &str| is_true(resource.meta.get(name).map(String::as_str));
    if is("notify") {
        draft.not_expressed(
            &format!("{what} notify"),
            "agents are told of no others here",
        );
    }
    if is("ordered") {
        draft.not_expressed(&format!("{what} ordered"), "copies start all at once here");
    }
    if resource.meta.contains_key("clone-min") {
        let reason = "what comes after copies waits for all that are to run, and then needs one";
        draft.not_expressed(&format!("{what} clone-min"), reason);
    }
    note_settings(source, resource, &SAID, draft);
}

/// What an order with copies means here, where that is not what it means there.
pub(crate) fn of_order(first: &Group, then: &Group) -> Option<String> {
    first.copies.as_ref()?;
    Some(match &then.copies {
        Some(_) => String::from("between copies it goes node by node here (interleave=true)"),
        None => format!(
            "{} goes on as long as one copy of {} runs",
            then.name, first.name
        ),
    })
}
