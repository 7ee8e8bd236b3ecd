//! Fence devices, and the levels of each node.
//!
//! Not for passwords themselves: they become references to files.

use std::collections::BTreeMap;

use standfast_model::fence::{RESERVED, is_parameter, is_secret};
use standfast_scheduler::{
    input::Resource,
    score::{interval_ms, is_true, leading_integer},
};

use crate::{
    draft::{Device, Draft, renamed},
    names::Names,
    source::{Source, agent, children},
    write,
};

/// Agents of devices that know machines by names of their own and can list them.
const LISTING: [&str; 12] = [
    "fence_xvm",
    "fence_virt",
    "fence_virsh",
    "fence_vmware",
    "fence_pve",
    "fence_rhevm",
    "fence_aws",
    "fence_gce",
    "fence_azure_arm",
    "fence_openstack",
    "fence_lpar",
    "fence_zvm",
];

/// Most devices of a cluster here.
const MAX_DEVICES: usize = 64;

/// Agents that cut no power.
const NO_POWER: [&str; 3] = ["fence_kdump", "fence_sbd", "fence_watchdog"];

pub(crate) fn read(source: &Source<'_>, draft: &mut Draft) {
    let mut found = Vec::new();
    collect(&source.cluster.resources, &mut found);
    let mut names = Names::default();
    for resource in found {
        if draft.devices.len() == MAX_DEVICES {
            let text = format!("there are {MAX_DEVICES} devices already");
            draft.not_expressed(&resource.id, &text);
        } else if let Some(mut device) = device(resource, draft) {
            device.name = names.fresh(&resource.id);
            device.comments.extend(renamed(&resource.id, &device.name));
            add_parameters(resource, &mut device, draft);
            add_times(resource, &mut device, draft);
            draft.devices.push(device);
        }
        note_settings(source, resource, draft);
    }
    if !draft.fencing && !draft.devices.is_empty() {
        draft.cluster.push(("fencing", write::text_value("off")));
    }
    read_levels(source, draft);
}

fn collect<'r>(resources: &'r [Resource], found: &mut Vec<&'r Resource>) {
    for resource in resources {
        if resource.agent[0] == "stonith" {
            found.push(resource);
        }
        collect(&resource.children, found);
    }
}

/// The device with its nodes, unless it cannot be one.
fn device(resource: &Resource, draft: &mut Draft) -> Option<Device> {
    let what = format!("{} {}", resource.id, agent(resource));
    let program = &resource.agent[2];
    if !program.starts_with("fence_") {
        draft.not_expressed(
            &what,
            "only agents of fence-agents are used, such as fence_ipmilan",
        );
        return None;
    }
    if NO_POWER.contains(&program.as_str()) {
        draft.not_expressed(
            &what,
            "it cuts no power: it cannot say that a machine is off",
        );
        return None;
    }
    let role = resource.meta.get("target-role");
    if role.is_some_and(|role| role.eq_ignore_ascii_case("stopped")) {
        draft.not_expressed(&what, "it is disabled (target-role=Stopped)");
        return None;
    }
    let nodes = nodes(&what, resource, draft);
    if nodes.is_empty() {
        draft.not_expressed(
            &what,
            "it does not say which nodes it can fence: pcmk_host_list or pcmk_host_map",
        );
        return None;
    }
    Some(Device {
        id: resource.id.clone(),
        nodes,
        keys: vec![("agent", write::text_value(program))],
        ..Device::default()
    })
}

type Plugs = Vec<(String, Option<String>)>;

