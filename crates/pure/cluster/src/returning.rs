//! How a member whose disk was lost or rolled back comes back under a new number: what it asks, which number it
//! takes, and what the leader does.
//!
//! A disk that was lost may be put back as it was then, after its node had come back and acknowledged things under
//! a new number. So a number that is offered may be one that an earlier run of this node has used, which this disk knows
//! nothing of: taken once more, it would stand for what is gone. A leader that has applied everything says first
//! which number was this node's, and one that it gives out later is new.
//!
//! Not for how a voter finds out that its disk was rolled back (`voter`, `voting`).

use crate::{core::Core, voter::Standing, voting::settings};
use standfast_consensus::Consensus;
use standfast_model::{
    command::Change,
    effect::{Batch, Class, Effect, Level},
    event::Restored,
    id::{Incarnation, MemberId, NodeId},
    message::{Acknowledged, Body, MemoryAnswer, MemoryQuery, Message, Rejoin},
    planted::Planted,
    state::Member,
    time::Now,
};

/// What this run knows of the numbers that its node has had.
#[derive(Clone, Debug)]
pub(crate) struct Returning {
    /// Numbers up to this one may have been used by a run that this disk knows nothing of.
    spent: MemberId,
    /// Who has said so as a leader, and in which term.
    vouched: Option<(NodeId, u64)>,
}

impl Returning {
    pub(crate) const fn new() -> Self {
        Self {
            spent: MemberId(0),
            vouched: None,
        }
    }

    pub(crate) fn spend(&mut self, member: MemberId) {
        self.spent = self.spent.max(member);
    }
}

impl Core {
    /// Asks what this node's number was, and for another one.
    pub(crate) fn ask_to_return(&mut self, why: &str) {
        let spent = self.member.max(self.returning.spent);
        for node in self.peer_names() {
            self.send(&node, Class::Stream, Body::MemoryQuery(MemoryQuery {}));
            let why = why.to_owned();
            let message = Message::new(spent, self.incarnation.0, Body::Rejoin(Rejoin { why }));
            self.out.push(Effect::Send {
                to: node,
                class: Class::Stream,
                message: Box::new(message),
            });
        }
    }

    /// A leader has said which number was this node's. What it says later in its term may be the new one.
    pub(crate) fn told_number(&mut self, from: &NodeId, answer: &MemoryAnswer) {
        let known = self.returning.vouched.as_ref();
        if answer.leads > known.map_or(0, |(_, term)| *term) {
            self.returning.spend(MemberId(answer.current_member));
            self.returning.vouched = Some((from.clone(), answer.leads));
        }
    }

    /// Whether a message of the log to another number makes this node that member: its own is gone, and the leader
    /// that sends it has given it this one since it asked. Within a pair a copy is taken over, which has no vote: there it is
    /// enough that this node has not said that the number is spent, which has it taken away.
    pub(crate) fn takes_number(&self, from: &NodeId, term: u64, number: MemberId) -> bool {
        let vouched = |(leader, of): &(NodeId, u64)| leader == from && *of == term;
        let vouched = self.returning.vouched.as_ref().is_some_and(vouched);
        let new = number > self.returning.spent && (vouched || self.paired.is_some());
        matches!(self.voter.standing, Standing::Lost(_))
            && number > self.member
            && (new || self.planted(Planted::NumberTwice))
    }

    /// Starts again as a new member with an empty log. What stays: the promise, and the caps.
    pub(crate) fn rebirth(&mut self, now: Now, member: MemberId) {
        let settings = settings(&self.timing(), member, self.seed);
        let Ok(consensus) = Consensus::new(&settings, &Restored::default()) else {
            return;
        };
        let old = std::mem::replace(&mut self.consensus, consensus);
        let before = std::mem::replace(&mut self.member, member);
        self.lead = None;
        self.voter.standing = Standing::Full;
        let (vote_cap, lease_cap) = self.voter.caps();
        if !self.reborn_in_pair(old, before) {
            self.write_caps(Batch {
                reset: Some(member),
                promise: Some(self.promise_wanted),
                vote_cap: Some(vote_cap),
                lease_cap: Some(lease_cap),
                ..Batch::default()
            });
        }
        self.last_tick = now;
        self.log(
            Level::Warn,
            format!("this node comes back as new member {member}"),
        );
    }

    /// The term in which this node leads and knows everything that was committed before, else zero.
    pub(crate) fn leads_and_knows(&self) -> u64 {
        let lead = self.lead.as_ref().filter(|lead| lead.caught_up);
        lead.map_or(0, |lead| lead.term)
    }

    /// A leader remembers what a member has acknowledged to it.
    pub(crate) fn remember_matched(&mut self, member: MemberId) {
        if let Some(index) = self.consensus.matched(member).filter(|index| *index > 0) {
            self.voter.remember(Acknowledged {
                member: member.0,
                index,
                term: self.consensus.term(),
            });
        }
    }

    /// A member whose disk was lost or rolled back: its old number goes, then it gets a new one.
    pub(crate) fn on_rejoin(
        &mut self,
        now: Now,
        from: &NodeId,
        (sender, run): (MemberId, Incarnation),
        why: &str,
    ) {
        let leads = self.lead.as_ref().is_some_and(|lead| lead.caught_up);
        if !leads || *from == self.node || self.log_is_closed() {
            return;
        }
        if !self.state.keys.is_empty() && !self.state.keys.contains_key(from) {
            return;
        }
        let current = self
            .state
            .members
            .iter()
            .rev()
            .find(|(_, info)| info.node == *from);
        match current {
            // It has its new number, and is to hear of it. Unless another run has spoken under that
            // number: then the disk of that one is lost, too.
            Some((member, _))
                if *member > sender && self.speaks_as.get(member).is_none_or(|by| *by == run) => {}
            Some((member, _)) => {
                let member = *member;
                if self.remove_member(now, member) {
                    let text = format!("{from} comes back as a new member: {why}");
                    self.log(Level::Warn, text);
                }
            }
            None => {
                let addresses = self
                    .state
                    .config
                    .nodes
                    .get(from)
                    .map(|node| node.addresses.clone())
                    .unwrap_or_default();
                let member = MemberId(self.state.next_member.max(1));
                let info = Member {
                    node: from.clone(),
                    voter: false,
                    addresses,
                };
                let change = Change::AddMember {
                    member,
                    info,
                    replaces: Some(sender),
                    key: String::new(),
                    witness: false,
                };
                if let Some(command) = self.encode(now, None, change) {
                    let _busy = self.consensus.propose_add_learner(member, command).is_err();
                }
            }
        }
    }
}
