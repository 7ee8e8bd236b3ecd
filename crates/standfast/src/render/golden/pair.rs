//! A pair, as `status` and `check` say it.

use super::{super::Ending, View, compare, healthy, lose, said};
use standfast_model::{
    id::MemberId,
    pair::{Arbiter, PairConfig, PairView},
};

#[test]
fn what_the_end_of_a_pair_takes_and_leaves() {
    let mut view = pair(
        "normal",
        "The pair runs normally: alpha is primary, beta is secondary and in sync.",
    );
    let before = view.pair.take().expect("a pair");
    let ending = Ending::of(&view, &before);
    let on_alpha = ending.outcome(&view);
    view.pair = Some(before);
    view.node = "beta".to_owned();
    let on_beta = ending.outcome(&view);
    let text = format!("{}\n--\n{on_alpha}\n--\n{on_beta}", ending.warning());
    compare("teardown", &text);
}

/// alpha is the primary and is asked.
fn pair(state: &str, sentence: &str) -> View {
    let mut view = healthy();
    view.state.members.remove(&MemberId(3));
    view.state.nodes.remove(&"gamma".into());
    view.state.config.nodes.remove(&"gamma".into());
    if let Some(beta) = view.state.members.get_mut(&MemberId(2)) {
        beta.voter = false;
    }
    let nodes = ["alpha", "beta"].map(Into::into);
    view.state.config.pair = Some(PairConfig::of(nodes, Arbiter::Fence));
    view.pair = Some(PairView {
        state: state.to_owned(),
        sentence: sentence.to_owned(),
        role: "primary".to_owned(),
        primary: Some("alpha".into()),
        arbiter: "fence".to_owned(),
        generation: 3,
        in_sync: state == "normal",
        peer_seen: state == "normal",
        index: 40,
    });
    view
}

#[test]
fn a_pair_is_said_in_one_sentence() {
    let normal = pair(
        "normal",
        "The pair runs normally: alpha is primary, beta is secondary and in sync.",
    );
    let mut alone = pair(
        "secondary-down",
        "Primary alpha is up, secondary beta is down: the service continues, and can survive no loss.",
    );
    lose(&mut alone, "beta");
    let mut waiting = pair(
        "waiting",
        "alpha started and does not see beta: nobody is primary until beta is back or an operator says so.",
    );
    if let Some(pair) = &mut waiting.pair {
        pair.role = "waiting".to_owned();
        pair.primary = None;
    }
    waiting.quorum = false;
    let mut views = [normal, alone, waiting];
    for view in &mut views {
        // In a pair it depends on the arbiter.
        view.predicted_rto.clear();
    }
    let text = views.map(|view| said(&view)).join("\n\n");
    compare("pair", &text);
}
