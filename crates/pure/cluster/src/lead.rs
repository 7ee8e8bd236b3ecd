//! What a leader keeps: its leadership lease, and what it has granted to whom.
//!
//! All of it is volatile. A new leader starts with nothing, and learns from a majority of voters how
//! long the leases of earlier leaders may still live.
//!
//! Not for the decision where things run (`decide`).

use crate::apply::{assigned, release_needs};
use standfast_model::{
    config::Timing,
    id::{Incarnation, MemberId, NodeId, ResourceId},
    message::{Instance, LeaseRequest},
    plan::{Plan, PlanNumber},
    state::{ClusterState, NodeReport},
    time::{HoldUntil, Micros, Now, WaitUntil},
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Rounds that may be waiting for acknowledgements.
const ROUNDS: usize = 64;

/// A leader's volatile knowledge, for one term.
#[derive(Clone, Debug)]
pub(crate) struct Lead {
    pub(crate) term: u64,
    pub(crate) began: Now,
    /// When this node last heard the leader before.
    pub(crate) before: Option<Now>,
    /// An entry of this term has been applied: everything earlier leaders committed is known.
    pub(crate) caught_up: bool,
    /// One of a pair leads the log, and may not give leases.
    pub(crate) barred: bool,
    round: u64,
    sent: VecDeque<(u64, Base)>,
    /// Who votes, and whether a majority of them has acknowledged a round since that is so. Before,
    /// the next change of voters could leave a majority that vouches for none of the leases given.
    voters: Vec<MemberId>,
    pub(crate) voters_vouch: bool,
    acknowledged: BTreeMap<MemberId, u64>,
    /// The last round that a majority has acknowledged.
    based_on: Option<Base>,
    /// Of the rounds that a majority has acknowledged, the one that vouches for leases longest.
    vouches: Option<Base>,
    horizon: WaitUntil,
    horizon_known: bool,
    pub(crate) giving_up: Option<(MemberId, Now)>,
    /// Since when everybody who holds something holds it long enough to outlast an election on slow disks.
    bridged: Option<Now>,
    pub(crate) peers: BTreeMap<NodeId, Peer>,
    pub(crate) restarting: BTreeMap<NodeId, Restarting>,
    /// Restarts that this leader has proposed and not yet applied. Others may apply them first, and
    /// so may the node itself, when this leader's disk is slow.
    proposed_restarts: BTreeMap<NodeId, WaitUntil>,
    /// Restart grants, by index, whose end is on its way through the log: proposed once, however slow disks are.
    pub(crate) ending: BTreeSet<u64>,
    /// Index of the state for which no new plan was needed.
    pub(crate) decided_at: Option<u64>,
    /// The decision on its way through the log, and who it touches.
    pub(crate) pending: Option<Pending>,
    /// A member on its way through the log, and the feature level that is: each has to know of the other.
    pub(crate) newcomer: Option<MemberId>,
    pub(crate) raised: u32,
    /// Reports on their way through the log: node, incarnation, version.
    pub(crate) reporting: BTreeMap<NodeId, (Incarnation, u64)>,
    /// The order whose time this leader has said last to be over, and when.
    pub(crate) order_ended: Option<(u64, Now)>,
    pub(crate) failures_since: BTreeMap<(ResourceId, NodeId), ((Incarnation, u32), Now)>,
    pub(crate) last_change: Now,
    /// Something has changed that a decision may depend on.
    pub(crate) look: bool,
    /// When it was last looked at whether anything is to be decided.
    pub(crate) looked: Option<Now>,
}

/// What a round asked voters to promise, and when it was sent. The configuration may have changed
/// since: no lease is longer than what voters were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Base {
    pub(crate) at: Now,
    pub(crate) leadership: Micros,
    /// Longest lease, with the longest extra wait of any node.
    pub(crate) lease: Micros,
}

impl Base {
    /// How long leases that rest on it may still live, as their holders count.
    fn left(&self, now: Now) -> Micros {
        self.lease.minus(now.held_since(self.at))
    }
}

