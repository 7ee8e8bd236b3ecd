//! Attributes of nodes, and locations that ask for them: seeds from two and a half million on, below three, have them, and so
//! have the runs of the planted bug that is about them. Operators change both while faults strike. Everything from streams of
//! random numbers of its own: other seeds stay what they were.

use crate::{
    copies::SEEDS_WITH_COPIES,
    fault::{Edit, Fault, Kind, Target},
    rng::{Rng, Stream},
    scenario::Scenario,
};
use standfast_model::{
    attribute::{Comparison, Test},
    config::ClusterConfig,
    constraint::Location,
    id::{GroupId, NodeId},
    plan::INFINITY,
    planted::Planted,
};

/// Seeds from here on, up to those with copies, have attributes and locations; others have none.
pub(crate) const SEEDS_WITH_ATTRIBUTES: u64 = 2_500_000;
const SEEDS: std::ops::Range<u64> = SEEDS_WITH_ATTRIBUTES..SEEDS_WITH_COPIES;

const MS: u64 = 1_000;
const SECOND: u64 = 1_000_000;

/// Attributes that nodes have from the first day, with their values.
const KNOWN: [(&str, &[&str]); 4] = [
    ("rack", &["a", "B", "c"]),
    ("disk", &["ssd", "hdd"]),
    ("cores", &["4", "8", "16"]),
    ("kernel", &["5.10", "6.1", "6.10.3"]),
];
/// One that no node has at first. Where it is, nothing may be.
const CLOSED: &str = "closed";
/// The operator's last change, when all is calm again.
pub(crate) const LAST: &str = "last";

/// Whether a planted bug is about locations: its runs all have some.
pub(crate) const fn is_about(planted: Planted) -> bool {
    matches!(planted, Planted::LocationIgnored)
}

/// Whether nodes of a run have attributes that locations ask for.
pub(crate) fn are_in(scenario: &Scenario) -> bool {
    !scenario.config.constraints.locations.is_empty()
}

/// Gives nodes of a run of three or more attributes and its groups locations, if its seed is one of those, or `always`.
/// Each group is left two nodes.
pub(crate) fn add(scenario: &mut Scenario, always: bool) {
    if scenario.founders < 3 || !(always || SEEDS.contains(&scenario.seed)) {
        return;
    }
    let mut rng = Rng::new(scenario.seed, Stream::Attributes);
    let config = &mut scenario.config;
    for node in config.nodes.values_mut() {
        for (name, values) in KNOWN {
            if rng.chance(850_000) {
                let value = values[rng.index(values.len())].to_owned();
                node.attributes.insert(name.to_owned(), value);
            }
        }
    }
    for group in &scenario.groups {
        for number in 0..rng.range(0, 3) {
            let name = format!("{group}-{number}");
            let location = one(&mut rng, group);
            config.constraints.locations.insert(name, location);
        }
        while places(config, group) < 2
            && let Some(name) = a_forbidding(config, group)
        {
            config.constraints.locations.remove(&name);
        }
        let closed = Location {
            group: group.clone(),
            tests: vec![(CLOSED.to_owned(), Test::Defined(true))],
            score: -INFINITY,
        };
        let name = format!("{group}-{CLOSED}");
        config.constraints.locations.insert(name, closed);
    }
}

/// A location: forbidden where something is so, or where it is not so (required), or better or worse there.
fn one(rng: &mut Rng, group: &GroupId) -> Location {
    let scores = [
        (-INFINITY, 5),
        (INFINITY, 1),
        (200, 3),
        (-200, 2),
        (1000, 1),
    ];
    let mut tests = vec![test(rng)];
    if rng.chance(250_000) {
        tests.push(test(rng));
    }
    Location {
        group: group.clone(),
        tests,
        score: rng.weighted(&scores).unwrap_or(200),
    }
}

fn test(rng: &mut Rng) -> (String, Test) {
    let (name, values) = KNOWN[rng.index(KNOWN.len())];
    let value = values[rng.index(values.len())].to_owned();
    let comparisons = [
        Comparison::Below,
        Comparison::AtMost,
        Comparison::Above,
        Comparison::AtLeast,
    ];
    let comparison = comparisons[rng.index(comparisons.len())];
    let test = match (rng.below(4), name) {
        (0, _) => Test::Defined(rng.chance(300_000)),
        (1, "cores") => Test::Number(comparison, value),
        (1, "kernel") => Test::Version(comparison, value),
        (2, _) => Test::Not(vec![value]),
        _ => Test::Is(vec![value]),
    };
    (name.to_owned(), test)
}

