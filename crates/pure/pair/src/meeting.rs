//! What the peer's word leads to: who leads, who follows, whose copy is taken over.
//!
//! Level-triggered: a word says everything, so nothing here depends on having heard an earlier one, and a
//! late or repeated one leads at most to a question that is asked again.

use crate::{
    event::{Alarm, Confirms, Contents, Effect, Record, Role, Session, Word},
    history::{Beginning, Relation, Side},
    pair::Pair,
    planted::Planted,
    purpose::Purpose,
};
use standfast_model::pair::Arbiter;

impl Pair {
    pub(crate) fn on_word(&mut self, word: &Word) {
        if self.role == Role::Dissolved {
            // Nothing follows from it; but a new run of the peer has to be told, and it believes answers only.
            self.is_answer(word);
            return;
        }
        self.void_fence(word.from);
        if !self.is_answer(word) {
            return;
        }
        self.seen = true;
        let relation = self.relation_to(word);
        let diverged = relation == Relation::Diverged;
        if diverged && !self.diverged {
            self.effects.push(Effect::Alarm(Alarm::Diverged));
        }
        self.diverged = diverged;
        self.shown.peer_took_over = word.took_over;
        self.dissolve_with(word);
        match self.role {
            Role::Waiting { ask } => self.meet(word, relation, ask),
            Role::Following { leader, .. } | Role::Claiming { leader, .. } => {
                self.hear_leader(word, relation, leader);
            }
            Role::Primary { partner, confirms } => {
                self.hear_follower(word, relation, (partner, confirms));
            }
            Role::Handing { partner } => self.hear_successor(word, relation, partner),
            Role::Rising | Role::Releasing { .. } | Role::Dissolved => {}
        }
    }

    /// How this node's copy relates to the peer's. What a follower lacks of its leader's generation comes by the log, where
    /// there is one: that is nothing to be taken over by a word.
    fn relation_to(&self, word: &Word) -> Relation {
        let leads = matches!(
            word.role,
            Role::Primary { .. } | Role::Releasing { .. } | Role::Handing { .. }
        );
        if leads && self.has_log_of(word) {
            Relation::Same
        } else {
            self.relation(word.history.as_ref())
        }
    }

    /// Whether the log of the word's speaker, whom this node follows, is what its own copy grows with.
    fn has_log_of(&self, word: &Word) -> bool {
        let (Role::Following { leader, .. } | Role::Claiming { leader, .. }) = self.role else {
            return false;
        };
        let histories = self.record.history.as_ref().zip(word.history.as_ref());
        let same = histories.is_some_and(|(ours, theirs)| ours.is_of_generation(theirs));
        self.settings.by_log && leader == word.from && same
    }

    /// What is being handed over has not all come by the log yet.
    fn lacks_some_of(&self, word: &Word) -> bool {
        let theirs = word.history.as_ref().map(|history| history.index);
        self.has_log_of(word) && theirs != Some(self.length)
    }

    /// Whether the word answers what we say at present. One that answers an older word of ours is old; one
    /// that answers an earlier run of ours, or nobody, tells that there is another run of the peer.
    fn is_answer(&mut self, word: &Word) -> bool {
        let to_this_run = word.to.filter(|(run, _)| *run == self.session.run);
        let old = to_this_run.is_some_and(|(_, meeting)| meeting < self.meeting);
        let known = self.heard.filter(|(session, _)| *session == word.from);
        if old && known.is_none() && !self.bug(Planted::OldRunsCount) {
            return false;
        }
        let meetings = known.map_or(0, |(_, meeting)| meeting).max(word.meeting);
        if self.heard != Some((word.from, meetings)) {
            self.heard = Some((word.from, meetings));
            self.effects.push(Effect::Speak);
        }
        if known.is_none() && !self.bug(Planted::OldRunsCount) {
            // What any other run has said is old from now on. This one answers once it has heard that.
            self.meeting += 1;
        }
        let counts = to_this_run.is_some() && self.bug(Planted::OldRunsCount);
        counts || (to_this_run.is_some() && known.is_some() && !old)
    }

    /// A boot that was confirmed off has spoken: whatever rested on that is over.
    fn void_fence(&mut self, from: Session) {
        if self.fenced != Some(from.boot) || self.bug(Planted::VoidIgnored) {
            return;
        }
        self.fenced = None;
        self.voided = true;
        self.effects
            .push(Effect::Alarm(Alarm::FenceVoid(from.boot)));
        if let Role::Primary {
            confirms: Confirms::Alone,
            ..
        } = self.role
        {
            self.step_down();
        }
    }