/// A planned restart: until when its leases may run on, and of which grant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Restarting {
    index: u64,
    until: WaitUntil,
    /// The run that follows was heard then, and has shortened its guards to an ordinary lease.
    pub(crate) back: Option<Now>,
}

/// A decision on its way through the log.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    pub(crate) request: u64,
    pub(crate) plan: Option<Plan>,
    pub(crate) expired: BTreeSet<NodeId>,
}

/// What the leader knows of a node by itself.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) heard: Option<Now>,
    pub(crate) incarnation: Incarnation,
    pub(crate) request: Option<(LeaseRequest, Now)>,
    /// What it was told last that it may hold.
    pub(crate) answered: Vec<Instance>,
    /// When everything ever granted to it in this term is certainly over.
    pub(crate) granted: WaitUntil,
    pub(crate) report: Option<NodeReport>,
    /// Newest round that it says it has heard.
    echoed: u64,
    /// Since when its requests name no newer one, while there is one.
    unheard_since: Option<Now>,
}

impl Lead {
    pub(crate) fn new(term: u64, now: Now) -> Self {
        let nobody = WaitUntil {
            from: now,
            length: Micros::ZERO,
        };
        Self {
            term,
            began: now,
            before: None,
            caught_up: false,
            barred: false,
            round: 0,
            sent: VecDeque::new(),
            voters: Vec::new(),
            voters_vouch: false,
            acknowledged: BTreeMap::new(),
            based_on: None,
            vouches: None,
            horizon: nobody,
            horizon_known: false,
            giving_up: None,
            bridged: None,
            peers: BTreeMap::new(),
            restarting: BTreeMap::new(),
            proposed_restarts: BTreeMap::new(),
            ending: BTreeSet::new(),
            decided_at: None,
            pending: None,
            newcomer: None,
            raised: 0,
            reporting: BTreeMap::new(),
            order_ended: None,
            failures_since: BTreeMap::new(),
            last_change: now,
            look: true,
            looked: None,
        }
    }

    /// Waits for every planned restart that the state knows, from when this leader first sees it:
    /// that is later than when its agent began to count.
    pub(crate) fn watch_restarts(&mut self, now: Now, state: &ClusterState, drift_ppm: u64) {
        let grants = &state.restart_grants;
        self.restarting.retain(|node, known| {
            grants
                .get(node)
                .is_some_and(|grant| grant.index == known.index)
        });
        for (node, grant) in grants {
            self.proposed_restarts.remove(node);
            let until = restart_wait(now, state, node, grant.length, drift_ppm);
            self.restarting.entry(node.clone()).or_insert(Restarting {
                index: grant.index,
                until,
                back: None,
            });
        }
    }

    /// Waits for a planned restart from when this leader proposes it.
    pub(crate) fn expect_restart(&mut self, node: NodeId, wait: WaitUntil) {
        self.proposed_restarts.insert(node, wait);
    }

    /// How long a planned restart keeps a node's leases alive.
    fn restart_left(&self, node: &NodeId, now: Now) -> Micros {
        let left = |until: &WaitUntil| until.left(now);
        let proposed = self.proposed_restarts.get(node).map(left);
        let known = self.restarting.get(node);
        let known = known.filter(|restart| restart.back.is_none());
        let known = known.map(|restart| left(&restart.until));
        proposed.max(known).unwrap_or(Micros::ZERO)
    }

    /// Counts a new round from now.
    pub(crate) fn next_round(&mut self, base: Base, voters: Vec<MemberId>) -> u64 {
        if self.voters != voters {
            self.voters = voters;
            self.voters_vouch = false;
            self.sent.clear();
        }
        self.round += 1;
        self.sent.push_back((self.round, base));
        if self.sent.len() > ROUNDS {
            self.sent.pop_front();
        }
        self.round
    }

    /// Number of the last round that was sent.
    pub(crate) const fn round(&self) -> u64 {
        self.round
    }

    /// A voter has acknowledged a round; `horizon` is stretched for this node's clock.
    pub(crate) fn on_ack(&mut self, now: Now, member: MemberId, round: u64, horizon: Micros) {
        let wait = WaitUntil {
            from: now,
            length: horizon,
        };
        self.horizon = self.horizon.later(wait, now);
        let latest = self.acknowledged.entry(member).or_default();
        *latest = round.max(*latest);
    }

