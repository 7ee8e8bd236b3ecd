//! When a node of a pair with ping targets asks them, and what it is told then: the part of `clock` that is about pings.
//!
//! A leader's lease is at stake once the peer has left half of it unanswered. It asks the targets then, again and again, and
//! goes on alone with the first answer to what it asked after that; without one it stops when the lease is over. Alone it goes on
//! asking, as everybody does, and says when nobody answers any more. A follower that has lost its leader waits for as many rounds
//! as are configured.
//!
//! Not for the rules themselves (`ping`), nor for sending anything.

use crate::{
    clock::{Clocked, Output},
    event::{Confirms, Event, Role},
    ping::{Pings, Verdict},
};
use standfast_model::{
    pair::PingRound,
    time::{Micros, Now},
};

impl Clocked {
    /// Whether this is a leader that acts by a lease, which its follower gives.
    pub(crate) const fn is_at_stake(&self) -> bool {
        self.pings.is_some()
            && matches!(
                self.pair.role(),
                Role::Primary {
                    confirms: Confirms::Both | Confirms::Nobody,
                    ..
                }
            )
    }

    /// The pause between two rounds of a leader that has lost its peer; none when it has not.
    fn urgent(&self) -> Option<Micros> {
        let lost = self.told_lost.is_some() && self.is_at_stake() && !self.pair.sees_peer();
        lost.then_some(self.config.keep_alive)
    }

    /// How long until it wants a tick because of pings.
    pub(crate) fn next_asking(&self, now: Now) -> Micros {
        let Some(pings) = &self.pings else {
            return Micros::MAX;
        };
        let lease = self.lease().filter(|_| self.pair.leased);
        let lease = lease.map_or(Micros::MAX, |lease| lease.left(now));
        pings.next_in(now, self.urgent()).min(lease)
    }

    pub(crate) fn watch_targets(&mut self, now: Now, out: &mut Vec<Output>) {
        let urgent = self.urgent();
        let Some(pings) = &mut self.pings else {
            return;
        };
        if urgent.is_none() {
            pings.calm();
        }
        if pings.next_in(now, urgent) == Micros::ZERO {
            let round = pings.ask(now, urgent.is_some());
            out.push(Output::Ping(round));
        }
    }

    pub(crate) fn on_pinged(&mut self, now: Now, round: &PingRound, out: &mut Vec<Output>) {
        let urgent = self.urgent().is_some();
        let Some(pings) = &mut self.pings else {
            return;
        };
        if !pings.on_round(round) {
            return;
        }
        let granted = match self.pair.role() {
            Role::Primary { .. } => urgent && pings.answers_leader(),
            Role::Claiming { expired, .. } => {
                let granted = matches!(pings.decide_failover(), Verdict::Granted { .. });
                expired && round.over && granted
            }
            Role::Waiting { .. }
            | Role::Following { .. }
            | Role::Rising
            | Role::Releasing { .. }
            | Role::Handing { .. }
            | Role::Dissolved => false,
        };
        if granted {
            self.tell(now, Event::PingGrant, out);
        }
    }

    /// What is known of the ping targets, where they are the arbiter.
    #[must_use]
    pub const fn pings(&self) -> Option<&Pings> {
        self.pings.as_ref()
    }

    /// What the rules say, while this node waits for what they say.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        let pings = self.pings.as_ref()?;
        match self.pair.role() {
            Role::Claiming { .. } => Some(pings.decide_failover()),
            Role::Primary {
                confirms: Confirms::Alone,
                ..
            } => pings.decide_staying(),
            Role::Primary { .. } => self.urgent().map(|_| pings.decide_going_on()),
            Role::Waiting { .. }
            | Role::Following { .. }
            | Role::Rising
            | Role::Releasing { .. }
            | Role::Handing { .. }
            | Role::Dissolved => None,
        }
    }
}