fn nodes(what: &str, resource: &Resource, draft: &mut Draft) -> Plugs {
    let get = |name: &str| resource.parameters.get(name).map(String::as_str);
    let mut wanted: Vec<(&str, Option<&str>)> = Vec::new();
    let blank = |c: char| c == ';' || c == ' ' || c == '\t' || c == '\n';
    for pair in get("pcmk_host_map").unwrap_or_default().split(blank) {
        match pair.split_once([':', '=']) {
            Some((node, plug)) => wanted.push((node, Some(plug))),
            None if pair.is_empty() => {}
            None => draft.not_expressed(what, "a part of pcmk_host_map has no `:`"),
        }
    }
    let list = get("pcmk_host_list").unwrap_or_default();
    let list = list
        .split(|c| blank(c) || c == ',')
        .filter(|node| !node.is_empty());
    for node in list {
        if wanted
            .iter()
            .all(|(known, _)| !known.eq_ignore_ascii_case(node))
        {
            wanted.push((node, None));
        }
    }
    if let [(_, plug @ None)] = wanted.as_mut_slice() {
        *plug = ["plug", "port", "nodename"]
            .iter()
            .find_map(|name| get(name));
    }
    let lists = LISTING
        .iter()
        .any(|agent| resource.agent[2].starts_with(agent));
    let all: Vec<String> = draft.nodes.iter().map(|node| node.uname.clone()).collect();
    if wanted.is_empty() && (lists || get("pcmk_host_check") == Some("dynamic-list")) {
        draft.changed(
            what,
            "asks the device for the machines it knows; here each node goes by its own name",
        );
        wanted.extend(all.iter().map(|node| (node.as_str(), Some(node.as_str()))));
    } else if wanted.is_empty() && get("pcmk_host_check") == Some("none") {
        wanted.extend(all.iter().map(|node| (node.as_str(), None)));
    }
    known(what, &wanted, draft)
}

/// The nodes that exist, each with a plug of its own.
fn known(what: &str, wanted: &[(&str, Option<&str>)], draft: &mut Draft) -> Plugs {
    let mut plugs = Plugs::new();
    for (node, plug) in wanted {
        let Some(name) = draft.node(node).map(|node| node.name.clone()) else {
            draft.not_expressed(what, &format!("for {node}: there is no such node"));
            continue;
        };
        let shared = plug.is_some() && plugs.iter().any(|(_, other)| other.as_deref() == *plug);
        if shared {
            let text =
                format!("for {node}: another node has the same plug and would lose its power too");
            draft.not_expressed(what, &text);
        } else if plugs.iter().all(|(other, _)| *other != name) {
            plugs.push((name, plug.map(str::to_owned)));
        }
    }
    // A table needs a plug for each.
    if plugs.iter().any(|(_, plug)| plug.is_some()) {
        for (name, plug) in &mut plugs {
            plug.get_or_insert_with(|| name.clone());
        }
    }
    plugs
}

fn add_parameters(resource: &Resource, device: &mut Device, draft: &mut Draft) {
    let mut written = Vec::new();
    for (name, value) in &resource.parameters {
        let what = format!("{} {name}", resource.id);
        if name.starts_with("pcmk_") || name == "delay" {
            continue;
        }
        if ["plug", "port", "nodename"].contains(&name.as_str()) {
            if device
                .nodes
                .iter()
                .all(|(_, plug)| plug.as_deref() != Some(value))
            {
                draft.not_expressed(&what, "`nodes` says what the device calls each node");
            }
        } else if let Some((_, reason)) = RESERVED.iter().find(|(known, _)| known == name) {
            draft.not_expressed(&what, reason);
        } else if !is_parameter(name) {
            draft.not_expressed(&what, "it is no name of a parameter");
        } else if is_secret(name) {
            let file = format!("/etc/standfast/secrets/{}-{name}", device.name);
            let text =
                format!("write the secret into {file} on every node, readable for root only");
            draft.leave_to_do(&what, &text);
            let file = write::text_value(&file);
            written.push(format!("{} = {{ secret_file = {file} }}", write::key(name)));
        } else if value.contains(['\n', '\r']) {
            draft.not_expressed(&what, "it has more than one line");
        } else {
            written.push(format!(
                "{} = {}",
                write::key(name),
                write::text_value(value)
            ));
        }
    }
    if !written.is_empty() {
        device
            .keys
            .push(("parameters", format!("{{ {} }}", written.join(", "))));
    }
}

