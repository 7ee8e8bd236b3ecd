//! Small pieces of text: times, lengths, lists, JSON.

use serde::Serialize;
use standfast_model::time::Micros;

/// A value as JSON, indented, with a newline at its end.
#[must_use]
pub fn json(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).unwrap_or_default();
    text.push('\n');
    text
}

/// A length of time as people say it: `12 ms`, `0.83 s`, `3 min 5 s`.
#[must_use]
pub fn length(time: Micros) -> String {
    let ms = time.as_millis_ceil();
    if ms < 100 {
        format!("{ms} ms")
    } else if ms < 10_000 {
        let hundredths = (ms + 5) / 10;
        let text = format!("{}.{:02}", hundredths / 100, hundredths % 100);
        format!("{} s", text.trim_end_matches('0').trim_end_matches('.'))
    } else if ms < 120_000 {
        format!("{} s", ms / 1000)
    } else {
        format!("{} min {} s", ms / 60_000, ms % 60_000 / 1000)
    }
}

/// A wall clock in milliseconds since 1970, as UTC to the second.
pub(crate) fn utc(wall_ms: u64) -> String {
    let seconds = wall_ms / 1000;
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (rest / 3600, rest % 3600 / 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}Z")
}

/// Days since 1970 as a date of the Gregorian calendar (Howard Hinnant, "chrono-compatible
/// low-level date algorithms", for dates since 1970 only).
fn civil(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let leap = day_of_era / 1460 + day_of_era / 146_096;
    let year_of_era = (day_of_era + day_of_era / 36_524 - leap) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

/// `1 group`, `2 groups`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    if number == 1 {
        format!("1 {noun}")
    } else {
        format!("{number} {noun}s")
    }
}

/// The valid name that is nearest to one that does not exist, as a question; empty when none is near.
pub(crate) fn did_you_mean<'n>(written: &str, valid: impl Iterator<Item = &'n str>) -> String {
    let near = valid
        .map(|name| (strsim::damerau_levenshtein(written, name), name))
        .filter(|(distance, _)| *distance <= (written.chars().count() / 3).max(1))
        .min();
    near.map_or_else(String::new, |(_, name)| format!("; did you mean {name}?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(utc(0), "1970-01-01 00:00:00Z");
        assert_eq!(utc(951_782_400_000), "2000-02-29 00:00:00Z");
        assert_eq!(utc(1_795_275_886_123), "2026-11-21 15:44:46Z");
        assert_eq!(utc(4_107_542_399_000), "2100-02-28 23:59:59Z");
        assert_eq!(utc(4_107_542_400_000), "2100-03-01 00:00:00Z");
    }

    #[test]
    fn lengths_are_as_precise_as_they_are_useful() {
        assert_eq!(length(Micros(11_200)), "12 ms");
        assert_eq!(length(Micros::from_millis(829)), "0.83 s");
        assert_eq!(length(Micros::from_millis(800)), "0.8 s");
        assert_eq!(length(Micros::from_millis(9_996)), "10 s");
        assert_eq!(length(Micros::from_millis(12_345)), "12 s");
        assert_eq!(length(Micros::from_millis(185_000)), "3 min 5 s");
    }
}
