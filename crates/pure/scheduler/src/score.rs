//! Scores: integers with an infinity that swallows, and minus infinity that swallows everything.
//!
//! Not for deciding what a score means: that is the placement's business.

pub use standfast_model::attribute::leading_integer;

/// The largest score; anything at or above it is a must.
pub const INFINITY: i32 = 1_000_000;

/// Adds two scores: minus infinity wins over everything, then infinity, then plain addition.
#[must_use]
pub fn add(one: i32, other: i32) -> i32 {
    if one <= -INFINITY || other <= -INFINITY {
        return -INFINITY;
    }
    if one >= INFINITY || other >= INFINITY {
        return INFINITY;
    }
    (one + other).clamp(-INFINITY, INFINITY)
}

/// Reads a score as users write it: a number, or a word for infinity. Anything else is zero.
#[must_use]
pub fn parse(text: &str) -> i32 {
    let text = text.trim();
    if text.eq_ignore_ascii_case("INFINITY") || text.eq_ignore_ascii_case("+INFINITY") {
        return INFINITY;
    }
    if text.eq_ignore_ascii_case("-INFINITY") {
        return -INFINITY;
    }
    let value = leading_integer(text).unwrap_or(0);
    let limit = i64::from(INFINITY);
    i32::try_from(value.clamp(-limit, limit)).unwrap_or(0)
}

/// Whether a text means yes, as options spell it.
#[must_use]
pub fn is_true(text: Option<&str>) -> bool {
    truth(text).unwrap_or(false)
}

/// Yes, no, or neither.
#[must_use]
pub fn truth(text: Option<&str>) -> Option<bool> {
    let text = text?;
    let any = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if any(&["true", "on", "yes", "y", "1"]) {
        Some(true)
    } else if any(&["false", "off", "no", "n", "0"]) {
        Some(false)
    } else {
        None
    }
}

/// Milliseconds of an interval: `30`, `30s`, `5min`, `1h`, `100ms`, or an ISO 8601 duration.
#[must_use]
pub fn interval_ms(text: Option<&str>) -> u64 {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else {
        return 0;
    };
    if let Some(duration) = text.strip_prefix('P') {
        return iso_duration_s(duration) * 1000;
    }
    let value = u64::try_from(leading_integer(text).unwrap_or(0)).unwrap_or(0);
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '+' || c == '-');
    match unit.trim().to_ascii_lowercase().as_str() {
        "ms" | "msec" => value,
        "us" | "usec" => value / 1000,
        "m" | "min" => value * 60_000,
        "h" | "hr" => value * 3_600_000,
        _ => value * 1000,
    }
}

fn iso_duration_s(text: &str) -> u64 {
    let (mut total, mut number, mut in_time) = (0, 0, false);
    for c in text.chars() {
        if let Some(digit) = c.to_digit(10) {
            number = number * 10 + u64::from(digit);
            continue;
        }
        let unit = match (c, in_time) {
            ('T', _) => {
                in_time = true;
                continue;
            }
            ('Y', _) => 365 * 86_400,
            ('M', false) => 30 * 86_400,
            ('W', _) => 7 * 86_400,
            ('D', _) => 86_400,
            ('H', _) => 3600,
            ('M', true) => 60,
            _ => 1,
        };
        total += number * unit;
        number = 0;
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minus_infinity_swallows_infinity() {
        assert_eq!(add(INFINITY, -INFINITY), -INFINITY);
        assert_eq!(add(INFINITY, -5), INFINITY);
        assert_eq!(add(999_999, 5), INFINITY);
        assert_eq!(add(7, -9), -2);
    }

    #[test]
    fn scores_are_read_as_people_write_them() {
        assert_eq!(parse("-inFinity"), -INFINITY);
        assert_eq!(parse("12 apples"), 12);
        assert_eq!(parse("apples"), 0);
        assert_eq!(parse("99999999999"), INFINITY);
    }

    #[test]
    fn intervals_have_units() {
        assert_eq!(interval_ms(Some("10")), 10_000);
        assert_eq!(interval_ms(Some("5min")), 300_000);
        assert_eq!(interval_ms(Some("200ms")), 200);
        assert_eq!(interval_ms(Some("PT2M")), 120_000);
    }
}
