//! From readings of a clock to the events of `Pair` that are about time: keep-alives, downtime threshold,
//! leases, the delay before fencing.
//!
//! A keep-alive names the newest one that was heard. So each side knows when it sent what the other one has
//! answered: a leader counts its lease from there, a follower from when it came, which was later. Not
//! being answered is being lost, in both directions alike.
//!
//! Not for what any of that leads to.

use crate::{
    event::{Confirms, Effect, Event, Role, Session, Word},
    history::Side,
    pair::Pair,
    ping::Pings,
};
use standfast_model::{
    pair::{PairConfig, PingRound, Survivor},
    time::{HoldUntil, Micros, Now, WaitUntil},
};
use std::collections::BTreeMap;

/// Keep-alives that may still be answered.
const UNANSWERED: usize = 64;

/// A word with its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Grows by one with each of this run.
    pub number: u64,
    /// The newest number that the sender has heard from this run of ours.
    pub heard: Option<u64>,
    /// What it says.
    pub word: Word,
}

/// What the clocked node is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Time passed.
    Tick,
    /// The peer's packet came.
    Packet(Packet),
    /// What came of a round of pings so far.
    Pinged(PingRound),
    /// Anything that is not about time.
    Event(Event),
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this to the peer.
    Send(Packet),
    /// Ask the peer and the ping targets: the number of the round.
    Ping(u64),
    /// Carry this out.
    Do(Effect),
}

/// A node of a pair with its timers.
#[derive(Clone, Debug)]
pub struct Clocked {
    pub(crate) pair: Pair,
    pub(crate) config: PairConfig,
    /// A holder begins to stop this long before its lease ends.
    stop_budget: Micros,
    random: u64,
    number: u64,
    sent: BTreeMap<u64, Now>,
    last_sent: Option<Now>,
    /// The newest packet of the peer, and of which run it was.
    heard: Option<(Session, u64)>,
    /// When we sent the newest that was answered; at first, when we started.
    answered: Now,
    /// The same, by a peer that followed us.
    followed: Option<Now>,
    /// When the newest packet came: what we answer to it gives no longer lease than from then.
    promised: Option<Now>,
    pub(crate) told_lost: Option<Now>,
    fence: Option<WaitUntil>,
    in_sync_since: Option<Now>,
    /// The peer said that it will be silent: number of that word, and until when.
    silence: Option<(u64, WaitUntil)>,
    /// With ping targets as the arbiter.
    pub(crate) pings: Option<Pings>,
}

impl Clocked {
    /// A node that starts now. `random` is drawn at each start.
    #[must_use]
    pub fn new(pair: Pair, config: PairConfig, stop_budget: Micros, random: u64, now: Now) -> Self {
        let pings = config.ping.as_ref().map(Pings::new);
        Self {
            pair,
            config,
            pings,
            stop_budget,
            random,
            number: 0,
            sent: BTreeMap::new(),
            last_sent: None,
            heard: None,
            answered: now,
            followed: None,
            promised: None,
            told_lost: None,
            fence: None,
            in_sync_since: None,
            silence: None,
        }
    }

    /// The node.
    #[must_use]
    pub const fn pair(&self) -> &Pair {
        &self.pair
    }

    /// Other settings, from now on. The two nodes and their arbiter stay as they are.
    pub fn configure(&mut self, config: &PairConfig) {
        if self.config != *config {
            if self.config.ping != config.ping {
                self.pings = config.ping.as_ref().map(Pings::new);
            }
            self.config = config.clone();
            self.pair.settings.boot = config.boot;
            self.pair.settings.failback_to = failback_to(config);
        }
    }

    /// See [`Pair::adopt_newer`].
    pub fn adopt_newer(&mut self, word: &Word) -> bool {
        self.pair.adopt_newer(word)
    }

    /// See [`Pair::abandon_adoption`].
    pub fn abandon_adoption(&mut self) {
        self.pair.abandon_adoption();
    }

    /// The peer said that it will be silent for so long, from about now: it is not taken for lost before that is
    /// over, or another run of it is heard. The same word, by its number, counts once.
    pub fn expect_silence(&mut self, number: u64, now: Now, length: Micros) {
        if self.silence.is_none_or(|(known, _)| known != number) {
            self.silence = Some((number, WaitUntil { from: now, length }));
        }
    }

