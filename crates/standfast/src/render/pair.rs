//! How a pair is, as one word and one sentence. The sentence is the pair's own (crate `pair`); here it is judged, and
//! what else is wrong is put behind it.

use super::summary::{GroupLine, Health, NodeLine};
use standfast_model::{
    id::NodeId,
    pair::{PING_WARNING, PairView},
    request::View,
};

/// Judges a pair. `problems` are those of any cluster.
pub(crate) fn judge(
    pair: &PairView,
    groups: &[GroupLine],
    problems: &[String],
) -> (Health, String) {
    let down: Vec<String> = groups
        .iter()
        .filter(|group| !group.running && !group.maintenance && group.disabled_by.is_none())
        .map(|group| {
            let why = group.problem.as_deref().unwrap_or("nobody knows why");
            format!("{} is not running, because {why}", group.name)
        })
        .collect();
    let also: String = problems
        .iter()
        .map(|also| format!(" Also: {also}."))
        .collect();
    let sentence = &with_verdict(pair);
    if leads_nobody(pair) && !groups.is_empty() {
        return (Health::Outage, format!("OUTAGE: {sentence}{also}"));
    }
    if !down.is_empty() {
        let down = down.join("; ");
        return (Health::Outage, format!("OUTAGE: {down}. {sentence}{also}"));
    }
    if pair.state == "normal" && problems.is_empty() {
        return (Health::Ok, sentence.clone());
    }
    (Health::Degraded, format!("{sentence}{also}"))
}

/// The sentence, and what the ping rules say while it depends on them.
fn with_verdict(pair: &PairView) -> String {
    let verdict = pair.ping.as_ref().map_or("", |ping| &ping.verdict);
    let mut letters = verdict.chars();
    match letters.next() {
        Some(first) => {
            let first = first.to_uppercase();
            format!("{} {first}{}.", pair.sentence, letters.as_str())
        }
        None => pair.sentence.clone(),
    }
}

/// `pair show`: the sentence, and what is known of ping targets where they are the arbiter.
#[must_use]
pub fn pair_text(pair: &PairView) -> String {
    let mut text = format!("{}\n", with_verdict(pair));
    if let Some(ping) = &pair.ping {
        for (targets, said) in [
            (&ping.answering, "answering"),
            (&ping.silent, "not answering"),
        ] {
            if !targets.is_empty() {
                text.push_str(&format!("Ping targets {said}: {}\n", targets.join(", ")));
            }
        }
        text.push_str(&format!("Note: {PING_WARNING}.\n"));
    }
    text
}

/// No node is primary, as far as this one knows.
fn leads_nobody(pair: &PairView) -> bool {
    match pair.state.as_str() {
        "primary-down" | "waiting" | "starting" | "no-primary" | "changing" => true,
        "diverged" => pair.primary.is_none() && pair.role != "primary",
        _ => false,
    }
}

/// What a node is: of a pair `primary` or `secondary`, as far as that is known.
pub(crate) fn role(view: &View, name: &NodeId, role: &'static str) -> &'static str {
    let Some(pair) = &view.pair else {
        return role;
    };
    match &pair.primary {
        _ if role == "none" => role,
        Some(primary) if primary == name => "primary",
        Some(_) => "secondary",
        None => "none",
    }
}

/// A node of a pair that is not there is what the pair's sentence is about.
pub(crate) fn problem_counts(view: &View, node: &NodeLine) -> bool {
    let pair = view.state.config.pair.as_ref();
    !pair.is_some_and(|pair| {
        let of_it = pair.nodes.iter().any(|name| name.as_str() == node.name);
        of_it && (!node.online || !node.joined)
    })
}
