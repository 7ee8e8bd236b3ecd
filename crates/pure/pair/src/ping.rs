//! Rules for ping targets: when a failover may rest on them, each with its exact sentence.
//!
//! Best effort, and named so: two nodes that both reach a target and not each other both go on. The two histories
//! are kept apart then (`history`).
//!
//! Not for sending pings: whoever does tells the results.

use standfast_model::{
    pair::{PingConfig, PingRound},
    time::{Micros, Now},
};

/// Nobody waits longer than this for an answer.
const LONGEST: Micros = Micros::from_millis(1000);

/// The rounds of pings so far, and when the next one is due. A round asks the peer and all targets at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pings {
    iterations: u32,
    interval: Micros,
    round: u64,
    began: Option<Now>,
    /// The last round is not over yet.
    open: bool,
    /// It was asked by a leader that had lost its peer.
    urgent: bool,
    /// Rounds in a row in which the peer did not answer.
    failed: u32,
    /// Gateway first, then the further targets: who answered in the last round that ended.
    answered: Vec<bool>,
    /// Who has answered in the newest round so far.
    fresh: Vec<bool>,
    /// A round has ended.
    known: bool,
}

/// What the rules say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The peer answered its last ping.
    PeerAnswers,
    /// Too few pings failed yet.
    TooFew {
        /// So many.
        failed: u32,
        /// Of so many.
        of: u32,
    },
    /// Neither the gateway nor any further target answers.
    CutOff {
        /// So many were asked.
        asked: usize,
    },
    /// This node is alone by an answer, and has none any more.
    Deserted {
        /// So many were asked.
        asked: usize,
    },
    /// A failover may happen.
    Granted {
        /// So many pings failed.
        failed: u32,
        /// So many targets answer.
        answering: usize,
    },
}

impl Pings {
    /// No results yet.
    #[must_use]
    pub fn new(config: &PingConfig) -> Self {
        let targets = vec![false; config.targets.len() + 1];
        Self {
            iterations: config.iterations,
            interval: config.interval,
            round: 0,
            began: None,
            open: false,
            urgent: false,
            failed: 0,
            answered: targets.clone(),
            fresh: targets,
            known: false,
        }
    }

    /// How long an answer is waited for.
    #[must_use]
    pub fn timeout(config: &PingConfig) -> Micros {
        config.interval.min(LONGEST)
    }

    /// How long until the next round is due. `urgent`: this is a leader that has lost its peer, and asks for an answer to a
    /// question of after that, again and again with this pause.
    #[must_use]
    pub fn next_in(&self, now: Now, urgent: Option<Micros>) -> Micros {
        let Some(began) = self.began else {
            return Micros::ZERO;
        };
        // A report that is lost holds nothing up for ever.
        let patience = self.interval.min(LONGEST).plus(LONGEST);
        let pause = match urgent {
            Some(_) if !self.urgent => Micros::ZERO,
            Some(_) if self.open => patience,
            Some(pause) => pause,
            // What nobody answers is over only at the end of its time, which may be the whole interval: a round that began
            // just before its report came would have no result, and neither would the next one.
            None if self.open => patience.max(self.interval),
            None => self.interval,
        };
        pause.minus(now.waited_since(began))
    }

    /// Begins a round: its number.
    pub fn ask(&mut self, now: Now, urgent: bool) -> u64 {
        self.round += 1;
        self.began = Some(now);
        self.open = true;
        self.urgent = urgent;
        self.fresh.fill(false);
        self.round
    }

    /// What came of a round so far. False: it is about another round than the one under way, and changes nothing.
    pub fn on_round(&mut self, round: &PingRound) -> bool {
        if round.round != self.round || !self.open || round.targets.len() != self.fresh.len() {
            return false;
        }
        self.fresh.clone_from(&round.targets);
        if !round.over {
            return true;
        }
        self.open = false;
        self.known = true;
        self.answered.clone_from(&round.targets);
        self.failed = if round.peer {
            0
        } else {
            self.failed.saturating_add(1)
        };
        true
    }

    /// The peer has spoken: that is an answer too.
    pub const fn on_word(&mut self) {
        self.failed = 0;
    }

    /// The peer is not lost: whatever was asked while it was counts for no later loss.
    pub const fn calm(&mut self) {
        self.urgent = false;
    }

    /// Whether a target has answered a leader that asked after it had lost its peer.
    #[must_use]
    pub fn answers_leader(&self) -> bool {
        self.urgent && self.fresh.contains(&true)
    }

