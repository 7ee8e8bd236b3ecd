//! Tables and JSON of trials. Not for measuring.

use std::collections::BTreeMap;

use crate::fault::Fault;
use crate::measure::spread;
use crate::trial::Trial;
use crate::usage::Usage;

/// A figure in milliseconds as tables print it.
fn figure(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.1}")
    }
}

fn median_and_extremes(values: &[f64], missing: usize) -> String {
    let mut text = match spread(values) {
        None => "–".to_owned(),
        Some((median, least, most)) if values.len() > 1 => {
            format!("{} ({}–{})", figure(median), figure(least), figure(most))
        }
        Some((median, ..)) => figure(median),
    };
    if missing > 0 {
        text.push_str(&format!(", never ×{missing}"));
    }
    text
}

/// One line of a table: a system under a fault, over its trials.
#[must_use]
pub fn summary(trials: &[&Trial]) -> Vec<String> {
    let pick = |value: fn(&Trial) -> Option<f64>| -> Vec<f64> {
        trials.iter().filter_map(|trial| value(trial)).collect()
    };
    let rto = pick(|trial| trial.client.rto_ms);
    let steady = pick(|trial| trial.client.steady_ms);
    let gap = pick(|trial| Some(trial.client.longest_gap_ms));
    let dual = pick(|trial| Some(trial.owners_healed.dual_owner_ms));
    let requests: usize = trials.iter().map(|trial| trial.client.requests).sum();
    let failed: usize = trials
        .iter()
        .map(|trial| trial.client.failed_requests)
        .sum();
    vec![
        trials.len().to_string(),
        median_and_extremes(&rto, trials.len().saturating_sub(rto.len())),
        median_and_extremes(&steady, trials.len().saturating_sub(steady.len())),
        median_and_extremes(&gap, 0),
        format!("{failed}/{requests}"),
        median_and_extremes(&dual, 0),
    ]
}

/// A Markdown table of all trials: median (minimum–maximum), in milliseconds.
#[must_use]
pub fn markdown(trials: &[Trial]) -> String {
    let mut groups: BTreeMap<(bool, Fault, &str), Vec<&Trial>> = BTreeMap::new();
    for trial in trials {
        groups
            .entry((trial.loaded, trial.fault, &trial.system))
            .or_default()
            .push(trial);
    }
    let head = [
        "fault",
        "system",
        "trials",
        "RTO ms",
        "steady after ms",
        "longest gap ms",
        "failed/requests",
        "two owners ms",
    ];
    let mut rows: Vec<Vec<String>> = Vec::new();
    for ((loaded, fault, system), trials) in &groups {
        let load = if *loaded { " (loaded)" } else { "" };
        let mut row = vec![format!("{}{load}", fault.name()), (*system).to_owned()];
        row.extend(summary(trials));
        rows.push(row);
    }
    table(&head.map(str::to_owned), &rows)
}

/// A Markdown table of what agents need.
#[must_use]
pub fn usage(usages: &[Usage]) -> String {
    let head = [
        "node",
        "role",
        "CPU % of a core",
        "PSS KiB",
        "PSS alone KiB",
        "RSS KiB",
        "keepers PSS KiB",
    ];
    let rows: Vec<Vec<String>> = usages
        .iter()
        .map(|usage| {
            let role = match (usage.leads, usage.primary) {
                (true, true) => "leader and primary",
                (true, false) => "leader",
                (false, true) => "primary",
                (false, false) => "other",
            };
            vec![
                usage.node.clone(),
                role.to_owned(),
                format!("{:.2}", usage.cpu_percent),
                usage.pss_kib.to_string(),
                usage
                    .pss_alone_kib
                    .map_or_else(|| "–".to_owned(), |kib| kib.to_string()),
                usage.rss_kib.to_string(),
                usage.keepers_pss_kib.to_string(),
            ]
        })
        .collect();
    table(&head.map(str::to_owned), &rows)
}

/// A Markdown table whose columns are aligned for reading as plain text.
#[must_use]
pub fn table(head: &[String], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        rows.iter()
            .chain(std::iter::once(&head.to_vec()))
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |row: &[String]| {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        format!("| {} |\n", cells.join(" | "))
    };
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    let mut text = line(head);
    text.push_str(&line(&rule));
    for row in rows {
        text.push_str(&line(row));
    }
    text
}
