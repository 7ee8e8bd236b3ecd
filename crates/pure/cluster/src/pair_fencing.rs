//! The peer's power is cut, level after level of devices, without the log: whoever does it may have lost its leader.
//!
//! A secondary that lost its primary waits before it cuts anything, because the primary may be alive. Meanwhile it looks: one
//! that is off already fences nobody, and is not waited for.
//!
//! Not for what a confirmed "off" releases (crate `pair`).

use crate::core::Core;
use standfast_model::{
    effect::{Effect, Level},
    fence_act::{FenceOrder, FenceOutcome, FenceResult},
    id::{DeviceId, NodeId},
    pair::Arbiter,
    state::NodeState,
    time::Now,
};
use standfast_pair::{
    Alarm, BootId, Confirms, Event as Told, FenceOutcome as Said, Role, clock::Input,
};

/// Orders of a pair to the fencing edge carry numbers that no act has: an act is an index of the log.
const PAIR_ORDERS: u64 = 1 << 63;

/// The peer's power is being cut, or looked at.
#[derive(Debug)]
pub(crate) struct PairFence {
    boot: BootId,
    look: bool,
    level: usize,
    turn: u32,
}

impl Core {
    /// A secondary that has lost its primary looks once at that one's power.
    pub(crate) fn look_at_peer(&mut self, now: Now) {
        let Some(paired) = &mut self.paired else {
            return;
        };
        let pair = paired.clocked.pair();
        let claims = matches!(pair.role(), Role::Claiming { .. }) && !pair.sees_peer();
        let lost = pair.lost_boot().filter(|_| claims);
        let asked = paired.looked == lost;
        paired.looked = lost;
        let fencing = &self.state.config.fencing;
        if let (Some(boot), None, false, false) = (lost, &paired.fence, asked, fencing.manual) {
            paired.fence = Some(PairFence {
                boot,
                look: true,
                level: 0,
                turn: 0,
            });
            self.fence_level(now);
        }
    }

    /// This node is the primary of a pair, and its secondary takes over when it has cut this node's power.
    pub(crate) fn successor_fences(&self, node: &NodeId) -> bool {
        let Some(paired) = self.paired.as_ref().filter(|_| *node == self.node) else {
            return false;
        };
        let pair = paired.clocked.pair();
        let waits = match pair.role() {
            Role::Primary { confirms, .. } => confirms == Confirms::Both,
            Role::Releasing { .. } => true,
            Role::Waiting { .. }
            | Role::Following { .. }
            | Role::Claiming { .. }
            | Role::Rising
            | Role::Handing { .. }
            | Role::Dissolved => false,
        };
        let config = self.state.config.pair.as_ref();
        let by_device = config.is_some_and(|config| config.arbiter == Arbiter::Fence);
        waits && by_device && pair.sees_peer()
    }

    /// Level after level of devices, until one says "off".
    pub(crate) fn fence_peer(&mut self, now: Now, boot: BootId) {
        let Some(paired) = &mut self.paired else {
            return;
        };
        let under_way = paired.fence.as_ref();
        if under_way.is_some_and(|fence| fence.boot == boot && !fence.look) {
            return;
        }
        // Then it is an operator who says that it is off.
        if self.state.config.fencing.manual {
            return;
        }
        // A secondary that was shut down on purpose is nothing to be fenced for: the primary runs on.
        let known = self.state.nodes.get(&paired.peer);
        let leads = matches!(paired.clocked.pair().role(), Role::Primary { .. });
        if leads && known.is_some_and(NodeState::is_leaving) {
            return;
        }
        paired.fence = Some(PairFence {
            boot,
            look: false,
            level: 0,
            turn: 0,
        });
        let text = format!("{} is lost: its power is being cut", paired.peer);
        self.log(Level::Warn, text);
        self.begin_fence_act(now, boot);
        self.fence_level(now);
    }

