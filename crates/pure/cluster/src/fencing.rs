//! Fencing on one node: which devices it could use, the orders that it carries out, and, on the leader, who goes on when
//! an executor is lost, which failed stop is a reason to fence, and whether a machine that is said to be off is heard.
//!
//! Not for what an act does to the state (`fences`), not for nodes that are lost (`lost`), and not for talking to a device:
//! an edge does that.

use crate::{apply::settle_holders, core::Core, fences, pair_fence_act::PairFenceActs};
use standfast_model::{
    command::Change,
    effect::{Effect, Level},
    event::Restored,
    fence::FenceDevice,
    fence_act::{FenceAct, FenceOrder, FenceOutcome, FenceResult},
    id::{DeviceId, Incarnation, NodeId},
    planted::Planted,
    request::{Refusal, RefusalKind, Request},
    state::{NodeState, Phase},
    time::{Micros, Now},
};
use std::collections::{BTreeMap, BTreeSet};

/// What has been told or proposed is told or proposed again after this time, as long as it has had no effect.
const AGAIN: Micros = Micros::from_millis(2_000);

/// What a node remembers of fencing. All of it may be lost: what matters is in the state.
#[derive(Debug, Default)]
pub(crate) struct Fencing {
    /// Orders to this node, by act and turn.
    orders: BTreeMap<(u64, u32), Order>,
    /// When something was told or proposed last, by act and turn.
    told: BTreeMap<(u64, u32), Now>,
    /// When this agent first saw that an act had ended with "off".
    pub(crate) seen_off: BTreeMap<u64, Now>,
    /// When this agent heard the machine of such an act last, after that: it has booted.
    pub(crate) back: BTreeMap<u64, Now>,
    /// Since when this leader knows of a stop on a node that is not confirmed.
    stuck: BTreeMap<NodeId, Now>,
    /// Nodes that are lost, with the run that is, and since when this agent knows.
    pub(crate) lost: BTreeMap<NodeId, (Incarnation, Now)>,
    /// Nodes that this run of the agent has had a link to.
    pub(crate) met: BTreeSet<NodeId>,
    /// Term of the last entry that was applied.
    pub(crate) applied_term: u64,
    /// The highest commit index that a leader has told this run of.
    pub(crate) leader_commit: Option<u64>,
    /// When this run asked what a leader answered last.
    pub(crate) answered: Option<Now>,
    /// When this agent first looked.
    pub(crate) began: Option<Now>,
    /// Devices that can fence this node, and those of them that let it in.
    own: Vec<(DeviceId, FenceDevice)>,
    /// What this node of a pair did about the other one's power.
    pub(crate) pair: PairFenceActs,
    let_in_by: Vec<DeviceId>,
}

impl Fencing {
    /// As an agent starts that its disk gave this.
    pub(crate) fn of(restored: &Restored) -> Self {
        let snapshot = restored.snapshot.as_ref();
        Self {
            applied_term: snapshot.map_or(0, |snapshot| snapshot.term),
            pair: PairFenceActs::of(restored),
            ..Self::default()
        }
    }
}

/// An order to this node.
#[derive(Debug)]
struct Order {
    since: Now,
    /// The edge has it.
    given: bool,
    /// What came of it.
    result: Option<FenceResult>,
    /// When the edge said so.
    ended: Option<Now>,
}

impl Core {
    /// Devices with which this node could fence another one. None while fencing is switched off, or the cluster only
    /// observes.
    pub(crate) fn fence_devices(&self) -> Vec<(DeviceId, FenceDevice)> {
        let config = &self.state.config;
        if config.fencing.off || config.observes() {
            return Vec::new();
        }
        let devices = config.fencing.devices.iter();
        devices
            .filter(|(_, device)| device.nodes.keys().any(|node| *node != self.node))
            .map(|(id, device)| (id.clone(), device.clone()))
            .collect()
    }

    /// Has devices that keep out whom they have fenced let this node in: once it has started, and when they change.
    pub(crate) fn ask_to_be_let_in(&mut self) {
        let fencing = &self.state.config.fencing;
        let used = fencing.is_on() && !self.state.config.observes();
        let devices = fencing.devices.iter().filter(|_| used);
        let own: Vec<(DeviceId, FenceDevice)> = devices
            .filter(|(_, device)| device.nodes.contains_key(&self.node))
            .map(|(id, device)| (id.clone(), device.clone()))
            .collect();
        if own != self.fencing.own {
            self.fencing.own.clone_from(&own);
            self.fencing.let_in_by.clear();
            self.out.push(Effect::Unfence(own));
        }
    }

