//! What is said where an agent's exit code keeps a group from being tried again.

use super::{compare, explained, healthy, known, place, reason, said};
use standfast_model::{agent::Severity, plan::INFINITY, state::FailureRecord};

#[test]
fn an_error_that_another_try_does_not_end() {
    for (name, severity, last, beta) in [
        (
            "hard-error",
            Severity::Hard,
            "ocf:heartbeat:nginx start: not installed (5)",
            "beta is drained",
        ),
        (
            "fatal-error",
            Severity::Fatal,
            "ocf:heartbeat:nginx start: not configured (6): Configuration file /etc/x not found!",
            "web cannot run anywhere as it is configured (found on alpha): ocf:heartbeat:nginx start: not configured (6): \
             Configuration file /etc/x not found!",
        ),
    ] {
        let mut view = healthy();
        known(&mut view, "alpha").report.instances.clear();
        view.state.may_hold.clear();
        let alpha = match severity {
            Severity::Fatal => beta.to_owned(),
            Severity::Hard | Severity::Soft => format!("web cannot run on alpha: {last}"),
        };
        let reasons = vec![
            reason(None, 0, "no node can run it"),
            reason(Some("alpha"), -INFINITY, &alpha),
            reason(Some("beta"), -INFINITY, beta),
            reason(
                Some("gamma"),
                -INFINITY,
                "gamma is a witness and runs no resources",
            ),
        ];
        place(&mut view, None, reasons);
        let record = FailureRecord {
            count: 1,
            severity,
            last: last.to_owned(),
            ..FailureRecord::default()
        };
        let failures = view.state.failures.entry("web".into()).or_default();
        failures.insert("alpha".into(), record);
        compare(name, &(said(&view) + &explained(&view)));
    }
}
