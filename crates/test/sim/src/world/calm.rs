//! The operator's last change, in runs with locations: everything has settled, nothing is wrong any more, and a node is
//! forbidden to what runs there. How soon that has to have stopped is invariant 27's business.

use super::{Happening, World};
use crate::{
    attributes,
    coverage::Case,
    invariants::{convergence, located},
    scenario::Scenario,
};
use standfast_model::id::{GroupId, NodeId};

/// The last change.
#[derive(Clone, Debug)]
pub(crate) struct Last {
    group: GroupId,
    node: NodeId,
    /// By an attribute of the node; otherwise by a location.
    by_node: bool,
    asked: u64,
    /// In force since then.
    began: Option<u64>,
    /// Nothing runs where it may not, after so long.
    pub(crate) took: Option<u64>,
}

const LOOK_AGAIN: u64 = 50_000;
/// A request may be lost, or be refused because another configuration came before.
const ASK_AGAIN: u64 = 3_000_000;

impl World {
    /// Picks what is to move, once all is calm.
    pub(super) fn begin_last_change(&mut self) {
        if !attributes::are_in(&self.scenario) || self.settling.last.is_some() {
            return;
        }
        let number = self.draw_node.index(self.scenario.resources.len());
        let Some(runner) = self.runner(number) else {
            return;
        };
        let name = &self.scenario.resources[number];
        let Some(group) = self.scenario.config.group_of(name).cloned() else {
            return;
        };
        let by_node = self.draw_node.chance(500_000);
        let node = Scenario::node_name(runner);
        self.note("WORLD", || format!("{group} may not be on {node} any more"));
        self.settling.last = Some(Last {
            group,
            node,
            by_node,
            asked: 0,
            began: None,
            took: None,
        });
    }

    /// Asks for it until it is in force, and looks what has become of it. False when there is none.
    pub(super) fn look_at_last_change(&mut self) -> bool {
        let Some(mut last) = self.settling.last.clone() else {
            return false;
        };
        self.later(LOOK_AGAIN, Happening::Look);
        let Some(mut config) = self.config_in_force() else {
            return true;
        };
        if attributes::forbids(&config, &last.group, &last.node).is_some() {
            let began = *last.began.get_or_insert(self.time);
            let took = self.time - began;
            match located::misplaced(self, &config) {
                None if last.took.is_none() => {
                    last.took = Some(took);
                    self.hit(Case::MovedAway);
                }
                Some(text) if took > located::CALM => {
                    let plan = convergence::plan_in_force(self);
                    let text = format!("{text} for {} ms, in plan {plan}", took / 1000);
                    self.broken(27, text);
                }
                _ => {}
            }
        } else if self.time >= last.asked + ASK_AGAIN {
            last.asked = self.time;
            attributes::forbid(&mut config, &last.group, &last.node, last.by_node);
            self.apply(config);
        }
        self.settling.last = Some(last);
        true
    }
}
