//! Constraints between the groups of a run: seeds from two million on, below two and a half, have them, and so have the runs of planted bugs that
//! are about them. Everything from a stream of random numbers of its own: other seeds stay what they were.

use crate::{
    attributes::SEEDS_WITH_ATTRIBUTES,
    copies,
    fault::{Edit, Fault, Kind},
    rng::{Rng, Stream},
    scenario::Scenario,
};
use standfast_model::{
    constraint::{Colocation, Sequence},
    id::GroupId,
    plan::INFINITY,
    planted::Planted,
};
use std::collections::BTreeSet;

/// Seeds from here on, up to those with attributes, have constraints in every run; others have none.
pub(crate) const SEEDS_WITH_CONSTRAINTS: u64 = 2_000_000;
const SEEDS: std::ops::Range<u64> = SEEDS_WITH_CONSTRAINTS..SEEDS_WITH_ATTRIBUTES;

/// Whether a planted bug is about constraints: its runs all have some.
pub(crate) const fn is_about(planted: Planted) -> bool {
    matches!(
        planted,
        Planted::OrderIgnored | Planted::OldTurnTaken | Planted::ColocationIgnored
    )
}

/// Whether groups of a run are to be together, apart, or one after the other.
pub(crate) fn are_in(scenario: &Scenario) -> bool {
    let constraints = &scenario.config.constraints;
    let some = !(constraints.colocations.is_empty() && constraints.sequences.is_empty());
    some && !copies::are_in(scenario)
}

/// Gives a run of three nodes or more constraints, if its seed is one of those, or `always`. All of them can be met as soon
/// as two nodes are there that run something.
pub(crate) fn add(scenario: &mut Scenario, always: bool) {
    if scenario.founders < 3 || !(always || SEEDS.contains(&scenario.seed)) {
        return;
    }
    let mut rng = Rng::new(scenario.seed, Stream::Constraints);
    let groups = scenario.groups.clone();
    let mut apart = BTreeSet::new();
    for (number, group) in groups.iter().enumerate().skip(1) {
        colocate(&mut rng, scenario, (&groups, number, group), &mut apart);
        if !rng.chance(650_000) {
            continue;
        }
        let sequence = Sequence {
            first: groups[rng.index(number)].clone(),
            then: group.clone(),
            optional: rng.chance(150_000),
            one_way: rng.chance(150_000),
        };
        let name = format!("{}-{group}", sequence.first);
        let sequences = &mut scenario.config.constraints.sequences;
        sequences.insert(name, sequence);
    }
}

/// Each group follows at most one before it; one that is apart from another is followed by nobody.
fn colocate(
    rng: &mut Rng,
    scenario: &mut Scenario,
    (groups, number, group): (&[GroupId], usize, &GroupId),
    apart: &mut BTreeSet<GroupId>,
) {
    let score = rng.weighted(&[
        (None, 3),
        (Some(INFINITY), 4),
        (Some(-INFINITY), 2),
        (Some(300), 1),
        (Some(-300), 1),
    ]);
    let with = groups[rng.index(number)].clone();
    let Some(score) = score.flatten().filter(|_| !apart.contains(&with)) else {
        return;
    };
    if score <= -INFINITY {
        apart.insert(group.clone());
    }
    let colocation = Colocation {
        group: group.clone(),
        with,
        score,
    };
    let colocations = &mut scenario.config.constraints.colocations;
    colocations.insert(group.to_string(), colocation);
}

/// What is left out of such a run: it would excuse what is judged, because what is left alone takes no turns.
pub(crate) const fn excuses(fault: &Fault) -> bool {
    matches!(
        fault.kind,
        Kind::Apply(
            Edit::Maintenance(_)
                | Edit::Group(_)
                | Edit::Observe
                | Edit::MaintenanceOfAll
                | Edit::Resource(_)
                | Edit::Regroup(_)
                | Edit::Profile
        )
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{coverage::Case as Hit, directed, planted::breaks, run::Case};

    const SECOND: u64 = 1_000_000;

    /// A minute of a run.
    fn short(mut case: Case) -> Case {
        case.scenario.quiet_from = 60 * SECOND;
        case.scenario.ends = 70 * SECOND;
        case.faults.retain(|fault| fault.at < 50 * SECOND);
        case
    }

    #[test]
    fn groups_take_turns_and_are_together_whatever_fails() {
        let mut started = 0;
        for seed in SEEDS_WITH_CONSTRAINTS..SEEDS_WITH_CONSTRAINTS + 6 {
            let outcome = short(Case::of_seed(seed)).run();
            assert_eq!(outcome.violation, None, "seed {seed}");
            started += outcome.coverage.of(Hit::StartedInTurn);
        }
        assert!(started > 0, "nothing was in order");
    }

    #[test]
    fn what_ignores_constraints_is_caught() {
        for planted in [
            Planted::OrderIgnored,
            Planted::OldTurnTaken,
            Planted::ColocationIgnored,
        ] {
            let caught = (0..12).find_map(|seed| {
                let wrong = Case {
                    planted: Some(planted),
                    ..short(directed::case(planted, seed))
                };
                wrong.run().violation
            });
            let by = caught.map(|violation| violation.invariant);
            assert_eq!(by.as_ref(), breaks(planted).first(), "{planted:?}");
        }
    }
}
