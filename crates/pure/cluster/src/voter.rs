//! What a voter promises, and what it remembers of others.
//!
//! Two promises stand behind every lease. After acknowledging a leadership round a voter does not
//! vote for the length of the leadership lease, so that two leaders never grant at once. And it
//! vouches for the leases given on the strength of that round: it tells the next leader how long
//! they may still live (the *horizon*). Both lengths are on disk before they are first promised,
//! because a voter that restarts has to assume the longest it may have promised.
//!
//! Not for consensus itself (crate `consensus`) and not for the leader's side (`lead`).

use standfast_model::{
    event::{DiskCondition, Restored},
    id::{MemberId, NodeId},
    message::{Acknowledged, Round},
    time::{Micros, Now, WaitUntil},
};
use std::collections::{BTreeMap, BTreeSet};

/// Whether this voter may take part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It votes.
    Full,
    /// It has started and asks the others what they remember of it; who has answered so far.
    Asking(BTreeSet<NodeId>),
    /// Its disk was lost or rolled back: it may only come back as a new member.
    Lost(String),
}

/// A voter's promises and memory.
#[derive(Clone, Debug)]
pub(crate) struct Voter {
    started: Now,
    no_vote: WaitUntil,
    term: u64,
    round: u64,
    /// Leases given in `term`.
    current: WaitUntil,
    /// Leases given before.
    earlier: WaitUntil,
    /// On disk: lengths that may have been promised, stretched.
    vote_cap: Micros,
    lease_cap: Micros,
    /// Until then a leader may still ask for as much as `lease_cap`, and leases of that length may live.
    cap_needed: WaitUntil,
    pub(crate) standing: Standing,
    memory: BTreeMap<MemberId, Acknowledged>,
    pub(crate) memory_changed: bool,
}

/// What to do with a round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OnRound {
    /// Acknowledge, with this horizon.
    Acknowledge(Micros),
    /// These caps have to be on disk first (vote, lease).
    Raise(Micros, Micros),
    /// Old or strange: say nothing.
    Ignore,
}

impl Voter {
    /// A voter that has just started and has to assume the longest promises that its disk knows.
    pub(crate) fn new(restored: &Restored, now: Now) -> Self {
        let standing = match restored.condition {
            DiskCondition::Fresh => Standing::Full,
            DiskCondition::Intact => Standing::Asking(BTreeSet::new()),
            DiskCondition::Lost => {
                Standing::Lost("the disk of this node was lost or damaged".to_owned())
            }
        };
        Self {
            started: now,
            no_vote: WaitUntil {
                from: now,
                length: restored.vote_cap,
            },
            term: 0,
            round: 0,
            current: WaitUntil {
                from: now,
                length: Micros::ZERO,
            },
            earlier: WaitUntil {
                from: now,
                length: restored.lease_cap,
            },
            vote_cap: restored.vote_cap,
            lease_cap: restored.lease_cap,
            cap_needed: WaitUntil {
                from: now,
                length: restored.lease_cap,
            },
            standing,
            memory: restored
                .memory
                .iter()
                .map(|known| (MemberId(known.member), *known))
                .collect(),
            memory_changed: false,
        }
    }

    /// The only voter of a log that begins now: nothing was promised to anybody, and leases of whoever led before may
    /// live for so long.
    pub(crate) fn alone(now: Now, before: &Self, leases: Micros) -> Self {
        let over = WaitUntil {
            from: now,
            length: Micros::ZERO,
        };
        Self {
            no_vote: over,
            term: 0,
            round: 0,
            current: over,
            earlier: WaitUntil {
                from: now,
                length: leases,
            },
            standing: Standing::Full,
            ..before.clone()
        }
    }

    /// Whether it may vote or stand for election now.
    pub(crate) fn may_vote(&self, now: Now) -> bool {
        self.standing == Standing::Full && self.no_vote.is_over(now)
    }

    /// Whether it takes part in consensus at all.
    pub(crate) fn takes_part(&self) -> bool {
        self.standing == Standing::Full
    }

    /// Forgets the promises that were assumed at the start (planted bug).
    pub(crate) fn forget_start(&mut self) {
        self.no_vote.length = Micros::ZERO;
        self.earlier.length = Micros::ZERO;
    }

    /// Forgets the leases of the present leader (planted bug).
    pub(crate) fn forget_leases(&mut self) {
        self.current.length = Micros::ZERO;
    }

    /// A leadership round of a leader that consensus knows.
    pub(crate) fn on_round(&mut self, now: Now, round: &Round, drift_ppm: u64) -> OnRound {
        let newer = round.term > self.term || (round.term == self.term && round.round > self.round);
        if !newer {
            return OnRound::Ignore;
        }
        let vote = Micros(round.leadership_us).stretched(drift_ppm);
        let lease = Micros(round.lease_us).stretched(drift_ppm);
        if lease >= self.lease_cap {
            self.cap_needed = WaitUntil {
                from: now,
                length: lease,
            };
        }
        if vote > self.vote_cap || lease > self.lease_cap {
            return OnRound::Raise(vote.max(self.vote_cap), lease.max(self.lease_cap));
        }
        if round.term > self.term {
            self.earlier = self.earlier.later(self.current, now);
            self.current = WaitUntil {
                from: now,
                length: Micros::ZERO,
            };
            self.term = round.term;
        }
        self.round = round.round;
        if round.leadership_us == 0 {
            // The leader gives its leadership up: it has stopped granting, and lets us vote.
            self.no_vote = WaitUntil {
                from: now,
                length: Micros::ZERO,
            };
        } else {
            // A changed configuration may make later promises shorter: earlier ones stand.
            let (no_vote, current) = (
                WaitUntil {
                    from: now,
                    length: vote,
                },
                WaitUntil {
                    from: now,
                    length: lease,
                },
            );
            self.no_vote = self.no_vote.later(no_vote, now);
            self.current = self.current.later(current, now);
        }
        OnRound::Acknowledge(self.earlier.left(now))
    }

