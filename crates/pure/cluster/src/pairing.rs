//! The pair as clients see it: orders, what is refused, when an answer may be given, and the view.
//!
//! Not for what an order leads to (crate `pair`).

use crate::core::Core;
use standfast_model::{
    effect::Effect,
    event::Reply,
    id::NodeId,
    pair::{PairOrder, PairView},
    planted::{PairPlanted, Planted},
    request::{Refusal, RefusalKind, Request, Response},
    time::Now,
};
use standfast_pair::{
    Confirms, Event as Told, Order, Pair, Refusal as PairRefusal, Role, clock::Input,
};

impl Core {
    /// An operator's order to this node of a pair. Answered at once: what it leads to is seen in the view.
    pub(crate) fn pair_order(&mut self, now: Now, id: u64, order: PairOrder, author: &str) {
        let outcome = self.try_order(now, order, author);
        let response = match outcome {
            Ok(()) => Response::Done {
                index: self.state.applied,
            },
            Err(refusal) => Response::Refused(refusal),
        };
        self.out
            .push(Effect::Reply(Box::new(Reply { id, response })));
    }

    fn try_order(&mut self, now: Now, order: PairOrder, author: &str) -> Result<(), Refusal> {
        let Some(paired) = &mut self.paired else {
            if order == PairOrder::Teardown {
                return self.end_half_made_pair(now, author);
            }
            let text = if self.state.config.pair.is_some() {
                "the other node of this pair has not joined yet: `standfast token` here, then `standfast join` there"
            } else {
                "this cluster is no pair: it has voters, and an election is all that it needs"
            };
            return Err(Self::refusal(RefusalKind::Invalid, text));
        };
        let order = match order {
            PairOrder::Promote => Order::Promote,
            PairOrder::Demote => Order::Demote,
            PairOrder::Swap => Order::Swap,
            PairOrder::Recover => Order::Recover,
            PairOrder::Rebuild => Order::Rebuild,
            PairOrder::PeerIsOff => {
                let boot = paired.clocked.pair().lost_boot();
                Order::PeerIsOff(boot.unwrap_or_default())
            }
            PairOrder::ForcePrimary => {
                author.clone_into(&mut paired.forced_by);
                Order::ForcePrimary
            }
            PairOrder::Teardown => {
                author.clone_into(&mut paired.ended_by);
                Order::Teardown
            }
        };
        paired.outcome = None;
        if matches!(order, Order::Promote | Order::Demote | Order::Swap) {
            self.may_swap()?;
        }
        self.tell_pair(now, Input::Event(Told::Operator(order)));
        let outcome = self
            .paired
            .as_mut()
            .and_then(|paired| paired.outcome.take());
        if let (Order::PeerIsOff(boot), Some(Ok(()))) = (order, &outcome) {
            self.confirm_fence_act(now, boot, author);
        }
        match outcome {
            None | Some(Ok(())) => Ok(()),
            Some(Err(refusal)) => Err(Self::refusal(kind(refusal), refusal.text())),
        }
    }

    /// A pair whose other node has never come, or one that has ended already.
    fn end_half_made_pair(&mut self, now: Now, author: &str) -> Result<(), Refusal> {
        if self.state.config.pair.is_none() {
            return Ok(());
        }
        let change = self.without_pair(author.to_owned());
        let alone = self.state.members.len() == 1;
        if alone && self.propose(now, None, change) {
            return Ok(());
        }
        let text = "this node has just started, or the other one is joining; try again in a moment";
        Err(Self::refusal(RefusalKind::Timeout, text))
    }

    /// Whether this node goes on when that one is confirmed off.
    pub(crate) fn waits_for_fence_of(&self, node: &NodeId) -> bool {
        self.paired.as_ref().is_some_and(|paired| {
            paired.peer == *node && paired.clocked.pair().lost_boot().is_some()
        })
    }

