//! Attributes of nodes, and what a constraint may ask of one: compared as Pacemaker's rules compare them.
//!
//! Not for scores: a constraint has one, and adding them up is placement (crate `schedule`).

use serde::{Deserialize, Serialize};
use std::{cmp::Ordering, collections::BTreeMap, fmt};

/// Values by name.
pub type Attributes = BTreeMap<String, String>;

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// The same.
    Equal,
    /// Another one, or none.
    NotEqual,
    /// Less.
    Below,
    /// Not more.
    AtMost,
    /// More.
    Above,
    /// Not less.
    AtLeast,
}

impl Comparison {
    /// As people read it.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Equal => "is",
            Self::NotEqual => "is not",
            Self::Below => "below",
            Self::AtMost => "at most",
            Self::Above => "above",
            Self::AtLeast => "at least",
        }
    }

    const fn allows(self, order: Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Below => order.is_lt(),
            Self::AtMost => order.is_le(),
            Self::Above => order.is_gt(),
            Self::AtLeast => order.is_ge(),
        }
    }
}

/// What two values are compared as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Letter by letter, whatever their case.
    Text,
    /// Whole numbers; what comes after one does not count.
    Integer,
    /// Numbers with a point.
    Number,
    /// Numbers between points, one after the other; one that is missing is zero.
    Version,
}

/// Whether a value is as it is wanted. `kind`: texts where equality is asked for and numbers otherwise, if none is given.
#[must_use]
pub fn holds(
    comparison: Comparison,
    kind: Option<Kind>,
    have: Option<&str>,
    wanted: Option<&str>,
) -> bool {
    let (Some(have), Some(wanted)) = (have, wanted) else {
        return match comparison {
            Comparison::Equal => have.is_none() && wanted.is_none(),
            Comparison::NotEqual => have.is_some() || wanted.is_some(),
            Comparison::Below | Comparison::AtMost | Comparison::Above | Comparison::AtLeast => {
                false
            }
        };
    };
    let usual = match comparison {
        Comparison::Equal | Comparison::NotEqual => Kind::Text,
        Comparison::Below | Comparison::AtMost | Comparison::Above | Comparison::AtLeast => {
            if have.contains('.') || wanted.contains('.') {
                Kind::Number
            } else {
                Kind::Integer
            }
        }
    };
    comparison.allows(compare(kind.unwrap_or(usual), have, wanted))
}

fn compare(kind: Kind, have: &str, wanted: &str) -> Ordering {
    match kind {
        // What is no number is compared as a text, together with its counterpart.
        Kind::Integer => match (leading_integer(have), leading_integer(wanted)) {
            (Some(have), Some(wanted)) => have.cmp(&wanted),
            _ => compare(Kind::Text, have, wanted),
        },
        Kind::Number => match (number(have), number(wanted)) {
            (Some(have), Some(wanted)) => have.total_cmp(&wanted),
            _ => compare(Kind::Text, have, wanted),
        },
        Kind::Version => compare_versions(have, wanted),
        Kind::Text => have.to_ascii_lowercase().cmp(&wanted.to_ascii_lowercase()),
    }
}

fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok()
}

/// Whether a value can be compared as a number, all of it.
#[must_use]
pub fn is_number(text: &str) -> bool {
    number(text).is_some_and(f64::is_finite)
}

fn compare_versions(one: &str, other: &str) -> Ordering {
    let parts = |text: &str| -> Vec<i64> {
        text.split('.')
            .map(|part| leading_integer(part).unwrap_or(0))
            .collect()
    };
    let (mut a, mut b) = (parts(one), parts(other));
    let length = a.len().max(b.len());
    a.resize(length, 0);
    b.resize(length, 0);
    a.cmp(&b)
}

/// The whole number that a text begins with.
#[must_use]
pub fn leading_integer(text: &str) -> Option<i64> {
    let text = text.trim_start();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = digits
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(digits.len());
    let digits = digits.get(..end).filter(|digits| !digits.is_empty())?;
    let value = digits.parse::<i64>().unwrap_or(i64::MAX);
    Some(if negative { -value } else { value })
}

