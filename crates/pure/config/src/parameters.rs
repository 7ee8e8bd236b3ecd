//! What is given to agents, whether they fence or run resources: parameters by value, and parameters by file.
//!
//! Not for whether they fit an agent: only a machine where it is installed knows that.

use crate::{
    mistake::{Mistake, Report},
    process::read_secret_file,
    section::{Found, Section, string_of, wrong_type},
};
use standfast_model::fence::is_secret;
use std::collections::BTreeMap;
use toml::{Spanned, de::DeValue};

/// Most parameters of one agent.
const MAX_PARAMETERS: usize = 64;
const WANTED: &str = "a text, a whole number, true, false, or { secret_file = \"/path\" }";

/// Values by name.
pub(crate) type Values = BTreeMap<String, String>;
/// What is wrong with a name, if anything is.
pub(crate) type WrongName<'f> = &'f dyn Fn(&Found<String>) -> Option<Mistake>;

/// `ip = "10.0.0.9"`, `password = { secret_file = "/path" }`: the values, and the files of the secret ones.
pub(crate) fn read(
    section: &Section<'_>,
    report: &mut Report<'_>,
    wrong_name: WrongName<'_>,
) -> (Values, Values) {
    let (mut values, mut files) = (Values::new(), Values::new());
    let mut count = 0_usize;
    for (name, value) in section.entries() {
        count += 1;
        if let Some(mistake) = wrong_name(&name) {
            report.mistake(name.at, mistake);
            continue;
        }
        if let DeValue::Table(_) = value.get_ref() {
            if let Some(file) = read_secret_file(value, &name, report) {
                files.insert(name.value, file);
            }
        } else if is_secret(&name.value) {
            let problem = "is a secret, and would be on every node's disk";
            let mistake = Mistake::new(&name.path, problem);
            report.mistake(value.span(), mistake.allowed("{ secret_file = \"/path\" }"));
        } else if let Some(text) = read_value(value, &name, report, WANTED) {
            values.insert(name.value, text);
        }
    }
    if count > MAX_PARAMETERS {
        let mistake = Mistake::new(&section.path, format!("has {count} parameters"));
        let allowed = format!("at most {MAX_PARAMETERS}");
        report.mistake(section.at.clone(), mistake.allowed(allowed));
    }
    (values, files)
}

/// A text of one line, a whole number, or a truth, as text.
pub(crate) fn read_value(
    value: &Spanned<DeValue<'_>>,
    name: &Found<String>,
    report: &mut Report<'_>,
    wanted: &str,
) -> Option<String> {
    match value.get_ref() {
        DeValue::Boolean(value) => Some(value.to_string()),
        DeValue::Integer(written) => {
            let number = i64::from_str_radix(written.as_str(), written.radix()).ok();
            number.map(|number| number.to_string())
        }
        DeValue::String(text) if text.contains(['\n', '\r']) => {
            let mistake = Mistake::new(&name.path, "has more than one line");
            report.mistake(value.span(), mistake.allowed("one line"));
            None
        }
        DeValue::String(_) => string_of(value, name.path.clone(), report).map(|found| found.value),
        DeValue::Float(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => {
            wrong_type(report, value, &name.path, wanted);
            None
        }
    }
}
