//! Compares the scheduler with `crm_simulate` on clusters made up at random, feature by feature.
//!
//! Not for judging which of the two is right.

pub mod element;
pub mod generate;
pub mod history;
pub mod knobs;
mod limits;
pub mod odd;
pub mod old;
pub mod random;
pub mod reference;
pub mod shrink;
pub mod speed;

use std::collections::BTreeSet;

use reference::{Answer, Row};

/// The time at which every case is decided.
pub const NOW: i64 = 1_700_000_000;

/// What the scheduler says.
///
/// # Errors
///
/// If the text cannot be read.
pub fn ours(text: &str, at: i64) -> Result<Answer, String> {
    let cluster = standfast_cib::read(text, standfast_cib::When::At(at));
    decide(cluster.map_err(|error| error.to_string())?)
}

/// What the scheduler says of a cluster that has been read.
///
/// # Errors
///
/// If it ends early.
pub fn decide(cluster: standfast_scheduler::input::Cluster) -> Result<Answer, String> {
    let thread = std::thread::Builder::new().stack_size(256 << 20);
    let thread = thread.spawn(move || standfast_scheduler::simulate(&cluster));
    let outcome = thread.map_err(|error| error.to_string())?.join();
    let outcome = outcome.map_err(|cause| format!("panicked: {:?}", cause.type_id()))?;
    let rows = outcome.resources.iter().filter_map(|row| {
        Some(Row {
            resource: row.resource.clone(),
            instance: row.instance,
            node: row.node.clone()?,
            role: row.role.clone(),
        })
    });
    let fenced = outcome.nodes.iter().filter(|node| node.fenced);
    Ok(Answer {
        rows: rows.collect(),
        fenced: fenced.map(|node| node.name.clone()).collect(),
    })
}

/// What differs between two answers, in words; nothing if they agree.
#[must_use]
pub fn differences(theirs: &Answer, ours: &Answer) -> Vec<String> {
    let numbered: BTreeSet<&str> = theirs
        .rows
        .iter()
        .filter(|row| row.instance.is_some())
        .map(|row| row.resource.as_str())
        .collect();
    let lines = |answer: &Answer| {
        let mut lines: Vec<String> = answer
            .rows
            .iter()
            .map(|row| {
                let instance = row
                    .instance
                    .filter(|_| numbered.contains(row.resource.as_str()));
                let instance = instance.map_or(String::new(), |number| format!(":{number}"));
                format!("{}{instance} {} on {}", row.resource, row.role, row.node)
            })
            .collect();
        lines.extend(answer.fenced.iter().map(|node| format!("{node} fenced")));
        lines.sort();
        lines
    };
    let (mut theirs, mut ours) = (lines(theirs), lines(ours));
    let mut differences = Vec::new();
    theirs.retain(|line| match ours.iter().position(|other| other == line) {
        Some(at) => {
            ours.remove(at);
            false
        }
        None => true,
    });
    differences.extend(theirs.into_iter().map(|line| format!("expected: {line}")));
    differences.extend(ours.into_iter().map(|line| format!("got:      {line}")));
    differences
}

/// What differs for one text; an error if there is no reference answer.
///
/// # Errors
///
/// If the reference does not take the text.
pub fn judge(text: &str, at: i64) -> Result<Vec<String>, String> {
    let theirs = reference::ask(text, at)?;
    Ok(match ours(text, at) {
        Ok(ours) => differences(&theirs, &ours),
        Err(error) => vec![error],
    })
}