    /// Some devices let this node in.
    pub(crate) fn on_unfenced(&mut self, devices: Vec<DeviceId>) {
        self.fencing.let_in_by = devices;
        self.look = true;
    }

    /// Whether every device lets this node in. Until then nothing is started here that needs fencing.
    pub(crate) fn is_let_in(&self) -> bool {
        let mut own = self.fencing.own.iter();
        own.all(|(id, _)| self.fencing.let_in_by.contains(id))
    }

    /// Hands orders to this node to the edge, and what came of them to the leader, until the state shows it.
    pub(crate) fn fence_on(&mut self, now: Now) {
        self.fencing.began.get_or_insert(now);
        if self.state.fences.is_empty() {
            return;
        }
        let mine: Vec<(FenceOrder, bool)> = self
            .state
            .fences
            .iter()
            .filter(|act| act.is_under_way() && self.carries_out(act))
            .map(|act| {
                let level = usize::try_from(act.level).unwrap_or(usize::MAX);
                let named = act.levels.get(level).into_iter().flatten();
                let devices = &self.state.config.fencing.devices;
                let order = FenceOrder {
                    id: act.id,
                    turn: act.turn,
                    node: act.node.clone(),
                    lost: act.lost,
                    devices: named
                        .filter_map(|id| Some((id.clone(), devices.get(id)?.clone())))
                        .collect(),
                    power_on: act.power_on,
                    look: false,
                    told_when_off: false,
                };
                (order, self.is_earlier_runs(act))
            })
            .collect();
        let wanted =
            |key: &(u64, u32)| mine.iter().any(|(order, _)| (order.id, order.turn) == *key);
        self.fencing.orders.retain(|key, _| wanted(key));
        for (order, earlier) in mine {
            let key = (order.id, order.turn);
            self.pursue(now, key, order, earlier);
            let known = self.fencing.orders.get(&key);
            if let Some(result) = known.and_then(|known| known.result.clone()) {
                self.tell_result(now, key, result);
            }
        }
    }

    /// Whether this node's state is the cluster's: a leader answers what it asked a moment ago, and it has applied something
    /// of that leader's term, and what the leader had committed. One that has just started, or is cut off, may see orders
    /// that were carried out long ago by itself; and who stood still finds rounds of before in its queue.
    pub(crate) fn is_in_step(&self, now: Now) -> bool {
        if self.planted(Planted::OldOrderAgain) {
            return true;
        }
        let timing = self.timing();
        let three = Micros(timing.heartbeat.0.saturating_mul(3));
        let heard = match &self.lead {
            Some(lead) => lead.rules(now, &timing).is_some(),
            None => {
                let answered = self.fencing.answered;
                answered.is_some_and(|asked| now.held_since(asked) < three)
            }
        };
        let commit = self.fencing.leader_commit;
        let applied = commit.is_some_and(|commit| self.state.applied >= commit);
        heard && applied && self.fencing.applied_term == self.consensus.term()
    }

    /// Whether an earlier run of this agent was asked to carry an act out.
    fn is_earlier_runs(&self, act: &FenceAct) -> bool {
        let known = act.executor_run != Incarnation::default();
        let asked = act.executor.as_ref() == Some(&self.node) && known;
        asked && act.executor_run != self.incarnation && !self.planted(Planted::OldOrderAgain)
    }

    /// An order goes to the edge when its device's delay is over, unless the node is back by then that was lost, or nobody
    /// knows how far an earlier run has come with it.
    fn pursue(&mut self, now: Now, key: (u64, u32), order: FenceOrder, earlier: bool) {
        let back = order.lost
            && self
                .state
                .nodes
                .get(&order.node)
                .is_some_and(|known| known.online);
        let back = back && !self.planted(Planted::FencedThoughBack);
        let in_step = self.is_in_step(now);
        let assumed = self.planted(Planted::FenceAssumed);
        let known = self.fencing.orders.entry(key).or_insert(Order {
            since: now,
            given: false,
            result: None,
            ended: None,
        });
        let delay = order.devices.iter().map(|(_, device)| device.delay).max();
        if known.given {
            return;
        }
        let refused = if back {
            Some(format!("{} is back", order.node))
        } else {
            let text = "its agent has started anew since it was asked to, and does not know how far that had come";
            earlier.then(|| text.to_owned())
        };
        if let Some(problem) = refused {
            known.given = true;
            known.result = Some(FenceResult {
                id: order.id,
                turn: order.turn,
                problem,
                note: String::new(),
                took: Micros::ZERO,
            });
        } else if in_step && now.waited_since(known.since) >= delay.unwrap_or_default() {
            known.given = true;
            known.result = assumed.then(|| FenceResult {
                id: order.id,
                turn: order.turn,
                problem: String::new(),
                note: String::new(),
                took: Micros::ZERO,
            });
            self.out.push(Effect::Fence(Box::new(order)));
        }
    }