    /// The peer says no such thing any more.
    pub const fn expect_nothing(&mut self) {
        self.silence = None;
    }

    /// Our word, to be sent now.
    pub fn word_now(&mut self, now: Now) -> Packet {
        self.number += 1;
        self.sent.insert(self.number, now);
        while self.sent.len() > UNANSWERED {
            self.sent.pop_first();
        }
        self.last_sent = Some(now);
        let word = self.pair.word();
        let run = word.to.map(|(run, _)| run);
        let heard = self.heard.filter(|(session, _)| Some(session.run) == run);
        let heard = heard.map(|(_, number)| number);
        Packet {
            number: self.number,
            heard,
            word,
        }
    }

    /// How long until it wants a tick, if nothing happens before.
    #[must_use]
    pub fn next_tick(&self, now: Now) -> Micros {
        let since = |at: Option<Now>| at.map_or(Micros::MAX, |at| now.waited_since(at));
        let word = self.config.keep_alive.minus(since(self.last_sent));
        let lost = self.lost_after().minus(now.waited_since(self.answered));
        let silence = self
            .silence
            .map_or(Micros::ZERO, |(_, until)| until.left(now));
        let lost = lost.max(silence);
        let lost = if self.told_lost.is_some() { word } else { lost };
        let fence = self.fence.map_or(Micros::MAX, |wait| wait.left(now));
        let asks = self.next_asking(now);
        word.min(lost).min(fence).min(asks).max(Micros(1))
    }

    /// Keep-alives in a row that were not answered are more than an operator should hear nothing of.
    #[must_use]
    pub fn misses(&self, now: Now) -> bool {
        now.waited_since(self.answered).0
            >= self.config.keep_alive.0 * u64::from(self.config.misses)
    }

    /// Takes one input at a time `now`.
    pub fn step(&mut self, now: Now, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        match input {
            Input::Tick => {}
            Input::Packet(packet) => self.on_packet(now, packet, &mut out),
            Input::Pinged(round) => self.on_pinged(now, &round, &mut out),
            Input::Event(event) => self.tell(now, event, &mut out),
        }
        self.keep_lease(now, &mut out);
        self.watch_peer(now, &mut out);
        self.watch_targets(now, &mut out);
        self.watch_fence(now, &mut out);
        self.watch_failback(now, &mut out);
        if self
            .last_sent
            .is_none_or(|sent| now.waited_since(sent) >= self.config.keep_alive)
        {
            self.speak(now, &mut out);
        }
        out
    }

    pub(crate) fn tell(&mut self, now: Now, event: Event, out: &mut Vec<Output>) {
        let mut speaks = false;
        for effect in self.pair.step(event) {
            if effect == Effect::Speak {
                speaks = true;
            } else {
                out.push(Output::Do(effect));
            }
        }
        if speaks {
            self.speak(now, out);
        }
    }

    fn speak(&mut self, now: Now, out: &mut Vec<Output>) {
        let packet = self.word_now(now);
        out.push(Output::Send(packet));
    }

    fn on_packet(&mut self, now: Now, packet: Packet, out: &mut Vec<Output>) {
        let to_us = packet
            .word
            .to
            .is_some_and(|(run, _)| run == self.pair.word().from.run);
        let sent = packet
            .heard
            .filter(|_| to_us)
            .and_then(|number| self.sent.get(&number));
        if let Some(sent) = sent.copied() {
            self.answered = later(self.answered, sent);
            let us = self.pair.word().from;
            let follows = match packet.word.role {
                Role::Following {
                    leader: followed, ..
                }
                | Role::Handing { partner: followed } => followed == us,
                Role::Waiting { .. }
                | Role::Claiming { .. }
                | Role::Rising
                | Role::Primary { .. }
                | Role::Releasing { .. }
                | Role::Dissolved => false,
            };
            if follows {
                self.followed = Some(self.followed.map_or(sent, |before| later(before, sent)));
            }
        }
        if let Some(pings) = &mut self.pings {
            pings.on_word();
        }
        let from = packet.word.from;
        match self.heard {
            Some((known, number)) if known == from && number > packet.number => {}
            known => {
                if let (true, Some((_, until))) = (
                    known.is_some_and(|(session, _)| session != from),
                    &mut self.silence,
                ) {
                    until.length = Micros::ZERO;
                }
                self.heard = Some((from, packet.number));
                self.promised = Some(now);
            }
        }
        self.tell(now, Event::Word(packet.word), out);
    }

