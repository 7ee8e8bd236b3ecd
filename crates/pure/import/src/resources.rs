//! Resources and the groups that they are in: those of a kind that exists here, and why the others cannot be.
//!
//! Not for what constraints make of groups: see `constraints`.

use standfast_scheduler::{
    input::{Kind, Operation, Resource},
    score::{self, INFINITY, interval_ms, is_true},
};

use crate::{
    clones,
    draft::{Draft, Group, Resource as Made, renamed},
    ocf, process, script,
    source::{Source, Xml, agent, children},
    vip, write,
};

/// Longest time that failures are remembered.
const LONGEST_WINDOW_MS: u64 = 2_678_400_000;

/// Settings that become keys.
const SAID: [&str; 7] = [
    "resource-stickiness",
    "priority",
    "migration-threshold",
    "failure-timeout",
    "target-role",
    "is-managed",
    "maintenance",
];

/// Why other settings cannot be expressed.
const SETTINGS: [(&str, &str); 8] = [
    (
        "multiple-active",
        "a second instance never starts: leases see to that",
    ),
    (
        "requires",
        "a start waits for the majority and for the other leases, never for less",
    ),
    ("allow-migrate", "there is no live migration"),
    ("critical", "a member that fails takes its group along"),
    (
        "restart-type",
        "members of a group restart with those before them",
    ),
    ("container", "there are no resources within resources"),
    ("remote-node", "every node here runs an agent of its own"),
    ("allow-unhealthy-nodes", "there is no health of nodes here"),
];

/// Most resources of a cluster here.
const MAX_RESOURCES: usize = 500;

pub(crate) fn read(source: &Source<'_>, draft: &mut Draft) {
    for resource in &source.cluster.resources {
        // The reader makes connections to guests up; their setting is noted where it stands.
        if source.element(&resource.id).is_some() {
            read_top(source, resource, draft);
        }
    }
    let section = source.section("resources").into_iter();
    for element in section.flat_map(|section| section.children().collect::<Vec<_>>()) {
        match element.tag_name().name() {
            "bundle" => note_bundle(element, draft),
            "template" => {
                let id = element.attribute("id").unwrap_or_default();
                let what = format!("{id} (template)");
                draft.not_needed(
                    &what,
                    "what it says is at each resource that is made from it",
                );
            }
            _ => {}
        }
    }
    if !draft.without_threshold.is_empty() {
        let what = format!(
            "migration-threshold of {}",
            draft.without_threshold.join(", ")
        );
        draft.changed(
            &what,
            "not set, so failures move nothing there; here 3 within a minute do (max_failures)",
        );
    }
    read_defaults(source, draft);
}

fn read_defaults(source: &Source<'_>, draft: &mut Draft) {
    let defaults = source.section("rsc_defaults").into_iter();
    let blocks = defaults.flat_map(|defaults| defaults.children().collect::<Vec<_>>());
    for pair in blocks.flat_map(|block| children(block, "nvpair").collect::<Vec<_>>()) {
        let name = pair.attribute("name").unwrap_or_default();
        let value = pair.attribute("value").unwrap_or_default();
        let what = format!("{name}={value} (default of resources)");
        if SAID.contains(&name) {
            draft.not_needed(&what, "said at each resource or its group");
        } else {
            draft.not_expressed(&what, why_not(name));
        }
    }
}

fn why_not(setting: &str) -> &'static str {
    let mut known = SETTINGS.iter();
    let reason = known.find(|(known, _)| *known == setting);
    reason.map_or("there is no such setting here", |(_, reason)| reason)
}

fn read_top(source: &Source<'_>, resource: &Resource, draft: &mut Draft) {
    match resource.kind {
        Kind::Primitive if resource.agent[0] == "stonith" => {}
        Kind::Primitive => {
            let Some(name) = read_primitive(source, resource, draft) else {
                return;
            };
            let mut group = Group {
                ids: vec![resource.id.clone()],
                priority: priority(resource),
                name: name.clone(),
                ..Group::default()
            };
            add_member(&mut group, resource, name);
            draft.groups.push(group);
        }
        Kind::Group => read_group(source, resource, draft),
        Kind::Clone | Kind::Bundle => clones::read(source, resource, draft),
    }
}

fn priority(resource: &Resource) -> i32 {
    let written = resource
        .meta
        .get("priority")
        .map_or(0, |value| score::parse(value));
    written.clamp(1 - INFINITY, INFINITY - 1)
}

fn add_member(group: &mut Group, resource: &Resource, name: String) {
    let stickiness = resource.meta.get("resource-stickiness");
    let stickiness = stickiness.map_or(0, |value| score::parse(value));
    group.stickiness = score::add(group.stickiness, stickiness);
    group.members.push(name);
}

fn read_group(source: &Source<'_>, resource: &Resource, draft: &mut Draft) {
    let Some(group) = read_children(source, (resource, resource), draft) else {
        let what = format!("{} (group)", resource.id);
        draft.not_expressed(&what, "none of its members can be expressed");
        return;
    };
    draft.groups.push(group);
}

