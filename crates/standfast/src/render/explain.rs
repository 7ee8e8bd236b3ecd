//! `explain`: why a group is where it is, from the reasons of the decision itself.

use super::{
    elsewhere::{Seen, There, elsewhere},
    groups::{self, in_brackets},
    history::decision,
    movers::{measured, movers},
    style::{Style, Tone},
    text::{did_you_mean, utc},
};
use serde::Serialize;
use standfast_model::{
    id::{GroupId, NodeId},
    plan::{Assignment, INFINITY, Reason},
    request::View,
    state::JournalEntry,
};
use std::collections::BTreeMap;

/// What there is to say of one group: `standfast/explain/1`.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    schema: &'static str,
    /// The group.
    group: String,
    /// Where the plan puts it.
    node: Option<String>,
    /// Whether all of it runs there.
    running: bool,
    /// Why not, when it does not.
    problem: Option<String>,
    /// The node that was asked hears no majority: what it says was known last.
    quorum: bool,
    /// Number of the plan in force.
    plan: String,
    /// Number of the plan that gave it this node.
    since_plan: String,
    /// Reasons about the group as a whole.
    about: Vec<String>,
    /// Each node with its score and what it is made of, best first.
    nodes: Vec<NodeScore>,
    /// The decision that put it there, while the journal still has it.
    moved_by: Option<JournalEntry>,
    /// What would have to change for it to be on each other node.
    elsewhere: Vec<There>,
    /// What would move it, as sentences.
    movers: Vec<String>,
    /// Its last times without service, newest first, as sentences.
    measured: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
struct NodeScore {
    node: String,
    /// Sum by Pacemaker's arithmetic; 1000000 and its negative decide alone.
    score: i64,
    reasons: Vec<Reason>,
    /// How the node is now, where that differs from what a reason says.
    now: String,
}

impl NodeScore {
    fn seen(&self) -> Seen<'_> {
        Seen {
            node: &self.node,
            score: self.score,
            reasons: &self.reasons,
        }
    }
}

impl Explanation {
    /// Explains one group.
    ///
    /// # Errors
    /// There is no such group: what to tell.
    pub fn of(view: &View, group: &GroupId) -> Result<Self, String> {
        let config = &view.state.config;
        if config.copies.groups.contains_key(group) {
            let copies = config.copies_of(group).map(|(copy, _)| copy.as_str());
            let names: Vec<&str> = copies.collect();
            let names = names.join(", ");
            return Err(format!("{group} has copies; name one of them: {names}"));
        }
        if !config.groups.contains_key(group) {
            let names: Vec<&str> = config.written_groups().map(GroupId::as_str).collect();
            let near = did_you_mean(group.as_str(), names.iter().copied());
            let all = names.join(", ");
            return Err(format!(
                "there is no group {group}; groups are: {all}{near}"
            ));
        }
        let plan = &view.state.plan;
        let Some(assignment) = plan.groups.get(group) else {
            return Err(format!(
                "no plan names {group} yet; look at `standfast status`"
            ));
        };
        let about = assignment.reasons.iter().filter(|r| r.node.is_none());
        let since = assignment.since;
        let mut nodes = scores(view, assignment);
        if let Some(copy) = config.copy_of(group) {
            nodes.retain(|score| score.node == copy.node.as_str());
        }
        let seen: Vec<Seen<'_>> = nodes.iter().map(NodeScore::seen).collect();
        let elsewhere = elsewhere(view, group, &seen);
        Ok(Self {
            schema: "standfast/explain/1",
            group: group.to_string(),
            node: assignment.node.as_ref().map(ToString::to_string),
            running: super::running_on(view, group).is_some(),
            problem: problem(view, group),
            quorum: view.quorum,
            plan: plan.number.to_string(),
            since_plan: since.to_string(),
            about: about.map(|r| r.text.clone()).collect(),
            nodes,
            elsewhere,
            moved_by: decision(view, since).cloned(),
            movers: if view.quorum {
                movers(view, group)
            } else {
                vec![String::from(
                    "nothing, until a majority of the voters hear each other again: nothing is started or moved meanwhile",
                )]
            },
            measured: measured(view, group),
        })
    }
}

fn problem(view: &View, group: &GroupId) -> Option<String> {
    if !view.quorum {
        return Some(format!("{} hears no leader with a majority", view.node));
    }
    let line = groups::line(view, group);
    line.problem.filter(|_| !line.running)
}

