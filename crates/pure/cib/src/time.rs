//! Dates: reading them, taking them apart, adding durations.
//!
//! In UTC throughout. Not for the clock.

const DAY: i64 = 86_400;

/// A moment, taken apart as rules look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parts {
    pub(crate) year: i64,
    pub(crate) month: i64,
    pub(crate) day: i64,
    pub(crate) hour: i64,
    pub(crate) minute: i64,
    pub(crate) second: i64,
    pub(crate) year_day: i64,
    pub(crate) week: i64,
    pub(crate) week_year: i64,
    /// Monday is one.
    pub(crate) week_day: i64,
}

fn days_before(year: i64, month: i64, day: i64) -> i64 {
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let of_era = shifted.rem_euclid(400);
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// Takes a moment apart.
pub(crate) fn parts(time: i64) -> Parts {
    let days = time.div_euclid(DAY);
    let (year, month, day) = civil(days);
    let of_day = time.rem_euclid(DAY);
    let week_day = (days + 3).rem_euclid(7) + 1;
    let thursday = days - week_day + 4;
    let (week_year, _, _) = civil(thursday);
    Parts {
        year,
        month,
        day,
        hour: of_day / 3600,
        minute: of_day / 60 % 60,
        second: of_day % 60,
        year_day: days - days_before(year, 1, 1) + 1,
        week: (thursday - days_before(week_year, 1, 1)) / 7 + 1,
        week_year,
        week_day,
    }
}

/// Adds calendar amounts: years, months, days, seconds.
pub(crate) fn add(time: i64, years: i64, months: i64, days: i64, seconds: i64) -> i64 {
    let now = parts(time);
    let month = now.month - 1 + months;
    let (year, month) = (
        now.year + years + month.div_euclid(12),
        month.rem_euclid(12) + 1,
    );
    let (next_year, next_month) = if month == 12 {
        (year + 1, 1)
    } else {
        (year, month + 1)
    };
    let length = days_before(next_year, next_month, 1) - days_before(year, month, 1);
    let start = days_before(year, month, now.day.min(length)) * DAY + time.rem_euclid(DAY);
    start + days * DAY + seconds
}

/// Reads a date with or without a time: ISO 8601 by calendar, week or day of the year.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Some(epoch) = text.strip_prefix("epoch") {
        return epoch.trim().parse().ok();
    }
    let (date, clock) = match text.split_once(['T', ' ']) {
        Some((date, clock)) => (date, clock.trim()),
        None => (text, ""),
    };
    let days = day_of(date)?;
    Some(days * DAY + clock_of(clock)?)
}

fn day_of(text: &str) -> Option<i64> {
    let fields: Vec<&str> = text.split('-').collect();
    let number = |text: &str| text.parse::<i64>().ok();
    match fields.as_slice() {
        [year, month, day] if !month.starts_with('W') => {
            Some(days_before(number(year)?, number(month)?, number(day)?))
        }
        [year, week, day] => week_day(number(year)?, number(week.get(1..)?)?, number(day)?),
        [year, week] if week.starts_with('W') => {
            week_day(number(year)?, number(week.get(1..)?)?, 1)
        }
        [year, day] if day.len() == 3 => Some(days_before(number(year)?, 1, 1) + number(day)? - 1),
        [year, month] => Some(days_before(number(year)?, number(month)?, 1)),
        [all] if all.len() == 8 => Some(days_before(
            number(all.get(..4)?)?,
            number(all.get(4..6)?)?,
            number(all.get(6..)?)?,
        )),
        [year] if year.len() == 4 => Some(days_before(number(year)?, 1, 1)),
        _ => None,
    }
}

fn week_day(year: i64, week: i64, day: i64) -> Option<i64> {
    let fourth = days_before(year, 1, 4);
    let monday = fourth - (fourth + 3).rem_euclid(7);
    Some(monday + (week - 1) * 7 + day - 1)
}

fn clock_of(text: &str) -> Option<i64> {
    if text.is_empty() {
        return Some(0);
    }
    let zone_at = text.find(['Z', '+', '-']).unwrap_or(text.len());
    let (clock, zone) = text.split_at(zone_at);
    let seconds = clock_seconds(clock.trim())?;
    let offset = match zone.split_at_checked(1) {
        Some(("+", rest)) => clock_seconds(rest)?,
        Some(("-", rest)) => -clock_seconds(rest)?,
        _ => 0,
    };
    Some(seconds - offset)
}

fn clock_seconds(text: &str) -> Option<i64> {
    let text = text.split(['.', ',']).next()?;
    let fields: Vec<i64> = if text.contains(':') {
        text.split(':')
            .map(|field| field.trim().parse().ok())
            .collect::<Option<_>>()?
    } else {
        let pairs = (0..text.len()).step_by(2);
        pairs
            .map(|at| text.get(at..at + 2)?.parse().ok())
            .collect::<Option<_>>()?
    };
    let mut fields = fields.into_iter();
    let (hours, minutes) = (fields.next()?, fields.next().unwrap_or(0));
    Some(hours * 3600 + minutes * 60 + fields.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_in_all_their_forms() {
        assert_eq!(parse("1970-01-02"), Some(DAY));
        assert_eq!(parse("2005-001"), parse("2005-01-01"));
        assert_eq!(parse("2005-W01-1"), parse("2005-01-03"));
        assert_eq!(parse("20050103T10:00Z"), parse("2005-01-03 10:00:00"));
        assert_eq!(parse("2020-01-01T02:00:00+02:00"), parse("2020-01-01"));
        assert_eq!(parse("soon"), None);
    }

    #[test]
    fn a_moment_has_its_parts() {
        let parts = parts(parse("2021-01-03 23:59:58").unwrap_or(0));
        assert_eq!((parts.week_year, parts.week, parts.week_day), (2020, 53, 7));
        assert_eq!(
            (parts.hour, parts.minute, parts.second, parts.year_day),
            (23, 59, 58, 3)
        );
    }

    #[test]
    fn months_end_where_they_end() {
        let january = parse("2021-01-31").unwrap_or(0);
        assert_eq!(Some(add(january, 0, 1, 0, 0)), parse("2021-02-28"));
    }
}
