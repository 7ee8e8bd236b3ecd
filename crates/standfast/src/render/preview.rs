//! `plan`: what applying a file would do.

use super::text::{count, length};
use serde::Serialize;
use standfast_model::{
    plan::{Action, ActionKind},
    request::{Interruption, PlanPreview, RtoPrediction, Source},
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
    if !p.interruptions.is_empty() {
        text.push_str("\nInterrupted\n");
        section(&mut text, p.interruptions.iter().flat_map(interruption));
    }
    if !p.live_changes.is_empty() {
        text.push_str("\nChanges where it runs\n");
        section(&mut text, p.live_changes.iter().cloned());
    }
    let rto: Vec<String> = rto(p);
    if !p.rto_after.is_empty() {
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

/// How long it is away, then what that is made of.
fn interruption(of: &Interruption) -> Vec<String> {
    let group = &of.group;
    let Some(all) = of.length else {
        return vec![format!(
            "{group} stops on {} and does not run again",
            of.from
        )];
    };
    let certain = of
        .parts
        .iter()
        .all(|part| !matches!(part.source, Source::Limit));
    let about = if certain { "about" } else { "at most" };
    let place = match &of.to {
        Some(to) if *to != of.from => format!("moves from {} to {to}", of.from),
        _ => format!("restarts on {}", of.from),
    };
    let mut lines = vec![format!("{group} {place}: away for {about} {}", length(all))];
    lines.extend(of.parts.iter().map(|part| {
        let source = match &part.source {
            Source::Measured(node) if part.what.ends_with(&format!(" on {node}")) => {
                String::from("measured")
            }
            Source::Measured(node) => format!("measured on {node}"),
            Source::Limit => String::from("never measured: its time limit"),
            Source::Usual => String::from("usual"),
        };
        format!("  {}: {} ({source})", part.what, length(part.length))
    }));
    lines
}

/// How to apply exactly what is shown.
#[must_use]
pub fn how_to_apply(report: &PreviewReport, command: &str) -> String {
    let version = report.preview.based_on;
    format!("\nTo apply exactly this: standfast {command} --based-on {version}\n")
}

/// Groups whose prediction changes; the others in one line.
fn rto(p: &PlanPreview) -> Vec<String> {
    let say = |rto: &RtoPrediction| length(rto.node_lost);
    let mut lines = Vec::new();
    let mut same = 0;
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
            Some(_) => same += 1,
        }
    }
    if same > 0 {
        lines.push(format!("{} as before", count(same, "group")));
    }
    lines
}
