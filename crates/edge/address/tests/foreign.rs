//! Addresses that somebody else puts on an interface, as the resource agent `IPaddr2` does: silent unless their lease runs, there or not.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test file"
)]

mod lan;

use lan::Lan;
use standfast_address::{AddressConfig, AddressDriver, AddressError, Extended, boot_now_ns};
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::mpsc::channel;
use std::thread::sleep;
use std::time::{Duration, Instant};

const FOUR: &str = "10.77.0.100";
const SIX: &str = "fd77::100";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn in_ms(count: u64) -> u64 {
    boot_now_ns() + count * 1_000_000
}

fn wait(count: u64) {
    sleep(Duration::from_millis(count));
}

fn driver() -> AddressDriver {
    let config = AddressConfig {
        table: "sf-test".to_owned(),
        ..AddressConfig::default()
    };
    AddressDriver::new(config, channel().0).unwrap()
}

/// Whether the second host is answered, by ARP or neighbour discovery first: the kernel refuses a connection that nobody waits for.
fn answers(lan: &Lan, address: &str) -> bool {
    lan.on(1, "ip neigh flush dev eth0");
    let at = SocketAddr::new(ip(address), 7000);
    let asked = lan.spawn(1, move || {
        TcpStream::connect_timeout(&at, Duration::from_millis(200))
    });
    let refused = asked.join().unwrap().unwrap_err();
    refused.kind() == ErrorKind::ConnectionRefused
}

fn put(lan: &Lan) {
    lan.on(
        0,
        &format!("ip addr add {FOUR}/24 dev eth0; ip addr add {SIX}/64 dev eth0 nodad"),
    );
}

fn is_there(lan: &Lan) -> bool {
    let shown = lan.on(0, "ip -o addr show dev eth0");
    shown.contains(FOUR) && shown.contains(SIX)
}

#[test]
fn it_is_silent_unless_its_lease_runs_and_stays_where_it_is() {
    let lan = Lan::new(2);
    lan.enter(0);
    let driver = driver();
    put(&lan);
    for (name, address) in [("four", FOUR), ("six", SIX)] {
        assert!(answers(&lan, address), "nobody guards {address} yet");
        driver.guard(name, ip(address)).unwrap();
        assert!(!answers(&lan, address), "{address} is born closed");
        driver.open(name, ip(address), in_ms(5000)).unwrap();
        assert!(answers(&lan, address), "{address} is open");
        let extended = driver.extend(name, in_ms(700)).unwrap();
        assert_eq!(extended, Extended::Live);
        wait(700);
        assert!(!answers(&lan, address), "the lease of {address} is over");
        assert_eq!(
            driver.extend(name, in_ms(5000)).unwrap(),
            Extended::Lapsed,
            "a guard that has closed stays closed"
        );
        assert!(!answers(&lan, address));
        driver.open(name, ip(address), in_ms(5000)).unwrap();
        assert!(answers(&lan, address), "a start opens it again");
    }
    assert!(is_there(&lan), "it is somebody else's to take away");
    let late = driver.open("four", ip(FOUR), in_ms(1));
    assert!(matches!(late, Err(AddressError::Lapsed { .. })), "{late:?}");
    assert!(!answers(&lan, FOUR));
}

#[test]
fn a_new_agent_extends_what_an_earlier_one_has_opened_and_nothing_else() {
    let lan = Lan::new(2);
    lan.enter(0);
    put(&lan);
    let first = driver();
    first.open("four", ip(FOUR), in_ms(1500)).unwrap();
    first.guard("six", ip(SIX)).unwrap();
    drop(first);
    let second = driver();
    for (name, address) in [("four", FOUR), ("six", SIX)] {
        second.guard(name, ip(address)).unwrap();
    }
    assert!(answers(&lan, FOUR), "its lease runs on");
    assert_eq!(second.extend("four", in_ms(3000)).unwrap(), Extended::Live);
    assert_eq!(second.extend("six", in_ms(3000)).unwrap(), Extended::Lapsed);
    wait(1600);
    assert!(answers(&lan, FOUR), "by its new lease");
    assert!(!answers(&lan, SIX));
    // Without any agent it ends all the same.
    drop(second);
    wait(1500);
    assert!(!answers(&lan, FOUR));
}

#[test]
fn it_is_guarded_until_it_is_gone_and_no_longer() {
    let lan = Lan::new(2);
    lan.enter(0);
    let driver = driver();
    put(&lan);
    driver.open("four", ip(FOUR), in_ms(300)).unwrap();
    assert!(!driver.release("four").unwrap(), "its lease runs");
    wait(300);
    assert!(!driver.release("four").unwrap(), "it is still there");
    assert!(!answers(&lan, FOUR));
    // Another address for the same resource lets the one before go.
    driver.open("four", ip("10.77.0.101"), in_ms(300)).unwrap();
    assert!(answers(&lan, FOUR), "nobody guards it any more");
    let until = Instant::now() + Duration::from_secs(5);
    while !driver.release("four").unwrap() {
        assert!(Instant::now() < until, "it was never there");
        wait(50);
    }
    assert!(driver.release("four").unwrap(), "more than once");
    lan.on(0, "ip addr add 10.77.0.101/24 dev eth0");
    assert!(answers(&lan, "10.77.0.101"), "an operator's address");
}
