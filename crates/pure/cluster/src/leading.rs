//! What this node does while it leads: rounds, grants, and taking reports.
//!
//! What it decides is in `deciding`.

use crate::{
    core::Core,
    lead::{Lead, grantable},
};
use standfast_model::{
    command::Change,
    effect::{Class, Level},
    id::{Incarnation, MemberId, NodeId},
    message::{Acknowledged, Body, LeaseGrant, LeaseRequest, Round, RoundAck},
    planted::Planted,
    state::NodeReport,
    time::{Micros, Now, WaitUntil},
};

impl Core {
    /// Everything that a leader does without being asked.
    pub(crate) fn lead_on(&mut self, now: Now) {
        if !self.leads() {
            if self.lead.take().is_some() {
                self.log(Level::Info, "this node no longer leads".to_owned());
            }
            return;
        }
        let term = self.consensus.term();
        if self.lead.as_ref().is_none_or(|lead| lead.term != term) {
            self.lead = Some(Lead::new(term, now, &self.state));
            self.last_round = None;
            self.log(Level::Info, format!("this node leads in term {term}"));
        }
        let beat = self.lead_round(now);
        self.decide_on(now, beat);
    }

    /// Begins to give leadership up to that member, or stops doing so. No lease is granted meanwhile.
    pub(crate) fn give_up(&mut self, heir: Option<(MemberId, Now)>) {
        let goes_on = self.planted(Planted::TransferSkipsLease);
        if let Some(lead) = &mut self.lead {
            lead.giving_up = heir;
            if !goes_on {
                lead.forget_base();
            }
        }
    }

    /// Sends a leadership round when one is due.
    pub(crate) fn lead_round(&mut self, now: Now) -> bool {
        let due = self
            .last_round
            .is_none_or(|at| now.held_since(at) >= self.timing().heartbeat);
        if due {
            self.last_round = Some(now);
            self.send_round(now);
        }
        due
    }

    /// How long until a leader has something to do.
    pub(crate) fn next_leading(&self, now: Now) -> Micros {
        let Some(lead) = &self.lead else {
            return Micros::MAX;
        };
        let timing = self.timing();
        let round = self.last_round.map_or(Micros::ZERO, |at| {
            timing.heartbeat.minus(now.held_since(at))
        });
        let mut next = round;
        for (node, known) in &self.state.nodes {
            if known.online && *node != self.node {
                next = next.min(lead.silent_in(node, now, &timing));
            }
        }
        next
    }

    fn send_round(&mut self, now: Now) {
        let timing = self.timing();
        let extra = self
            .state
            .nodes
            .values()
            .map(|node| node.report.guards.extra_wait())
            .max()
            .unwrap_or(Micros::ZERO);
        let members: Vec<MemberId> = self.state.members.keys().copied().collect();
        let term = self.consensus.term();
        let acknowledged = members
            .iter()
            .filter_map(|member| {
                // Zero means that it has not acknowledged anything to this leader yet.
                let index = self.consensus.matched(*member).filter(|index| *index > 0)?;
                Some(Acknowledged {
                    member: member.0,
                    index,
                    term,
                })
            })
            .collect();
        let Some(lead) = &mut self.lead else { return };
        let giving_up = lead.giving_up.is_some();
        let round = Round {
            term,
            round: lead.next_round(now),
            leadership_us: if giving_up { 0 } else { timing.leadership.0 },
            lease_us: timing.lease.plus(extra).0,
            acknowledged,
            commit: self.consensus.commit_index(),
        };
        for node in self.others() {
            self.send(&node, Class::Datagram, Body::Round(round.clone()));
        }
        let node = self.node.clone();
        self.send(&node, Class::Datagram, Body::Round(round));
    }

    pub(crate) fn on_round_ack(
        &mut self,
        now: Now,
        from: &NodeId,
        sender: MemberId,
        ack: &RoundAck,
    ) {
        if self.node_of(sender).as_ref() != Some(from) {
            return;
        }
        let horizon = Micros(ack.horizon_us).stretched(self.wait_drift());
        let voters = self.consensus.voters();
        let Some(lead) = &mut self.lead else { return };
        if lead.term != ack.term {
            return;
        }
        lead.on_ack(now, sender, ack.round, horizon);
        lead.count_acks(&voters);
    }

    pub(crate) fn on_lease_request(
        &mut self,
        now: Now,
        from: &NodeId,
        incarnation: Incarnation,
        request: LeaseRequest,
    ) {
        if !self.state.members.values().any(|info| info.node == *from) {
            return;
        }
        let offline = self.state.nodes.get(from).is_none_or(|node| !node.online);
        let Some(lead) = &mut self.lead else { return };
        let peer = lead.peer(from, now);
        let repeated = peer.incarnation == incarnation
            && peer
                .request
                .as_ref()
                .is_some_and(|(known, _)| known.sequence >= request.sequence);
        if repeated {
            return;
        }
        if peer.incarnation != incarnation {
            peer.incarnation = incarnation;
            peer.report = None;
        }
        peer.heard = Some(now);
        peer.request = Some((request, now));
        if offline {
            lead.look = true;
        }
        self.grant(now, from, false);
    }

