//! Which key a name may show: removed nodes, names that come back, and certificates that are renewed.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "tests"
)]

mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant, SystemTime},
};

use standfast_transport::{
    NodeName, TransportEvent,
    pki::{Credentials, renew},
};
use support::{Node, Pki, introduce, loopback, name, pair};

const SOON: Duration = Duration::from_secs(3);

fn keys(of: &[(&NodeName, &Credentials)]) -> BTreeMap<NodeName, BTreeSet<String>> {
    of.iter()
        .map(|(name, credentials)| {
            let key = credentials.key_fingerprint();
            ((*name).clone(), BTreeSet::from([key]))
        })
        .collect()
}

#[test]
fn the_certificate_of_a_removed_node_is_worth_nothing_when_its_name_joins_again() {
    let pki = Pki::new("c1", "alpha");
    let (own, old) = (pki.credentials("alpha"), pki.credentials("beta"));
    let (alpha, beta) = pair(&pki, 1);
    let names = (alpha.name.clone(), beta.name.clone());
    alpha
        .transport
        .set_keys(keys(&[(&names.0, &own), (&names.1, &old)]));
    alpha.drain(Duration::from_millis(100));
    assert!(
        alpha.drain(Duration::from_millis(300)).is_empty(),
        "the right key is served on"
    );

    // Another machine of that name has joined: only its key counts, from this moment on.
    std::fs::rename(pki.path("beta"), pki.path("old-beta")).unwrap();
    let new = pki.credentials("beta");
    let changed = Instant::now();
    alpha
        .transport
        .set_keys(keys(&[(&names.0, &own), (&names.1, &new)]));
    beta.expect("LinkDown", SOON, |event| match event {
        TransportEvent::LinkDown { .. } => Some(()),
        _ => None,
    });
    assert!(changed.elapsed() < Duration::from_millis(200));
    beta.expect("NotLetIn", SOON, |event| match event {
        TransportEvent::NotLetIn { peer } => {
            assert_eq!(*peer, names.0);
            Some(())
        }
        _ => None,
    });
    let messages = alpha.drain(Duration::from_millis(300));
    assert!(
        !messages.iter().any(|event| matches!(
            event,
            TransportEvent::LinkUp { .. }
                | TransportEvent::Datagram { .. }
                | TransportEvent::Stream { .. }
        )),
        "{messages:?}"
    );
    drop(beta);
    let beta = Node::start(new, loopback(1));
    introduce(&[&alpha, &beta]);
    alpha.expect_links(&names.1, 1);
    beta.expect_links(&names.0, 1);
}

#[test]
fn a_peer_that_answers_with_another_key_is_not_believed() {
    let pki = Pki::new("c1", "alpha");
    let own = pki.credentials("alpha");
    let alpha = Node::start(pki.credentials("alpha"), loopback(1));
    let beta = Node::start(pki.credentials("beta"), loopback(1));
    std::fs::rename(pki.path("beta"), pki.path("impostor")).unwrap();
    let right = pki.credentials("beta");
    let names = (name("alpha"), name("beta"));
    alpha
        .transport
        .set_keys(keys(&[(&names.0, &own), (&names.1, &right)]));
    // Only alpha dials: the impostor does not know it.
    alpha.transport.set_peers(vec![beta.as_peer()]);
    let events = alpha.drain(Duration::from_secs(1));
    let refused = events.iter().any(|event| match event {
        TransportEvent::LinkUp { .. } => panic!("it was believed"),
        TransportEvent::Refused { why, .. } => why.contains("not the one that beta joined with"),
        _ => false,
    });
    assert!(refused, "{events:?}");
}

#[test]
fn a_renewed_certificate_keeps_its_key_and_drops_nothing() {
    let pki = Pki::new("c1", "alpha");
    let soon = SystemTime::now() + Duration::from_secs(1);
    let before = pki.credentials_until("beta", soon);
    std::fs::copy(
        pki.path("alpha").join("ca.key"),
        pki.path("beta").join("ca.key"),
    )
    .unwrap();
    let (alpha, beta) = pair(&pki, 1);
    let beat = || {
        for _ in 0..10 {
            beta.transport
                .send_datagram(&alpha.name, "beat".into())
                .unwrap();
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    beat();
    let life = Duration::from_secs(3600);
    let renewed = renew(&pki.path("beta"), life).unwrap();
    assert_eq!(renewed.key_fingerprint(), before.key_fingerprint());
    assert_ne!(renewed.certificate(), before.certificate());
    assert!(renewed.validity().1 > before.validity().1);
    beta.transport.set_credentials(renewed);
    beat();
    let events = alpha.drain(Duration::from_millis(200));
    let beats = events
        .iter()
        .filter(|event| matches!(event, TransportEvent::Datagram { .. }))
        .count();
    assert_eq!((beats, events.len()), (20, 20), "{events:?}");
    // The next handshake shows the new one: what was about to expire is not mentioned.
    std::thread::sleep(Duration::from_millis(1100));
    alpha.transport.set_peers(vec![]);
    introduce(&[&alpha, &beta]);
    alpha.expect_links(&beta.name, 1);
    let events = alpha.drain(Duration::from_millis(300));
    let expired =
        |event: &TransportEvent| matches!(event, TransportEvent::CertificateExpired { .. });
    assert!(!events.iter().any(expired), "{events:?}");
}
