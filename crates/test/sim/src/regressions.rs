//! Seeds that failed once, by name. Each is run again for ever.

use crate::run::Case;

fn passes(seed: u64) {
    let outcome = Case::of_seed(seed).run();
    assert_eq!(outcome.violation, None, "seed {seed}");
}

#[test]
fn a_first_seed() {
    passes(1);
}
