//! Joining: what a token is good for, once, for a while, at the cluster that made it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
#![allow(
    clippy::print_stdout,
    reason = "tests that measure say what they measured"
)]

mod support;

use std::{
    os::unix::fs::PermissionsExt,
    path::Path,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use standfast_transport::{
    NodeName, TransportEvent,
    join::{JoinError, JoinOptions, JoinRequest, JoinToken, Joined, join},
    pki::{Authority, CA_KEY, NODE_KEY},
};
use support::{Node, Pki, introduce, loopback, name};

const SOON: Duration = Duration::from_secs(5);
const LIFETIME: Duration = Duration::from_secs(60);

fn member(pki: &Pki) -> Node {
    Node::start(pki.credentials("alpha"), loopback(1))
}

fn token(node: &Node, pki: &Pki, lifetime: Duration) -> JoinToken {
    node.transport
        .open_join(pki.authority(), node.addresses(), lifetime)
        .unwrap()
}

fn start_join(token: &JoinToken, who: &str, dir: &Path) -> JoinHandle<Result<Joined, JoinError>> {
    // Through its text, as an operator would carry it.
    let options = JoinOptions {
        witness: false,
        through: None,
        token: token.to_string().parse().unwrap(),
        name: name(who),
        addresses: vec!["10.9.8.7:7400".parse().unwrap()],
        feature_level: 3,
    };
    let dir = dir.join(who);
    std::thread::spawn(move || join(&options, &dir))
}

fn request(node: &Node) -> JoinRequest {
    let until = Instant::now() + SOON;
    while let Ok(event) = node.events.recv_timeout(until - Instant::now()) {
        if let TransportEvent::Join(request) = event {
            return request;
        }
    }
    panic!("nobody asked to join");
}

fn assert_nobody_asked(node: &Node) {
    let events = node.drain(Duration::from_millis(200));
    let asked = events
        .iter()
        .any(|event| matches!(event, TransportEvent::Join(_)));
    assert!(!asked, "{events:?}");
}

#[test]
fn an_accepted_node_gets_its_keys_and_is_a_member_like_any_other() {
    let pki = Pki::new("c1", "alpha");
    let alpha = member(&pki);
    let token = token(&alpha, &pki, LIFETIME);
    let joining = start_join(&token, "gamma", pki.dir.path());
    let asked = request(&alpha);
    assert_eq!((asked.name.as_str(), asked.feature_level), ("gamma", 3));
    assert_eq!(asked.addresses, ["10.9.8.7:7400".parse().unwrap()]);
    asked.accept(vec![5; 3_000_000].into(), true);
    let joined = joining.join().unwrap().unwrap();
    assert_eq!(joined.bootstrap, vec![5; 3_000_000]);

    let dir = pki.path("gamma");
    for file in [NODE_KEY, CA_KEY] {
        let mode = dir.join(file).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    let authority = Authority::load(&dir).unwrap();
    assert_eq!(authority.fingerprint(), pki.authority().fingerprint());

    let gamma = Node::start(joined.credentials, loopback(1));
    introduce(&[&alpha, &gamma]);
    gamma.expect_links(&NodeName::new("alpha").unwrap(), 1);
    gamma
        .transport
        .send_stream(&alpha.name, "hello".into())
        .unwrap();
    alpha.expect_message(&gamma.name, b"hello", SOON);
}

#[test]
fn a_refusal_shows_its_reason_and_leaves_the_token_as_it_was_and_no_certificate() {
    let pki = Pki::new("c1", "alpha");
    let alpha = member(&pki);
    let token = token(&alpha, &pki, LIFETIME);
    let joining = start_join(&token, "gamma", pki.dir.path());
    request(&alpha).refuse("there is a gamma already");
    match joining.join().unwrap() {
        Err(JoinError::Refused(why)) => assert_eq!(why, "there is a gamma already"),
        other => panic!("{other:?}"),
    }
    // Only its own key is left, so that whoever asks again is the same node.
    assert!(!pki.path("gamma").join("ca.crt").exists());
    assert!(!pki.path("gamma").join("node.crt").exists());
    let joining = start_join(&token, "delta", pki.dir.path());
    request(&alpha).accept("".into(), false);
    joining.join().unwrap().unwrap();
    assert!(
        !pki.path("delta").join(CA_KEY).exists(),
        "no authority for a node that votes not"
    );
}

#[test]
fn a_token_works_once() {
    let pki = Pki::new("c1", "alpha");
    let alpha = member(&pki);
    let used = token(&alpha, &pki, LIFETIME);
    let joining = start_join(&used, "gamma", pki.dir.path());
    request(&alpha).accept("".into(), false);
    joining.join().unwrap().unwrap();

    // No token is alive: the handshake itself fails. Until the used one is put away, which is after the answer, it is
    // refused.
    let patience = Instant::now() + Duration::from_secs(10);
    loop {
        match start_join(&used, "delta", pki.dir.path()).join().unwrap() {
            Err(JoinError::Unreachable(why)) if why.contains("used or expired") => break,
            Err(JoinError::Refused(_)) if Instant::now() < patience => {}
            other => panic!("{other:?}"),
        }
    }
    // Another token is alive: the used one is still worth nothing.
    let _other = token(&alpha, &pki, LIFETIME);
    let again = start_join(&used, "delta", pki.dir.path()).join().unwrap();
    assert!(matches!(again, Err(JoinError::Refused(_))), "{again:?}");
    assert_nobody_asked(&alpha);
}

#[test]
fn two_nodes_with_one_token_do_not_both_get_in() {
    let pki = Pki::new("c1", "alpha");
    let alpha = member(&pki);
    let token = token(&alpha, &pki, LIFETIME);
    let first = start_join(&token, "gamma", pki.dir.path());
    let asked = request(&alpha);
    let second = start_join(&token, "delta", pki.dir.path()).join().unwrap();
    assert!(matches!(second, Err(JoinError::Refused(_))), "{second:?}");
    asked.accept("".into(), false);
    first.join().unwrap().unwrap();
}

#[test]
fn an_expired_token_is_worth_nothing() {
    let pki = Pki::new("c1", "alpha");
    let alpha = member(&pki);
    let token = token(&alpha, &pki, Duration::from_millis(50));
    std::thread::sleep(Duration::from_millis(500));
    let late = start_join(&token, "gamma", pki.dir.path()).join().unwrap();
    assert!(matches!(late, Err(JoinError::Unreachable(_))), "{late:?}");
    assert_nobody_asked(&alpha);
}

#[test]
fn a_token_that_this_member_did_not_make_is_worth_nothing() {
    let pki = Pki::new("c1", "alpha");
    let alpha = member(&pki);
    let _alive = token(&alpha, &pki, LIFETIME);
    let beta = Node::start(pki.credentials("beta"), loopback(1));
    let foreign = beta
        .transport
        .open_join(pki.authority(), alpha.addresses(), LIFETIME)
        .unwrap();
    let result = start_join(&foreign, "gamma", pki.dir.path())
        .join()
        .unwrap();
    assert!(matches!(result, Err(JoinError::Refused(_))), "{result:?}");
    assert_nobody_asked(&alpha);
}

#[test]
fn a_member_of_another_cluster_is_not_told_anything() {
    let pki = Pki::new("c1", "alpha");
    let alpha = member(&pki);
    let _alive = token(&alpha, &pki, LIFETIME);
    // The token names the authority of another cluster, of the same id even.
    let other = Pki::new("c1", "omega");
    let omega = Node::start(other.credentials("omega"), loopback(1));
    let misdirected = omega
        .transport
        .open_join(other.authority(), alpha.addresses(), LIFETIME)
        .unwrap();
    let result = start_join(&misdirected, "gamma", pki.dir.path())
        .join()
        .unwrap();
    match result {
        Err(JoinError::Unreachable(why)) => {
            assert!(
                why.contains("its authority is not the one of the token"),
                "{why}"
            );
        }
        other => panic!("{other:?}"),
    }
    assert_nobody_asked(&alpha);
}

#[test]
fn an_existing_directory_is_not_overwritten() {
    let pki = Pki::new("c1", "alpha");
    let alpha = member(&pki);
    let token = token(&alpha, &pki, LIFETIME);
    let result = start_join(&token, "alpha", pki.dir.path()).join().unwrap();
    assert!(matches!(result, Err(JoinError::Pki(_))), "{result:?}");
}
