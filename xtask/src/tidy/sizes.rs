//! Files stay short enough to be read, and say what they are for. Lengths of functions are clippy's.

use super::Finding;
use super::tree::{File, Tree};

const MOST_LINES: usize = 600;
const MOST_TEST_LINES: usize = 1000;

/// Rust files that are too long.
pub(crate) fn too_long(tree: &Tree) -> Vec<Finding> {
    tree.rust()
        .filter_map(|file| {
            let most = if file.is_test() {
                MOST_TEST_LINES
            } else {
                MOST_LINES
            };
            let lines = file.text.lines().count();
            (lines > most).then(|| {
                Finding::new(
                    &file.path,
                    format!("{lines} lines, at most {most}: split it"),
                )
            })
        })
        .collect()
}

/// Rust files that do not begin by saying what they are for.
pub(crate) fn without_module_docs(tree: &Tree) -> Vec<Finding> {
    tree.rust()
        .filter(|file| !begins_with_docs(file))
        .map(|file| Finding::new(&file.path, "does not begin with //! (what it is for)"))
        .collect()
}

fn begins_with_docs(file: &File) -> bool {
    file.text.starts_with("//! ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_is_found_and_a_long_test_may_be_longer() {
        let long = "//! x\n".repeat(601);
        let longer = "//! x\n".repeat(1001);
        let tree = Tree::of(&[
            ("crates/a/src/a.rs", &long),
            ("crates/a/tests/a.rs", &long),
            ("crates/a/tests/b.rs", &longer),
            ("docs/a.md", &longer),
        ]);
        let places: Vec<String> = too_long(&tree)
            .into_iter()
            .map(|found| found.place)
            .collect();
        assert_eq!(places, ["crates/a/src/a.rs", "crates/a/tests/b.rs"]);
    }

    #[test]
    fn a_module_without_a_purpose_is_found() {
        let tree = Tree::of(&[
            ("a.rs", "//! Says it.\n"),
            ("b.rs", "use std::fmt;\n"),
            ("d.rs", ""),
        ]);
        let found = without_module_docs(&tree);
        let places: Vec<&str> = found.iter().map(|found| found.place.as_str()).collect();
        assert_eq!(places, ["b.rs", "d.rs"]);
    }
}
