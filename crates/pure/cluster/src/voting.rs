//! This node as a member of the consensus group: what it promises a leader, what it is asked and
//! asks after a start, and how it comes back under a new number when its disk was lost.
//!
//! Not for the promises' arithmetic (`voter`) and not for what was committed (`committed`).

use crate::{
    Init,
    core::{Core, TICKS},
    voter::{OnRound, Standing},
};
use standfast_consensus::{Consensus, Settings};
use standfast_model::{
    config::Timing,
    effect::{Batch, Class, Level},
    event::Restored,
    id::{MemberId, NodeId},
    message::{Acknowledged, Body, MemoryAnswer, MemoryQuery, Round, RoundAck},
    planted::Planted,
    state::ClusterState,
    time::{Micros, Now},
};

impl Core {
    pub(crate) fn on_consensus(
        &mut self,
        now: Now,
        from: &NodeId,
        inner: &standfast_model::message::Consensus,
    ) {
        let to = MemberId(inner.to);
        if to != self.member {
            if !self.takes_number(from, inner.term, to) {
                return;
            }
            self.rebirth(now, to);
        }
        if !self.voter.takes_part() {
            return;
        }
        if self
            .node_of(MemberId(inner.from))
            .is_some_and(|node| node != *from)
        {
            return;
        }
        if !self.state.members.contains_key(&MemberId(inner.from)) {
            self.routes.insert(MemberId(inner.from), from.clone());
        }
        let may = self.voter.may_vote(now) && self.pair_leads();
        self.consensus.step(inner, may);
    }

    pub(crate) fn on_round(&mut self, now: Now, from: &NodeId, sender: MemberId, round: &Round) {
        let known = self.node_of(sender).is_none_or(|node| node == *from);
        if round.term < self.consensus.term() || !known {
            return;
        }
        if self.holder.on_leader(now, round.term, from) {
            self.holder.last_sent = None;
        }
        self.holder.round_heard = self.holder.round_heard.max((round.term, round.round));
        self.fencing.leader_commit = self.fencing.leader_commit.max(Some(round.commit));
        for known in &round.acknowledged {
            self.voter.remember(*known);
        }
        self.voter.remember(Acknowledged {
            member: sender.0,
            index: 0,
            term: round.term,
        });
        if !self.voter.takes_part() || !self.consensus.voters().contains(&self.member) {
            return;
        }
        let drift = self.wait_drift();
        match self.voter.on_round(now, round, drift) {
            OnRound::Ignore => {}
            OnRound::Acknowledge(horizon) => {
                self.acknowledge(from, round, horizon);
                self.lower_cap(now, Micros(round.lease_us).stretched(drift));
            }
            OnRound::Raise(vote, lease) if self.planted(Planted::PromiseBeforeDisk) => {
                self.voter.caps_stored(Some(vote), Some(lease));
                self.on_round(now, from, sender, round);
            }
            OnRound::Raise(vote, lease) => self.raise_caps(vote, lease),
        }
        if round.leadership_us == 0 && self.planted(Planted::TransferSkipsLease) {
            self.voter.forget_leases();
        }
    }

    /// Lengths of promises go to the disk before they are first promised.
    fn raise_caps(&mut self, vote: Micros, lease: Micros) {
        if self.cap_writes > 0 {
            return;
        }
        self.write_caps(Batch {
            vote_cap: Some(vote),
            lease_cap: Some(lease),
            ..Batch::default()
        });
    }

    /// A longer promise than anybody asks for any more is taken back on the disk.
    fn lower_cap(&mut self, now: Now, lease: Micros) {
        if self.cap_writes > 0 {
            return;
        }
        if let Some(lease) = self.voter.lower_cap(now, lease) {
            self.write_caps(Batch {
                lease_cap: Some(lease),
                ..Batch::default()
            });
        }
    }

    pub(crate) fn write_caps(&mut self, batch: Batch) {
        self.cap_writes += 1;
        let effect = self.disk.write(batch, None);
        self.out.extend(effect);
    }

    fn acknowledge(&mut self, to: &NodeId, round: &Round, horizon: Micros) {
        let ack = RoundAck {
            term: round.term,
            round: round.round,
            horizon_us: horizon.0,
        };
        self.send(to, Class::Datagram, Body::RoundAck(ack));
    }

    /// A voter that has just started asks the others what they remember of it before it takes part.
    pub(crate) fn ask_memory(&mut self, now: Now) {
        let pause = Micros(self.timing().heartbeat.0.saturating_mul(2));
        if self.voter.takes_part()
            || self
                .asked_memory
                .is_some_and(|at| now.waited_since(at) < pause)
        {
            return;
        }
        self.asked_memory = Some(now);
        if let Standing::Lost(why) = &self.voter.standing {
            let why = why.clone();
            return self.ask_to_return(&why);
        }
        let voters = self.consensus.voters();
        if voters.len() <= 1 || !voters.contains(&self.member) {
            self.voter.nobody_to_ask();
            return;
        }
        for node in self.others() {
            self.send(&node, Class::Stream, Body::MemoryQuery(MemoryQuery {}));
        }
    }

