//! What the probe's answers mean: recovery time, failed requests, time with two owners. Pure: answers in, figures out. Not for asking.
//!
//! **Two owners.** An answer from node X to a question proves that X owned the address at one moment between sending the question and reading the
//! answer. Answers of one node to questions at most 20 ms apart are taken as one ownership. It certainly covers the time from
//! the *reading* of its first answer to the *sending* of the question of its last. `dual_owner_ms` is the total time that
//! such certain ownerships of two or more nodes have in common. A node that answered only one round has no certain length; when that round lies
//! wholly inside the certain ownership of another node there were two owners at that moment, and it counts as one interval of asking (5 ms).
//! Being a little late in reading makes ownerships shorter, never longer: the figure can be too small by up to two intervals of asking at each
//! end, and is never too large.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::probe::{Evidence, INTERVAL, Instance, Outcome, Question, Request};

/// Answers further apart than this belong to two ownerships: three rounds may go missing.
const SAME_OWNERSHIP_NS: u64 = 20_000_000;

/// What clients saw of one fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClientView {
    /// From the fault to the first right answer of the new owner (or of the restarted service). When the same process of the service went on: to the
    /// first answer after the last failure, 0 without any failure. None: it did not come back while it was watched.
    pub rto_ms: Option<f64>,
    /// From the fault to the moment since which every request was answered. None: requests failed to the end.
    pub steady_ms: Option<f64>,
    /// Requests that ended after the fault.
    pub requests: usize,
    /// Those of them that were refused, reset or not answered in time.
    pub failed_requests: usize,
    /// Longest time between two right answers that follow each other, from the last one before the fault on.
    pub longest_gap_ms: f64,
    /// From the fault to the last answer of the process that answered before it. None: it never answered again.
    pub old_last_answer_ms: Option<f64>,
    /// Node that answered before the fault.
    pub old_node: Option<String>,
    /// Node whose answer ended the recovery time.
    pub new_node: Option<String>,
}

/// What the watcher saw of one fault.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct OwnerView {
    /// Time during which two nodes owned the address, by any kind of question.
    pub dual_owner_ms: f64,
    /// The same, by answers of the service itself only.
    pub dual_service_ms: f64,
    /// How many answers this rests on.
    pub answers: usize,
}

fn ms(ns: u64) -> f64 {
    // Rounded to a microsecond; laboratory spans are far below the 2^53 at which f64 loses whole numbers.
    let micros = u32::try_from(ns / 1000).unwrap_or(u32::MAX);
    f64::from(micros) / 1000.0
}

fn instance(request: &Request) -> Option<&Instance> {
    match &request.outcome {
        Outcome::Answered(instance) => Some(instance),
        Outcome::Failed(_) | Outcome::TimedOut => None,
    }
}

/// Judges `requests` (in order of outcome) for a fault at `fault_ns`.
#[must_use]
pub fn client_view(requests: &[Request], fault_ns: u64) -> ClientView {
    let mut sorted: Vec<&Request> = requests.iter().collect();
    sorted.sort_by_key(|request| request.done_ns);
    let split = sorted.partition_point(|request| request.done_ns < fault_ns);
    let (before, after) = sorted.split_at(split);
    let old = before.iter().rev().find_map(|request| instance(request));
    let since = |request: &Request| ms(request.done_ns.saturating_sub(fault_ns));
    let failed = after
        .iter()
        .filter(|request| instance(request).is_none())
        .count();
    let last_failure = after
        .iter()
        .filter(|request| instance(request).is_none())
        .map(|request| request.sent_ns)
        .max();
    let steady = match last_failure {
        None => Some(0.0),
        Some(sent) => after
            .iter()
            .find(|request| instance(request).is_some() && request.sent_ns > sent)
            .map(|request| since(request)),
    };
    let replaced = after
        .iter()
        .find(|request| instance(request).is_some_and(|new| Some(new) != old));
    let (rto_ms, new_node) = match replaced {
        Some(request) => (
            Some(since(request)),
            instance(request).map(|new| new.node.clone()),
        ),
        None => (steady, None),
    };
    let last_before = before
        .iter()
        .rev()
        .find(|request| instance(request).is_some());
    let answers = last_before
        .into_iter()
        .chain(after.iter().filter(|request| instance(request).is_some()));
    let moments: Vec<u64> = answers.map(|request| request.done_ns).collect();
    let end = after.last().map(|request| request.done_ns);
    let gaps = moments
        .iter()
        .zip(moments.iter().skip(1).copied().chain(end));
    ClientView {
        rto_ms,
        steady_ms: steady,
        requests: after.len(),
        failed_requests: failed,
        longest_gap_ms: gaps
            .map(|(from, to)| ms(to.saturating_sub(*from)))
            .fold(0.0, f64::max),
        old_last_answer_ms: after
            .iter()
            .rev()
            .find(|request| instance(request).is_some() && instance(request) == old)
            .map(|request| since(request)),
        old_node: old.map(|old| old.node.clone()),
        new_node,
    }
}

