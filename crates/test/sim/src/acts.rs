//! Draws what operators do while things go wrong, each act from a stream of its own: a run without them
//! stays as it was. What an act does to the world: `world::operator`.

use crate::{
    fault::{Edit, Fault, Kind, Target},
    rng::{Rng, Stream},
    scenario::Scenario,
    schedule::{Family, of_family},
};
use standfast_model::FEATURE_LEVEL;

const MS: u64 = 1_000;
const SECOND: u64 = 1_000_000;

/// What goes wrong just when an operator does something.
const BESIDE: [Family; 6] = [
    Family::Process,
    Family::Power,
    Family::Pause,
    Family::Partition,
    Family::Disk,
    Family::Resource,
];

/// Feature level of the programs that a run begins with: in each fourth one the previous one.
pub(crate) fn first_level(seed: u64) -> u32 {
    let old = Rng::new(seed, Stream::Levels).chance(250_000);
    FEATURE_LEVEL - u32::from(old)
}

/// The acts of a run, and what goes wrong beside them.
pub(crate) fn draw(scenario: &Scenario) -> Vec<Fault> {
    let mut rng = Rng::new(scenario.seed, Stream::Acts);
    let span = scenario.quiet_from.saturating_sub(10 * SECOND);
    let mut acts = Vec::new();
    if scenario.first_level < FEATURE_LEVEL {
        acts.extend(upgrade(&mut rng, scenario, span));
    }
    for _ in 0..rng.range(2, 9) {
        let at = 8 * SECOND + rng.below(span);
        let mut act = one(&mut rng, scenario, at);
        if act.kind == Kind::Remove {
            // It takes a while until a node runs nothing, and until it may be removed.
            act.duration += rng.spread(2 * SECOND, 30 * SECOND);
        }
        acts.push(act);
        if comes_back(act.kind) {
            // The same act again takes it back.
            let later = at + rng.spread(SECOND, 40 * SECOND);
            acts.push(Fault { at: later, ..act });
        }
        if rng.chance(500_000) {
            let family = BESIDE[rng.index(BESIDE.len())];
            let near = (at + rng.spread(MS, 4 * SECOND)).saturating_sub(SECOND);
            let mut beside = of_family(&mut rng, scenario, family, near);
            if rng.chance(300_000) {
                beside.target = act.target;
            }
            acts.push(beside);
        }
    }
    acts
}

/// An upgrade of all machines, with what needs the new level and what takes it back all around it.
fn upgrade(rng: &mut Rng, scenario: &Scenario, span: u64) -> Vec<Fault> {
    let at = 8 * SECOND + rng.below(span / 2);
    let act = |at, kind, target| Fault {
        at,
        duration: 10 * SECOND,
        target,
        kind,
    };
    let mut acts = vec![act(at, Kind::Upgrade, Target::Leader)];
    for _ in 0..rng.range(2, 8) {
        let when = at + rng.below(30 * SECOND);
        let kind = match rng.below(5) {
            0 => Kind::Join,
            1 => Kind::Apply(Edit::Observe),
            2 => Kind::Draft,
            3 => Kind::Remove,
            _ => Kind::Downgrade,
        };
        let target = Target::Node(rng.index(scenario.nodes));
        acts.push(act(when, kind, target));
    }
    acts
}

/// One act.
pub(crate) fn one(rng: &mut Rng, scenario: &Scenario, at: u64) -> Fault {
    let target = match rng.below(3) {
        0 => Target::Leader,
        1 => Target::Holder(rng.index(scenario.resources.len())),
        _ => Target::Node(rng.index(scenario.nodes)),
    };
    Fault {
        at,
        duration: rng.spread(50 * MS, 20 * SECOND),
        target,
        kind: kind(rng, scenario),
    }
}

fn kind(rng: &mut Rng, scenario: &Scenario) -> Kind {
    let group = rng.index(scenario.groups.len());
    let resource = rng.index(scenario.resources.len());
    match rng.below(15) {
        13 => Kind::Downgrade,
        14 => Kind::Draft,
        10..=12 => Kind::Remove,
        0..=2 => Kind::AskRestart,
        3 => Kind::Leave,
        4 => Kind::Apply(Edit::Observe),
        5 => Kind::Apply(Edit::MaintenanceOfAll),
        6 => Kind::Apply(Edit::Resource(group)),
        7 => Kind::Apply(Edit::Regroup(group)),
        8 => Kind::Apply(Edit::Command(resource)),
        _ => Kind::Apply(Edit::Profile),
    }
}

/// What is meant to last for a while only.
const fn comes_back(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Apply(Edit::Observe | Edit::MaintenanceOfAll | Edit::Resource(_) | Edit::Group(_))
    )
}
