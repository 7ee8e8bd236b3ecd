//! `monitors` of a resource of kind `ocf`: recurring ones that look more closely than the first, each with its own times.
//!
//! Not for the first one, which is the resource's `monitor_...` keys, nor for whether an agent knows a depth.

use crate::{
    mistake::{Mistake, Report},
    process::DAY_MS,
    section::{Section, wrong_type},
};
use standfast_model::{config::DeepMonitor, time::Micros};
use toml::de::DeValue;

/// Most of one resource.
const MOST: usize = 8;
/// Deeper than any agent looks.
const DEEPEST: i64 = 1000;

/// `usual`: how long the first one may take.
pub(crate) fn read(
    table: &mut Section<'_>,
    report: &mut Report<'_>,
    usual: Micros,
) -> Vec<DeepMonitor> {
    let mut monitors: Vec<DeepMonitor> = Vec::new();
    let Some((value, path)) = table.take("monitors") else {
        return monitors;
    };
    let DeValue::Array(list) = value.get_ref() else {
        let wanted = "a list of tables, such as [{ depth = 10, interval_ms = 60000 }]";
        wrong_type(report, value, &path, wanted);
        return monitors;
    };
    if list.len() > MOST {
        let mistake = Mistake::new(&path, format!("has {} monitors", list.len()));
        report.mistake(value.span(), mistake.allowed(format!("at most {MOST}")));
    }
    for (index, each) in list.iter().enumerate() {
        let Some(mut one) = Section::of(each, format!("{path}[{index}]"), report) else {
            continue;
        };
        let monitor = read_one(&mut one, report, usual, &monitors);
        one.finish(report);
        monitors.extend(monitor);
    }
    monitors
}

fn read_one(
    one: &mut Section<'_>,
    report: &mut Report<'_>,
    usual: Micros,
    before: &[DeepMonitor],
) -> Option<DeepMonitor> {
    for key in ["depth", "interval_ms"] {
        if !one.has(key) {
            one.missing(report, key);
        }
    }
    let depth = one.integer(report, "depth", 1..=DEEPEST);
    let interval = one.millis(report, "interval_ms", 100..=DAY_MS);
    let timeout = one.millis(report, "timeout_ms", 1..=DAY_MS);
    let failures = one.integer(report, "failures", 1..=1000);
    let (depth, interval) = (depth?, interval?);
    let number = u32::try_from(depth.value).ok()?;
    if before.iter().any(|other| other.depth == number) {
        let mistake = Mistake::new(
            &depth.path,
            format!("there is one of depth {number} already"),
        );
        report.mistake(depth.at, mistake.allowed("each depth once"));
        return None;
    }
    Some(DeepMonitor {
        depth: number,
        interval: interval.value,
        timeout: timeout.map_or(usual, |found| found.value),
        failures: failures
            .and_then(|found| u32::try_from(found.value).ok())
            .unwrap_or(1),
    })
}