    fn fence_level(&mut self, now: Now) {
        let Some(paired) = &mut self.paired else {
            return;
        };
        let Some(fence) = &mut paired.fence else {
            return;
        };
        let config = &self.state.config;
        let levels = if config.observes() {
            Vec::new()
        } else {
            config.fencing.levels_of(&paired.peer)
        };
        let Some(named) = levels.get(fence.level) else {
            let (boot, look) = (fence.boot, fence.look);
            paired.fence = None;
            if look {
                return;
            }
            let failed = Told::Fenced(boot, Said::Failed);
            return self.tell_pair(now, Input::Event(failed));
        };
        paired.fence_turn += 1;
        fence.turn = paired.fence_turn;
        // A look that comes too late must not give power to what is being cut.
        let power_on = !config.fencing.stay_off && !fence.look;
        let (turn, look) = (fence.turn, fence.look);
        let order = self.order_to_peer(named, (turn, look, power_on));
        self.out
            .extend(order.map(|order| Effect::Fence(Box::new(order))));
    }

    fn order_to_peer(
        &self,
        level: &[DeviceId],
        (turn, look, power_on): (u32, bool, bool),
    ) -> Option<FenceOrder> {
        let devices = &self.state.config.fencing.devices;
        let devices = level
            .iter()
            .filter_map(|id| Some((id.clone(), devices.get(id)?.clone())));
        Some(FenceOrder {
            id: PAIR_ORDERS | (self.incarnation.0 >> 1),
            turn,
            node: self.paired.as_ref()?.peer.clone(),
            lost: false,
            devices: devices.collect(),
            power_on,
            look,
            told_when_off: true,
        })
    }

    /// What was found off gets its power back, if it is off still. Nobody waits for what comes of it.
    fn give_peer_power(&mut self, level: usize) {
        let fencing = &self.state.config.fencing;
        let Some(paired) = self.paired.as_mut().filter(|_| !fencing.stay_off) else {
            return;
        };
        paired.fence_turn += 1;
        let (turn, levels) = (paired.fence_turn, fencing.levels_of(&paired.peer));
        let named = levels.get(level);
        let order = named.and_then(|named| self.order_to_peer(named, (turn, true, true)));
        self.out
            .extend(order.map(|order| Effect::Fence(Box::new(order))));
    }

    /// What came of an order of the pair; false when it was none.
    pub(crate) fn pair_fenced(&mut self, now: Now, result: &FenceResult) -> bool {
        if result.id & PAIR_ORDERS == 0 {
            return false;
        }
        let Some(paired) = &mut self.paired else {
            return true;
        };
        let Some(fence) = &mut paired.fence else {
            return true;
        };
        if result.id != PAIR_ORDERS | (self.incarnation.0 >> 1) || result.turn != fence.turn {
            return true;
        }
        let (boot, peer) = (fence.boot, paired.peer.clone());
        if result.problem.is_empty() {
            let (look, level) = (fence.look, fence.level);
            let already = if look { " already" } else { "" };
            paired.fence = None;
            let (seconds, rest) = (result.took.0 / 1_000_000, result.took.0 / 1000 % 1000);
            let text = format!(
                "{peer} is off{already}, as its fence device says, after {seconds}.{rest:03} s"
            );
            self.log(Level::Warn, text);
            self.begin_fence_act(now, boot);
            self.tried((level, result));
            self.end_fence_act(now, FenceOutcome::Off);
            self.tell_pair(now, Input::Event(Told::Fenced(boot, Said::Off)));
            if look {
                self.give_peer_power(level);
            }
        } else {
            let level = fence.level;
            fence.level += 1;
            if !fence.look {
                self.tried((level, result));
                let text = format!("{peer} could not be fenced: {}", result.problem);
                self.log(Level::Error, text);
            }
            self.fence_level(now);
        }
        true
    }

    pub(crate) fn pair_alarm(&mut self, alarm: Alarm) {
        let Some(paired) = &self.paired else { return };
        let peer = &paired.peer;
        let text = match alarm {
            Alarm::FenceFailed(_) => format!(
                "no fence device confirmed that {peer} is off: nothing is released; it is tried again"
            ),
            Alarm::FenceVoid(_) => format!(
                "{peer} was heard after its fence device had said that it is off: the device or its host map is wrong"
            ),
            Alarm::Diverged => format!(
                "this node and {peer} each have changes that the other one lacks: choose one, and rebuild the other"
            ),
            Alarm::Superseded => format!("{peer} has taken over: this node is primary no more"),
        };
        self.log(Level::Error, text);
    }
}
