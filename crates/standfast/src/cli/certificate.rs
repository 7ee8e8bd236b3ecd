//! `cert show`, and `cert rotate` of a node's key.
//!
//! Renewal needs no command: the agent does it by itself (`agent::certificates`).

use super::{
    ask::look_at_state,
    exit,
    member_args::{CertRotateArgs, CertShowArgs},
    operate::Done,
    print,
};
use crate::{failure::Failure, render};
use serde::Serialize;
use standfast_model::request::{Request, View};
use std::{path::Path, time::Instant};

/// `standfast/cert/1`
#[derive(Serialize)]
struct Document {
    schema: &'static str,
    nodes: Vec<Line>,
    /// Another authority takes the place of the present one; none when nothing of that is under way.
    authority_change: Option<render::AuthorityLine>,
}

#[derive(Serialize)]
struct Line {
    node: String,
    /// When its certificate ends, milliseconds since 1970; none when that is not known.
    until_ms: Option<u64>,
    /// Why it cannot be renewed, empty when there is no such problem.
    problem: String,
    /// Fingerprints of the public keys that it may show: one, or two while it changes its key.
    keys: Vec<String>,
    /// Fingerprint of the authority that signed its certificate; empty when that is not known.
    authority: String,
}

fn lines(view: &View) -> Vec<Line> {
    let state = &view.state;
    let members = state.members.values().map(|info| &info.node);
    members
        .map(|node| {
            let report = state.nodes.get(node).map(|known| &known.report.certificate);
            Line {
                node: node.to_string(),
                until_ms: report.map(|r| r.until_ms).filter(|until| *until > 0),
                problem: report.map_or_else(String::new, |r| r.problem.clone()),
                keys: state
                    .keys
                    .get(node)
                    .map(|keys| keys.iter().cloned().collect())
                    .unwrap_or_default(),
                authority: report.map_or_else(String::new, |r| r.authority.clone()),
            }
        })
        .collect()
}

pub(super) fn show(socket: &Path, args: &CertShowArgs) -> Result<(), Failure> {
    let (_, view) = look_at_state(socket)?;
    let nodes = lines(&view);
    if args.json {
        return print(&render::json(&Document {
            schema: "standfast/cert/1",
            nodes,
            authority_change: render::authority_line(&view),
        }));
    }
    let mut text = String::new();
    for line in &nodes {
        let until = line
            .until_ms
            .map_or_else(|| String::from("not known yet"), render::utc);
        text.push_str(&format!("{}: certificate ends {until}", line.node));
        if line.problem.is_empty() {
            text.push_str(", renewed by itself long before\n");
        } else {
            text.push_str(&format!(", CANNOT BE RENEWED: {}\n", line.problem));
        }
        for key in &line.keys {
            text.push_str(&format!("  public key {key}\n"));
        }
        if line.keys.len() > 1 {
            text.push_str(&format!(
                "  its change of key was interrupted: `standfast cert rotate` on {} finishes it\n",
                line.node
            ));
        }
    }
    let mut authorities: Vec<&str> = nodes.iter().map(|line| line.authority.as_str()).collect();
    authorities.sort_unstable();
    authorities.dedup();
    for authority in authorities.iter().filter(|one| !one.is_empty()) {
        let of: Vec<&str> = nodes
            .iter()
            .filter(|line| line.authority == **authority && authorities.len() > 1)
            .map(|line| line.node.as_str())
            .collect();
        let of = if of.is_empty() {
            String::new()
        } else {
            format!(" of {}", of.join(", "))
        };
        text.push_str(&format!("authority{of}: {authority}\n"));
    }
    if let Some(sentence) = render::authority_sentence(&view) {
        text.push_str(&format!("{sentence}\n"));
    }
    print(&text)
}

pub(super) fn rotate(socket: &Path, args: &CertRotateArgs) -> Result<(), Failure> {
    let (mut agent, view) = look_at_state(socket)?;
    let node = view.node;
    if let Some(named) = args.node.as_ref().filter(|named| **named != node) {
        return Err(Failure::new(
            exit::USAGE,
            format!(
                "this is {node}: a private key never leaves its machine, so run this on {named}"
            ),
        ));
    }
    let start = Instant::now();
    let index = agent.change(&Request::RotateKey {
        force: args.force,
        author: String::new(),
    })?;
    Done::new("standfast/cert-rotate/1", &node, index, start).print(
        args.json,
        &format!("{node} has a new private key and certificate; the old ones are worth nothing"),
    )
}
