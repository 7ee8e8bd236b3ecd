//! The leases that this node holds: asking, and counting from when it asked.
//!
//! Not for what runs under them (`local`).

use standfast_model::{
    id::{Incarnation, NodeId, ResourceId},
    message::LeaseGrant,
    plan::PlanNumber,
    time::{HoldUntil, Micros, Now},
};
use std::collections::BTreeMap;

/// Requests that may still be answered.
const REQUESTS: usize = 64;

/// This node as a holder.
#[derive(Clone, Debug, Default)]
pub(crate) struct Holder {
    sequence: u64,
    sent: BTreeMap<u64, Now>,
    pub(crate) last_sent: Option<Now>,
    /// The leader that rounds come from, and its term.
    pub(crate) leader: Option<(u64, NodeId)>,
    pub(crate) leader_heard: Option<Now>,
    /// Term and number of the newest round.
    pub(crate) round_heard: (u64, u64),
    /// Version of our report that the leader has.
    pub(crate) leader_has_report: u64,
    pub(crate) asked_for: Vec<(ResourceId, PlanNumber)>,
    /// What to ask for may have changed since the last request.
    pub(crate) wants_stale: bool,
    /// What ran here when this agent started is known: from then on a new resource whose driver does
    /// not answer holds nothing else up.
    pub(crate) learned: bool,
    /// Something was found running that is to be compared with its configuration, once this node has that.
    pub(crate) to_compare: bool,
    leases: BTreeMap<ResourceId, Lease>,
}

/// A lease of one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    /// The plan in which its group was given to this node.
    pub(crate) since: PlanNumber,
    /// Nothing of it may be active after this.
    pub(crate) until: HoldUntil,
}

impl Holder {
    /// A holder whose requests no earlier run of this agent has numbered: a grant for one of those
    /// would be counted from a request that was sent later.
    pub(crate) fn new(run: Incarnation) -> Self {
        Self {
            sequence: run.0.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 1,
            ..Self::default()
        }
    }

    /// Numbers a request that is sent now.
    pub(crate) fn next_request(&mut self, now: Now) -> u64 {
        self.sequence += 1;
        self.sent.insert(self.sequence, now);
        self.last_sent = Some(now);
        while self.sent.len() > REQUESTS {
            self.sent.pop_first();
        }
        self.sequence
    }

    /// When a request was sent.
    pub(crate) fn sent_at(&self, sequence: u64) -> Option<Now> {
        self.sent.get(&sequence).copied()
    }

    /// A leader's round: newer terms replace older ones. Returns whether the leader is a new one.
    pub(crate) fn on_leader(&mut self, now: Now, term: u64, node: &NodeId) -> bool {
        let new = match &self.leader {
            Some((known, _)) if *known > term => return false,
            Some((known, _)) => *known < term,
            None => true,
        };
        if new {
            self.leader = Some((term, node.clone()));
            self.leader_has_report = 0;
        }
        self.leader_heard = Some(now);
        new
    }

    /// What a grant gives: the instances whose lease it makes or lengthens. Nothing that counts
    /// from a request which this run of the agent did not send, and nothing of an older leader.
    pub(crate) fn on_grant(
        &mut self,
        now: Now,
        grant: &LeaseGrant,
        count_from: Option<Now>,
    ) -> Vec<(ResourceId, Lease)> {
        let old_leader = self
            .leader
            .as_ref()
            .is_some_and(|(term, _)| *term > grant.term);
        let Some(from) = count_from.or_else(|| self.sent_at(grant.sequence)) else {
            return Vec::new();
        };
        if old_leader {
            return Vec::new();
        }
        let until = HoldUntil {
            from,
            length: Micros(grant.length_us),
        };
        let mut given = Vec::new();
        for instance in &grant.instances {
            let lease = Lease {
                since: instance.since.into(),
                until,
            };
            given.push((ResourceId::from(instance.resource.as_str()), lease));
        }
        given.retain(|(_, lease)| !lease.until.is_over(now));
        given
    }

    /// Takes a lease over, unless the one held lasts longer. An over lease is never lengthened:
    /// its guard has closed. Returns whether anything changed.
    pub(crate) fn take(&mut self, now: Now, resource: &ResourceId, lease: Lease) -> bool {
        match self.leases.get(resource) {
            Some(held)
                if held.since == lease.since && held.until.left(now) >= lease.until.left(now) =>
            {
                false
            }
            _ => {
                self.leases.insert(resource.clone(), lease);
                true
            }
        }
    }

    /// Takes a lease in place of the one held, longer or not.
    pub(crate) fn replace(&mut self, resource: &ResourceId, lease: Lease) {
        self.leases.insert(resource.clone(), lease);
    }

    /// The lease of a resource, over or not.
    pub(crate) fn lease(&self, resource: &ResourceId) -> Option<Lease> {
        self.leases.get(resource).copied()
    }

    /// Time left of a resource's lease under that plan.
    pub(crate) fn left(&self, resource: &ResourceId, since: PlanNumber, now: Now) -> Micros {
        self.leases
            .get(resource)
            .filter(|lease| lease.since == since)
            .map_or(Micros::ZERO, |lease| lease.until.left(now))
    }

    /// Gives a lease up.
    pub(crate) fn drop_lease(&mut self, resource: &ResourceId) {
        self.leases.remove(resource);
    }

    /// All leases.
    pub(crate) fn leases(&self) -> impl Iterator<Item = (&ResourceId, &Lease)> {
        self.leases.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run of the agent that began a moment after another must not take the other's grants for its own.
    #[test]
    fn a_grant_for_an_earlier_run_gives_nothing() {
        let now = Now { boot: 9, raw: 9 };
        let sequence = Holder::new(Incarnation(1)).next_request(now);
        let mut second = Holder::new(Incarnation(2));
        for _ in 0..REQUESTS {
            second.next_request(now);
        }
        assert_eq!(second.sent_at(sequence), None);
    }
}