    /// Neither leads nor follows, and hears the peer.
    fn meet(&mut self, word: &Word, relation: Relation, ask: Option<u32>) {
        // While something of a primary's is being stopped here, nobody else may be told to start.
        if self.stopping || self.writing.is_some() {
            return;
        }
        match word.role {
            Role::Primary { .. } => self.follow(word, relation, false),
            Role::Following {
                leader,
                ask: promised,
                ..
            } if leader == self.session => {
                let answered = promised.is_some() && promised == ask;
                let newest = match relation {
                    Relation::Same | Relation::Ahead | Relation::PeerUnknown => true,
                    Relation::Behind | Relation::Unknown | Relation::Diverged => false,
                };
                if (answered && newest) || self.bug(Planted::AnyPromiseCounts) {
                    self.rise(Some(word.from), Beginning::Together);
                }
            }
            Role::Waiting { ask: question } => self.elect(word, relation, (ask, question)),
            Role::Following { .. }
            | Role::Claiming { .. }
            | Role::Rising
            | Role::Releasing { .. }
            | Role::Handing { .. }
            | Role::Dissolved => {}
        }
    }

    /// Both wait: one asks, the other promises.
    fn elect(&mut self, word: &Word, relation: Relation, asks: (Option<u32>, Option<u32>)) {
        let Some(leader) = self.leader_of_both(word, relation) else {
            return self.become_(Role::Waiting { ask: None });
        };
        match asks {
            (None, _) if leader == self.settings.side => {
                self.asked += 1;
                let ask = Some(self.asked);
                self.become_(Role::Waiting { ask });
            }
            (_, question @ Some(_)) if leader != self.settings.side => {
                self.wants = false;
                self.become_(Role::Following {
                    leader: word.from,
                    ask: question,
                    in_sync: false,
                });
            }
            (Some(_), None) if leader != self.settings.side => {
                self.become_(Role::Waiting { ask: None });
            }
            _ => {}
        }
    }

    /// Who is to lead of two nodes that wait: both find the same, or nobody asks.
    fn leader_of_both(&self, word: &Word, relation: Relation) -> Option<Side> {
        let (me, peer) = (self.settings.side, self.settings.side.other());
        let leader = match relation {
            Relation::Ahead => me,
            Relation::Behind => peer,
            Relation::Same if self.wants != word.wants => {
                if self.wants {
                    me
                } else {
                    peer
                }
            }
            Relation::Same => self.record.history.as_ref()?.last()?.by,
            // An empty disk is not an old one: without an operator's word it may have been the newer.
            Relation::PeerUnknown if word.rebuild || self.bug(Planted::EmptyIsOlder) => me,
            Relation::Unknown if self.record.rebuild || self.bug(Planted::EmptyIsOlder) => {
                word.history.as_ref().map(|_| peer)?
            }
            Relation::PeerUnknown | Relation::Unknown | Relation::Diverged => return None,
        };
        let (may_lead, wants) = if leader == me {
            (self.may_lead(), self.wants)
        } else {
            (word.may_lead, word.wants)
        };
        let held = (self.record.held || word.held) && !wants;
        (may_lead && !held).then_some(leader)
    }

    /// Follows a primary: takes its copy over, then says so.
    fn follow(&mut self, word: &Word, relation: Relation, in_sync: bool) {
        match relation {
            Relation::Same | Relation::Behind | Relation::Unknown => {}
            Relation::Ahead | Relation::PeerUnknown | Relation::Diverged => {
                return self.become_(Role::Waiting { ask: None });
            }
        }
        let leader = word.from;
        if relation != Relation::Same || self.has_marks() {
            self.adopt(word);
        } else {
            self.become_(Role::Following {
                leader,
                ask: None,
                in_sync,
            });
        }
    }

    /// The disk still says something that is not so for a follower.
    fn has_marks(&self) -> bool {
        let alone = self
            .record
            .history
            .as_ref()
            .is_some_and(|history| history.alone);
        let took_over = self.record.took_over;
        alone
            || took_over
            || self.record.held
            || self.record.rebuild
            || self.record.led_in.is_some()
    }

