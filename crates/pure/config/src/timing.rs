//! `[timing]`: values that differ from the profile's, and whether all values together make sense.

use crate::{
    mistake::{Mistake, Report},
    section::{Found, Section, wrong_type},
};
use standfast_model::{config::Timing, time::Micros};
use std::{collections::BTreeMap, ops::Range};
use toml::de::DeValue;

/// Largest drift that makes sense, in parts per million: 10 %.
const MAX_DRIFT: u64 = 100_000;

/// Where each value was written, to point at the one that somebody changed.
type Places = BTreeMap<&'static str, Range<usize>>;

pub(crate) fn read(mut section: Section<'_>, report: &mut Report<'_>, profile: Timing) -> Timing {
    let mut timing = profile;
    let mut places = Places::new();
    let day = 86_400_000;
    let fields: [(&'static str, &mut Micros, u32, u32); 7] = [
        ("heartbeat_ms", &mut timing.heartbeat, 5, 60_000),
        ("lease_ms", &mut timing.lease, 50, day),
        ("leadership_ms", &mut timing.leadership, 20, day),
        ("election_min_ms", &mut timing.election_min, 20, day),
        ("election_max_ms", &mut timing.election_max, 20, day),
        ("stop_budget_ms", &mut timing.stop_budget, 1, 3_600_000),
        ("restart_grant_ms", &mut timing.restart_grant, 1000, 600_000),
    ];
    for (key, field, least, most) in fields {
        if let Some(found) = section.millis(report, key, least..=most) {
            *field = found.value;
            places.insert(key, found.at);
        }
    }
    if let Some(drift) = read_drift(&mut section, report) {
        timing.drift_ppm = drift.value;
        places.insert("drift_percent", drift.at);
    }
    let at = section.at.clone();
    section.finish(report);
    for rule in broken_rules(&timing) {
        // The first of the rule's keys that was written is the one to look at.
        let key = rule.keys.iter().find(|key| places.contains_key(**key));
        let place = key.and_then(|key| places.get(*key)).unwrap_or(&at);
        let path = format!("timing.{}", key.unwrap_or(&rule.keys[0]));
        let mistake = Mistake::new(&path, rule.problem).allowed(rule.allowed);
        report.mistake(place.clone(), mistake);
    }
    timing
}

fn read_drift(section: &mut Section<'_>, report: &mut Report<'_>) -> Option<Found<u64>> {
    let (value, path) = section.take("drift_percent")?;
    let text = match value.get_ref() {
        DeValue::Integer(n) if n.radix() == 10 => n.as_str(),
        DeValue::Float(n) => n.as_str(),
        DeValue::Integer(_)
        | DeValue::String(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => {
            wrong_type(report, value, &path, "a number of percent, such as 1.0");
            return None;
        }
    };
    let ppm = percent_to_ppm(text).filter(|ppm| (100..=MAX_DRIFT).contains(ppm));
    if ppm.is_none() {
        let mistake = Mistake::new(&path, format!("{text} is out of range"));
        let allowed = "0.01 to 10 percent, with at most four digits after the point";
        report.mistake(value.span(), mistake.allowed(allowed));
    }
    Some(Found {
        value: ppm?,
        at: value.span(),
        path,
    })
}

/// Percent as decimal text, in parts per million: no rounding, so no floating point.
fn percent_to_ppm(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if part.len() > 4 || !part.chars().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let whole: u64 = whole.trim_start_matches('+').parse().ok()?;
    let part: u64 = format!("{part:0<4}").parse().ok()?;
    whole.checked_mul(10_000)?.checked_add(part)
}

struct Rule {
    keys: [&'static str; 2],
    problem: String,
    allowed: String,
}

/// The rules that tie the values together, with the arithmetic in the message.
fn broken_rules(t: &Timing) -> Vec<Rule> {
    let rules = [
        lease_covers_three_heartbeats(t),
        leadership_covers_two_heartbeats(t),
        elections_wait_for_the_promise(t),
        election_timeouts_spread(t),
        stop_leaves_room_for_renewal(t),
    ];
    rules.into_iter().flatten().collect()
}

fn lease_covers_three_heartbeats(t: &Timing) -> Option<Rule> {
    let (lease, heartbeat, least) = (ms(t.lease), ms(t.heartbeat), times(t.heartbeat, 3));
    (t.lease < least).then(|| Rule {
        keys: ["lease_ms", "heartbeat_ms"],
        problem: format!("a lease of {lease} is shorter than three heartbeats of {heartbeat}"),
        allowed: format!(
            "lease_ms of at least 3 x {heartbeat} = {}, so that two lost heartbeats end nothing",
            ms(least)
        ),
    })
}

fn leadership_covers_two_heartbeats(t: &Timing) -> Option<Rule> {
    let (length, heartbeat, least) = (ms(t.leadership), ms(t.heartbeat), times(t.heartbeat, 2));
    (t.leadership < least).then(|| Rule {
        keys: ["leadership_ms", "heartbeat_ms"],
        problem: format!(
            "a leadership lease of {length} is shorter than two heartbeats of {heartbeat}"
        ),
        allowed: format!("leadership_ms of at least 2 x {heartbeat} = {}", ms(least)),
    })
}

fn elections_wait_for_the_promise(t: &Timing) -> Option<Rule> {
    let promise = t.leadership.stretched(t.drift_ppm);
    (promise > t.election_min).then(|| Rule {
        keys: ["leadership_ms", "election_min_ms"],
        problem: format!(
            "voters promise {} + {} drift = {}, longer than the shortest election timeout of {}",
            ms(t.leadership),
            percent(t.drift_ppm),
            ms(promise),
            ms(t.election_min)
        ),
        allowed: format!(
            "election_min_ms of at least {}, or a shorter leadership_ms",
            ms(promise)
        ),
    })
}

fn election_timeouts_spread(t: &Timing) -> Option<Rule> {
    let (least, most) = (ms(t.election_min), ms(t.election_max));
    (t.election_max <= t.election_min).then(|| Rule {
        keys: ["election_max_ms", "election_min_ms"],
        problem: format!(
            "the longest election timeout of {most} is not longer than the shortest of {least}"
        ),
        allowed: format!("election_max_ms above {least}; a third more makes split votes rare"),
    })
}

fn stop_leaves_room_for_renewal(t: &Timing) -> Option<Rule> {
    let (lease, heartbeat) = (ms(t.lease), ms(t.heartbeat));
    let most = t.lease.minus(times(t.heartbeat, 2));
    (t.stop_budget > most).then(|| Rule {
        keys: ["stop_budget_ms", "lease_ms"],
        problem: format!(
            "a holder would begin to stop {} before its lease of {lease} ends, before a second heartbeat of {heartbeat} could renew it",
            ms(t.stop_budget)
        ),
        allowed: format!("stop_budget_ms of at most {lease} - 2 x {heartbeat} = {}", ms(most)),
    })
}

const fn times(time: Micros, factor: u64) -> Micros {
    Micros(time.0.saturating_mul(factor))
}

pub(crate) fn ms(time: Micros) -> String {
    let (whole, part) = (time.0 / 1000, time.0 % 1000);
    let text = format!("{whole}.{part:03}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text} ms")
}

pub(crate) fn percent(ppm: u64) -> String {
    let text = format!("{}.{:04}", ppm / 10_000, ppm % 10_000);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text} %")
}

#[cfg(test)]
mod tests {
    use super::*;
    use standfast_model::config::Profile;

    #[test]
    fn every_profile_keeps_the_rules() {
        for profile in [
            Profile::Fast,
            Profile::Lan,
            Profile::Wan,
            Profile::Appliance,
        ] {
            let broken = broken_rules(&Timing::of(profile));
            assert!(broken.is_empty(), "{profile:?}: {}", broken[0].problem);
        }
    }

    #[test]
    fn percent_is_exact() {
        assert_eq!(percent_to_ppm("1"), Some(10_000));
        assert_eq!(percent_to_ppm("1.0"), Some(10_000));
        assert_eq!(percent_to_ppm("0.0205"), Some(205));
        assert_eq!(percent_to_ppm("1e1"), None);
        assert_eq!(percent_to_ppm("-1.0"), None);
        assert_eq!(percent(205), "0.0205 %");
        assert_eq!(ms(Micros(202_200)), "202.2 ms");
    }
}
