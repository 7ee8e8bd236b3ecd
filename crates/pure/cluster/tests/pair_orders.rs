//! An operator's orders to a pair, with whoever acts dying after each step of it, and the command with it: given again, the order
//! is carried out, and at no moment two nodes run the service (the world looks at each start).
#![allow(clippy::panic, clippy::unwrap_used, reason = "tests")]

mod net;

use net::{
    Net,
    pairs::{
        assert_state, change, done, name_of, order, order_and_leave, pair, pair_with, settings,
        view,
    },
};
use standfast_model::{
    id::{MemberId, NodeId},
    pair::{Arbiter, BootPolicy, PairConfig, PairOrder, Survivor},
    request::{RefusalKind, Request, Response},
};

/// What is asked of a pair, and how one sees that it is so.
struct Order {
    order: PairOrder,
    /// Who is asked.
    at: &'static str,
    begin: fn() -> Net,
    is_done: fn(&mut Net) -> bool,
}

const BOTH: [&str; 2] = ["alpha", "beta"];

fn member(name: &str) -> MemberId {
    MemberId(if name == "alpha" { 1 } else { 2 })
}

fn in_sync() -> Net {
    pair(Arbiter::None)
}

/// beta was away while something changed, and has just started again.
fn beta_is_back() -> Net {
    let mut net = pair(Arbiter::None);
    net.crash("beta");
    net.run(2000);
    done(change(&mut net, "alpha", "meanwhile"));
    net.power_on("beta", member("beta"));
    net
}

/// Each has what the other one lacks; beta is the primary.
fn diverged() -> Net {
    let mut net = pair(Arbiter::None);
    net.cut.insert("beta".into());
    net.run(2000);
    done(change(&mut net, "alpha", "only alpha has it"));
    net.crash("alpha");
    net.cut.clear();
    net.run(2000);
    done(order(&mut net, "beta", PairOrder::ForcePrimary));
    net.run(5000);
    done(change(&mut net, "beta", "only beta has it"));
    net.power_on("alpha", member("alpha"));
    net.run(3000);
    assert_state(&mut net, "alpha", "diverged");
    net
}

fn state_of(net: &mut Net, node: &str) -> String {
    view(net, node).state
}

fn both_are(net: &mut Net, state: &str) -> bool {
    BOTH.iter().all(|node| state_of(net, node) == state)
}

fn runs_on(net: &Net, node: &str) -> bool {
    net.runs_on("web") == [node]
}

/// alpha goes on, and beta is out of it.
fn is_torn_down(net: &mut Net) -> bool {
    let state = net.core("alpha").inspect().state;
    let alone = state.config.pair.is_none()
        && state
            .members
            .values()
            .all(|info| info.node.as_str() == "alpha");
    let beta = net.core("beta").inspect();
    let out = beta
        .pair
        .is_some_and(|pair| pair.record().dissolved && !pair.acts());
    alone && out && runs_on(net, "alpha")
}

const ORDERS: [Order; 6] = [
    Order {
        order: PairOrder::Promote,
        at: "beta",
        begin: in_sync,
        is_done: |net| runs_on(net, "beta") && both_are(net, "normal"),
    },
    Order {
        order: PairOrder::Demote,
        at: "alpha",
        begin: in_sync,
        is_done: |net| net.runs_on("web").is_empty() && both_are(net, "no-primary"),
    },
    Order {
        order: PairOrder::Swap,
        at: "alpha",
        begin: in_sync,
        is_done: |net| runs_on(net, "beta") && both_are(net, "normal"),
    },
    Order {
        order: PairOrder::Recover,
        at: "beta",
        begin: beta_is_back,
        is_done: |net| {
            both_are(net, "normal") && name_of(net, "beta") == "meanwhile" && runs_on(net, "alpha")
        },
    },
    Order {
        order: PairOrder::Rebuild,
        at: "alpha",
        begin: diverged,
        is_done: |net| {
            both_are(net, "normal")
                && name_of(net, "alpha") == "only beta has it"
                && net.runs_on("web").len() == 1
        },
    },
    Order {
        order: PairOrder::Teardown,
        at: "alpha",
        begin: in_sync,
        is_done: is_torn_down,
    },
];

