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

/// A Markdown table for readers: a line a fault, a column a system. Median, and the longest in brackets; of a switchover the longest
/// gap, because the old owner answers while it is prepared.
#[must_use]
pub fn comparison(trials: &[Trial]) -> String {
    let mut systems: Vec<&str> = trials.iter().map(|trial| trial.system.as_str()).collect();
    systems.sort_unstable();
    systems.dedup();
    let mut head = vec!["fault".to_owned()];
    head.extend(systems.iter().map(|system| (*system).to_owned()));
    let mut lines: Vec<(bool, Fault)> = trials
        .iter()
        .map(|trial| (trial.loaded, trial.fault))
        .collect();
    lines.sort_unstable();
    lines.dedup();
    let rows: Vec<Vec<String>> = lines
        .into_iter()
        .map(|(loaded, fault)| {
            let load = if loaded { " (loaded)" } else { "" };
            let mut row = vec![format!("{}{load}", fault.name())];
            row.extend(systems.iter().map(|system| {
                let same = |trial: &&Trial| {
                    (trial.loaded, trial.fault, trial.system.as_str()) == (loaded, fault, system)
                };
                in_words(&trials.iter().filter(same).collect::<Vec<_>>())
            }));
            row
        })
        .collect();
    table(&head, &rows)
}

/// What clients and the watcher saw of one fault on one system.
fn in_words(trials: &[&Trial]) -> String {
    let Some(first) = trials.first() else {
        return "does not apply".to_owned();
    };
    let pick = |value: fn(&Trial) -> Option<f64>| -> Vec<f64> {
        trials.iter().filter_map(|trial| value(trial)).collect()
    };
    let mut text = if trials.iter().all(|trial| trial.client.failed_requests == 0) {
        "no failed request".to_owned()
    } else {
        let of_one: fn(&Trial) -> Option<f64> = if first.fault == Fault::Switchover {
            |trial| Some(trial.client.longest_gap_ms)
        } else {
            |trial| trial.client.rto_ms
        };
        let times = pick(of_one);
        let missing = trials.len().saturating_sub(times.len());
        let never = if missing > 0 {
            format!("{missing} of {} never", trials.len())
        } else {
            String::new()
        };
        match spread(&times) {
            None => "never".to_owned(),
            Some((median, _, most)) if never.is_empty() => {
                format!("{} ({})", time(median), time(most))
            }
            Some((median, _, most)) => format!("{} ({}), {never}", time(median), time(most)),
        }
    };
    let two = |values: &[f64]| spread(values).filter(|(.., most)| *most > 0.0);
    if let Some((median, _, most)) = two(&pick(|trial| Some(trial.owners.dual_owner_ms))) {
        text.push_str(&format!(
            "; **two owners for {} ({})**",
            time(median),
            time(most)
        ));
    } else if let Some((median, _, most)) =
        two(&pick(|trial| Some(trial.owners_healed.dual_owner_ms)))
    {
        text.push_str(&format!(
            "; **two owners for {} ({}) once healed**",
            time(median),
            time(most)
        ));
    }
    text
}

/// Milliseconds as people read them.
fn time(milliseconds: f64) -> String {
    if milliseconds >= 1000.0 {
        format!("{:.2} s", milliseconds / 1000.0)
    } else {
        format!("{milliseconds:.0} ms")
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::good;

    fn trial(system: &str, fault: Fault, rto_ms: Option<f64>, dual_ms: f64) -> Trial {
        let mut trial = good();
        trial.system = system.to_owned();
        trial.fault = fault;
        trial.client.rto_ms = rto_ms;
        trial.client.failed_requests = usize::from(rto_ms != Some(0.0));
        trial.owners.dual_owner_ms = dual_ms;
        trial
    }

    #[test]
    fn systems_stand_side_by_side_in_words() {
        let trials = [
            trial("one", Fault::PowerLoss, Some(800.0), 0.0),
            trial("one", Fault::PowerLoss, Some(812.4), 0.0),
            trial("one", Fault::AgentKilled, Some(0.0), 0.0),
            trial("two", Fault::PowerLoss, Some(8600.0), 0.0),
            trial("two", Fault::PowerLoss, None, 0.0),
            trial("two", Fault::AgentKilled, Some(0.0), 5730.0),
        ];
        let expected = "\
| fault        | one               | two                                              |
| ------------ | ----------------- | ------------------------------------------------ |
| power-loss   | 806 ms (812 ms)   | 8.60 s (8.60 s), 1 of 2 never                    |
| agent-killed | no failed request | no failed request; **two owners for 5.73 s (5.73 s)** |
";
        let squeezed = |text: &str| text.replace([' ', '-'], "");
        assert_eq!(squeezed(&comparison(&trials)), squeezed(expected));
    }

    #[test]
    fn a_fault_that_a_system_does_not_know_does_not_apply_and_two_owners_after_healing_are_told() {
        let mut late = trial("one", Fault::SilentPartition, Some(900.0), 0.0);
        late.owners_healed.dual_owner_ms = 30.0;
        let trials = [late, trial("two", Fault::PowerLoss, Some(1.0), 0.0)];
        let text = comparison(&trials);
        assert!(text.contains("does not apply"), "{text}");
        assert!(
            text.contains("900 ms (900 ms); **two owners for 30 ms (30 ms) once healed**"),
            "{text}"
        );
    }
}