    /// Our own lease as a leader, as its holder counts.
    fn keep_lease(&mut self, now: Now, out: &mut Vec<Output>) {
        let lasts = self.lease().is_some_and(|lease| !lease.is_over(now));
        if lasts && !self.pair.leased {
            self.tell(now, Event::Leased, out);
        } else if !lasts && self.pair.leased {
            self.tell(now, Event::LeaseOver, out);
        }
    }

    fn watch_peer(&mut self, now: Now, out: &mut Vec<Output>) {
        let expected = self.silence.is_some_and(|(_, until)| !until.is_over(now));
        if now.waited_since(self.answered) < self.lost_after() || expected {
            self.told_lost = None;
            return;
        }
        if self
            .told_lost
            .is_none_or(|told| now.waited_since(told) >= self.config.keep_alive)
        {
            self.told_lost = Some(now);
            self.tell(now, Event::PeerLost, out);
        }
        // The leader's lease, as whoever waits for it counts.
        let length = self.config.downtime.stretched(self.config.drift_ppm);
        let over = self
            .promised
            .is_none_or(|from| WaitUntil { from, length }.is_over(now));
        if let (true, Role::Claiming { expired: false, .. }) = (over, self.pair.role()) {
            self.tell(now, Event::Expired, out);
        }
    }

    /// Our lease as a leader, whether it is over or not.
    pub(crate) fn lease(&self) -> Option<HoldUntil> {
        let length = self.lease_length();
        self.followed.map(|from| HoldUntil { from, length })
    }

    /// How long a leader's lease lasts.
    pub(crate) const fn lease_length(&self) -> Micros {
        self.config.downtime.minus(self.stop_budget)
    }

    /// How long the peer may leave us without an answer.
    fn lost_after(&self) -> Micros {
        if self.is_at_stake() {
            // What is left of the lease is for asking the targets.
            Micros(self.lease_length().0 / 2)
        } else {
            self.config.downtime
        }
    }

    fn watch_fence(&mut self, now: Now, out: &mut Vec<Output>) {
        // Whoever is there and has not caught up yet is not lost.
        if self.pair.lost_boot().is_none() || self.pair.sees_peer() {
            self.fence = None;
            return;
        }
        match self.fence {
            None => {
                let length = self.fence_delay();
                self.fence = Some(WaitUntil { from: now, length });
            }
            Some(wait) if wait.is_over(now) => {
                let length = self.config.fence_retry;
                self.fence = Some(WaitUntil { from: now, length });
                self.tell(now, Event::FenceDue, out);
            }
            Some(_) => {}
        }
    }

    /// Whoever is to survive fires first; chance decides where both have the same delay.
    fn fence_delay(&mut self) -> Micros {
        let survives = match &self.config.survivor {
            Survivor::Primary => matches!(self.pair.role(), Role::Primary { .. }),
            Survivor::Node(name) => {
                let [first, _] = &self.config.nodes;
                (name == first) == (self.pair.side() == Side::First)
            }
        };
        // One step of a generator with a full period (Knuth, MMIX).
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let most = self.config.fence_random_delay.0;
        let random = Micros((self.random >> 33) % most.saturating_add(1));
        if survives {
            random
        } else {
            self.config.fence_delay.plus(random)
        }
    }

    fn watch_failback(&mut self, now: Now, out: &mut Vec<Output>) {
        if !matches!(
            self.pair.role(),
            Role::Primary {
                confirms: Confirms::Both,
                ..
            }
        ) {
            self.in_sync_since = None;
            return;
        }
        let since = *self.in_sync_since.get_or_insert(now);
        if self.config.failback && now.waited_since(since) >= self.config.downtime {
            self.tell(now, Event::FailbackDue, out);
        }
    }
}

/// Who becomes primary again by itself, where that is configured.
#[must_use]
pub fn failback_to(config: &PairConfig) -> Option<Side> {
    let [first, second] = &config.nodes;
    match &config.survivor {
        Survivor::Node(node) if config.failback && node == first => Some(Side::First),
        Survivor::Node(node) if config.failback && node == second => Some(Side::Second),
        Survivor::Node(_) | Survivor::Primary => None,
    }
}

/// The later of two readings of the same clocks.
const fn later(one: Now, other: Now) -> Now {
    if other.boot > one.boot { other } else { one }
}