/// The order with `dies` killed after so many steps of its own. False: it was carried out before that.
fn interrupted(given: &Order, dies: &str, after: u64) -> bool {
    let mut net = (given.begin)();
    net.ends_after = Some((NodeId::from(dies), after));
    order_and_leave(&mut net, given.at, given.order);
    for _ in 0..400 {
        if net.ends_after.is_none() {
            break;
        }
        if (given.is_done)(&mut net) {
            return false;
        }
        net.run(20);
    }
    let text = format!("{:?}, {dies} ended after {after} steps", given.order);
    assert!(
        net.ends_after.is_none(),
        "{text}: not carried out:\n{}",
        net.log.join("\n")
    );
    // Half of the times it is the machine.
    if after.is_multiple_of(2) {
        net.run(100);
        let reborn = net.reborn.get(&NodeId::from(dies)).copied();
        net.start_agent(dies, reborn.unwrap_or(member(dies)));
    } else {
        net.crash(dies);
        net.run(1500);
        net.power_on(dies, member(dies));
    }
    for _ in 0..60 {
        net.run(500);
        if (given.is_done)(&mut net) {
            net.run(1000);
            assert!((given.is_done)(&mut net), "{text}: it did not stay so");
            return true;
        }
        // Given to the other one, or twice, it would be another swap.
        if given.order != PairOrder::Swap || view(&mut net, given.at).role == "primary" {
            order_and_leave(&mut net, given.at, given.order);
        }
    }
    panic!("{text}: never carried out:\n{}", net.log.join("\n"));
}

/// Every step at first, fewer later: what repeats itself are keep-alives.
fn each_step(number: usize) {
    let given = &ORDERS[number];
    for dies in BOTH {
        let mut after = 0;
        while interrupted(given, dies, after) {
            after += if after < 12 { 1 } else { after / 4 };
            assert!(after < 2000, "{:?} has no end", given.order);
        }
        let few = if dies == given.at { 3 } else { 0 };
        assert!(after > few, "{:?}: {dies} does nothing for it", given.order);
    }
}

#[test]
fn a_promotion_survives_every_death() {
    each_step(0);
}

#[test]
fn a_demotion_survives_every_death() {
    each_step(1);
}

#[test]
fn a_swap_survives_every_death() {
    each_step(2);
}

#[test]
fn a_recovery_survives_every_death() {
    each_step(3);
}

#[test]
fn a_rebuild_survives_every_death() {
    each_step(4);
}

#[test]
fn a_teardown_survives_every_death() {
    each_step(5);
}

#[test]
fn a_pair_is_torn_down_without_interruption() {
    let mut net = pair(Arbiter::Fence);
    let refused = net.ask(
        "alpha",
        Request::Remove {
            node: "beta".into(),
            author: "t".to_owned(),
        },
    );
    let Response::Refused(refusal) = refused else {
        panic!("half of a pair was removed: {refused:?}")
    };
    assert!(refusal.text.contains("pair teardown"), "{}", refusal.text);
    // By the word of the secondary.
    done(order(&mut net, "beta", PairOrder::Teardown));
    net.run(2000);
    assert!(is_torn_down(&mut net), "{}", net.log.join("\n"));
    assert_eq!(net.starts, 1, "it ran on");
    assert!(net.orders.is_empty(), "nobody was fenced");
    done(order(&mut net, "alpha", PairOrder::Teardown));
    done(net.configure("alpha", |config| config.name = "one".to_owned()));
    assert_state(&mut net, "beta", "dissolved");
    // Neither forgets it.
    net.crash("alpha");
    net.crash("beta");
    net.power_on("beta", member("beta"));
    net.run(5000);
    assert_state(&mut net, "beta", "dissolved");
    assert!(net.runs_on("web").is_empty());
    net.power_on("alpha", member("alpha"));
    net.run(5000);
    assert_eq!(net.runs_on("web"), ["alpha"], "{}", net.log.join("\n"));
    assert_eq!(name_of(&net, "alpha"), "one");
}

#[test]
fn a_primary_ends_the_pair_alone_only_when_it_is_alone_by_right() {
    let mut net = pair(Arbiter::Fence);
    net.crash("beta");
    net.run(3000);
    assert_state(&mut net, "alpha", "undecided");
    let Response::Refused(refusal) = order(&mut net, "alpha", PairOrder::Teardown) else {
        panic!("the other one may take over")
    };
    assert_eq!(refusal.kind, RefusalKind::NoQuorum);
    net::pairs::device_says(&mut net, "");
    net.run(500);
    assert_state(&mut net, "alpha", "secondary-down");
    done(order(&mut net, "alpha", PairOrder::Teardown));
    net.run(1000);
    assert!(net.core("alpha").inspect().state.config.pair.is_none());
    assert_eq!(
        (net.runs_on("web"), net.starts),
        (vec!["alpha".to_owned()], 1)
    );
    // The other one comes back, and is nobody.
    net.power_on("beta", member("beta"));
    net.run(5000);
    assert_ne!(view(&mut net, "beta").role, "primary");
    assert_eq!(
        (net.runs_on("web"), net.starts),
        (vec!["alpha".to_owned()], 1)
    );
}

