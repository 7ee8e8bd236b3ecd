//! `plan`: what applying a file would do.

use super::text::length;
use serde::Serialize;
use standfast_model::{
    plan::{Action, ActionKind},
    request::{PlanPreview, RtoPrediction},
};

/// `standfast/plan/1`: the core's preview with its place in a versioned document.
#[derive(Clone, Debug, Serialize)]
pub struct PreviewReport {
    /// Name and version of this document.
    pub schema: &'static str,
    /// Nothing would change.
    pub unchanged: bool,
    /// The rest.
    #[serde(flatten)]
    pub preview: PlanPreview,
}

impl PreviewReport {
    /// A preview as it is shown.
    #[must_use]
    pub fn of(preview: PlanPreview) -> Self {
        let unchanged = preview.differences.is_empty()
            && preview.actions.is_empty()
            && preview.live_changes.is_empty();
        Self {
            schema: "standfast/plan/1",
            unchanged,
            preview,
        }
    }
}

/// A preview as text.
#[must_use]
pub fn preview(report: &PreviewReport) -> String {
    let p = &report.preview;
    if report.unchanged {
        let version = p.based_on;
        return format!("Nothing would change: the file says what configuration {version} says.\n");
    }
    let mut text = format!("Differences from configuration {}\n", p.based_on);
    section(&mut text, p.differences.iter().cloned());
    text.push_str("\nActions\n");
    if p.actions.is_empty() {
        text.push_str("  none: nothing is started or stopped\n");
    }
    section(&mut text, p.actions.iter().enumerate().map(action));
    if !p.live_changes.is_empty() {
        text.push_str("\nChanges where it runs\n");
        section(&mut text, p.live_changes.iter().cloned());
    }
    let rto: Vec<String> = rto(p);
    if !rto.is_empty() {
        text.push_str("\nPredicted RTO\n");
        section(&mut text, rto.into_iter());
    }
    if !p.warnings.is_empty() {
        text.push_str("\nWarnings\n");
        section(&mut text, p.warnings.iter().cloned());
    }
    text
}

fn section(text: &mut String, lines: impl Iterator<Item = String>) {
    for line in lines {
        text.push_str(&format!("  {line}\n"));
    }
}

fn action((index, action): (usize, &Action)) -> String {
    let verb = match action.kind {
        ActionKind::Stop => "stop",
        ActionKind::Start => "start",
    };
    let after: Vec<String> = action.after.iter().map(|i| (i + 1).to_string()).collect();
    let after = if after.is_empty() {
        String::new()
    } else {
        format!(", after {}", after.join(" and "))
    };
    format!(
        "{}. {verb} {} on {}{after}",
        index + 1,
        action.resource,
        action.node
    )
}

/// Only groups whose prediction changes.
fn rto(p: &PlanPreview) -> Vec<String> {
    let say = |rto: &RtoPrediction| length(rto.node_lost);
    let mut lines = Vec::new();
    for (group, after) in &p.rto_after {
        match p.rto_before.get(group) {
            None => lines.push(format!("{group}: {}", say(after))),
            Some(before) if before.node_lost != after.node_lost => {
                lines.push(format!(
                    "{group}: {} instead of {}",
                    say(after),
                    say(before)
                ));
            }
            Some(_) => {}
        }
    }
    lines
}
