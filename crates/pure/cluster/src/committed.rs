//! What consensus gives out: writes, messages, committed commands, snapshots; and what the edges are
//! told when the state has changed.
//!
//! Not for what a command does to the state (`apply`).

use crate::{
    apply::{apply, settle_holders},
    core::Core,
};
use standfast_consensus::is_heartbeat;
use standfast_model::{
    command::{Change, Command},
    effect::{Batch, Class, Effect},
    id::{MemberId, NodeId},
    message::LogSnapshot,
    planted::Planted,
    state::ClusterState,
    time::Now,
};

/// Applied entries after which the log is replaced by a snapshot.
const COMPACT_AFTER: u64 = 2000;

impl Core {
    pub(crate) fn drain_consensus(&mut self, now: Now) {
        while let Some(output) = self.consensus.take_output() {
            for message in output.messages {
                self.send_to_member(message);
            }
            if let Some(persist) = output.persist
                && let Some((mut batch, ticket)) = self.hold_back(persist)
            {
                batch.memory = self.voter.memory_changed.then(|| self.voter.memory());
                self.voter.memory_changed = false;
                let effect = self.disk.write(batch, Some(ticket));
                self.out.extend(effect);
            }
            if let Some(snapshot) = output.installed
                && let Some(state) = read_state(&snapshot)
            {
                self.state = state;
                self.state.applied = snapshot.index;
                self.fencing.applied_term = snapshot.term;
                self.check_fitness();
                self.after_apply(now);
            }
            if !output.committed.is_empty() {
                self.remember_acknowledged();
            }
            for entry in output.committed {
                self.on_committed(now, entry.index, entry.term, &entry.data);
            }
        }
        let wants = self.consensus.wants_snapshot()
            || self.consensus.applied_since_snapshot() > COMPACT_AFTER;
        if wants && let Ok(data) = serde_json::to_vec(&self.state) {
            let index = self.consensus.applied_index();
            if let Some(snapshot) = self.consensus.compact(index, data) {
                let effect = self.disk.write(
                    Batch {
                        snapshot: Some(snapshot),
                        ..Batch::default()
                    },
                    None,
                );
                self.out.extend(effect);
            }
        }
    }

    /// A leader remembers at once who has acknowledged what it commits: a round says so to the others
    /// later, and who acknowledged it may have lost its disk by then.
    fn remember_acknowledged(&mut self) {
        if !self.leads() {
            return;
        }
        let members: Vec<MemberId> = self.state.members.keys().copied().collect();
        for member in members {
            self.remember_matched(member);
        }
    }

    fn send_to_member(&mut self, message: standfast_model::message::Consensus) {
        if self.is_ahead_of_generation(&message) {
            return;
        }
        // Heartbeats travel with the rounds. They may be lost, come twice and overtake others.
        let class = if is_heartbeat(&message) {
            Class::Datagram
        } else {
            Class::Stream
        };
        if let Some(node) = self.node_of(MemberId(message.to)) {
            let body = self.log_body(message);
            self.send(&node, class, body);
        }
    }

    fn on_committed(&mut self, now: Now, index: u64, term: u64, data: &[u8]) {
        self.state.applied = index;
        self.fencing.applied_term = term;
        if let Some(lead) = &mut self.lead
            && lead.term == term
            && !lead.caught_up
        {
            lead.caught_up = true;
            lead.last_change = now;
        }
        if data.is_empty() {
            return;
        }
        let Ok(command) = serde_json::from_slice::<Command>(data) else {
            self.unfit(format!(
                "entry {index} of the log is a command that this program ({}) does not know: install the version that the other nodes run",
                self.version()
            ));
            return;
        };
        if command.change.level() > self.level {
            self.unfit(format!(
                "entry {index} of the log is of feature level {}, and this program ({}) knows level {} only: install the version that \
                 the other nodes run",
                command.change.level(),
                self.version(),
                self.level
            ));
            return;
        }
        if let Change::Decide(decision) = &command.change
            && decision.plan.is_some()
        {
            self.previous.clone_from(&self.state.plan);
        }
        let again = self.to_look_at(&command.change);
        let outcome = apply(&mut self.state, index, &command);
        if outcome.is_ok() {
            self.ask_drivers_again(&again);
        }
        if let Change::RaiseLevel { .. } = command.change {
            self.check_fitness();
        }
        self.release_as_planted(&command.change);
        if let Change::ForgetFailures { resource, node, .. } = &command.change
            && *node == self.node
            && !self.state.counts_failures(resource, node)
            && let Some(local) = self.locals.get_mut(resource)
        {
            local.forget_failures();
        }
        if let Some(request) = command.request {
            self.on_applied_request(now, request, index, &outcome);
        }
        self.after_apply(now);
    }

