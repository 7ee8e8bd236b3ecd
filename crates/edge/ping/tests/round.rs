//! Real rounds in a network of their own, which has nothing but its loopback.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may panic")]

use standfast_model::{
    pair::{PingOrder, PingRound},
    time::Micros,
};
use standfast_ping::run;
use std::{cell::RefCell, fs, process::Command, time::Instant};

/// Set where the test runs inside.
const INSIDE: &str = "STANDFAST_PING_TEST";

fn round(peer: &[&str], targets: &[&str], millis: u64) -> Vec<PingRound> {
    let own = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect();
    let order = PingOrder {
        round: 7,
        peer: own(peer),
        targets: own(targets),
        timeout: Micros::from_millis(millis),
    };
    let told = RefCell::new(Vec::new());
    run(&order, &|round| told.borrow_mut().push(round));
    told.into_inner()
}

/// Who is there answers at once; whoever is not keeps nobody from being told of the others.
fn look() {
    let told = round(
        &["192.0.2.8", "127.0.0.2"],
        &["127.0.0.1", "::1", "192.0.2.9", "no address"],
        1500,
    );
    let all = |round: &PingRound| round.peer && round.targets.starts_with(&[true, true]);
    let first = told.iter().position(all).expect("three answered");
    assert!(first + 1 < told.len(), "before the end: {told:?}");
    let last = told.last().expect("an end");
    let expected = PingRound {
        round: 7,
        peer: true,
        targets: vec![true, true, false, false],
        over: true,
    };
    assert_eq!(*last, expected);
    assert!(told.iter().filter(|round| round.over).count() == 1);

    let began = Instant::now();
    let told = round(&["127.0.0.2"], &["::1"], 30_000);
    assert!(began.elapsed().as_secs() < 20, "nobody else is waited for");
    assert!(told.last().is_some_and(|round| round.over && round.peer));
}

#[test]
fn whoever_is_there_answers_and_nobody_else() {
    if std::env::var_os(INSIDE).is_none() {
        let program = std::env::current_exe().expect("this program");
        let status = Command::new("unshare")
            .arg("--net")
            .arg(program)
            .args(["--exact", "whoever_is_there_answers_and_nobody_else"])
            .env(INSIDE, "1")
            .status();
        assert!(status.expect("unshare").success());
        return;
    }
    let told = round(&["127.0.0.1"], &["::1"], 200);
    let last = told.last().expect("an end");
    assert!(
        !last.peer && last.targets == [false] && last.over,
        "{told:?}"
    );
    let up = Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .status();
    assert!(up.expect("ip").success());
    for groups in ["1\t0", "0\t0"] {
        // Nobody may have such a socket but a raw one; then root may.
        fs::write("/proc/sys/net/ipv4/ping_group_range", groups).expect("it can be set");
        look();
    }
}
