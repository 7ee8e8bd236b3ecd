//! Documents that name paths and identifiers of this repository keep up with it. What they say about
//! them is for readers to check.

use std::collections::BTreeSet;

use super::Finding;
use super::tree::{File, Tree};

/// Files of the repository whose names documents may use without a folder.
const FILE_ENDINGS: &[&str] = &[".rs", ".md", ".toml"];

/// Paths in backticks and link targets that are not there.
pub(crate) fn missing_paths(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in documents(tree) {
        for (place, line) in prose(file) {
            let named = code_spans(line)
                .into_iter()
                .filter(|span| looks_like_path(tree, span));
            let missing = named.filter(|path| !is_there(tree, path));
            found.extend(missing.map(|path| Finding::new(&place, format!("there is no {path}"))));
            let targets = link_targets(line)
                .into_iter()
                .map(|link| relative(&file.path, link));
            let missing = targets.filter(|path| !tree.has(path));
            found.extend(missing.map(|path| Finding::new(&place, format!("links to no {path}"))));
        }
    }
    found
}

/// Identifiers in backticks that are nowhere in the code. A name counts as an identifier of ours if
/// it looks like one: `CamelCase` of two humps, a `path::to`, a `call()`, or `snake_case`.
pub(crate) fn missing_identifiers(tree: &Tree) -> Vec<Finding> {
    let words: BTreeSet<&str> = tree
        .files
        .iter()
        .filter(|file| !file.is_markdown() && !file.path.starts_with("xtask/src/tidy/"))
        .flat_map(|file| file.text.split(|c: char| !is_word(c)))
        .collect();
    let mut found = Vec::new();
    for file in documents(tree) {
        for (place, line) in prose(file) {
            for span in code_spans(line) {
                let Some(names) = identifiers(span) else {
                    continue;
                };
                let missing = names.iter().find(|name| !words.contains(**name));
                found.extend(missing.map(|name| {
                    Finding::new(
                        &place,
                        format!("{name} (in `{span}`) is nowhere in the code"),
                    )
                }));
            }
        }
    }
    found
}

/// What describes the present; the changelog and decision records keep names that are gone.
fn documents(tree: &Tree) -> impl Iterator<Item = &File> {
    tree.files.iter().filter(|file| {
        file.is_markdown()
            && file.path != "CHANGELOG.md"
            && !file.path.starts_with("docs/decisions/")
    })
}

/// Lines outside of fenced blocks, which hold commands and their output.
fn prose(file: &File) -> impl Iterator<Item = (String, &str)> {
    let mut fenced = false;
    file.lines().filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    })
}

fn code_spans(line: &str) -> Vec<&str> {
    line.split('`').skip(1).step_by(2).collect()
}

fn link_targets(line: &str) -> Vec<&str> {
    let targets = line
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', '#', ' ']).next());
    targets
        .filter(|target| !target.is_empty() && !target.contains(':'))
        .collect()
}

/// A link target as a path from the root.
fn relative(document: &str, target: &str) -> String {
    let folder = document.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    parts.join("/")
}

fn looks_like_path(tree: &Tree, span: &str) -> bool {
    let plain = span.chars().all(|c| is_word(c) || "./-".contains(c));
    let Some((first, _)) = span.split_once('/') else {
        return plain
            && FILE_ENDINGS
                .iter()
                .any(|end| span.ends_with(end) && span != *end);
    };
    plain && !first.is_empty() && tree.has(first)
}

/// A path from the root, or a file name that is somewhere.
fn is_there(tree: &Tree, path: &str) -> bool {
    let name = format!("/{path}");
    tree.has(path) || (!path.contains('/') && tree.files.iter().any(|f| f.path.ends_with(&name)))
}

/// The parts of something that looks like an identifier of Rust code.
fn identifiers(span: &str) -> Option<Vec<&str>> {
    let path = span.strip_suffix("()").unwrap_or(span);
    let parts: Vec<&str> = path.split("::").collect();
    let words = parts
        .iter()
        .all(|part| !part.is_empty() && part.chars().all(is_word));
    let rust_like = span.ends_with("()") || parts.len() > 1 || is_camel(path) || is_snake(path);
    (words && rust_like && parts.first() != Some(&"std")).then_some(parts)
}

fn is_camel(word: &str) -> bool {
    let humps = word.chars().filter(char::is_ascii_uppercase).count();
    let lower = word.chars().filter(char::is_ascii_lowercase).count();
    word.starts_with(|c: char| c.is_ascii_uppercase())
        && humps >= 2
        && lower > humps
        && !word.contains('_')
}

/// With a letter in front: `_ms` is an ending, not a name.
fn is_snake(word: &str) -> bool {
    let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    word.contains('_')
        && word.starts_with(|c: char| c.is_ascii_lowercase())
        && word.chars().all(lower)
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(found: Vec<Finding>) -> Vec<String> {
        found
            .into_iter()
            .map(|found| format!("{} {}", found.place, found.what))
            .collect()
    }

    #[test]
    fn a_path_that_is_gone_is_found() {
        let tree = Tree::of(&[
            ("crates/pure/cluster/src/step.rs", ""),
            (
                "docs/tour.md",
                "See `crates/pure/cluster/src/step.rs`, `step.rs` and `crates/pure/`.\n\
                 Gone: `crates/pure/cluster/src/old.rs` and `old.rs`.\n\
                 Not ours: `/etc/standfast/x.toml`, `etcd/raft.go`, `https://example.org/a.md`.\n\
                 [here](../crates/pure) and [there](gone.md#top), [web](https://example.org)\n\
                 ```\ncat `nothing.rs`\n```\n",
            ),
        ]);
        assert_eq!(
            what(missing_paths(&tree)),
            [
                "docs/tour.md:2 there is no crates/pure/cluster/src/old.rs",
                "docs/tour.md:2 there is no old.rs",
                "docs/tour.md:4 links to no docs/gone.md",
            ]
        );
    }

    #[test]
    fn an_identifier_that_is_gone_is_found() {
        let tree = Tree::of(&[
            (
                "a.rs",
                "struct ClusterState; fn on_grant() {} mod step { fn apply() {} }",
            ),
            (
                "README.md",
                "`ClusterState`, `on_grant`, `step::apply()`, `plan`, `IPv6`, `NFS`, `_ms`\n",
            ),
            (
                "docs/a.md",
                "`ClusterStatus`\n`on_granted`\n`step::applied`\n`gone()`\n",
            ),
            ("CHANGELOG.md", "`OldName` is gone\n"),
        ]);
        let found = missing_identifiers(&tree);
        let places: Vec<&str> = found.iter().map(|found| found.place.as_str()).collect();
        assert_eq!(
            places,
            ["docs/a.md:1", "docs/a.md:2", "docs/a.md:3", "docs/a.md:4"]
        );
    }
}