    fn adopt(&mut self, word: &Word) {
        let Some(history) = &word.history else { return };
        if self.writing.is_some() {
            return;
        }
        let mut history = history.clone();
        history.alone = false;
        let record = Record {
            history: Some(history),
            ..Record::default()
        };
        self.persist(
            Purpose::Adopt { leader: word.from },
            record,
            Contents::Install,
        );
    }

    pub(crate) fn after_adopt(&mut self, adopted: Session) {
        let follows = match self.role {
            Role::Waiting { .. } => !self.stopping,
            // The one that it was handed to leads. The contents of its copy may be still to come, and come to a follower.
            Role::Handing { partner } => partner == adopted,
            Role::Following { .. }
            | Role::Claiming { .. }
            | Role::Rising
            | Role::Primary { .. }
            | Role::Releasing { .. }
            | Role::Dissolved => false,
        };
        if follows {
            self.become_(Role::Following {
                leader: adopted,
                ask: None,
                in_sync: false,
            });
        }
    }

    /// A follower, or one that lost its leader, hears the peer.
    fn hear_leader(&mut self, word: &Word, relation: Relation, leader: Session) {
        if word.from != leader {
            // The peer's agent or machine started again: it leads nothing now.
            self.become_(Role::Waiting { ask: None });
            return self.meet(word, relation, None);
        }
        match word.role {
            Role::Primary { partner, confirms } => {
                let counted = confirms == Confirms::Both && partner == Some(self.session);
                self.hear_primary(word, relation, counted);
            }
            // Not yet: it is judged again when the rest has come.
            Role::Handing { .. } if self.lacks_some_of(word) => {}
            Role::Handing { partner } if partner == self.session => {
                self.take_over(relation, leader)
            }
            // It stops what it runs, and is our leader until then.
            Role::Releasing { .. } | Role::Rising => {}
            Role::Waiting { ask } => self.hear_question(word, relation, ask),
            Role::Following { .. }
            | Role::Claiming { .. }
            | Role::Handing { .. }
            | Role::Dissolved => {
                self.become_(Role::Waiting { ask: None });
            }
        }
    }

    /// The leader leads. `counted`: it waits for this node with every write.
    fn hear_primary(&mut self, word: &Word, relation: Relation, counted: bool) {
        let ours = self.record.history.as_ref().zip(word.history.as_ref());
        let in_sync = counted && ours.is_some_and(|(ours, theirs)| ours.is_of_generation(theirs));
        let (leader, ask) = (word.from, None);
        if !in_sync || relation == Relation::Behind {
            self.become_(Role::Following {
                leader,
                ask,
                in_sync,
            });
        }
        if in_sync && relation == Relation::Behind {
            self.adopt(word);
        } else {
            self.follow(word, relation, in_sync);
        }
    }

    /// The leader has stopped everything and hands over to this node.
    fn take_over(&mut self, relation: Relation, leader: Session) {
        let in_sync = match self.role {
            Role::Following { in_sync, .. } => in_sync,
            Role::Claiming { .. } => true,
            Role::Waiting { .. }
            | Role::Rising
            | Role::Primary { .. }
            | Role::Releasing { .. }
            | Role::Handing { .. }
            | Role::Dissolved => false,
        };
        if in_sync && relation == Relation::Same && self.writing.is_none() {
            self.rise(Some(leader), Beginning::Together);
        }
    }

    /// Whom we promised to follow does not lead yet, or does not lead any more.
    fn hear_question(&mut self, word: &Word, relation: Relation, question: Option<u32>) {
        let promised = match self.role {
            Role::Following { ask, .. } => ask,
            Role::Waiting { .. }
            | Role::Claiming { .. }
            | Role::Rising
            | Role::Primary { .. }
            | Role::Releasing { .. }
            | Role::Handing { .. }
            | Role::Dissolved => None,
        };
        if promised.is_none() || promised != question {
            self.become_(Role::Waiting { ask: None });
            self.meet(word, relation, None);
        }
    }

