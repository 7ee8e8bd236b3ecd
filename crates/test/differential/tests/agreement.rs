//! The scheduler agrees with `crm_simulate`, feature by feature.
//!
//! Takes the first seeds of every feature; `standfast-differential --count N` takes as many as wanted.

use standfast_differential::{NOW, generate::generate, judge, knobs::FEATURES, reference};

/// Of a hundred cases, so many have to be the same.
const ENOUGH: usize = 95;

fn check(seeds: std::ops::Range<u64>) {
    assert!(
        reference::is_there(),
        "crm_simulate is missing: scripts/setup installs it"
    );
    let asked = FEATURES.len() * seeds.clone().count();
    let reports = std::thread::scope(|scope| {
        let run = |feature: &'static str| {
            let seeds = seeds.clone();
            move || count(feature, seeds)
        };
        let runs: Vec<_> = FEATURES
            .iter()
            .map(|(name, _)| scope.spawn(run(name)))
            .collect();
        runs.into_iter()
            .filter_map(|run| run.join().ok())
            .collect::<Vec<_>>()
    });
    assert_eq!(reports.len(), FEATURES.len(), "a comparison ended early");
    let total: usize = reports.iter().map(|report| report.1).sum();
    // `crm_simulate` itself refuses a case now and then.
    assert!(
        total * 100 >= asked * ENOUGH,
        "only {total} of {asked} could be compared"
    );
    let same: usize = reports.iter().map(|report| report.0).sum();
    assert!(
        same * 100 >= total * ENOUGH,
        "only {same} of {total} are the same: {reports:?}"
    );
}

/// How many are the same of how many, and which are not.
fn count(
    feature: &'static str,
    seeds: std::ops::Range<u64>,
) -> (usize, usize, &'static str, Vec<u64>) {
    let (mut same, mut total, mut different) = (0, 0, Vec::new());
    for seed in seeds {
        let Ok(differences) = judge(&generate(feature, seed).text(), NOW) else {
            continue;
        };
        total += 1;
        if differences.is_empty() {
            same += 1;
        } else {
            different.push(seed);
        }
    }
    (same, total, feature, different)
}

#[test]
fn random_clusters_end_the_same() {
    check(1..11);
}

/// Small clusters, each with a comment on what it is about.
#[test]
fn single_cases_end_the_same() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cases");
    let mut seen = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let file = file.unwrap().path();
        let text = std::fs::read_to_string(&file).unwrap();
        let differences = judge(&text, NOW);
        assert_eq!(differences, Ok(Vec::new()), "{}", file.display());
        seen += 1;
    }
    assert!(seen > 5, "only {seen} cases");
}
