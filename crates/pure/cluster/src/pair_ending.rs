//! The end of a pair: one node goes on as a cluster of one, the other one is out.
//!
//! Crate `pair` sees to it that the other one is out first. What is left to do here is level-triggered: as long as the
//! state knows the other one, it is removed; then the section goes; then the record.
//!
//! Not for what the other one's machine still has: `destroy` there.

use crate::{core::Core, paired::peer_of};
use standfast_model::{
    command::Change,
    effect::{Batch, Level},
    id::MemberId,
    pair::PairConfig,
    time::Now,
};
use standfast_pair::Role;

impl Core {
    /// The pair is dissolved, and this is the node that goes on.
    pub(crate) fn outlives_pair(&self) -> bool {
        let paired = self.paired.as_ref();
        paired.is_some_and(|paired| {
            let pair = paired.clocked.pair();
            pair.role() == Role::Dissolved && pair.acts()
        })
    }

    /// One step at a time, each by the log.
    pub(crate) fn end_pair(&mut self, now: Now) {
        if !self.outlives_pair() {
            return;
        }
        let Some(config) = self.state.config.pair.clone() else {
            self.release_answers();
            self.paired = None;
            self.republish = true;
            return self.erase_record();
        };
        let leads = self.lead.as_ref().is_some_and(|lead| lead.caught_up);
        let under_way = self.consensus.last_index() != self.state.applied;
        if !leads || under_way || !self.voters_vouch() {
            return;
        }
        let by = self.paired.as_ref().map(|paired| paired.ended_by.clone());
        let by = by.filter(|by| !by.is_empty());
        let by = by.unwrap_or_else(|| "an operator".to_owned());
        match self.peer_member(&config) {
            Some(member) => {
                let by = Some(by);
                if let Some(command) = self.encode(now, None, Change::RemoveMember { member, by }) {
                    let _busy = self.consensus.propose_remove(member, command).is_err();
                }
            }
            None => {
                self.propose(now, None, self.without_pair(by));
            }
        }
    }

    fn peer_member(&self, config: &PairConfig) -> Option<MemberId> {
        let peer = peer_of(config, &self.node);
        let mut members = self.state.members.iter();
        members
            .find(|(_, info)| info.node == *peer)
            .map(|(member, _)| *member)
    }

    /// The configuration in force without `[pair]`. Its author's text stays: nobody has written another one.
    pub(crate) fn without_pair(&self, author: String) -> Change {
        let mut config = Box::new(self.state.config.clone());
        config.pair = None;
        config.pair_addresses = None;
        Change::Configure {
            config,
            text: self.state.config_text.clone(),
            based_on: self.state.config_version,
            author,
            reason: "the pair is dissolved".to_owned(),
            draft: None,
        }
    }

    /// A start after the end, when the disk had not heard of it yet.
    pub(crate) fn forget_pair(&mut self) {
        let over = self.pair_record.as_ref().is_some_and(|record| record.keeps);
        if over && self.state.applied > 0 {
            self.erase_record();
        }
    }

    fn erase_record(&mut self) {
        self.pair_record = None;
        let batch = Batch {
            pair: Some(b"null".to_vec()),
            ..Batch::default()
        };
        let effect = self.disk.write(batch, None);
        self.out.extend(effect);
        let text = "the pair has ended: this is a cluster of one node";
        self.log(Level::Info, text.to_owned());
    }
}