/// A group of what is in another one: in a group, or in a clone, which names it then.
pub(crate) fn read_children(
    source: &Source<'_>,
    (named, resource): (&Resource, &Resource),
    draft: &mut Draft,
) -> Option<Group> {
    let mut group = Group {
        ids: vec![named.id.clone()],
        priority: priority(named),
        ..Group::default()
    };
    if named.id != resource.id {
        group.ids.push(resource.id.clone());
    }
    let (mut members, mut missing) = (Vec::new(), Vec::new());
    for member in &resource.children {
        match read_primitive(source, member, draft) {
            Some(name) => {
                group.ids.push(member.id.clone());
                members.push(member.id.clone());
                add_member(&mut group, member, name);
            }
            None => missing.push(member.id.as_str()),
        }
    }
    if group.members.is_empty() {
        return None;
    }
    let what = format!("{} (group)", resource.id);
    if !missing.is_empty() {
        let text = format!(
            "without {}, which cannot be expressed",
            missing.join(" and ")
        );
        draft.changed(&what, &text);
    }
    if resource.kind == Kind::Group {
        note_group(source, resource, &what, draft);
    }
    for whole in [&named.id, &resource.id] {
        group.parts.push((whole.clone(), members.clone()));
    }
    group.parts.dedup();
    group.name = draft.names.fresh(&named.id);
    group.comments.extend(renamed(&named.id, &group.name));
    Some(group)
}

fn note_group(source: &Source<'_>, resource: &Resource, what: &str, draft: &mut Draft) {
    for (setting, word) in [("ordered", "order"), ("collocated", "place")] {
        let off = resource
            .meta
            .get(setting)
            .and_then(|value| score::truth(Some(value)));
        if off == Some(false) {
            let text = format!("{setting}=false: members of a group share their {word} here");
            draft.changed(what, &text);
        }
    }
    note_settings(source, resource, &["ordered", "collocated"], draft);
}

/// The name of a resource that is made from a primitive, unless there is no kind for it.
fn read_primitive(source: &Source<'_>, resource: &Resource, draft: &mut Draft) -> Option<String> {
    if draft.resources.len() == MAX_RESOURCES {
        let text = format!("there are {MAX_RESOURCES} resources already");
        draft.not_expressed(&resource.id, &text);
        return None;
    }
    let [class, provider, kind] = &resource.agent;
    let (kind, mut keys) = match (class.as_str(), provider.as_str(), kind.as_str()) {
        ("ocf", "heartbeat", "IPaddr2") if vip::needs_agent(resource, draft) => {
            ("ocf", ocf::read(source, resource, draft))
        }
        ("ocf", "heartbeat", "IPaddr2" | "IPaddr" | "IPv6addr") => {
            ("vip", vip::read(resource, draft)?)
        }
        ("ocf", "heartbeat", "anything") => ("process", process::read(source, resource, draft)?),
        ("lsb", _, _) => ("script", script::read(source, resource, draft)),
        ("systemd", _, _) => ("systemd", script::read_unit(source, resource, draft)?),
        _ if ocf::runs(resource) => ("ocf", ocf::read(source, resource, draft)),
        _ => {
            let what = format!("{} {}", resource.id, agent(resource));
            let reason = no_kind(resource).map(str::to_owned);
            let reason = reason.or_else(|| ocf::why_not(resource));
            draft.not_expressed(
                &what,
                reason.as_deref().unwrap_or("there is no kind for it yet"),
            );
            return None;
        }
    };
    let name = draft.names.fresh(&resource.id);
    if name != resource.id {
        let text = format!("{name} here: names are a-z, 0-9 and -");
        draft.changed(&resource.id, &text);
    }
    keys.insert(0, ("kind", write::text_value(kind)));
    let mut made = Made {
        comments: renamed(&resource.id, &name).into_iter().collect(),
        id: resource.id.clone(),
        name: name.clone(),
        keys,
    };
    add_failures(resource, &mut made, draft);
    add_maintenance(resource, &mut made, draft);
    note_operations(resource, kind, draft);
    note_settings(source, resource, &[], draft);
    draft.resources.push(made);
    Some(name)
}

/// What is known better than the agent's name says.
fn no_kind(resource: &Resource) -> Option<&'static str> {
    let [class, _, kind] = &resource.agent;
    match (class.as_str(), kind.as_str()) {
        (_, "ping" | "pingd" | "ethmonitor") => Some(
            "there is no kind for it; `gateway` of a vip moves a group away from a node that is cut off",
        ),
        (_, "remote") => Some("every node here runs an agent of its own"),
        ("service", _) => Some("it is a script or a unit: kind = \"script\" or kind = \"systemd\""),
        ("upstart", _) => Some(
            "there is no kind for it yet; a program that can stay in the foreground is kind = \"process\"",
        ),
        _ => None,
    }
}

