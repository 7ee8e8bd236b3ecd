//! How long a failover is predicted to take, from the fault to the service, in the median.
//!
//! Why losing the leader too costs little: the leadership lease is shorter than a node's lease, and a
//! new leader honours what the old one may have granted (the horizon that its voters report) instead
//! of waiting a second time. So election and lease run out side by side, and the longer one counts.

use standfast_model::{config::Timing, guards::GuardSupport, request::RtoPrediction, time::Micros};

/// A message there and back, with its handling, on the networks that the profiles are made for.
const ROUND: Micros = Micros::from_millis(1);

/// What a prediction is made from.
#[derive(Clone, Copy, Debug)]
pub struct RtoFacts<'a> {
    /// Time budget in force.
    pub timing: &'a Timing,
    /// Guards of the node that runs the group: without the kernel's, everybody waits longer.
    pub guards: &'a GuardSupport,
    /// Measured: one durable write on the slowest machine that takes part.
    pub fsync: Micros,
    /// Measured: the longest stall of an agent that takes part.
    pub stall: Micros,
    /// Measured: how long all members of the group together take to start.
    pub start: Micros,
    /// How long the node has been lost when it is off, if something of the group needs fencing: as configured, and as the last
    /// act took. Else zero.
    pub fencing: Micros,
}

/// The prediction, with its parts.
#[must_use]
pub fn predict(facts: &RtoFacts<'_>) -> RtoPrediction {
    // The fault comes half a heartbeat after the last renewal, on average.
    let since_renewal = Micros(facts.timing.heartbeat.0 / 2);
    let lease = facts.timing.lease_wait().minus(since_renewal);
    let extra = facts.guards.extra_wait();
    // A decision is durable on the leader, then on a majority.
    let decide = facts.fsync.plus(facts.fsync).plus(ROUND);
    let rest = facts
        .stall
        .plus(decide)
        .plus(facts.start)
        .plus(facts.fencing);

    let mut parts = vec![(String::from("lease runs out"), lease)];
    let optional = [
        ("no kernel guard of the network", extra),
        ("longest stall of an agent", facts.stall),
        ("fencing", facts.fencing),
        ("decision on disks", decide),
        ("start", facts.start),
    ];
    for (name, length) in optional {
        if length > Micros::ZERO {
            parts.push((String::from(name), length));
        }
    }

    RtoPrediction {
        node_lost: lease.plus(extra).plus(rest),
        node_and_leader_lost: lease.plus(extra).max(election(facts)).plus(rest),
        parts,
    }
}

/// From the fault to a leader that may decide.
fn election(facts: &RtoFacts<'_>) -> Micros {
    let timing = facts.timing;
    let middle = Micros(timing.election_min.plus(timing.election_max).0 / 2);
    let since_heard = Micros(timing.heartbeat.0 / 2);
    // Pre-vote; vote, durable on both sides; the new term's first entry, durable on both sides.
    let rounds = ROUND.plus(ROUND).plus(ROUND);
    let writes = Micros(facts.fsync.0.saturating_mul(4));
    middle.minus(since_heard).plus(rounds).plus(writes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use standfast_model::config::Profile;

    fn prediction(profile: Profile, guards: &GuardSupport) -> RtoPrediction {
        predict(&RtoFacts {
            timing: &Timing::of(profile),
            guards,
            fsync: Micros::from_millis(5),
            stall: Micros::ZERO,
            start: Micros::from_millis(60),
            fencing: Micros::ZERO,
        })
    }

    #[test]
    fn lan_needs_less_than_a_second_and_says_of_what() {
        let p = prediction(Profile::Lan, &GuardSupport::full());
        // 808 ms of lease as others wait for it, minus 50, plus 11 to decide, plus 60 to start.
        assert_eq!(p.node_lost, Micros::from_millis(829));
        let sum = p.parts.iter().fold(Micros::ZERO, |s, (_, l)| s.plus(*l));
        assert_eq!(sum, p.node_lost, "the parts add up");
    }

    #[test]
    fn losing_the_leader_too_costs_nothing_while_the_lease_is_longer_than_an_election() {
        let p = prediction(Profile::Lan, &GuardSupport::full());
        assert_eq!(p.node_and_leader_lost, p.node_lost);
    }

    #[test]
    fn a_slow_disk_makes_the_election_the_longer_one() {
        let p = predict(&RtoFacts {
            timing: &Timing {
                heartbeat: Micros::from_millis(40),
                lease: Micros::from_millis(220),
                election_min: Micros::from_millis(130),
                election_max: Micros::from_millis(180),
                ..Timing::of(Profile::Fast)
            },
            guards: &GuardSupport::full(),
            fsync: Micros::from_millis(40),
            stall: Micros::ZERO,
            start: Micros::ZERO,
            fencing: Micros::ZERO,
        });
        // Election: 155 - 20 + 3 + 160 = 298 ms, the lease: 202.2 ms; then 81 ms to decide.
        assert_eq!(p.node_and_leader_lost, Micros::from_millis(379));
        assert_eq!(p.node_lost, Micros(283_200));
    }

    #[test]
    fn without_a_kernel_guard_everybody_waits_half_a_second_longer() {
        let with = prediction(Profile::Lan, &GuardSupport::full());
        let without = prediction(Profile::Lan, &GuardSupport::default());
        assert_eq!(
            without.node_lost.minus(with.node_lost),
            Micros::from_millis(1500)
        );
    }
}
