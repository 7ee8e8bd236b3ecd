//! A change of the certificate authority: what waits, and for whom.

use super::{compare, healthy, known, lose, said};
use crate::{
    doctor::together,
    render::{Diagnosis, Form, Local, Style, diagnosis, metrics},
};
use standfast_model::{
    authority::{AuthorityChange, AuthorityStep},
    request::View,
};

pub(super) fn changing(mut view: View, step: AuthorityStep) -> View {
    view.state.authorities.change = Some(AuthorityChange {
        fingerprint: "b7".repeat(32),
        old: "a1".repeat(32),
        step,
        by: String::from("root@alpha"),
        reason: String::from("yearly"),
        since_ms: 1_795_275_880_000,
        ..AuthorityChange::default()
    });
    for node in ["alpha", "beta"] {
        let certificate = &mut known(&mut view, node).report.certificate;
        certificate.ready_for = "b7".repeat(32);
    }
    view
}

#[test]
fn a_change_of_the_authority_says_whom_it_waits_for() {
    let mut view = changing(healthy(), AuthorityStep::Trust);
    lose(&mut view, "gamma");
    let findings = |view: &View| {
        let found = Diagnosis::of(&[], together(Some(view), &[]));
        diagnosis(&found, Style::default())
    };
    let mut text = said(&view) + &findings(&view);
    let view = changing(healthy(), AuthorityStep::Take);
    text += &said(&view);
    text += &findings(&view);
    let lines = metrics(&view, &Local::default(), Form::Prometheus);
    let lines = lines.lines().filter(|line| line.contains("ca_rotation"));
    text += &lines.map(|line| format!("{line}\n")).collect::<String>();
    compare("authority", &text);
}
