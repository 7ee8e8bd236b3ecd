//! What each fault may do to a cluster of Standfast: the limits of `make test`. Wider than what the benchmark publishes, because a test machine
//! has bad moments; two owners and lost requests have no margin. Where the machine itself stood still, times are not judged. Not for measuring.

use std::io::Write;

use serde::Serialize;

use crate::error::LabError;
use crate::fault::{Expected, Fault};
use crate::measure::OwnerView;
use crate::trial::Trial;
use standfast_unrest::Unrest;

/// Recovery takes at most this long in one trial, with profile `lan`. The published medians are below 1.2 s.
const MOVES_MS: f64 = 2500.0;

/// A local restart: noticed within 20 ms, then start and readiness of the service.
const RESTART_MS: f64 = 1000.0;

/// A hanging service has to miss two health checks of a second first.
const HANGING_MS: f64 = 8000.0;

/// All nodes boot again: agents start, elect, wait out what may still run, start.
const ALL_LOST_MS: f64 = 15_000.0;

/// Longest time without an answer in a planned switchover. Published: at most 100 ms.
const SWITCHOVER_MS: f64 = 400.0;

/// Of a pair: what is configured to be waited for before the secondary fences. Its device's own time comes on top of every limit.
const PAIR_DELAY_MS: f64 = 2000.0;

/// The same in a pair, whose new primary begins a log of its own in between.
const PAIR_SWAP_MS: f64 = 1200.0;

/// Of a pair with ping targets, for whom no power is cut: until its pings have failed, and the longest lease of the lost primary.
const PINGED_MS: f64 = 8500.0;

/// Of a pair with ping targets whose nodes do not hear each other: nobody takes over before `downtime_ms` and the longest lease of the other one are over.
const PINGED_LEAST_MS: f64 = 6500.0;

/// The same, when they hear each other again: one of them has stopped within this time.
const MEETS_MS: f64 = 2500.0;

/// The same: one that has taken over and not started anything yet does so, when the longest lease of the other one is over.
const MET_MS: f64 = 7500.0;

/// After a healed partition every client is answered within this time.
const HEALED_MS: f64 = 1000.0;

/// After the majority is lost the service has ended after the lease, with a margin for the watcher.
const LEASE_MS: f64 = 1500.0;

/// How often a trial is tried that went wrong while the machine was restless.
pub const ATTEMPTS: u32 = 3;

/// Something that a trial did and should not have done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// What.
    pub text: String,
    /// What may excuse it.
    pub weight: Weight,
}

/// What may excuse a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weight {
    /// Nothing: two owners, or a service that went on where it had to end. No machine is slow enough to be the reason.
    Firm,
    /// Nothing, but on a restless machine it is tried again.
    Broken,
    /// A machine that stood still: it is about time, or about what a cluster rightly does when it hears nothing for a while.
    Timed,
}

/// What is found so far.
#[derive(Default)]
struct Found(Vec<Problem>);

impl Found {
    fn firm(&mut self, text: impl Into<String>) {
        self.0.push(problem(Weight::Firm, text));
    }

    fn push(&mut self, text: impl Into<String>) {
        self.0.push(problem(Weight::Timed, text));
    }
}

/// A problem.
#[must_use]
pub fn problem(weight: Weight, text: impl Into<String>) -> Problem {
    Problem {
        text: text.into(),
        weight,
    }
}

/// What to do about what a trial did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing was wrong.
    Good,
    /// It was wrong.
    Bad,
    /// The machine was restless: to be tried again.
    Again,
    /// Each of [`ATTEMPTS`] was wrong, in time only, and the machine stood still for as long as what is measured: times mean nothing here.
    /// What holds on every machine was checked.
    Untimed,
}

/// Judges attempt number `attempt` (from 1). Nothing but the machine's own unrest excuses anything, and nothing excuses what is firm.
#[must_use]
pub fn verdict(problems: &[Problem], unrest: &Unrest, attempt: u32) -> Verdict {
    let any = |weight| problems.iter().any(|problem| problem.weight == weight);
    if problems.is_empty() {
        Verdict::Good
    } else if any(Weight::Firm) || !unrest.is_restless() {
        Verdict::Bad
    } else if attempt < ATTEMPTS {
        Verdict::Again
    } else if unrest.is_unfit() && !any(Weight::Broken) {
        Verdict::Untimed
    } else {
        Verdict::Bad
    }
}

