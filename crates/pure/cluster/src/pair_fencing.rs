//! The peer's power is cut, level after level of devices, without the log: whoever does it may have lost its leader.
//!
//! Not for what a confirmed "off" releases (crate `pair`).

use crate::core::Core;
use standfast_model::{
    effect::{Effect, Level},
    fence_act::{FenceOrder, FenceResult},
    state::NodeState,
    time::Now,
};
use standfast_pair::{Alarm, BootId, Event as Told, FenceOutcome, Role, clock::Input};

/// Orders of a pair to the fencing edge carry numbers that no act has: an act is an index of the log.
const PAIR_ORDERS: u64 = 1 << 63;

/// The peer's power is being cut.
#[derive(Debug)]
pub(crate) struct PairFence {
    boot: BootId,
    level: usize,
    turn: u32,
}

impl Core {
    /// Level after level of devices, until one says "off".
    pub(crate) fn fence_peer(&mut self, now: Now, boot: BootId) {
        let Some(paired) = &mut self.paired else {
            return;
        };
        if paired
            .fence
            .as_ref()
            .is_some_and(|fence| fence.boot == boot)
        {
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
            level: 0,
            turn: 0,
        });
        let text = format!("{} is lost: its power is being cut", paired.peer);
        self.log(Level::Warn, text);
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
            let boot = fence.boot;
            paired.fence = None;
            let failed = Told::Fenced(boot, FenceOutcome::Failed);
            return self.tell_pair(now, Input::Event(failed));
        };
        paired.fence_turn += 1;
        fence.turn = paired.fence_turn;
        let devices = &self.state.config.fencing.devices;
        let order = FenceOrder {
            id: PAIR_ORDERS | (self.incarnation.0 >> 1),
            turn: fence.turn,
            node: paired.peer.clone(),
            lost: false,
            devices: named
                .iter()
                .filter_map(|id| Some((id.clone(), devices.get(id)?.clone())))
                .collect(),
            power_on: false,
        };
        self.out.push(Effect::Fence(Box::new(order)));
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
            paired.fence = None;
            self.log(
                Level::Warn,
                format!("{peer} is off, as its fence device says"),
            );
            self.tell_pair(now, Input::Event(Told::Fenced(boot, FenceOutcome::Off)));
        } else {
            fence.level += 1;
            let text = format!("{peer} could not be fenced: {}", result.problem);
            self.log(Level::Error, text);
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
