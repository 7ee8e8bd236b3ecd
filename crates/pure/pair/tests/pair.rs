//! Two nodes with their clocks, a network that can be cut, and disks that write at once: the profile
//! `appliance`, its sentences, and what leases and delays come to.

#![allow(
    clippy::expect_used,
    clippy::excessive_nesting,
    reason = "a test may panic, and its bed is one loop"
)]

use standfast_model::{
    id::{Incarnation, NodeId},
    pair::{Arbiter, BootPolicy, PairConfig, PingConfig, PingRound, Survivor},
    time::{Micros, Now},
};
use standfast_pair::{
    BootId, Effect, Event, History, Order, Pair, Record, Session, Settings, Side, State,
    clock::{Clocked, Input, Output},
    ping::Verdict,
};

const STEP: u64 = 100_000;
const NAMES: [&str; 2] = ["alpha", "beta"];

fn config(arbiter: Arbiter) -> PairConfig {
    PairConfig {
        nodes: NAMES.map(NodeId::from),
        arbiter,
        keep_alive: Micros::from_millis(2000),
        misses: 5,
        downtime: Micros::from_millis(30_000),
        drift_ppm: 10_000,
        survivor: Survivor::Primary,
        fence_delay: Micros::from_millis(5000),
        fence_random_delay: Micros::ZERO,
        fence_retry: Micros::from_millis(10_000),
        boot: BootPolicy::Automatic,
        failback: false,
        addresses_file: None,
        ping: None,
    }
}

struct Bed {
    nodes: [Option<Clocked>; 2],
    now: u64,
    cut: bool,
    /// Who reaches the ping target.
    reaches: [bool; 2],
    asked: usize,
    did: Vec<(u64, usize, Effect)>,
}

impl Bed {
    fn new(arbiter: Arbiter) -> Self {
        Self::with(&config(arbiter), 1)
    }

    fn with(config: &PairConfig, random: u64) -> Self {
        let arbiter = config.arbiter;
        let record = Record {
            history: Some(History::new(Side::First, Incarnation(0))),
            ..Record::default()
        };
        let node = |side, number| {
            let session = Session {
                boot: BootId(number),
                run: Incarnation(number),
            };
            let (boot, failback_to, planted) = (BootPolicy::Automatic, None, None);
            let settings = Settings {
                side,
                arbiter,
                boot,
                failback_to,
                by_log: false,
                planted,
            };
            let pair = Pair::start(settings, session, (record.clone(), 0), false);
            Some(Clocked::new(
                pair,
                config.clone(),
                Micros::from_millis(1000),
                random ^ number,
                Now::default(),
            ))
        };
        let nodes = [node(Side::First, 1), node(Side::Second, 2)];
        let mut bed = Self {
            nodes,
            now: 0,
            cut: false,
            reaches: [true; 2],
            asked: 0,
            did: Vec::new(),
        };
        bed.run(20);
        assert_eq!(bed.states(), [State::Normal; 2]);
        bed
    }

    fn give(&mut self, to: usize, input: Input) {
        let mut open = vec![(to, input)];
        while let Some((to, input)) = open.pop() {
            let now = Now {
                boot: self.now,
                raw: self.now,
            };
            let Some(node) = &mut self.nodes[to] else {
                continue;
            };
            for output in node.step(now, input) {
                match output {
                    Output::Send(packet) if !self.cut => open.push((1 - to, Input::Packet(packet))),
                    Output::Send(_) => {}
                    Output::Do(Effect::Persist(..)) => {
                        open.push((to, Input::Event(Event::Persisted(0))))
                    }
                    Output::Do(Effect::Stop) => {
                        self.did.push((self.now, to, Effect::Stop));
                        open.push((to, Input::Event(Event::Stopped)));
                    }
                    Output::Do(effect) => self.did.push((self.now, to, effect)),
                    Output::Ping(round) => {
                        self.asked += 1;
                        let (peer, targets) = (!self.cut, vec![self.reaches[to]]);
                        let over = true;
                        let told = PingRound {
                            round,
                            peer,
                            targets,
                            over,
                        };
                        open.push((to, Input::Pinged(told)));
                    }
                }
            }
        }
    }