    /// Nothing changes its place in maintenance.
    pub(crate) fn may_swap(&self) -> Result<(), Refusal> {
        let config = self.state.acted(&self.state.config);
        let group = config.groups.values().any(|group| group.maintenance);
        if config.maintenance || group {
            let text = "something is in maintenance, so it cannot be stopped here and started there: end the maintenance first";
            return Err(Self::refusal(RefusalKind::Invalid, text));
        }
        let pair = self.state.config.pair.as_ref();
        let drained = pair.into_iter().flat_map(|pair| &pair.nodes).find(|node| {
            let known = self.state.nodes.get(node);
            known.is_some_and(|known| known.drained)
        });
        if let Some(node) = drained {
            let text = format!(
                "{node} is drained, and would run nothing as the primary: `standfast node resume {node}` first"
            );
            return Err(Self::refusal(RefusalKind::Invalid, text));
        }
        Ok(())
    }

    /// Why nothing can be changed at present, if that is so.
    pub(crate) fn check_pair_writes(&self, request: &Request) -> Result<(), Refusal> {
        let Some(paired) = &self.paired else {
            return Ok(());
        };
        if matches!(request, Request::Switchover { .. }) {
            let text = "everything of a pair runs on its primary: `standfast pair swap` lets the two change places";
            return Err(Self::refusal(RefusalKind::Invalid, text));
        }
        let emptied = if let Request::Drain { node, drained, .. } = request {
            drained.then_some(node)
        } else if let Request::Standby { node, .. } = request {
            Some(node)
        } else {
            None
        };
        if let Some(node) = emptied.filter(|node| **node == self.node) {
            let text = format!(
                "{node} is the primary, and nothing can run on the secondary: `standfast pair swap` first, then drain {node}"
            );
            return Err(Self::refusal(RefusalKind::Unsafe, text));
        }
        let own = matches!(
            request,
            Request::Restart { .. }
                | Request::Leave
                | Request::FenceResult { .. }
                | Request::Keys { .. }
                | Request::Act { .. }
        );
        let pair = paired.clocked.pair();
        let undecided = matches!(
            pair.role(),
            Role::Primary {
                confirms: Confirms::Nobody,
                ..
            }
        );
        if undecided && !pair.sees_peer() && !own {
            let text = PairRefusal::NoArbiter.text();
            return Err(Self::refusal(RefusalKind::NoQuorum, text));
        }
        Ok(())
    }

    /// An answer to a client, given when both nodes have what it is about, or this one is alone by right.
    pub(crate) fn answer_when_safe(&mut self, index: u64, id: u64, response: Response) {
        let leads = self.lead.is_some();
        match &mut self.paired {
            Some(paired) if leads => {
                paired.answers.push((index, id, response));
                self.release_answers();
            }
            // Within a pair a secondary applies what the primary's disk alone may have: whoever asked here is answered by the primary.
            Some(paired) if !matches!(paired.clocked.pair().role(), Role::Dissolved) => {}
            Some(_) | None => self.answer(id, response),
        }
    }

    pub(crate) fn release_answers(&mut self) {
        let early = self.planted(Planted::Pair(PairPlanted::ConfirmsEarly));
        let Some(paired) = &mut self.paired else {
            return;
        };
        let reached = match paired.clocked.pair().role() {
            _ if early => u64::MAX,
            Role::Primary {
                confirms: Confirms::Alone,
                ..
            } => u64::MAX,
            Role::Primary {
                confirms: Confirms::Both,
                ..
            } => paired.confirmed,
            Role::Primary { .. }
            | Role::Releasing { .. }
            | Role::Handing { .. }
            | Role::Waiting { .. }
            | Role::Following { .. }
            | Role::Claiming { .. }
            | Role::Rising => return,
            Role::Dissolved if paired.clocked.pair().acts() => u64::MAX,
            Role::Dissolved => return,
        };
        let answers = std::mem::take(&mut paired.answers);
        for (index, id, response) in answers {
            if index <= reached {
                self.answer(id, response);
            } else if self.waits(id)
                && let Some(paired) = &mut self.paired
            {
                paired.answers.push((index, id, response));
            }
        }
    }

