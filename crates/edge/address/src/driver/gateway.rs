//! One gateway and whether it answers: asked once a second, lost after three questions without an answer. Sends nothing
//! itself and decides nothing about resources.

use crate::Mac;
use std::net::IpAddr;

const ASK_EVERY_NS: u64 = 1_000_000_000;
const MISSES_TO_LOSE: u32 = 3;

#[derive(Debug, Clone)]
pub(crate) struct Gateway {
    pub(crate) address: IpAddr,
    pub(crate) due: u64,
    /// Questions since the last answer.
    unanswered: u32,
    mac: Option<Mac>,
    reachable: Option<bool>,
}

/// What to do at a due time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Question {
    /// The gateway alone, or everybody.
    pub(crate) to: Option<Mac>,
    /// Whether it has just been found lost.
    pub(crate) lost: bool,
}

impl Gateway {
    pub(crate) fn new(address: IpAddr) -> Self {
        Self {
            address,
            due: 0,
            unanswered: 0,
            mac: None,
            reachable: None,
        }
    }

    pub(crate) fn reachable(&self) -> Option<bool> {
        self.reachable
    }

    /// The next question. The first repetition goes to everybody: the gateway may have moved to another machine.
    pub(crate) fn ask(&mut self, now: u64) -> Question {
        let lost = self.unanswered >= MISSES_TO_LOSE && self.reachable != Some(false);
        if lost {
            self.reachable = Some(false);
        }
        let to = self.mac.filter(|_| self.unanswered == 0);
        self.unanswered = self.unanswered.saturating_add(1);
        self.due = now.saturating_add(ASK_EVERY_NS);
        Question { to, lost }
    }

    /// It was heard; true when that is news.
    pub(crate) fn heard(&mut self, mac: Mac) -> bool {
        self.mac = Some(mac);
        self.unanswered = 0;
        let news = self.reachable != Some(true);
        self.reachable = Some(true);
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = Mac([2, 0, 0, 0, 0, 9]);

    #[test]
    fn three_questions_without_answer_lose_it_and_one_answer_brings_it_back() {
        let mut gateway = Gateway::new("192.0.2.1".parse().unwrap());
        let asked = |to, lost| Question { to, lost };
        assert_eq!(gateway.ask(0), asked(None, false));
        assert!(gateway.heard(MAC), "first answer");
        assert_eq!(gateway.ask(1), asked(Some(MAC), false), "alone first");
        assert_eq!(gateway.ask(2), asked(None, false), "then everybody");
        assert_eq!(gateway.ask(3), asked(None, false));
        assert_eq!(gateway.ask(4), asked(None, true), "after three");
        assert_eq!(gateway.ask(5), asked(None, false), "reported once");
        assert!(gateway.heard(MAC));
        assert!(!gateway.heard(MAC), "no news");
    }
}
