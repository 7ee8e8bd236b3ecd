//! What members get: delivery on all links, reconnection, and being cut off when removed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
#![allow(
    clippy::print_stdout,
    reason = "tests that measure say what they measured"
)]

mod support;

use std::{
    collections::BTreeSet,
    time::{Duration, Instant, SystemTime},
};

use standfast_transport::{
    Config, MAX_DATAGRAM_BYTES, MAX_STREAM_BYTES, Peer, SendError, TransportEvent,
};
use support::{Forwarder, Node, Pki, introduce, loopback, pair};

const SOON: Duration = Duration::from_secs(2);

#[test]
fn a_datagram_arrives_on_every_link_and_a_stream_message_once() {
    let pki = Pki::new("c1", "alpha");
    let (alpha, beta) = pair(&pki, 2);
    alpha
        .transport
        .send_datagram(&beta.name, "beat".into())
        .unwrap();
    alpha
        .transport
        .send_stream(&beta.name, "append".into())
        .unwrap();
    let mut links = BTreeSet::new();
    let mut streams = 0;
    for event in beta.drain(Duration::from_millis(500)) {
        match event {
            TransportEvent::Datagram { from, link, bytes } => {
                assert_eq!((&from, &bytes[..]), (&alpha.name, &b"beat"[..]));
                assert!(links.insert(link), "twice on link {link}");
            }
            TransportEvent::Stream { bytes, .. } => {
                assert_eq!(bytes, "append");
                streams += 1;
            }
            _ => {}
        }
    }
    assert_eq!((links, streams), (BTreeSet::from([0, 1]), 1));
}

#[test]
fn stream_messages_of_all_sizes_arrive_whole_and_in_order() {
    let pki = Pki::new("c1", "alpha");
    let (alpha, beta) = pair(&pki, 2);
    let sizes = [0, 1, 1200, 100_000, 3, MAX_STREAM_BYTES, 7];
    for (n, size) in (0u8..).zip(sizes) {
        let message = vec![n; size].into();
        alpha.transport.send_stream(&beta.name, message).unwrap();
    }
    for (n, size) in (0u8..).zip(sizes) {
        beta.expect(
            "stream message",
            Duration::from_secs(10),
            |event| match event {
                TransportEvent::Stream { bytes, .. } => {
                    assert_eq!(bytes.len(), size);
                    assert!(bytes.iter().all(|byte| *byte == n));
                    Some(())
                }
                _ => None,
            },
        );
    }
}

#[test]
fn a_message_longer_than_allowed_is_refused_by_the_sender() {
    let pki = Pki::new("c1", "alpha");
    let (alpha, beta) = pair(&pki, 1);
    let datagram = vec![0; MAX_DATAGRAM_BYTES + 1].into();
    let stream = vec![0; MAX_STREAM_BYTES + 1].into();
    assert!(matches!(
        alpha.transport.send_datagram(&beta.name, datagram),
        Err(SendError::TooLong { .. })
    ));
    assert!(matches!(
        alpha.transport.send_stream(&beta.name, stream),
        Err(SendError::TooLong { .. })
    ));
    let longest = vec![7; MAX_DATAGRAM_BYTES];
    alpha
        .transport
        .send_datagram(&beta.name, longest.clone().into())
        .unwrap();
    beta.expect_message(&alpha.name, &longest, SOON);
}

/// Two nodes whose first link goes through forwarders in both directions.
fn pair_with_forwarders(pki: &Pki) -> (Node, Node, [Forwarder; 2]) {
    let alpha = Node::start(pki.credentials("alpha"), loopback(2));
    let beta = Node::start(pki.credentials("beta"), loopback(2));
    let to_alpha = Forwarder::to(alpha.addresses()[0]);
    let to_beta = Forwarder::to(beta.addresses()[0]);
    let through = |node: &Node, forwarder: &Forwarder| Peer {
        name: node.name.clone(),
        addresses: vec![forwarder.address, node.addresses()[1]],
    };
    alpha.transport.set_peers(vec![through(&beta, &to_beta)]);
    beta.transport.set_peers(vec![through(&alpha, &to_alpha)]);
    alpha.expect_links(&beta.name, 2);
    beta.expect_links(&alpha.name, 2);
    (alpha, beta, [to_alpha, to_beta])
}