    /// Which targets answered in the last round that ended, gateway first; none when there was none yet.
    #[must_use]
    pub fn answered(&self) -> Option<&[bool]> {
        self.known.then_some(&*self.answered)
    }

    /// Whether a failover may rest on these results.
    #[must_use]
    pub fn decide_failover(&self) -> Verdict {
        let answering = self.answered.iter().filter(|answered| **answered).count();
        let (failed, of) = (self.failed, self.iterations);
        match (failed, answering) {
            (0, _) => Verdict::PeerAnswers,
            _ if failed < of => Verdict::TooFew { failed, of },
            (_, 0) => Verdict::CutOff {
                asked: self.answered.len(),
            },
            _ => Verdict::Granted { failed, answering },
        }
    }

    /// Whether a primary that lost its secondary may go on alone: it is not the one that is cut off.
    #[must_use]
    pub fn decide_going_on(&self) -> Verdict {
        let answering = self.fresh.iter().filter(|answered| **answered).count();
        match (self.answers_leader(), self.failed) {
            (true, failed) => Verdict::Granted { failed, answering },
            (false, 0) => Verdict::TooFew { failed: 0, of: 1 },
            (false, _) => Verdict::CutOff {
                asked: self.fresh.len(),
            },
        }
    }
}

impl Pings {
    /// What a primary that went on alone has to know: the answer that it rests on was one of that moment. It is not stopped
    /// for it: nobody else may run what it would stop, unless the other one was granted it meanwhile.
    #[must_use]
    pub fn decide_staying(&self) -> Option<Verdict> {
        let asked = self.answered.len();
        let deserted = self.known && !self.answered.contains(&true);
        deserted.then_some(Verdict::Deserted { asked })
    }
}

