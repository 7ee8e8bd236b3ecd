//! Rules of locations: whether what they ask for is settled, and how a `[location.NAME]` asks the same.
//!
//! Not for what holds for which node: the reader of CIBs has found that.

use std::collections::BTreeMap;

use standfast_model::attribute::is_number;

use crate::{
    draft::Draft,
    source::{Source, Xml},
    write::{key, list, text_value},
};

/// What a node is called, which no attribute has to say.
const NAME: &str = "#uname";

/// Whether only an edited configuration can change what a rule says of a node.
///
/// # Errors
/// What else can.
pub(crate) fn is_settled(source: &Source<'_>, rule: Xml<'_>) -> Result<(), String> {
    for part in rule.descendants().filter(Xml::is_element) {
        if part.has_tag_name("date_expression") {
            return Err(String::from(
                "a location asks for attributes of nodes, not for dates",
            ));
        }
        let known = part.has_tag_name("expression") || part.has_tag_name("rule");
        if !known || part.attribute("id-ref").is_some() {
            let what = part.tag_name().name();
            return Err(format!("there is nothing like this {what} in a rule here"));
        }
        let score = part.attribute("score-attribute");
        for name in part.attribute("attribute").into_iter().chain(score) {
            check_attribute(source, name)?;
        }
    }
    Ok(())
}

fn check_attribute(source: &Source<'_>, name: &str) -> Result<(), String> {
    let cluster = &source.cluster;
    let kept = cluster.nodes.iter();
    let kept = kept.filter(|node| node.attributes.contains_key(name));
    let passing =
        |state: &standfast_scheduler::input::NodeState| state.attributes.contains_key(name);
    if name == NAME || (kept.count() > 0 && !cluster.states.iter().any(passing)) {
        return Ok(());
    }
    Err(format!(
        "{name} is no attribute that a node keeps: something sets it while the cluster runs, or nobody does \
         (a vip with a `gateway` leaves a node that is cut off)"
    ))
}

/// Whether a rule asks for more than names of nodes.
pub(crate) fn asks_for_attributes(rule: Xml<'_>) -> bool {
    let mut parts = rule.descendants().filter(Xml::is_element);
    rule.attribute("score-attribute").is_some()
        || parts.any(|part| part.attribute("attribute").is_some_and(|name| name != NAME))
}

/// What is asked of one attribute.
enum Asked {
    Is(String),
    /// A key of a table with its value as TOML; texts that `not` has are not written yet.
    Key(&'static str, String),
}

/// The tables of `where` of one location or, where one of several things is enough, of several. None if no table says it.
pub(crate) fn as_tables(rule: Xml<'_>, draft: &Draft) -> Option<Vec<String>> {
    if rule.attribute("score-attribute").is_some() {
        return None;
    }
    let parts: Vec<Xml<'_>> = rule.children().filter(Xml::is_element).collect();
    let all = expressions(rule, joins_any(rule))?;
    let asked: Option<Vec<(String, Asked)>> = all.iter().map(|one| ask(*one, draft)).collect();
    let asked = asked?;
    let (first, _) = asked.first()?;
    if parts.len() < 2 || !joins_any(rule) {
        return Some(vec![table(asked)?]);
    }
    let values = asked.iter().map(|(name, asked)| match asked {
        Asked::Is(value) if name == first => Some(value.as_str()),
        Asked::Is(_) | Asked::Key(..) => None,
    });
    let values: Option<Vec<&str>> = values.collect();
    if let Some(values) = values {
        return Some(vec![format!("{{ {} = {} }}", key(first), list(values))]);
    }
    let score = standfast_scheduler::score::parse(rule.attribute("score").unwrap_or("0"));
    // Without end it does not matter how often something counts.
    if score.abs() < standfast_scheduler::score::INFINITY {
        return None;
    }
    asked.into_iter().map(|one| table(vec![one])).collect()
}

fn joins_any(rule: Xml<'_>) -> bool {
    let join = rule.attribute("boolean-op");
    join.is_some_and(|join| join.eq_ignore_ascii_case("or"))
}

/// All expressions, where rules within rules join them in the same way.
fn expressions<'d>(rule: Xml<'d>, any: bool) -> Option<Vec<Xml<'d>>> {
    let mut all = Vec::new();
    for part in rule.children().filter(Xml::is_element) {
        if part.has_tag_name("rule") {
            let several = part.children().filter(Xml::is_element).count() > 1;
            if several && joins_any(part) != any {
                return None;
            }
            all.extend(expressions(part, any)?);
        } else {
            all.push(part);
        }
    }
    Some(all)
}