/// How many nodes may run a group, as far as its locations go.
fn places(config: &ClusterConfig, group: &GroupId) -> usize {
    let nodes = config.nodes.iter().filter(|(_, node)| !node.witness);
    let nodes = nodes.filter(|(node, _)| forbids(config, group, node).is_none());
    nodes.count()
}

/// A location of a group that keeps it from some node.
fn a_forbidding(config: &ClusterConfig, group: &GroupId) -> Option<String> {
    let nodes = config.nodes.keys();
    nodes.filter_map(|node| forbids(config, group, node)).next()
}

/// The location that keeps a group from a node.
pub(crate) fn forbids(config: &ClusterConfig, group: &GroupId, node: &NodeId) -> Option<String> {
    let mut locations = config.locations_on(group, node);
    let found = locations.find(|(_, location)| location.score <= -INFINITY);
    found.map(|(name, _)| name.to_owned())
}

/// What operators change of attributes and locations in a run, and what goes wrong just then.
pub(crate) fn draw(scenario: &Scenario) -> Vec<Fault> {
    if !are_in(scenario) {
        return Vec::new();
    }
    let mut rng = Rng::new(scenario.seed, Stream::AttributeEdits);
    let span = scenario.quiet_from.saturating_sub(10 * SECOND);
    let mut all = Vec::new();
    for _ in 0..rng.range(6, 24) {
        let at = 8 * SECOND + rng.below(span);
        let number = rng.index(1 << 20);
        let edit = if rng.chance(600_000) {
            Edit::Attribute(number)
        } else {
            Edit::Location(number)
        };
        all.push(Fault {
            at,
            duration: MS,
            target: Target::Node(rng.index(scenario.nodes)),
            kind: Kind::Apply(edit),
        });
        if rng.chance(400_000) {
            let group = rng.index(scenario.groups.len());
            let resource = rng.index(scenario.resources.len());
            let kind = rng.weighted(&[
                (Kind::PowerLoss, 2),
                (Kind::AgentKilled, 2),
                (Kind::Pause, 1),
                (Kind::Exit(resource, 1), 3),
                (Kind::Switchover(group), 2),
            ]);
            let target = rng.weighted(&[(Target::Leader, 1), (Target::Holder(resource), 1)]);
            all.push(Fault {
                at: (at + rng.spread(MS, 4 * SECOND)).saturating_sub(SECOND / 2),
                duration: rng.spread(SECOND, 8 * SECOND),
                target: target.unwrap_or(Target::Leader),
                kind: kind.unwrap_or(Kind::AgentKilled),
            });
        }
    }
    all
}

/// What an operator changes in the file: an attribute of a node, or a location.
pub(crate) fn edit(config: &mut ClusterConfig, scenario: &Scenario, (target, edit): (usize, Edit)) {
    match edit {
        Edit::Attribute(number) => {
            let Some(node) = config.nodes.get_mut(&Scenario::node_name(target)) else {
                return;
            };
            let Some((name, values)) = KNOWN.get(number % (KNOWN.len() + 2)) else {
                if node.attributes.remove(CLOSED).is_none() {
                    let attributes = &mut node.attributes;
                    attributes.insert(CLOSED.to_owned(), "yes".to_owned());
                }
                return;
            };
            match values.get(number / 8 % (values.len() + 1)) {
                Some(value) => node
                    .attributes
                    .insert((*name).to_owned(), (*value).to_owned()),
                None => node.attributes.remove(*name),
            };
        }
        Edit::Location(number) => {
            let known = &scenario.config.constraints.locations;
            let Some((name, first)) = known.iter().nth(number % known.len().max(1)) else {
                return;
            };
            let locations = &mut config.constraints.locations;
            match (locations.get_mut(name), number / 64 % 3) {
                (Some(_), 0) => {
                    locations.remove(name);
                }
                (Some(location), 1) => location.score = -location.score,
                (Some(location), _) => location.score = -INFINITY,
                (None, _) => {
                    locations.insert(name.clone(), first.clone());
                }
            }
        }
        _ => {}
    }
}

