//! The driver on real links: what peers see, what survives what, and what is reported.
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
    AddressConfig, AddressDriver, AddressError, AddressEvent, Extended, LIFETIME_BACKSTOP_LATE,
    Mac, VipSpec, boot_now_ns,
};
use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc::{Receiver, channel};
use std::thread::sleep;
use std::time::{Duration, Instant};

const VIP4: &str = "10.77.0.100";
const VIP6: &str = "fd77::100";
const OTHER: &str = "10.77.0.101";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn in_ms(count: u64) -> u64 {
    boot_now_ns() + count * 1_000_000
}

fn spec(addresses: &[&str]) -> VipSpec {
    VipSpec {
        addresses: addresses.iter().map(|a| (*a).to_owned()).collect(),
        interface: None,
        gateway: None,
    }
}

fn both() -> VipSpec {
    spec(&["10.77.0.100/24", "FD77:0::100/64"])
}

fn driver() -> (AddressDriver, Receiver<AddressEvent>) {
    configured(AddressConfig {
        table: "sf-test".to_owned(),
        ..AddressConfig::default()
    })
}

fn configured(config: AddressConfig) -> (AddressDriver, Receiver<AddressEvent>) {
    let (send, receive) = channel();
    (AddressDriver::new(config, send).unwrap(), receive)
}

fn on_host0(hosts: usize) -> Lan {
    let lan = Lan::new(hosts);
    lan.enter(0);
    lan
}

/// Waits for an event that the closure recognises.
fn await_event<T>(
    events: &Receiver<AddressEvent>,
    within: Duration,
    want: impl Fn(&AddressEvent) -> Option<T>,
) -> T {
    let end = Instant::now() + within;
    let mut seen = Vec::new();
    while let Ok(event) = events.recv_timeout(end.saturating_duration_since(Instant::now())) {
        if let Some(wanted) = want(&event) {
            return wanted;
        }
        seen.push(event);
    }
    panic!("not reported within {within:?}; seen: {seen:?}");
}

/// The MAC that a host believes has the address.
fn believed(lan: &Lan, host: usize, address: &str) -> String {
    let shown = lan.on(host, &format!("ip neigh show {address}"));
    let mut words = shown.split_whitespace().skip_while(|w| *w != "lladdr");
    words.nth(1).unwrap_or_default().to_owned()
}

fn addresses(lan: &Lan, host: usize) -> String {
    lan.on(host, "ip -o addr show dev eth0")
}

fn believe_wrongly(lan: &Lan, host: usize) {
    for address in [VIP4, VIP6] {
        lan.on(
            host,
            &format!("ip neigh replace {address} lladdr 02:00:00:00:00:77 dev eth0 nud reachable"),
        );
    }
}

/// Negative when the event came before the process that caused it had ended.
fn after_us(event: u64, command: u64) -> i64 {
    (i64::try_from(event).unwrap() - i64::try_from(command).unwrap()) / 1_000
}

const HOST0: &str = "02:00:00:00:00:01";

#[test]
fn start_adds_and_announces_and_stop_removes() {
    let lan = on_host0(2);
    let (driver, _events) = driver();
    believe_wrongly(&lan, 1);
    driver.start("web", &both(), in_ms(10_000)).unwrap();
    sleep(ms(20));
    assert_eq!(believed(&lan, 1, VIP4), HOST0, "gratuitous ARP");
    assert_eq!(
        believed(&lan, 1, VIP6),
        HOST0,
        "unsolicited neighbour advertisement"
    );
    // Somebody who missed the first announcement hears a later one.
    believe_wrongly(&lan, 1);
    let corrected = || believed(&lan, 1, VIP4) == HOST0 && believed(&lan, 1, VIP6) == HOST0;
    let end = Instant::now() + ms(3_500);
    while !corrected() {
        assert!(
            Instant::now() < end,
            "{} {}",
            believed(&lan, 1, VIP4),
            believed(&lan, 1, VIP6)
        );
        sleep(ms(10));
    }
    let status = driver.status("web").unwrap();
    assert!(status.held && status.link_up);
    assert!(
        status
            .addresses
            .iter()
            .all(|a| a.present_on.as_deref() == Some("eth0") && a.live_for.is_some())
    );
    driver.start("web", &both(), in_ms(10_000)).unwrap();
    driver.stop("web").unwrap();
    driver.stop("web").unwrap();
    let left = addresses(&lan, 0);
    assert!(
        !left.contains(VIP4) && !left.contains(VIP6) && left.contains("10.77.0.1/24"),
        "{left}"
    );
    assert!(
        driver
            .status("web")
            .unwrap()
            .addresses
            .iter()
            .all(|a| a.live_for.is_none()),
        "managed and closed"
    );
    driver.forget("web").unwrap();
    assert_eq!(lan.on(0, "nft list tables"), "");
}

