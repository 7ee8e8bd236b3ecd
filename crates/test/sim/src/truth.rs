//! What really happened, as nobody inside the cluster can see it: who runs what, which leases were
//! really given, what was really committed. The invariants are judged against this.

use crate::{
    invariants::{
        located,
        ordered::{Failures, Known},
    },
    timeline::hash_bytes,
};
use standfast_model::{
    command::{Change, Command},
    event::InstanceChange,
    id::{GroupId, Incarnation, MemberId, NodeId, ResourceId},
    message::{LogEntry, LogSnapshot, RoundAck},
    plan::{Plan, PlanNumber},
    time::{Micros, Now},
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A lease that a leader really gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    /// Resource, by number.
    pub(crate) resource: usize,
    /// Run of the agent that asked for it.
    pub(crate) incarnation: Incarnation,
    pub(crate) since: PlanNumber,
    /// Plan that authorised it.
    pub(crate) plan: PlanNumber,
    /// Reading of the holder's boot clock at which it ends.
    pub(crate) ends: u64,
    /// Not given but found: the guard of an instance that outlived its agent.
    pub(crate) adopted: bool,
}

/// A committed entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Committed {
    pub(crate) term: u64,
    pub(crate) hash: u64,
}

/// A lease request on its way: run, number, and when it was sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) incarnation: Incarnation,
    pub(crate) sequence: u64,
    pub(crate) at: Now,
}

/// Of one node.
#[derive(Clone, Debug, Default)]
pub(crate) struct OfNode {
    /// Lease requests that it sent.
    pub(crate) asked: VecDeque<Asked>,
    /// Leases that it was given.
    pub(crate) leases: Vec<Lease>,
    /// Rounds that it sent: term, number, when.
    pub(crate) rounds: VecDeque<(u64, u64, Now)>,
    /// The newest round of each member that was acknowledged to it: term, number.
    pub(crate) acknowledged: BTreeMap<u64, (u64, u64)>,
    /// Its planned restart: when its core was first seen asking for it, by its boot clock, and what the core takes for that.
    pub(crate) restart_asked: Option<(u64, Now)>,
    /// Reading of its boot clock until which a committed restart grant lets its leases run.
    pub(crate) restart_until: u64,
    /// Last index of which its core's account was compared with the truth.
    pub(crate) checked: u64,
    /// Length of a lease, as its core's configuration has it; and an earlier, longer one, with the
    /// reading of its boot clock until which leases of that length may live.
    pub(crate) lease: u64,
    pub(crate) earlier: (u64, u64),
    /// The same for longer leases than usual, which a leader gives before it gives leadership away.
    pub(crate) bridged: (u64, u64),
    /// The plan in force that its core was last seen with.
    pub(crate) plan: PlanNumber,
    /// Instances that its core has started or adopted and not been told the end of, by resource.
    pub(crate) running: BTreeMap<usize, PlanNumber>,
    /// Voters as its core knows them, and before their last change: an acknowledged round may be older.
    pub(crate) voters: Vec<u64>,
    pub(crate) voters_before: Vec<u64>,
    /// Last term in which it led, in this run.
    pub(crate) led: Option<u64>,
    /// When it last led as the only voter, by its boot clock: nobody else's word was needed then.
    pub(crate) alone_at: Option<u64>,
    /// Until when the guard of each resource is to be open, as its core has decided, carried out or not.
    pub(crate) decided: BTreeMap<usize, u64>,
    /// Resources that its core was to leave alone after its last step: it observes, or they are in maintenance.
    pub(crate) untouchable: BTreeSet<usize>,
    /// Keys that its core lets each machine show, as far as it has said.
    pub(crate) lets_in: Option<Vec<u64>>,
    /// The newest promise that its disk ever had, whatever has become of the disk since.
    pub(crate) promised: PlanNumber,
    /// Order of its runs.
    pub(crate) runs: BTreeMap<Incarnation, u64>,
    /// What operators have ordered, as its core knows it.
    pub(crate) ordered: Known,
    /// Where its core may put nothing, by locations.
    pub(crate) located: located::Known,
}

