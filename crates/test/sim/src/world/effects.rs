//! What cores ask for: one exhaustive match over effects. Every effect may be carried out twice.

use super::World;
use crate::{coverage::Case, invariants, node::Agent};
use standfast_model::{
    effect::{Effect, Level},
    event::Reply,
    id::NodeId,
};

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
            // Nobody shows a certificate here.
            Effect::Keys(_) | Effect::Authorities(_) => {}
            Effect::Peers(peers) => self.peers(number, peers),
            Effect::WatchNetworks(_) => self.tell_network(number),
            Effect::WatchFences(_) => {}
            Effect::Fence(order) => self.fence(number, *order),
            Effect::Reply(reply) => self.reply(number, *reply),
            Effect::RestartReady { .. } => self.restart_ready(number),
            // No scenario shuts a machine down in order yet.
            Effect::Log { .. } | Effect::Left { .. } | Effect::Unfit { .. } => {}
        }
    }

    fn peers(&mut self, number: usize, peers: Vec<(NodeId, Vec<String>)>) {
        let known = peers.iter().filter_map(|(name, _)| self.number_of(name));
        let accepts = known.fold(1 << (number % 128), |mask, peer| mask | 1 << (peer % 128));
        let node = &mut self.nodes[number];
        node.accepts = accepts;
        node.peers = peers;
    }

    fn restart_ready(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        // Whoever asked may have been told that nothing was known of it.
        let down = node.restarting.take().unwrap_or(500_000);
        if node.agent != Agent::Down {
            self.hit(Case::PlannedRestart);
            self.note_at(number, || "agent may restart".to_owned());
            self.kill_agent(number, down);
        }
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
        Effect::Send { .. }
        | Effect::Reply(_)
        | Effect::WatchFences(_)
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
        | Effect::Keys(_)
        | Effect::Authorities(_)
        | Effect::Peers(_)
        | Effect::WatchNetworks(_) => true,
    }
}
