//! Seeds that failed once, by name. Each is run again for ever.

use crate::run::Case;

/// Each seed with what it found.
const FOUND: [(u64, &str); 3] = [
    (1, "the first seed of all"),
    (
        28,
        "that something runs was told after its end, and believed by the simulator",
    ),
    (
        215,
        "an entry that was applied and compacted in one step was missed by the simulator",
    ),
];

#[test]
fn seeds_that_failed_once_pass() {
    for (seed, found) in FOUND {
        let outcome = Case::of_seed(seed).run();
        assert_eq!(outcome.violation, None, "seed {seed}: {found}");
    }
}