    /// Takes the newest round that a majority of voters has acknowledged as the base of the leadership lease.
    pub(crate) fn count_acks(&mut self, now: Now, voters: &[MemberId]) {
        let mut rounds: Vec<u64> = voters
            .iter()
            .map(|voter| self.acknowledged.get(voter).copied().unwrap_or(0))
            .collect();
        rounds.sort_unstable_by(|a, b| b.cmp(a));
        let Some(&reached) = rounds.get(voters.len() / 2) else {
            return;
        };
        if reached == 0 {
            return;
        }
        self.horizon_known = true;
        while let Some(&(round, base)) = self.sent.front() {
            if round > reached {
                break;
            }
            self.based_on = Some(base);
            let longest = self
                .vouches
                .is_none_or(|known| known.left(now) <= base.left(now));
            if longest {
                self.vouches = Some(base);
            }
            self.voters_vouch |= longest && self.voters == voters;
            self.sent.pop_front();
        }
    }

    /// Gives the leadership lease up: only a later round can make a new one.
    pub(crate) fn forget_base(&mut self) {
        self.based_on = None;
        self.sent.clear();
    }

    /// The leadership lease, while it lasts: the round that it is based on.
    pub(crate) fn lease(&self, now: Now, timing: &Timing) -> Option<Base> {
        let base = self.based_on?;
        let hold = HoldUntil {
            from: base.at,
            length: timing.leadership.min(base.leadership),
        };
        (self.giving_up.is_none() && !hold.is_over(now)).then_some(base)
    }

    /// Whether whoever is heard and holds something has been given leases of at least that length for two
    /// heartbeats: one answer may be lost.
    pub(crate) fn is_bridged(&mut self, now: Now, timing: &Timing, least: Micros) -> bool {
        let two = Micros(timing.heartbeat.0.saturating_mul(2));
        let all = self
            .peers
            .iter()
            .filter(|(node, peer)| !peer.answered.is_empty() && self.is_heard(node, now, timing))
            .all(|(_, peer)| peer.granted.left(now) >= least);
        if !all {
            self.bridged = None;
            return false;
        }
        now.waited_since(*self.bridged.get_or_insert(now)) >= two
    }

    /// Whether this leader may judge leases as expired, and grant new ones: it leads, and knows all
    /// that earlier leaders committed.
    pub(crate) fn rules(&self, now: Now, timing: &Timing) -> Option<Base> {
        if self.caught_up && !self.barred {
            self.lease(now, timing)
        } else {
            None
        }
    }

    /// Whether no lease of an earlier leader can live any more.
    pub(crate) fn horizon_passed(&self, now: Now) -> bool {
        self.horizon_known && self.horizon.is_over(now)
    }

    /// Longest lease to be granted now to a node that others wait `extra` longer for: it ends within
    /// a full lease of a round that stands behind it, and voters vouch for it.
    pub(crate) fn grant_length(
        &self,
        now: Now,
        base: Base,
        timing: &Timing,
        extra: Micros,
    ) -> Micros {
        let on = |base: Base| {
            let longest = timing.lease.min(base.lease.minus(extra));
            longest.minus(now.held_since(base.at))
        };
        self.vouches
            .map_or(on(base), |vouches| on(vouches).max(on(base)))
    }

    pub(crate) fn peer(&mut self, node: &NodeId, now: Now) -> &mut Peer {
        self.peers.entry(node.clone()).or_insert_with(|| {
            Peer::new(WaitUntil {
                from: now,
                length: Micros::ZERO,
            })
        })
    }