#[test]
fn when_one_link_is_cut_datagrams_go_on_and_streams_move_over() {
    let pki = Pki::new("c1", "alpha");
    let (alpha, beta, forwarders) = pair_with_forwarders(&pki);
    for forwarder in &forwarders {
        forwarder.set_cut(true);
    }
    let cut_at = Instant::now();
    for beat in 0u8..20 {
        let payload = vec![beat];
        alpha
            .transport
            .send_datagram(&beta.name, payload.clone().into())
            .unwrap();
        let link = beta.expect_message(&alpha.name, &payload, Duration::from_millis(50));
        assert_eq!(link, 1);
        std::thread::sleep(Duration::from_millis(20));
    }
    // By now the first link is known to be silent.
    alpha.expect("LinkDown", SOON, |event| {
        matches!(event, TransportEvent::LinkDown { link: 0, .. }).then_some(())
    });
    alpha
        .transport
        .send_stream(&beta.name, "over".into())
        .unwrap();
    let link = beta.expect_message(&alpha.name, b"over", Duration::from_millis(100));
    assert_eq!(link, 1, "{:?} after the cut", cut_at.elapsed());
}

#[test]
fn a_killed_and_restarted_node_is_connected_again_within_100_ms() {
    let pki = Pki::new("c1", "alpha");
    let alpha = Node::start(pki.credentials("alpha"), loopback(1));
    let mut beta = Node::start(pki.credentials("beta"), loopback(1));
    let addresses = beta.addresses();
    let forwarders = [&alpha, &beta].map(|node| Forwarder::to(node.addresses()[0]));
    let through = |node: &Node, forwarder: &Forwarder| Peer {
        name: node.name.clone(),
        addresses: vec![forwarder.address],
    };
    let peer = beta.name.clone();
    alpha
        .transport
        .set_peers(vec![through(&beta, &forwarders[1])]);
    beta.transport
        .set_peers(vec![through(&alpha, &forwarders[0])]);
    alpha.expect_links(&beta.name, 1);
    let mut measured = Vec::new();
    for _ in 0..5 {
        // As with SIGKILL, its goodbye does not arrive.
        forwarders
            .iter()
            .for_each(|forwarder| forwarder.set_cut(true));
        drop(beta);
        forwarders
            .iter()
            .for_each(|forwarder| forwarder.set_cut(false));
        let started = Instant::now();
        beta = Node::start(pki.credentials("beta"), addresses.clone());
        beta.transport
            .set_peers(vec![through(&alpha, &forwarders[0])]);
        let mut arrived = false;
        while !arrived && started.elapsed() < SOON {
            alpha.transport.send_datagram(&peer, "beat".into()).unwrap();
            arrived = beta
                .drain(Duration::from_millis(2))
                .iter()
                .any(|event| matches!(event, TransportEvent::Datagram { .. }));
        }
        measured.push(started.elapsed());
    }
    println!("start to first datagram: {measured:?}");
    assert!(
        measured
            .iter()
            .all(|time| *time < Duration::from_millis(100)),
        "{measured:?}"
    );
}

#[test]
fn a_link_that_was_dead_for_ten_seconds_works_within_300_ms_of_its_return() {
    let pki = Pki::new("c1", "alpha");
    let (alpha, beta, forwarders) = pair_with_forwarders(&pki);
    let mut measured = Vec::new();
    for dead in [10_000, 700, 2_300] {
        for forwarder in &forwarders {
            forwarder.set_cut(true);
        }
        std::thread::sleep(Duration::from_millis(dead));
        beta.drain(Duration::ZERO);
        for forwarder in &forwarders {
            forwarder.set_cut(false);
        }
        let healed_at = Instant::now();
        let mut arrived = None;
        while arrived.is_none() && healed_at.elapsed() < SOON {
            alpha
                .transport
                .send_datagram(&beta.name, "beat".into())
                .unwrap();
            arrived = beta
                .drain(Duration::from_millis(5))
                .iter()
                .any(|event| matches!(event, TransportEvent::Datagram { link: 0, .. }))
                .then(|| healed_at.elapsed());
        }
        measured.push((dead, arrived));
    }
    println!("heal to first datagram on that link: {measured:?}");
    let limit = Duration::from_millis(300);
    assert!(
        measured
            .iter()
            .all(|(_, time)| time.is_some_and(|time| time < limit)),
        "{measured:?}"
    );
}

