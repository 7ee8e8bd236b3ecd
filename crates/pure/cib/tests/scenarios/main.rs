//! Scenarios: small clusters in a notation of their own, and what the scheduler makes of each.
//!
//! One file each, in a folder for each feature; README.md beside this file explains the notation. `UPDATE=1` writes
//! what is decided at present. That the reference decides the same is checked with the differential tests.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test reads files and the environment, and may panic"
)]

mod notation;

use standfast_cib::When;
use standfast_scheduler::{
    NodeAccount, Outcome, account,
    input::Cluster,
    score::{INFINITY, add},
    simulate,
};
use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

/// So many at least are to be there.
const ENOUGH: usize = 150;

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let folders = fs::read_dir(folder).expect("folder");
    let folders = folders.map(|entry| entry.expect("entry").path());
    let mut files: Vec<PathBuf> = folders
        .filter(|path| path.is_dir())
        .flat_map(|folder| fs::read_dir(folder).expect("folder"))
        .map(|entry| entry.expect("entry").path())
        .collect();
    files.sort();
    files
}

#[test]
fn every_scenario_ends_as_written() {
    let (mut wrong, mut titles) = (Vec::new(), BTreeSet::new());
    let files = files();
    for file in &files {
        let text = fs::read_to_string(file).expect("text");
        let scenario = notation::read(&text);
        assert!(
            titles.insert(scenario.title.clone()),
            "{}: another one has this title",
            file.display()
        );
        let given = format!("{}\n{}", scenario.given, said(&scenario.cib));
        if std::env::var("UPDATE").is_ok() {
            fs::write(file, &given).expect("write");
        } else if given != text {
            wrong.push(format!("{} ends otherwise:\n{given}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let count = files.len();
    assert!(count >= ENOUGH, "only {count} scenarios");
}

fn said(cib: &str) -> String {
    let cluster = standfast_cib::read(cib, When::At(notation::NOW)).expect("a CIB");
    let outcome = simulate(&cluster);
    let why = why(&cluster);
    format!("{}{}{why}", actions(&outcome), ends(&outcome))
}

/// Every node's score for every instance, the chosen one first, with what it is made of.
fn why(cluster: &Cluster) -> String {
    let mut text = String::from("\nWhy\n");
    for resource in &cluster.resources {
        for instance in account(cluster, &resource.id).expect("account") {
            writeln!(text, "  {}", instance.resource).unwrap();
            for note in &instance.notes {
                writeln!(text, "    {note}").unwrap();
            }
            for node in &instance.nodes {
                writeln!(text, "    {}", node_line(node)).unwrap();
            }
        }
    }
    text
}

fn node_line(node: &NodeAccount) -> String {
    let Some(score) = node.score else {
        return format!("{} is not allowed", node.node);
    };
    let sum = node.parts.iter().map(|part| part.score).fold(0, add);
    assert_eq!(sum, score, "the parts make the sum: {node:?}");
    let parts = node.parts.iter().filter(|part| part.score != 0);
    let parts = parts.map(|part| format!("{} {}", written(part.score), part.text));
    let unusable = node.unusable.iter().cloned();
    let all: Vec<String> = parts.chain(unusable).collect();
    let why = if all.is_empty() { "" } else { ": " };
    format!("{} {}{why}{}", node.node, written(score), all.join("; "))
}

fn written(score: i32) -> String {
    match score {
        INFINITY.. => "INFINITY".to_owned(),
        _ if score <= -INFINITY => "-INFINITY".to_owned(),
        _ => score.to_string(),
    }
}

/// What is done; each action waits for those that are named behind it and for nothing else.
fn actions(outcome: &Outcome) -> String {
    let mut text = String::from("\nActions\n");
    for step in &outcome.actions {
        let node = step.node.as_deref().unwrap_or_default();
        let what = match &step.resource {
            None => format!("{} {node}", step.task),
            Some(resource) => format!("{} {resource} on {node}", step.task),
        };
        let after: Vec<_> = step.after.iter().map(|id| (id + 1).to_string()).collect();
        let after = match after.as_slice() {
            [] => String::new(),
            after => format!(", after {}", after.join(" and ")),
        };
        writeln!(text, "  {}. {what}{after}", step.id + 1).unwrap();
    }
    if outcome.actions.is_empty() {
        text.push_str("  none\n");
    }
    text
}

fn ends(outcome: &Outcome) -> String {
    let mut text = String::from("\nIn the end\n");
    for row in &outcome.resources {
        let instance = row.instance.map_or(String::new(), |n| format!(":{n}"));
        let place = row
            .node
            .as_ref()
            .map_or(String::new(), |n| format!(" on {n}"));
        let unmanaged = if row.managed { "" } else { " (unmanaged)" };
        let (resource, role) = (&row.resource, &row.role);
        writeln!(text, "  {resource}{instance} {role}{place}{unmanaged}").unwrap();
    }
    for node in &outcome.nodes {
        if node.fenced {
            writeln!(text, "  {} fenced", node.name).unwrap();
        }
    }
    text
}
