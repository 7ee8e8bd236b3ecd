//! Clients: what is answered here, what goes to the leader, and what has to be committed first.
//!
//! An answer of `Done` is given only for a command that has been committed and applied.

use crate::{core::Core, lead::restart_wait};
use standfast_model::{
    command::{Act, Change},
    effect::{Class, Effect, Level},
    event::Reply,
    id::{GroupId, Incarnation, MemberId, NodeId},
    message::{Answer, Body, Forward},
    pair::PairOrder,
    request::{Refusal, RefusalKind, Request, Response},
    time::{Micros, Now},
};
use std::collections::BTreeMap;

/// A client gets an answer within this time, if only that the outcome is unknown.
const PATIENCE: Micros = Micros::from_millis(10_000);
/// Requests that may wait at once.
const MOST_WAITING: usize = 256;

/// Requests that are not answered yet.
#[derive(Debug, Default)]
pub(crate) struct Clients {
    waiting: BTreeMap<u64, Waiting>,
    restart: Option<u64>,
    /// Index of the command that granted it: an earlier grant of this run is not meant.
    pub(crate) restart_index: Option<u64>,
}

#[derive(Debug)]
struct Waiting {
    /// The node whose client it is; none for our own.
    origin: Option<NodeId>,
    request: Request,
    since: Now,
    /// Handed to the leader, or into the log: the outcome is unknown until it is answered.
    under_way: bool,
    member: Option<MemberId>,
}

impl Clients {
    /// The restart that this node asked for is in force: answers whoever asked. False when nobody waits.
    pub(crate) fn restart_answered(&mut self, out: &mut Vec<Effect>, index: u64) -> bool {
        let Some(id) = self.restart.take() else {
            return false;
        };
        self.waiting.remove(&id);
        out.push(Effect::Reply(Box::new(Reply {
            id,
            response: Response::Done { index },
        })));
        true
    }

    /// The restart was granted too late to be of use: says so. False when the agent may end already.
    pub(crate) fn restart_late(&mut self, out: &mut Vec<Effect>) -> bool {
        let Some(id) = self.restart.take() else {
            return false;
        };
        self.restart_index = None;
        self.waiting.remove(&id);
        let text = "the cluster took too long to grant the restart; the agent runs on; try again"
            .to_owned();
        out.push(Effect::Reply(Box::new(Reply {
            id,
            response: Response::Refused(Refusal {
                kind: RefusalKind::Timeout,
                text,
            }),
        })));
        true
    }
}

impl Core {
    pub(crate) fn on_request(&mut self, now: Now, id: u64, request: Request) {
        let request = request.present();
        if let Some(response) = self.look(now, &request) {
            self.out
                .push(Effect::Reply(Box::new(Reply { id, response })));
            return;
        }
        match request {
            Request::Pair { order, author } => {
                self.log(
                    Level::Info,
                    format!("{author} wants of the pair: {order:?}"),
                );
                self.pair_order(now, id, order, &author);
            }
            Request::FenceConfirm {
                ref node,
                ref author,
            } if self.waits_for_fence_of(node) => {
                self.pair_order(now, id, PairOrder::PeerIsOff, author);
            }
            // Answered already.
            Request::View
            | Request::Backup
            | Request::Plan { .. }
            | Request::Simulate { .. }
            | Request::Text { .. } => {}
            Request::Apply { .. }
            | Request::Draft { .. }
            | Request::Switchover { .. }
            | Request::Drain { .. }
            | Request::Order { .. }
            | Request::Maintain { .. }
            | Request::Standby { .. }
            | Request::Cleanup { .. }
            | Request::PlainRestart
            | Request::Restart { .. }
            | Request::AskRestart { .. }
            | Request::Leave
            | Request::Token
            | Request::RotateKey { .. }
            | Request::Keys { .. }
            | Request::RotateAuthority { .. }
            | Request::ReplaceAuthority { .. }
            | Request::Act { .. }
            | Request::Query { .. }
            | Request::Remove { .. }
            | Request::Fence { .. }
            | Request::FenceDrill { .. }
            | Request::FenceConfirm { .. }
            | Request::FenceResult { .. }
            | Request::Join { .. } => {
                if matches!(request, Request::Restart { .. }) {
                    self.restart_asked = Some(now);
                    self.clients.restart = Some(id);
                    self.clients.restart_index = None;
                }
                if matches!(request, Request::Leave) {
                    self.ending.leave_asked.get_or_insert(now);
                }
                self.wait_for(now, id, None, request);
            }
        }
    }

