//! What a pair did about the other node's power, for `fence history` and the journal: written down as it happens, and told to the log
//! once this node leads one. Whoever fences in a pair has lost the log, or cannot add to it safely.
//!
//! Lost with the agent if that ends before. Not for doing it (`pair_fencing`), nor for what it releases (crate `pair`).

use crate::{core::Core, fences};
use standfast_model::{
    command::Change,
    fence_act::{FenceAct, FenceOutcome, FenceResult},
    id::Incarnation,
    time::{Micros, Now},
};
use standfast_pair::BootId;
use std::collections::BTreeSet;

/// What has been proposed is proposed again after this time, as long as it has had no effect.
const AGAIN: Micros = Micros::from_millis(2_000);

/// An act that the log does not have yet.
#[derive(Debug)]
pub(crate) struct PairFenceAct {
    boot: BootId,
    act: FenceAct,
    proposed: Option<Now>,
}

impl Core {
    /// The other one's power is to be cut, or somebody says that it is off. Attempts that follow each other for the same boot are one act.
    pub(crate) fn begin_fence_act(&mut self, now: Now, boot: BootId) {
        let Some(paired) = &self.paired else {
            return;
        };
        let known = paired.fence_act.as_ref();
        if known.is_some_and(|known| known.boot == boot && known.act.is_under_way()) {
            return;
        }
        let fencing = &self.state.config.fencing;
        let act = FenceAct {
            id: 0,
            node: paired.peer.clone(),
            incarnation: self.run_of_peer(boot),
            by: "the pair".to_owned(),
            why: format!("{} had lost it", self.node),
            power_on: !fencing.stay_off,
            lost: true,
            levels: fencing.levels_of(&paired.peer),
            level: 0,
            executor: Some(self.node.clone()),
            executor_run: self.incarnation,
            turn: 0,
            spent: BTreeSet::new(),
            tries: Vec::new(),
            outcome: FenceOutcome::UnderWay,
            began_ms: self.wall_ms(now),
            ended_ms: 0,
        };
        if let Some(paired) = &mut self.paired {
            paired.fence_act = Some(PairFenceAct {
                boot,
                act,
                proposed: None,
            });
        }
    }

    /// The run of the other one's agent that was heard last, if it was in that boot.
    fn run_of_peer(&self, boot: BootId) -> Incarnation {
        let Some(paired) = &self.paired else {
            return Incarnation(0);
        };
        let heard = paired.clocked.pair().heard();
        let heard = heard.filter(|heard| heard.boot == boot);
        let known = self.state.nodes.get(&paired.peer);
        let known = known.map_or(Incarnation(0), |known| known.report.incarnation);
        heard.map_or(known, |heard| heard.run)
    }

    /// What the devices of a level did.
    pub(crate) fn tried(&mut self, (level, result): (usize, &FenceResult)) {
        let Some(known) = self.paired.as_mut().and_then(|p| p.fence_act.as_mut()) else {
            return;
        };
        let act = &mut known.act;
        let devices = act.levels.get(level).map(|named| fences::names(named));
        let (devices, number) = (devices.unwrap_or_default(), level.saturating_add(1));
        let (who, node, took) = (&self.node, &act.node, result.took.as_millis_ceil());
        let what = if result.problem.is_empty() {
            format!("{node} is off, as {devices} said to {who} after {took} ms")
        } else {
            let problem = &result.problem;
            format!("level {number} ({devices}) from {who}, {took} ms: {problem}")
        };
        fences::remember(act, what);
    }

    pub(crate) fn end_fence_act(&mut self, now: Now, outcome: FenceOutcome) {
        let ended_ms = self.wall_ms(now);
        if let Some(known) = self.paired.as_mut().and_then(|p| p.fence_act.as_mut()) {
            known.act.outcome = outcome;
            known.act.ended_ms = ended_ms;
        }
    }

    /// An operator has seen that the other one is off.
    pub(crate) fn confirm_fence_act(&mut self, now: Now, boot: BootId, author: &str) {
        self.begin_fence_act(now, boot);
        let Some(known) = self.paired.as_mut().and_then(|p| p.fence_act.as_mut()) else {
            return;
        };
        let author = if author.is_empty() {
            "an operator"
        } else {
            author
        };
        let text = format!("{author} confirms that {} is off", known.act.node);
        fences::remember(&mut known.act, text);
        self.end_fence_act(now, FenceOutcome::Confirmed);
    }

    /// Tells the log what it does not have yet.
    pub(crate) fn note_fence(&mut self, now: Now) {
        let Some(paired) = &self.paired else {
            return;
        };
        let Some(known) = &paired.fence_act else {
            return;
        };
        if known.act.is_under_way() {
            if paired.clocked.pair().sees_peer() {
                self.end_fence_act(now, FenceOutcome::CalledOff);
            }
            return;
        }
        let of = |act: &FenceAct| (act.node.clone(), act.incarnation, act.began_ms);
        let mut noted = self.state.fences.iter();
        if noted.any(|act| of(act) == of(&known.act)) {
            if let Some(paired) = &mut self.paired {
                paired.fence_act = None;
            }
            return;
        }
        let told = known.proposed.is_some_and(|at| now.held_since(at) < AGAIN);
        let leads = self.lead.as_ref().is_some_and(|lead| lead.caught_up);
        let act = Box::new(known.act.clone());
        let change = Change::PairFenced { act };
        if told || !leads || self.check_level(now, &change).is_err() {
            return;
        }
        if let Some(known) = self.paired.as_mut().and_then(|p| p.fence_act.as_mut()) {
            known.proposed = Some(now);
        }
        self.propose(now, None, change);
    }
}
