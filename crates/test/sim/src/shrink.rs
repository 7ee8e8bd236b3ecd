//! Makes a failing fault schedule small: takes faults out while the same invariant still breaks.

use crate::{
    fault::Fault,
    run::{Case, Outcome},
};

/// Runs that a shrinking may take.
const RUNS: usize = 120;

/// The smallest schedule found, and its outcome.
pub(crate) fn shrink(case: &Case, first: &Outcome) -> (Case, Outcome) {
    let mut best = case.clone();
    let mut outcome = first.clone();
    let Some(violation) = &first.violation else {
        return (best, outcome);
    };
    let invariant = violation.invariant;
    // What would have come after the violation has no part in it.
    best.faults.retain(|fault| fault.at <= violation.at);
    let mut runs = 0;
    let mut chunk = best.faults.len().div_ceil(2);
    while chunk > 0 && runs < RUNS {
        let mut position = 0;
        while position < best.faults.len() && runs < RUNS {
            let fewer = without(&best.faults, position, chunk);
            let candidate = Case {
                faults: fewer,
                ..best.clone()
            };
            runs += 1;
            let tried = candidate.run();
            if tried
                .violation
                .as_ref()
                .is_some_and(|other| other.invariant == invariant)
            {
                best = candidate;
                outcome = tried;
            } else {
                position += chunk;
            }
        }
        chunk = if chunk == 1 { 0 } else { chunk.div_ceil(2) };
    }
    (best, outcome)
}

fn without(faults: &[Fault], from: usize, count: usize) -> Vec<Fault> {
    let (before, rest) = faults.split_at(from);
    before
        .iter()
        .chain(rest.iter().skip(count))
        .copied()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Kind, Target};

    #[test]
    fn a_chunk_is_taken_out() {
        let fault = |at| Fault {
            at,
            duration: 1,
            target: Target::Leader,
            kind: Kind::Pause,
        };
        let faults: Vec<Fault> = (0..5).map(fault).collect();
        let times: Vec<u64> = without(&faults, 1, 2)
            .iter()
            .map(|fault| fault.at)
            .collect();
        assert_eq!(times, [0, 3, 4]);
    }
}