#[test]
fn a_lease_that_ends_closes_by_itself_and_cannot_be_extended() {
    let lan = on_host0(1);
    let (driver, _events) = driver();
    driver.start("web", &both(), in_ms(700)).unwrap();
    sleep(ms(50));
    assert_eq!(driver.extend("web", in_ms(400)).unwrap(), Extended::Live);
    sleep(ms(401));
    assert_eq!(
        driver.extend("web", in_ms(1_000)).unwrap(),
        Extended::Lapsed
    );
    assert_eq!(
        driver.extend("web", in_ms(1_000)).unwrap(),
        Extended::Lapsed,
        "and stays so"
    );
    let status = driver.status("web").unwrap();
    assert!(
        !status.held && status.addresses.iter().all(|a| a.live_for.is_none()),
        "{status:?}"
    );
    assert!(matches!(
        driver.repair("web"),
        Err(AddressError::Lapsed { .. })
    ));
    assert!(matches!(
        driver.start("web", &both(), boot_now_ns() - 1),
        Err(AddressError::Lapsed { .. })
    ));
    driver.stop("web").unwrap();
    driver.start("web", &both(), in_ms(5_000)).unwrap();
    drop(lan);
}

#[test]
fn an_address_removed_by_somebody_else_is_reported_and_repaired() {
    let lan = on_host0(1);
    let (driver, events) = driver();
    driver.start("web", &both(), in_ms(20_000)).unwrap();
    for removal in [
        format!("ip addr del {VIP4}/24 dev eth0"),
        format!("ip addr del {VIP6}/64 dev eth0"),
    ] {
        lan.on(0, &removal);
        let done = boot_now_ns();
        let at = await_event(&events, ms(1_000), |event| match event {
            AddressEvent::AddressLost { at_boot_ns, .. } => Some(*at_boot_ns),
            _ => None,
        });
        println!(
            "{removal}: reported {} us after the command had ended",
            after_us(at, done)
        );
        driver.extend("web", in_ms(20_000)).unwrap();
        driver.repair("web").unwrap();
        let now = addresses(&lan, 0);
        assert!(now.contains(VIP4) && now.contains(VIP6), "{now}");
    }
    driver.stop("web").unwrap();
    assert!(
        events.recv_timeout(ms(100)).is_err(),
        "own removals are no news"
    );
}

#[test]
fn a_flushed_ruleset_is_restored_within_milliseconds() {
    let lan = on_host0(1);
    let (driver, events) = driver();
    driver.start("web", &both(), in_ms(20_000)).unwrap();
    driver.prepare("idle", &spec(&[OTHER])).unwrap();
    for _ in 0..5 {
        lan.on(0, "nft flush ruleset");
        let done = boot_now_ns();
        let at = await_event(&events, ms(1_000), |event| match event {
            AddressEvent::GuardRestored { at_boot_ns, .. } => Some(*at_boot_ns),
            _ => None,
        });
        println!(
            "restored {} us after the command had ended",
            after_us(at, done)
        );
        assert_eq!(driver.extend("web", in_ms(20_000)).unwrap(), Extended::Live);
        assert!(
            driver
                .status("web")
                .unwrap()
                .addresses
                .iter()
                .all(|a| a.live_for.is_some())
        );
        assert!(
            driver
                .status("idle")
                .unwrap()
                .addresses
                .iter()
                .all(|a| a.live_for.is_none())
        );
        assert!(lan.on(0, "nft list ruleset").contains(OTHER));
    }
    assert!(
        events.recv_timeout(ms(200)).is_err(),
        "own repairs are no news"
    );
}

