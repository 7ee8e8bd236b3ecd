//! A pair, as `status` and `check` say it.

use super::{
    super::{Ending, pair_text},
    View, compare, healthy, lose, said,
};
use standfast_model::{
    id::MemberId,
    pair::{Arbiter, PairConfig, PairView, PingView},
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
        ping: None,
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

#[test]
fn ping_targets_are_warned_of_and_say_why_nobody_takes_over() {
    let with = |state: &str, sentence: &str, ping: PingView| {
        let mut view = pair(state, sentence);
        view.predicted_rto.clear();
        if let Some(pair) = &mut view.pair {
            pair.arbiter = "ping".to_owned();
            pair.ping = Some(ping);
        }
        view
    };
    let targets = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect();
    let calm = with(
        "normal",
        "The pair runs normally: alpha is primary, beta is secondary and in sync.",
        PingView {
            answering: targets(&["10.0.0.254"]),
            silent: targets(&["10.0.1.1"]),
            verdict: String::new(),
        },
    );
    let mut waits = with(
        "primary-down",
        "Secondary beta is up, primary alpha is down: not failed over yet, until the ping rules allow it.",
        PingView {
            answering: Vec::new(),
            silent: targets(&["10.0.0.254", "10.0.1.1"]),
            verdict: "no failover: neither the gateway nor any of the 1 further targets answers, so this node may be the one that is cut off"
                .to_owned(),
        },
    );
    lose(&mut waits, "alpha");
    waits.node = "beta".to_owned();
    waits.quorum = false;
    if let Some(pair) = &mut waits.pair {
        pair.role = "claiming".to_owned();
        pair.primary = None;
    }
    let shown = [&calm, &waits].map(|view| view.pair.as_ref().map(pair_text).unwrap_or_default());
    let text = format!(
        "{}\n\n{}\n--\n{}",
        said(&calm),
        said(&waits),
        shown.join("--\n")
    );
    compare("pair-pings", &text);
}