#[test]
fn a_lone_secondary_cannot_end_a_pair() {
    let mut net = pair(Arbiter::None);
    net.crash("alpha");
    net.run(2000);
    let Response::Refused(refusal) = order(&mut net, "beta", PairOrder::Teardown) else {
        panic!("nothing would run anywhere")
    };
    assert!(refusal.text.contains("force"), "{}", refusal.text);
    done(order(&mut net, "beta", PairOrder::ForcePrimary));
    net.run(5000);
    done(order(&mut net, "beta", PairOrder::Teardown));
    net.run(1000);
    assert!(net.core("beta").inspect().state.config.pair.is_none());
    assert_eq!(net.runs_on("web"), ["beta"]);
}

fn fails_back(failback: bool) -> PairConfig {
    PairConfig {
        survivor: Survivor::Node("alpha".into()),
        failback,
        ..settings(Arbiter::Fence)
    }
}

/// alpha was lost, beta took over, and alpha is back in sync.
fn alpha_is_back(net: &mut Net) {
    net.crash("alpha");
    net.run(1600);
    net::pairs::device_says(net, "");
    net.run(1000);
    assert_eq!(net.runs_on("web"), ["beta"]);
    net.power_on("alpha", member("alpha"));
}

#[test]
fn a_primary_goes_back_by_itself_only_where_that_is_configured() {
    let mut net = pair_with(&fails_back(false));
    alpha_is_back(&mut net);
    net.run(10_000);
    assert_eq!(net.runs_on("web"), ["beta"], "{}", net.log.join("\n"));
    // Configured by now, but something is in maintenance.
    let group_is = |maintenance: bool, net: &mut Net| {
        done(net.configure("beta", |config| {
            config.pair = Some(fails_back(true));
            for group in config.groups.values_mut() {
                group.maintenance = maintenance;
            }
        }));
    };
    group_is(true, &mut net);
    net.run(5000);
    assert_eq!(net.runs_on("web"), ["beta"], "{}", net.log.join("\n"));
    assert_state(&mut net, "beta", "normal");
    group_is(false, &mut net);
    net.run(5000);
    assert_eq!(net.runs_on("web"), ["alpha"], "{}", net.log.join("\n"));
    assert_state(&mut net, "beta", "normal");

    let mut net = pair_with(&fails_back(true));
    alpha_is_back(&mut net);
    net.run(600);
    assert_eq!(
        net.runs_on("web"),
        ["beta"],
        "not before it was in sync for a while"
    );
    net.run(6000);
    assert_eq!(net.runs_on("web"), ["alpha"], "{}", net.log.join("\n"));
    net.run(5000);
    assert_eq!(net.runs_on("web"), ["alpha"], "and there it stays");
    assert!(both_are(&mut net, "normal"));
}

#[test]
fn becoming_secondary_is_automatic_and_becoming_primary_is_configurable() {
    let policy = PairConfig {
        boot: BootPolicy::Operator,
        ..settings(Arbiter::None)
    };
    let mut net = pair_with(&policy);
    net.crash("beta");
    net.run(100);
    net.power_on("beta", member("beta"));
    net.run(4000);
    assert!(both_are(&mut net, "normal"), "a secondary asks nobody");
    for node in BOTH {
        net.crash(node);
    }
    for node in BOTH {
        net.power_on(node, member(node));
    }
    net.run(6000);
    assert!(both_are(&mut net, "no-primary"), "{}", net.log.join("\n"));
    assert!(net.runs_on("web").is_empty());
    done(order(&mut net, "beta", PairOrder::Promote));
    net.run(5000);
    assert_eq!(net.runs_on("web"), ["beta"], "{}", net.log.join("\n"));
    assert!(both_are(&mut net, "normal"));
}

#[test]
fn who_has_just_started_does_not_take_itself_for_the_only_one() {
    let mut net = beta_is_back();
    let mut said = Vec::new();
    for _ in 0..3000 {
        let now = view(&mut net, "beta");
        if said.last() != Some(&now.state) {
            said.push(now.state);
        }
        net.run(1);
    }
    assert_eq!(
        said.first().map(String::as_str),
        Some("starting"),
        "{said:?}"
    );
    assert_eq!(said.last().map(String::as_str), Some("normal"), "{said:?}");
    assert!(!said.contains(&"one-node".to_owned()), "{said:?}");
}
