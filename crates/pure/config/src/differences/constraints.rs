//! What differs between the constraints of two configurations.
//!
//! Not for groups and their own preferences.

use super::{Compare, Lines, Summary, Written, score};
use standfast_model::constraint::{Colocation, Location, Sequence};

/// The lines about all constraints.
pub(super) fn differ(lines: &mut Lines, old: &Written<'_>, new: &Written<'_>) {
    let how = (location_summary as Summary<_>, location as Compare<_>);
    lines.map("location", &old.locations, &new.locations, how);
    let how = (colocation_summary as Summary<_>, colocation as Compare<_>);
    lines.map("colocation", &old.colocations, &new.colocations, how);
    let how = (sequence_summary as Summary<_>, sequence as Compare<_>);
    lines.map("order", &old.sequences, &new.sequences, how);
}

fn location_summary(one: &&Location) -> String {
    format!("{} where {}, {}", one.group, one.asks(), score(one.score))
}

fn location(lines: &mut Lines, old: &&Location, new: &&Location) {
    lines.value("group", &old.group, &new.group);
    lines.value("where", &old.asks(), &new.asks());
    lines.value("score", &score(old.score), &score(new.score));
}

fn colocation_summary(one: &&Colocation) -> String {
    format!("{} with {}, {}", one.group, one.with, score(one.score))
}

fn colocation(lines: &mut Lines, old: &&Colocation, new: &&Colocation) {
    lines.value("group", &old.group, &new.group);
    lines.value("with", &old.with, &new.with);
    lines.value("score", &score(old.score), &score(new.score));
}

fn sequence_summary(one: &&Sequence) -> String {
    format!("{} before {}", one.first, one.then)
}

fn sequence(lines: &mut Lines, old: &&Sequence, new: &&Sequence) {
    let kind = |one: &Sequence| {
        if one.optional {
            "optional"
        } else {
            "mandatory"
        }
    };
    lines.value("first", &old.first, &new.first);
    lines.value("then", &old.then, &new.then);
    lines.value("kind", &kind(old), &kind(new));
    lines.value("symmetrical", &!old.one_way, &!new.one_way);
}