    fn tell_result(&mut self, now: Now, key: (u64, u32), result: FenceResult) {
        if self.was_told(now, key) {
            return;
        }
        self.proposals += 1;
        // Nobody waits for the answer: that it arrived is seen in the state.
        let id = self.incarnation.0.rotate_left(29) ^ self.proposals;
        self.on_request(now, id, Request::FenceResult { result });
    }

    /// Whether something about an order was told a short time ago; if not, it is told now.
    pub(crate) fn was_told(&mut self, now: Now, key: (u64, u32)) -> bool {
        let told = self.fencing.told.get(&key);
        if told.is_some_and(|at| now.held_since(*at) < AGAIN) {
            return true;
        }
        self.fencing.told.insert(key, now);
        false
    }

    fn carries_out(&self, act: &FenceAct) -> bool {
        act.executor.as_ref() == Some(&self.node) || self.planted(Planted::EverybodyFences)
    }

    /// A planted bug: after a fence that failed everything moves away, and what the node may hold counts as released.
    pub(crate) fn release_after(&mut self, id: u64) {
        let failed = |act: &&FenceAct| act.id == id && act.outcome == FenceOutcome::Failed;
        let Some(act) = self.state.fences.iter().find(failed) else {
            return;
        };
        let node = act.node.clone();
        self.state.nodes.entry(node.clone()).or_default().drained = true;
        for holders in self.state.may_hold.values_mut() {
            holders.remove(&node);
        }
        settle_holders(&mut self.state);
    }

    /// The edge has carried an order out, or could not.
    pub(crate) fn on_fenced(&mut self, now: Now, result: FenceResult) {
        let key = (result.id, result.turn);
        if let Some(known) = self.fencing.orders.get_mut(&key) {
            known.result = Some(result);
            known.ended = Some(now);
        }
    }

    /// There is a new link to a node.
    pub(crate) fn meet(&mut self, now: Now, node: &NodeId) {
        self.fencing.met.insert(node.clone());
        self.note_back(now, node);
    }

    /// A node speaks.
    pub(crate) fn note_heard(&mut self, now: Now, node: &NodeId, incarnation: Incarnation) {
        self.contradict(now, node, incarnation);
        self.note_back(now, node);
    }

    /// If devices have told this node that the other one is off, and nobody else knows of it yet, they were wrong.
    fn contradict(&mut self, now: Now, node: &NodeId, incarnation: Incarnation) {
        if self.fencing.orders.is_empty() || self.planted(Planted::FenceNeverVoid) {
            return;
        }
        let grace = self.fence_grace();
        for act in self.state.fences.iter().filter(|act| act.is_under_way()) {
            let of_it = act.node == *node && act.incarnation == incarnation;
            let order = self.fencing.orders.get_mut(&(act.id, act.turn));
            let Some(order) = order.filter(|_| of_it) else {
                continue;
            };
            let late = order.ended.is_some_and(|at| now.waited_since(at) > grace);
            if let Some(result) = order.result.as_mut()
                && result.problem.is_empty()
                && late
            {
                result.problem = format!("{node} was heard after it was said to be off");
            }
        }
    }

    /// A node is heard, or has a new link: it has booted after its acts that had ended before, but for what was still under
    /// way. Every node notes it, as the next leader may be another one.
    fn note_back(&mut self, now: Now, node: &NodeId) {
        let grace = self.fence_grace();
        let acts = self.state.fences.iter().filter(|act| act.node == *node);
        for act in acts.filter(|act| act.says_off()) {
            let seen = self.fencing.seen_off.get(&act.id);
            if seen.is_some_and(|at| now.waited_since(*at) > grace) {
                self.fencing.back.insert(act.id, now);
            }
        }
    }

