//! What others see of a node of a pair, and what becomes of a copy that is being taken over.
//!
//! Not for what an event leads to.

use crate::{
    event::{BootId, Record, Role, Session, Word},
    pair::Pair,
    purpose::Purpose,
};

impl Pair {
    /// What this node has to say of itself at present.
    #[must_use]
    pub fn word(&self) -> Word {
        Word {
            from: self.session,
            meeting: self.meeting,
            to: self.heard.map(|(heard, meeting)| (heard.run, meeting)),
            role: self.role,
            history: self.record.history.clone(),
            may_lead: self.may_lead(),
            wants: self.wants,
            held: self.record.held,
            rebuild: self.record.rebuild,
            took_over: self.record.took_over,
            teardown: self.teardown || self.record.dissolved,
            keeps: self.record.keeps,
        }
    }

    /// What this node is.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// What its disk has.
    #[must_use]
    pub const fn record(&self) -> &Record {
        &self.record
    }

    /// The boot that was confirmed off and gave this node the right to be alone, if any.
    #[must_use]
    pub const fn fenced(&self) -> Option<BootId> {
        self.fenced
    }

    /// After how many writes the generation begins that is on its way to the disk, if one is. What comes after
    /// them is of that generation, and is not given to the peer before.
    #[must_use]
    pub fn beginning(&self) -> Option<u64> {
        let (purpose, record) = self.writing.as_ref()?;
        let begins = matches!(purpose, Purpose::GoAlone | Purpose::Rise { .. });
        let last = record.history.as_ref()?.last().filter(|_| begins)?;
        Some(last.from)
    }

    /// How many writes this node's copy has, as it was told last.
    #[must_use]
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// Replaces what is about to be taken over from the peer by what it says now. For contents that have not
    /// come yet; false when nothing is being taken over.
    pub fn adopt_newer(&mut self, word: &Word) -> bool {
        let Some((Purpose::Adopt { leader }, record)) = &mut self.writing else {
            return false;
        };
        let Some(history) = &word.history else {
            return false;
        };
        *leader = word.from;
        let mut history = history.clone();
        history.alone = false;
        history.index = self.length;
        record.history = Some(history);
        true
    }

    /// What is being taken over from the peer.
    #[must_use]
    pub const fn adopting(&self) -> Option<&Record> {
        if let Some((Purpose::Adopt { .. }, record)) = &self.writing {
            Some(record)
        } else {
            None
        }
    }

    /// Something is being stopped here, and [`crate::Event::Stopped`] is waited for.
    #[must_use]
    pub const fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// Nothing is taken over after all: the contents have not come, and the disk is as it was.
    pub fn abandon_adoption(&mut self) {
        if self.adopting().is_some() {
            self.writing = None;
        }
    }

    /// Whether the peer knows this run of ours, and was not lost since.
    #[must_use]
    pub const fn sees_peer(&self) -> bool {
        self.seen
    }

    /// The run of the peer that spoke last.
    #[must_use]
    pub fn heard(&self) -> Option<Session> {
        self.heard.map(|(session, _)| session)
    }

    /// This run.
    #[must_use]
    pub const fn session(&self) -> Session {
        self.session
    }

    /// How many times another run of the peer was heard.
    #[must_use]
    pub const fn meetings(&self) -> u32 {
        self.meeting
    }
}