/// What a watcher has to have seen and may not have seen, whatever was done.
#[must_use]
pub fn owners(seen: &OwnerView) -> Vec<Problem> {
    let mut found = Found::default();
    if seen.dual_owner_ms > 0.0 {
        let dual = seen.dual_owner_ms;
        found.firm(format!("two nodes owned the address for {dual:.1} ms"));
    }
    if seen.answers == 0 {
        found.firm("the watcher heard nobody: nothing is known of owners");
    }
    found.0
}

/// A trial that was not run to its end: the system never became ready, or refused what the fault needs.
#[must_use]
pub fn broken(error: &LabError) -> Problem {
    let weight = match error {
        // Minutes are longer than any machine stands still.
        LabError::NotReady { .. } => Weight::Firm,
        _ => Weight::Broken,
    };
    problem(weight, error.to_string())
}

/// Prints what was found and what became of it.
///
/// # Errors
/// When it cannot be written.
pub fn print(
    problems: &[Problem],
    unrest: &Unrest,
    verdict: Verdict,
    out: &mut impl Write,
) -> std::io::Result<()> {
    let word = match verdict {
        Verdict::Bad => "FAILED",
        Verdict::Good | Verdict::Again | Verdict::Untimed => "not good",
    };
    for problem in problems {
        writeln!(out, "    {word}: {}", problem.text)?;
    }
    match verdict {
        Verdict::Good => Ok(()),
        Verdict::Bad if !unrest.is_restless() => Ok(()),
        Verdict::Bad => writeln!(out, "    the machine {unrest}"),
        Verdict::Again => writeln!(out, "    the machine {unrest}: again"),
        Verdict::Untimed => writeln!(
            out,
            "    the machine {unrest}: times are not judged; nothing else was wrong"
        ),
    }
}

/// Everything that `trial` did and should not have done; empty when it is good.
#[must_use]
pub fn problems(trial: &Trial) -> Vec<Problem> {
    let mut found = Found::default();
    let dual = trial.owners_healed.dual_owner_ms;
    let pair = is_pair(trial);
    let expected = if pings(trial) {
        trial.fault.expected_with_ping_targets()
    } else if pair {
        fenced(trial, &mut found);
        trial.fault.expected_of_a_pair()
    } else {
        trial.fault.expected()
    };
    if expected == Expected::Measured {
        apart(trial, &mut found);
        return found.0;
    }
    if expected == Expected::TwoOwners {
        if dual <= 0.0 {
            found.firm("the watcher did not see the two owners that there were: its other results mean nothing");
        }
        return found.0;
    }
    found.0.extend(owners(&trial.owners_healed));
    if trial.fault == Fault::PrimaryLeaderLost && trial.leader != trial.client.old_node {
        found.push("the leader was not on the primary: not the fault it says");
    }
    match expected {
        Expected::Moves => moves(trial, &mut found),
        Expected::Returns => returns(trial, &mut found),
        Expected::Unaffected => unaffected(trial, &mut found),
        Expected::Ends if pair => ends_in_a_pair(trial, &mut found),
        Expected::Ends => ends(trial, &mut found),
        Expected::TwoOwners | Expected::Measured => {}
    }
    found.0
}

fn is_pair(trial: &Trial) -> bool {
    trial.system.starts_with("standfast pair")
}

/// Whether the arbiter of a pair are ping targets.
#[must_use]
pub fn pings(trial: &Trial) -> bool {
    trial.system.starts_with("standfast pair ping")
}

/// In a pair a machine is fenced when it has to be, and never otherwise; and it gets its power back.
fn fenced(trial: &Trial, found: &mut Found) {
    match (trial.fault.has_a_pair_fence(), &trial.fence) {
        (true, None) => found.push("nobody was fenced"),
        (false, Some(_)) => found.push("a machine was fenced for nothing"),
        (true, Some(seen)) if !seen.power_back => {
            found.push("the fenced machine did not get its power back");
        }
        (true, Some(_)) | (false, None) => {}
    }
}