    /// Planted bugs that release what is not released.
    fn release_as_planted(&mut self, change: &Change) {
        if let Change::FenceResult { result } = change
            && self.planted(Planted::FailedFenceReleases)
        {
            self.release_after(result.id);
        }
        if let Change::Decide(decision) = change
            && self.planted(Planted::ExpiredIsEnough)
        {
            for holders in self.state.may_hold.values_mut() {
                holders.retain(|node| !decision.expired.contains_key(node));
            }
            settle_holders(&mut self.state);
        }
        if let Change::RemoveMember { .. } = change
            && self.planted(Planted::RemovalEndsLease)
        {
            let members: Vec<NodeId> = self
                .state
                .members
                .values()
                .map(|info| info.node.clone())
                .collect();
            for holders in self.state.may_hold.values_mut() {
                holders.retain(|node| members.contains(node));
            }
            settle_holders(&mut self.state);
        }
    }

    /// The state has changed: whatever is derived from it is looked at again.
    pub(crate) fn after_apply(&mut self, now: Now) {
        if let Some((member, _)) = self
            .state
            .members
            .iter()
            .rev()
            .find(|(_, info)| info.node == self.node)
            && self.voter.takes_part()
        {
            self.member = *member;
        }
        if let Some(lead) = &mut self.lead {
            lead.last_change = now;
            lead.look = true;
        }
        self.look = true;
        self.republish = true;
        self.note_lost(now);
        self.note_off(now);
    }

    /// The members' nodes, with their addresses.
    fn known_peers(&self) -> Vec<(NodeId, Vec<String>)> {
        let mut peers: Vec<(NodeId, Vec<String>)> = Vec::new();
        for info in self.state.members.values() {
            let addresses = self
                .state
                .config
                .nodes
                .get(&info.node)
                .map_or_else(|| info.addresses.clone(), |node| node.addresses.clone());
            if peers.iter().all(|(node, _)| *node != info.node) {
                peers.push((info.node.clone(), addresses));
            }
        }
        // A node that is being taken back (old number gone, new one not yet given) stays a peer, also for an agent that starts
        // meanwhile: its key goes when it is removed for good. Clusters without keys have only their memory.
        let keys = &self.state.keys;
        for (node, config) in &self.state.config.nodes {
            let stays = match keys.is_empty() {
                true => self.peers.iter().any(|(known, _)| known == node),
                false => keys.contains_key(node),
            };
            if stays && peers.iter().all(|(known, _)| known != node) {
                peers.push((node.clone(), config.addresses.clone()));
            }
        }
        peers
    }

    /// Tells the edges who the members are and which networks matter, when that has changed.
    pub(crate) fn publish_peers(&mut self) {
        if !self.republish || self.state.applied == 0 {
            return;
        }
        self.republish = false;
        let mut peers = self.known_peers();
        let mut keys = self.add_newcomers(&mut peers);
        if self.planted(Planted::RemovedLetIn) {
            for (node, known) in &self.keys {
                keys.entry(node.clone()).or_default().extend(known.clone());
            }
        }
        let new_keys = keys != self.keys;
        if new_keys {
            self.keys.clone_from(&keys);
            self.out.push(Effect::Keys(keys));
        }
        let new_peers = peers != self.peers && !peers.is_empty();
        if new_peers {
            self.peers.clone_from(&peers);
            self.out.push(Effect::Peers(peers));
        }
        // Who was reinstalled is the same peer with another key, and may be the one that leads.
        if new_peers || new_keys {
            for node in self.others() {
                self.tell_members(&node);
            }
        }
        self.publish_authorities();
        let mut watched = self.address_resources();
        watched.retain(|(resource, _)| self.touches(resource));
        if watched != self.watched.vips {
            self.watched.vips.clone_from(&watched);
            self.out.push(Effect::WatchNetworks(watched));
        }
        let mut guarded = self.addresses_of_agents();
        guarded.retain(|(resource, _)| self.touches(resource));
        if guarded != self.watched.of_agents {
            self.watched.of_agents.clone_from(&guarded);
            self.out.push(Effect::GuardAddresses(guarded));
        }
        let config = &self.state.config;
        let file = config
            .addresses_file()
            .map(str::to_owned)
            .zip(config.pair_addresses.clone());
        if file != self.kept_file {
            self.kept_file.clone_from(&file);
            self.out.push(Effect::KeepFile(file));
        }
        let devices = self.fence_devices();
        if devices != self.devices {
            self.devices.clone_from(&devices);
            self.out.push(Effect::WatchFences(devices));
        }
        self.ask_to_be_let_in();
    }
}

pub(crate) fn read_state(snapshot: &LogSnapshot) -> Option<ClusterState> {
    serde_json::from_slice(&snapshot.data).ok()
}
