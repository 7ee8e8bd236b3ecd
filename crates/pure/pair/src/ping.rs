//! Rules for ping targets: when a failover may rest on them, each with its exact sentence.
//!
//! Best effort, and named so: two nodes that both reach a target and not each other both go on. The two histories
//! are kept apart then (`history`).
//!
//! Not for sending pings: whoever does tells the results.

use standfast_model::pair::PingConfig;

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// The peer.
    Peer,
    /// The default gateway.
    Gateway,
    /// One of the further targets, by its position.
    Further(usize),
}

/// The results so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pings {
    iterations: u32,
    /// Pings of the peer that failed in a row.
    failed: u32,
    /// Gateway first, then the further targets: how each answered last.
    answered: Vec<bool>,
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
        Self {
            iterations: config.iterations,
            failed: 0,
            answered: vec![false; config.targets.len() + 1],
        }
    }

    /// One result.
    pub fn on_result(&mut self, target: Target, answered: bool) {
        let at = match target {
            Target::Peer => {
                self.failed = if answered {
                    0
                } else {
                    self.failed.saturating_add(1)
                };
                return;
            }
            Target::Gateway => 0,
            Target::Further(at) => at + 1,
        };
        if let Some(last) = self.answered.get_mut(at) {
            *last = answered;
        }
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
        let counted = Self {
            iterations: self.failed.max(1),
            ..self.clone()
        };
        counted.decide_failover()
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
            Self::Granted { failed, answering } => format!(
                "failover may happen: {failed} pings of the peer failed in a row, ping targets that answer: {answering}"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use standfast_model::time::Micros;

    fn pings(targets: usize) -> Pings {
        Pings::new(&PingConfig {
            iterations: 2,
            interval: Micros::from_millis(15_000),
            gateway: String::from("10.0.0.254"),
            targets: vec![String::from("10.0.0.9"); targets],
        })
    }

    fn after(targets: usize, results: &[(Target, bool)]) -> Pings {
        let mut pings = pings(targets);
        for (target, answered) in results {
            pings.on_result(*target, *answered);
        }
        pings
    }

    const LOST: (Target, bool) = (Target::Peer, false);

    #[test]
    fn each_rule_has_its_sentence() {
        let text = |pings: Pings| pings.decide_failover().text();
        assert_eq!(
            text(after(0, &[(Target::Peer, true)])),
            "no failover: the peer answers pings"
        );
        assert_eq!(
            text(after(0, &[LOST])),
            "no failover yet: 1 of 2 pings of the peer failed in a row"
        );
        assert_eq!(
            text(after(0, &[LOST, LOST])),
            "no failover: the gateway does not answer either, so this node may be the one that is cut off"
        );
        assert_eq!(
            text(after(3, &[LOST, LOST])),
            "no failover: neither the gateway nor any of the 3 further targets answers, so this node may be the one that is cut off"
        );
        let granted = after(3, &[LOST, LOST, (Target::Further(2), true)]);
        assert_eq!(
            text(granted),
            "failover may happen: 2 pings of the peer failed in a row, ping targets that answer: 1"
        );
    }

    #[test]
    fn one_answer_of_the_peer_begins_the_count_anew() {
        let pings = after(
            0,
            &[(Target::Gateway, true), LOST, (Target::Peer, true), LOST],
        );
        assert_eq!(
            pings.decide_failover(),
            Verdict::TooFew { failed: 1, of: 2 }
        );
    }

    #[test]
    fn a_target_that_answered_once_and_no_more_does_not_count() {
        let pings = after(
            0,
            &[
                (Target::Gateway, true),
                LOST,
                LOST,
                (Target::Gateway, false),
            ],
        );
        assert_eq!(pings.decide_failover(), Verdict::CutOff { asked: 1 });
    }

    #[test]
    fn a_primary_goes_on_with_any_answer_and_does_not_count_to_the_end() {
        let pings = after(1, &[LOST, (Target::Further(0), true)]);
        assert!(matches!(pings.decide_going_on(), Verdict::Granted { .. }));
        assert!(matches!(
            after(1, &[LOST]).decide_going_on(),
            Verdict::CutOff { .. }
        ));
    }
}