#[test]
fn carrier_lost_and_back_is_reported() {
    let lan = on_host0(1);
    let (driver, events) = driver();
    driver.prepare("web", &both()).unwrap();
    for (command, want) in [("down", false), ("up", true)] {
        sleep(ms(50));
        let begun = boot_now_ns();
        lan.on_switch(&format!("ip link set p0 {command}"));
        let at = await_event(&events, ms(2_000), |event| match event {
            AddressEvent::LinkHealth {
                up,
                at_boot_ns,
                interface,
                ..
            } if *up == want && interface == "eth0" => Some(*at_boot_ns),
            _ => None,
        });
        println!(
            "carrier {command}: reported after {} us",
            (at - begun) / 1_000
        );
    }
    drop(driver);
}

#[test]
fn a_gateway_that_stops_answering_is_lost_after_three_questions() {
    let lan = on_host0(2);
    let (driver, events) = driver();
    let with = |address: &str, gateway: &str| VipSpec {
        gateway: Some(ip(gateway)),
        ..spec(&[address])
    };
    driver
        .prepare("four", &with("10.77.0.100/24", "10.77.0.2"))
        .unwrap();
    driver
        .prepare("six", &with("fd77::100/64", "fd77::2"))
        .unwrap();
    for want in [true, false, true] {
        // Reported in either order.
        for _ in ["four", "six"] {
            await_event(&events, ms(6_500), |event| match event {
                AddressEvent::GatewayHealth { reachable, .. } => (*reachable == want).then_some(()),
                _ => None,
            });
        }
        for name in ["four", "six"] {
            assert_eq!(
                driver.status(name).unwrap().gateway_reachable,
                Some(want),
                "{name}"
            );
        }
        lan.on_switch(if want {
            "ip link set p1 down"
        } else {
            "ip link set p1 up"
        });
    }
}

#[test]
fn the_conflict_probe_tells_foreign_from_member_from_nobody() {
    let lan = on_host0(2);
    let probe = |members: &[Mac]| {
        let begun = Instant::now();
        let report =
            standfast_address::probe_conflict(&both(), members, standfast_address::PROBE_ROUND)
                .unwrap();
        assert!(
            (ms(50)..ms(90)).contains(&begun.elapsed()),
            "{:?}",
            begun.elapsed()
        );
        report
    };
    assert!(probe(&[]).is_clear());
    lan.on(
        1,
        &format!("ip addr add {VIP4}/24 dev eth0; ip addr add {VIP6}/64 dev eth0 nodad"),
    );
    let mac: Mac = "02:00:00:00:00:02".parse().unwrap();
    let found = probe(&[]);
    assert_eq!(
        found.foreign.iter().map(|p| p.mac).collect::<Vec<_>>(),
        [mac, mac],
        "{found:?}"
    );
    let found = probe(&[mac]);
    assert!(
        found.foreign.is_empty() && found.members.len() == 2,
        "{found:?}"
    );
    let loopback = VipSpec {
        interface: Some("lo".to_owned()),
        ..both()
    };
    assert!(
        standfast_address::probe_conflict(&loopback, &[], ms(50))
            .unwrap()
            .is_clear()
    );
}

