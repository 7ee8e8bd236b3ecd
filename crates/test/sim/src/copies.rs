//! Groups with copies: seeds from three million on have them in every run, and so have the runs of the planted bug that is
//! about them; some with orders and colocations besides. Everything from a stream of random numbers of its own: other
//! seeds stay what they were.

use crate::{
    fault::{Edit, Fault, Kind},
    rng::{Rng, Stream},
    scenario::Scenario,
};
use standfast_model::{
    config::{ClusterConfig, GroupConfig, ProcessConfig, ResourceKind},
    constraint::{Colocation, Sequence},
    copies::{Copied, named, role_of, written},
    id::{GroupId, ResourceId},
    plan::INFINITY,
    planted::Planted,
    time::Micros,
};
use std::collections::BTreeMap;

/// Seeds from here on have groups with copies; those below have none.
pub(crate) const SEEDS_WITH_COPIES: u64 = 3_000_000;

/// Seeds from here on have groups one copy of which is promoted.
pub(crate) const SEEDS_WITH_PROMOTED: u64 = 3_500_000;

/// Whether a planted bug is about copies: its runs all have some.
pub(crate) const fn is_about(planted: Planted) -> bool {
    matches!(
        planted,
        Planted::CopiesUncounted | Planted::PromotedUncarried
    )
}

/// Whether it is about promoted ones.
pub(crate) const fn is_about_promoted(planted: Planted) -> bool {
    matches!(planted, Planted::PromotedUncarried)
}

/// Whether groups of a run have copies.
pub(crate) fn are_in(scenario: &Scenario) -> bool {
    !scenario.config.copies.is_empty()
}

/// Gives some groups of a run of three nodes or more copies, if its seed is one of those, or `always`.
pub(crate) fn add(scenario: &mut Scenario, always: bool, promoted: bool) {
    if scenario.founders < 3 || !(always || scenario.seed >= SEEDS_WITH_COPIES) {
        return;
    }
    let mut rng = Rng::new(scenario.seed, Stream::Copies);
    let groups = scenario.groups.clone();
    for (number, group) in groups.iter().enumerate() {
        if number == 0 || rng.chance(400_000) {
            let most = rng.weighted(&[(None, 4), (Some(2), 5), (Some(1), 1), (Some(3), 2)]);
            make(&mut scenario.config, group, most.flatten());
        }
    }
    relate(&mut rng, &mut scenario.config, &groups);
    if promoted || scenario.seed >= SEEDS_WITH_PROMOTED {
        let copied = scenario.config.copies.groups.values_mut();
        copied.for_each(|copied| copied.promoted = true);
        scenario.tells_of_links = true;
        follow_promoted(&mut rng, &mut scenario.config, &groups);
    }
    scenario.config.spread_copies();
    number_anew(scenario);
}

/// Takes a group out of a configuration, and puts it back with copies. An address cannot be in it.
fn make(config: &mut ClusterConfig, id: &GroupId, most: Option<u32>) {
    let Some(group) = config.groups.remove(id) else {
        return;
    };
    let mut resources = BTreeMap::new();
    for member in &group.members {
        let Some(mut settings) = config.resources.remove(member) else {
            continue;
        };
        if matches!(settings.kind, ResourceKind::Vip(_)) {
            settings.kind = ResourceKind::Process(ProcessConfig {
                command: vec!["serve".to_owned()],
                start_timeout: Micros::from_millis(5_000),
                stop_timeout: Micros::from_millis(1_000),
                stop_signal: 15,
                private_pids: true,
                ..ProcessConfig::default()
            });
        }
        resources.insert(member.clone(), settings);
    }
    let copied = Copied {
        most,
        promoted: false,
        group,
        resources,
    };
    config.copies.groups.insert(id.clone(), copied);
}

/// One after the other, and where the other one is: of two groups at least one has copies.
fn relate(rng: &mut Rng, config: &mut ClusterConfig, groups: &[GroupId]) {
    for (number, group) in groups.iter().enumerate().skip(1) {
        let other = &groups[rng.index(number)];
        let all = &config.copies.groups;
        let copied = |id: &GroupId| all.contains_key(id);
        if !(copied(group) || copied(other)) {
            continue;
        }
        let both = copied(group) && copied(other);
        // What is apart from copies on every node would run nowhere, and turns of two go node by node.
        if rng.chance(400_000) && !both {
            let colocation = Colocation {
                group: group.clone(),
                with: other.clone(),
                score: if copied(other) { INFINITY } else { 300 },
            };
            let colocations = &mut config.copies.constraints.colocations;
            colocations.insert(group.to_string(), colocation);
        }
        if rng.chance(400_000) && !both {
            let sequence = Sequence {
                first: other.clone(),
                then: group.clone(),
                optional: rng.chance(150_000),
                one_way: rng.chance(150_000),
            };
            let sequences = &mut config.copies.constraints.sequences;
            sequences.insert(format!("{other}-{group}"), sequence);
        }
    }
}