fn add_failures(resource: &Resource, made: &mut Made, draft: &mut Draft) {
    let get = |name: &str| resource.meta.get(name).map(String::as_str);
    let window = get("failure-timeout").map_or(0, |time| interval_ms(Some(time)));
    let window = if window == 0 {
        LONGEST_WINDOW_MS
    } else {
        window
    };
    let window = window.clamp(1000, LONGEST_WINDOW_MS);
    match get("migration-threshold").map(score::parse) {
        Some(most) => {
            let most = if most <= 0 { INFINITY } else { most };
            made.keys.push(("max_failures", most.to_string()));
            made.keys.push(("failure_window_ms", window.to_string()));
        }
        None => {
            if get("failure-timeout").is_some() {
                made.keys.push(("failure_window_ms", window.to_string()));
            }
            draft.without_threshold.push(resource.id.clone());
        }
    }
    let mut operations = resource.operations.iter();
    let stop = operations.find(|operation| operation.name == "stop");
    let on_fail = stop.and_then(|stop| stop.on_fail.as_deref());
    let can_fence = draft.fencing && !draft.devices.is_empty();
    match on_fail {
        None | Some("fence") if can_fence => {
            made.keys
                .push(("on_stop_failure", write::text_value("fence")));
        }
        None | Some("block") => {}
        Some(other) => {
            let what = format!("{} on-fail={other} of stop", resource.id);
            draft.not_expressed(
                &what,
                "a stop that fails blocks, or fences where there are devices",
            );
        }
    }
}

fn add_maintenance(resource: &Resource, made: &mut Made, draft: &mut Draft) {
    let get = |name: &str| resource.meta.get(name).map(String::as_str);
    let stopped = get("target-role").is_some_and(|role| role.eq_ignore_ascii_case("stopped"));
    let unmanaged = get("is-managed").is_some_and(|value| !is_true(Some(value)));
    if stopped {
        let what = format!("{} target-role=Stopped", resource.id);
        let text = "in maintenance: its group is not started as long as that is so";
        draft.changed(&what, text);
        made.comments.push("Disabled in the CIB.".to_owned());
    }
    if stopped || unmanaged || is_true(get("maintenance")) {
        made.keys.push(("maintenance", "true".to_owned()));
    }
}

fn note_operations(resource: &Resource, kind: &str, draft: &mut Draft) {
    for operation in &resource.operations {
        let Operation {
            name, interval_ms, ..
        } = operation;
        let what = format!("{} {name} every {} s", resource.id, interval_ms / 1000);
        match (name.as_str(), kind) {
            ("monitor", "process") => {
                draft.not_needed(
                    &what,
                    "the kernel tells at once when a process ends; `health` asks for more",
                );
            }
            ("monitor", "ocf" | "script") => ocf::note_monitor(resource, operation, kind, draft),
            ("monitor", "systemd") => {
                draft.not_needed(
                    &what,
                    "systemd tells at once when a unit ends; `health` asks for more",
                );
            }
            ("monitor", _) => {
                draft.not_needed(&what, "the kernel tells at once when an address is gone")
            }
            ("start" | "stop", "process" | "ocf" | "script" | "systemd") => {}
            ("start" | "stop", _) => {
                let what = format!("{} timeout of {name}", resource.id);
                draft.not_needed(&what, "an address comes and goes at once");
            }
            _ => draft.not_expressed(&what, "there is no such operation here"),
        }
        let usual = matches!(operation.on_fail.as_deref(), None | Some("restart"));
        if name != "stop" && !usual {
            let what = format!("{} on-fail of {name}", resource.id);
            draft.not_expressed(
                &what,
                "what fails is restarted, and moved after max_failures",
            );
        }
    }
}

pub(crate) fn note_settings(
    source: &Source<'_>,
    resource: &Resource,
    said: &[&str],
    draft: &mut Draft,
) {
    for (name, value) in source.pairs(&resource.id, "meta_attributes") {
        if SAID.contains(&name) || said.contains(&name) {
            continue;
        }
        let what = format!("{} {name}={value}", resource.id);
        draft.not_expressed(&what, why_not(name));
    }
    for (name, _) in source.pairs(&resource.id, "utilization") {
        let what = format!("{} {name} (utilization)", resource.id);
        draft.not_expressed(&what, "there is no utilization here");
    }
}

pub(crate) fn note_below(resource: &Resource, reason: &str, draft: &mut Draft) {
    let agent = agent(resource);
    let kind = if agent.is_empty() { "(group)" } else { &agent };
    draft.not_expressed(&format!("{} {kind}", resource.id), reason);
    for child in &resource.children {
        note_below(child, reason, draft);
    }
}

fn note_bundle(element: Xml<'_>, draft: &mut Draft) {
    let id = element.attribute("id").unwrap_or_default();
    draft.not_expressed(&format!("{id} (bundle)"), "there are no containers here");
    for inner in element
        .descendants()
        .filter(|inner| inner.has_tag_name("primitive"))
    {
        let id = inner.attribute("id").unwrap_or_default();
        let kind = inner.attribute("type").unwrap_or_default();
        draft.not_expressed(&format!("{id} {kind}"), "part of a bundle");
    }
}
