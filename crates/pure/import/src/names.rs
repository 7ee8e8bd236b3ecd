//! Names that are allowed here, from names that were allowed there.
//!
//! Not for deciding what is renamed.

use std::collections::BTreeSet;

/// Longest name.
const LONGEST: usize = 63;

/// Names that are given already.
#[derive(Debug, Clone, Default)]
pub(crate) struct Names(BTreeSet<String>);

impl Names {
    /// The nearest name that is allowed and free: small letters, digits and `-`.
    pub(crate) fn fresh(&mut self, wanted: &str) -> String {
        let letters = wanted.chars().map(|letter| match letter {
            'a'..='z' | '0'..='9' => letter,
            'A'..='Z' => letter.to_ascii_lowercase(),
            _ => '-',
        });
        let plain: String = letters.collect();
        let plain: String = plain.trim_matches('-').chars().take(LONGEST).collect();
        let plain = if plain.is_empty() {
            "x".to_owned()
        } else {
            plain
        };
        let numbered = (2..).map(|number: u32| {
            let end = format!("-{number}");
            let kept: String = plain.chars().take(LONGEST - end.len()).collect();
            kept + &end
        });
        let mut candidates = std::iter::once(plain.clone()).chain(numbered);
        let found = candidates.find(|name| !self.0.contains(name));
        let name = found.unwrap_or(plain);
        self.0.insert(name.clone());
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_allowed_and_stay_apart() {
        let mut names = Names::default();
        assert_eq!(names.fresh("Node1.example.com"), "node1-example-com");
        assert_eq!(names.fresh("node1_example_com"), "node1-example-com-2");
        assert_eq!(names.fresh("__"), "x");
        let long = "a".repeat(80);
        assert_eq!(names.fresh(&long).len(), 63);
        assert_eq!(names.fresh(&long), "a".repeat(61) + "-2");
    }
}