/// The truth.
#[derive(Clone, Debug, Default)]
pub(crate) struct Truth {
    pub(crate) nodes: Vec<OfNode>,
    /// For each resource: the machine on which it last ran, and until when.
    pub(crate) last_ran: Vec<Option<usize>>,
    /// When each group was seen last to be all active, where something is in order.
    pub(crate) all_active: BTreeMap<GroupId, u64>,
    /// True time at which an agent was last allowed to restart while its services run on.
    pub(crate) restart_granted: Option<u64>,
    /// So many copies of each group may run at once, at most.
    pub(crate) most_copies: BTreeMap<GroupId, usize>,
    /// True time of its last start there.
    pub(crate) ran_at: Vec<u64>,
    /// The instance that was started there.
    pub(crate) ran_since: Vec<PlanNumber>,
    /// True time at which each machine last lost its power.
    pub(crate) lost_power: Vec<u64>,
    pub(crate) committed: BTreeMap<u64, Committed>,
    /// True time of the last of them.
    pub(crate) committed_at: u64,
    /// True time at which an operator last asked for a restart of some agent.
    pub(crate) asked_restart_at: Option<u64>,
    /// True time at which an operator last asked for a removal whose end is not known.
    pub(crate) asked_removal_at: Option<u64>,
    /// Feature level in use, as the log has it.
    pub(crate) level: u32,
    /// Machines that an operator has removed, by number and key, with the index of the command.
    pub(crate) removed: BTreeMap<(usize, u32), u64>,
    /// What locations forbade when each plan was decided.
    pub(crate) decided: located::Decided,
    /// Committed plans.
    pub(crate) plans: BTreeMap<PlanNumber, Plan>,
    /// Committed requests: request number to index.
    pub(crate) requests: BTreeMap<u64, u64>,
    pub(crate) leaders: BTreeMap<u64, (usize, Incarnation)>,
    /// Failures that count, and since when.
    pub(crate) failures: Failures,
    /// The last log entry that somebody has applied who was looked at for them.
    pub(crate) failures_seen: u64,
}

/// Requests remembered for each node; more are never waiting for an answer.
const ASKED: usize = 256;

impl OfNode {
    /// A new run of the agent, or a new member number: it begins again at this index.
    pub(crate) fn begin_run(&mut self, applied: u64) {
        self.checked = applied;
        self.plan = PlanNumber::default();
        self.leases.clear();
        self.rounds.clear();
        self.acknowledged.clear();
        self.led = None;
        self.alone_at = None;
        self.running.clear();
        self.voters.clear();
        self.voters_before.clear();
        self.restart_asked = None;
        self.restart_until = 0;
        self.untouchable.clear();
        self.ordered = Known::default();
        self.located = located::Known::default();
        self.decided.clear();
        self.lets_in = None;
    }

    pub(crate) fn ask(&mut self, asked: Asked) {
        if self.asked.len() >= ASKED {
            self.asked.pop_front();
        }
        self.asked.push_back(asked);
    }

    /// The request of a number, of whichever run: numbers of two runs never meet.
    pub(crate) fn find(&self, sequence: u64) -> Option<Asked> {
        let fits = |asked: &&Asked| asked.sequence == sequence;
        self.asked.iter().rev().find(fits).copied()
    }

    /// Notes a lease; what has ended is forgotten.
    pub(crate) fn give(&mut self, lease: Lease, boot: u64) {
        let same = |held: &Lease| {
            (
                held.resource,
                held.incarnation,
                held.since,
                held.plan,
                held.adopted,
            ) == (
                lease.resource,
                lease.incarnation,
                lease.since,
                lease.plan,
                lease.adopted,
            )
        };
        if let Some(held) = self.leases.iter_mut().find(|held| same(held)) {
            held.ends = held.ends.max(lease.ends);
            return;
        }
        self.leases.retain(|held| held.ends > boot);
        self.leases.push(lease);
    }

