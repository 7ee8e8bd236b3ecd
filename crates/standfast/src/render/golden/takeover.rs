//! The plain sentences for each combination of a primary and whoever took over from it.

use super::{Phase, View, compare, healthy, instance, known, lose, set};
use crate::render::Status;
use standfast_model::{
    outage::{Cause, Outage, Service},
    plan::Assignment,
};
use std::collections::VecDeque;

/// beta has it, after alpha was lost.
fn taken_over() -> View {
    let mut view = healthy();
    for resource in ["site-ip", "web"] {
        let resource: standfast_model::id::ResourceId = resource.into();
        view.state.may_hold.remove(&resource);
        known(&mut view, "alpha").report.instances.remove(&resource);
        set(
            &mut view,
            "beta",
            resource.as_str(),
            instance(Phase::Active),
        );
    }
    let site = view
        .state
        .plan
        .groups
        .get_mut(&"site".into())
        .expect("site");
    *site = Assignment {
        node: Some("beta".into()),
        ..site.clone()
    };
    let outage = Outage {
        cause: Cause::Failover,
        from: "alpha".into(),
        to: Some("beta".into()),
        began_ms: 1,
        noticed_ms: 2,
        ended_ms: Some(3),
    };
    let service = Service {
        on: Some("beta".into()),
        last: VecDeque::from([outage]),
        ..Service::default()
    };
    view.state.service.insert("site".into(), service);
    view
}

#[test]
fn each_combination_has_its_sentence() {
    let normal = healthy();
    let mut other_lost = healthy();
    lose(&mut other_lost, "beta");
    let mut not_yet = healthy();
    lose(&mut not_yet, "alpha");
    let back = taken_over();
    let mut lost = taken_over();
    lose(&mut lost, "alpha");
    let mut text = String::new();
    for (name, view) in [
        ("running normally", normal),
        ("primary runs, another node is lost", other_lost),
        ("primary is lost, nobody took over yet", not_yet),
        ("another node took over, primary is lost", lost),
        ("another node took over, primary is back", back),
    ] {
        text.push_str(&format!("{name}\n  {}\n", Status::of(&view).sentence));
    }
    compare("takeover", &text);
}