    pub(crate) fn on_memory_query(&mut self, from: &NodeId, sender: MemberId) {
        let leads = self.leads_and_knows();
        if leads > 0 {
            // It may still be counted for what is not committed yet.
            self.remember_matched(sender);
        }
        let answer = MemoryAnswer {
            remembered: self.voter.remembered(sender),
            current_member: self.member_of(from).map_or(0, |member| member.0),
            leads,
        };
        self.send(from, Class::Stream, Body::MemoryAnswer(answer));
    }

    pub(crate) fn on_memory(&mut self, now: Now, from: &NodeId, answer: &MemoryAnswer) {
        if matches!(self.voter.standing, Standing::Lost(_)) {
            return self.told_number(from, answer);
        }
        let remembered = answer.remembered;
        if answer.current_member > self.member.0
            && matches!(self.voter.standing, Standing::Asking(_))
        {
            let why = format!(
                "the disk of this node is that of member {}; it has since come back as {}",
                self.member,
                MemberId(answer.current_member)
            );
            self.log(Level::Error, why.clone());
            self.voter.standing = Standing::Lost(why);
            self.returning.spend(MemberId(answer.current_member));
            return;
        }
        // A learner's ignorance proves nothing.
        let votes = self
            .member_of(from)
            .is_some_and(|member| self.consensus.voters().contains(&member));
        if remembered.member != self.member.0
            || (!votes && remembered.term == 0 && remembered.index == 0)
        {
            return;
        }
        let others = self.consensus.voters().len().saturating_sub(1);
        let patience = Micros(self.timing().heartbeat.0.saturating_mul(3));
        let needed = self.voter.answers_needed(now, others, patience);
        self.voter
            .on_memory(from, remembered, self.restored_at, needed);
        if let Standing::Lost(why) = &self.voter.standing {
            let why = why.clone();
            self.log(Level::Error, why);
        }
    }

    pub(crate) fn member_of(&self, node: &NodeId) -> Option<MemberId> {
        self.state
            .members
            .iter()
            .rev()
            .find(|(_, info)| info.node == *node)
            .map(|(member, _)| *member)
    }

    pub(crate) fn peer_names(&self) -> Vec<NodeId> {
        let mut names: Vec<NodeId> = self.peers.iter().map(|(node, _)| node.clone()).collect();
        names.retain(|node| *node != self.node);
        names
    }

    /// Why this node has no vote, empty when it has.
    pub(crate) fn why_no_vote(&self) -> String {
        match &self.voter.standing {
            // Of a pair one votes, and the other one has everything all the same.
            _ if self.paired.is_some() => String::new(),
            Standing::Full if self.consensus.voters().contains(&self.member) => String::new(),
            Standing::Full => "it is catching up and votes when it has everything".to_owned(),
            Standing::Asking(_) => {
                "it has just started and asks the others what they remember of it".to_owned()
            }
            Standing::Lost(why) => why.clone(),
        }
    }
}

pub(crate) fn settings(timing: &Timing, member: MemberId, seed: u64) -> Settings {
    let tick = (timing.heartbeat.0 / TICKS).max(1);
    let ticks = |length: Micros| u32::try_from(length.0.div_ceil(tick)).unwrap_or(u32::MAX);
    Settings {
        member,
        election_min_ticks: ticks(timing.election_min),
        election_max_ticks: ticks(timing.election_max).max(ticks(timing.election_min) + 1),
        heartbeat_ticks: u32::try_from(TICKS).unwrap_or(1),
        seed: seed ^ member.0,
    }
}

/// Consensus as the disk remembers it. Records that contradict themselves make this node a new member.
pub(crate) fn start_consensus(init: &Init, state: &ClusterState) -> (Consensus, Option<String>) {
    let member = MemberId(init.member.0.max(1));
    let settings = settings(&state.config.timing, member, init.seed);
    let (records, broken) = match Consensus::new(&settings, &init.restored) {
        Ok(consensus) => return (consensus, None),
        Err(error) => (Restored::default(), error.to_string()),
    };
    match Consensus::new(&settings, &records) {
        Ok(consensus) => (consensus, Some(broken)),
        #[expect(
            clippy::unreachable,
            reason = "an empty log with sane settings is always a member"
        )]
        Err(_) => unreachable!("an empty log is always accepted"),
    }
}
