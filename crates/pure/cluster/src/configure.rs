//! How commands change the configuration, its history and the drafts. Part of `apply`: pure, the same on
//! every node, bounded.

use crate::{
    apply::{Entry, forget_removed_resources, refuse},
    failures,
};
use standfast_model::{
    config::ClusterConfig,
    history::{
        ConfigRecord, DRAFT_TEXTS_LIMIT, DRAFTS_LIMIT, Draft, REASON_LIMIT, RECORD_TEXTS_LIMIT,
        RECORDS_LIMIT, is_draft_name,
    },
    request::{Refusal, RefusalKind},
    state::ClusterState,
};

/// Who does it, and why.
#[derive(Clone, Copy, Debug)]
pub(crate) struct By<'c> {
    pub(crate) author: &'c str,
    pub(crate) reason: &'c str,
}

impl By<'_> {
    /// The words after what was done.
    pub(crate) fn because(self) -> String {
        let reason = clean(self.reason);
        if reason.is_empty() {
            String::new()
        } else {
            format!(": {reason}")
        }
    }
}

/// A reason as it is kept: one line, not too long, nothing that moves a terminal's cursor.
pub(crate) fn clean(reason: &str) -> String {
    let line = reason.chars().map(|c| if c.is_control() { ' ' } else { c });
    let line: String = line.take(REASON_LIMIT).collect();
    line.trim().to_owned()
}

/// A configuration with its text, and the version that its author saw.
#[derive(Clone, Copy, Debug)]
pub(crate) struct New<'c> {
    pub(crate) config: &'c ClusterConfig,
    pub(crate) text: &'c str,
    pub(crate) based_on: u64,
    pub(crate) draft: Option<&'c str>,
}

/// Puts a configuration in force.
pub(crate) fn configure(
    state: &mut ClusterState,
    entry: &mut Entry,
    new: New<'_>,
    by: By<'_>,
) -> Result<(), Refusal> {
    if new.based_on != state.config_version {
        return Err(stale(new.based_on, state.config_version));
    }
    let before = std::mem::replace(&mut state.config_text, new.text.to_owned());
    if let Some(record) = state.config_history.back_mut()
        && record.version == state.config_version
    {
        record.text = Some(before);
    }
    watch_from(state, new.config);
    remember_removed(state, new.config);
    failures::reconfigured(state, entry, new.config);
    state.config = new.config.clone();
    state.config_version += 1;
    state.config_history.push_back(ConfigRecord {
        version: state.config_version,
        index: entry.index,
        wall_ms: entry.wall_ms,
        author: by.author.to_owned(),
        reason: clean(by.reason),
        text: None,
    });
    trim(state);
    forget_removed_resources(state);
    let mut text = format!(
        "configuration version {} applied by {}",
        state.config_version, by.author
    );
    if let Some(draft) = new.draft
        && state.drafts.remove(draft).is_some()
    {
        text.push_str(&format!(", from the draft {draft}"));
    }
    text.push_str(&by.because());
    entry.write(state, "config", text, Vec::new());
    Ok(())
}

/// What goes from the configuration is known until nobody may be running it.
pub(crate) fn remember_removed(state: &mut ClusterState, config: &ClusterConfig) {
    for (resource, old) in &state.config.resources {
        if state.may_hold.contains_key(resource) {
            state.removed.insert(resource.clone(), old.kind.clone());
        }
    }
    let configured = &config.resources;
    state
        .removed
        .retain(|resource, _| !configured.contains_key(resource));
}

/// What is observed begins where everything is at present, and is of no use once the cluster acts.
fn watch_from(state: &mut ClusterState, config: &ClusterConfig) {
    if !config.observes() {
        state.observed.clear();
    } else if !state.config.observes() {
        let groups = state.plan.groups.iter();
        state.observed = groups
            .map(|(group, assignment)| (group.clone(), assignment.node.clone()))
            .collect();
    }
}

/// What is old goes: first texts, then who and when.
fn trim(state: &mut ClusterState) {
    while state.config_history.len() > RECORDS_LIMIT {
        state.config_history.pop_front();
    }
    let mut bytes = 0;
    for record in state.config_history.iter_mut().rev() {
        bytes += record.text.as_ref().map_or(0, String::len);
        if bytes > RECORD_TEXTS_LIMIT {
            record.text = None;
        }
    }
}

fn stale(based_on: u64, in_force: u64) -> Refusal {
    refuse(
        RefusalKind::Stale,
        format!(
            "the configuration has changed since you read it: yours is based on version {based_on}, \
             version {in_force} is in force; look at the difference with `plan` and apply again"
        ),
    )
}

/// Saves a draft, or throws it away.
pub(crate) fn draft(
    state: &mut ClusterState,
    entry: &mut Entry,
    (name, text): (&str, Option<&str>),
    by: By<'_>,
) -> Result<(), Refusal> {
    check_draft(state, name, text)?;
    let done = match text {
        Some(text) => {
            let draft = Draft {
                text: text.to_owned(),
                based_on: state.config_version,
                wall_ms: entry.wall_ms,
                author: by.author.to_owned(),
                reason: clean(by.reason),
            };
            state.drafts.insert(name.to_owned(), draft);
            "saved"
        }
        None => {
            state.drafts.remove(name);
            "thrown away"
        }
    };
    let text = format!("draft {name} {done} by {}{}", by.author, by.because());
    entry.write(state, "config", text, Vec::new());
    Ok(())
}

fn check_draft(state: &ClusterState, name: &str, text: Option<&str>) -> Result<(), Refusal> {
    let Some(text) = text else {
        return match state.drafts.contains_key(name) {
            true => Ok(()),
            false => Err(no_draft(state, name)),
        };
    };
    if !is_draft_name(name) {
        return Err(refuse(
            RefusalKind::Invalid,
            format!("\"{name}\" is no name of a draft; allowed: 1 to 63 letters, digits and - _ ."),
        ));
    }
    let others = state.drafts.iter().filter(|(known, _)| *known != name);
    let (count, bytes) = others.fold((0, text.len()), |(count, bytes), (_, draft)| {
        (count + 1, bytes + draft.text.len())
    });
    if count >= DRAFTS_LIMIT || bytes > DRAFT_TEXTS_LIMIT {
        let text = format!(
            "there is no room for this draft: {DRAFTS_LIMIT} drafts and {} KiB of them together are kept; \
             throw some away with `config draft drop`",
            DRAFT_TEXTS_LIMIT / 1024
        );
        return Err(refuse(RefusalKind::Invalid, text));
    }
    Ok(())
}

/// There is no such draft, but others.
pub(crate) fn no_draft(state: &ClusterState, name: &str) -> Refusal {
    let names: Vec<&str> = state.drafts.keys().map(String::as_str).collect();
    let there = if names.is_empty() {
        String::from("there are none")
    } else {
        format!("drafts are: {}", names.join(", "))
    };
    refuse(
        RefusalKind::NoSuchItem,
        format!("there is no draft {name}; {there}"),
    )
}