/// What has no copies is where the promoted one is, and starts after it, as an address does.
fn follow_promoted(rng: &mut Rng, config: &mut ClusterConfig, groups: &[GroupId]) {
    let Some(role) = config.copies.groups.keys().next() else {
        return;
    };
    let role = GroupId::from(role_of(role.as_str()));
    let named = |config: &ClusterConfig, group: &GroupId| {
        let constraints = &config.copies.constraints;
        let colocations = constraints.colocations.values();
        colocations
            .flat_map(|one| [&one.group, &one.with])
            .any(|id| id == group)
            || constraints.sequences.values().any(|one| one.then == *group)
    };
    let single = groups
        .iter()
        .filter(|group| config.groups.contains_key(*group));
    let single: Vec<GroupId> = single
        .filter(|group| !named(config, group))
        .cloned()
        .collect();
    for group in single {
        if !rng.chance(500_000) {
            continue;
        }
        let colocation = Colocation {
            group: group.clone(),
            with: role.clone(),
            score: INFINITY,
        };
        let constraints = &mut config.constraints;
        constraints
            .colocations
            .insert(format!("{group}-promoted"), colocation);
        let sequence = Sequence {
            first: role.clone(),
            then: group.clone(),
            optional: false,
            one_way: false,
        };
        constraints
            .sequences
            .insert(format!("promoted-{group}"), sequence);
    }
}

/// Resources of every machine that may ever belong to the cluster.
fn number_anew(scenario: &mut Scenario) {
    let mut all = scenario.config.clone();
    for node in 0..scenario.nodes {
        let name = Scenario::node_name(node);
        all.nodes.entry(name).or_default();
    }
    all.spread_copies();
    let old: Vec<(ResourceId, (u64, u64))> = scenario
        .resources
        .iter()
        .cloned()
        .zip(scenario.takes.iter().copied())
        .collect();
    let mut numbered = Vec::new();
    for (name, takes) in old {
        if all.resources.contains_key(&name) {
            numbered.push((name, takes));
            continue;
        }
        for node in all.nodes.keys() {
            let copy = ResourceId::from(named(name.as_str(), node));
            if all.resources.contains_key(&copy) {
                numbered.push((copy, takes));
            }
        }
        let role = ResourceId::from(role_of(name.as_str()));
        if all.resources.contains_key(&role) {
            numbered.push((role, takes));
        }
    }
    (scenario.resources, scenario.takes) = numbered.into_iter().unzip();
    scenario.groups = scenario.config.groups.keys().cloned().collect();
}

/// What is left out of such a run: single members are not what copies are made of.
pub(crate) const fn excuses(fault: &Fault) -> bool {
    matches!(
        fault.kind,
        Kind::Apply(Edit::Resource(_) | Edit::Regroup(_) | Edit::Command(_))
    )
}

/// What an operator changes in the file about a group with copies; false where it has none.
pub(crate) fn edit(
    config: &mut ClusterConfig,
    scenario: &Scenario,
    (group, edit): (&GroupId, Edit),
) -> bool {
    let group = GroupId::from(written(group.as_str()));
    let Some(known) = scenario.config.copies.groups.get(&group) else {
        return false;
    };
    let groups = &mut config.copies.groups;
    match (edit, groups.get_mut(&group)) {
        (Edit::Prefer(number), Some(copied)) => {
            let others = [Some(1), Some(2), None, Some(3)];
            copied.most = others[number % others.len()];
        }
        (Edit::Maintenance(_), Some(copied)) => {
            let settings: &mut GroupConfig = &mut copied.group;
            settings.maintenance = !settings.maintenance;
        }
        (Edit::Group(_), Some(_)) => {
            groups.remove(&group);
        }
        (Edit::Group(_), None) => {
            groups.insert(group, known.clone());
        }
        _ => {}
    }
    config.spread_copies();
    true
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
    fn as_many_run_as_are_to_whatever_fails() {
        let (mut beside, mut instead) = (0, 0);
        for seed in SEEDS_WITH_COPIES..SEEDS_WITH_COPIES + 8 {
            let outcome = short(Case::of_seed(seed)).run();
            assert_eq!(outcome.violation, None, "seed {seed}");
            beside += outcome.coverage.of(Hit::CopyBeside);
            instead += outcome.coverage.of(Hit::CopyInstead);
        }
        assert!(beside > 0 && instead > 0, "{beside} {instead}");
    }

    #[test]
    fn one_copy_is_promoted_whatever_fails() {
        let (mut promoted, mut elsewhere) = (0, 0);
        for seed in SEEDS_WITH_PROMOTED..SEEDS_WITH_PROMOTED + 8 {
            let outcome = short(Case::of_seed(seed)).run();
            assert_eq!(outcome.violation, None, "seed {seed}");
            promoted += outcome.coverage.of(Hit::Promoted);
            elsewhere += outcome.coverage.of(Hit::PromotedElsewhere);
        }
        assert!(promoted > 0 && elsewhere > 0, "{promoted} {elsewhere}");
    }

    #[test]
    fn what_does_not_count_copies_is_caught() {
        is_caught(Planted::CopiesUncounted);
    }

    #[test]
    fn what_promotes_without_a_copy_is_caught() {
        is_caught(Planted::PromotedUncarried);
    }

    fn is_caught(planted: Planted) {
        let caught = (0..20).find_map(|seed| {
            let wrong = Case {
                planted: Some(planted),
                ..short(directed::case(planted, seed))
            };
            wrong.run().violation
        });
        let by = caught.map(|violation| violation.invariant);
        assert_eq!(by.as_ref(), breaks(planted).first());
    }
}
