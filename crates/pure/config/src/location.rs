//! `attributes` of `[nodes.NAME]`, and `[location.NAME]`, which asks for them: which nodes are better or worse for a group.
//!
//! Not for nodes by name: that is `prefer` of the group.

use crate::{
    constraints::{Groups, group_named, named},
    mistake::{Mistake, Report, nearest},
    parameters::read_value,
    references::score_of,
    section::{Found, Section, wrong_type},
};
use standfast_model::{
    attribute::{Attributes, Comparison, Test, is_number},
    config::NodeConfig,
    constraint::Location,
    fence::is_secret,
    id::NodeId,
    plan::INFINITY,
};
use std::collections::BTreeMap;
use toml::{Spanned, de::DeValue};

/// Most attributes of one node, and most that one location asks for.
const MAX_ATTRIBUTES: usize = 32;
/// Longest name, in characters.
const MAX_NAME: usize = 63;
/// Longest value, in bytes.
const MAX_VALUE: usize = 255;
/// Most values of one list.
const MAX_VALUES: usize = 32;

const VALUE: &str = "a text, a whole number, true or false";
const ASKED: &str = "a value, a list of values, or a table with `not`, `above`, `at_least`, `below`, `at_most` or `defined`";
const BOUND: &str = "a number, or a version as a text that begins with a digit";

const COMPARISONS: [(&str, Comparison); 4] = [
    ("above", Comparison::Above),
    ("at_least", Comparison::AtLeast),
    ("below", Comparison::Below),
    ("at_most", Comparison::AtMost),
];

type Nodes = BTreeMap<NodeId, NodeConfig>;

/// The key `attributes` of a node, if it is there.
pub(crate) fn read_attributes(table: &mut Section<'_>, report: &mut Report<'_>) -> Attributes {
    let Some(section) = table.section(report, "attributes") else {
        return Attributes::new();
    };
    let mut attributes = Attributes::new();
    count(&section, report);
    for (name, value) in section.entries() {
        check_name(&name, report);
        if is_secret(&name.value) {
            let problem = "looks like a secret, and everybody who may look sees attributes";
            let mistake = Mistake::new(&name.path, problem);
            report.mistake(name.at, mistake.allowed("another name"));
        } else if let Some(text) = value_of(value, &name, report, VALUE) {
            attributes.insert(name.value, text);
        }
    }
    attributes
}

fn count(section: &Section<'_>, report: &mut Report<'_>) {
    let count = section.entries().count();
    if count > MAX_ATTRIBUTES {
        let mistake = Mistake::new(&section.path, format!("has {count} attributes"));
        let allowed = format!("at most {MAX_ATTRIBUTES}");
        report.mistake(section.at.clone(), mistake.allowed(allowed));
    }
}

fn check_name(name: &Found<String>, report: &mut Report<'_>) {
    let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let text = &name.value;
    if text.is_empty() || text.len() > MAX_NAME || !text.chars().all(letters) {
        let problem = format!("\"{text}\" is not a valid name of an attribute");
        let allowed = format!("1 to {MAX_NAME} letters, digits and - _ .");
        let mistake = Mistake::new(&name.path, problem);
        report.mistake(name.at.clone(), mistake.allowed(allowed));
    }
}

fn value_of(
    value: &Spanned<DeValue<'_>>,
    name: &Found<String>,
    report: &mut Report<'_>,
    wanted: &str,
) -> Option<String> {
    let text = read_value(value, name, report, wanted)?;
    if text.len() > MAX_VALUE {
        let mistake = Mistake::new(&name.path, format!("has {} bytes", text.len()));
        report.mistake(
            value.span(),
            mistake.allowed(format!("at most {MAX_VALUE}")),
        );
        return None;
    }
    Some(text)
}

/// `[location.NAME]`.
pub(crate) fn read(
    section: Option<Section<'_>>,
    report: &mut Report<'_>,
    groups: &Groups,
    nodes: &Nodes,
) -> BTreeMap<String, Location> {
    let mut found = BTreeMap::new();
    for (name, value) in named(section.as_ref(), report) {
        let Some(mut table) = Section::of(value, name.path, report) else {
            continue;
        };
        let score = table
            .required(report, "score")
            .and_then(|(value, path)| score_of(value, path, report, -INFINITY));
        let group = group_named(&mut table, "group", report, groups);
        let asked = table.required_section(report, "where");
        let tests = asked.map(|asked| read_tests(&asked, report, nodes));
        table.finish(report);
        if let (Some(score), Some(group), Some(tests)) = (score, group, tests) {
            let location = Location {
                group: group.value,
                tests,
                score,
            };
            found.insert(name.value, location);
        }
    }
    found
}

