//! What several nodes said, side by side: clocks, versions, and nodes that did not answer. Pure.

use crate::render::{self, Answered, Status};
use standfast_model::{
    id::NodeId,
    query::{Finding, Severity},
    request::View,
};
use std::collections::BTreeSet;

/// Clocks that differ by more make journals and certificates hard to read.
const CLOCKS_MS: u64 = 2_000;

/// All findings, the worst first.
pub(crate) fn together(view: Option<&View>, answers: &[Answered]) -> Vec<Finding> {
    let mut all = Vec::new();
    for (node, answer) in answers {
        match answer {
            Ok((examined, asked_ms)) => {
                all.extend(examined.findings.iter().cloned());
                all.extend(clock(node, examined.wall_ms, *asked_ms));
            }
            Err(why) => all.push(Finding {
                severity: Severity::Critical,
                node: Some(node.clone()),
                subject: String::from("reached"),
                text: format!("this node was not examined: {why}"),
                remedy: format!("run `standfast doctor --local` on {node}"),
            }),
        }
    }
    if let Some(view) = view {
        all.extend(versions(&Status::of(view)));
        all.extend(authority(view));
    }
    all.sort_by(|a, b| (a.severity, &a.node).cmp(&(b.severity, &b.node)));
    all
}

fn clock(node: &NodeId, theirs: u64, ours: u64) -> Option<Finding> {
    let apart = theirs.abs_diff(ours);
    (apart > CLOCKS_MS).then(|| Finding {
        severity: Severity::Warning,
        node: Some(node.clone()),
        subject: String::from("clock"),
        text: format!(
            "its clock is {} s {} the one of the node that asked",
            apart.div_ceil(1000),
            if theirs > ours { "ahead of" } else { "behind" }
        ),
        remedy: String::from(
            "synchronise all nodes (chrony or systemd-timesyncd). Leases do not depend on it; journals, logs and certificates do",
        ),
    })
}

fn authority(view: &View) -> Option<Finding> {
    let line = render::authority_line(view)?;
    let severity = if line.offline.is_empty() {
        Severity::Note
    } else {
        Severity::Warning
    };
    let remedy = match line.offline.as_slice() {
        [] => String::from("wait a moment: nothing is interrupted"),
        nodes => format!(
            "bring {} back, or `standfast remove` what is gone for good; until then the old authority is trusted as well",
            nodes.join(" and ")
        ),
    };
    Some(Finding {
        severity,
        node: None,
        subject: String::from("certificates"),
        text: format!(
            "the certificate authority is being replaced, as {} asked: step {} of 2, waits for {}",
            line.by,
            line.step,
            if line.waits_for.is_empty() {
                String::from("nobody")
            } else {
                line.waits_for.join(", ")
            }
        ),
        remedy,
    })
}

fn versions(status: &Status) -> Option<Finding> {
    let nodes = status
        .nodes
        .iter()
        .filter(|node| node.online && node.reported);
    let versions: BTreeSet<&str> = nodes.map(|node| node.program_version.as_str()).collect();
    (versions.len() > 1).then(|| Finding {
        severity: Severity::Warning,
        node: None,
        subject: String::from("versions"),
        text: format!(
            "nodes run different versions: {}",
            versions.into_iter().collect::<Vec<_>>().join(", ")
        ),
        remedy: String::from(
            "finish the upgrade: the newest messages are used only when all nodes know them",
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use standfast_model::query::Examined;

    fn examined(wall_ms: u64) -> Examined {
        Examined {
            wall_ms,
            ..Examined::default()
        }
    }

    #[test]
    fn a_clock_that_is_off_and_a_node_that_is_silent_are_found() {
        let answers = [
            ("alpha".into(), Ok((examined(100_000), 100_000))),
            ("beta".into(), Ok((examined(220_000), 100_500))),
            ("gamma".into(), Err(String::from("no answer"))),
        ];
        let found = together(None, &answers);
        let subjects: Vec<&str> = found.iter().map(|f| f.subject.as_str()).collect();
        assert_eq!(subjects, ["reached", "clock"]);
        assert!(found[1].text.contains("120 s ahead of"), "{found:?}");
    }
}
