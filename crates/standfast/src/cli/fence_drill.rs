//! `fence test NODE --cut`: the drill that proves the map of nodes. Level after level really cuts the node's power, and the cluster
//! has to lose that node, and no other one, and to have it back as another run of its agent.
//!
//! Each level is an act of fencing like any other, except that nobody goes on with another level or from another node.

use super::{fence::act_of, print, wait::until};
use crate::{
    failure::Failure,
    render::{self, Cut},
};
use standfast_model::{
    fence_act::{FenceAct, FenceOutcome},
    id::{DeviceId, NodeId},
    request::{Request, View},
};
use std::{
    collections::BTreeSet,
    path::Path,
    time::{Duration, Instant},
};

/// So long it is looked who was lost instead.
const MISSED: Duration = Duration::from_secs(40);

/// What is to be tried, and how.
pub(super) struct Drill<'a> {
    pub(super) socket: &'a Path,
    pub(super) node: &'a NodeId,
    pub(super) force: bool,
    /// For each level.
    pub(super) wait: Duration,
    /// Said after each level.
    pub(super) aloud: bool,
}

impl Drill<'_> {
    /// Ends with the first level that is not proven: what it left behind is to be looked at first.
    pub(super) fn run(&self, levels: &[Vec<DeviceId>]) -> Result<Vec<Cut>, Failure> {
        let mut cuts = Vec::new();
        for (level, devices) in (1..).zip(levels) {
            let cut = self.cut(level, devices)?;
            if self.aloud {
                print(&render::fence_cut(self.node, &cut))?;
            }
            let proven = cut.problem.is_empty();
            cuts.push(cut);
            if !proven {
                break;
            }
        }
        Ok(cuts)
    }

    fn cut(&self, level: u32, devices: &[DeviceId]) -> Result<Cut, Failure> {
        let (mut agent, view) = super::ask::look_at_state(self.socket)?;
        let before = online(&view);
        let began = Instant::now();
        let index = agent.change(&Request::FenceDrill {
            node: self.node.clone(),
            level,
            force: self.force,
            author: String::new(),
        })?;
        let mut cut = Cut::of(level, devices);
        let mut lost = BTreeSet::new();
        let ended = until(
            self.socket,
            self.wait,
            |view| {
                let now = online(view);
                lost.extend(before.difference(&now).cloned());
                let Some(act) = act_of(view, self.node, index) else {
                    return Ok(None);
                };
                Ok(self.judge(view, act, &mut cut, began))
            },
            |_| String::new(),
        );
        if ended.as_ref().is_ok_and(|problem| !problem.is_empty()) {
            // A machine that lost its power in its place is missed only when its leases are over.
            let someone = |view: &View| {
                lost.extend(before.difference(&online(view)).cloned());
                Ok((!lost.is_empty()).then_some(()))
            };
            drop(until(self.socket, MISSED, someone, |_| String::new()));
        }
        lost.remove(self.node);
        cut.also_lost = lost.iter().map(ToString::to_string).collect();
        cut.problem = match ended {
            Ok(problem) if problem.is_empty() && !lost.is_empty() => {
                "it was lost and is back, and not it alone".to_owned()
            }
            Ok(problem) => problem,
            Err(_late) if cut.off_after_ms.is_some() => format!(
                "it is not back after {} s: switch it on by hand",
                self.wait.as_secs()
            ),
            Err(_late) => format!(
                "nothing came of it within {} s; `standfast fence history` shows what does",
                self.wait.as_secs()
            ),
        };
        Ok(cut)
    }

    /// The problem, or none, once it is known.
    fn judge(&self, view: &View, act: &FenceAct, cut: &mut Cut, began: Instant) -> Option<String> {
        if act.drill.is_none() {
            let text = "somebody asked for a fencing meanwhile: with other levels in it, it proves nothing of this one";
            return Some(text.to_owned());
        }
        let known = view.state.nodes.get(self.node)?;
        let another = known.report.incarnation != act.incarnation;
        if !known.online || another {
            cut.off_after_ms.get_or_insert_with(|| millis(began));
        }
        match act.outcome {
            FenceOutcome::UnderWay => return None,
            FenceOutcome::Off => {}
            FenceOutcome::Confirmed
            | FenceOutcome::Failed
            | FenceOutcome::CalledOff
            | FenceOutcome::Void => {
                let last = act.tries.last().cloned();
                return Some(last.unwrap_or_else(|| "nobody tried it".to_owned()));
            }
        }
        (known.online && another).then(|| {
            cut.back_after_ms = Some(millis(began));
            String::new()
        })
    }
}

fn online(view: &View) -> BTreeSet<NodeId> {
    let nodes = view.state.nodes.iter();
    let there = nodes.filter(|(_, known)| known.online);
    there.map(|(node, _)| node.clone()).collect()
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
