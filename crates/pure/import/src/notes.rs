//! Notes: what the result does not say, and whole sections that have nothing like them here.
//!
//! Not for what single resources and constraints leave unsaid: that is noted where they are read.

use std::fmt;

use serde::Serialize;

use crate::{
    draft::Draft,
    source::{Source, Xml, child, children},
};

/// What a note is about; the order in which notes are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sort {
    /// The source says it, the result does not.
    NotExpressed,
    /// The result says something that is not quite the same.
    Changed,
    /// Something to be done before the result is of use.
    ToDo,
    /// It is so here without being said, or Pacemaker wrote it for itself.
    NotNeeded,
}

impl Sort {
    /// As people read it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotExpressed => "not expressed",
            Self::Changed => "changed",
            Self::ToDo => "to do",
            Self::NotNeeded => "not needed",
        }
    }
}

/// Something that the result does not say, or says otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// What it is about.
    pub sort: Sort,
    /// The thing in the source: an id, and what it is.
    pub what: String,
    /// Why, and what to do instead.
    pub reason: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.sort.name(), self.what, self.reason)
    }
}

/// Sections and parts of them that have nothing like them here.
pub(crate) fn note_the_rest(source: &Source<'_>, draft: &mut Draft) {
    for section in source.configuration.children().filter(Xml::is_element) {
        match section.tag_name().name() {
            "crm_config" | "nodes" | "resources" | "constraints" | "rsc_defaults"
            | "fencing-topology" => {}
            "op_defaults" => note_defaults(section, draft),
            "alerts" => each(
                section,
                draft,
                "alert",
                "there are no alert scripts here; watch metrics or `standfast check`",
            ),
            "acls" => each(
                section,
                draft,
                "access rule",
                "access goes by the group in /etc/standfast/node.toml",
            ),
            "tags" => each(
                section,
                draft,
                "tag",
                "there are no tags; constraints on it were taken for its members",
            ),
            other => draft.not_expressed(other, "there is no such section here"),
        }
    }
    for rule in source.configuration.descendants() {
        let within = rule.parent().map_or("", |parent| parent.tag_name().name());
        if rule.has_tag_name("rule") && within.ends_with("_attributes") {
            let id = rule.attribute("id").unwrap_or("rule");
            draft.changed(
                id,
                "values that change by rule are not there; taken was what holds now",
            );
        }
    }
}

fn each(section: Xml<'_>, draft: &mut Draft, what: &str, reason: &str) {
    for element in section.children().filter(Xml::is_element) {
        let id = element.attribute("id").unwrap_or("without id");
        draft.not_expressed(&format!("{id} ({what})"), reason);
    }
}

/// Times of operations count where a resource has such an operation; other defaults do not.
fn note_defaults(section: Xml<'_>, draft: &mut Draft) {
    for block in children(section, "meta_attributes") {
        for pair in children(block, "nvpair") {
            let name = pair.attribute("name").unwrap_or_default();
            let value = pair.attribute("value").unwrap_or_default();
            let what = format!("{name}={value} (default of operations)");
            if name == "timeout" {
                draft.not_needed(
                    &what,
                    "taken for starts and stops that have no time of their own",
                );
            } else {
                draft.not_expressed(&what, "operations have no such setting here");
            }
        }
    }
    if let Some(other) = child(section, "instance_attributes") {
        let id = other.attribute("id").unwrap_or("op_defaults");
        draft.not_expressed(id, "operations have no parameters here");
    }
}
