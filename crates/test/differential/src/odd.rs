//! Makes a cluster odd: values that do not fit, results that contradict each other, names of old.
//!
//! Not for clusters that make sense: see `generate`.

use crate::{element::Element, random::Random};

/// Values that an attribute of an element may take instead.
const VALUES: [(&str, &str, &[&str]); 27] = [
    ("node_state", "in_ccm", &["true", "false", "1", "0", "yes"]),
    ("node_state", "crmd", &["online", "offline"]),
    (
        "node_state",
        "join",
        &["member", "down", "pending", "banned"],
    ),
    ("node_state", "expected", &["member", "down"]),
    (
        "lrm_rsc_op",
        "rc-code",
        &[
            "0", "0", "1", "2", "3", "4", "5", "6", "7", "7", "8", "9", "190", "191", "193",
        ],
    ),
    (
        "lrm_rsc_op",
        "op-status",
        &["0", "0", "-1", "1", "2", "3", "4", "4", "5", "6", "7"],
    ),
    (
        "lrm_rsc_op",
        "operation",
        &[
            "start",
            "stop",
            "monitor",
            "promote",
            "demote",
            "migrate_to",
            "migrate_from",
            "notify",
            "reload",
        ],
    ),
    ("lrm_rsc_op", "interval", &["0", "10000", "20000"]),
    (
        "lrm_rsc_op",
        "call-id",
        &["-1", "1", "2", "5", "11", "20", "30"],
    ),
    (
        "lrm_rsc_op",
        "last-rc-change",
        &["1600000000", "1699999950", "1700000050", "0"],
    ),
    (
        "lrm_rsc_op",
        "op-digest",
        &[
            "0123456789abcdef0123456789abcdef",
            "f2317cad3d54cec5d7d7aa7d0bf35cf8",
        ],
    ),
    (
        "rsc_colocation",
        "score",
        &["INFINITY", "-INFINITY", "0", "1", "-1", "200", "-200"],
    ),
    (
        "rsc_colocation",
        "rsc-role",
        &["Started", "Stopped", "Master", "Slave", "Promoted"],
    ),
    (
        "rsc_colocation",
        "with-rsc-role",
        &["Started", "Stopped", "Master", "Slave", "Unpromoted"],
    ),
    ("rsc_colocation", "node-attribute", &["rack", "size", "#id"]),
    ("rsc_order", "score", &["0", "INFINITY", "100"]),
    ("rsc_order", "kind", &["Optional", "Mandatory", "Serialize"]),
    ("rsc_order", "symmetrical", &["true", "false"]),
    (
        "rsc_order",
        "first-action",
        &["start", "stop", "promote", "demote"],
    ),
    (
        "rsc_order",
        "then-action",
        &["start", "stop", "promote", "demote"],
    ),
    (
        "rsc_location",
        "score",
        &["INFINITY", "-INFINITY", "0", "1", "-1", "300", "-300"],
    ),
    (
        "rsc_location",
        "role",
        &["Started", "Master", "Slave", "Stopped"],
    ),
    (
        "rsc_location",
        "resource-discovery",
        &["always", "never", "exclusive"],
    ),
    ("resource_set", "sequential", &["true", "false"]),
    ("resource_set", "require-all", &["true", "false"]),
    ("resource_set", "role", &["Master", "Slave", "Started"]),
    ("cib", "have-quorum", &["0", "1", "true", "false"]),
];

/// What may be added to options.
const OPTIONS: [(&str, &[&str]); 16] = [
    ("stonith-enabled", &["true", "false"]),
    (
        "no-quorum-policy",
        &["stop", "freeze", "ignore", "suicide", "demote", "odd"],
    ),
    ("symmetric-cluster", &["true", "false"]),
    ("maintenance-mode", &["true", "false"]),
    ("stop-all-resources", &["true", "false"]),
    ("stop-orphan-resources", &["true", "false"]),
    ("stop-orphan-actions", &["true", "false"]),
    ("start-failure-is-fatal", &["true", "false"]),
    ("startup-fencing", &["true", "false"]),
    (
        "placement-strategy",
        &["default", "utilization", "minimal", "balanced"],
    ),
    ("enable-startup-probes", &["true", "false"]),
    ("is-managed-default", &["true", "false"]),
    ("default-resource-stickiness", &["100", "INFINITY"]),
    ("remove-after-stop", &["true", "false"]),
    ("shutdown-lock", &["true", "false"]),
    ("concurrent-fencing", &["true", "false"]),
];

/// What may be added to the meta attributes of resources.
const META: [(&str, &[&str]); 27] = [
    (
        "target-role",
        &[
            "Started", "Stopped", "Master", "Slave", "started", "default", "odd",
        ],
    ),
    ("is-managed", &["true", "false"]),
    ("maintenance", &["true", "false"]),
    (
        "resource-stickiness",
        &["1", "0", "-1", "INFINITY", "-INFINITY"],
    ),
    ("priority", &["1", "-5", "100", "INFINITY"]),
    (
        "multiple-active",
        &["block", "stop_only", "stop_start", "stop_unexpected"],
    ),
    ("requires", &["nothing", "quorum", "fencing", "unfencing"]),
    ("migration-threshold", &["1", "3", "INFINITY", "0"]),
    ("failure-timeout", &["10", "60s", "1d"]),
    ("allow-migrate", &["true", "false"]),
    ("critical", &["true", "false"]),
    ("clone-max", &["0", "1", "2", "3", "10"]),
    ("clone-node-max", &["0", "1", "2"]),
    ("clone-min", &["1", "2"]),
    ("globally-unique", &["true", "false"]),
    ("interleave", &["true", "false"]),
    ("ordered", &["true", "false"]),
    ("notify", &["true", "false"]),
    ("promotable", &["true", "false"]),
    ("promoted-max", &["0", "1", "2"]),
    ("master-max", &["0", "1", "2"]),
    ("promoted-node-max", &["1", "2"]),
    ("collocated", &["true", "false"]),
    ("restart-type", &["ignore", "restart"]),
    ("resource_stickiness", &["50"]),
    ("clone_max", &["1", "2"]),
    ("target_role", &["stopped"]),
];

