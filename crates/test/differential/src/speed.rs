//! How long a decision takes, beside `crm_simulate` on the same input in the same run.
//!
//! Not a test: figures depend on the machine.

use crate::{NOW, element::Element, reference};

/// Resources and nodes of the clusters that are measured.
pub const SIZES: [(usize, usize); 12] = [
    (10, 2),
    (50, 8),
    (100, 2),
    (100, 8),
    (1000, 2),
    (1000, 8),
    (1000, 16),
    (1000, 32),
    (1000, 64),
    (5000, 2),
    (5000, 32),
    (5000, 64),
];

/// What the measured clusters are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// Groups, and every resource has been looked for on every node.
    Known,
    /// Groups, and nothing has been looked for where it does not run.
    Fresh,
    /// Clones with a copy on every node, each second one with and after the one before it; known everywhere.
    Clones,
}

/// All shapes with a name.
pub const SHAPES: [(Shape, &str); 3] = [
    (Shape::Known, "groups, known everywhere"),
    (Shape::Fresh, "groups, looked for nowhere else"),
    (Shape::Clones, "clones"),
];

/// Milliseconds of several runs, sorted. Of processor time, so that whatever else the machine does hardly counts.
#[derive(Debug, Clone, Default)]
pub struct Runs {
    /// Ours, the text read.
    pub reading: Vec<f64>,
    /// Ours, from what was read to the plan.
    pub deciding: Vec<f64>,
    /// Ours, text to outcome, within the process.
    pub ours: Vec<f64>,
    /// Theirs, the whole process.
    pub theirs: Vec<f64>,
}

/// Actions up to which `crm_simulate` is waited for: it takes a minute for a few thousand.
const WAITED_FOR: usize = 400;
/// The same where nothing has to be looked for.
const WAITED_FOR_KNOWN: usize = 800;

/// Measures both so many times, in turns.
#[must_use]
pub fn measure(shape: Shape, (resources, nodes): (usize, usize), times: usize) -> Runs {
    let text = match shape {
        Shape::Clones => clones(resources, nodes).text(),
        Shape::Known | Shape::Fresh => groups(resources, nodes, shape == Shape::Known).text(),
    };
    let mut runs = Runs::default();
    for _ in 0..times {
        if let Some((reading, deciding)) = parts(&text) {
            runs.reading.push(reading);
            runs.deciding.push(deciding);
        }
        runs.ours.extend(whole_way(&text));
        let waits = match shape {
            Shape::Known => resources * nodes <= WAITED_FOR_KNOWN,
            Shape::Fresh | Shape::Clones => resources * nodes <= WAITED_FOR,
        };
        if waits {
            let before = children_ms();
            let answer = reference::ask(&text, NOW);
            runs.theirs
                .extend(answer.ok().map(|_| children_ms() - before));
        }
    }
    runs.reading.sort_by(f64::total_cmp);
    runs.deciding.sort_by(f64::total_cmp);
    runs.ours.sort_by(f64::total_cmp);
    runs.theirs.sort_by(f64::total_cmp);
    runs
}

/// How long reading and deciding take, each by itself.
fn parts(text: &str) -> Option<(f64, f64)> {
    let text = text.to_owned();
    let measured = std::thread::Builder::new().stack_size(256 << 20);
    let measured = measured.spawn(move || {
        let began = thread_ms()?;
        let cluster = standfast_cib::read(&text, standfast_cib::When::At(NOW)).ok()?;
        let reading = thread_ms()? - began;
        let began = thread_ms()?;
        let plan = standfast_scheduler::plan(&cluster);
        let deciding = thread_ms()? - began;
        drop(plan);
        Some((reading, deciding))
    });
    measured.ok()?.join().ok()?
}