/// Puts attributes and locations back as they were in the beginning; a machine that has joined since has none.
pub(crate) fn restore(config: &mut ClusterConfig, scenario: &Scenario) {
    for (node, settings) in &mut config.nodes {
        let known = scenario.config.nodes.get(node);
        settings.attributes = known.map_or_else(Default::default, |known| known.attributes.clone());
    }
    let known = &scenario.config.constraints.locations;
    config.constraints.locations.clone_from(known);
}

/// Whether they are as in the beginning.
pub(crate) fn are_original(config: &ClusterConfig, scenario: &Scenario) -> bool {
    let known = &scenario.config;
    let mut nodes = config.nodes.iter();
    config.constraints.locations == known.constraints.locations
        && nodes.all(|(node, settings)| {
            let known = known.nodes.get(node);
            known.map_or(settings.attributes.is_empty(), |known| {
                settings.attributes == known.attributes
            })
        })
}

/// The operator's last change: what runs on a node may not be there any more, by what is said of the node or what is asked of
/// it.
pub(crate) fn forbid(config: &mut ClusterConfig, group: &GroupId, node: &NodeId, by_node: bool) {
    if by_node {
        if let Some(node) = config.nodes.get_mut(node) {
            node.attributes.insert(CLOSED.to_owned(), LAST.to_owned());
        }
        return;
    }
    let has = config.nodes.get(node).map(|node| &node.attributes);
    let tests = has.into_iter().flatten();
    let tests = tests.map(|(name, value)| (name.clone(), Test::Is(vec![value.clone()])));
    let location = Location {
        group: group.clone(),
        tests: tests.collect(),
        score: -INFINITY,
    };
    let locations = &mut config.constraints.locations;
    locations.insert(LAST.to_owned(), location);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{coverage::Case as Hit, directed, planted::breaks, run::Case};

    /// A minute of a run.
    fn short(mut case: Case) -> Case {
        case.scenario.quiet_from = 60 * SECOND;
        case.scenario.ends = 70 * SECOND;
        case.faults.retain(|fault| fault.at < 50 * SECOND);
        case
    }

    #[test]
    fn each_group_is_left_a_node_and_some_are_kept_from_one() {
        let mut kept = 0;
        for seed in SEEDS_WITH_ATTRIBUTES..SEEDS_WITH_ATTRIBUTES + 50 {
            let scenario = Scenario::new(seed);
            if scenario.founders < 3 {
                assert!(!are_in(&scenario), "seed {seed}");
                continue;
            }
            let workers = scenario.config.nodes.values();
            let workers = workers.filter(|node| !node.witness).count();
            for group in &scenario.groups {
                let places = places(&scenario.config, group);
                assert!(places >= 2, "seed {seed}: {group} has {places}");
                kept += workers - places;
            }
        }
        assert!(kept > 20, "{kept}");
    }

    #[test]
    fn nothing_runs_where_a_location_forbids_it_whatever_fails() {
        let (mut started, mut moved, mut changed) = (0, 0, 0);
        for seed in SEEDS_WITH_ATTRIBUTES..SEEDS_WITH_ATTRIBUTES + 8 {
            let outcome = short(Case::of_seed(seed)).run();
            assert_eq!(outcome.violation, None, "seed {seed}");
            started += outcome.coverage.of(Hit::StartedWhereAllowed);
            moved += outcome.coverage.of(Hit::MovedAway);
            changed += outcome.coverage.of(Hit::AttributeChanged);
            changed += outcome.coverage.of(Hit::LocationChanged);
        }
        let all = [started, moved, changed];
        assert!(all.iter().all(|count| *count > 0), "{all:?}");
    }

    #[test]
    fn what_ignores_locations_is_caught() {
        let caught = (0..12).find_map(|seed| {
            let wrong = Case {
                planted: Some(Planted::LocationIgnored),
                ..short(directed::case(Planted::LocationIgnored, seed))
            };
            wrong.run().violation
        });
        let by = caught.map(|violation| violation.invariant);
        let broken = breaks(Planted::LocationIgnored);
        assert_eq!(by.as_ref(), broken.first());
    }
}