#[test]
fn a_removed_member_is_cut_off_at_once_and_stays_out() {
    let pki = Pki::new("c1", "alpha");
    let (alpha, beta) = pair(&pki, 2);
    alpha.transport.set_peers(vec![]);
    let removed_at = Instant::now();
    beta.expect("LinkDown", SOON, |event| match event {
        TransportEvent::LinkDown { why, .. } => {
            assert!(why.contains("not a member any more"), "{why}");
            Some(())
        }
        _ => None,
    });
    assert!(removed_at.elapsed() < Duration::from_millis(100));
    alpha.drain(Duration::ZERO);
    for _ in 0..50 {
        drop(beta.transport.send_datagram(&alpha.name, "beat".into()));
        drop(beta.transport.send_stream(&alpha.name, "append".into()));
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut refusals = Vec::new();
    for event in alpha.drain(Duration::from_millis(100)) {
        match event {
            TransportEvent::Refused { why, .. } => refusals.push(why),
            other => panic!("{other:?}"),
        }
    }
    let told = refusals
        .iter()
        .any(|why| why.contains("beta is not a member"));
    assert!(told, "nobody was told that beta still knocks: {refusals:?}");
}

#[test]
fn an_expired_certificate_of_a_member_is_served_with_a_warning() {
    let pki = Pki::new("c1", "alpha");
    let yesterday = SystemTime::now() - Duration::from_secs(24 * 3600);
    let alpha = Node::start(pki.credentials("alpha"), loopback(1));
    let beta = Node::start(pki.credentials_until("beta", yesterday), loopback(1));
    introduce(&[&alpha, &beta]);
    let mut warned = false;
    let mut up = false;
    alpha.expect("warning and link", SOON, |event| {
        warned |=
            matches!(event, TransportEvent::CertificateExpired { peer } if *peer == beta.name);
        up |= matches!(event, TransportEvent::LinkUp { .. });
        (warned && up).then_some(())
    });
    beta.expect_links(&alpha.name, 1);
    beta.transport
        .send_datagram(&alpha.name, "beat".into())
        .unwrap();
    alpha.expect_message(&beta.name, b"beat", SOON);
    alpha
        .transport
        .send_stream(&beta.name, "append".into())
        .unwrap();
    beta.expect_message(&alpha.name, b"append", SOON);
}

#[test]
fn another_feature_level_is_reported_with_the_link() {
    let pki = Pki::new("c1", "alpha");
    let alpha = Node::start(pki.credentials("alpha"), loopback(1));
    let mut config = Config::new(pki.credentials("beta"), loopback(1));
    config.feature_level = 7;
    let beta = Node::start_with(config);
    introduce(&[&alpha, &beta]);
    let level = alpha.expect("LinkUp", SOON, |event| match event {
        TransportEvent::LinkUp { feature_level, .. } => Some(*feature_level),
        _ => None,
    });
    assert_eq!(level, 7);
}

#[test]
fn two_connections_of_one_link_become_one_without_losing_the_link() {
    let pki = Pki::new("c1", "alpha");
    let (alpha, beta) = pair(&pki, 2);
    // Both sides dialled at once; after a while the surplus is closed.
    let events = [&alpha, &beta].map(|node| node.drain(Duration::from_millis(2500)));
    for event in events.iter().flatten() {
        assert!(
            !matches!(event, TransportEvent::LinkDown { .. }),
            "{event:?}"
        );
    }
}

#[test]
fn the_thread_hook_runs_on_the_transport_thread() {
    let pki = Pki::new("c1", "alpha");
    let mut config = Config::new(pki.credentials("alpha"), loopback(1));
    let (told, hook) = std::sync::mpsc::channel();
    config.on_thread_start = Some(Box::new(move || {
        let thread = std::thread::current().name().map(str::to_owned);
        told.send(thread).unwrap();
    }));
    let _node = Node::start_with(config);
    let thread = hook.recv_timeout(SOON).unwrap();
    assert_eq!(thread.as_deref(), Some("transport"));
}

#[test]
fn an_own_address_that_is_not_there_yet_harms_nobody() {
    let pki = Pki::new("c1", "alpha");
    // TEST-NET-1 (RFC 5737): no machine has it.
    let absent = "192.0.2.77:0".parse().unwrap();
    let alpha = Node::start(pki.credentials("alpha"), vec![loopback(1)[0], absent]);
    let beta = Node::start(pki.credentials("beta"), loopback(2));
    introduce(&[&alpha, &beta]);
    alpha.expect_links(&beta.name, 1);
    for _ in 0..10 {
        alpha
            .transport
            .send_datagram(&beta.name, "beat".into())
            .unwrap();
        let link = beta.expect_message(&alpha.name, b"beat", SOON);
        assert_eq!(link, 0);
        std::thread::sleep(Duration::from_millis(100));
    }
}
