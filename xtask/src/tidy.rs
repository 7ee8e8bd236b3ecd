//! Rules that no compiler checks: sizes, module docs, dependency directions, words that do not
//! belong, and documents that name what is gone. Each rule is a function from the tree to findings.

mod dependencies;
mod documents;
mod sizes;
mod tree;
mod words;

use std::io::{self, Write};
use std::path::Path;

use crate::report::Counts;
use tree::Tree;

/// One thing to fix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Path in the repository, and for some rules the line.
    place: String,
    what: String,
}

impl Finding {
    fn new(place: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            what: what.into(),
        }
    }
}

/// All rules by name.
fn findings(root: &Path) -> io::Result<Vec<(&'static str, Vec<Finding>)>> {
    let tree = Tree::read(root)?;
    let packages = dependencies::read(root)?;
    Ok(vec![
        ("file sizes", sizes::too_long(&tree)),
        ("module docs", sizes::without_module_docs(&tree)),
        ("closure of pure crates", dependencies::impure(&packages)),
        (
            "direction of dependencies",
            dependencies::against_direction(&packages),
        ),
        ("pure words", words::impure(&tree)),
        ("unfinished work", words::unfinished(&tree)),
        ("machine paths", words::machine_paths(&tree)),
        ("paths in documents", documents::missing_paths(&tree)),
        (
            "identifiers in documents",
            documents::missing_identifiers(&tree),
        ),
    ])
}

/// Checks the repository and prints what is wrong; one count for each rule.
pub(crate) fn check(root: &Path, out: &mut impl Write) -> io::Result<Counts> {
    let mut counts = Counts::default();
    for (rule, findings) in findings(root)? {
        counts = counts.add(if findings.is_empty() {
            Counts::PASSED
        } else {
            Counts::FAILED
        });
        for Finding { place, what } in findings {
            writeln!(out, "\n{place}: {what} ({rule})")?;
        }
    }
    Ok(counts)
}

/// `xtask tidy`: as `check`, with the sum at the end.
pub(crate) fn run(root: &Path, out: &mut impl Write) -> io::Result<bool> {
    let counts = check(root, out)?;
    writeln!(out, "{counts}")?;
    Ok(counts.good())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_repository_is_tidy() {
        let mut out = Vec::new();
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let counts = check(root, &mut out).unwrap();
        assert!(counts.good(), "{}", String::from_utf8_lossy(&out));
    }
}
