//! Writes a cluster as it was written long ago: copies with numbers, one record an operation, states
//! with less in them.
//!
//! Not for values that do not fit: see `odd`.

use crate::{element::Element, random::Random};

/// The same cluster, in the style of old.
#[must_use]
pub fn old(cluster: &Element, seed: u64) -> Element {
    let mut made = cluster.clone();
    let mut random = Random::new(seed);
    let copied = anonymous(&mut made);
    let version = random.pick(&["1.0.6", "2.0", "3.0.5", "3.0.13", "3.16.1"]);
    set(&mut made, "crm_feature_set", version);
    let most = made.all("node").len().max(2);
    let mut taken: Vec<String> = Vec::new();
    for state in made.all("node_state") {
        for name in ["join", "expected", "crmd", "in_ccm"] {
            if random.percent(3) {
                state.attributes.retain(|(known, _)| known != name);
            }
        }
        for name in &copied {
            let number = pick_number(name, most, &mut taken, &mut random);
            rename(state, name, &number);
            if random.percent(60) {
                let other = format!("{name}:{}", random.below(most));
                add_probe(state, &number, &other);
            }
        }
        for history in state.all("lrm_resource") {
            single_records(history, &mut random);
        }
    }
    made
}

fn set(element: &mut Element, name: &str, value: &str) {
    element.attributes.retain(|(known, _)| known != name);
    element.set(name, value);
}

fn get<'a>(element: &'a Element, name: &str) -> &'a str {
    let mut found = element.attributes.iter().filter(|(known, _)| known == name);
    found.next().map_or("", |(_, value)| value)
}

/// Primitives of clones whose copies have no names of their own.
fn anonymous(cluster: &mut Element) -> Vec<String> {
    let mut names = Vec::new();
    for clone in cluster.all("clone") {
        let unique = clone
            .all("nvpair")
            .into_iter()
            .any(|pair| get(pair, "name") == "globally-unique" && get(pair, "value") == "true");
        if !unique {
            let all = clone.all("primitive");
            names.extend(all.iter().map(|one| get(one, "id").to_owned()));
        }
    }
    names
}

/// A number that mostly no other node uses.
fn pick_number(name: &str, most: usize, taken: &mut Vec<String>, random: &mut Random) -> String {
    let mut number = format!("{name}:{}", random.below(most));
    for _ in 0..8 {
        if !taken.contains(&number) || random.percent(5) {
            break;
        }
        number = format!("{name}:{}", random.below(most));
    }
    taken.push(number.clone());
    number
}

fn rename(state: &mut Element, from: &str, to: &str) {
    for history in state.all("lrm_resource") {
        if get(history, "id") == from {
            history.attributes.retain(|(known, _)| known != "id");
            history
                .attributes
                .insert(0, ("id".to_owned(), to.to_owned()));
            for record in &mut history.children {
                for name in ["id", "operation_key"] {
                    let value = get(record, name).replacen(from, to, 1);
                    record.attributes.retain(|(known, _)| known != name);
                    record.set(name, &value);
                }
            }
        }
    }
    for pair in state.all("nvpair") {
        let known = get(pair, "name").to_owned();
        if known == format!("master-{from}") {
            set(pair, "name", &format!("master-{to}"));
        } else if let Some(rest) = known.strip_prefix(&format!("fail-count-{from}#")) {
            let name = format!("fail-count-{to}");
            set(pair, "name", if rest.is_empty() { &known } else { &name });
        }
    }
}

/// Another number was looked for and not found.
fn add_probe(state: &mut Element, number: &str, other: &str) {
    for histories in state.all("lrm_resources") {
        let known = histories.children.iter().any(|one| get(one, "id") == other);
        let like = histories
            .children
            .iter()
            .find(|one| get(one, "id") == number);
        let Some(like) = like.filter(|_| !known) else {
            continue;
        };
        let mut probe = like.clone();
        set(&mut probe, "id", other);
        probe.children.truncate(1);
        for record in &mut probe.children {
            let key = "1:1:7:11111111-2222-3333-4444-555555555555";
            let values = [
                ("id", format!("{other}_monitor_0")),
                ("operation_key", format!("{other}_monitor_0")),
                ("operation", "monitor".to_owned()),
                ("interval", "0".to_owned()),
                ("call-id", "2".to_owned()),
                ("rc-code", "7".to_owned()),
                ("op-status", "0".to_owned()),
                ("transition-key", key.to_owned()),
            ];
            for (name, value) in values {
                set(record, name, &value);
            }
        }
        histories.children.push(probe);
    }
}

/// One record an operation, under its own name.
fn single_records(history: &mut Element, random: &mut Random) {
    let name = get(history, "id").replace(':', "-");
    for record in &mut history.children {
        let (task, interval) = (get(record, "operation"), get(record, "interval"));
        let id = format!("{name}_{task}_{interval}");
        set(record, "id", &id);
        record
            .attributes
            .retain(|(known, _)| known != "operation_key");
        if random.percent(30) {
            record
                .attributes
                .retain(|(known, _)| known != "last-rc-change");
        }
    }
}
