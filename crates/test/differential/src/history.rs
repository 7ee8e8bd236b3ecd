//! What may have happened in a random cluster: states of nodes and results on them.

use crate::{element::Element, generate::Making};

const BY: &str = "11111111-2222-3333-4444-555555555555";

/// A primitive with as many copies as it has.
#[derive(Debug, Clone)]
pub(crate) struct Instance {
    pub(crate) id: String,
    class: String,
    pub(crate) copies: usize,
    pub(crate) unique: bool,
    pub(crate) promotable: bool,
    pub(crate) cloned: bool,
}

impl Instance {
    pub(crate) fn single(id: &str, class: &str, _plain: bool) -> Self {
        Self {
            id: id.to_owned(),
            class: class.to_owned(),
            copies: 1,
            unique: true,
            promotable: false,
            cloned: false,
        }
    }
}

/// How a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    Online,
    Offline,
    Unclean,
    Pending,
    Leaving,
    Unseen,
}

/// One result.
struct Result<'a> {
    id: &'a str,
    task: &'a str,
    suffix: &'a str,
    interval: &'a str,
    call: usize,
    rc: &'a str,
    expected: &'a str,
    status: &'a str,
}

/// The states of all nodes.
pub(crate) fn states(making: &mut Making) -> Vec<Element> {
    let moods: Vec<Mood> = making
        .nodes
        .clone()
        .iter()
        .enumerate()
        .map(|(at, _)| mood(making, at))
        .collect();
    let count = making.nodes.len();
    let mut entries: Vec<Vec<Element>> = vec![Vec::new(); count];
    let mut transient: Vec<Vec<(String, String)>> = vec![Vec::new(); count];
    let fresh = making.random.percent(25);
    for instance in making.instances.clone() {
        place(
            making,
            &instance,
            fresh,
            &moods,
            &mut entries,
            &mut transient,
        );
    }
    if making.random.percent(making.knobs.orphans) {
        let at = making.random.below(count);
        let orphan = Instance::single("gone", "ocf", true);
        let entry = running(making, &orphan, "gone", false);
        entries[at].push(entry);
    }
    let mut all = Vec::new();
    for (at, name) in making.nodes.clone().iter().enumerate() {
        let mood = moods[at];
        if mood == Mood::Unseen {
            continue;
        }
        let entries = std::mem::take(&mut entries[at]);
        let mut values = std::mem::take(&mut transient[at]);
        if mood == Mood::Leaving {
            values.push(("shutdown".to_owned(), "1699999999".to_owned()));
        }
        all.push(state(making, at, name, mood, entries, &values));
    }
    all
}

fn mood(making: &mut Making, at: usize) -> Mood {
    let knobs = making.knobs;
    if at == 0 {
        return Mood::Online;
    }
    if making.random.percent(knobs.unclean / 2) {
        return if making.random.percent(25) {
            Mood::Unseen
        } else {
            Mood::Unclean
        };
    }
    if making.random.percent(knobs.node_states / 3) {
        return match making.random.below(4) {
            0 => Mood::Offline,
            1 => Mood::Pending,
            _ => Mood::Leaving,
        };
    }
    Mood::Online
}

fn state(
    making: &mut Making,
    at: usize,
    name: &str,
    mood: Mood,
    entries: Vec<Element>,
    values: &[(String, String)],
) -> Element {
    let id = (at + 1).to_string();
    let (ccm, crmd, join, expected) = match mood {
        Mood::Online => ("true", "online", "member", "member"),
        Mood::Offline | Mood::Unseen => ("false", "offline", "down", "down"),
        Mood::Unclean => ("false", "offline", "down", "member"),
        Mood::Pending => ("true", "online", "pending", "member"),
        Mood::Leaving => ("true", "online", "member", "down"),
    };
    let mut state = Element::new(
        "node_state",
        &[
            ("id", &id),
            ("uname", name),
            ("in_ccm", ccm),
            ("crmd", crmd),
            ("join", join),
            ("expected", expected),
        ],
    );
    if !values.is_empty() {
        let values: Vec<(&str, String)> = values
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone()))
            .collect();
        let block = making.block("instance_attributes", &values);
        state
            .children
            .push(Element::new("transient_attributes", &[("id", &id)]).with_all(block));
    }
    let resources = Element::new("lrm_resources", &[]).with_all(entries);
    state.with(Element::new("lrm", &[("id", &id)]).with(resources))
}