    fn run(&mut self, seconds: u64) {
        let end = self.now + seconds * 1_000_000;
        while self.now < end {
            self.now += STEP;
            for side in 0..2 {
                self.give(side, Input::Tick);
            }
        }
    }

    fn states(&self) -> [State; 2] {
        [0, 1].map(|side| {
            self.nodes[side]
                .as_ref()
                .expect("it is there")
                .pair()
                .state()
        })
    }

    fn sentence(&self, side: usize) -> String {
        self.nodes[side]
            .as_ref()
            .expect("it is there")
            .pair()
            .sentence(NAMES)
    }

    /// Seconds from `start` until a node was told this.
    fn after(&self, start: u64, side: usize, wanted: impl Fn(&Effect) -> bool) -> Option<u64> {
        let found = self
            .did
            .iter()
            .find(|(at, on, effect)| *at >= start && *on == side && wanted(effect));
        found.map(|(at, _, _)| (at - start) / 1_000_000)
    }
}

#[test]
fn back_within_the_threshold_is_normal_again_by_itself() {
    let mut bed = Bed::new(Arbiter::Fence);
    bed.did.clear();
    bed.cut = true;
    bed.run(25);
    assert_eq!(bed.states(), [State::Normal; 2]);
    bed.cut = false;
    bed.run(5);
    assert_eq!(bed.states(), [State::Normal; 2]);
    assert_eq!(bed.did, [], "nothing was stopped, fenced or said");
}

#[test]
fn past_the_threshold_the_survivor_fences_first_and_a_failed_fence_releases_nothing() {
    let mut bed = Bed::new(Arbiter::Fence);
    let start = bed.now;
    bed.cut = true;
    bed.run(40);
    let fences = |effect: &Effect| matches!(effect, Effect::Fence(_));
    let (primary, secondary) = (bed.after(start, 0, fences), bed.after(start, 1, fences));
    assert!(
        primary < secondary && primary.is_some_and(|seconds| (28..=31).contains(&seconds)),
        "{primary:?} {secondary:?}"
    );
    assert_eq!(bed.states(), [State::Undecided, State::PrimaryDown]);
    assert_eq!(
        bed.sentence(1),
        "Secondary beta is up, primary alpha is down: not failed over yet, until its power is confirmed off."
    );
    bed.give(
        1,
        Input::Event(Event::Fenced(
            BootId(1),
            standfast_pair::FenceOutcome::Failed,
        )),
    );
    assert_eq!(
        bed.sentence(1),
        "Secondary beta is up, primary alpha is down: not failed over yet, because fencing failed and releases nothing."
    );
    bed.nodes[0] = None;
    bed.give(
        1,
        Input::Event(Event::Operator(Order::PeerIsOff(BootId(1)))),
    );
    assert_eq!(
        bed.sentence(1),
        "Secondary beta took over, primary alpha is down: the service continues, and can survive no loss."
    );
}