    /// Whether every lease that a node ever had is over, and nothing was heard of it for so long, or it does not hear this leader.
    pub(crate) fn is_silent(&self, node: &NodeId, now: Now, timing: &Timing) -> bool {
        // What is asked with every event is answered by the first look, as long as all is well.
        let peer = self.peers.get(node);
        if peer.is_some_and(|peer| !peer.granted.is_over(now))
            || !self.horizon_passed(now)
            || self.restart_left(node, now) > Micros::ZERO
        {
            return false;
        }
        let three = Micros(timing.heartbeat.0.saturating_mul(3));
        let Some(peer) = peer else {
            return now.waited_since(self.began) >= three;
        };
        if peer.is_deaf(now, timing) {
            return true;
        }
        match peer.heard {
            Some(heard) => {
                now.waited_since(heard) >= timing.lease.minus(timing.heartbeat).max(three)
            }
            None => now.waited_since(self.began) >= three,
        }
    }

    /// How long at least until [`Self::is_silent`] may become true, if nothing is heard until then.
    pub(crate) fn silent_in(&self, node: &NodeId, now: Now, timing: &Timing) -> Micros {
        if !self.horizon_known {
            return Micros::MAX;
        }
        let three = Micros(timing.heartbeat.0.saturating_mul(3));
        let young = three.minus(now.waited_since(self.began));
        let Some(peer) = self.peers.get(node) else {
            return self
                .horizon
                .left(now)
                .max(self.restart_left(node, now))
                .max(young);
        };
        let quiet = peer
            .heard
            .filter(|_| !peer.is_deaf(now, timing))
            .map_or(young, |heard| {
                timing
                    .lease
                    .minus(timing.heartbeat)
                    .max(three)
                    .minus(now.waited_since(heard))
            });
        self.horizon
            .left(now)
            .max(peer.granted.left(now))
            .max(self.restart_left(node, now))
            .max(quiet)
    }

    /// Whether a node was heard within the last few heartbeats, and hears this leader.
    pub(crate) fn is_heard(&self, node: &NodeId, now: Now, timing: &Timing) -> bool {
        self.peers
            .get(node)
            .filter(|peer| !peer.is_deaf(now, timing))
            .and_then(|peer| peer.heard)
            .is_some_and(|heard| {
                now.waited_since(heard) < Micros(timing.heartbeat.0.saturating_mul(3))
            })
    }
}

impl Peer {
    fn new(granted: WaitUntil) -> Self {
        Self {
            heard: None,
            incarnation: Incarnation(0),
            request: None,
            answered: Vec::new(),
            granted,
            report: None,
            echoed: 0,
            unheard_since: None,
        }
    }

    /// Takes from a request which round of this leader the node has heard; `newest` is the last that was sent.
    pub(crate) fn on_echo(&mut self, now: Now, term: u64, newest: u64) {
        let Some((request, _)) = &self.request else {
            return;
        };
        let heard = if request.heard_term == term {
            request.heard_round
        } else {
            0
        };
        if heard >= newest {
            self.unheard_since = None;
        } else if heard > self.echoed || self.unheard_since.is_none() {
            self.unheard_since = Some(now);
        }
        self.echoed = heard;
    }

    /// Another run of its agent has heard nothing yet.
    pub(crate) const fn forget_echo(&mut self) {
        self.echoed = 0;
        self.unheard_since = None;
    }

    /// Whether a report is the last one of its agent, as far as its requests say.
    pub(crate) fn has_said(&self, report: &NodeReport) -> bool {
        let newest = self.request.as_ref().map(|(asked, _)| asked.report_version);
        let same = self.incarnation == report.incarnation;
        same && newest.is_some_and(|newest| report.version >= newest)
    }

    /// Whether it is heard but does not hear: what it is granted does not arrive, and only keeps others waiting.
    pub(crate) fn is_deaf(&self, now: Now, timing: &Timing) -> bool {
        let two = Micros(timing.heartbeat.0.saturating_mul(2));
        self.unheard_since
            .is_some_and(|since| now.waited_since(since) >= two)
    }
}

/// How long everybody else waits for a node whose agent restarts with that grant.
pub(crate) fn restart_wait(
    now: Now,
    state: &ClusterState,
    node: &NodeId,
    length: Micros,
    drift_ppm: u64,
) -> WaitUntil {
    let extra = state
        .nodes
        .get(node)
        .map_or(Micros::ZERO, |known| known.report.guards.extra_wait());
    WaitUntil {
        from: now,
        length: length.stretched(drift_ppm).plus(extra),
    }
}