    /// Answers the last request of a node. With `only_more`, only when it may hold more than it was
    /// told: a lease is given the moment that it becomes possible, not at the next request.
    pub(crate) fn grant(&mut self, now: Now, node: &NodeId, only_more: bool) {
        let mut timing = self.timing();
        timing.drift_ppm = self.wait_drift();
        let free = self.planted(Planted::GrantExceedsPlan);
        let unled =
            self.planted(Planted::NoLeadershipLease) || self.planted(Planted::StaleLeaderGrants);
        let term = self.consensus.term();
        let known = self.state.nodes.get(node);
        let extra = known.map_or(Micros::ZERO, |known| known.report.guards.extra_wait());
        let reported = known.map(|known| (known.report.incarnation, known.report.version));
        let Some(lead) = &mut self.lead else { return };
        let based_on = match lead.rules(now, &timing) {
            Some(based_on) => based_on,
            None if unled && lead.caught_up => now,
            None => return,
        };
        let pending = lead.pending.clone();
        let peer = lead.peer(node, now);
        let Some((request, _)) = peer.request.clone() else {
            return;
        };
        let instances = if free {
            request.wants.clone()
        } else {
            grantable(&self.state, pending.as_ref(), node, &request.wants)
        };
        if only_more
            && instances
                .iter()
                .all(|instance| peer.answered.contains(instance))
        {
            return;
        }
        let length = Lead::grant_length(now, based_on, &timing);
        if !instances.is_empty() {
            let wait = length.stretched(timing.drift_ppm).plus(extra);
            peer.granted = peer.granted.later(
                WaitUntil {
                    from: now,
                    length: wait,
                },
                now,
            );
        }
        peer.answered.clone_from(&instances);
        let incarnation = peer.incarnation;
        let grant = LeaseGrant {
            term,
            sequence: request.sequence,
            plan: self.state.plan.number.into(),
            instances,
            length_us: length.0,
            report_version: reported.map_or(
                0,
                |(run, version)| if run == incarnation { version } else { 0 },
            ),
        };
        self.send(node, Class::Datagram, Body::LeaseGrant(grant));
    }

    /// Grants whatever has become possible.
    pub(crate) fn grant_more(&mut self, now: Now) {
        let waiting: Vec<NodeId> = self.lead.as_ref().map_or_else(Vec::new, |lead| {
            lead.peers
                .iter()
                .filter(|(_, peer)| {
                    peer.request
                        .as_ref()
                        .is_some_and(|(request, _)| request.wants.len() > peer.answered.len())
                })
                .map(|(node, _)| node.clone())
                .collect()
        });
        for node in waiting {
            self.grant(now, &node, true);
        }
    }

    pub(crate) fn on_report(&mut self, now: Now, from: &NodeId, report: NodeReport) {
        let drift = self.wait_drift();
        let lease = self.timing().lease.stretched(drift);
        let restarting = self
            .state
            .restart_grants
            .get(from)
            .map(|grant| grant.incarnation);
        let Some(lead) = &mut self.lead else { return };
        let peer = lead.peer(from, now);
        if restarting.is_some_and(|old| old != report.incarnation) {
            // Before its first report a new agent has shortened its guards to an ordinary lease.
            peer.granted = WaitUntil {
                from: now,
                length: lease.plus(report.guards.extra_wait()),
            };
        }
        peer.report = Some(report);
        lead.look = true;
    }

    /// Puts reports that say something new into the log.
    pub(crate) fn propose_reports(&mut self, now: Now) {
        let Some(lead) = &self.lead else { return };
        let mut news: Vec<(NodeId, NodeReport)> = Vec::new();
        for (node, peer) in &lead.peers {
            let Some(report) = &peer.report else { continue };
            let known = self
                .state
                .nodes
                .get(node)
                .map(|known| (known.report.incarnation, known.report.version));
            let version = (report.incarnation, report.version);
            let older = known.is_some_and(|(run, version)| {
                run == report.incarnation && version >= report.version
            });
            if !older && lead.reporting.get(node) != Some(&version) {
                news.push((node.clone(), report.clone()));
            }
        }
        for (node, report) in news {
            let version = (report.incarnation, report.version);
            let change = Change::Report {
                node: node.clone(),
                report: Box::new(report),
            };
            if self.propose(now, None, change)
                && let Some(lead) = &mut self.lead
            {
                lead.reporting.insert(node, version);
            }
        }
    }

    /// Agents that announced a restart and are back.
    pub(crate) fn end_restart_grants(&mut self, now: Now) {
        let back: Vec<NodeId> = self
            .state
            .restart_grants
            .iter()
            .filter(|(node, grant)| {
                let reported = self
                    .state
                    .nodes
                    .get(*node)
                    .map(|known| known.report.incarnation);
                reported.is_some_and(|run| run != grant.incarnation)
                    && self
                        .state
                        .nodes
                        .get(*node)
                        .is_some_and(|known| known.report.version > 0)
                    && self
                        .lead
                        .as_ref()
                        .and_then(|lead| lead.peers.get(*node))
                        .is_some_and(|peer| Some(peer.incarnation) == reported)
            })
            .map(|(node, _)| node.clone())
            .collect();
        for node in back {
            self.propose(now, None, Change::RestartOver { node });
        }
    }
}