#[test]
fn somebody_else_announcing_the_address_is_reported_and_answered() {
    let lan = on_host0(3);
    let member = "02:00:00:00:00:02".parse().unwrap();
    let (driver, events) = configured(AddressConfig {
        members: vec![member],
        ..AddressConfig::default()
    });
    driver.start("web", &both(), in_ms(20_000)).unwrap();
    // Past the dense part of the schedule, so that what corrects the peer is the answer.
    sleep(ms(3_100));
    believe_wrongly(&lan, 2);
    let rival = lan.spawn(1, move || {
        let (send, _receive) = channel();
        let rival = AddressDriver::new(AddressConfig::default(), send).unwrap();
        rival.start("web", &both(), in_ms(5_000)).unwrap();
        rival.stop("web").unwrap();
        rival.uninstall().unwrap();
    });
    let (address, by_member) = await_event(&events, ms(1_000), |event| match event {
        AddressEvent::ConflictSeen {
            address, member, ..
        } => Some((*address, *member)),
        _ => None,
    });
    assert!(by_member, "{address}");
    rival.join().unwrap();
    sleep(ms(400));
    assert_eq!(believed(&lan, 2, VIP4), HOST0);
    assert_eq!(believed(&lan, 2, VIP6), HOST0);
}

#[test]
fn a_live_change_of_addresses_keeps_connections() {
    let lan = on_host0(2);
    let (driver, events) = driver();
    driver
        .start(
            "web",
            &spec(&["10.77.0.100/24", "10.77.0.101/24"]),
            in_ms(20_000),
        )
        .unwrap();
    let listener = TcpListener::bind((VIP4, 8080)).unwrap();
    let mut client = lan
        .spawn(1, || TcpStream::connect((VIP4, 8080)).unwrap())
        .join()
        .unwrap();
    let (mut server, _) = listener.accept().unwrap();
    driver
        .reconfigure(
            "web",
            &spec(&["10.77.0.100/24", "10.77.0.102/24", "fd77::100/64"]),
        )
        .unwrap();
    let now = addresses(&lan, 0);
    assert!(
        now.contains("10.77.0.102/24") && now.contains("fd77::100/64") && !now.contains(OTHER),
        "{now}"
    );
    client.write_all(b"still here").unwrap();
    let mut buffer = [0; 10];
    server.set_read_timeout(Some(ms(1_000))).unwrap();
    server.read_exact(&mut buffer).unwrap();
    assert_eq!(driver.extend("web", in_ms(20_000)).unwrap(), Extended::Live);
    assert!(
        driver
            .status("web")
            .unwrap()
            .addresses
            .iter()
            .all(|a| a.live_for.is_some() && a.present_on.is_some())
    );
    assert!(
        !lan.on(0, "nft list ruleset").contains(OTHER),
        "no longer guarded"
    );
    // Another prefix length of the same address.
    driver
        .reconfigure("web", &spec(&["10.77.0.100/32", "fd77::100/128"]))
        .unwrap();
    let now = addresses(&lan, 0);
    assert!(
        now.contains("10.77.0.100/32")
            && now.contains("fd77::100/128")
            && now.contains("10.77.0.1/24"),
        "{now}"
    );
    assert!(
        events.recv_timeout(ms(100)).is_err(),
        "own changes are no news"
    );
}

#[test]
fn the_nodes_own_addresses_survive_the_removal_of_the_first_one_of_the_subnet() {
    let lan = on_host0(1);
    lan.on(0, "ip addr del 10.77.0.1/24 dev eth0");
    let (driver, _events) = driver();
    let named = VipSpec {
        interface: Some("eth0".to_owned()),
        ..spec(&["10.77.0.100/24"])
    };
    driver.start("web", &named, in_ms(20_000)).unwrap();
    lan.on(0, "ip addr add 10.77.0.1/24 dev eth0");
    driver.stop("web").unwrap();
    assert!(addresses(&lan, 0).contains("10.77.0.1/24"));
}

