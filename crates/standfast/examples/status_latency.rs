//! How long `standfast status` takes, from starting the program to its end:
//! `cargo run --release -p standfast --example status_latency -- SOCKET [CALLS]`, with the program `standfast` of the same
//! build. Not a test: the figures belong to the machine.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measuring tool: it prints, and stops on the first surprise"
)]

use std::{
    env,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

fn main() {
    let mut arguments = env::args().skip(1);
    let socket = arguments.next().unwrap();
    let calls: usize = arguments.next().map_or(200, |calls| calls.parse().unwrap());
    // target/release/examples/status_latency stands one folder below the program, unless STANDFAST names another.
    let own = env::current_exe().unwrap();
    let beside = own.parent().unwrap().parent().unwrap().join("standfast");
    let program = env::var_os("STANDFAST").map_or(beside, Into::into);
    let mut took: Vec<Duration> = (0..calls)
        .map(|_| {
            let begun = Instant::now();
            let status = Command::new(&program)
                .args(["--socket", &socket, "status"])
                .stdout(Stdio::null())
                .status();
            assert!(status.unwrap().success());
            begun.elapsed()
        })
        .collect();
    took.sort_unstable();
    let at = |percent: usize| {
        let index = (took.len() - 1) * percent / 100;
        format!("{:.1}", took.get(index).unwrap().as_secs_f64() * 1000.0)
    };
    println!(
        "{calls} calls of status, ms: min {} median {} p90 {} p99 {} max {}",
        at(0),
        at(50),
        at(90),
        at(99),
        at(100)
    );
}
