//! Words that do not belong: the outside world in pure crates, work left undone, paths of one
//! machine. Textual, so that it also holds where clippy's lists do not reach.

use super::Finding;
use super::tree::{File, Tree};

/// What plain decisions cannot need. Clippy forbids the calls; this forbids naming the modules.
const IMPURE: &[&str] = &[
    "std::fs",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "ToSocketAddrs",
    "std::process",
    "std::env",
    "std::thread",
    "std::sync::Mutex",
    "std::time::Instant",
    "std::time::SystemTime",
    "tokio",
    "HashMap",
    "HashSet",
    "thread_rng",
];

/// The outside world in the sources of pure crates; tests may read their golden files.
pub(crate) fn impure(tree: &Tree) -> Vec<Finding> {
    let pure = tree
        .rust()
        .filter(|file| file.path.starts_with("crates/pure/") && !file.is_test());
    pure.flat_map(|file| {
        let code = file
            .lines()
            .filter(|(_, line)| !line.trim_start().starts_with("//"));
        found(code, IMPURE, "does not belong in a pure crate")
    })
    .collect()
}

/// Notes to oneself, and tests that do not run.
pub(crate) fn unfinished(tree: &Tree) -> Vec<Finding> {
    let words = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("#[ig", "nore"),
        concat!("todo", "!("),
    ];
    tree.files
        .iter()
        .filter(|file| !is_foreign_text(file))
        .flat_map(|file| {
            found(
                file.lines(),
                &words,
                "is unfinished work: finish it or say why not",
            )
        })
        .collect()
}

/// Paths that exist on the machine of one developer only.
pub(crate) fn machine_paths(tree: &Tree) -> Vec<Finding> {
    let words = [
        concat!("/wo", "rk/"),
        concat!("/ho", "me/"),
        concat!("/ro", "ot/"),
    ];
    tree.files
        .iter()
        .flat_map(|file| found(file.lines(), &words, "is a path of one machine"))
        .collect()
}

fn is_foreign_text(file: &File) -> bool {
    file.path.starts_with("LICENSE") || file.path == "Cargo.lock"
}

fn found<'a>(
    lines: impl Iterator<Item = (String, &'a str)>,
    words: &[&str],
    why: &str,
) -> Vec<Finding> {
    lines
        .flat_map(|(place, line)| {
            let words = words.iter().filter(|word| line.contains(**word));
            words
                .map(|word| Finding::new(&place, format!("{word} {why}")))
                .collect::<Vec<_>>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(found: &[Finding]) -> Vec<&str> {
        found.iter().map(|found| found.place.as_str()).collect()
    }

    #[test]
    fn a_pure_crate_that_names_the_world_is_found() {
        let tree = Tree::of(&[
            (
                "crates/pure/a/src/a.rs",
                "//! No std::fs here.\nuse std::fs;\n",
            ),
            ("crates/pure/a/tests/golden.rs", "use std::fs;\n"),
            ("crates/edge/b/src/b.rs", "use std::fs;\n"),
        ]);
        assert_eq!(places(&impure(&tree)), ["crates/pure/a/src/a.rs:2"]);
    }

    #[test]
    fn unfinished_work_is_found_in_code_scripts_and_documents() {
        let note = format!("# {}: later\n", concat!("TO", "DO"));
        let test = format!("ok\n{}]\nfn x() {{}}\n", concat!("#[ig", "nore"));
        let tree = Tree::of(&[
            ("scripts/a", &note),
            ("a.rs", &test),
            ("b.md", "all done\n"),
        ]);
        assert_eq!(places(&unfinished(&tree)), ["scripts/a:1", "a.rs:2"]);
    }

    #[test]
    fn a_path_of_one_machine_is_found() {
        let path = format!("see {}me/project\n", concat!("/ho", "me/"));
        let tree = Tree::of(&[("docs/a.md", &path), ("docs/b.md", "see /etc/standfast\n")]);
        assert_eq!(places(&machine_paths(&tree)), ["docs/a.md:1"]);
    }
}