/// What no system that is set up rightly fails at: a baseline that does is not measured, but broken.
#[must_use]
pub fn baseline_problems(trial: &Trial) -> Vec<Problem> {
    let mut found = Found::default();
    let returns = matches!(
        trial.fault,
        Fault::PowerLoss | Fault::ServiceKilled | Fault::Switchover
    );
    if returns && trial.client.new_node.is_none() {
        found.firm("nobody took over: is this system set up rightly?");
    }
    if trial.owners_healed.answers == 0 {
        found.firm("the watcher heard nobody: nothing is known of owners");
    }
    found.0
}

fn limit(found: &mut Found, what: &str, value: Option<f64>, most: f64) {
    match value {
        None => found.push(format!("{what}: never, of at most {most:.0} ms")),
        Some(value) if value > most => {
            found.push(format!("{what}: {value:.0} ms of at most {most:.0} ms"))
        }
        Some(_) => {}
    }
}

fn moves(trial: &Trial, found: &mut Found) {
    let client = &trial.client;
    if client.new_node.is_none() || client.new_node == client.old_node {
        found.push("the service did not move");
    }
    let fence = trial.fence.map_or(0.0, |seen| {
        seen.took_ms + if seen.already { 0.0 } else { PAIR_DELAY_MS }
    });
    let waited = if pings(trial) && trial.fault != Fault::Switchover {
        PINGED_MS
    } else {
        fence
    };
    let most = waited + MOVES_MS;
    limit(found, "the new owner answered", client.rto_ms, most);
    if trial.fault == Fault::Switchover {
        limit(
            found,
            "longest gap",
            Some(client.longest_gap_ms),
            if is_pair(trial) {
                PAIR_SWAP_MS
            } else {
                SWITCHOVER_MS
            },
        );
    }
}

fn returns(trial: &Trial, found: &mut Found) {
    let most = match trial.fault {
        Fault::ServiceKilled => RESTART_MS,
        Fault::AllLost => ALL_LOST_MS,
        Fault::ServiceHanging => HANGING_MS,
        _ => MOVES_MS,
    };
    limit(found, "the service returned", trial.client.rto_ms, most);
    if trial.client.new_node.is_none() {
        found.push("the service was not restarted");
    }
}

fn unaffected(trial: &Trial, found: &mut Found) {
    let client = &trial.client;
    if trial.fault == Fault::HealedPartition {
        limit(
            found,
            "every client was answered",
            client.steady_ms,
            HEALED_MS,
        );
        return;
    }
    let restarts = pings(trial) || !trial.system.ends_with(" lan");
    if trial.fault == Fault::AgentKilled && restarts {
        // Its supervisor takes longer than a shorter lease. Ping targets: not tried often enough on a calm machine to ask for more.
        limit(found, "the service returned", client.rto_ms, MOVES_MS);
        return;
    }
    if client.failed_requests > 0 {
        found.push(format!(
            "{} of {} requests failed",
            client.failed_requests, client.requests
        ));
    }
    if client.new_node.is_some() {
        found.push("the service was restarted or moved");
    }
}

fn ends(trial: &Trial, found: &mut Found) {
    limit(
        found,
        "the last answer came",
        trial.client.old_last_answer_ms,
        LEASE_MS,
    );
    if trial.client.new_node.is_some() || trial.client.steady_ms.is_some() {
        found.firm("the service went on without a majority");
    }
    if !trial.status.contains("majority") && !trial.status.contains("quorum") {
        found.push(format!("status does not say why: {:?}", trial.status));
    }
}