/// Judges the watcher's evidence; see the top of this file for the definition.
#[must_use]
pub fn owner_view(evidence: &[Evidence]) -> OwnerView {
    let service: Vec<Evidence> = evidence
        .iter()
        .filter(|entry| entry.question == Question::Service)
        .cloned()
        .collect();
    OwnerView {
        dual_owner_ms: ms(dual_ns(evidence)),
        dual_service_ms: ms(dual_ns(&service)),
        answers: evidence.len(),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Ownership {
    node: usize,
    /// Window of the first answer and of the last.
    first: (u64, u64),
    last: (u64, u64),
}

impl Ownership {
    /// The time it certainly covers.
    fn certain(&self) -> Option<(u64, u64)> {
        (self.first.1 < self.last.0).then_some((self.first.1, self.last.0))
    }
}

fn ownerships(evidence: &[Evidence]) -> Vec<Ownership> {
    let mut sorted: Vec<&Evidence> = evidence.iter().collect();
    sorted.sort_by_key(|entry| (entry.sent_ns, entry.received_ns));
    let mut open: BTreeMap<usize, Ownership> = BTreeMap::new();
    let mut closed = Vec::new();
    for entry in sorted {
        let window = (entry.sent_ns, entry.received_ns);
        let fresh = Ownership {
            node: entry.node,
            first: window,
            last: window,
        };
        match open.get_mut(&entry.node) {
            Some(current) if entry.sent_ns.saturating_sub(current.last.0) <= SAME_OWNERSHIP_NS => {
                current.last = window
            }
            Some(current) => closed.push(std::mem::replace(current, fresh)),
            None => {
                open.insert(entry.node, fresh);
            }
        }
    }
    closed.extend(open.into_values());
    closed
}

fn dual_ns(evidence: &[Evidence]) -> u64 {
    let all = ownerships(evidence);
    let interval = u64::try_from(INTERVAL.as_nanos()).unwrap_or(u64::MAX);
    let mut changes: Vec<(u64, bool)> = Vec::new();
    for one in &all {
        let span = one.certain().or_else(|| {
            let inside = all.iter().any(|other| {
                other.node != one.node
                    && other
                        .certain()
                        .is_some_and(|(from, to)| from <= one.first.0 && one.first.1 <= to)
            });
            inside.then(|| (one.first.0, one.first.0.saturating_add(interval)))
        });
        if let Some((from, to)) = span {
            changes.push((from, true));
            changes.push((to, false));
        }
    }
    // Ends before beginnings at the same moment: touching is not overlapping.
    changes.sort_unstable();
    let (mut owners, mut dual, mut since) = (0_u32, 0_u64, 0_u64);
    for (at, begins) in changes {
        if owners >= 2 {
            dual = dual.saturating_add(at.saturating_sub(since));
        }
        owners = if begins {
            owners.saturating_add(1)
        } else {
            owners.saturating_sub(1)
        };
        since = at;
    }
    dual
}

/// Median, minimum and maximum of `values`; none without values.
#[must_use]
pub fn spread(values: &[f64]) -> Option<(f64, f64, f64)> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    let median = if sorted.len().is_multiple_of(2) {
        f64::midpoint(*sorted.get(middle.checked_sub(1)?)?, upper)
    } else {
        upper
    };
    Some((median, *sorted.first()?, *sorted.last()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(sent_ms: u64, node: &str, started_ns: u64) -> Request {
        let outcome = Outcome::Answered(Instance {
            node: node.to_owned(),
            started_ns,
        });
        Request {
            sent_ns: sent_ms * 1_000_000,
            done_ns: (sent_ms + 1) * 1_000_000,
            outcome,
        }
    }

    fn lost(sent_ms: u64) -> Request {
        Request {
            sent_ns: sent_ms * 1_000_000,
            done_ns: (sent_ms + 250) * 1_000_000,
            outcome: Outcome::TimedOut,
        }
    }

    fn owned(node: usize, from_ms: u64, to_ms: u64) -> Vec<Evidence> {
        let at = |ms: u64| Evidence {
            node,
            question: Question::Echo,
            sent_ns: ms * 1_000_000,
            received_ns: ms * 1_000_000 + 100_000,
        };
        (from_ms..=to_ms).step_by(5).map(at).collect()
    }

    #[test]
    fn recovery_ends_with_the_first_answer_of_the_new_owner() {
        let requests = [
            answered(90, "alpha", 1),
            lost(105),
            lost(110),
            answered(400, "beta", 2),
            answered(405, "beta", 2),
        ];
        let view = client_view(&requests, 100_000_000);
        assert_eq!(view.rto_ms, Some(301.0));
        assert_eq!((view.requests, view.failed_requests), (4, 2));
        assert_eq!(view.new_node.as_deref(), Some("beta"));
        assert_eq!(view.longest_gap_ms, 310.0);
        assert_eq!(view.steady_ms, Some(301.0));
    }

    #[test]
    fn the_old_process_going_on_without_a_failure_is_no_outage() {
        let view = client_view(
            &[answered(90, "alpha", 1), answered(105, "alpha", 1)],
            100_000_000,
        );
        assert_eq!((view.rto_ms, view.failed_requests), (Some(0.0), 0));
    }

    #[test]
    fn a_service_that_stays_away_has_no_recovery_time() {
        let view = client_view(
            &[answered(90, "alpha", 1), lost(105), lost(110)],
            100_000_000,
        );
        assert_eq!((view.rto_ms, view.steady_ms), (None, None));
    }

    #[test]
    fn a_handover_without_overlap_has_no_two_owners() {
        let mut evidence = owned(0, 0, 100);
        evidence.extend(owned(1, 101, 201));
        assert_eq!(owner_view(&evidence).dual_owner_ms, 0.0);
    }

    #[test]
    fn two_owners_count_from_the_second_ones_first_answer_to_the_first_ones_last_question() {
        let mut evidence = owned(0, 0, 100);
        evidence.extend(owned(1, 50, 200));
        assert_eq!(owner_view(&evidence).dual_owner_ms, 49.9);
    }

    #[test]
    fn a_single_answer_inside_anothers_ownership_counts_once() {
        let mut evidence = owned(0, 0, 100);
        evidence.extend(owned(1, 52, 52));
        assert_eq!(owner_view(&evidence).dual_owner_ms, 5.0);
        let mut apart = owned(0, 0, 100);
        apart.extend(owned(1, 300, 300));
        assert_eq!(owner_view(&apart).dual_owner_ms, 0.0);
    }

    #[test]
    fn a_spread_of_nothing_is_nothing() {
        assert_eq!(spread(&[]), None);
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Some((2.0, 1.0, 3.0)));
        assert_eq!(spread(&[1.0, 2.0]), Some((1.5, 1.0, 2.0)));
    }
}