    pub(crate) fn on_forward(&mut self, now: Now, from: &NodeId, id: u64, json: &[u8]) {
        if let Ok(request) = serde_json::from_slice::<Request>(json) {
            self.wait_for(now, id, Some(from.clone()), request.present());
        }
    }

    fn wait_for(&mut self, now: Now, id: u64, origin: Option<NodeId>, request: Request) {
        if self.clients.waiting.len() >= MOST_WAITING {
            if origin.is_none() {
                self.end_restart(id);
            }
            let text = "too many requests are waiting; try again".to_owned();
            self.answer_to(
                origin,
                id,
                Response::Refused(Refusal {
                    kind: RefusalKind::Timeout,
                    text,
                }),
            );
            return;
        }
        let waiting = Waiting {
            origin,
            request,
            since: now,
            under_way: false,
            member: None,
        };
        self.clients.waiting.entry(id).or_insert(waiting);
    }

    pub(crate) fn on_answer(&mut self, id: u64, json: &[u8]) {
        // A restart is answered when this node itself sees it in force.
        if self.clients.restart == Some(id)
            && matches!(serde_json::from_slice(json), Ok(Response::Done { .. }))
        {
            return;
        }
        if let (true, Ok(response)) = (
            self.clients.waiting.contains_key(&id),
            serde_json::from_slice::<Response>(json),
        ) {
            self.answer(id, response);
        }
    }

    /// Hands waiting requests on, and gives up on those that waited too long.
    pub(crate) fn serve_on(&mut self, now: Now) {
        if self.clients.waiting.is_empty() {
            return;
        }
        let fresh: Vec<u64> = self
            .clients
            .waiting
            .iter()
            .filter(|(_, waiting)| !waiting.under_way)
            .map(|(id, _)| *id)
            .collect();
        for id in fresh {
            self.hand_on(now, id);
        }
        let late: Vec<(u64, bool)> = self
            .clients
            .waiting
            .iter()
            .filter(|(_, waiting)| now.held_since(waiting.since) > PATIENCE)
            .map(|(id, waiting)| (*id, waiting.under_way))
            .collect();
        for (id, under_way) in late {
            let refusal = if under_way {
                Self::refusal(
                    RefusalKind::Timeout,
                    "the cluster did not confirm this in time: it may or may not have happened; look at `status`",
                )
            } else {
                Self::refusal(
                    RefusalKind::NoQuorum,
                    "no leader with a majority of voters is reached from here; nothing was changed; look at `status`",
                )
            };
            self.answer(id, Response::Refused(refusal));
        }
    }

    fn hand_on(&mut self, now: Now, id: u64) {
        let Some(waiting) = self.clients.waiting.get_mut(&id) else {
            return;
        };
        let origin = waiting.origin.clone();
        let request = waiting.request.clone();
        let own_restart = origin.is_none() && matches!(request, Request::Restart { .. });
        if own_restart && self.waits_for_heir(now) {
            return;
        }
        let Some(waiting) = self.clients.waiting.get_mut(&id) else {
            return;
        };
        if self.lead.as_ref().is_some_and(|lead| lead.caught_up) {
            waiting.under_way = true;
            if own_restart {
                self.restart_asked = Some(now);
            }
            let may = self.check_pair_writes(&request);
            if let Err(refusal) = may.and_then(|()| self.handle(now, id, origin, request)) {
                self.answer(id, Response::Refused(refusal));
            }
            return;
        }
        let Some((_, leader)) = self.holder.leader.clone() else {
            return;
        };
        let recent = Micros(self.state.config.timing.heartbeat.0.saturating_mul(4));
        let fresh = self
            .holder
            .leader_heard
            .is_some_and(|at| now.held_since(at) < recent);
        // One hop only: a request that came from another node is not passed on again.
        if leader == self.node || !fresh || origin.is_some() {
            return;
        }
        if let Ok(json) = serde_json::to_vec(&request.for_level(self.state.level())) {
            if let Some(waiting) = self.clients.waiting.get_mut(&id) {
                waiting.under_way = true;
            }
            if own_restart {
                self.restart_asked = Some(now);
            }
            self.send(&leader, Class::Stream, Body::Forward(Forward { id, json }));
        }
    }