    /// How the pair is, as one sentence.
    pub(crate) fn pair_sentence(&self) -> String {
        let (Some(paired), Some(config)) = (&self.paired, &self.state.config.pair) else {
            return String::new();
        };
        let [first, second] = &config.nodes;
        let names = [first.as_str(), second.as_str()];
        paired.clocked.pair().sentence(names)
    }

    /// The pair, for a client.
    pub(crate) fn pair_view(&self) -> Option<PairView> {
        let config = self.state.config.pair.as_ref()?;
        let Some(paired) = &self.paired else {
            let there = |node: &NodeId| self.state.members.values().any(|info| info.node == *node);
            if config.nodes.iter().all(there) {
                return Some(PairView {
                    state: "starting".to_owned(),
                    sentence: format!(
                        "{} has just started and does not know yet how the pair is.",
                        self.node
                    ),
                    role: "waiting".to_owned(),
                    arbiter: config.arbiter.name().to_owned(),
                    ping: self.ping_view(),
                    ..PairView::default()
                });
            }
            return Some(PairView {
                state: "one-node".to_owned(),
                sentence: format!(
                    "The pair has one node so far: {} is primary, and can survive no loss.",
                    self.node
                ),
                role: "primary".to_owned(),
                primary: Some(self.node.clone()),
                arbiter: config.arbiter.name().to_owned(),
                ping: self.ping_view(),
                ..PairView::default()
            });
        };
        let pair = paired.clocked.pair();
        let history = pair.record().history.as_ref();
        let primary = match pair.role() {
            Role::Primary { .. } | Role::Releasing { .. } => Some(self.node.clone()),
            Role::Following { ask: None, .. } => Some(paired.peer.clone()),
            Role::Dissolved if pair.acts() => Some(self.node.clone()),
            Role::Following { .. }
            | Role::Waiting { .. }
            | Role::Claiming { .. }
            | Role::Rising
            | Role::Handing { .. }
            | Role::Dissolved => None,
        };
        Some(PairView {
            state: pair.state().name().to_owned(),
            sentence: self.pair_sentence(),
            role: role_name(pair).to_owned(),
            primary,
            arbiter: config.arbiter.name().to_owned(),
            generation: history
                .and_then(|history| history.last())
                .map_or(0, |last| last.number),
            in_sync: in_sync(pair),
            peer_seen: pair.sees_peer(),
            index: self.copy_index(),
            ping: self.ping_view(),
        })
    }
}

fn in_sync(pair: &Pair) -> bool {
    match pair.role() {
        Role::Primary { confirms, .. } => confirms == Confirms::Both,
        Role::Following { in_sync, .. } => in_sync,
        Role::Releasing { .. } | Role::Handing { .. } => true,
        Role::Waiting { .. } | Role::Claiming { .. } | Role::Rising | Role::Dissolved => false,
    }
}

fn role_name(pair: &Pair) -> &'static str {
    match pair.role() {
        Role::Waiting { .. } => "waiting",
        Role::Following { .. } => "following",
        Role::Claiming { .. } => "claiming",
        Role::Rising => "rising",
        Role::Primary { .. } => "primary",
        Role::Releasing { .. } | Role::Handing { .. } => "handing-over",
        Role::Dissolved => "dissolved",
    }
}

const fn kind(refusal: PairRefusal) -> RefusalKind {
    match refusal {
        PairRefusal::Busy | PairRefusal::NotInSync => RefusalKind::Timeout,
        PairRefusal::ReadOnly | PairRefusal::NoArbiter => RefusalKind::NoQuorum,
        PairRefusal::PeerIsThere
        | PairRefusal::HistoriesDiffer
        | PairRefusal::Unknown
        | PairRefusal::NoPrimary
        | PairRefusal::IsPrimary => RefusalKind::Unsafe,
        PairRefusal::NotTheBoot | PairRefusal::Dissolved => RefusalKind::Invalid,
    }
}
