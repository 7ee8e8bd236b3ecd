//! `simulate`: what would happen, step by step, and how long that would take.

use super::text::{json, length};
use serde::Serialize;
use standfast_model::{
    request::{Interruption, Source},
    simulation::{Simulation, Stage, Step},
    time::Micros,
};

#[derive(Serialize)]
struct Document<'s> {
    schema: &'static str,
    #[serde(flatten)]
    simulation: &'s Simulation,
}

/// `standfast/simulation/1`.
#[must_use]
pub fn simulation_json(simulation: &Simulation) -> String {
    json(&Document {
        schema: "standfast/simulation/1",
        simulation,
    })
}

/// A simulation as text.
#[must_use]
pub fn simulation(simulation: &Simulation) -> String {
    let mut text = format!(
        "Simulated from configuration {} and what runs now. Nothing was changed.\n",
        simulation.based_on
    );
    for (position, stage) in simulation.stages.iter().enumerate() {
        text.push_str(&format!("\n{}. {}\n", position + 1, stage.what));
        text.push_str(&said(stage));
    }
    if simulation.stages.len() > 1 && simulation.length > Micros::ZERO {
        let all = simulation.stages.iter().flat_map(|stage| &stage.steps);
        text.push_str(&format!(
            "\nAll of it takes {}{}.\n",
            how_sure(all),
            length(simulation.length)
        ));
    }
    if !simulation.warnings.is_empty() {
        text.push_str("\nWarnings\n");
        for warning in &simulation.warnings {
            text.push_str(&format!("  {warning}\n"));
        }
    }
    text
}

fn said(stage: &Stage) -> String {
    let mut text = String::new();
    if stage.steps.is_empty() {
        text.push_str("   nothing is started, stopped or moved\n");
    } else {
        text.push_str("   after      takes      what\n");
    }
    for step in &stage.steps {
        let (at, takes) = (length(step.at), length(step.length));
        let Step { group, what, .. } = step;
        let line = format!("   {at:<10} {takes:<10} {group}: {what}{}", source(step));
        text.push_str(&format!("{}\n", line.trim_end()));
    }
    for found in &stage.interruptions {
        text.push_str(&format!("   {}\n", away(found)));
    }
    for warning in &stage.warnings {
        text.push_str(&format!("   ! {warning}\n"));
    }
    if !stage.steps.is_empty() {
        let sure = how_sure(stage.steps.iter());
        text.push_str(&format!("   over after {sure}{}\n", length(stage.length)));
    }
    let places: Vec<String> = stage
        .places
        .iter()
        .map(|(group, node)| match node {
            Some(node) => format!("{group} on {node}"),
            None => format!("{group} nowhere"),
        })
        .collect();
    if !places.is_empty() {
        text.push_str(&format!("   then: {}\n", places.join(", ")));
    }
    text
}

/// Lengths that only a time limit bounds make a sum that is rather too long.
fn how_sure<'s>(mut steps: impl Iterator<Item = &'s Step>) -> &'static str {
    if steps.any(|step| matches!(step.source, Source::Limit)) {
        "at most "
    } else {
        "about "
    }
}

fn source(step: &Step) -> String {
    match &step.source {
        Source::Measured(node) if step.what.ends_with(&format!(" on {node}")) => {
            String::from(" (measured)")
        }
        Source::Measured(node) => format!(" (measured on {node})"),
        Source::Limit => String::from(" (never measured: its time limit)"),
        Source::Usual => String::new(),
    }
}

fn away(found: &Interruption) -> String {
    let Interruption {
        group, from, to, ..
    } = found;
    match (to, found.length) {
        (None, _) => format!("{group} is away from {from}, and runs nowhere"),
        (Some(to), None) => {
            format!("{group} moves from {from} to {to}: how long it is away is not known")
        }
        (Some(to), Some(all)) => {
            let place = if to == from {
                format!("restarts on {from}")
            } else {
                format!("moves from {from} to {to}")
            };
            let limit = |source: &Source| matches!(source, Source::Limit);
            let at_most = found.parts.iter().any(|part| limit(&part.source));
            let about = if at_most { "at most" } else { "about" };
            format!("{group} {place}: away for {about} {}", length(all))
        }
    }
}