fn read_tests(
    section: &Section<'_>,
    report: &mut Report<'_>,
    nodes: &Nodes,
) -> Vec<(String, Test)> {
    let mut tests = Vec::new();
    count(section, report);
    if section.entries().next().is_none() {
        let mistake = Mistake::new(&section.path, "is empty");
        let allowed = "attributes with what they are to be, such as { rack = \"a\" }";
        report.mistake(section.at.clone(), mistake.allowed(allowed));
    }
    for (name, value) in section.entries() {
        check_name(&name, report);
        warn_of_unknown(&name, report, nodes);
        let before = tests.len();
        if let DeValue::Table(_) = value.get_ref() {
            if let Some(table) = Section::of(value, name.path.clone(), report) {
                read_table(table, &name, report, &mut tests);
            }
        } else if let Some(values) = values_of(value, &name, report, ASKED) {
            tests.push((name.value.clone(), Test::Is(values)));
        }
        let new = tests.get(before..).unwrap_or_default();
        check_numbers(&name, new, report, nodes);
    }
    tests
}

/// One value, or a list of them.
fn values_of(
    value: &Spanned<DeValue<'_>>,
    name: &Found<String>,
    report: &mut Report<'_>,
    wanted: &str,
) -> Option<Vec<String>> {
    let DeValue::Array(list) = value.get_ref() else {
        return value_of(value, name, report, wanted).map(|value| vec![value]);
    };
    if list.is_empty() || list.len() > MAX_VALUES {
        let problem = format!("has {} values", list.len());
        let mistake = Mistake::new(&name.path, problem);
        report.mistake(
            value.span(),
            mistake.allowed(format!("1 to {MAX_VALUES} of them")),
        );
        return None;
    }
    let items = list.iter().enumerate();
    let values = items.filter_map(|(index, item)| {
        let name = Found {
            path: format!("{}[{index}]", name.path),
            ..name.clone()
        };
        value_of(item, &name, report, VALUE)
    });
    Some(values.collect())
}

/// All that a table says has to hold.
fn read_table(
    mut table: Section<'_>,
    name: &Found<String>,
    report: &mut Report<'_>,
    tests: &mut Vec<(String, Test)>,
) {
    if table.entries().next().is_none() {
        let mistake = Mistake::new(&table.path, "is empty").allowed(ASKED);
        report.mistake(table.at.clone(), mistake);
    }
    let mut add = |test: Test| tests.push((name.value.clone(), test));
    if let Some((value, path)) = table.take("not") {
        let name = Found {
            path,
            ..name.clone()
        };
        let wanted = "a value, or a list of values";
        if let Some(values) = values_of(value, &name, report, wanted) {
            add(Test::Not(values));
        }
    }
    for (key, comparison) in COMPARISONS {
        if let Some((value, path)) = table.take(key)
            && let Some(test) = bound_of(value, &path, comparison, report)
        {
            add(test);
        }
    }
    if let Some(there) = table.boolean(report, "defined") {
        add(Test::Defined(there));
    }
    table.finish(report);
}

fn bound_of(
    value: &Spanned<DeValue<'_>>,
    path: &str,
    comparison: Comparison,
    report: &mut Report<'_>,
) -> Option<Test> {
    match value.get_ref() {
        DeValue::Integer(written) => {
            let number = i64::from_str_radix(written.as_str(), written.radix()).ok();
            number.map(|number| Test::Number(comparison, number.to_string()))
        }
        DeValue::Float(written) if is_number(written.as_str()) => {
            Some(Test::Number(comparison, written.as_str().to_owned()))
        }
        DeValue::String(text)
            if text.starts_with(|c: char| c.is_ascii_digit())
                && text.len() <= MAX_VALUE
                && !text.contains(char::is_control) =>
        {
            Some(Test::Version(comparison, text.to_string()))
        }
        DeValue::String(text) => {
            let mistake = Mistake::new(path, format!("{text:?} is no version"));
            report.mistake(value.span(), mistake.allowed(BOUND));
            None
        }
        DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => {
            wrong_type(report, value, path, BOUND);
            None
        }
    }
}

fn warn_of_unknown(name: &Found<String>, report: &mut Report<'_>, nodes: &Nodes) {
    let known = nodes.values().flat_map(|node| node.attributes.keys());
    let known: Vec<&str> = known.map(String::as_str).collect();
    if known.contains(&name.value.as_str()) {
        return;
    }
    let meant = nearest(&name.value, &known);
    let meant = meant.map_or_else(String::new, |meant| format!("; did you mean \"{meant}\"?"));
    let text = format!("no node has the attribute {}{meant}", name.value);
    report.warning(name.at.clone(), &name.path, text);
}

/// What is compared with a number has to be one on every node that has it.
fn check_numbers(
    name: &Found<String>,
    tests: &[(String, Test)],
    report: &mut Report<'_>,
    nodes: &Nodes,
) {
    let compares = tests
        .iter()
        .any(|(_, test)| matches!(test, Test::Number(..)));
    let values = nodes
        .iter()
        .filter_map(|(node, settings)| Some((node, settings.attributes.get(&name.value)?)));
    for (node, value) in values.filter(|(_, value)| compares && !is_number(value)) {
        let problem = format!(
            "{} of node {node} is \"{value}\", which is no number",
            name.value
        );
        let allowed = "numbers on all nodes that have it, or a comparison with a version (a text)";
        let mistake = Mistake::new(&name.path, problem);
        report.mistake(name.at.clone(), mistake.allowed(allowed));
    }
}