fn scores(view: &View, assignment: &Assignment) -> Vec<NodeScore> {
    let mut by_node: BTreeMap<&NodeId, Vec<Reason>> = BTreeMap::new();
    for node in view.state.config.nodes.keys() {
        by_node.entry(node).or_default();
    }
    for reason in &assignment.reasons {
        if let Some(node) = &reason.node {
            by_node.entry(node).or_default().push(reason.clone());
        }
    }
    let mut scores: Vec<NodeScore> = by_node
        .into_iter()
        .map(|(node, reasons)| NodeScore {
            node: node.to_string(),
            score: reasons
                .iter()
                .fold(0, |sum, r| standfast_schedule::add(sum, r.score)),
            now: now(view, node),
            reasons,
        })
        .collect();
    let chosen = assignment.node.as_ref().map(NodeId::as_str);
    scores.sort_by_key(|s| (Some(s.node.as_str()) != chosen, -s.score));
    scores
}

/// The plan is as old as its last change; the node may have changed since.
fn now(view: &View, node: &NodeId) -> String {
    match view.state.nodes.get(node) {
        None => String::from("not heard yet"),
        Some(known) if !known.online => {
            format!("offline{}", in_brackets(&known.offline_reason))
        }
        Some(known) if known.drained => String::from("drained"),
        Some(_) if !view.quorum => String::from("not known: it was online"),
        Some(_) => String::from("online"),
    }
}

/// An explanation as text.
#[must_use]
pub fn explain(e: &Explanation, style: Style) -> String {
    let place = match &e.node {
        Some(node) if e.running => format!("{} runs on {node}", e.group),
        Some(node) => format!("{} belongs on {node} and is not all running there", e.group),
        None => format!("{} runs nowhere", e.group),
    };
    let why = match &e.problem {
        Some(problem) if e.node.is_some() => format!(", because {problem}"),
        Some(_) | None => String::new(),
    };
    let mut text = style.paint(Tone::Heading, &format!("{place}{why}."));
    text.push('\n');
    for line in &e.about {
        text.push_str(&format!("  {line}\n"));
    }
    text.push_str(&format!(
        "\nScores in plan {}, as things were when it was decided\n",
        e.plan
    ));
    for node in &e.nodes {
        let chosen = e.node.as_deref() == Some(node.node.as_str());
        let mark = if chosen { "*" } else { " " };
        let head = format!("{mark} {:<12} {:>10}", node.node, score(node.score));
        let tone = if chosen { Tone::Good } else { Tone::Plain };
        text.push_str(&style.paint(tone, &head));
        text.push_str(&format!("   now {}\n", node.now));
        for reason in &node.reasons {
            text.push_str(&format!("{:>25}   {}\n", score(reason.score), reason.text));
        }
    }
    text.push_str(&elsewhere_lines(&e.elsewhere));
    match &e.moved_by {
        Some(entry) => {
            let (time, plan) = (utc(entry.wall_ms), &e.since_plan);
            text.push_str(&format!(
                "\nDecided at {time} by plan {plan}: {}\n",
                entry.text
            ));
            for line in &entry.evidence {
                text.push_str(&format!("  {line}\n"));
            }
        }
        None => text.push_str(&format!(
            "\nDecided by plan {}, which is older than the journal.\n",
            e.since_plan
        )),
    }
    for (heading, lines) in [("What would move it", &e.movers), ("Measured", &e.measured)] {
        if !lines.is_empty() {
            text.push_str(&format!("\n{heading}\n"));
        }
        for line in lines {
            text.push_str(&format!("  {line}\n"));
        }
    }
    text
}

fn elsewhere_lines(nodes: &[There]) -> String {
    let mut text = String::new();
    if !nodes.is_empty() {
        text.push_str("\nWhat would have to change for it to be on another node\n");
    }
    for there in nodes {
        text.push_str(&format!(
            "  {:<12} {}\n",
            there.node,
            there.changes.join("; and ")
        ));
    }
    text
}

/// A score as operators write it.
pub(super) fn score(score: i64) -> String {
    if score >= INFINITY {
        String::from("INFINITY")
    } else if score <= -INFINITY {
        String::from("-INFINITY")
    } else {
        score.to_string()
    }
}