    /// What a machine had sent before it was off may still arrive for so long.
    fn fence_grace(&self) -> Micros {
        Micros(self.timing().heartbeat.0.saturating_mul(3))
    }

    /// The leader's part, once a heartbeat.
    pub(crate) fn tend_fences(&mut self, now: Now) {
        self.fence_failed_stops(now);
        self.fence_lost(now);
        if self.state.fences.is_empty() {
            return;
        }
        let acts = &self.state.fences;
        let known = |key: &(u64, u32)| key.1 == u32::MAX || acts.iter().any(|act| act.id == key.0);
        self.fencing.told.retain(|key, _| known(key));
        let acts = self.state.fences.clone();
        for act in acts.iter().filter(|act| act.is_under_way()) {
            let there = act.executor.as_ref().is_some_and(|executor| {
                let known = self.state.nodes.get(executor);
                known.is_some_and(|known| known.online && !known.is_leaving())
            });
            if there {
                continue;
            }
            if let Some(executor) = fences::executor(&self.state, &act.node, &act.spent)
                && !self.was_told(now, (act.id, act.turn))
            {
                let (id, turn) = (act.id, act.turn);
                self.propose(now, None, Change::FenceOrder { id, turn, executor });
            }
        }
        let off = acts.iter().filter(|act| act.says_off());
        let off: Vec<_> = off
            .map(|act| (act.id, act.node.clone(), act.incarnation))
            .collect();
        for (id, node, incarnation) in off {
            self.doubt(now, id, &node, incarnation);
        }
    }

    /// Notes when acts have ended with "off". Every node does, as with lost ones.
    pub(crate) fn note_off(&mut self, now: Now) {
        let acts = &self.state.fences;
        let off = |id: u64| acts.iter().any(|act| act.id == id && act.says_off());
        self.fencing.seen_off.retain(|id, _| off(*id));
        self.fencing.back.retain(|id, _| off(*id));
        for act in acts.iter().filter(|act| act.says_off()) {
            self.fencing.seen_off.entry(act.id).or_insert(now);
        }
    }

    /// Whether the very run that was fenced is heard after it was said to be off. What it had sent before may still
    /// arrive for a moment.
    fn doubt(&mut self, now: Now, id: u64, node: &NodeId, incarnation: Incarnation) {
        let since = self.fencing.seen_off.get(&id).copied().unwrap_or(now);
        let grace = self.fence_grace();
        let peer = self.lead.as_ref().and_then(|lead| lead.peers.get(node));
        let heard = peer.filter(|peer| peer.incarnation == incarnation);
        let heard = heard.and_then(|peer| peer.heard);
        let speaks = heard.is_some_and(|heard| heard.waited_since(since) > grace);
        if !speaks || self.planted(Planted::FenceNeverVoid) || self.was_told(now, (id, 0)) {
            return;
        }
        let why = format!("{node} was heard after it was said to be off");
        self.log(Level::Error, why.clone());
        self.propose(now, None, Change::FenceVoid { id, why });
    }

    /// A stop that is not confirmed keeps everybody else waiting: where the configuration says so, the machine is fenced.
    /// Once for each run of an agent.
    fn fence_failed_stops(&mut self, now: Now) {
        if !self.state.config.fencing.is_on() {
            return;
        }
        let nodes = self.state.nodes.iter().filter(|(_, known)| known.online);
        let stuck = nodes.filter_map(|(node, known)| {
            let resource = self.stuck_resource(known)?;
            Some((node.clone(), known.report.incarnation, resource))
        });
        let stuck: Vec<(NodeId, Incarnation, String)> = stuck.collect();
        let is_stuck = |node: &NodeId| stuck.iter().any(|(known, ..)| known == node);
        self.fencing.stuck.retain(|node, _| is_stuck(node));
        for (node, ..) in &stuck {
            self.fencing.stuck.entry(node.clone()).or_insert(now);
        }
        // The lease's end stops what a stop could not: only what is left after that is stuck.
        let patience = Micros(self.timing().lease_wait().0.saturating_mul(2));
        let stuck = stuck.into_iter().find_map(|(node, incarnation, resource)| {
            let since = *self.fencing.stuck.get(&node)?;
            let known = self.state.nodes.get(&node)?;
            let new = !fences::is_known(&self.state, &node, known);
            let able = !self.state.config.fencing.levels_of(&node).is_empty();
            let due = now.waited_since(since) >= patience;
            let goes_on = self.majority_without(&node) || self.successor_fences(&node);
            (due && new && able && goes_on).then(|| {
                let why = format!("the stop of {resource} is not confirmed");
                (node, incarnation, why)
            })
        });
        let Some((node, incarnation, why)) = stuck else {
            return;
        };
        if self.was_told(now, (incarnation.0, u32::MAX)) {
            return;
        }
        let change = Change::Fence {
            node,
            incarnation,
            by: "the cluster".to_owned(),
            why,
            // Of a pair whoever takes over gives the power back: it looks first whether the machine is off.
            power_on: !self.state.config.fencing.stay_off && self.paired.is_none(),
            lost: false,
        };
        if self.check_level(now, &change).is_ok() {
            self.propose(now, None, change);
        }
    }