/// The instances that a node may hold, of those it asks for: assigned to it by the plan in force,
/// with nobody else who may still be running them, and untouched by a decision on its way. Or given
/// to it before and not yet released: a stop may take longer than a lease. A node that counts as lost gets nothing before its
/// return is applied: that it was fenced may be on its way into the log, and releases what the run before it still held.
pub(crate) fn grantable(
    state: &ClusterState,
    pending: Option<&Pending>,
    node: &NodeId,
    wants: &[Instance],
) -> Vec<Instance> {
    let lost = state.nodes.get(node).is_some_and(|known| !known.online);
    if lost || pending.is_some_and(|pending| pending.expired.contains(node)) {
        return Vec::new();
    }
    wants
        .iter()
        .filter(|want| {
            let resource = ResourceId::from(want.resource.as_str());
            let since: PlanNumber = want.since.into();
            let Some(holders) = state.may_hold.get(&resource) else {
                return false;
            };
            if state.holder.get(&resource) != Some(node) {
                return false;
            }
            let ours = |plan: &Plan| {
                assigned(plan, &resource)
                    .is_some_and(|(owner, given)| owner == Some(node) && given == since)
            };
            let pending_plan = pending.and_then(|pending| pending.plan.as_ref());
            if ours(&state.plan) {
                return holders.len() == 1 && pending_plan.is_none_or(ours);
            }
            // An instance that is being stopped keeps its lease until it is: nobody new starts before.
            since < release_needs(&state.plan, &resource)
        })
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use standfast_model::config::Profile;

    /// Voters vouch for what a round asked of them, not for what the configuration says since.
    #[test]
    fn nothing_is_longer_than_what_voters_were_asked_for() {
        let at = |millis: u64| Now {
            boot: millis * 1000,
            raw: millis * 1000,
        };
        let mut lead = Lead::new(5, at(0));
        let lan = Timing::of(Profile::Lan);
        let extra = Micros::from_millis(500);
        let round = lead.next_round(
            Base {
                at: at(0),
                leadership: lan.leadership,
                lease: lan.lease,
            },
            vec![MemberId(1)],
        );
        lead.on_ack(at(1), MemberId(1), round, Micros::ZERO);
        lead.count_acks(at(1), &[MemberId(1)]);
        let longer = Timing::of(Profile::Appliance);
        let base = lead.lease(at(299), &longer);
        assert!(base.is_some());
        assert_eq!(lead.lease(at(300), &longer), None);
        let length = |extra| base.map(|base| lead.grant_length(at(100), base, &longer, extra));
        assert_eq!(length(Micros::ZERO), Some(Micros::from_millis(700)));
        // A node that lost its guards since is waited for longer than that round said.
        assert_eq!(length(extra), Some(Micros::from_millis(200)));
    }

    /// Voters change one at a time, and each time a majority of them vouches for what was granted before.
    #[test]
    fn after_a_change_of_voters_a_later_round_counts() {
        let now = Now { boot: 0, raw: 0 };
        let timing = Timing::of(Profile::Lan);
        let base = Base {
            at: now,
            leadership: timing.leadership,
            lease: timing.lease,
        };
        let voters = [MemberId(1), MemberId(2), MemberId(3)];
        let mut lead = Lead::new(5, now);
        let round = lead.next_round(base, voters.to_vec());
        lead.on_ack(now, MemberId(1), round, Micros::ZERO);
        lead.on_ack(now, MemberId(2), round, Micros::ZERO);
        lead.count_acks(now, &voters);
        assert!(lead.voters_vouch);
        let fewer = [MemberId(1), MemberId(3)];
        let round = lead.next_round(base, fewer.to_vec());
        lead.on_ack(now, MemberId(1), round, Micros::ZERO);
        lead.count_acks(now, &fewer);
        assert!(!lead.voters_vouch);
        lead.on_ack(now, MemberId(3), round, Micros::ZERO);
        lead.count_acks(now, &fewer);
        assert!(lead.voters_vouch);
    }
}