/// What may be added to the attributes of nodes.
const NODE: [(&str, &[&str]); 8] = [
    ("standby", &["true", "on", "false", "off"]),
    ("maintenance", &["true", "false"]),
    ("terminate", &["true", "1699999999"]),
    ("shutdown", &["0", "1699999999"]),
    ("probe_complete", &["true", "false"]),
    ("#health-cpu", &["red", "green", "yellow"]),
    ("size", &["3", "x"]),
    ("rack", &["a", "b", "c"]),
];

/// Names with the values that they may have.
type Choices = &'static [(&'static str, &'static [&'static str])];

/// The same cluster, odd in so many places.
#[must_use]
pub fn odd(cluster: &Element, seed: u64, places: usize) -> Element {
    let mut made = cluster.clone();
    let mut random = Random::new(seed);
    for at in 0..places {
        change(&mut made, &mut random, at);
    }
    made
}

fn change(cluster: &mut Element, random: &mut Random, number: usize) {
    let position = random.below(cluster.size());
    match random.below(12) {
        0 | 1 => {
            let keep = [
                "configuration",
                "status",
                "nodes",
                "node",
                "resources",
                "crm_config",
                "constraints",
            ];
            let found = cluster.at(&mut position.clone());
            if found.is_some_and(|found| !keep.contains(&found.name.as_str())) {
                cluster.remove(&mut position.clone());
            }
        }
        2 => move_history(cluster, random),
        3 => old_name(cluster, random, position),
        4..=6 => add_value(cluster, random, number),
        _ => set_value(cluster, random),
    }
}

/// An attribute of an element of its kind takes another value, or goes.
fn set_value(cluster: &mut Element, random: &mut Random) {
    let at = random.below(VALUES.len());
    let Some((name, attribute, values)) = VALUES.get(at) else {
        return;
    };
    let value = random.pick(values);
    let goes = random.percent(10);
    let mut all = cluster.all(name);
    let chosen = random.below(all.len());
    let Some(element) = all.get_mut(chosen) else {
        return;
    };
    element.attributes.retain(|(known, _)| known != attribute);
    if !goes {
        element.set(attribute, value);
    }
    if *attribute == "rc-code" && random.percent(40) {
        let key = format!("1:1:{value}:11111111-2222-3333-4444-555555555555");
        element
            .attributes
            .retain(|(known, _)| known != "transition-key");
        element.set("transition-key", &key);
    }
}

/// A name and value more, wherever such a thing may stand.
fn add_value(cluster: &mut Element, random: &mut Random, number: usize) {
    let places: [(&[&str], &str, Choices); 3] = [
        (&["crm_config"], "cluster_property_set", &OPTIONS),
        (
            &["primitive", "group", "clone", "master"],
            "meta_attributes",
            &META,
        ),
        (&["node"], "instance_attributes", &NODE),
    ];
    let kind = random.pick(&["0", "1", "1", "1", "2"]);
    let (owners, block, values) = match kind {
        "0" => places[0],
        "1" => places[1],
        _ => places[2],
    };
    let Some((name, choices)) = values.get(random.below(values.len())) else {
        return;
    };
    let value = random.pick(choices);
    let owner = random.pick(owners);
    let mut all = cluster.all(owner);
    let chosen = random.below(all.len());
    let Some(element) = all.get_mut(chosen) else {
        return;
    };
    let id = format!("odd{number}");
    let pair = Element::new("nvpair", &[("id", &id), ("name", name), ("value", value)]);
    match element
        .children
        .iter_mut()
        .find(|child| child.name == block)
    {
        Some(block) => {
            block.children.retain(|known| !known.has("name", name));
            block.children.push(pair);
        }
        None => {
            let id = format!("odd-block{number}");
            let block = Element::new(block, &[("id", &id)]).with(pair);
            element.children.insert(0, block);
        }
    }
}

/// What happened on one node happened on another too, or there instead.
fn move_history(cluster: &mut Element, random: &mut Random) {
    let (mut all, goes) = (cluster.all("lrm_resources"), random.percent(50));
    let (from, to) = (random.below(all.len()), random.below(all.len()));
    if from == to {
        return;
    }
    let Some(source) = all.get_mut(from) else {
        return;
    };
    if source.children.is_empty() {
        return;
    }
    let at = random.below(source.children.len());
    let entry = if goes {
        source.children.remove(at)
    } else {
        source.children[at].clone()
    };
    if let Some(target) = all.get_mut(to) {
        target
            .children
            .retain(|known| known.attributes.first() != entry.attributes.first());
        target.children.push(entry);
    }
}

/// Roles and histories as they were named long ago.
fn old_name(cluster: &mut Element, random: &mut Random, position: usize) {
    let suffix = random.pick(&[":0", ":1", ":2", ""]);
    let Some(element) = cluster.at(&mut position.clone()) else {
        return;
    };
    match element.name.as_str() {
        "lrm_resource" => {
            for (name, value) in &mut element.attributes {
                if name == "id" {
                    let base = value.split(':').next().unwrap_or_default().to_owned();
                    *value = format!("{base}{suffix}");
                }
            }
        }
        "lrm_rsc_op" => element
            .attributes
            .retain(|(name, _)| name != "operation_key" && name != "op-digest"),
        _ => {}
    }
}