    /// A resource whose stop is not confirmed, and which is to be fenced for that.
    fn stuck_resource(&self, known: &NodeState) -> Option<String> {
        let config = &self.state.config;
        if config.observes() || self.state.all_in_maintenance() {
            return None;
        }
        let mut instances = known.report.instances.iter();
        let (resource, _) = instances.find(|(resource, instance)| {
            let settings = config.resources.get(resource);
            let group = config.group_of(resource);
            let left_alone = group.is_some_and(|group| self.state.in_maintenance(group));
            !left_alone
                && matches!(instance.phase, Phase::StopFailed | Phase::Lapsed)
                && settings.is_some_and(|settings| settings.failure.fence_on_stop_failure)
        })?;
        Some(resource.to_string())
    }

    /// Whether a majority of the voters is online without this node.
    pub(crate) fn majority_without(&self, node: &NodeId) -> bool {
        let voters: Vec<&NodeId> = self
            .state
            .members
            .values()
            .filter(|member| member.voter)
            .map(|member| &member.node)
            .collect();
        let online = voters.iter().filter(|voter| {
            let known = self.state.nodes.get(voter);
            **voter != node && known.is_some_and(|known| known.online)
        });
        online.count() > voters.len() / 2
    }

    /// The command for a request about fencing.
    ///
    /// # Errors
    /// Why not.
    pub(crate) fn fence_change(
        &self,
        origin: Option<&NodeId>,
        request: Request,
    ) -> Result<Change, Refusal> {
        if let Request::Fence {
            node,
            power_on,
            force,
            author,
        } = request
        {
            let incarnation = self.to_be_fenced(&node, force)?;
            return Ok(Change::Fence {
                node,
                incarnation,
                by: author,
                why: String::new(),
                power_on,
                lost: false,
            });
        }
        if let Request::FenceDrill {
            node,
            level,
            force,
            author,
        } = request
        {
            let incarnation = self.to_be_fenced(&node, force)?;
            return Ok(Change::FenceDrill {
                node,
                incarnation,
                level,
                by: author,
            });
        }
        if let Request::FenceConfirm { node, author } = request {
            self.check_node(&node)?;
            return Ok(Change::FenceConfirm { node, by: author });
        }
        let Request::FenceResult { result } = request else {
            let text = "this is not about fencing";
            return Err(Self::refusal(RefusalKind::Invalid, text));
        };
        let from = origin.unwrap_or(&self.node);
        let is_order = |act: &FenceAct| {
            let of_it = act.id == result.id && act.turn == result.turn;
            of_it && (act.executor.as_ref() == Some(from) || self.planted(Planted::EverybodyFences))
        };
        if !self.state.fences.iter().any(is_order) {
            let text = "this is no order to that node, or not any more";
            return Err(Self::refusal(RefusalKind::Stale, text));
        }
        Ok(Change::FenceResult { result })
    }

    /// The run of a node's agent whose power an operator may have cut.
    fn to_be_fenced(&self, node: &NodeId, force: bool) -> Result<Incarnation, Refusal> {
        self.check_node(node)?;
        self.check_acts()?;
        if !force && !self.majority_without(node) {
            let text = format!(
                "without {node} no majority of the voters is online, and everything stops; `--force` does it all the same"
            );
            return Err(Self::refusal(RefusalKind::Unsafe, text));
        }
        let heard = self.incarnation_of(node);
        let known = self.state.nodes.get(node);
        let reported = known.map_or(Incarnation(0), |known| known.report.incarnation);
        Ok(if heard == Incarnation(0) {
            reported
        } else {
            heard
        })
    }
}