#[test]
fn what_a_dead_agent_left_falls_silent_and_is_adopted() {
    let lan = on_host0(1);
    let (first, _events) = driver();
    first.start("web", &both(), in_ms(4_000)).unwrap();
    drop(first);
    let (second, _events) = driver();
    let adopted = second.adopt().unwrap();
    assert_eq!(adopted.len(), 2);
    assert!(
        adopted
            .iter()
            .all(|a| a.live_for.is_some() && a.present_on.as_deref() == Some("eth0")),
        "{adopted:?}"
    );
    second.start("web", &both(), in_ms(4_000)).unwrap();
    assert_eq!(second.extend("web", in_ms(600)).unwrap(), Extended::Live);
    drop(second);
    sleep(ms(601));
    let (third, _events) = driver();
    assert!(third.adopt().unwrap().iter().all(|a| a.live_for.is_none()));
    for address in [VIP4, VIP6] {
        third.remove_leftover(ip(address)).unwrap();
    }
    assert!(!addresses(&lan, 0).contains(VIP4));
    assert_eq!(lan.on(0, "nft list tables"), "");
}

#[test]
fn the_kernels_lifetime_removes_an_address_that_nobody_renews() {
    let lan = on_host0(1);
    let (driver, _events) = configured(AddressConfig {
        guard: false,
        ..AddressConfig::default()
    });
    driver.start("web", &both(), in_ms(2_500)).unwrap();
    for _ in 0..30 {
        sleep(ms(100));
        assert_eq!(driver.extend("web", in_ms(2_500)).unwrap(), Extended::Live);
        let now = addresses(&lan, 0);
        assert!(now.contains(VIP4) && now.contains(VIP6), "{now}");
    }
    let deadline = in_ms(2_500);
    driver.extend("web", deadline).unwrap();
    drop(driver);
    let mut gone = [None, None];
    while gone.contains(&None) {
        let now = addresses(&lan, 0);
        for (slot, address) in gone.iter_mut().zip([VIP4, VIP6]) {
            if slot.is_none() && !now.contains(address) {
                *slot = Some(boot_now_ns());
            }
        }
        assert!(boot_now_ns() < deadline + 5_000_000_000, "{now}");
        sleep(ms(5));
    }
    for at in gone.into_iter().flatten() {
        let late_ms = (i128::from(at) - i128::from(deadline)) / 1_000_000;
        println!("removed {late_ms} ms after the deadline");
        assert!(
            late_ms >= 0 && late_ms <= i128::try_from(LIFETIME_BACKSTOP_LATE.as_millis()).unwrap(),
            "{late_ms}"
        );
    }
}

#[test]
fn an_ipv6_address_is_not_taken_for_the_nodes_own_connections() {
    let _lan = on_host0(2);
    let (driver, _events) = driver();
    driver.start("web", &both(), in_ms(20_000)).unwrap();
    for (target, own) in [("fd77::2", "fd77::1"), ("10.77.0.2", "10.77.0.1")] {
        let unspecified = if own.contains(':') { "::" } else { "0.0.0.0" };
        let socket = UdpSocket::bind((unspecified, 0)).unwrap();
        socket.connect((target, 9)).unwrap();
        assert_eq!(socket.local_addr().unwrap().ip(), ip(own));
    }
}

#[test]
fn addresses_are_guarded_even_when_their_interface_is_missing() {
    let lan = on_host0(1);
    let (driver, _events) = driver();
    let wrong = VipSpec {
        interface: Some("eth7".to_owned()),
        ..both()
    };
    let refused = driver.prepare("web", &wrong).unwrap_err();
    assert!(refused.to_string().contains("eth0"), "{refused}");
    assert!(lan.on(0, "nft list ruleset").contains(VIP4));
    let shared = driver.prepare("other", &spec(&[VIP4])).unwrap_err();
    assert!(shared.to_string().contains("web"), "{shared}");
}

#[test]
fn extending_takes_microseconds() {
    let lan = on_host0(1);
    let (driver, _events) = driver();
    driver.start("web", &both(), in_ms(10_000)).unwrap();
    let mut times: Vec<u64> = (0..300)
        .map(|_| {
            sleep(ms(1));
            let before = boot_now_ns();
            assert_eq!(
                driver.extend("web", before + 5_000_000_000).unwrap(),
                Extended::Live
            );
            boot_now_ns() - before
        })
        .collect();
    times.sort_unstable();
    println!(
        "extend: median {} us, 99 % {} us, max {} us",
        times[150] / 1_000,
        times[297] / 1_000,
        times[299] / 1_000
    );
    assert!(times[150] < 400_000, "median {} ns", times[150]);
    drop(lan);
}

