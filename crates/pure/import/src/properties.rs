//! Cluster options: name, fencing, maintenance; and what the others are here.
//!
//! Not for defaults of resources: those count where a resource is read.

use standfast_scheduler::score::{interval_ms, is_true};

use crate::{
    draft::Draft,
    names::Names,
    source::{Source, children},
    write,
};

/// What Pacemaker writes for itself, or what is so here anyway.
const NOT_NEEDED: [(&str, &str); 15] = [
    ("dc-version", "written by Pacemaker for itself"),
    ("cluster-infrastructure", "written by Pacemaker for itself"),
    ("have-watchdog", "written by Pacemaker for itself"),
    ("last-lrm-refresh", "written by Pacemaker for itself"),
    ("dc-deadtime", "elections go by the profile"),
    ("election-timeout", "elections go by the profile"),
    ("shutdown-escalation", "a stop has its own time"),
    (
        "cluster-recheck-interval",
        "nothing waits for a recheck here",
    ),
    ("cluster-ipc-limit", "there is no such queue here"),
    (
        "start-failure-is-fatal",
        "failures of starts count like all others, by max_failures",
    ),
    (
        "startup-fencing",
        "a node that was never heard runs nothing that needs ending",
    ),
    (
        "batch-limit",
        "agents of different nodes do not wait for each other",
    ),
    (
        "load-threshold",
        "agents of different nodes do not wait for each other",
    ),
    (
        "concurrent-fencing",
        "each node is fenced by itself, at once",
    ),
    (
        "enable-startup-probes",
        "what runs is known from its keeper",
    ),
];

/// Why an option cannot be expressed.
const NOT_EXPRESSED: [(&str, &str); 8] = [
    (
        "no-quorum-policy",
        "a node without the majority always stops, by its leases",
    ),
    (
        "stop-all-resources",
        "nothing is stopped by an option here; leave mode = \"observe\" until it is to run",
    ),
    ("placement-strategy", "there is no utilization here"),
    ("node-health-strategy", "there is no health of nodes here"),
    (
        "priority-fencing-delay",
        "fencing waits for no priority; the majority decides who is fenced",
    ),
    (
        "shutdown-lock",
        "what a node ran is placed elsewhere when it shuts down",
    ),
    ("stonith-watchdog-timeout", "there is no watchdog yet"),
    (
        "stonith-max-attempts",
        "levels are tried one after the other, then by another node",
    ),
];

pub(crate) fn read(source: &Source<'_>, draft: &mut Draft) {
    let options = &source.cluster.options;
    let get = |name: &str| options.get(name).map(String::as_str);
    let written = get("cluster-name").unwrap_or("imported");
    let name = Names::default().fresh(written);
    if name != written {
        draft.changed(
            "cluster-name",
            &format!("{written} is {name} here: names are a-z, 0-9 and -"),
        );
    }
    draft.cluster.push(("name", write::text_value(&name)));
    draft.cluster_comments.extend([
        "Only says in the journal what it would do. Stop Pacemaker on all nodes first, then make"
            .to_owned(),
        "this \"active\".".to_owned(),
    ]);
    draft.cluster.push(("mode", write::text_value("observe")));
    draft.leave_to_do(
        "mode = \"observe\"",
        "try it beside Pacemaker; stop Pacemaker everywhere before you make it \"active\"",
    );
    if is_true(get("maintenance-mode")) {
        draft.cluster.push(("maintenance", "true".to_owned()));
    }
    draft.fencing = get("stonith-enabled").is_none_or(|value| is_true(Some(value)));
    if matches!(get("stonith-action"), Some("off" | "poweroff")) {
        draft
            .cluster
            .push(("fence_action", write::text_value("off")));
    }
    draft.opt_in = get("symmetric-cluster").is_some_and(|value| !is_true(Some(value)));
    draft.fence_timeout_ms = get("stonith-timeout").map(|time| interval_ms(Some(time)));
    note_options(source, draft);
}

fn note_options(source: &Source<'_>, draft: &mut Draft) {
    let sections = source.section("crm_config").into_iter();
    let blocks = sections.flat_map(|section| children(section, "cluster_property_set"));
    let pairs: Vec<_> = blocks.flat_map(|block| children(block, "nvpair")).collect();
    for pair in pairs {
        let name = pair.attribute("name").unwrap_or_default().replace('_', "-");
        let value = pair.attribute("value").unwrap_or_default();
        let what = format!("{name}={value}");
        let reason = |all: &[(&str, &'static str)]| {
            let mut all = all.iter();
            all.find(|(known, _)| *known == name)
                .map(|(_, reason)| *reason)
        };
        match name.as_str() {
            "cluster-name" | "maintenance-mode" => {}
            "symmetric-cluster" if draft.opt_in => draft.not_needed(
                &what,
                "said by a preference of -INFINITY for every other node of a group",
            ),
            "symmetric-cluster" => draft.not_needed(&what, "it is so here"),
            "stonith-enabled" => draft.not_needed(
                &what,
                "devices are used unless `fencing` in [cluster] is \"off\"",
            ),
            "stonith-action" => draft.not_needed(&what, "said by fence_action in [cluster]"),
            "stonith-timeout" => draft.not_needed(&what, "said by timeout_ms of the devices"),
            "no-quorum-policy" if value == "stop" => draft.not_needed(&what, "it is so here"),
            "placement-strategy" if value == "default" => {
                draft.not_needed(&what, "it is so here");
            }
            "stop-orphan-resources" | "stop-orphan-actions" => {
                draft.not_needed(&what, "what is taken out of the configuration is stopped");
            }
            "default-resource-stickiness"
            | "is-managed-default"
            | "default-migration-threshold" => {
                draft.not_needed(&what, "said at each resource or its group");
            }
            _ => match (reason(&NOT_NEEDED), reason(&NOT_EXPRESSED)) {
                (Some(reason), _) => draft.not_needed(&what, reason),
                (None, Some(reason)) => draft.not_expressed(&what, reason),
                (None, None) => draft.not_expressed(&what, "there is no such option here"),
            },
        }
    }
}
