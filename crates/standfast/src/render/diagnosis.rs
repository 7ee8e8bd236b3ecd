//! `doctor` as text and as `standfast/doctor/1`.

use super::{
    style::{Style, Tone},
    text::count,
};
use serde::Serialize;
use standfast_model::{
    id::NodeId,
    query::{Examined, Finding, Severity},
};
use std::collections::BTreeSet;

/// A node's answer, or why there is none, with the wall clock of whoever asked.
pub type Answered = (NodeId, Result<(Examined, u64), String>);

/// What was examined and found.
#[derive(Clone, Debug, Serialize)]
pub struct Diagnosis {
    schema: &'static str,
    /// Nodes that were examined.
    examined: Vec<NodeId>,
    /// Nodes that were not.
    not_reached: Vec<NodeId>,
    /// What was looked at.
    checked: BTreeSet<String>,
    /// What was found, the worst first.
    pub findings: Vec<Finding>,
}

impl Diagnosis {
    /// From each node's answer, and the findings of them all.
    #[must_use]
    pub fn of(answers: &[Answered], findings: Vec<Finding>) -> Self {
        let reached = |wanted: bool| {
            let answers = answers.iter();
            let these = answers.filter(move |(_, answer)| answer.is_ok() == wanted);
            these.map(|(node, _)| node.clone()).collect()
        };
        let examined = answers
            .iter()
            .filter_map(|(_, answer)| answer.as_ref().ok());
        Self {
            schema: "standfast/doctor/1",
            examined: reached(true),
            not_reached: reached(false),
            checked: examined
                .flat_map(|(examined, _)| examined.checked.iter().cloned())
                .collect(),
            findings,
        }
    }
}

/// A diagnosis as text.
#[must_use]
pub fn diagnosis(diagnosis: &Diagnosis, style: Style) -> String {
    let of = |severity| {
        let findings = diagnosis.findings.iter();
        findings.filter(|f| f.severity == severity).count()
    };
    let (critical, warnings) = (of(Severity::Critical), of(Severity::Warning));
    let names: Vec<&str> = diagnosis.examined.iter().map(NodeId::as_str).collect();
    let examined = names.join(", ");
    let sentence = match (critical, warnings) {
        (0, 0) => format!("Nothing to do: {examined} examined."),
        (0, _) => format!("{}: {examined} examined.", count(warnings, "warning")),
        _ => format!(
            "{} to act on at once, {}: {examined} examined.",
            count(critical, "finding"),
            count(warnings, "warning")
        ),
    };
    let tone = match (critical, warnings) {
        (0, 0) => Tone::Good,
        (0, _) => Tone::Doubtful,
        _ => Tone::Bad,
    };
    let mut text = style.paint(tone, &sentence);
    text.push('\n');
    for finding in &diagnosis.findings {
        let (word, tone) = match finding.severity {
            Severity::Critical => ("CRITICAL", Tone::Bad),
            Severity::Warning => ("warning", Tone::Doubtful),
            Severity::Note => ("note", Tone::Plain),
        };
        let node = finding.node.as_ref().map_or("cluster", NodeId::as_str);
        let word = style.paint(tone, word);
        text.push_str(&format!(
            "\n{word}  {node}, {}: {}\n  {}\n",
            finding.subject, finding.text, finding.remedy
        ));
    }
    let checked: Vec<&str> = diagnosis.checked.iter().map(String::as_str).collect();
    text.push_str(&format!("\nLooked at: {}.\n", checked.join(", ")));
    text
}
