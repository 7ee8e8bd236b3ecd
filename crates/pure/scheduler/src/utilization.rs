//! Capacity: which nodes have room for a resource and for all that must be with it.
//!
//! Not for ordering by capacity: see `order_nodes`.

use std::collections::BTreeMap;

use crate::account::Cause;
use crate::colocate::Affects;
use crate::input::Kind;
use crate::score::INFINITY;
use crate::settings::Strategy;
use crate::work::{NodeId, RscId, Work};

type Amounts = BTreeMap<String, i32>;

impl Work<'_> {
    /// Takes, or gives back, what a resource uses of a node.
    pub(crate) fn consume(&mut self, rsc: RscId, node: NodeId, give_back: bool) {
        if self.options.strategy == Strategy::Default {
            return;
        }
        let spec = self.spec(rsc);
        for (name, amount) in &spec.config.utilization {
            let change = if give_back { *amount } else { -*amount };
            if let Some(left) = self.nodes[node].capacity.get_mut(name) {
                *left = left.saturating_add(change);
            }
        }
    }

    /// Bans a resource from nodes without room; names the roomiest if none takes all of its
    /// companions too.
    pub(crate) fn ban_without_room(&mut self, rsc: RscId) -> Option<NodeId> {
        if self.options.strategy == Strategy::Default {
            return None;
        }
        let mut together = Vec::new();
        self.companions(rsc, rsc, &mut together);
        if together.is_empty() {
            return None;
        }
        if !together.contains(&rsc) {
            together.push(rsc);
        }
        let mut all = Amounts::new();
        let mut counted = Vec::new();
        for companion in &together {
            self.add_needs(*companion, &mut all, &mut counted);
        }
        let mut own = Amounts::new();
        self.add_needs(rsc, &mut own, &mut Vec::new());
        let slots = self.rscs[rsc].allowed.slots();
        let mut slots: Vec<(NodeId, i32)> = slots.map(|(node, slot)| (node, slot.score)).collect();
        // Of nodes with as much room the first one counts.
        slots.sort_by_key(|(node, _)| self.nodes[*node].slot);
        let fits = |node: NodeId, needs: &Amounts| {
            let there = &self.nodes[node].capacity;
            needs
                .iter()
                .all(|(name, amount)| there.get(name).copied().unwrap_or(0) >= *amount)
        };
        let usable = |node: NodeId, score: i32| score >= 0 && self.nodes[node].is_available();
        let some_fit = slots
            .iter()
            .any(|(node, score)| usable(*node, *score) && fits(*node, &all));
        let mut roomiest: Option<NodeId> = None;
        let mut banned = Vec::new();
        for (node, score) in &slots {
            if !usable(*node, *score) {
                continue;
            }
            if !fits(*node, if some_fit { &all } else { &own }) {
                banned.push(*node);
            } else if !some_fit
                && roomiest.is_none_or(|best| self.compare_capacity(*node, best).is_lt())
            {
                roomiest = Some(*node);
            }
        }
        for node in banned {
            self.locate(rsc, Some(node), -INFINITY, false);
        }
        self.note(|_| Cause::new("the node has no room for it and what must be with it"));
        roomiest
    }

    /// Everything that must be on the same node, in a fixed order.
    fn companions(&self, rsc: RscId, origin: RscId, found: &mut Vec<RscId>) {
        if found.contains(&rsc) {
            return;
        }
        found.push(rsc);
        let me = &self.rscs[rsc];
        if me.spec.kind == Kind::Group && me.spec.colocated {
            for child in &me.children {
                self.companions(*child, origin, found);
            }
        }
        if let Some(parent) = me.parent
            && self.rscs[parent].spec.kind == Kind::Group
            && self.rscs[parent].spec.colocated
        {
            self.companions(parent, origin, found);
        }
        for id in &me.this_with {
            let colocation = &self.colocations[*id];
            let primary = colocation.primary;
            if primary != origin
                && colocation.score >= INFINITY
                && self.affects(rsc, primary, colocation, true) == Affects::Location
            {
                self.companions(primary, origin, found);
            }
        }
        for id in &me.with_this {
            let colocation = &self.colocations[*id];
            let dependent = colocation.dependent;
            let split = self.is_clone(rsc) && !self.is_clone(dependent);
            if dependent != origin
                && !split
                && colocation.score >= INFINITY
                && self.affects(dependent, rsc, colocation, true) == Affects::Location
            {
                self.companions(dependent, origin, found);
            }
        }
    }

    /// Adds what the unassigned part of a resource needs.
    fn add_needs(&self, rsc: RscId, needs: &mut Amounts, counted: &mut Vec<RscId>) {
        let me = &self.rscs[rsc];
        if me.spec.kind == Kind::Clone {
            if let Some(child) = me.children.first() {
                self.add_needs(*child, needs, counted);
            }
            return;
        }
        for child in &me.children {
            self.add_needs(*child, needs, counted);
        }
        if !me.unassigned || counted.contains(&rsc) {
            return;
        }
        counted.push(rsc);
        for (name, amount) in &me.spec.config.utilization {
            let sum = needs.entry(name.clone()).or_insert(0);
            *sum = sum.saturating_add(*amount);
        }
    }
}
