//! The place of a key in a text that has been read: for mistakes that only a machine can find.
//!
//! Not for finding them.

use crate::mistake::{Mistake, Report, Warning};
use standfast_model::config::ClusterConfig;
use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// A mistake at a key, given by its tables, or where the nearest table around it begins.
#[must_use]
pub fn mistake_at(
    (text, file): (&str, &str),
    path: &[&str],
    (problem, allowed): (&str, &str),
    nearest: Option<String>,
) -> Mistake {
    let mut mistake = Mistake::new(&path.join("."), problem).allowed(allowed);
    mistake.nearest = nearest;
    let mut report = Report::new(text, file);
    report.mistake(place(text, path), mistake.clone());
    report.into_mistakes().pop().unwrap_or(mistake)
}

/// The same for what works and is probably not what is wanted. None if there is no such text.
#[must_use]
pub fn warning_at((text, file): (&str, &str), path: &[&str], what: &str) -> Option<Warning> {
    let mut report = Report::new(text, file);
    report.warning(place(text, path), &path.join("."), what);
    let (_, mut warnings) = report.finish(ClusterConfig::default()).ok()?;
    warnings.pop()
}

fn place(text: &str, path: &[&str]) -> Range<usize> {
    let Ok(document) = DeTable::parse(text) else {
        return 0..0;
    };
    let (mut table, mut at) = (document.get_ref(), 0..0);
    for key in path {
        let Some((name, value)) = table.get_key_value(*key) else {
            return at;
        };
        at = name.span();
        let DeValue::Table(inner) = value.get_ref() else {
            return at;
        };
        table = inner;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "[resources.web]\nkind = \"ocf\"\n[resources.web.parameters]\nconfigfil = \"/etc/a\"\n";

    #[test]
    fn a_place_is_the_key_or_what_is_around_it() {
        let at = |path: &[&str]| {
            let found = mistake_at((TEXT, "x"), path, ("is wrong", ""), None);
            (found.line, found.column)
        };
        assert_eq!(at(&["resources", "web", "parameters", "configfil"]), (4, 1));
        assert_eq!(at(&["resources", "web", "parameters", "port"]), (3, 16));
        assert_eq!(at(&["resources", "db"]), (1, 2));
        let warning = warning_at((TEXT, "x"), &["resources", "web", "kind"], "odd").unwrap();
        assert_eq!(
            warning.to_string(),
            "x:2:1: warning: resources.web.kind: odd"
        );
    }
}