/// Two that do not hear each other and both reach a ping target both go on. How long there are two owners is measured; that the second one waits for the
/// first one's lease, that clients are answered all the time, and that one stops when they meet is promised.
fn apart(trial: &Trial, found: &mut Found) {
    let client = &trial.client;
    if trial.owners_healed.answers == 0 {
        found.firm("the watcher heard nobody: nothing is known of owners");
    }
    if trial.fault == Fault::HealedPartition {
        limit(found, "clients were answered", client.steady_ms, MET_MS);
        let both = Some(trial.owners.dual_owner_ms);
        limit(found, "two nodes owned the address", both, MEETS_MS);
        return;
    }
    let dual = trial.owners.dual_owner_ms;
    if dual > (trial.watched_ms - PINGED_LEAST_MS).max(0.0) {
        found.firm(format!(
            "two nodes owned the address for {dual:.0} ms of {:.0} ms: one did not wait for the lease of the other one",
            trial.watched_ms
        ));
    }
    limit(found, "longest gap", Some(client.longest_gap_ms), HEALED_MS);
    let both = Some(trial.owners_healed.dual_owner_ms - dual);
    limit(
        found,
        "they met, and two nodes owned the address",
        both,
        MEETS_MS,
    );
}

/// A dead agent's machine answers pings: its services end with their leases, and nobody else starts them.
fn ends_in_a_pair(trial: &Trial, found: &mut Found) {
    let last = trial.client.old_last_answer_ms;
    limit(found, "the last answer came", last, PINGED_MS);
    if trial.client.new_node.is_some() || trial.client.steady_ms.is_some() {
        found.firm("somebody took over from a machine that answers pings");
    }
    if !trial.status.contains("not failed over yet") {
        found.push(format!("status does not say why: {:?}", trial.status));
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::measure::ClientView;
    use crate::system::FenceSeen;

    pub(crate) fn good() -> Trial {
        let owners = OwnerView {
            dual_owner_ms: 0.0,
            dual_service_ms: 0.0,
            answers: 100,
        };
        Trial {
            system: "standfast lan".to_owned(),
            fault: Fault::PowerLoss,
            loaded: false,
            number: 1,
            client: ClientView {
                rto_ms: Some(900.0),
                steady_ms: Some(900.0),
                requests: 500,
                failed_requests: 180,
                longest_gap_ms: 905.0,
                old_last_answer_ms: None,
                old_node: Some("alpha".to_owned()),
                new_node: Some("beta".to_owned()),
            },
            owners,
            owners_healed: owners,
            injection_ms: 1.0,
            watched_ms: 3000.0,
            leader: None,
            fence: None,
            status: String::new(),
            unrest: Unrest::default(),
        }
    }

    fn texts(problems: Vec<Problem>) -> Vec<String> {
        problems.into_iter().map(|problem| problem.text).collect()
    }

    #[test]
    fn only_a_machine_that_stood_still_excuses_and_only_what_is_about_time() {
        let stood_still = Unrest {
            longest_stall_ms: 600.0,
            ..Unrest::default()
        };
        let hiccup = Unrest {
            longest_stall_ms: 40.0,
            ..Unrest::default()
        };
        let mut late = good();
        late.client.rto_ms = Some(3000.0);
        let late = problems(&late);
        assert_eq!(verdict(&[], &stood_still, 1), Verdict::Good);
        assert_eq!(verdict(&late, &Unrest::default(), 1), Verdict::Bad);
        assert_eq!(verdict(&late, &hiccup, 1), Verdict::Again);
        assert_eq!(verdict(&late, &hiccup, ATTEMPTS), Verdict::Bad);
        assert_eq!(verdict(&late, &stood_still, 2), Verdict::Again);
        assert_eq!(verdict(&late, &stood_still, ATTEMPTS), Verdict::Untimed);
        let refused = [broken(&LabError::Unexpected("nobody leads".to_owned()))];
        assert_eq!(verdict(&refused, &stood_still, 1), Verdict::Again);
        assert_eq!(verdict(&refused, &stood_still, ATTEMPTS), Verdict::Bad);
        let mut two = good();
        two.owners_healed.dual_owner_ms = 5.0;
        assert_eq!(verdict(&problems(&two), &stood_still, 1), Verdict::Bad);
    }

    #[test]
    fn a_good_failover_has_no_problems() {
        assert_eq!(texts(problems(&good())), Vec::<String>::new());
    }

    #[test]
    fn a_moment_of_two_owners_is_a_problem_even_after_healing() {
        let mut trial = good();
        trial.owners_healed.dual_owner_ms = 5.0;
        assert_eq!(
            texts(problems(&trial)),
            ["two nodes owned the address for 5.0 ms"]
        );
    }

    #[test]
    fn a_baseline_that_nobody_takes_over_is_not_measured() {
        assert_eq!(texts(baseline_problems(&good())), Vec::<String>::new());
        let mut trial = good();
        trial.client.new_node = None;
        assert_eq!(baseline_problems(&trial).len(), 1);
        trial.fault = Fault::SilentPartition;
        assert_eq!(texts(baseline_problems(&trial)), Vec::<String>::new());
    }

    #[test]
    fn in_a_pair_the_fence_counts_and_has_to_be_there() {
        let mut trial = good();
        trial.system = "standfast pair lan".to_owned();
        trial.client.rto_ms = Some(5300.0);
        assert_eq!(
            texts(problems(&trial)),
            [
                "nobody was fenced",
                "the new owner answered: 5300 ms of at most 2500 ms"
            ]
        );
        trial.fence = Some(FenceSeen {
            took_ms: 900.0,
            already: false,
            power_back: true,
        });
        assert_eq!(texts(problems(&trial)), Vec::<String>::new());
        trial.fault = Fault::Switchover;
        assert_eq!(
            texts(problems(&trial))[0],
            "a machine was fenced for nothing"
        );
        trial.fence = None;
        trial.fault = Fault::AgentKilled;
        let new = "the service was restarted or moved";
        assert_eq!(texts(problems(&trial)), ["180 of 500 requests failed", new]);
        trial.system = "standfast pair ping lan".to_owned();
        trial.client.rto_ms = Some(1200.0);
        assert_eq!(texts(problems(&trial)), Vec::<String>::new());
    }

    #[test]
    fn with_ping_targets_two_owners_are_measured_where_both_reach_one_and_firm_everywhere_else() {
        let mut trial = good();
        trial.system = "standfast pair ping lan".to_owned();
        trial.owners.dual_owner_ms = 4800.0;
        trial.owners_healed.dual_owner_ms = 5000.0;
        trial.watched_ms = 12_000.0;
        trial.fault = Fault::SilentPartition;
        assert_eq!(texts(problems(&trial)), Vec::<String>::new());
        trial.owners.dual_owner_ms = 7000.0;
        trial.owners_healed.dual_owner_ms = 10_000.0;
        trial.client.longest_gap_ms = 1500.0;
        assert_eq!(
            texts(problems(&trial)),
            [
                "two nodes owned the address for 7000 ms of 12000 ms: one did not wait for the lease of the other one",
                "longest gap: 1500 ms of at most 1000 ms",
                "they met, and two nodes owned the address: 3000 ms of at most 2500 ms"
            ]
        );
        trial.fault = Fault::HealedPartition;
        trial.client.steady_ms = None;
        assert_eq!(
            texts(problems(&trial)),
            [
                "clients were answered: never, of at most 7500 ms",
                "two nodes owned the address: 7000 ms of at most 2500 ms"
            ]
        );
        trial.owners_healed.dual_owner_ms = 5000.0;
        trial.fault = Fault::PowerLoss;
        assert_eq!(
            texts(problems(&trial)),
            ["two nodes owned the address for 5000.0 ms"]
        );
        trial.owners_healed.dual_owner_ms = 0.0;
        trial.client.rto_ms = Some(10_000.0);
        assert_eq!(texts(problems(&trial)), Vec::<String>::new());
        trial.fault = Fault::AgentStopped;
        trial.client.old_last_answer_ms = Some(5000.0);
        trial.status = "beta is up, alpha is down: not failed over yet, until ...".to_owned();
        assert_eq!(
            texts(problems(&trial)),
            ["somebody took over from a machine that answers pings"]
        );
    }

    #[test]
    fn a_lost_request_is_a_problem_where_nothing_should_happen() {
        let mut trial = good();
        trial.fault = Fault::AgentRestart;
        trial.client.new_node = None;
        trial.client.failed_requests = 1;
        assert_eq!(texts(problems(&trial)), ["1 of 500 requests failed"]);
    }
}