    /// The lease cap to be written down in place of a longer one that nothing needs any more: a voter that starts
    /// assumes the whole of it, and nobody is declared lost for that long. `lease` is what leaders ask for now.
    pub(crate) fn lower_cap(&mut self, now: Now, lease: Micros) -> Option<Micros> {
        let lives = self.current.left(now).max(self.earlier.left(now));
        if lease >= self.lease_cap || !self.cap_needed.is_over(now) || lives > lease {
            return None;
        }
        // From here on more than this is promised only when it is on the disk again.
        self.lease_cap = lease;
        Some(lease)
    }

    /// What may have been promised at most: vote, lease.
    pub(crate) fn caps(&self) -> (Micros, Micros) {
        (self.vote_cap, self.lease_cap)
    }

    /// Caps are on the disk.
    pub(crate) fn caps_stored(&mut self, vote: Option<Micros>, lease: Option<Micros>) {
        self.vote_cap = vote.unwrap_or(self.vote_cap);
        self.lease_cap = lease.unwrap_or(self.lease_cap);
    }

    /// Remembers what a member has acknowledged; a later term outweighs a higher index.
    pub(crate) fn remember(&mut self, heard: Acknowledged) {
        let known = self
            .memory
            .entry(MemberId(heard.member))
            .or_insert(Acknowledged {
                member: heard.member,
                index: 0,
                term: 0,
            });
        if (heard.term, heard.index) > (known.term, known.index) {
            *known = heard;
            self.memory_changed = true;
        }
    }

    /// What is remembered of a member.
    pub(crate) fn remembered(&self, member: MemberId) -> Acknowledged {
        self.memory.get(&member).copied().unwrap_or(Acknowledged {
            member: member.0,
            index: 0,
            term: 0,
        })
    }

    /// All that is remembered, for the disk.
    pub(crate) fn memory(&self) -> Vec<Acknowledged> {
        self.memory.values().copied().collect()
    }

    /// So many of the other voters have to answer before this one takes part: all of them, because it
    /// may be any of them that remembers. After `patience` half of them are enough: some may be gone.
    pub(crate) fn answers_needed(&self, now: Now, others: usize, patience: Micros) -> usize {
        if now.waited_since(self.started) < patience {
            others
        } else {
            others.div_ceil(2)
        }
    }

    /// Another voter's answer to "what do you remember of me?". `own` is this voter's term and last
    /// index on disk at its start, `needed` how many answers make sure.
    pub(crate) fn on_memory(
        &mut self,
        from: &NodeId,
        remembered: Acknowledged,
        own: (u64, u64),
        needed: usize,
    ) {
        let Standing::Asking(answered) = &mut self.standing else {
            return;
        };
        let (term, index) = own;
        if (remembered.term, remembered.index) > (term, index) {
            self.standing = Standing::Lost(format!(
                "the disk of this node was rolled back: {from} remembers term {} index {}, the disk has term {term} \
                 index {index}",
                remembered.term, remembered.index
            ));
            return;
        }
        answered.insert(from.clone());
        if answered.len() >= needed {
            self.standing = Standing::Full;
        }
    }

    /// With nobody to ask, nothing can have been promised to anybody.
    pub(crate) fn nobody_to_ask(&mut self) {
        if matches!(self.standing, Standing::Asking(_)) {
            self.standing = Standing::Full;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn round(term: u64, round: u64, leadership_us: u64, lease_us: u64) -> Round {
        Round {
            term,
            round,
            leadership_us,
            lease_us,
            acknowledged: Vec::new(),
            commit: 0,
        }
    }

    /// The configuration made leases and leadership shorter: what was promised before still stands.
    #[test]
    fn a_shorter_promise_does_not_shorten_an_earlier_one() {
        let at = |boot| Now { boot, raw: boot };
        let mut voter = Voter::new(&Restored::default(), at(0));
        voter.standing = Standing::Full;
        voter.caps_stored(Some(Micros(8000)), Some(Micros(30_000)));
        voter.on_round(at(0), &round(5, 1, 8000, 30_000), 0);
        voter.on_round(at(100), &round(5, 2, 300, 800), 0);
        assert!(!voter.may_vote(at(7000)));
        assert_eq!(
            voter.on_round(at(9000), &round(6, 1, 300, 800), 0),
            OnRound::Acknowledge(Micros(21_000))
        );
    }

    /// Longer leases were asked for once: the cap is taken back on the disk only when none of them may live.
    #[test]
    fn a_longer_cap_is_taken_back_when_nothing_needs_it() {
        let at = |boot| Now { boot, raw: boot };
        let mut voter = Voter::new(&Restored::default(), at(0));
        voter.standing = Standing::Full;
        voter.caps_stored(Some(Micros(300)), Some(Micros(5000)));
        voter.on_round(at(100), &round(5, 1, 300, 5000), 0);
        let usual = Micros(800);
        for (number, now) in [(2, 200), (3, 4000), (4, 5099)] {
            voter.on_round(at(now), &round(5, number, 300, 800), 0);
            assert_eq!(voter.lower_cap(at(now), usual), None, "{now}");
        }
        voter.on_round(at(5100), &round(5, 5, 300, 800), 0);
        assert_eq!(voter.lower_cap(at(5100), usual), Some(usual));
        assert_eq!(voter.lower_cap(at(5101), usual), None);
        assert_eq!(
            voter.on_round(at(5200), &round(5, 6, 300, 5000), 0),
            OnRound::Raise(Micros(300), Micros(5000))
        );
    }
}
