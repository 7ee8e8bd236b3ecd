//! How long a decision takes, beside `crm_simulate` on the same input in the same run.
//!
//! Not a test: figures depend on the machine.

use std::time::Instant;

use crate::{NOW, element::Element, ours, reference};

/// Resources and nodes of the clusters that are measured.
pub const SIZES: [(usize, usize); 10] = [
    (10, 2),
    (50, 8),
    (100, 2),
    (100, 8),
    (1000, 2),
    (1000, 8),
    (1000, 32),
    (1000, 64),
    (5000, 32),
    (5000, 64),
];

const BY: &str = "1:1:0:11111111-2222-3333-4444-555555555555";

/// Milliseconds of several runs, sorted.
#[derive(Debug, Clone, Default)]
pub struct Runs {
    /// Ours, text to outcome, within the process.
    pub ours: Vec<f64>,
    /// Theirs, the whole process.
    pub theirs: Vec<f64>,
}

/// Actions up to which `crm_simulate` is waited for: it takes a minute for a few thousand.
const WAITED_FOR: usize = 400;

/// Measures both so many times, in turns.
#[must_use]
pub fn measure(resources: usize, nodes: usize, times: usize) -> Runs {
    let text = cluster(resources, nodes).text();
    let mut runs = Runs::default();
    for _ in 0..times {
        let began = Instant::now();
        let answer = ours(&text, NOW);
        runs.ours.push(began.elapsed().as_secs_f64() * 1000.0);
        drop(answer);
        if resources * nodes > WAITED_FOR {
            continue;
        }
        let began = Instant::now();
        let answer = reference::ask(&text, NOW);
        if answer.is_ok() {
            runs.theirs.push(began.elapsed().as_secs_f64() * 1000.0);
        }
    }
    runs.ours.sort_by(f64::total_cmp);
    runs.theirs.sort_by(f64::total_cmp);
    runs
}

/// A cluster in which everything runs and the last node is sent to rest: a tenth of the resources
/// are groups of four, each fifth has a wish, each tenth goes after and with the one before it.
fn cluster(resources: usize, nodes: usize) -> Element {
    let mut configured = Vec::new();
    let mut constraints = Vec::new();
    let mut histories: Vec<Vec<Element>> = vec![Vec::new(); nodes];
    let mut at = 0;
    while at < resources {
        let node = at % nodes;
        let (id, count) = (format!("r{at}"), if at.is_multiple_of(40) { 4 } else { 1 });
        let names: Vec<String> = (at..resources.min(at + count))
            .map(|number| format!("p{number}"))
            .collect();
        let members = names.iter().map(|name| primitive(name));
        configured.push(Element::new("group", &[("id", &id)]).with_all(members));
        let known = names.iter().map(|name| running(name));
        if let Some(histories) = histories.get_mut(node) {
            histories.extend(known);
        }
        constraints.extend(wishes(at, node));
        at += count;
    }
    let options = Element::new("cluster_property_set", &[("id", "o")]).with(Element::new(
        "nvpair",
        &[
            ("id", "o1"),
            ("name", "stonith-enabled"),
            ("value", "false"),
        ],
    ));
    let all = (1..).zip(histories);
    let (mut members, mut states) = (Vec::new(), Vec::new());
    for (number, histories) in all {
        let (id, name) = (number.to_string(), format!("node{number}"));
        let mut node = Element::new("node", &[("id", &id), ("uname", &name)]);
        if number == nodes {
            node = node.with(Element::new("instance_attributes", &[("id", "s")]).with(
                Element::new(
                    "nvpair",
                    &[("id", "s1"), ("name", "standby"), ("value", "on")],
                ),
            ));
        }
        members.push(node);
        let state = [
            ("id", id.as_str()),
            ("uname", &name),
            ("in_ccm", "true"),
            ("crmd", "online"),
            ("join", "member"),
            ("expected", "member"),
        ];
        let known = Element::new("lrm_resources", &[]).with_all(histories);
        let known = Element::new("lrm", &[("id", &id)]).with(known);
        states.push(Element::new("node_state", &state).with(known));
    }
    let configuration = Element::new("configuration", &[])
        .with(Element::new("crm_config", &[]).with(options))
        .with(Element::new("nodes", &[]).with_all(members))
        .with(Element::new("resources", &[]).with_all(configured))
        .with(Element::new("constraints", &[]).with_all(constraints));
    let head = [
        ("crm_feature_set", "3.16.1"),
        ("validate-with", "pacemaker-3.7"),
        ("epoch", "1"),
        ("num_updates", "0"),
        ("admin_epoch", "0"),
        ("have-quorum", "1"),
        ("dc-uuid", "1"),
    ];
    Element::new("cib", &head)
        .with(configuration)
        .with(Element::new("status", &[]).with_all(states))
}

fn primitive(name: &str) -> Element {
    let agent = [
        ("id", name),
        ("class", "ocf"),
        ("provider", "heartbeat"),
        ("type", "Dummy"),
    ];
    Element::new("primitive", &agent)
}

fn running(name: &str) -> Element {
    let agent = [
        ("id", name),
        ("class", "ocf"),
        ("provider", "heartbeat"),
        ("type", "Dummy"),
    ];
    let record = Element::new(
        "lrm_rsc_op",
        &[
            ("id", &format!("{name}_last_0")),
            ("operation_key", &format!("{name}_start_0")),
            ("operation", "start"),
            ("transition-key", BY),
            ("transition-magic", &format!("0:0;{BY}")),
            ("call-id", "10"),
            ("rc-code", "0"),
            ("op-status", "0"),
            ("interval", "0"),
            ("op-digest", "f2317cad3d54cec5d7d7aa7d0bf35cf8"),
        ],
    );
    Element::new("lrm_resource", &agent).with(record)
}

fn wishes(at: usize, node: usize) -> Vec<Element> {
    let mut all = Vec::new();
    let name = format!("r{at}");
    if at.is_multiple_of(5) {
        let (id, node) = (format!("l{at}"), format!("node{}", node + 1));
        let wish = [
            ("id", id.as_str()),
            ("rsc", &name),
            ("node", &node),
            ("score", "50"),
        ];
        all.push(Element::new("rsc_location", &wish));
    }
    if at % 10 == 7 {
        let (with, after) = (format!("k{at}"), format!("d{at}"));
        let before = format!("r{}", at - 1);
        let together = [
            ("id", with.as_str()),
            ("rsc", &name),
            ("with-rsc", &before),
            ("score", "INFINITY"),
        ];
        all.push(Element::new("rsc_colocation", &together));
        let order = [("id", after.as_str()), ("first", &before), ("then", &name)];
        all.push(Element::new("rsc_order", &order));
    }
    all
}
