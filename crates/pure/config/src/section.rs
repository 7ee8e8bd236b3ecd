//! Reading one table: every key that is taken is remembered, and whatever is left over is a mistake.
//!
//! Not for what a value means to the cluster: that is the modules that take the keys.

use crate::mistake::{Mistake, Report};
use standfast_model::time::Micros;
use std::ops::{Range, RangeInclusive};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// Longest text of a value, in bytes.
const MAX_STRING: usize = 4096;

/// Longest list of texts.
const MAX_LIST: usize = 256;

/// A value with its place.
#[derive(Clone, Debug)]
pub(crate) struct Found<T> {
    /// What was written.
    pub(crate) value: T,
    /// Where, in bytes.
    pub(crate) at: Range<usize>,
    /// The key with dots.
    pub(crate) path: String,
}

/// One table of the file.
#[derive(Debug)]
pub(crate) struct Section<'t> {
    table: &'t DeTable<'t>,
    /// The key with dots; empty at the top.
    pub(crate) path: String,
    /// Where it begins.
    pub(crate) at: Range<usize>,
    taken: Vec<&'static str>,
}

impl<'t> Section<'t> {
    pub(crate) const fn new(table: &'t DeTable<'t>, path: String, at: Range<usize>) -> Self {
        Self {
            table,
            path,
            at,
            taken: Vec::new(),
        }
    }

    /// A table out of any value, or a mistake.
    pub(crate) fn of(
        value: &'t Spanned<DeValue<'t>>,
        path: String,
        report: &mut Report<'_>,
    ) -> Option<Self> {
        if let DeValue::Table(table) = value.get_ref() {
            return Some(Self::new(table, path, value.span()));
        }
        wrong_type(report, value, &path, "a table");
        None
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    /// The value of a key, if it is there; the key counts as known from now on.
    pub(crate) fn take(&mut self, key: &'static str) -> Option<(&'t Spanned<DeValue<'t>>, String)> {
        self.taken.push(key);
        let value = self.table.get(key)?;
        Some((value, self.path_of(key)))
    }

    /// All entries of a table whose keys are names, such as `[nodes]`.
    pub(crate) fn entries(
        &self,
    ) -> impl Iterator<Item = (Found<String>, &'t Spanned<DeValue<'t>>)> + use<'t> {
        let path = self.path.clone();
        self.table.iter().map(move |(key, value)| {
            let name = key.get_ref().to_string();
            let found = Found {
                path: format!("{path}.{name}"),
                value: name,
                at: key.span(),
            };
            (found, value)
        })
    }

    pub(crate) fn section(&mut self, report: &mut Report<'_>, key: &'static str) -> Option<Self> {
        let (value, path) = self.take(key)?;
        Self::of(value, path, report)
    }

    pub(crate) fn required_section(
        &mut self,
        report: &mut Report<'_>,
        key: &'static str,
    ) -> Option<Self> {
        if !self.table.contains_key(key) {
            self.missing(report, key);
        }
        self.section(report, key)
    }

    /// The value of a key that has to be there.
    pub(crate) fn required(
        &mut self,
        report: &mut Report<'_>,
        key: &'static str,
    ) -> Option<(&'t Spanned<DeValue<'t>>, String)> {
        if !self.has(key) {
            self.missing(report, key);
        }
        self.take(key)
    }

    pub(crate) fn missing(&self, report: &mut Report<'_>, key: &str) {
        report.mistake(
            self.at.clone(),
            Mistake::new(&self.path_of(key), "is missing"),
        );
    }

    /// Reports a key that was probably meant to be this one, which is missing, if there is any.
    pub(crate) fn misspelt(&self, report: &mut Report<'_>, key: &str) -> bool {
        let near = self.table.keys().find(|written| {
            strsim::damerau_levenshtein(&written.get_ref().to_lowercase(), key) == 1
        });
        if let Some(written) = near {
            let mistake = Mistake::new(&self.path_of(written.get_ref()), "unknown key");
            report.mistake(written.span(), mistake.names(written.get_ref(), &[key]));
        }
        near.is_some()
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    pub(crate) fn string(
        &mut self,
        report: &mut Report<'_>,
        key: &'static str,
    ) -> Option<Found<String>> {
        let (value, path) = self.take(key)?;
        string_of(value, path, report)
    }

    pub(crate) fn required_string(
        &mut self,
        report: &mut Report<'_>,
        key: &'static str,
    ) -> Option<Found<String>> {
        if !self.has(key) {
            self.missing(report, key);
        }
        self.string(report, key)
    }

    /// One of a few names.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        report: &mut Report<'_>,
        key: &'static str,
        choices: &[(&str, T)],
    ) -> Option<T> {
        let (value, path) = self.take(key)?;
        if !matches!(value.get_ref(), DeValue::String(_)) {
            let names: Vec<String> = choices.iter().map(|(n, _)| format!("\"{n}\"")).collect();
            wrong_type(report, value, &path, &names.join(", "));
            return None;
        }
        let found = string_of(value, path, report)?;
        let chosen = choices.iter().find(|(name, _)| *name == found.value);
        if chosen.is_none() {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            let problem = format!("unknown {key} \"{}\"", found.value);
            let mistake = Mistake::new(&found.path, problem).names(&found.value, &names);
            report.mistake(found.at, mistake);
        }
        chosen.map(|(_, value)| *value)
    }

    pub(crate) fn boolean(&mut self, report: &mut Report<'_>, key: &'static str) -> Option<bool> {
        let (value, path) = self.take(key)?;
        if let DeValue::Boolean(value) = value.get_ref() {
            return Some(*value);
        }
        wrong_type(report, value, &path, "true or false");
        None
    }

