//! What a mistake in each key prints: `tests/mistakes/*.toml` with the `.expected` that each gives; those that
//! begin with `node.` are files of one machine, with `pair.` files of a pair. `UPDATE=1` writes what is given at present.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a test reads files and the environment, and may panic"
)]

use standfast_config::{Mistake, parse, parse_node};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// A file with an unknown key in every table there is: its mistakes name every key that is known there.
const EVERYWHERE: &str = r#"
zzzz = 1
[cluster]
name = "demo"
zzzz = 1
[timing]
zzzz = 1
[nodes.alpha]
addresses = ["10.0.0.1:7400"]
zzzz = 1
[fence.ipmi]
agent = "fence_x"
nodes = ["alpha"]
zzzz = 1
[fence.ipmi.parameters]
password = { secret_file = "/x", zzzz = 1 }
[groups.site]
members = ["process", "vip"]
zzzz = 1
[resources.process]
kind = "process"
command = ["/bin/x"]
zzzz = 1
[resources.process.environment]
VARIABLE = { secret_file = "/x", zzzz = 1 }
[resources.process.readiness]
tcp = "x:1"
zzzz = 1
[resources.process.health]
tcp = "x:1"
zzzz = 1
[resources.vip]
kind = "vip"
addresses = ["10.0.0.100/24"]
zzzz = 1
[resources.ocf]
kind = "ocf"
agent = "ocf:heartbeat:nginx"
monitors = [{ depth = 1, interval_ms = 1000, zzzz = 1 }]
zzzz = 1
[location.place]
group = "site"
where = { rack = { zzzz = 1 } }
score = 1
zzzz = 1
[colocation.together]
group = "site"
with = "ocf"
score = 1
zzzz = 1
[order.turns]
first = "site"
then = "ocf"
zzzz = 1
"#;

/// The same for the file of one machine.
const EVERYWHERE_ON_A_NODE: &str =
    "zzzz = 1\n[access]\nzzzz = 1\n[watchdog]\ndevice = \"/d\"\nzzzz = 1\n";

/// The same for the section that only a pair has.
const EVERYWHERE_IN_A_PAIR: &str = r#"
[cluster]
name = "demo"
[nodes.alpha]
addresses = ["10.0.0.1:7400"]
[nodes.beta]
addresses = ["10.0.0.2:7400"]
[pair]
arbiter = "ping"
zzzz = 1
[pair.ping]
gateway = "10.0.0.254"
zzzz = 1
"#;

/// What a file is of.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Cluster,
    Node,
    Pair,
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mistakes");
    let entries = fs::read_dir(folder).expect("folder");
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .collect();
    files.sort();
    files
}

fn kind_of(file: &Path) -> Kind {
    let name = file.file_name().expect("name").to_string_lossy();
    match name.split_once('.') {
        Some(("node", _)) => Kind::Node,
        Some(("pair", _)) => Kind::Pair,
        _ => Kind::Cluster,
    }
}

fn mistakes_of(text: &str, name: &str, kind: Kind) -> Vec<Mistake> {
    match kind {
        Kind::Cluster | Kind::Pair => parse(text, name).expect_err(name),
        Kind::Node => parse_node(text, name).expect_err(name),
    }
}

fn mistakes_in(file: &Path) -> Vec<Mistake> {
    let text = fs::read_to_string(file).expect("file");
    let name = file.file_name().expect("name").to_string_lossy();
    mistakes_of(&text, &name, kind_of(file))
}

#[test]
fn every_mistake_says_what_stands_beside_it() {
    let mut wrong = Vec::new();
    for file in files() {
        let lines = mistakes_in(&file);
        let given: String = lines.iter().map(|mistake| format!("{mistake}\n")).collect();
        let beside = file.with_extension("expected");
        if std::env::var("UPDATE").is_ok() {
            fs::write(&beside, &given).expect("write");
        }
        if fs::read_to_string(&beside).unwrap_or_default() != given {
            wrong.push(format!("{}:\n{given}", beside.display()));
        }
    }
    assert!(
        wrong.is_empty(),
        "these say something else:\n{}",
        wrong.join("\n")
    );
}

/// A key without the names that people give: `resources.*.readiness.tcp`.
fn pattern(key: &str) -> String {
    let mut parts: Vec<&str> = key
        .split('.')
        .map(|part| part.split('[').next().unwrap_or(part))
        .collect();
    let named = [
        "nodes",
        "fence",
        "groups",
        "resources",
        "location",
        "colocation",
        "order",
    ];
    if parts.len() > 1 && named.contains(&parts[0]) {
        parts[1] = "*";
    }
    // Variables, scores, parameters and attributes have names of their own, too.
    if parts.len() > 3
        && ["environment", "prefer", "parameters", "attributes", "where"].contains(&parts[2])
    {
        parts[3] = "*";
    }
    parts.join(".")
}

/// Every key that is known anywhere.
fn schema(text: &str, kind: Kind) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    for mistake in mistakes_of(text, "everywhere", kind) {
        assert_eq!(mistake.problem, "unknown key", "{mistake}");
        let table = mistake.key.strip_suffix("zzzz").expect("the unknown key");
        keys.extend(
            mistake
                .allowed
                .split(", ")
                .map(|key| pattern(&format!("{table}{key}"))),
        );
    }
    keys
}

fn covered(kind: Kind, misspelt: bool) -> BTreeSet<String> {
    let files = files().into_iter().filter(|file| kind_of(file) == kind);
    let mistakes = files.flat_map(|file| mistakes_in(&file));
    let keys = mistakes.filter_map(|mistake| match (&mistake.nearest, misspelt) {
        (Some(meant), true) if mistake.problem == "unknown key" => {
            let table = mistake.key.rsplit_once('.').map_or("", |(table, _)| table);
            let dot = if table.is_empty() { "" } else { "." };
            Some(pattern(&format!("{table}{dot}{meant}")))
        }
        (_, false) if mistake.problem != "unknown key" => Some(pattern(&mistake.key)),
        _ => None,
    });
    keys.collect()
}

#[test]
fn every_key_has_a_wrong_value_and_a_misspelling_among_the_cases() {
    for (text, kind, least) in [
        (EVERYWHERE, Kind::Cluster, 60),
        (EVERYWHERE_ON_A_NODE, Kind::Node, 9),
        (EVERYWHERE_IN_A_PAIR, Kind::Pair, 16),
    ] {
        let schema = schema(text, kind);
        assert!(schema.len() >= least, "{schema:#?}");
        for misspelt in [false, true] {
            let covered = covered(kind, misspelt);
            let lacking: Vec<&String> = schema.difference(&covered).collect();
            assert!(
                lacking.is_empty(),
                "no case (misspelt: {misspelt}) for {lacking:#?}"
            );
        }
    }
}

#[test]
fn every_mistake_names_its_place() {
    for file in files() {
        for mistake in mistakes_in(&file) {
            assert!(mistake.line > 0 && mistake.column > 0, "{mistake}");
            assert!(!mistake.problem.is_empty(), "{mistake}");
        }
    }
}
