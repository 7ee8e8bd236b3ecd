//! `history`: the journal, newest last.

use super::text::utc;
use serde::Serialize;
use standfast_model::{plan::PlanNumber, request::View, state::JournalEntry};

#[derive(Serialize)]
struct Document<'v> {
    schema: &'static str,
    entries: Vec<&'v JournalEntry>,
}

fn last(view: &View, number: usize) -> impl Iterator<Item = &JournalEntry> {
    let journal = &view.state.journal;
    journal.iter().skip(journal.len().saturating_sub(number))
}

/// The decision that made a plan, while the journal still has it.
pub(crate) fn decision(view: &View, plan: PlanNumber) -> Option<&JournalEntry> {
    let decisions = ["failover", "placement", "switchover"];
    let mut entries = view.state.journal.iter();
    entries.find(|e| e.plan == plan && decisions.contains(&e.kind.as_str()))
}

/// The last entries as text, evidence indented under each.
#[must_use]
pub fn history(view: &View, number: usize) -> String {
    let mut text = String::new();
    for entry in last(view, number) {
        let (time, plan) = (utc(entry.wall_ms), entry.plan.to_string());
        text.push_str(&format!(
            "{time}  {plan:<6}  {:<10}  {}\n",
            entry.kind, entry.text
        ));
        for line in &entry.evidence {
            text.push_str(&format!(
                "                                            {line}\n"
            ));
        }
    }
    if text.is_empty() {
        text.push_str("Nothing has happened yet.\n");
    }
    text
}

/// The last entries as `standfast/history/1`.
#[must_use]
pub fn history_json(view: &View, number: usize) -> String {
    super::text::json(&Document {
        schema: "standfast/history/1",
        entries: last(view, number).collect(),
    })
}
