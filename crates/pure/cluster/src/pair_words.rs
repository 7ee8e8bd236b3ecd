//! What the two nodes of a pair say to each other, and how a word is judged by somebody whose copy grows with the log.
//!
//! Not for what a word leads to (crate `pair`).

use crate::core::Core;
use standfast_model::{
    effect::Class,
    id::NodeId,
    message::{Body, PairWord},
    time::Now,
};
use standfast_pair::{
    Confirms, History, Role,
    clock::{Input, Packet},
};

/// Longest word that travels as a datagram, bytes.
const DATAGRAM: usize = 1000;

impl Core {
    pub(crate) fn send_word(&mut self, packet: &Packet) {
        let Ok(json) = serde_json::to_vec(&packet.word) else {
            return;
        };
        let Some(paired) = &mut self.paired else {
            return;
        };
        let history = packet.word.history.as_ref();
        paired.spoken = history.map_or(0, |history| history.index);
        let peer = paired.peer.clone();
        let class = if json.len() > DATAGRAM {
            Class::Stream
        } else {
            Class::Datagram
        };
        let (number, heard) = (packet.number, packet.heard.unwrap_or(0));
        let word = PairWord {
            number,
            heard,
            json,
        };
        self.send(&peer, class, Body::PairWord(word));
    }

    /// The peer has spoken.
    pub(crate) fn on_pair_word(&mut self, now: Now, from: &NodeId, word: &PairWord) {
        let known = self
            .paired
            .as_ref()
            .is_some_and(|paired| paired.peer == *from);
        let Ok(parsed) = serde_json::from_slice(&word.json) else {
            return;
        };
        if !known {
            return;
        }
        let packet = Packet {
            number: word.number,
            heard: (word.heard > 0).then_some(word.heard),
            word: parsed,
        };
        if let Some(paired) = &mut self.paired {
            paired.newest = Some(packet.clone());
        }
        self.judge(now, packet);
        self.renew_adoption();
    }

    fn judge(&mut self, now: Now, mut packet: Packet) {
        let index = self.copy_index();
        let Some(paired) = &mut self.paired else {
            return;
        };
        let ours = paired.clocked.pair().record().history.clone();
        // Contents of the same generation come by the log: being behind in it is nothing to be taken over by a
        // word. Whoever hands over has everything counted.
        let (leads, hands) = match packet.word.role {
            Role::Primary { .. } | Role::Releasing { .. } => (true, false),
            Role::Handing { .. } => (false, true),
            Role::Waiting { .. }
            | Role::Following { .. }
            | Role::Claiming { .. }
            | Role::Rising
            | Role::Dissolved => (false, false),
        };
        let same = |ours: &History, theirs: &History| ours.is_of_generation(theirs);
        let followed = match paired.clocked.pair().role() {
            Role::Following { leader, .. } | Role::Claiming { leader, .. } => Some(leader),
            Role::Primary { .. }
            | Role::Waiting { .. }
            | Role::Rising
            | Role::Releasing { .. }
            | Role::Handing { .. }
            | Role::Dissolved => None,
        };
        if let (Some(ours), Some(theirs)) = (&ours, &mut packet.word.history)
            && same(ours, theirs)
            && followed == Some(packet.word.from)
        {
            let complete = theirs.index == index;
            if let (Role::Handing { partner }, false) = (packet.word.role, complete) {
                // Not yet: it is judged again when the rest has come.
                packet.word.role = Role::Releasing { partner };
            }
            if leads || hands {
                theirs.index = index;
            }
        }
        let from = packet.word.from;
        let claim = match (&packet.word.role, &ours, &packet.word.history) {
            (Role::Following { leader, .. }, Some(ours), Some(theirs)) if same(ours, theirs) => {
                Some((*leader, theirs.index))
            }
            _ => None,
        };
        self.tell_pair(now, Input::Packet(packet));
        let Some(paired) = &mut self.paired else {
            return;
        };
        let pair = paired.clocked.pair();
        if let (
            Role::Primary {
                partner: Some(partner),
                confirms: Confirms::Both,
            },
            Some((leader, index)),
        ) = (pair.role(), claim)
            && partner == from
            && leader == pair.session()
        {
            paired.confirmed = paired.confirmed.max(index);
        }
    }

    /// This node's copy has grown: it says so, and what the peer has said is judged again.
    pub(crate) fn look_again(&mut self, now: Now) {
        let index = self.copy_index();
        let leads = self.pair_leads();
        let Some(paired) = &mut self.paired else {
            return;
        };
        if leads || index == paired.spoken {
            return;
        }
        paired.spoken = index;
        if let Some(packet) = paired.newest.clone() {
            self.judge(now, packet);
        }
        self.tell_length(now);
        if let Some(paired) = &mut self.paired {
            let packet = paired.clocked.word_now(now);
            self.send_word(&packet);
        }
    }
}
