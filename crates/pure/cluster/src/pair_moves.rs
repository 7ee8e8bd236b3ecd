//! A pair changes places by itself when something cannot run on its primary and everything can on its secondary: the primary's client
//! network is gone, or a service has failed there too often. Whoever is preferred does not matter here: that moves nothing by itself.
//!
//! Not for how the two change places (crate `pair`), and not for a primary that is lost.

use crate::{core::Core, deciding::facts};
use standfast_model::{
    effect::Level,
    id::{GroupId, NodeId},
    plan::INFINITY,
    time::Now,
};
use standfast_pair::{Confirms, Event as Told, Order, Role, clock::Input};
use standfast_schedule::place;

impl Core {
    pub(crate) fn leave_unfit_primary(&mut self, now: Now) {
        let normal = matches!(
            self.pair_role(),
            Some(Role::Primary {
                confirms: Confirms::Both,
                ..
            })
        );
        let Some(paired) = self.paired.as_ref().filter(|_| normal) else {
            return;
        };
        if paired.judged == Some(self.state.applied) || self.may_swap().is_err() {
            return;
        }
        let (here, peer) = (self.driven_from(&self.node), paired.peer.clone());
        let moves = !here.is_empty() && self.driven_from(&peer).is_empty();
        if moves {
            self.tell_pair(now, Input::Event(Told::Operator(Order::Swap)));
        }
        let hands_over = matches!(self.pair_role(), Some(Role::Releasing { .. }));
        if let Some(paired) = &mut self.paired {
            paired.outcome = None;
            // Where it was not ready to, it is asked again.
            paired.judged = (!moves || hands_over).then_some(self.state.applied);
        }
        if hands_over {
            let names: Vec<&str> = here.iter().map(GroupId::as_str).collect();
            let text = format!(
                "{} cannot run on {}, and everything can on {peer}: they change places",
                names.join(", "),
                self.node
            );
            self.log(Level::Warn, text);
        }
    }

    /// What would leave this node if everything were there and both might run it.
    fn driven_from(&self, node: &NodeId) -> Vec<GroupId> {
        let mut config = self.state.acted(&self.state.config).into_owned();
        let locations = &mut config.constraints.locations;
        locations.retain(|_, location| location.score <= -INFINITY);
        for group in config.groups.values_mut() {
            group.prefer.retain(|_, score| *score <= -INFINITY);
            group.stickiness = INFINITY;
        }
        let online = |name: &NodeId| {
            let known = self.state.nodes.get(name);
            known.is_some_and(|known| known.online)
        };
        let mut facts = facts(&self.state, &config, &online);
        for known in facts.nodes.values_mut() {
            known.barred = None;
        }
        let groups = config.groups.keys();
        facts.current = groups.map(|group| (group.clone(), node.clone())).collect();
        let left = place(&facts).into_iter();
        left.filter(|(_, placement)| placement.node.as_ref() != Some(node))
            .map(|(group, _)| group)
            .collect()
    }
}