    /// Its core is told something of a resource, which is really active or not. That it was found running
    /// may reach the core after its end: then it says nothing.
    pub(crate) fn hear(&mut self, resource: usize, change: &InstanceChange, active: bool) {
        match change {
            InstanceChange::StartFailed(_)
            | InstanceChange::Stopped
            | InstanceChange::Exited(_)
            | InstanceChange::AgentFailed { .. }
            | InstanceChange::LeaseEnded => {
                self.running.remove(&resource);
            }
            InstanceChange::Adopted { since, .. } if active => {
                self.running.insert(resource, *since);
            }
            InstanceChange::Adopted { .. }
            | InstanceChange::Started
            | InstanceChange::StopFailed(_)
            | InstanceChange::Unhealthy(_)
            | InstanceChange::Healthy
            | InstanceChange::Reloaded
            | InstanceChange::Outdated(_)
            | InstanceChange::Promotion(_)
            | InstanceChange::Damaged(_) => {}
        }
    }

    /// The configuration in force says how long a lease is.
    pub(crate) fn lease_length(&mut self, length: u64, boot: u64) {
        if length != self.lease {
            let longest = self.longest_lease(boot);
            self.earlier = (longest, boot + longest);
            self.lease = length;
        }
    }

    /// Longest lease that may have been given by this node to itself.
    pub(crate) fn longest_lease(&self, boot: u64) -> u64 {
        let lives = |(length, until): (u64, u64)| if boot <= until { length } else { 0 };
        self.lease.max(lives(self.earlier)).max(lives(self.bridged))
    }

    /// Voters are asked to vouch for leases of that length.
    pub(crate) fn vouch(&mut self, length: u64, boot: u64) {
        if length > self.lease {
            self.bridged = (length, boot + length);
        }
    }

    /// Its core wants to restart since then, or does not.
    pub(crate) fn asks_to_restart(&mut self, since: Option<Now>, boot: u64) {
        match since {
            None => self.restart_asked = None,
            Some(since) => {
                let known = self.restart_asked.filter(|(_, known)| *known == since);
                self.restart_asked = Some(known.unwrap_or((boot, since)));
            }
        }
    }

    /// The guard of an adopted instance was shortened: what was found of it ends then.
    pub(crate) fn shorten(&mut self, resource: usize, deadline: u64) {
        for held in &mut self.leases {
            if held.adopted && held.resource == resource {
                held.ends = held.ends.min(deadline);
            }
        }
    }

    /// End of the latest lease of an instance.
    pub(crate) fn lease_end(&self, resource: usize, run: Incarnation, since: PlanNumber) -> u64 {
        self.leases
            .iter()
            .filter(|held| (held.resource, held.incarnation, held.since) == (resource, run, since))
            .map(|held| held.ends)
            .max()
            .unwrap_or(0)
    }

    pub(crate) fn on_round(&mut self, term: u64, round: u64, at: Now) {
        if self
            .rounds
            .back()
            .is_some_and(|last| (last.0, last.1) == (term, round))
        {
            return;
        }
        if self.rounds.len() >= ASKED {
            self.rounds.pop_front();
        }
        self.rounds.push_back((term, round, at));
    }

    pub(crate) fn on_ack(&mut self, member: u64, ack: &RoundAck) {
        let newest = self.acknowledged.entry(member).or_default();
        *newest = (ack.term, ack.round).max(*newest);
    }

    /// Who votes, as its core knows it.
    pub(crate) fn voters_are(&mut self, voters: Vec<u64>) {
        if voters != self.voters {
            self.voters_before = std::mem::replace(&mut self.voters, voters);
        }
    }

    /// When the newest round was sent that a majority (itself included) has acknowledged: of the voters,
    /// or of those before their last change, which an acknowledged round may be older than.
    pub(crate) fn leadership_from(&self, term: u64, own: u64) -> Option<Now> {
        let now = self.acknowledged_by(term, own, &self.voters);
        let before = self.acknowledged_by(term, own, &self.voters_before);
        now.into_iter().chain(before).max_by_key(|at| at.boot)
    }