#[test]
fn without_a_fixed_delay_chance_decides_who_fences_first() {
    let config = PairConfig {
        fence_delay: Micros::ZERO,
        fence_random_delay: Micros::from_millis(20_000),
        ..config(Arbiter::Fence)
    };
    let fences = |effect: &Effect| matches!(effect, Effect::Fence(_));
    let first = |random: u64| {
        let mut bed = Bed::with(&config, random.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let start = bed.now;
        bed.cut = true;
        bed.run(60);
        let of = |side| bed.after(start, side, fences).expect("each fences");
        of(0).cmp(&of(1))
    };
    let drawn: Vec<_> = (0..40).map(first).collect();
    let count = |wanted| drawn.iter().filter(|order| **order == wanted).count();
    let (primary, secondary) = (
        count(std::cmp::Ordering::Less),
        count(std::cmp::Ordering::Greater),
    );
    assert!(primary >= 8 && secondary >= 8, "{primary} {secondary}");
}

#[test]
fn with_ping_targets_the_leader_has_stopped_before_the_other_one_may_start() {
    let mut bed = Bed::new(Arbiter::Ping);
    bed.run(5);
    let start = bed.now;
    bed.cut = true;
    for _ in 0..40 {
        bed.run(1);
        bed.give(1, Input::Event(Event::PingGrant));
    }
    let stopped = bed
        .after(start, 0, |effect| *effect == Effect::Stop)
        .expect("its lease ended");
    let started = bed
        .after(start, 1, |effect| *effect == Effect::Start)
        .expect("it took over");
    assert!(
        stopped < 30 && started >= 30 && stopped < started,
        "{stopped} {started}"
    );
}

/// Three pings of the peer, a second apart, and one target.
fn with_targets() -> Bed {
    let mut config = config(Arbiter::Ping);
    config.ping = Some(PingConfig {
        iterations: 3,
        interval: Micros::from_millis(1000),
        gateway: "10.0.0.254".to_owned(),
        targets: Vec::new(),
    });
    Bed::with(&config, 1)
}

#[test]
fn whoever_reaches_the_targets_alone_is_primary_alone() {
    for winner in 0..2 {
        let mut bed = with_targets();
        bed.run(5);
        let start = bed.now;
        bed.cut = true;
        bed.reaches = [winner == 0, winner == 1];
        bed.run(60);
        let stopped = bed.after(start, 0, |effect| *effect == Effect::Stop);
        let started = bed.after(start, 1, |effect| *effect == Effect::Start);
        if winner == 0 {
            assert_eq!((stopped, started), (None, None));
            assert_eq!(bed.states(), [State::SecondaryDown, State::PrimaryDown]);
            assert!(
                bed.sentence(1).contains("until the ping rules allow it"),
                "{}",
                bed.sentence(1)
            );
        } else {
            let (stopped, started) = (stopped.expect("gave up"), started.expect("took over"));
            assert!(
                stopped < 30 && started >= 30 && stopped < started,
                "{stopped} {started}"
            );
            assert_eq!(bed.states(), [State::Waiting, State::TookOver]);
            assert!(bed.sentence(0).contains("gave up"), "{}", bed.sentence(0));
        }
        bed.cut = false;
        bed.run(20);
        assert_eq!(bed.states(), [State::Normal; 2], "winner {winner}");
        let asked = bed.asked;
        bed.run(10);
        assert_eq!(bed.asked - asked, 20, "once a second each");
    }
}

#[test]
fn where_nobody_reaches_a_target_nobody_is_primary() {
    let mut bed = with_targets();
    bed.cut = true;
    bed.reaches = [false; 2];
    bed.run(200);
    assert_eq!(bed.states(), [State::Waiting, State::PrimaryDown]);
    let node = bed.nodes[1].as_ref().expect("it is there");
    assert_eq!(node.verdict(), Some(Verdict::CutOff { asked: 1 }));
    // The secondary is asked for its word as soon as the target is back; the old primary does not know what the other one did.
    bed.reaches = [true; 2];
    bed.run(5);
    assert_eq!(bed.states(), [State::Waiting, State::TookOver]);
}

#[test]
fn a_primary_that_went_on_alone_goes_on_asking_and_says_when_nobody_answers_any_more() {
    let mut bed = with_targets();
    let verdict = |bed: &Bed| bed.nodes[0].as_ref().expect("it is there").verdict();
    bed.cut = true;
    bed.reaches = [true, false];
    bed.run(60);
    assert_eq!(bed.states(), [State::SecondaryDown, State::PrimaryDown]);
    assert_eq!(verdict(&bed), None);
    bed.did.clear();
    let asked = bed.asked;
    bed.reaches = [false; 2];
    bed.run(30);
    assert_eq!(bed.asked - asked, 60, "once a second each");
    assert_eq!(verdict(&bed), Some(Verdict::Deserted { asked: 1 }));
    assert_eq!(bed.states_of(0), State::SecondaryDown);
    bed.reaches = [true, false];
    bed.run(2);
    assert_eq!(verdict(&bed), None, "it may have been the gateway");
    assert!(
        !bed.did.iter().any(|(_, side, _)| *side == 0),
        "nothing was stopped: {:?}",
        bed.did
    );
    // The other one is granted what it waits for: ping targets cannot promise more, and this is what the warning is about.
    bed.reaches = [false, true];
    bed.run(5);
    assert_eq!(bed.states(), [State::SecondaryDown, State::TookOver]);
    assert_eq!(verdict(&bed), Some(Verdict::Deserted { asked: 1 }));
}

#[test]
fn of_two_that_both_went_on_the_one_that_took_over_goes_on_when_they_meet() {
    for first in 0..2 {
        let mut bed = with_targets();
        if first == 1 {
            bed.give(0, Input::Event(Event::Operator(Order::Swap)));
            bed.run(10);
        }
        bed.cut = true;
        bed.run(60);
        let mut both = [State::SecondaryDown, State::TookOver];
        if first == 1 {
            both.reverse();
        }
        assert_eq!(bed.states(), both, "what ping targets cannot promise");
        bed.cut = false;
        bed.run(10);
        assert_eq!(bed.states(), [State::Diverged; 2]);
        let acts = [0, 1].map(|side| {
            let node = bed.nodes[side].as_ref().expect("it is there");
            node.pair().acts()
        });
        assert_eq!(acts, [first == 1, first == 0]);
        bed.give(first, Input::Event(Event::Operator(Order::Rebuild)));
        bed.run(10);
        assert_eq!(bed.states(), [State::Normal; 2]);
    }
}

#[test]
fn a_blip_that_half_a_lease_outlasts_moves_nothing() {
    let mut bed = with_targets();
    let start = bed.now;
    bed.cut = true;
    bed.run(10);
    bed.cut = false;
    bed.run(20);
    assert_eq!(bed.states(), [State::Normal; 2]);
    let changed = bed
        .did
        .iter()
        .any(|(at, _, effect)| *at >= start && matches!(effect, Effect::Start | Effect::Stop));
    assert!(!changed, "{:?}", bed.did);
}

#[test]
fn without_an_arbiter_only_an_operator_makes_the_secondary_primary() {
    let mut bed = Bed::new(Arbiter::None);
    bed.cut = true;
    bed.run(120);
    assert_eq!(
        bed.sentence(0),
        "Primary alpha is up, secondary beta is down: the service continues, and can survive no loss."
    );
    assert_eq!(bed.states(), [State::SecondaryDown, State::PrimaryDown]);
    bed.nodes[0] = None;
    bed.give(1, Input::Event(Event::Operator(Order::ForcePrimary)));
    assert_eq!(bed.states_of(1), State::TookOver);
}

#[test]
fn a_swap_changes_places_and_can_be_repeated() {
    let mut bed = Bed::new(Arbiter::Fence);
    bed.give(0, Input::Event(Event::Operator(Order::Swap)));
    bed.run(10);
    assert_eq!(
        bed.sentence(0),
        "The pair runs normally: beta is primary, alpha is secondary and in sync."
    );
    bed.give(1, Input::Event(Event::Operator(Order::Promote)));
    bed.give(0, Input::Event(Event::Operator(Order::Demote)));
    bed.run(10);
    assert_eq!(bed.sentence(1), bed.sentence(0), "both are so already");
}

impl Bed {
    fn states_of(&self, side: usize) -> State {
        self.nodes[side]
            .as_ref()
            .expect("it is there")
            .pair()
            .state()
    }
}