/// How long it takes from the text to the final state.
fn whole_way(text: &str) -> Option<f64> {
    let text = text.to_owned();
    let measured = std::thread::Builder::new().stack_size(256 << 20);
    let measured = measured.spawn(move || {
        let began = thread_ms()?;
        let cluster = standfast_cib::read(&text, standfast_cib::When::At(NOW)).ok()?;
        let outcome = standfast_scheduler::simulate(&cluster);
        drop((cluster, outcome));
        Some(thread_ms()? - began)
    });
    measured.ok()?.join().ok()?
}

/// Processor time of this thread so far, by the kernel's own account.
fn thread_ms() -> Option<f64> {
    // The kernel brings its account up to date when a thread lets go.
    std::thread::yield_now();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds: f64 = text.split_whitespace().next()?.parse().ok()?;
    Some(nanoseconds / 1e6)
}

/// Processor time of all children that have ended, in hundredths of a second.
fn children_ms() -> f64 {
    let text = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    // User and system time of children are the 16th and 17th field, the third one follows the name.
    let fields = after_name.split_whitespace().skip(13).take(2);
    fields
        .filter_map(|field| field.parse::<f64>().ok())
        .sum::<f64>()
        * 10.0
}

/// A cluster in which everything runs and the last node is sent to rest: a tenth of the resources
/// are groups of four, each fifth has a wish, each tenth goes after and with the one before it.
fn groups(resources: usize, nodes: usize, known: bool) -> Element {
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
        for (number, histories) in histories.iter_mut().enumerate() {
            if number == node || known {
                let of = |name: &String| record(name, number == node);
                histories.extend(names.iter().map(of));
            }
        }
        constraints.extend(wishes(at, node));
        at += count;
    }
    whole(configured, constraints, histories)
}

/// A cluster of clones that run everywhere, the last node sent to rest.
fn clones(resources: usize, nodes: usize) -> Element {
    let (mut configured, mut constraints) = (Vec::new(), Vec::new());
    let mut histories: Vec<Vec<Element>> = vec![Vec::new(); nodes];
    for at in 0..resources.div_ceil(nodes) {
        let (id, name) = (format!("c{at}"), format!("p{at}"));
        let pair = format!("i{at}");
        let pair = [
            ("id", pair.as_str()),
            ("name", "interleave"),
            ("value", "true"),
        ];
        let meta = Element::new("meta_attributes", &[("id", &format!("m{at}"))]);
        let meta = meta.with(Element::new("nvpair", &pair));
        let clone = Element::new("clone", &[("id", &id)]);
        configured.push(clone.with(meta).with(primitive(&name)));
        for histories in &mut histories {
            histories.push(record(&name, true));
        }
        if at % 2 == 1 {
            constraints.extend(with_and_after(at, &id, &format!("c{}", at - 1)));
        }
    }
    whole(configured, constraints, histories)
}

fn whole(
    configured: Vec<Element>,
    constraints: Vec<Element>,
    histories: Vec<Vec<Element>>,
) -> Element {
    let nodes = histories.len();
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

fn record(name: &str, running: bool) -> Element {
    let (task, rc) = if running {
        ("start", "0")
    } else {
        ("monitor", "7")
    };
    let key = format!("1:1:{rc}:11111111-2222-3333-4444-555555555555");
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
            ("operation_key", &format!("{name}_{task}_0")),
            ("operation", task),
            ("transition-key", &key),
            ("transition-magic", &format!("0:{rc};{key}")),
            ("call-id", "10"),
            ("rc-code", rc),
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
        all.extend(with_and_after(at, &name, &format!("r{}", at - 1)));
    }
    all
}

fn with_and_after(at: usize, name: &str, before: &str) -> [Element; 2] {
    let (with, after) = (format!("k{at}"), format!("d{at}"));
    let together = [
        ("id", with.as_str()),
        ("rsc", name),
        ("with-rsc", before),
        ("score", "INFINITY"),
    ];
    let order = [("id", after.as_str()), ("first", before), ("then", name)];
    [
        Element::new("rsc_colocation", &together),
        Element::new("rsc_order", &order),
    ]
}