    fn acknowledged_by(&self, term: u64, own: u64, voters: &[u64]) -> Option<Now> {
        let newest = |voter: &u64| match self.acknowledged.get(voter) {
            _ if *voter == own => u64::MAX,
            Some((of, round)) if *of == term => *round,
            _ => 0,
        };
        let mut rounds: Vec<u64> = voters.iter().map(newest).collect();
        rounds.sort_unstable_by(|a, b| b.cmp(a));
        let reached = *rounds.get(voters.len() / 2)?;
        self.rounds
            .iter()
            .rev()
            .find(|(of, round, _)| *of == term && *round <= reached)
            .map(|(_, _, at)| *at)
    }
}

/// A committed entry's content, as far as the truth needs it.
#[derive(Debug)]
pub(crate) enum News {
    Nothing,
    RestartGrant(NodeId, Incarnation, Micros),
    /// A member was removed for good.
    Removed(MemberId),
    /// The feature level in use rises.
    Raised,
    /// A command of a feature level that is not in use.
    Unknown(u32),
    /// A command of a feature level that was raised.
    New,
}

impl Truth {
    pub(crate) fn new(nodes: usize, resources: usize) -> Self {
        Self {
            nodes: vec![OfNode::default(); nodes],
            last_ran: vec![None; resources],
            ran_at: vec![0; resources],
            ran_since: vec![PlanNumber::default(); resources],
            lost_power: vec![0; nodes],
            ..Self::default()
        }
    }

    /// Notes what everybody begins with.
    pub(crate) fn committed_genesis(&mut self, genesis: &LogSnapshot) {
        let term = genesis.term;
        self.committed
            .insert(genesis.index, Committed { term, hash: 0 });
    }

    /// What identifies an entry.
    pub(crate) fn fingerprint(entry: &LogEntry) -> Committed {
        let hash = hash_bytes(&entry.data) ^ hash_bytes(&entry.context).rotate_left(7);
        Committed {
            term: entry.term,
            hash: hash ^ u64::from(entry.kind),
        }
    }

    /// Notes an entry that some node has applied for the first time.
    pub(crate) fn commit(&mut self, entry: &LogEntry) -> News {
        self.committed.insert(entry.index, Self::fingerprint(entry));
        let content = if entry.kind == 0 {
            &entry.data
        } else {
            &entry.context
        };
        let Ok(command) = serde_json::from_slice::<Command>(content) else {
            return News::Nothing;
        };
        if let Some(request) = command.request {
            self.requests.insert(request, entry.index);
        }
        let needs = command.change.level();
        if needs > self.level.max(1) {
            return News::Unknown(needs);
        }
        match command.change {
            Change::RaiseLevel { level } => {
                self.level = self.level.max(level);
                News::Raised
            }
            Change::Decide(decision) => {
                if let Some(plan) = decision.plan {
                    self.plans.insert(plan.number, plan);
                }
                News::Nothing
            }
            Change::RestartGrant {
                node,
                incarnation,
                length,
                ..
            } => News::RestartGrant(node, incarnation, length),
            Change::RemoveMember {
                member,
                by: Some(_),
            } => News::Removed(member),
            _ if needs > 1 => News::New,
            _ => News::Nothing,
        }
    }

    /// The newest committed plan up to a number.
    pub(crate) fn plan_at(&self, number: PlanNumber) -> Option<&Plan> {
        self.plans
            .range(..=number)
            .next_back()
            .map(|(_, plan)| plan)
    }
}

/// Where a plan puts a resource.
pub(crate) fn place<'a>(
    plan: &'a Plan,
    resource: &ResourceId,
) -> Option<(&'a GroupId, Option<&'a NodeId>, PlanNumber)> {
    plan.groups
        .iter()
        .find(|(_, assignment)| assignment.members.contains(resource))
        .map(|(group, assignment)| {
            let since = assignment.since_of(resource);
            (group, assignment.node.as_ref(), since)
        })
}
