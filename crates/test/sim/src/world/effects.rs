//! What cores ask for: one exhaustive match over effects. Every effect may be carried out twice.

use super::World;
use crate::{coverage::Case, invariants, scenario::key_number};
use standfast_model::{
    effect::{Effect, Level},
    event::Reply,
    id::NodeId,
};
use std::collections::{BTreeMap, BTreeSet};

/// The machine starts a program again that has ended as unfit.
const UNFIT_AGAIN: u64 = 5_000_000;

impl World {
    /// Carries out the effects of one step, decided at a reading of the boot clock.
    pub(super) fn carry_out_all(&mut self, number: usize, effects: Vec<Effect>, decided: u64) {
        let epoch = self.nodes[number].epoch;
        for effect in effects {
            if self.violation.is_some() || self.nodes[number].epoch != epoch {
                return;
            }
            if self.repeats > 0 && is_repeatable(&effect) && self.draw_driver.chance(self.repeats) {
                self.hit(Case::EffectRepeated);
                self.carry_out(number, effect.clone(), decided);
                let before = invariants::idempotent::picture(self, number);
                self.carry_out(number, effect, decided);
                invariants::idempotent::compare(self, number, &before);
            } else {
                self.carry_out(number, effect, decided);
            }
        }
        // What was decided with it is carried out before the program ends.
        if self.nodes[number].unfit {
            self.kill_agent(number, UNFIT_AGAIN);
        }
    }

    fn carry_out(&mut self, number: usize, effect: Effect, decided: u64) {
        self.describe_effect(number, &effect);
        match effect {
            Effect::Send { to, class, message } => {
                self.hash.add(1);
                self.send(number, &to, class, message);
            }
            Effect::Persist(batch) => {
                self.hash.add(2 ^ (batch.sequence << 8));
                self.persist(number, batch);
            }
            Effect::Start(start) => {
                self.hash.add(3 ^ start.deadline);
                self.start(number, &start);
            }
            Effect::Stop { resource, grace } => {
                self.hash.add(4);
                self.stop(number, &resource, grace);
            }
            Effect::Extend { resource, deadline } => {
                self.hash.add(5 ^ deadline);
                self.extend(number, &resource, deadline, decided);
            }
            Effect::Probe { resource, .. } => self.probe(number, &resource),
            Effect::Repair { .. } | Effect::Reconfigure { .. } => self.hash.add(6),
            // Nobody shows a certificate here, and no authority signs.
            Effect::Authorities(_) | Effect::KeepFile(_) | Effect::GuardAddresses(_) => {}
            Effect::Keys(keys) => {
                self.nodes[number].keys = Some(self.key_bits(&keys));
            }
            Effect::Peers(peers) => self.peers(number, peers),
            Effect::WatchNetworks(_) => self.tell_network(number),
            // Only pairs ask ping targets, and they have a world of their own.
            Effect::WatchFences(_) | Effect::Ping(_) => {}
            Effect::Unfence(devices) => self.unfence(number, devices),
            Effect::Fence(order) => self.fence(number, *order),
            Effect::Reply(reply) => self.reply(number, *reply),
            Effect::RestartReady { .. } => self.restart_ready(number),
            Effect::Left { idle, .. } => self.left(number, idle),
            Effect::Unfit { .. } => self.nodes[number].unfit = true,
            Effect::Log { .. } => {}
        }
    }

    fn peers(&mut self, number: usize, peers: Vec<(NodeId, Vec<String>)>) {
        let known = peers.iter().filter_map(|(name, _)| self.number_of(name));
        let accepts = known.fold(1 << (number % 128), |mask, peer| mask | 1 << (peer % 128));
        let node = &mut self.nodes[number];
        node.accepts = accepts;
        node.peers = peers;
    }

    /// Keys that each machine may show, one bit each.
    pub(super) fn key_bits(&self, keys: &BTreeMap<NodeId, BTreeSet<String>>) -> Vec<u64> {
        let mut bits = vec![0; self.nodes.len()];
        for (name, keys) in keys {
            if let Some(bits) = self.number_of(name).and_then(|at| bits.get_mut(at)) {
                let numbers = keys.iter().filter_map(|key| key_number(key));
                *bits = numbers.fold(0, |mask, key| mask | 1 << (key % 64));
            }
        }
        bits
    }

    fn reply(&mut self, number: usize, reply: Reply) {
        self.hash.add(7 ^ (reply.id << 8));
        self.answered(number, reply);
    }

    fn describe_effect(&mut self, number: usize, effect: &Effect) {
        if self.timeline.is_none() {
            return;
        }
        let text = match effect {
            Effect::Send { to, message, .. } => match super::transport::describe_message(message) {
                Some(text) => format!("-> {to}: {text}"),
                None => return,
            },
            Effect::Extend { .. }
            | Effect::Log {
                level: Level::Debug,
                ..
            } => return,
            Effect::Log { text, .. } => format!("log: {text}"),
            Effect::Persist(batch) => format!(
                "writes {}: term {:?} entries {:?} promise {:?} caps {:?} {:?} reset {:?}",
                batch.sequence,
                batch.hard_state,
                batch
                    .entries
                    .first()
                    .map(|first| (first.index, batch.entries.len())),
                batch.promise,
                batch.vote_cap,
                batch.lease_cap,
                batch.reset
            ),
            other => format!("does {other:?}"),
        };
        self.note_at(number, || text);
    }
}

/// Effects that an edge may come to carry out twice in a row. Messages are repeated by the network.
fn is_repeatable(effect: &Effect) -> bool {
    match effect {
        // Who may show which key is a table: written twice it is the same one.
        Effect::Send { .. }
        | Effect::Keys(_)
        | Effect::Reply(_)
        | Effect::WatchFences(_)
        | Effect::Ping(_)
        | Effect::Unfence(_)
        | Effect::Fence(_)
        | Effect::Log { .. }
        | Effect::RestartReady { .. }
        | Effect::Left { .. }
        | Effect::Unfit { .. } => false,
        Effect::Persist(_)
        | Effect::Start(_)
        | Effect::Stop { .. }
        | Effect::Extend { .. }
        | Effect::Probe { .. }
        | Effect::Repair { .. }
        | Effect::Reconfigure { .. }
        | Effect::Authorities(_)
        | Effect::KeepFile(_)
        | Effect::GuardAddresses(_)
        | Effect::Peers(_)
        | Effect::WatchNetworks(_) => true,
    }
}