fn place(
    making: &mut Making,
    instance: &Instance,
    fresh: bool,
    moods: &[Mood],
    entries: &mut [Vec<Element>],
    transient: &mut [Vec<(String, String)>],
) {
    if fresh && !making.random.percent(15) {
        return;
    }
    let count = moods.len();
    let mut order: Vec<usize> = (0..count).collect();
    order.rotate_left(making.random.below(count));
    let mut left = instance.copies;
    let mut twice = making.random.percent(making.knobs.multiple);
    let mut promoted = false;
    for at in order {
        if matches!(moods[at], Mood::Offline | Mood::Unseen) {
            continue;
        }
        if left > 0 && making.random.percent(80) {
            if twice && left == 1 {
                twice = false;
            } else {
                left -= 1;
            }
            let name = if instance.unique && instance.cloned() {
                format!("{}:{left}", instance.id)
            } else {
                instance.id.clone()
            };
            let rise = instance.promotable && !promoted && making.random.percent(60);
            promoted |= rise;
            let entry = running(making, instance, &name, rise);
            entries[at].push(entry);
            if instance.promotable && making.random.percent(80) {
                let score = making
                    .random
                    .pick(&["5", "10", "10", "100", "1"])
                    .to_owned();
                transient[at].push((format!("master-{name}"), score));
            }
            if making.random.percent(making.knobs.failures / 3) {
                let count = making.random.pick(&["1", "3", "INFINITY"]).to_owned();
                transient[at].push((format!("fail-count-{name}#monitor_10000"), count));
                let when = making.random.pick(&["1699999900", "1699999990"]).to_owned();
                transient[at].push((format!("last-failure-{name}#monitor_10000"), when));
            }
        } else if making.random.percent(85) {
            let probe = Result {
                id: &instance.id,
                task: "monitor",
                suffix: "last_0",
                interval: "0",
                call: 3,
                rc: "7",
                expected: "7",
                status: "0",
            };
            let operation = result(&probe);
            entries[at].push(history(instance, &instance.id, vec![operation]));
        }
    }
}

impl Instance {
    fn cloned(&self) -> bool {
        self.cloned || self.copies != 1
    }
}

fn history(instance: &Instance, name: &str, operations: Vec<Element>) -> Element {
    let mut entry = Element::new("lrm_resource", &[("id", name), ("class", &instance.class)]);
    if instance.class == "ocf" {
        entry.set("provider", "heartbeat");
        entry.set("type", "Dummy");
    } else {
        entry.set("type", "fence_dummy");
    }
    entry.with_all(operations)
}

/// The sum of no parameters at all.
const NO_PARAMETERS: &str = "f2317cad3d54cec5d7d7aa7d0bf35cf8";

fn result(result: &Result<'_>) -> Element {
    let key = format!("1:1:{}:{BY}", result.expected);
    let magic = format!("{};{}:{key}", result.status, result.rc);
    let call = result.call.to_string();
    Element::new(
        "lrm_rsc_op",
        &[
            ("id", &format!("{}_{}", result.id, result.suffix)),
            (
                "operation_key",
                &format!("{}_{}_{}", result.id, result.task, result.interval),
            ),
            ("operation", result.task),
            ("crm-debug-origin", "x"),
            ("crm_feature_set", "3.16.1"),
            ("transition-key", &key),
            ("transition-magic", &magic),
            ("call-id", &call),
            ("rc-code", result.rc),
            ("op-status", result.status),
            ("interval", result.interval),
            ("last-rc-change", "1699999950"),
            ("op-digest", NO_PARAMETERS),
        ],
    )
}

fn running(making: &mut Making, instance: &Instance, name: &str, promoted: bool) -> Element {
    let base = Result {
        id: name,
        task: if promoted { "promote" } else { "start" },
        suffix: "last_0",
        interval: "0",
        call: 10,
        rc: "0",
        expected: "0",
        status: "0",
    };
    let mut operations = vec![result(&base)];
    if making.random.percent(50) {
        let rc = if promoted { "8" } else { "0" };
        operations.push(result(&Result {
            task: "monitor",
            suffix: "monitor_10000",
            interval: "10000",
            call: 11,
            rc,
            expected: rc,
            ..base
        }));
    }
    if instance.class == "ocf" && making.random.percent(making.knobs.failures / 2) {
        let all = [
            ("monitor", "10000", "7", "0", "0"),
            ("monitor", "10000", "1", "0", "0"),
            ("monitor", "10000", "1", "0", "2"),
            ("stop", "0", "1", "0", "0"),
            ("start", "0", "1", "0", "0"),
            ("start", "0", "5", "0", "5"),
            ("promote", "0", "1", "0", "0"),
            ("demote", "0", "1", "0", "0"),
            ("monitor", "0", "0", "7", "0"),
            ("monitor", "0", "5", "7", "0"),
        ];
        let at = making.random.below(all.len());
        let (task, interval, rc, expected, status) = all
            .get(at)
            .copied()
            .unwrap_or(("monitor", "10000", "7", "0", "0"));
        let failed = Result {
            task,
            suffix: "last_failure_0",
            interval,
            call: 12,
            rc,
            expected,
            status,
            ..base
        };
        operations.push(result(&failed));
    }
    history(instance, name, operations)
}