#[test]
fn starting_and_stopping_take_milliseconds() {
    let lan = on_host0(2);
    let (driver, _events) = driver();
    driver.prepare("web", &both()).unwrap();
    let (mut starts, mut stops) = (Vec::new(), Vec::new());
    for _ in 0..9 {
        let begun = Instant::now();
        driver.start("web", &both(), in_ms(5_000)).unwrap();
        starts.push(begun.elapsed());
        let begun = Instant::now();
        driver.stop("web").unwrap();
        stops.push(begun.elapsed());
    }
    starts.sort_unstable();
    stops.sort_unstable();
    println!(
        "start: median {:?}, max {:?}; stop: median {:?}, max {:?}",
        starts[4], starts[8], stops[4], stops[8]
    );
    assert!(starts[4] < ms(50) && stops[4] < ms(50));
    drop(lan);
}

#[test]
fn an_interface_that_was_made_anew_is_used_again() {
    let lan = on_host0(1);
    let (driver, events) = driver();
    driver.start("web", &both(), in_ms(20_000)).unwrap();
    lan.on_switch("ip link del p0");
    let wanted = |want: bool| {
        move |event: &AddressEvent| match event {
            AddressEvent::LinkHealth { up, .. } => (*up == want).then_some(()),
            _ => None,
        }
    };
    await_event(&events, ms(1_000), wanted(false));
    assert!(driver.repair("web").is_err());
    lan.on_switch(&format!(
        "ip link add p0 type veth peer name eth0 netns {}; ip link set p0 master br0; ip link set p0 up",
        lan.name(0)
    ));
    lan.on(0, "ip link set eth0 up; ip addr add 10.77.0.1/24 dev eth0; ip addr add fd77::1/64 dev eth0 nodad");
    await_event(&events, ms(1_000), wanted(true));
    driver.repair("web").unwrap();
    assert!(addresses(&lan, 0).contains(VIP4));
    assert_eq!(driver.extend("web", in_ms(20_000)).unwrap(), Extended::Live);
}

#[test]
fn the_route_of_the_nodes_own_dynamic_address_keeps_its_lifetime() {
    let lan = on_host0(1);
    lan.on(0, "ip addr del fd77::1/64 dev eth0; ip addr add fd77::1/64 dev eth0 nodad valid_lft 9999 preferred_lft 9999");
    let (driver, _events) = driver();
    driver.start("web", &both(), in_ms(1_500)).unwrap();
    let route = lan.on(0, "ip -6 route show fd77::/64");
    assert!(
        route.lines().count() == 1 && route.contains("expires 99"),
        "{route}"
    );
    driver.stop("web").unwrap();
    let route = lan.on(0, "ip -6 route show fd77::/64");
    assert!(route.contains("expires 99"), "{route}");
}

#[test]
fn without_a_guard_the_driver_itself_removes_the_addresses_at_the_deadline() {
    let lan = on_host0(1);
    let (driver, events) = configured(AddressConfig {
        guard: false,
        ..AddressConfig::default()
    });
    let deadline = in_ms(1_500);
    driver.start("web", &both(), deadline).unwrap();
    while addresses(&lan, 0).contains(VIP6) {
        sleep(ms(2));
    }
    let late_ms = (i128::from(boot_now_ns()) - i128::from(deadline)) / 1_000_000;
    println!("removed {late_ms} ms after the deadline");
    assert!((0..300).contains(&late_ms), "{late_ms}");
    assert_eq!(
        driver.extend("web", in_ms(1_000)).unwrap(),
        Extended::Lapsed
    );
    assert!(
        events.recv_timeout(ms(100)).is_err(),
        "own removals are no news"
    );
}
