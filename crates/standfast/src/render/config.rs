//! Configurations by who, when and why, and drafts: as text and as JSON. Their texts are not shown here.

use super::{
    style::Style,
    table::{Cell, table},
    text::utc,
};
use serde::Serialize;
use standfast_model::{history::ConfigRecord, request::View};

#[derive(Serialize)]
struct History<'v> {
    schema: &'static str,
    versions: Vec<Version<'v>>,
}

#[derive(Serialize)]
struct Version<'v> {
    version: u64,
    index: u64,
    wall_ms: u64,
    author: &'v str,
    reason: &'v str,
    /// Whether it can be shown and come back.
    text_kept: bool,
    in_force: bool,
}

impl<'v> Version<'v> {
    fn of(view: &View, record: &'v ConfigRecord) -> Self {
        let in_force = record.version == view.state.config_version;
        Self {
            version: record.version,
            index: record.index,
            wall_ms: record.wall_ms,
            author: &record.author,
            reason: &record.reason,
            text_kept: in_force || record.text.is_some(),
            in_force,
        }
    }
}

fn versions(view: &View, number: usize) -> Vec<Version<'_>> {
    let records = &view.state.config_history;
    let skip = records.len().saturating_sub(number);
    let records = records.iter().skip(skip);
    records.map(|record| Version::of(view, record)).collect()
}

/// Who changed the configuration, when and why; newest last.
#[must_use]
pub fn config_history(view: &View, number: usize) -> String {
    let versions = versions(view, number);
    if versions.is_empty() {
        return String::from("No configuration has been applied yet.\n");
    }
    let rows = versions.iter().map(|version| {
        let note = match (version.in_force, version.text_kept) {
            (true, _) => "in force",
            (false, true) => "",
            (false, false) => "text no longer kept",
        };
        let cells = [
            version.version.to_string(),
            utc(version.wall_ms),
            version.author.to_owned(),
            note.to_owned(),
            version.reason.to_owned(),
        ];
        cells.into_iter().map(Cell::from).collect()
    });
    let headings = ["VERSION", "WHEN", "WHO", "", "WHY"];
    table(Style::default(), &headings, rows.collect())
}

/// The same as `standfast/config-history/1`.
#[must_use]
pub fn config_history_json(view: &View, number: usize) -> String {
    super::text::json(&History {
        schema: "standfast/config-history/1",
        versions: versions(view, number),
    })
}

#[derive(Serialize)]
struct Drafts<'v> {
    schema: &'static str,
    drafts: Vec<DraftLine<'v>>,
}

#[derive(Serialize)]
struct DraftLine<'v> {
    name: &'v str,
    based_on: u64,
    /// Another configuration has been put in force since.
    outdated: bool,
    wall_ms: u64,
    author: &'v str,
    reason: &'v str,
}

fn lines(view: &View) -> Vec<DraftLine<'_>> {
    let drafts = view.state.drafts.iter();
    drafts
        .map(|(name, draft)| DraftLine {
            name,
            based_on: draft.based_on,
            outdated: draft.based_on != view.state.config_version,
            wall_ms: draft.wall_ms,
            author: &draft.author,
            reason: &draft.reason,
        })
        .collect()
}

/// All drafts.
#[must_use]
pub fn drafts(view: &View) -> String {
    let lines = lines(view);
    if lines.is_empty() {
        return String::from("There are no drafts.\n");
    }
    let rows = lines.iter().map(|line| {
        let since = if line.outdated {
            format!("version {}, no longer in force", line.based_on)
        } else {
            format!("version {}", line.based_on)
        };
        let cells = [
            line.name.to_owned(),
            since,
            utc(line.wall_ms),
            line.author.to_owned(),
            line.reason.to_owned(),
        ];
        cells.into_iter().map(Cell::from).collect()
    });
    let headings = ["DRAFT", "MADE FROM", "WHEN", "WHO", "WHAT FOR"];
    table(Style::default(), &headings, rows.collect())
}

/// The same as `standfast/drafts/1`.
#[must_use]
pub fn drafts_json(view: &View) -> String {
    super::text::json(&Drafts {
        schema: "standfast/drafts/1",
        drafts: lines(view),
    })
}
