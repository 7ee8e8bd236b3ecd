//! What a pair did about the other node's power, for `fence history` and the journal: written to the disk as it happens, and told to the log
//! once this node leads one. Whoever fences in a pair has lost the log, or cannot add to it safely.
//!
//! Not for doing it (`pair_fencing`), nor for what it releases (crate `pair`).

use crate::{core::Core, fences};
use standfast_model::{
    command::Change,
    effect::Batch,
    event::Restored,
    fence_act::{FenceAct, FenceOutcome, FenceResult},
    id::Incarnation,
    time::{Micros, Now},
};
use standfast_pair::BootId;
use std::collections::BTreeSet;

/// What has been proposed is proposed again after this time, as long as it has had no effect.
const AGAIN: Micros = Micros::from_millis(2_000);
/// So many acts are kept that the log does not have yet; older ones are forgotten.
const MOST: usize = 16;

/// An act that the log does not have yet, with the boot that it is about.
type PairFenceAct = (BootId, FenceAct);

/// All of them, oldest first. One that is under way is the last.
#[derive(Debug, Default)]
pub(crate) struct PairFenceActs {
    acts: Vec<PairFenceAct>,
    proposed: Option<Now>,
}

impl PairFenceActs {
    /// Those that the disk has. What was under way when the agent ended had a result that nobody knows.
    pub(crate) fn of(restored: &Restored) -> Self {
        let json = restored.pair_fences.as_deref();
        let mut acts: Vec<PairFenceAct> = json
            .and_then(|json| serde_json::from_slice(json).ok())
            .unwrap_or_default();
        for (_, act) in &mut acts {
            if act.is_under_way() {
                let text = "the agent ended meanwhile, and does not know how far it had come";
                fences::remember(act, text.to_owned());
                act.outcome = FenceOutcome::Failed;
                act.ended_ms = act.began_ms;
            }
        }
        Self {
            acts,
            proposed: None,
        }
    }

    /// As it is on the disk.
    pub(crate) fn written(&self) -> Option<Vec<u8>> {
        serde_json::to_vec(&self.acts).ok()
    }

    /// The one that is under way.
    fn current(&mut self) -> Option<&mut FenceAct> {
        let newest = self.acts.last_mut().map(|(_, act)| act);
        newest.filter(|act| act.is_under_way())
    }
}

impl Core {
    /// The other one's power is to be cut, or somebody says that it is off. Attempts that follow each other for the same boot are one act.
    pub(crate) fn begin_fence_act(&mut self, now: Now, boot: BootId) {
        let Some(paired) = &self.paired else {
            return;
        };
        let newest = self.fencing.pair.acts.last();
        if newest.is_some_and(|(known, act)| *known == boot && act.is_under_way()) {
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
            drill: None,
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
        // Another boot of it was to be cut before: that is over, whatever came of it.
        self.end_fence_act(now, FenceOutcome::CalledOff);
        let known = &mut self.fencing.pair.acts;
        known.push((boot, act));
        let surplus = known.len().saturating_sub(MOST);
        known.drain(..surplus);
        self.write_fence_acts();
    }

    fn write_fence_acts(&mut self) {
        let batch = Batch {
            pair_fences: self.fencing.pair.written(),
            ..Batch::default()
        };
        let effect = self.disk.write(batch, None);
        self.out.extend(effect);
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
        let Some(act) = self.fencing.pair.current() else {
            return;
        };
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
        self.write_fence_acts();
    }

    pub(crate) fn end_fence_act(&mut self, now: Now, outcome: FenceOutcome) {
        let ended_ms = self.wall_ms(now);
        if let Some(act) = self.fencing.pair.current() {
            act.outcome = outcome;
            act.ended_ms = ended_ms;
            self.write_fence_acts();
        }
    }

    /// An operator has seen that the other one is off.
    pub(crate) fn confirm_fence_act(&mut self, now: Now, boot: BootId, author: &str) {
        self.begin_fence_act(now, boot);
        let Some(act) = self.fencing.pair.current() else {
            return;
        };
        let author = if author.is_empty() {
            "an operator"
        } else {
            author
        };
        let text = format!("{author} confirms that {} is off", act.node);
        fences::remember(act, text);
        self.end_fence_act(now, FenceOutcome::Confirmed);
    }

    /// Tells the log what it does not have yet, one after the other.
    pub(crate) fn note_fence(&mut self, now: Now) {
        let Some(paired) = &self.paired else {
            return;
        };
        if paired.clocked.pair().sees_peer() {
            self.end_fence_act(now, FenceOutcome::CalledOff);
        }
        let of = |act: &FenceAct| (act.node.clone(), act.incarnation, act.began_ms);
        let noted: BTreeSet<_> = self.state.fences.iter().map(of).collect();
        let own = &mut self.fencing.pair;
        let before = own.acts.len();
        own.acts.retain(|(_, act)| !noted.contains(&of(act)));
        if own.acts.len() != before {
            own.proposed = None;
            self.write_fence_acts();
        }
        let own = &self.fencing.pair;
        let over = own.acts.iter().find(|(_, act)| !act.is_under_way());
        let Some((_, act)) = over else {
            return;
        };
        let told = own.proposed.is_some_and(|at| now.held_since(at) < AGAIN);
        let leads = self.lead.as_ref().is_some_and(|lead| lead.caught_up);
        let act = Box::new(act.clone());
        let change = Change::PairFenced { act };
        if told || !leads || self.check_level(now, &change).is_err() {
            return;
        }
        self.fencing.pair.proposed = Some(now);
        self.propose(now, None, change);
    }
}
