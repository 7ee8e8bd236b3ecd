//! Rules: what they say about a node, a resource, an operation and a time.
//!
//! Not for scores of rules: see `constraints`.

use standfast_model::attribute::{self, Comparison, Kind};
use standfast_scheduler::input::Attributes;
use standfast_scheduler::score::{interval_ms, leading_integer};

use crate::{Reader, Xml, children, time};

/// What a rule is asked about.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct About<'b> {
    pub(crate) node: Option<&'b Attributes>,
    pub(crate) role: Option<&'b str>,
    pub(crate) agent: Option<&'b [String; 3]>,
    pub(crate) operation: Option<(&'b str, u64)>,
    pub(crate) parameters: Option<&'b Attributes>,
    pub(crate) meta: Option<&'b Attributes>,
}

impl<'a> Reader<'a> {
    /// Whether a block without rules, or any of its rules, applies.
    pub(crate) fn applies(&self, block: Xml<'a>, about: About<'_>) -> bool {
        let mut rules = children(block, "rule").peekable();
        rules.peek().is_none() || rules.any(|rule| self.holds(rule, about))
    }

    /// Whether a rule holds.
    pub(crate) fn holds(&self, rule: Xml<'a>, about: About<'_>) -> bool {
        let rule = self.resolve(rule);
        let any = rule
            .attribute("boolean-op")
            .is_some_and(|op| op.eq_ignore_ascii_case("or"));
        let mut parts = rule.children().filter(Xml::is_element).peekable();
        if parts.peek().is_none() {
            return !any;
        }
        if any {
            parts.any(|part| self.part_holds(part, about))
        } else {
            parts.all(|part| self.part_holds(part, about))
        }
    }

    fn part_holds(&self, part: Xml<'a>, about: About<'_>) -> bool {
        match part.tag_name().name() {
            "rule" => self.holds(part, about),
            "expression" => expression(part, about),
            "date_expression" => self.date_expression(part),
            "rsc_expression" => about.agent.is_some_and(|agent| agent_matches(part, agent)),
            "op_expression" => about.operation.is_some_and(|(name, interval)| {
                let same_interval = part
                    .attribute("interval")
                    .is_none_or(|text| interval_ms(Some(text)) == interval);
                part.attribute("name") == Some(name) && same_interval
            }),
            _ => false,
        }
    }

    fn date_expression(&self, part: Xml<'a>) -> bool {
        let date = |name| part.attribute(name).and_then(time::parse);
        let (start, mut end) = (date("start"), date("end"));
        if let (Some(start), None, Some(duration)) = (start, end, crate::child(part, "duration")) {
            end = Some(after(start, duration));
        }
        match part.attribute("operation").unwrap_or("in_range") {
            "date_spec" => {
                crate::child(part, "date_spec").is_some_and(|spec| matches_spec(spec, self.now))
            }
            "gt" => start.is_some_and(|start| self.now > start),
            "lt" => end.is_some_and(|end| self.now < end),
            "in_range" => {
                (start.is_some() || end.is_some())
                    && start.is_none_or(|start| self.now >= start)
                    && end.is_none_or(|end| self.now <= end)
            }
            _ => false,
        }
    }
}

fn agent_matches(part: Xml<'_>, agent: &[String; 3]) -> bool {
    let [class, provider, kind] = agent;
    let same = |name: &str, value: &str| part.attribute(name).is_none_or(|wanted| wanted == value);
    let provider_fits = match part.attribute("provider") {
        Some(wanted) => wanted == provider,
        None => true,
    };
    same("class", class) && provider_fits && same("type", kind)
}

fn after(start: i64, duration: Xml<'_>) -> i64 {
    let amount = |name| {
        duration
            .attribute(name)
            .and_then(leading_integer)
            .unwrap_or(0)
    };
    let seconds = amount("hours") * 3600 + amount("minutes") * 60 + amount("seconds");
    let days = amount("days") + amount("weeks") * 7;
    time::add(start, amount("years"), amount("months"), days, seconds)
}

fn matches_spec(spec: Xml<'_>, now: i64) -> bool {
    let now = time::parts(now);
    let fields = [
        ("seconds", now.second),
        ("minutes", now.minute),
        ("hours", now.hour),
        ("monthdays", now.day),
        ("weekdays", now.week_day),
        ("yeardays", now.year_day),
        ("months", now.month),
        ("weeks", now.week),
        ("years", now.year),
        ("weekyears", now.week_year),
    ];
    fields.iter().all(|(name, value)| {
        spec.attribute(*name)
            .is_none_or(|range| in_range(range, *value))
    })
}

fn in_range(range: &str, value: i64) -> bool {
    match range.split_once('-') {
        Some((low, high)) => {
            low.parse::<i64>().map_or(true, |low| value >= low)
                && high.parse::<i64>().map_or(true, |high| value <= high)
        }
        None => range.parse::<i64>() == Ok(value),
    }
}

fn expression(part: Xml<'_>, about: About<'_>) -> bool {
    let name = part.attribute("attribute").unwrap_or_default();
    let operation = part.attribute("operation").unwrap_or_default();
    if name == "#role" {
        let role = about.role.unwrap_or("Unknown");
        let same = part
            .attribute("value")
            .is_some_and(|value| value.eq_ignore_ascii_case(role));
        return match operation {
            "defined" => about.role.is_some(),
            "not_defined" => about.role.is_none(),
            "eq" => same,
            "ne" => !same,
            _ => false,
        };
    }
    let have = about
        .node
        .and_then(|node| node.get(name))
        .map(String::as_str);
    let given = part.attribute("value");
    let from = |table: Option<&Attributes>| given.and_then(|key| table?.get(key).cloned());
    let wanted = match part.attribute("value-source") {
        Some("param") => from(about.parameters),
        Some("meta") => from(about.meta),
        _ => given.map(str::to_owned),
    };
    decide(operation, part.attribute("type"), have, wanted.as_deref())
}

/// A rule with another word holds for nothing.
fn decide(operation: &str, kind: Option<&str>, have: Option<&str>, wanted: Option<&str>) -> bool {
    let comparison = match operation {
        "defined" => return have.is_some(),
        "not_defined" => return have.is_none(),
        "eq" => Comparison::Equal,
        "ne" => Comparison::NotEqual,
        "lt" => Comparison::Below,
        "lte" => Comparison::AtMost,
        "gt" => Comparison::Above,
        "gte" => Comparison::AtLeast,
        _ => return false,
    };
    let kind = kind.map(|kind| match kind {
        "integer" => Kind::Integer,
        "number" => Kind::Number,
        "version" => Kind::Version,
        _ => Kind::Text,
    });
    attribute::holds(comparison, kind, have, wanted)
}