    /// Checks a request against the state and puts its command into the log.
    fn handle(
        &mut self,
        now: Now,
        id: u64,
        origin: Option<NodeId>,
        request: Request,
    ) -> Result<(), Refusal> {
        if self.has_to_wait(now, origin.as_ref(), &request) {
            self.try_again(id);
            return Ok(());
        }
        let change = match request {
            request @ (Request::Apply { .. } | Request::Draft { .. }) => {
                self.config_change(request)?
            }
            request @ (Request::Switchover { .. }
            | Request::Drain { .. }
            | Request::Order { .. }
            | Request::Maintain { .. }
            | Request::Standby { .. }) => self.asked(&request)?,
            Request::Cleanup { group, author } => return self.cleanup(now, id, &group, &author),
            Request::Restart { author } => self.restart_grant(now, origin, author),
            Request::Keys {
                node,
                keys,
                force,
                author,
            } => {
                self.check_keys(origin.as_ref(), &node, &keys, force)?;
                let by = self.named(author);
                Change::SetKeys { node, keys, by }
            }
            Request::ReplaceAuthority { change } => Change::ReplaceAuthority { change },
            Request::Act { node, act, author } => return self.act(now, id, (node, act, author)),
            Request::Remove { node, author } => return self.remove(now, id, &node, &author),
            Request::AskRestart { node, author } => self.ask_restart(node, author)?,
            Request::Leave => self.leave(origin),
            request @ (Request::Fence { .. }
            | Request::FenceDrill { .. }
            | Request::FenceConfirm { .. }
            | Request::FenceResult { .. }) => self.fence_change(origin.as_ref(), request)?,
            Request::Join {
                node,
                addresses,
                offer,
            } => return self.join(now, id, (node, addresses), offer),
            Request::View
            | Request::PlainRestart
            | Request::Backup
            | Request::Token
            | Request::RotateKey { .. }
            | Request::RotateAuthority { .. }
            | Request::Query { .. }
            | Request::Pair { .. }
            | Request::Plan { .. }
            | Request::Simulate { .. }
            | Request::Text { .. } => {
                return Err(Self::refusal(
                    RefusalKind::Invalid,
                    "this request is answered by the node that is asked",
                ));
            }
        };
        self.commit(now, id, change)
    }

    /// Whether something has to be over before a request is looked at. A configuration has all members in it: one that
    /// was checked while a member was on its way into the log would throw that one out again.
    fn has_to_wait(&self, now: Now, origin: Option<&NodeId>, request: &Request) -> bool {
        let restarts = matches!(request, Request::Restart { .. });
        let configures = matches!(request, Request::Apply { .. });
        (restarts && self.cannot_be_spared(now, origin))
            || (configures && self.consensus.is_changing_members())
    }

    /// Who asked, for the journal. A program that does not know of it would write another one.
    fn named(&self, by: String) -> String {
        if self.state.level() < 3 {
            String::new()
        } else {
            by
        }
    }

    fn act(
        &mut self,
        now: Now,
        id: u64,
        (node, act, by): (NodeId, Act, String),
    ) -> Result<(), Refusal> {
        let change = Change::Act { node, act, by };
        // Until everybody can read it, it is in that node's own log only.
        if self.state.level().max(self.level_of_all()) < change.level() {
            let index = self.state.applied;
            self.answer(id, Response::Done { index });
            return Ok(());
        }
        self.commit(now, id, change)
    }

    fn restart_grant(&mut self, now: Now, origin: Option<NodeId>, by: String) -> Change {
        let node = origin.unwrap_or_else(|| self.node.clone());
        let by = self.named(by);
        let incarnation = self.incarnation_of(&node);
        let length = self.timing().restart_grant;
        let wait = restart_wait(now, &self.state, &node, length, self.wait_drift());
        if let Some(lead) = &mut self.lead {
            lead.expect_restart(node.clone(), wait);
        }
        Change::RestartGrant {
            node,
            incarnation,
            length,
            by,
        }
    }

    fn commit(&mut self, now: Now, id: u64, change: Change) -> Result<(), Refusal> {
        self.check_level(now, &change)?;
        if self.propose(now, Some(id), change) {
            Ok(())
        } else {
            Err(Self::refusal(
                RefusalKind::NoQuorum,
                "this node has just stopped being the leader; nothing was changed; try again",
            ))
        }
    }

    pub(crate) fn incarnation_of(&self, node: &NodeId) -> Incarnation {
        if *node == self.node {
            return self.incarnation;
        }
        self.lead
            .as_ref()
            .and_then(|lead| lead.peers.get(node))
            .map_or(Incarnation(0), |peer| peer.incarnation)
    }

