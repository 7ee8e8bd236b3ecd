//! What was found before a machine becomes a node: one line each.
//!
//! Not for looking (`agent::checks`).

use super::style::{Style, Tone};
use crate::agent::checks::{Finding, Verdict};

/// One line for each finding, and what to do below it.
pub(crate) fn text(findings: &[Finding], style: Style) -> String {
    let mut text = String::new();
    for found in findings {
        let (word, tone) = match found.verdict {
            Verdict::Ok => ("ok", Tone::Good),
            Verdict::Warn => ("warn", Tone::Doubtful),
            Verdict::Refuse => ("refuse", Tone::Bad),
        };
        let word = style.paint(tone, &format!("{word:<6}"));
        text.push_str(&format!("{word}  {:<8}  {}\n", found.check, found.text));
        if !found.remedy.is_empty() {
            text.push_str(&format!("{:18}{}\n", "", found.remedy));
        }
    }
    text
}
