//! Without namespaces the probe still sees one owner as one and two as two.

use std::net::SocketAddr;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use standfast_lab::measure;
use standfast_lab::probe::{Probe, ProbePlan};

fn service(node: &str, address: SocketAddr) -> Child {
    Command::new(env!("CARGO_BIN_EXE_standfast-lab"))
        .args(["serve", "--node", node, "--bind", &address.to_string()])
        .spawn()
        .unwrap_or_else(|error| unreachable!("the service cannot be started: {error}"))
}

#[test]
fn two_services_on_one_loopback_address_are_two_owners() {
    let taken = std::net::TcpListener::bind("127.0.0.77:0").expect("a free port");
    let address = taken.local_addr().expect("it has an address");
    drop(taken);
    let plan = ProbePlan {
        address,
        address_v6: None,
        nodes: Vec::new(),
        names: vec!["alpha".to_owned(), "beta".to_owned()],
        watcher: ([0; 6], [127, 0, 0, 1].into(), [0_u16; 8].into()),
    };
    let mut alpha = service("alpha", address);
    let probe = Probe::start(&plan, None, None).expect("the probe starts");
    let began = Instant::now();
    while probe.evidence(0).len() < 100 {
        assert!(began.elapsed() < Duration::from_secs(60), "nobody answers");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(measure::owner_view(&probe.evidence(0)).dual_owner_ms, 0.0);

    let mut beta = service("beta", address);
    let began = Instant::now();
    while measure::owner_view(&probe.evidence(0)).dual_owner_ms <= 50.0 {
        assert!(began.elapsed() < Duration::from_secs(60), "one owner");
        std::thread::sleep(Duration::from_millis(10));
    }
    beta.kill().expect("it can be killed");
    beta.wait().expect("it ends");

    alpha.kill().expect("it can be killed");
    alpha.wait().expect("it ends");
    // What was asked before has its outcome, at the latest, when its time is up.
    std::thread::sleep(standfast_lab::probe::TIMEOUT * 2);
    let silent_from = probe.request_count();
    let began = Instant::now();
    while probe.request_count() < silent_from + 10 {
        assert!(began.elapsed() < Duration::from_secs(60), "no questions");
        std::thread::sleep(Duration::from_millis(10));
    }
    let answered = |request: &&standfast_lab::probe::Request| {
        matches!(request.outcome, standfast_lab::probe::Outcome::Answered(_))
    };
    assert_eq!(
        probe.requests(silent_from).iter().filter(answered).count(),
        0
    );
}
