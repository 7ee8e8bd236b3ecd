//! An agent that was told to end, as at a shutdown of its machine: what it runs moves away first, and leadership with it.
//!
//! Level-triggered like the rest. Not for where things move to: that is placement, for which the node is as good as drained.

use crate::core::Core;
use standfast_model::{
    command::Change,
    effect::Effect,
    id::NodeId,
    state::NodeState,
    time::{Micros, Now},
};

/// An agent ends after this time whatever still runs: its guards end that at the leases' end.
const PATIENCE: Micros = Micros::from_millis(60_000);
/// Where nothing runs, nobody's confirmation is waited for longer than this: the others may be ending as well.
const UNHEARD: Micros = Micros::from_millis(5_000);

/// Why this agent is about to end, if it is.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    /// Since when it has been told to end.
    pub(crate) leave_asked: Option<Now>,
    /// Since when the state has asked this run to restart.
    pub(crate) restart_wanted: Option<Now>,
    /// When that was last tried.
    pub(crate) restart_tried: Option<Now>,
}

impl Core {
    /// The command that says that a node's agent, or this one, was told to end.
    pub(crate) fn leave(&self, origin: Option<NodeId>) -> Change {
        let node = origin.unwrap_or_else(|| self.node.clone());
        let incarnation = self.incarnation_of(&node);
        Change::Leave { node, incarnation }
    }

    /// Lets an agent end that was told to, as soon as nothing depends on it.
    pub(crate) fn finish_leaving(&mut self, now: Now) {
        let Some(asked) = self.ending.leave_asked else {
            return;
        };
        let waited = now.held_since(asked);
        let text = if !self.runs_anything() && self.nobody_waits_for_us() {
            "nothing runs here any more, and the others know it"
        } else if !self.runs_anything() && waited > UNHEARD {
            "nothing runs here any more; nobody confirmed it in time"
        } else if waited > PATIENCE {
            "it was told to, and moving away what it runs took too long; the guards end the rest"
        } else {
            return;
        };
        self.ending.leave_asked = None;
        let text = text.to_owned();
        let idle = self.locals.values().all(|local| !local.phase.may_run());
        self.out.push(Effect::Left { text, idle });
    }

    /// Whether something may be running here that is to be moved away; in maintenance nothing is.
    pub(crate) fn runs_anything(&self) -> bool {
        let kept = |resource| {
            let group = self.state.config.group_of(resource);
            group
                .and_then(|group| self.state.plan.groups.get(group))
                .is_some_and(|assignment| assignment.maintenance)
        };
        self.locals
            .iter()
            .any(|(resource, local)| local.phase.may_run() && !kept(resource))
    }

    /// The cluster knows that this agent ends, holds nothing of it any more, and has another leader if it can.
    fn nobody_waits_for_us(&self) -> bool {
        let known = self.state.nodes.get(&self.node);
        let committed = known.is_some_and(|known| known.leaving == Some(self.incarnation));
        let kept = |resource| {
            let group = self.state.config.group_of(resource);
            let given = group.and_then(|group| self.state.plan.groups.get(group));
            given.is_some_and(|assignment| assignment.maintenance)
        };
        let holds = self
            .state
            .may_hold
            .iter()
            .any(|(resource, holders)| holders.contains(&self.node) && !kept(resource));
        let heir = self.leads() && self.has_heir();
        committed && !holds && !heir && !self.hands_over()
    }

    /// Whether another voter is there that is not about to end itself.
    pub(crate) fn has_heir(&self) -> bool {
        self.state.members.values().any(|member| {
            let known: Option<&NodeState> = self.state.nodes.get(&member.node);
            member.voter
                && member.node != self.node
                && known.is_some_and(|known| known.online && !known.is_leaving())
        })
    }
}
