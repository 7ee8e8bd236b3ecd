//! The same seed gives the same run, to the last bit of its trace hash, in separate processes and
//! whatever else runs beside it.

#![expect(
    clippy::expect_used,
    reason = "a test that cannot run the simulator fails"
)]

use std::process::Command;

fn simulator(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_standfast-sim"))
        .args(arguments)
        .output()
        .expect("the simulator starts");
    assert!(output.status.success(), "{arguments:?} failed");
    String::from_utf8(output.stdout).expect("its output is text")
}

fn hash_of(trace: &str) -> &str {
    let last = trace.lines().last().expect("a trace has lines");
    last.rsplit(' ')
        .next()
        .expect("its last line ends in the hash")
}

#[test]
fn the_same_seed_has_the_same_trace_hash_in_separate_processes() {
    let (one, other) = (simulator(&["--trace", "3"]), simulator(&["--trace", "3"]));
    assert!(one.lines().count() > 100, "a trace says what happens");
    assert!(one == other, "two processes saw different runs");
    let beside = simulator(&["--seeds", "3..5", "--jobs", "2", "--json"]);
    assert!(
        beside.contains(hash_of(&one)),
        "beside another run the same seed has another hash"
    );
    let hashes: Vec<&str> = beside
        .lines()
        .filter(|line| line.contains("hash"))
        .collect();
    assert_eq!(hashes.len(), 2);
    assert_ne!(hashes[0], hashes[1], "another seed is another run");
}
