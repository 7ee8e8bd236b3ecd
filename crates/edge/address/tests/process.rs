//! What needs a process of its own: one that is stopped in the middle, one in an unprivileged user namespace, one
//! without any privilege. Each test runs this test binary again with only itself selected.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test file"
)]
mod lan;

use lan::Lan;
use standfast_address::{
    AddressConfig, AddressDriver, AddressGuard, Extended, VipSpec, boot_now_ns, probe_support,
};
use std::io::{BufRead, BufReader};
use std::net::{IpAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread::sleep;
use std::time::Duration;

const ROLE: &str = "STANDFAST_ADDRESS_TEST_ROLE";
const TABLE: &str = "sf-test";
const LEASE_MS: u64 = 120;

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn in_ms(count: u64) -> u64 {
    boot_now_ns() + count * 1_000_000
}

/// This binary again, through a wrapper program, as the given test.
fn again(wrapper: &[&str], test: &str) -> Command {
    let own = std::env::current_exe().unwrap();
    let mut words: Vec<&str> = wrapper.to_vec();
    words.extend([
        own.to_str().unwrap(),
        "--exact",
        test,
        "--nocapture",
        "--test-threads=1",
    ]);
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).env(ROLE, test);
    command
}

fn is_again(test: &str) -> bool {
    std::env::var_os(ROLE).is_some_and(|role| role == *test)
}

fn passes(mut command: Command) {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    print!("{}", text(&output.stdout));
    assert!(
        output.status.success(),
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
}

fn spec(address: &str, interface: &str) -> VipSpec {
    VipSpec {
        addresses: vec![address.to_owned()],
        interface: Some(interface.to_owned()),
        gateway: None,
    }
}

/// Extends its lease every few milliseconds until it is refused.
fn hold_until_lapsed() {
    let (send, _events) = channel();
    let config = AddressConfig {
        table: TABLE.to_owned(),
        ..AddressConfig::default()
    };
    let driver = AddressDriver::new(config, send).unwrap();
    driver
        .start("web", &spec("10.77.0.100/24", "eth0"), in_ms(LEASE_MS))
        .unwrap();
    println!("holding");
    while driver.extend("web", in_ms(LEASE_MS)).unwrap() == Extended::Live {
        // Mostly in the middle of an extension, so that a stop hits every part of it.
        std::thread::yield_now();
    }
    println!("lapsed");
    // The guard must stay closed although this process lives on.
    sleep(ms(200));
}

struct Stopped(Child);

impl Stopped {
    fn signal(&self, signal: &str) {
        lan::run("kill", &[signal, &self.0.id().to_string()]);
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn a_stopped_process_loses_the_address_at_its_deadline_and_does_not_get_it_back() {
    const SELF: &str =
        "a_stopped_process_loses_the_address_at_its_deadline_and_does_not_get_it_back";
    if is_again(SELF) {
        return hold_until_lapsed();
    }
    let lan = Lan::new(1);
    lan.enter(0);
    let mut observer = AddressGuard::new(TABLE).unwrap();
    let mut open = move || {
        observer
            .addresses()
            .unwrap()
            .iter()
            .any(|(_, live_for)| live_for.is_some())
    };
    let (mut rounds, mut missed) = (0, 0);
    while rounds < 10 {
        let mut child = again(&["ip", "netns", "exec", &lan.name(0)], SELF);
        let mut child = Stopped(child.stdout(Stdio::piped()).spawn().unwrap());
        let mut lines = BufReader::new(child.0.stdout.take().unwrap())
            .lines()
            .map(Result::unwrap);
        assert!(lines.any(|line| line.contains("holding")));
        sleep(ms(20 + 7 * rounds));
        child.signal("-STOP");
        if !open() {
            // A machine that stood still took it away before.
            missed += 1;
            assert!(missed < 50, "never held");
            continue;
        }
        sleep(ms(LEASE_MS + 5));
        assert!(!open(), "closed by the kernel while the holder was stopped");
        sleep(ms(50));
        child.signal("-CONT");
        for _ in 0..20 {
            assert!(!open(), "reopened after a stall");
            sleep(ms(2));
        }
        assert!(
            lines.any(|line| line.contains("lapsed")),
            "the holder is told"
        );
        assert!(!open(), "reopened after a stall");
        rounds += 1;
    }
}

#[test]
fn everything_works_in_an_unprivileged_user_namespace() {
    const SELF: &str = "everything_works_in_an_unprivileged_user_namespace";
    if !is_again(SELF) {
        return passes(again(
            &["unshare", "--user", "--map-root-user", "--net"],
            SELF,
        ));
    }
    let support = probe_support();
    assert!(
        support.guard() && support.net_raw.is_ok() && support.lifetimes.is_ok(),
        "{support:?}"
    );
    lan::run("ip", &["link", "set", "lo", "up"]);
    lan::run(
        "ip",
        &["link", "add", "v0", "type", "veth", "peer", "name", "v1"],
    );
    lan::run("ip", &["link", "set", "v0", "up"]);
    lan::run("ip", &["link", "set", "v1", "up"]);
    assert_eq!(
        lan::run("nft", &["list", "tables"]),
        "",
        "the probe leaves nothing behind"
    );
    for (address, interface) in [
        ("10.1.1.1/24", "v0"),
        ("fd77::1/64", "v0"),
        ("10.1.1.2/32", "lo"),
        ("fd77::2/128", "lo"),
    ] {
        let (send, _events) = channel();
        let driver = AddressDriver::new(AddressConfig::default(), send).unwrap();
        let spec = spec(address, interface);
        driver.start("web", &spec, in_ms(3_000)).unwrap();
        let host: IpAddr = spec.vips().unwrap()[0].address;
        let echo = UdpSocket::bind((host, 7000)).unwrap();
        echo.set_read_timeout(Some(ms(50))).unwrap();
        let arrives = || {
            drop(echo.send_to(b"?", (host, 7000)));
            echo.recv_from(&mut [0; 8]).is_ok()
        };
        assert!(arrives(), "{address} on {interface}");
        assert_eq!(driver.extend("web", in_ms(400)).unwrap(), Extended::Live);
        sleep(ms(401));
        assert!(!arrives(), "{address} on {interface} after the deadline");
        driver.forget("web").unwrap();
    }
}

#[test]
fn without_privileges_the_reasons_are_given_and_loopback_addresses_still_work() {
    const SELF: &str = "without_privileges_the_reasons_are_given_and_loopback_addresses_still_work";
    if !is_again(SELF) {
        return passes(again(
            &["setpriv", "--inh-caps=-all", "--bounding-set=-all"],
            SELF,
        ));
    }
    let support = probe_support();
    println!("{support:#?}");
    assert!(!support.guard() && support.net_raw.is_err() && support.lifetimes.is_err());
    let (send, _events) = channel();
    assert!(
        AddressDriver::new(AddressConfig::default(), send.clone()).is_err(),
        "a guard is wanted and impossible"
    );
    let driver = AddressDriver::new(
        AddressConfig {
            guard: false,
            ..AddressConfig::default()
        },
        send,
    )
    .unwrap();
    let spec = VipSpec {
        addresses: vec!["127.0.77.1".to_owned()],
        ..VipSpec::default()
    };
    driver.start("web", &spec, in_ms(2_000)).unwrap();
    assert_eq!(driver.extend("web", in_ms(300)).unwrap(), Extended::Live);
    driver.stop("web").unwrap();
    driver.start("web", &spec, in_ms(100)).unwrap();
    sleep(ms(110));
    assert_eq!(driver.extend("web", in_ms(300)).unwrap(), Extended::Lapsed);
}