fn ask(expression: Xml<'_>, draft: &Draft) -> Option<(String, Asked)> {
    let name = expression.attribute("attribute")?;
    let mut nodes = draft.nodes.iter();
    let literal = expression
        .attribute("value-source")
        .is_none_or(|source| source == "literal");
    if !literal || !nodes.any(|node| node.attributes.contains_key(name)) {
        return None;
    }
    let kind = expression.attribute("type");
    let text = kind.is_none_or(|kind| kind == "string");
    let value = expression.attribute("value").unwrap_or_default();
    let bound = |word| Some(Asked::Key(word, bound(name, kind, value, draft)?));
    let asked = match expression.attribute("operation")? {
        "defined" => Some(Asked::Key("defined", String::from("true"))),
        "not_defined" => Some(Asked::Key("defined", String::from("false"))),
        "eq" if text && is_value(value) => Some(Asked::Is(value.to_owned())),
        "ne" if text && is_value(value) => Some(Asked::Key("not", value.to_owned())),
        "lt" => bound("below"),
        "lte" => bound("at_most"),
        "gt" => bound("above"),
        "gte" => bound("at_least"),
        _ => None,
    };
    Some((name.to_owned(), asked?))
}

/// Whether an attribute can have this value here.
pub(crate) fn is_value(value: &str) -> bool {
    !value.is_empty() && value.len() <= 255 && !value.contains(char::is_control)
}

/// What is compared with, as TOML.
fn bound(name: &str, kind: Option<&str>, value: &str, draft: &Draft) -> Option<String> {
    let nodes = draft.nodes.iter();
    let mut have = nodes.filter_map(|node| node.attributes.get(name));
    let whole = |text: &str| text.parse::<i64>().ok();
    match kind {
        Some("version") => {
            let begins = value.starts_with(|c: char| c.is_ascii_digit());
            (begins && is_value(value)).then(|| text_value(value))
        }
        Some("integer") => {
            let number = whole(value)?;
            have.all(|have| whole(have).is_some())
                .then(|| number.to_string())
        }
        None | Some("number") => {
            if !have.all(|have| is_number(have)) {
                return None;
            }
            let decimal = |text: &str| {
                let (before, after) = text.strip_prefix('-').unwrap_or(text).split_once('.')?;
                let digits =
                    |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
                let plain = digits(before) && digits(after);
                (plain && (before == "0" || !before.starts_with('0'))).then(|| text.to_owned())
            };
            whole(value)
                .map(|number| number.to_string())
                .or_else(|| decimal(value))
        }
        Some(_) => None,
    }
}

/// One table that asks for all of this, if one can.
fn table(asked: Vec<(String, Asked)>) -> Option<String> {
    let mut by_name: BTreeMap<String, Vec<Asked>> = BTreeMap::new();
    for (name, asked) in asked {
        by_name.entry(name).or_default().push(asked);
    }
    let mut entries = Vec::new();
    for (name, asked) in &by_name {
        let value = match asked.as_slice() {
            [Asked::Is(value)] => text_value(value),
            several => keys(several)?,
        };
        entries.push(format!("{} = {value}", key(name)));
    }
    Some(format!("{{ {} }}", entries.join(", ")))
}

fn keys(asked: &[Asked]) -> Option<String> {
    let mut written: BTreeMap<&str, &str> = BTreeMap::new();
    let mut not: Vec<&str> = Vec::new();
    for one in asked {
        match one {
            Asked::Is(_) => return None,
            Asked::Key("not", value) => not.push(value),
            Asked::Key(word, value) => {
                if written
                    .insert(word, value)
                    .is_some_and(|known| known != value)
                {
                    return None;
                }
            }
        }
    }
    let except = match not.as_slice() {
        [] => None,
        [one] => Some(text_value(one)),
        several => Some(list(several.iter().copied())),
    };
    let not = except.map(|values| format!("not = {values}"));
    let others = written
        .iter()
        .map(|(word, value)| format!("{word} = {value}"));
    let all: Vec<String> = not.into_iter().chain(others).collect();
    Some(format!("{{ {} }}", all.join(", ")))
}