    fn cleanup(&mut self, now: Now, id: u64, group: &GroupId, author: &str) -> Result<(), Refusal> {
        self.check_group(group)?;
        let config = &self.state.config;
        let own = config.groups.get(group).into_iter();
        let copies = config.copies_of(group).map(|(_, copy)| copy);
        let members: Vec<_> = own
            .chain(copies)
            .flat_map(|group| group.members.clone())
            .collect();
        let mut changes = Vec::new();
        for resource in members {
            let records = self.state.failures.get(&resource);
            changes.extend(
                records
                    .into_iter()
                    .flatten()
                    .map(|(node, _)| Change::ForgetFailures {
                        resource: resource.clone(),
                        node: node.clone(),
                        by: Some(author.to_owned()),
                        counted: None,
                    }),
            );
        }
        // The last one is what the client waits for.
        let last = changes.pop();
        for change in changes {
            self.propose(now, None, change);
        }
        self.log(Level::Info, format!("{author} cleaned up {group}"));
        match last {
            Some(change) => self.commit(now, id, change),
            None => {
                let index = self.state.applied;
                self.answer(id, Response::Done { index });
                Ok(())
            }
        }
    }

    /// A member with that number is on its way: the answer names it.
    pub(crate) fn expect_member(&mut self, id: u64, member: MemberId) {
        if let Some(waiting) = self.clients.waiting.get_mut(&id) {
            waiting.member = Some(member);
        }
    }

    /// Something else has to be committed first: the request is looked at again.
    pub(crate) fn try_again(&mut self, id: u64) {
        if let Some(waiting) = self.clients.waiting.get_mut(&id) {
            waiting.under_way = false;
        }
    }

    pub(crate) fn encode(&self, now: Now, request: Option<u64>, change: Change) -> Option<Vec<u8>> {
        let command = standfast_model::command::Command {
            wall_ms: self.wall_ms(now),
            request,
            change,
        };
        serde_json::to_vec(&command).ok()
    }

    /// A command that somebody waits for has been applied.
    pub(crate) fn on_applied_request(
        &mut self,
        now: Now,
        id: u64,
        index: u64,
        outcome: &Result<(), Refusal>,
    ) {
        if let Some(lead) = &mut self.lead {
            if lead
                .pending
                .as_ref()
                .is_some_and(|pending| pending.request == id)
            {
                lead.pending = None;
                lead.look = true;
            }
            lead.last_change = now;
        }
        if self.clients.restart == Some(id) && outcome.is_ok() {
            self.clients.restart_index = Some(index);
        }
        let Some(waiting) = self.clients.waiting.get(&id) else {
            return;
        };
        if waiting.origin.is_none()
            && matches!(waiting.request, Request::Restart { .. })
            && outcome.is_ok()
        {
            return;
        }
        let response = match (outcome, waiting.member) {
            (Err(refusal), _) => Response::Refused(refusal.clone()),
            // Only the leader knows which member a joiner has become: its answer is waited for.
            (Ok(()), None) if matches!(waiting.request, Request::Join { .. }) => return,
            (Ok(()), None) => Response::Done { index },
            (Ok(()), Some(member)) => self.joined(member),
        };
        self.answer_when_safe(index, id, response);
    }

    /// Whether somebody still waits for that answer.
    pub(crate) fn waits(&self, id: u64) -> bool {
        self.clients.waiting.contains_key(&id)
    }

    /// Refused or timed out: this agent goes on as if it had not been asked.
    fn end_restart(&mut self, id: u64) {
        if self.clients.restart == Some(id) {
            self.clients.restart = None;
            self.clients.restart_index = None;
            self.restart_asked = None;
        }
    }

    pub(crate) fn answer(&mut self, id: u64, response: Response) {
        self.end_restart(id);
        if let Some(waiting) = self.clients.waiting.remove(&id) {
            self.answer_to(waiting.origin, id, response);
        }
    }

    fn answer_to(&mut self, origin: Option<NodeId>, id: u64, response: Response) {
        match origin {
            None => self
                .out
                .push(Effect::Reply(Box::new(Reply { id, response }))),
            Some(node) => {
                if let Ok(json) = serde_json::to_vec(&response) {
                    self.send(&node, Class::Stream, Body::Answer(Answer { id, json }));
                }
            }
        }
    }
}
