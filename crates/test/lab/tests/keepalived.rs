//! The laboratory measures what is known of keepalived: this validates the probe. Real daemons, real namespaces.
#![expect(clippy::expect_used, reason = "helpers of tests fail by panicking")]

use std::path::PathBuf;
use std::process::{Command, Output};

use standfast_lab::fault::Fault;
use standfast_lab::trial::Trial;

fn results(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("standfast-{name}-{}.json", std::process::id()))
}

fn lab(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_standfast-lab"))
        .arg("lab")
        .args(arguments)
        .output()
        .expect("the laboratory starts")
}

#[test]
fn unfenced_keepalived_has_two_owners_in_a_partition_and_none_after_a_power_loss() {
    let file = results("keepalived");
    let json = file.to_str().expect("a plain path");
    let output = lab(&[
        "--system",
        "keepalived=0.1",
        "--fault",
        "power-loss",
        "--fault",
        "silent-partition",
        "--fault",
        "agent-killed",
        "--watch-ms",
        "3000",
        "--json",
        json,
    ]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = std::fs::read_to_string(&file).expect("results are written");
    std::fs::remove_file(&file).expect("and can be removed");
    let trials: Vec<Trial> = serde_json::from_str(&text).expect("and can be read");
    let of = |fault| {
        trials
            .iter()
            .find(|trial| trial.fault == fault)
            .expect("each fault was run")
    };

    let power = of(Fault::PowerLoss);
    // Only until it heals: an unfenced node that comes back may well be a second owner for a moment.
    assert_eq!(power.owners.dual_owner_ms, 0.0);
    assert!(
        power
            .client
            .rto_ms
            .is_some_and(|rto| rto > 100.0 && rto < 5000.0),
        "{power:?}"
    );
    assert!(power.client.failed_requests > 10);
    for split in [of(Fault::SilentPartition), of(Fault::AgentKilled)] {
        assert!(split.owners.dual_owner_ms > 300.0, "{split:?}");
        assert!(split.owners.dual_service_ms > 300.0, "{split:?}");
    }
}
