//! How far a change of the certificate authority is, for `status`, `doctor`, `cert` and metrics.

use super::text::utc;
use serde::Serialize;
use standfast_model::{id::NodeId, request::View};

/// A change of the authority under way.
#[derive(Clone, Debug, Serialize)]
pub struct AuthorityLine {
    /// Fingerprint of the new one.
    pub fingerprint: String,
    /// Fingerprint of the old one.
    pub old: String,
    /// 1: everybody is to trust the new one as well; 2: everybody is to use it.
    pub step: u64,
    /// Who asked.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Since when, milliseconds since 1970.
    pub since_ms: u64,
    /// Members that the step waits for.
    pub waits_for: Vec<String>,
    /// Those of them that are offline.
    pub offline: Vec<String>,
}

/// The change under way, if there is one.
pub(crate) fn line(view: &View) -> Option<AuthorityLine> {
    let state = &view.state;
    let change = state.authorities.change.as_ref()?;
    let waits = state.authority_waits_for();
    let is_offline = |node: &&&NodeId| state.nodes.get(**node).is_none_or(|known| !known.online);
    let names =
        |nodes: &mut dyn Iterator<Item = &&NodeId>| nodes.map(ToString::to_string).collect();
    Some(AuthorityLine {
        fingerprint: change.fingerprint.clone(),
        old: change.old.clone(),
        step: change.step.number(),
        by: change.by.clone(),
        reason: change.reason.clone(),
        since_ms: change.since_ms,
        offline: names(&mut waits.iter().filter(is_offline)),
        waits_for: names(&mut waits.iter()),
    })
}

/// The same as a sentence, with what to do about it.
pub(crate) fn sentence(view: &View) -> Option<String> {
    let change = view.state.authorities.change.as_ref()?;
    let line = line(view)?;
    let missing = change.step.missing();
    let waits = match line.waits_for.as_slice() {
        [] => String::from("goes on"),
        nodes => format!("waits for {} {missing}", nodes.join(", ")),
    };
    let remedy = match line.offline.as_slice() {
        [] => String::new(),
        [one] => format!(
            "; {one} is offline: bring it back, or `standfast remove {one}` if it is gone for good"
        ),
        several => format!(
            "; {} are offline: bring them back, or `standfast remove` those that are gone for good",
            several.join(", ")
        ),
    };
    Some(format!(
        "the certificate authority is being replaced (by {}, since {}): step {} of 2 {waits}{remedy}. \
         Nothing is interrupted, and it goes on by itself",
        line.by,
        utc(line.since_ms),
        line.step,
    ))
}
