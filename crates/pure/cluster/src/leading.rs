//! What this node does while it leads: rounds, grants, and taking reports.
//!
//! What it decides is in `deciding`.

use crate::{
    core::Core,
    lead::{Base, Lead, grantable},
    paired::barred,
    stages::turn_has_come,
};
use standfast_model::{
    command::Change,
    effect::{Class, Level},
    id::{Incarnation, MemberId, NodeId, ResourceId},
    message::{Acknowledged, Body, Instance, LeaseGrant, LeaseRequest, Round, RoundAck},
    planted::Planted,
    state::NodeReport,
    time::{Micros, Now, WaitUntil},
};
use std::collections::BTreeSet;

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
            let mut lead = Lead::new(term, now);
            lead.before = self.holder.leader_heard;
            self.lead = Some(lead);
            self.last_round = None;
            self.log(Level::Info, format!("this node leads in term {term}"));
        }
        let drift = self.wait_drift();
        let forgetful = self.planted(Planted::RestartGrantForgotten);
        if let Some(lead) = &mut self.lead
            && lead.caught_up
            && !forgetful
        {
            lead.watch_restarts(now, &self.state, drift);
        }
        self.stop_giving_up(now);
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

    /// A transfer of leadership that has not come about is over: nothing is granted until then, and
    /// leases are longer than that. The next one is not tried before it has been calm again.
    fn stop_giving_up(&mut self, now: Now) {
        let usual = self.timing().leadership;
        let patience = match self.bridge() {
            Some(length) => usual.max(Micros(length.0 / 4)),
            None => usual,
        };
        let Some(lead) = &mut self.lead else { return };
        if let Some((_, began)) = lead.giving_up
            && now.waited_since(began) >= patience
        {
            lead.last_change = now;
            self.give_up(None);
            // The next round makes a new leadership lease.
            self.last_round = None;
        }
    }

    /// Sends a leadership round when one is due.
    pub(crate) fn lead_round(&mut self, now: Now) -> bool {
        let due = self.round_is_due(now);
        if due {
            self.last_round = Some(now);
            self.send_round(now, self.timing().lease);
            // A voter that has to write the longer length down first goes on with the other round meanwhile.
            if let Some(longer) = self.bridge()
                && self
                    .lead
                    .as_ref()
                    .is_some_and(|lead| lead.giving_up.is_none())
            {
                self.send_round(now, longer);
            }
        }
        due
    }

    /// How long leases are before leadership is given away because this agent is about to end, if that is longer than
    /// usual. An election on slow disks may take longer than an ordinary lease has left: several durable writes lie in
    /// it, and with one that stands still it begins anew.
    pub(crate) fn bridge(&self) -> Option<Micros> {
        let timing = self.timing();
        let length = timing.bridge();
        let ends = self.ending.leave_asked.is_some() || self.is_to_restart();
        (ends && length > timing.lease && self.has_heir()).then_some(length)
    }

    pub(crate) fn round_is_due(&self, now: Now) -> bool {
        self.last_round
            .is_none_or(|at| now.held_since(at) >= self.timing().heartbeat)
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
        if lead.pending.is_some() || lead.rules(now, &timing).is_none() {
            return round;
        }
        let mut next = round;
        for (node, known) in &self.state.nodes {
            // Who was silent already at the last look is looked at again at the next heartbeat.
            if known.online
                && *node != self.node
                && !lead
                    .looked
                    .is_some_and(|at| lead.is_silent(node, at, &timing))
            {
                next = next.min(lead.silent_in(node, now, &timing));
            }
        }
        next
    }

    fn send_round(&mut self, now: Now, lease: Micros) {
        let timing = self.timing();
        // A node that has not said what it offers gets no lease for which anybody would have to wait longer
        // (`Lead::grant_length`): voters need not vouch for it.
        let extra = self
            .state
            .nodes
            .values()
            .filter(|node| node.report.version > 0)
            .map(|node| node.report.guards.extra_wait())
            .max()
            .unwrap_or(Micros::ZERO);
        let members: Vec<MemberId> = self.state.members.keys().copied().collect();
        let voters = self.consensus.voters();
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
        let base = Base {
            at: now,
            leadership: if giving_up {
                Micros::ZERO
            } else {
                timing.leadership
            },
            lease: lease.plus(extra),
        };
        let round = Round {
            term,
            round: lead.next_round(base, voters),
            leadership_us: base.leadership.0,
            lease_us: base.lease.0,
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
        let vouched = if self.planted(Planted::HorizonIgnored) {
            Micros::ZERO
        } else {
            Micros(ack.horizon_us)
        };
        let horizon = vouched.stretched(self.wait_drift());
        let voters = self.consensus.voters();
        let Some(lead) = &mut self.lead else { return };
        if lead.term != ack.term {
            return;
        }
        lead.on_ack(now, sender, ack.round, horizon);
        lead.count_acks(now, &voters);
    }

    pub(crate) fn on_lease_request(
        &mut self,
        now: Now,
        from: &NodeId,
        incarnation: Incarnation,
        request: LeaseRequest,
    ) {
        // Who stands apart is lost to this log: what it held is free when its lease is over.
        let member = self.state.members.values().any(|info| info.node == *from);
        if !member || self.stands_apart(from) {
            return;
        }
        let offline = self.state.nodes.get(from).is_none_or(|node| !node.online);
        let Some(lead) = &mut self.lead else { return };
        let (term, newest) = (lead.term, lead.round());
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
            peer.forget_echo();
        }
        peer.heard = Some(now);
        peer.request = Some((request, now));
        peer.on_echo(now, term, newest);
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
        timing.lease = self.bridge().unwrap_or(timing.lease);
        let free = self.planted(Planted::GrantExceedsPlan);
        let unled =
            self.planted(Planted::NoLeadershipLease) || self.planted(Planted::StaleLeaderGrants);
        let term = self.consensus.term();
        let known = self.state.nodes.get(node);
        let extra = known.map_or(Micros::ZERO, |known| known.report.guards.extra_wait());
        let reported = known.map(|known| (known.report.incarnation, known.report.version));
        let allowed = self.allowed(now, node);
        let commit = self.consensus.commit_index();
        let Some(lead) = &mut self.lead else { return };
        let based_on = match lead.rules(now, &timing) {
            Some(based_on) => based_on,
            None if unled && lead.caught_up => Base {
                at: now,
                leadership: timing.leadership,
                lease: timing.lease.plus(extra),
            },
            None => return,
        };
        let length = lead.grant_length(now, based_on, &timing, extra);
        let peer = lead.peer(node, now);
        let Some((request, _)) = peer.request.clone() else {
            return;
        };
        if peer.is_deaf(now, &timing) {
            return;
        }
        let instances = if free { request.wants } else { allowed };
        if only_more
            && instances
                .iter()
                .all(|instance| peer.answered.contains(instance))
        {
            return;
        }
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
            commit,
        };
        self.send(node, Class::Datagram, Body::LeaseGrant(grant));
    }

    /// What a node may hold of what it asked for last.
    fn allowed(&self, now: Now, node: &NodeId) -> Vec<Instance> {
        let peer = self.lead.as_ref().and_then(|lead| lead.peers.get(node));
        let request = peer.and_then(|peer| peer.request.as_ref());
        // The plan that a new primary has found may still name the other one of its pair.
        let Some((request, _)) = request.filter(|_| barred(&self.state, node).is_none()) else {
            return Vec::new();
        };
        let pending = self.lead.as_ref().and_then(|lead| lead.pending.as_ref());
        let mut allowed = grantable(&self.state, pending, node, &request.wants);
        let early = self.too_early(now, node);
        allowed.retain(|one| !early.contains(&ResourceId::from(one.resource.as_str())));
        allowed
    }

    /// What a node asks for and does not run yet, and that is to start after something else that does not run either. The plan
    /// gives it to the node because it was its turn once: then agents ended, or machines lost their power.
    fn too_early(&self, now: Now, node: &NodeId) -> BTreeSet<ResourceId> {
        let mut early = BTreeSet::new();
        let Some(lead) = &self.lead else { return early };
        let peer = lead.peers.get(node);
        let request = peer.and_then(|peer| peer.request.as_ref());
        let Some((request, _)) = request.filter(|_| {
            !self.state.config.constraints.sequences.is_empty()
                && !self.planted(Planted::OldTurnTaken)
        }) else {
            return early;
        };
        let runs = |resource: &ResourceId| {
            let known = self.state.nodes.get(node).map(|known| &known.report);
            let newer = peer.and_then(|peer| peer.report.as_ref());
            newer.or(known).is_some_and(|report| {
                let seen = report.instances.get(resource);
                peer.is_some_and(|peer| peer.has_said(report))
                    && seen.is_some_and(|seen| seen.phase.may_run())
            })
        };
        let wants = request.wants.iter();
        let mut begins: Vec<ResourceId> = wants
            .map(|want| ResourceId::from(want.resource.as_str()))
            .collect();
        begins.retain(|resource| !runs(resource));
        if begins.is_empty() {
            return early;
        }
        let config = self.config_acted_on();
        let config = self.constrained(&config);
        // By the clock that also runs while this machine sleeps.
        let three = Micros(self.timing().heartbeat.0.saturating_mul(3));
        let said = |node: &NodeId| {
            let known = self.state.nodes.get(node);
            let peer = lead.peers.get(node);
            let heard = peer.and_then(|peer| peer.heard);
            known.is_some_and(|known| {
                known.online
                    && heard.is_some_and(|at| now.held_since(at) < three)
                    && peer.is_some_and(|peer| peer.has_said(&known.report))
            })
        };
        early.extend(begins.into_iter().filter(|resource| {
            let group = config.group_of(resource);
            group.is_some_and(|group| !turn_has_come(&self.state, &config, &said, group))
        }));
        early
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
        // Before it reports that it knows of the restart, a new run has shortened its guards to an
        // ordinary lease. Reports of runs before the restart do not know of it.
        let believing = self.planted(Planted::OldReportBelieved);
        let back = self.state.restart_grants.get(from).is_some_and(|grant| {
            believing || (grant.incarnation != report.incarnation && report.restart == grant.index)
        });
        let Some(lead) = &mut self.lead else { return };
        if back
            && let Some(restart) = lead.restarting.get_mut(from)
            && restart.back.is_none()
        {
            restart.back = Some(now);
            let until = WaitUntil {
                from: now,
                length: lease.plus(report.guards.extra_wait()),
            };
            let peer = lead.peer(from, now);
            peer.granted = peer.granted.later(until, now);
        }
        let peer = lead.peer(from, now);
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

    /// Agents that announced a restart and are back, or have not restarted after all. Only when voters
    /// vouch for the ordinary leases that follow: a round of after that has been acknowledged.
    pub(crate) fn end_restart_grants(&mut self, now: Now) {
        let timing = self.timing();
        let Some(lead) = &self.lead else { return };
        let Some(base) = lead.lease(now, &timing) else {
            return;
        };
        let over: Vec<(NodeId, u64)> = self
            .state
            .restart_grants
            .iter()
            .filter(|(_, grant)| !lead.ending.contains(&grant.index))
            .filter(|(node, grant)| {
                let back = lead
                    .restarting
                    .get(*node)
                    .and_then(|restart| restart.back)
                    .is_some_and(|at| base.at.held_since(at) > Micros::ZERO);
                // Whoever asks for leases after it has seen its restart grant does not use it.
                let stays = lead.peers.get(*node).is_some_and(|peer| {
                    peer.incarnation == grant.incarnation
                        && peer
                            .request
                            .as_ref()
                            .is_some_and(|(request, _)| request.applied >= grant.index)
                });
                back || stays
            })
            .map(|(node, grant)| (node.clone(), grant.index))
            .collect();
        for (node, index) in over {
            if self.propose(now, None, Change::RestartOver { node, index })
                && let Some(lead) = &mut self.lead
            {
                lead.ending.insert(index);
            }
        }
    }
}