    pub(crate) fn integer(
        &mut self,
        report: &mut Report<'_>,
        key: &'static str,
        range: RangeInclusive<i64>,
    ) -> Option<Found<i64>> {
        let (value, path) = self.take(key)?;
        integer_of(value, path, report, range)
    }

    /// A length of time that is written in milliseconds.
    pub(crate) fn millis(
        &mut self,
        report: &mut Report<'_>,
        key: &'static str,
        range: RangeInclusive<u32>,
    ) -> Option<Found<Micros>> {
        let range = i64::from(*range.start())..=i64::from(*range.end());
        let found = self.integer(report, key, range)?;
        let millis = u64::try_from(found.value).ok()?;
        Some(Found {
            value: Micros::from_millis(millis),
            at: found.at,
            path: found.path,
        })
    }

    /// A list of texts, each with its place. A mistake in one leaves out that one.
    pub(crate) fn strings(
        &mut self,
        report: &mut Report<'_>,
        key: &'static str,
    ) -> Option<Vec<Found<String>>> {
        let (value, path) = self.take(key)?;
        strings_of(value, &path, report)
    }

    /// A list of texts that may be neither missing nor empty.
    pub(crate) fn required_strings(
        &mut self,
        report: &mut Report<'_>,
        key: &'static str,
    ) -> Vec<Found<String>> {
        if !self.has(key) {
            self.missing(report, key);
        }
        let empty = matches!(self.table.get(key).map(Spanned::get_ref), Some(DeValue::Array(a)) if a.is_empty());
        let list = self.strings(report, key);
        if empty && let Some(value) = self.table.get(key) {
            report.mistake(value.span(), Mistake::new(&self.path_of(key), "is empty"));
        }
        list.unwrap_or_default()
    }

    /// Reports every key that nobody took.
    pub(crate) fn finish(mut self, report: &mut Report<'_>) {
        self.taken.sort_unstable();
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            if !self.taken.contains(&name) {
                let mistake = Mistake::new(&self.path_of(name), "unknown key");
                report.mistake(key.span(), mistake.names(name, &self.taken));
            }
        }
    }
}

pub(crate) fn string_of(
    value: &Spanned<DeValue<'_>>,
    path: String,
    report: &mut Report<'_>,
) -> Option<Found<String>> {
    let DeValue::String(text) = value.get_ref() else {
        wrong_type(report, value, &path, "a text in quotes");
        return None;
    };
    if text.is_empty() || text.len() > MAX_STRING || text.contains('\0') {
        let problem = if text.is_empty() {
            "is empty"
        } else {
            "is too long or has a zero byte"
        };
        let mistake = Mistake::new(&path, problem);
        report.mistake(
            value.span(),
            mistake.allowed(format!("1 to {MAX_STRING} bytes")),
        );
        return None;
    }
    Some(Found {
        value: text.to_string(),
        at: value.span(),
        path,
    })
}

pub(crate) fn strings_of(
    value: &Spanned<DeValue<'_>>,
    path: &str,
    report: &mut Report<'_>,
) -> Option<Vec<Found<String>>> {
    let DeValue::Array(list) = value.get_ref() else {
        wrong_type(report, value, path, "a list of texts");
        return None;
    };
    if list.len() > MAX_LIST {
        let mistake = Mistake::new(path, format!("has {} entries", list.len()));
        report.mistake(value.span(), mistake.allowed(format!("at most {MAX_LIST}")));
        return None;
    }
    let items = list.iter().enumerate();
    let items = items.filter_map(|(i, item)| string_of(item, format!("{path}[{i}]"), report));
    Some(items.collect())
}

pub(crate) fn integer_of(
    value: &Spanned<DeValue<'_>>,
    path: String,
    report: &mut Report<'_>,
    range: RangeInclusive<i64>,
) -> Option<Found<i64>> {
    let DeValue::Integer(written) = value.get_ref() else {
        let wanted = format!("a whole number, {} to {}", range.start(), range.end());
        wrong_type(report, value, &path, &wanted);
        return None;
    };
    let number = i64::from_str_radix(written.as_str(), written.radix()).ok();
    match number.filter(|n| range.contains(n)) {
        Some(number) => Some(Found {
            value: number,
            at: value.span(),
            path,
        }),
        None => {
            let mistake = Mistake::new(&path, format!("{written} is out of range"));
            let allowed = format!("{} to {}", range.start(), range.end());
            report.mistake(value.span(), mistake.allowed(allowed));
            None
        }
    }
}

pub(crate) fn wrong_type(
    report: &mut Report<'_>,
    value: &Spanned<DeValue<'_>>,
    path: &str,
    wanted: &str,
) {
    let found = match value.get_ref() {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a decimal number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    let mistake = Mistake::new(path, format!("is {found}")).allowed(wanted);
    report.mistake(value.span(), mistake);
}

/// Names of clusters, nodes, groups and resources: what a host name's label allows, in lower case,
/// so that they can stand in file names, metrics and host names.
pub(crate) fn check_name(report: &mut Report<'_>, at: &Range<usize>, path: &str, name: &str) {
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > 63 || !name.chars().all(letters) || name.starts_with('-') {
        let mistake = Mistake::new(path, format!("\"{name}\" is not a valid name"));
        let allowed = "1 to 63 of a-z, 0-9 and -, not beginning with -";
        report.mistake(at.clone(), mistake.allowed(allowed));
    }
}