/// What a constraint asks of one attribute of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Test {
    /// It is one of these.
    Is(Vec<String>),
    /// It is none of these, or the node does not have it.
    Not(Vec<String>),
    /// Whether the node has it, whatever it is.
    Defined(bool),
    /// It is a number, below or above this one.
    Number(Comparison, String),
    /// It is a version, below or above this one.
    Version(Comparison, String),
}

impl Test {
    /// Whether a node's value is as it is asked for; none where the node does not have the attribute.
    #[must_use]
    pub fn holds(&self, have: Option<&str>) -> bool {
        let is = |wanted: &String| holds(Comparison::Equal, None, have, Some(wanted));
        match self {
            Self::Is(all) => all.iter().any(is),
            Self::Not(all) => !all.iter().any(is),
            Self::Defined(there) => have.is_some() == *there,
            Self::Number(comparison, with) => holds(*comparison, None, have, Some(with)),
            Self::Version(comparison, with) => {
                holds(*comparison, Some(Kind::Version), have, Some(with))
            }
        }
    }

    /// What of a node it is that it holds for.
    #[must_use]
    pub fn met_by(&self, name: &str, have: Option<&str>) -> String {
        let Some(have) = have else {
            return format!("{name} is not defined");
        };
        match self {
            Self::Is(_) | Self::Defined(_) => format!("{name} is {have}"),
            Self::Not(all) => format!("{name} is {have}, not {}", all.join(" or ")),
            Self::Number(comparison, with) | Self::Version(comparison, with) => {
                format!("{name} is {have}, {} {with}", comparison.words())
            }
        }
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Is(all) => write!(f, "is {}", all.join(" or ")),
            Self::Not(all) => write!(f, "is not {}", all.join(" or ")),
            Self::Defined(true) => f.write_str("is defined"),
            Self::Defined(false) => f.write_str("is not defined"),
            Self::Number(comparison, with) => write!(f, "is {} {with}", comparison.words()),
            Self::Version(comparison, with) => {
                write!(f, "is {} version {with}", comparison.words())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(all: &[&str]) -> Vec<String> {
        all.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn texts_are_the_same_whatever_their_case_and_nothing_is_no_text() {
        let rack = Test::Is(texts(&["a", "B"]));
        assert!(rack.holds(Some("A")) && rack.holds(Some("b")));
        assert!(!rack.holds(Some("c")) && !rack.holds(None));
        let other = Test::Not(texts(&["a", "b"]));
        assert!(!other.holds(Some("B")) && other.holds(Some("c")) && other.holds(None));
        assert!(Test::Defined(true).holds(Some("")) && !Test::Defined(true).holds(None));
        assert!(Test::Defined(false).holds(None));
        assert!(holds(Comparison::NotEqual, None, None, Some("a")));
        assert!(!holds(Comparison::Equal, None, None, Some("a")));
    }

    #[test]
    fn numbers_are_compared_as_numbers_and_versions_part_by_part() {
        let number = |by, with: &str| Test::Number(by, with.to_owned());
        assert!(number(Comparison::AtLeast, "8").holds(Some("16")));
        assert!(number(Comparison::AtLeast, "8").holds(Some("8")));
        assert!(!number(Comparison::Above, "8").holds(Some("8")));
        assert!(number(Comparison::Above, "8").holds(Some("8.5")));
        assert!(number(Comparison::Below, "1.5").holds(Some("1")));
        assert!(!number(Comparison::AtMost, "8").holds(None));
        let version = |by, with: &str| Test::Version(by, with.to_owned());
        assert!(version(Comparison::AtLeast, "6.1").holds(Some("6.10.3-deb")));
        assert!(version(Comparison::AtMost, "6.1").holds(Some("6.1.0")));
        assert!(!version(Comparison::Below, "6.10").holds(Some("6.10")));
        assert!(!version(Comparison::Below, "6.10").holds(None));
    }

    #[test]
    fn what_is_no_number_is_a_text_as_in_pacemaker() {
        let less = |kind, have, wanted| holds(Comparison::Below, kind, Some(have), Some(wanted));
        assert!(less(Some(Kind::Integer), "abc", "b"));
        assert!(less(None, "7 of 9", "8"));
        assert!(!less(None, "10", "9"));
        assert!(less(Some(Kind::Text), "10", "9"));
        assert!(is_number("-1.5") && is_number("8"));
        assert!(!is_number("8 GB") && !is_number("inf") && !is_number(""));
    }
}
