//! The result as a TOML text with comments.
//!
//! Not for what is in it.

use std::fmt::Write as _;

use standfast_scheduler::score::INFINITY;

use crate::{
    draft::{Draft, Group, Key, PROMOTED},
    source::Source,
};

/// A text as TOML.
pub(crate) fn text_value(text: &str) -> String {
    let mut written = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => written.push_str("\\\""),
            '\\' => written.push_str("\\\\"),
            '\n' => written.push_str("\\n"),
            '\t' => written.push_str("\\t"),
            letter if letter.is_control() => {
                write!(written, "\\u{:04X}", u32::from(letter)).ok();
            }
            letter => written.push(letter),
        }
    }
    written.push('"');
    written
}

/// A key as TOML.
pub(crate) fn key(name: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !name.is_empty() && name.chars().all(bare) {
        name.to_owned()
    } else {
        text_value(name)
    }
}

/// A list of texts as TOML.
pub(crate) fn list<'t>(texts: impl IntoIterator<Item = &'t str>) -> String {
    let texts: Vec<String> = texts.into_iter().map(text_value).collect();
    format!("[{}]", texts.join(", "))
}

/// The whole text.
pub(crate) fn text(source: &Source<'_>, draft: &Draft) -> String {
    let mut text = String::new();
    comment(
        &mut text,
        &format!("Made by `standfast import pacemaker` from {}.", source.file),
    );
    if draft.notes.is_empty() {
        comment(&mut text, "Everything in it is expressed.");
    } else {
        comment(
            &mut text,
            "What it could not say, says otherwise, needs or leaves out:",
        );
        comment(&mut text, "");
        for note in &draft.notes {
            comment(&mut text, &note.to_string());
        }
    }
    table(
        &mut text,
        "cluster",
        &draft.cluster_comments,
        &draft.cluster,
    );
    nodes(&mut text, draft);
    for device in &draft.devices {
        let mut keys = device.keys.clone();
        keys.insert(1, ("nodes", plugs(&device.nodes)));
        table(
            &mut text,
            &format!("fence.{}", device.name),
            &device.comments,
            &keys,
        );
    }
    for resource in &draft.resources {
        let head = format!("resources.{}", resource.name);
        table(&mut text, &head, &resource.comments, &resource.keys);
    }
    for group in &draft.groups {
        let head = format!("groups.{}", group.name);
        table(&mut text, &head, &group.comments, &keys(group));
    }
    locations(&mut text, draft);
    for (kind, all) in [("colocation", &draft.colocations), ("order", &draft.orders)] {
        for one in all {
            let head = format!("{kind}.{}", one.name);
            table(&mut text, &head, &one.comments, &one.keys);
        }
    }
    text
}

fn nodes(text: &mut String, draft: &Draft) {
    for node in &draft.nodes {
        let addresses = list(node.addresses.iter().map(String::as_str));
        let mut keys = vec![("addresses", addresses)];
        if !node.attributes.is_empty() {
            let all = node.attributes.iter();
            let all = all.map(|(name, value)| format!("{} = {}", key(name), text_value(value)));
            let all: Vec<String> = all.collect();
            keys.push(("attributes", format!("{{ {} }}", all.join(", "))));
        }
        if !node.levels.is_empty() {
            let levels = node.levels.iter();
            let levels = levels.map(|level| list(level.iter().map(String::as_str)));
            let levels: Vec<String> = levels.collect();
            keys.push(("fence_levels", format!("[{}]", levels.join(", "))));
        }
        table(text, &format!("nodes.{}", node.name), &node.comments, &keys);
    }
}

fn locations(text: &mut String, draft: &Draft) {
    for one in &draft.locations {
        let role = if one.group.ends_with(PROMOTED) {
            PROMOTED
        } else {
            ""
        };
        let Some(group) = draft
            .group_of(&one.group)
            .and_then(|at| draft.groups.get(at))
        else {
            continue;
        };
        let keys = [
            ("group", text_value(&format!("{}{role}", group.name))),
            ("where", one.asked.clone()),
            ("score", score_value(one.score)),
        ];
        table(
            text,
            &format!("location.{}", one.name),
            &one.comments,
            &keys,
        );
    }
}

fn comment(text: &mut String, line: &str) {
    let line = line.replace(char::is_control, " ");
    text.push_str(format!("# {line}").trim_end());
    text.push('\n');
}

fn table(text: &mut String, head: &str, comments: &[String], keys: &[Key]) {
    text.push('\n');
    for line in comments {
        comment(text, line);
    }
    writeln!(text, "[{head}]").ok();
    for (key, value) in keys {
        writeln!(text, "{key} = {value}").ok();
    }
}

/// Either a list of nodes, or a table with what the device calls each.
fn plugs(nodes: &[(String, Option<String>)]) -> String {
    if nodes.iter().all(|(_, plug)| plug.is_none()) {
        return list(nodes.iter().map(|(name, _)| name.as_str()));
    }
    let pairs = nodes.iter().map(|(name, plug)| {
        let plug = plug.as_deref().unwrap_or(name);
        format!("{} = {}", key(name), text_value(plug))
    });
    format!("{{ {} }}", pairs.collect::<Vec<_>>().join(", "))
}

fn keys(group: &Group) -> Vec<Key> {
    let members = list(group.members.iter().map(String::as_str));
    let mut keys = vec![("members", members)];
    keys.extend(group.copies.clone().map(|copies| ("copies", copies)));
    if group.promoted {
        keys.push(("promoted", String::from("1")));
    }
    let scores = group.prefer.iter().filter(|(_, score)| **score != 0);
    let scores: Vec<String> = scores
        .map(|(node, score)| format!("{} = {}", key(node), score_value(*score)))
        .collect();
    if !scores.is_empty() {
        keys.push(("prefer", format!("{{ {} }}", scores.join(", "))));
    }
    if group.priority != 0 {
        keys.push(("priority", group.priority.to_string()));
    }
    keys.push(("stickiness", score_value(group.stickiness)));
    keys
}

pub(crate) fn score_value(score: i32) -> String {
    if score >= INFINITY {
        text_value("INFINITY")
    } else if score <= -INFINITY {
        text_value("-INFINITY")
    } else {
        score.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted() {
        assert_eq!(text_value("a\"b\\c\n\u{1}"), r#""a\"b\\c\n\u0001""#);
        assert_eq!(key("a b"), "\"a b\"");
        assert_eq!(list(["a", "b"]), r#"["a", "b"]"#);
    }
}