impl Verdict {
    /// For an operator.
    #[must_use]
    pub fn text(self) -> String {
        match self {
            Self::PeerAnswers => String::from("no failover: the peer answers pings"),
            Self::TooFew { failed, of } => {
                format!("no failover yet: {failed} of {of} pings of the peer failed in a row")
            }
            Self::CutOff { asked: 1 } => String::from(
                "no failover: the gateway does not answer either, so this node may be the one that is cut off",
            ),
            Self::CutOff { asked } => format!(
                "no failover: neither the gateway nor any of the {} further targets answers, so this node may be the one that is cut off",
                asked - 1
            ),
            Self::Deserted { asked: 1 } => String::from(
                "this node went on alone, and the gateway does not answer it any more: it may be the one that is cut off, and the other one may have taken over",
            ),
            Self::Deserted { asked } => format!(
                "this node went on alone, and neither the gateway nor any of the {} further targets answers it any more: it may be the one that is cut off, and the other one may have taken over",
                asked - 1
            ),
            Self::Granted { failed, answering } => format!(
                "failover may happen: {failed} pings of the peer failed in a row, ping targets that answer: {answering}"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pings(targets: usize) -> Pings {
        Pings::new(&PingConfig {
            iterations: 2,
            interval: Micros::from_millis(15_000),
            gateway: String::from("10.0.0.254"),
            targets: vec![String::from("10.0.0.9"); targets],
        })
    }

    fn at(seconds: u64) -> Now {
        let micros = seconds * 1_000_000;
        Now {
            boot: micros,
            raw: micros,
        }
    }

    /// Rounds that end, each with the peer's answer and those of the targets.
    fn after(targets: usize, rounds: &[(bool, &[bool])]) -> Pings {
        let mut pings = pings(targets);
        for (peer, answered) in rounds {
            end(&mut pings, *peer, answered);
        }
        pings
    }

    fn end(pings: &mut Pings, peer: bool, answered: &[bool]) {
        let round = pings.ask(at(0), false);
        pings.on_round(&told(round, peer, answered, true));
    }

    fn told(round: u64, peer: bool, answered: &[bool], over: bool) -> PingRound {
        PingRound {
            round,
            peer,
            targets: answered.to_vec(),
            over,
        }
    }

    #[test]
    fn a_round_that_takes_the_whole_interval_has_its_result_before_the_next_one() {
        let mut pings = Pings::new(&PingConfig {
            iterations: 2,
            interval: Micros::from_millis(500),
            gateway: String::from("10.0.0.254"),
            targets: Vec::new(),
        });
        let round = pings.ask(at(0), false);
        let later = |millis: u64| Now {
            boot: millis * 1000,
            raw: millis * 1000,
        };
        assert_ne!(pings.next_in(later(500), None), Micros::ZERO);
        assert!(pings.on_round(&told(round, false, &[false], true)));
        assert_eq!(pings.next_in(later(501), None), Micros::ZERO);
        // A report that is lost holds nothing up for ever.
        pings.ask(later(501), false);
        assert_eq!(pings.next_in(later(2001), None), Micros::ZERO);
    }

    #[test]
    fn each_rule_has_its_sentence() {
        let text = |pings: Pings| pings.decide_failover().text();
        assert_eq!(
            text(after(0, &[(true, &[true])])),
            "no failover: the peer answers pings"
        );
        assert_eq!(
            text(after(0, &[(false, &[true])])),
            "no failover yet: 1 of 2 pings of the peer failed in a row"
        );
        let none: (bool, &[bool]) = (false, &[false]);
        assert_eq!(
            text(after(0, &[none, none])),
            "no failover: the gateway does not answer either, so this node may be the one that is cut off"
        );
        let none: (bool, &[bool]) = (false, &[false; 4]);
        assert_eq!(
            text(after(3, &[none, none])),
            "no failover: neither the gateway nor any of the 3 further targets answers, so this node may be the one that is cut off"
        );
        let last: (bool, &[bool]) = (false, &[false, false, false, true]);
        assert_eq!(
            text(after(3, &[none, last])),
            "failover may happen: 2 pings of the peer failed in a row, ping targets that answer: 1"
        );
    }

    #[test]
    fn one_answer_of_the_peer_begins_the_count_anew() {
        let mut pings = after(0, &[(false, &[true]), (true, &[true]), (false, &[true])]);
        assert_eq!(
            pings.decide_failover(),
            Verdict::TooFew { failed: 1, of: 2 }
        );
        pings.on_word();
        assert_eq!(pings.decide_failover(), Verdict::PeerAnswers);
    }

    #[test]
    fn a_target_that_answered_once_and_no_more_does_not_count() {
        let pings = after(0, &[(false, &[true]), (false, &[true]), (false, &[false])]);
        assert_eq!(pings.decide_failover(), Verdict::CutOff { asked: 1 });
    }

    #[test]
    fn what_is_told_of_an_earlier_round_or_twice_counts_for_nothing() {
        let mut pings = pings(0);
        let first = pings.ask(at(0), false);
        let second = pings.ask(at(15), false);
        pings.on_round(&told(first, false, &[true], true));
        assert_eq!(pings.decide_failover(), Verdict::PeerAnswers);
        assert_eq!(pings.answered(), None);
        for _ in 0..3 {
            pings.on_round(&told(second, false, &[true], true));
        }
        assert_eq!(
            pings.decide_failover(),
            Verdict::TooFew { failed: 1, of: 2 }
        );
    }

    #[test]
    fn a_primary_goes_on_with_any_answer_to_what_it_asked_after_the_loss() {
        let mut pings = pings(1);
        let calm = pings.ask(at(0), false);
        pings.on_round(&told(calm, false, &[true, true], false));
        assert!(!pings.answers_leader(), "asked before it lost its peer");
        let urgent = pings.ask(at(1), true);
        pings.on_round(&told(urgent, false, &[false, false], false));
        assert!(!pings.answers_leader());
        pings.on_round(&told(urgent, false, &[false, true], false));
        assert!(pings.answers_leader(), "nobody waits for the others");
        assert!(matches!(pings.decide_going_on(), Verdict::Granted { .. }));
    }

    #[test]
    fn rounds_come_at_their_interval_and_at_once_where_a_lease_is_at_stake() {
        let pause = Some(Micros::from_millis(500));
        let mut pings = pings(0);
        assert_eq!(pings.next_in(at(7), None), Micros::ZERO);
        let calm = pings.ask(at(7), false);
        assert_eq!(pings.next_in(at(8), None), Micros::from_millis(14_000));
        assert_eq!(
            pings.next_in(at(8), pause),
            Micros::ZERO,
            "not the calm one"
        );
        pings.on_round(&told(calm, true, &[true], true));
        let urgent = pings.ask(at(8), true);
        assert_eq!(
            pings.next_in(at(8), pause),
            Micros::from_millis(2000),
            "its report may be lost"
        );
        pings.on_round(&told(urgent, false, &[false], true));
        assert_eq!(pings.next_in(at(8), pause), Micros::from_millis(500));
    }
}