    /// A primary hears the peer.
    fn hear_follower(
        &mut self,
        word: &Word,
        relation: Relation,
        (partner, confirms): (Option<Session>, Confirms),
    ) {
        match relation {
            Relation::Ahead | Relation::Same | Relation::PeerUnknown => {}
            // Ours is the older one: whoever has the newer one leads, or will.
            Relation::Behind | Relation::Unknown => return self.superseded(),
            Relation::Diverged => {
                if matches!(word.role, Role::Primary { .. }) && self.yields_to(word) {
                    self.superseded();
                }
                return;
            }
        }
        let Role::Following {
            leader, in_sync, ..
        } = word.role
        else {
            return;
        };
        if leader != self.session || self.writing.is_some() {
            return;
        }
        self.follower_knows = in_sync;
        let from = Some(word.from);
        let caught_up = relation == Relation::Same;
        match confirms {
            Confirms::Both if partner == from => {
                if caught_up {
                    self.set_primary(from, Confirms::Both);
                }
                if word.wants {
                    self.hand_over(word.from);
                }
            }
            Confirms::Both | Confirms::Nobody => {
                let confirms = if caught_up {
                    Confirms::Both
                } else {
                    Confirms::Nobody
                };
                self.set_primary(from, confirms);
            }
            Confirms::Alone => {
                if caught_up && (self.leased || self.settings.arbiter != Arbiter::Ping) {
                    self.end_alone(word.from);
                }
            }
        }
    }

    /// The follower has caught up. That this node is alone no more is on the disk before the follower
    /// counts: a new run of this agent would go on alone otherwise.
    fn end_alone(&mut self, partner: Session) {
        self.fenced = None;
        let mut record = self.record.clone();
        record.took_over = false;
        if let Some(history) = &mut record.history {
            history.alone = false;
        }
        if self.bug(Planted::AloneForgottenLate) {
            return self.set_primary(Some(partner), Confirms::Both);
        }
        self.set_primary(Some(partner), Confirms::Nobody);
        self.persist(Purpose::EndAlone { partner }, record, Contents::Keep);
    }

    fn superseded(&mut self) {
        self.effects.push(Effect::Alarm(Alarm::Superseded));
        self.step_down();
    }

    /// Two primaries with histories of their own: the same one of them goes on in the eyes of both. Whoever took over does: its log
    /// is of a later term, and the other one could not lead beside that.
    fn yields_to(&self, word: &Word) -> bool {
        if self.record.took_over != word.took_over {
            return word.took_over;
        }
        let number = |history: &Option<crate::history::History>| {
            history
                .as_ref()
                .and_then(|history| history.last().map(|last| last.number))
        };
        let (mine, theirs) = (number(&self.record.history), number(&word.history));
        mine < theirs || (mine == theirs && self.settings.side == Side::Second)
    }

    /// Whoever handed over hears the peer: it leads now, or did not hear yet.
    fn hear_successor(&mut self, word: &Word, relation: Relation, partner: Session) {
        if word.from != partner {
            self.become_(Role::Waiting { ask: None });
            return self.meet(word, relation, None);
        }
        match word.role {
            Role::Primary { .. } => self.follow(word, relation, false),
            // It lost us in between: both begin anew.
            Role::Waiting { .. } | Role::Following { in_sync: false, .. } => {
                self.become_(Role::Waiting { ask: None });
            }
            Role::Following { .. }
            | Role::Claiming { .. }
            | Role::Rising
            | Role::Releasing { .. }
            | Role::Handing { .. }
            | Role::Dissolved => {}
        }
    }

    /// The pair is dissolved on the follower first: from then on it never takes over.
    fn dissolve_with(&mut self, word: &Word) {
        let is_out = word.role == Role::Dissolved;
        if (word.teardown || is_out) && !self.teardown {
            self.teardown = true;
            self.effects.push(Effect::Speak);
        }
        if !self.teardown {
            return;
        }
        let leads = matches!(self.role, Role::Primary { .. });
        let peer_leads = matches!(word.role, Role::Primary { .. });
        if is_out && !word.keeps {
            // Whoever led when the other one went goes on, also after a restart in between.
            if self.record.history.is_some() {
                self.dissolve(true);
            }
        } else if !leads && (peer_leads || is_out) {
            self.dissolve(false);
        }
    }

    /// `keeps`: this node goes on by itself.
    pub(crate) fn dissolve(&mut self, keeps: bool) {
        if self.writing.is_some() {
            return;
        }
        let dissolved = true;
        let record = Record {
            dissolved,
            keeps,
            ..self.record.clone()
        };
        if !matches!(self.role, Role::Primary { .. }) {
            self.become_(Role::Waiting { ask: None });
        }
        self.persist(Purpose::Dissolve, record, Contents::Keep);
    }
}