fn add_times(resource: &Resource, device: &mut Device, draft: &mut Draft) {
    let get = |name: &str| resource.parameters.get(name).map(String::as_str);
    let limit = get("pcmk_off_timeout").or(get("pcmk_reboot_timeout"));
    let limit = limit
        .map(|time| interval_ms(Some(time)))
        .or(draft.fence_timeout_ms);
    if let Some(limit) = limit {
        device
            .keys
            .push(("timeout_ms", limit.clamp(1000, 600_000).to_string()));
    }
    let attempts = get("pcmk_off_retries")
        .or(get("pcmk_reboot_retries"))
        .and_then(leading_integer);
    if let Some(attempts) = attempts {
        device
            .keys
            .push(("retries", (attempts - 1).clamp(0, 10).to_string()));
    }
    let base = get("pcmk_delay_base");
    let delay = base.filter(|base| !base.contains(':')).or(get("delay"));
    let delay = delay
        .map(|time| interval_ms(Some(time)))
        .filter(|delay| *delay > 0);
    if let Some(delay) = delay {
        device
            .keys
            .push(("delay_ms", delay.min(300_000).to_string()));
    }
    let mut operations = resource.operations.iter();
    let monitor =
        operations.find(|operation| operation.name == "monitor" && operation.interval_ms > 0);
    if let Some(monitor) = monitor {
        let interval = monitor.interval_ms.clamp(5000, 86_400_000);
        device
            .keys
            .push(("monitor_interval_ms", interval.to_string()));
    }
    let said = [
        "pcmk_host_map",
        "pcmk_host_list",
        "pcmk_host_check",
        "pcmk_off_timeout",
        "pcmk_reboot_timeout",
        "pcmk_off_retries",
        "pcmk_reboot_retries",
    ];
    for name in resource
        .parameters
        .keys()
        .filter(|name| name.starts_with("pcmk_"))
    {
        let what = format!("{} {name}", resource.id);
        match name.as_str() {
            name if said.contains(&name) => {}
            "pcmk_delay_base" if base.is_some_and(|base| !base.contains(':')) => {}
            "pcmk_delay_base" => {
                draft.not_expressed(&what, "delay_ms is of a device, not of a node")
            }
            "pcmk_delay_max" => {
                draft.not_needed(
                    &what,
                    "two nodes never fence each other: the majority decides",
                );
            }
            "pcmk_reboot_action" | "pcmk_action_limit" => {
                draft.not_needed(&what, "a node is switched off, and then on again");
            }
            _ => draft.not_expressed(&what, "a device has no such setting here"),
        }
    }
}

fn note_settings(source: &Source<'_>, resource: &Resource, draft: &mut Draft) {
    for (name, value) in source.pairs(&resource.id, "meta_attributes") {
        let what = format!("{} {name}={value}", resource.id);
        match name {
            "target-role" => {}
            "provides" => draft.not_expressed(&what, "there is no unfencing"),
            "is-managed" | "maintenance" if is_true(Some(value)) == (name == "is-managed") => {}
            _ => draft.not_needed(&what, "a device is not placed: every node can use it"),
        }
    }
}

fn read_levels(source: &Source<'_>, draft: &mut Draft) {
    let section = source.section("fencing-topology").into_iter();
    let levels = section.flat_map(|section| children(section, "fencing-level").collect::<Vec<_>>());
    let mut all: BTreeMap<String, BTreeMap<i64, Vec<String>>> = BTreeMap::new();
    for level in levels {
        let id = level.attribute("id").unwrap_or("level");
        let what = format!("{id} (fencing level)");
        let Some(target) = level.attribute("target") else {
            draft.not_expressed(
                &what,
                "levels are of single nodes here, without patterns and attributes",
            );
            continue;
        };
        let Some(node) = draft.node(target).map(|node| node.name.clone()) else {
            draft.not_expressed(&what, &format!("there is no node {target}"));
            continue;
        };
        let index = level
            .attribute("index")
            .and_then(leading_integer)
            .unwrap_or(1);
        for device in level
            .attribute("devices")
            .unwrap_or_default()
            .split(',')
            .map(str::trim)
        {
            let levels = all.entry(node.clone()).or_default();
            let twice = levels.values().flatten().any(|known| known == device);
            let able = draft
                .device(device)
                .is_some_and(|device| device.nodes.iter().any(|(name, _)| *name == node));
            match (able, twice) {
                (true, false) => levels.entry(index).or_default().push(device.to_owned()),
                (false, _) => {
                    draft.not_expressed(&what, &format!("{device} is no device for {node} here"))
                }
                (true, true) => {
                    draft.not_expressed(&what, &format!("{device} is in another level already"))
                }
            }
        }
    }
    for (node, levels) in all {
        let named = levels
            .into_values()
            .filter(|level| !level.is_empty())
            .take(9);
        let named = named.map(|level| {
            let names = level.iter().filter_map(|id| draft.device(id));
            names.map(|device| device.name.clone()).collect::<Vec<_>>()
        });
        let named: Vec<Vec<String>> = named.collect();
        if let Some(node) = draft.nodes.iter_mut().find(|known| known.name == node) {
            node.levels = named;
        }
    }
}
