//! Failures that are only imagined end as `crm_simulate --node-fail` and `--op-inject` say.

#![allow(clippy::expect_used, reason = "tests")]

use standfast_cib::When;
use standfast_differential::{
    NOW, decide, differences, generate::generate, knobs::FEATURES, reference,
};
use standfast_scheduler::{
    inject::{fail_node, fail_resource},
    input::Cluster,
};

/// Of a hundred cases, so many have to be the same.
const ENOUGH: usize = 95;

/// Three nodes with fencing; a group of two on the first one, which is checked every ten seconds.
const CASE: &str = include_str!("injected/three-nodes.xml");

fn read(text: &str) -> Cluster {
    standfast_cib::read(text, When::At(NOW)).expect("a cib")
}

/// What differs, with that edited here and asked of the reference there.
fn judge(text: &str, cluster: Cluster, options: &[&str]) -> Option<Vec<String>> {
    let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
    let theirs = reference::ask_with(text, NOW, &options).ok()?;
    let ours = decide(cluster).expect("decides");
    Some(differences(&theirs, &ours))
}

#[test]
fn a_lost_node_is_fenced_and_what_it_ran_starts_elsewhere() {
    let mut cluster = read(CASE);
    fail_node(&mut cluster, "n1").unwrap();
    let ours = decide(cluster.clone()).unwrap();
    assert_eq!(ours.fenced, ["n1"]);
    assert!(
        ours.rows
            .iter()
            .any(|row| row.resource == "web" && row.node != "n1")
    );
    assert_eq!(
        judge(CASE, cluster, &["--node-fail", "n1"]),
        Some(Vec::new())
    );
}

#[test]
fn a_failed_check_moves_a_group_at_the_threshold() {
    let mut cluster = read(CASE);
    fail_resource(&mut cluster, "ip", None).unwrap();
    let once = ["--op-inject", "ip_monitor_10000@n1=7"];
    let stays = decide(cluster.clone()).unwrap();
    assert!(
        stays
            .rows
            .iter()
            .any(|r| r.resource == "ip" && r.node == "n1")
    );
    assert_eq!(judge(CASE, cluster.clone(), &once), Some(Vec::new()));
    fail_resource(&mut cluster, "ip", None).unwrap();
    let twice = [once, once].concat();
    let moves = decide(cluster.clone()).unwrap();
    assert!(
        moves
            .rows
            .iter()
            .any(|r| r.resource == "ip" && r.node != "n1")
    );
    assert_eq!(judge(CASE, cluster, &twice), Some(Vec::new()));
}

/// Clusters of every feature, each with its first node lost, and each with a failed check of what runs.
#[test]
fn random_clusters_end_the_same() {
    let (mut same, mut total, mut different) = (0, 0, Vec::new());
    for (feature, _) in FEATURES {
        let text = generate(feature, 1).text();
        for (name, result) in [("node", node(&text)), ("check", check(&text))] {
            let Some(found) = result else { continue };
            total += 1;
            same += usize::from(found.is_empty());
            if !found.is_empty() {
                different.push((feature, name, found));
            }
        }
    }
    assert!(total > FEATURES.len(), "only {total} could be compared");
    assert!(
        same * 100 >= total * ENOUGH,
        "only {same} of {total}: {different:#?}"
    );
}

fn node(text: &str) -> Option<Vec<String>> {
    let mut cluster = read(text);
    let name = cluster.nodes.first()?.name.clone();
    fail_node(&mut cluster, &name).ok()?;
    judge(text, cluster, &["--node-fail", &name])
}

/// Of the first resource for which it is clear where it fails.
fn check(text: &str) -> Option<Vec<String>> {
    let cluster = read(text);
    let ids = cluster.resources.iter().filter(|r| r.children.is_empty());
    let ids: Vec<String> = ids.map(|resource| resource.id.clone()).collect();
    for id in ids {
        let mut failed = cluster.clone();
        if fail_resource(&mut failed, &id, None).is_err() {
            continue;
        }
        let injected = failed.states.iter().find_map(|state| {
            let name = format!("{id}_last_failure_0");
            let mut records = state.history.iter().flat_map(|seen| &seen.operations);
            let found = records.find(|record| record.id == name && record.changed == Some(NOW));
            found.map(|record| format!("{}@{}=7", record.key, state.name))
        })?;
        return judge(text, failed, &["--op-inject", &injected]);
    }
    None
}
