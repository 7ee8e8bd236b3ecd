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
    Confirms, Role, State,
    clock::{Input, Packet},
};

/// Longest word that travels as a datagram, bytes.
const DATAGRAM: usize = 1000;

impl Core {
    pub(crate) fn send_word(&mut self, packet: &Packet) {
        let Ok(json) = serde_json::to_vec(&packet.word) else {
            return;
        };
        let idle = self.is_idle();
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
            idle,
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
            paired.peer_is_idle = word.idle;
        }
        self.judge(now, packet);
        self.renew_adoption();
    }

    /// Nothing of what a primary runs is left here, as far as is known, and nothing is given out that could run.
    fn is_idle(&self) -> bool {
        let runs = self.locals.values().any(|local| local.phase.may_run());
        let stops = self.paired.as_ref().is_none_or(|paired| {
            let pair = paired.clocked.pair();
            pair.is_stopping() || pair.acts()
        });
        self.holder.learned && !runs && !stops && self.holder.leases().next().is_none()
    }

    /// The other one of the pair went its own way, hears this node, waits for an operator to choose, and has nothing running. It
    /// takes no part in this node's log before that, and cannot say there that it has released what it ran.
    pub(crate) fn stands_apart(&self, node: &NodeId) -> bool {
        self.paired.as_ref().is_some_and(|paired| {
            let pair = paired.clocked.pair();
            let word = paired.newest.as_ref().map(|packet| &packet.word);
            let waits = word.is_some_and(|word| matches!(word.role, Role::Waiting { .. }));
            let heard = pair.sees_peer() && pair.state() == State::Diverged;
            paired.peer == *node && heard && waits && paired.peer_is_idle
        })
    }

    fn judge(&mut self, now: Now, packet: Packet) {
        let Some(paired) = &self.paired else {
            return;
        };
        let ours = paired.clocked.pair().record().history.as_ref();
        let theirs = packet.word.history.as_ref();
        let same = ours
            .zip(theirs)
            .filter(|(ours, theirs)| ours.is_of_generation(theirs));
        let claim = match (packet.word.role, same) {
            (Role::Following { leader, .. }, Some((_, theirs))) => Some((leader, theirs.index)),
            _ => None,
        };
        let from = packet.word.from;
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
