//! Which node is better, and which resource goes first when capacity counts.
//!
//! Not for scores themselves.

use std::cmp::Ordering;

use crate::colocate::Gather;
use crate::score::INFINITY;
use crate::settings::Strategy;
use crate::sort::merge_sort;
use crate::work::{NodeId, RscId, Table, Work};

impl Work<'_> {
    /// The nodes of a table, best first.
    pub(crate) fn sorted_nodes(&self, table: &Table, preferred: Option<NodeId>) -> Vec<NodeId> {
        let mut nodes = table.nodes();
        if self.options.strategy == Strategy::Balanced {
            // Capacities compare in circles, so it matters how the nodes are looked at.
            nodes.sort_by_key(|node| std::cmp::Reverse(self.nodes[*node].slot));
        }
        self.sort_nodes(nodes, table, preferred)
    }

    fn sort_nodes(
        &self,
        mut nodes: Vec<NodeId>,
        table: &Table,
        preferred: Option<NodeId>,
    ) -> Vec<NodeId> {
        merge_sort(&mut nodes, &mut |one, other| {
            self.compare_nodes(table, one, other, preferred)
        });
        nodes
    }

    /// The best node of a table.
    pub(crate) fn best_node(&self, table: &Table, preferred: Option<NodeId>) -> Option<NodeId> {
        if self.options.strategy == Strategy::Balanced {
            return self.sorted_nodes(table, preferred).first().copied();
        }
        let nodes = table.slots().map(|(node, _)| node);
        nodes.min_by(|one, other| self.compare_nodes(table, *one, *other, preferred))
    }

    fn compare_nodes(
        &self,
        table: &Table,
        one: NodeId,
        other: NodeId,
        preferred: Option<NodeId>,
    ) -> Ordering {
        let score = |node: NodeId| {
            let fine = self.nodes[node].is_available();
            table.score(node).filter(|_| fine).unwrap_or(-INFINITY)
        };
        let (a, b) = (&self.nodes[one], &self.nodes[other]);
        let by_score = score(other).cmp(&score(one));
        let by_name = || a.rank.cmp(&b.rank);
        if self.options.strategy == Strategy::Minimal {
            return by_score.then_with(by_name);
        }
        let by_capacity = if self.options.strategy == Strategy::Balanced {
            self.compare_capacity(one, other)
        } else {
            Ordering::Equal
        };
        let is_preferred = |node: NodeId| Some(node) == preferred;
        by_score
            .then(by_capacity)
            .then(a.resources.cmp(&b.resources))
            .then(is_preferred(other).cmp(&is_preferred(one)))
            .then_with(by_name)
    }

    /// Which node has more left, by the number of capacities that it has more of.
    pub(crate) fn compare_capacity(&self, one: NodeId, other: NodeId) -> Ordering {
        let (a, b) = (&self.nodes[one].capacity, &self.nodes[other].capacity);
        let mut balance = 0;
        for (name, amount) in a {
            let theirs = b.get(name).copied().unwrap_or(0);
            balance += i32::from(*amount < theirs) - i32::from(*amount > theirs);
        }
        for (name, amount) in b {
            if !a.contains_key(name) {
                balance += i32::from(*amount > 0) - i32::from(*amount < 0);
            }
        }
        balance.cmp(&0)
    }

    /// Puts the resources that are hardest to place first.
    pub(crate) fn sort_by_need(&mut self) {
        let nodes = self.nodes.ids().fold(Table::default(), |mut table, node| {
            table.entry(node, self.nodes[node].weight);
            table
        });
        let nodes = self.sort_nodes(nodes.nodes(), &nodes, None);
        let mut top = std::mem::take(&mut self.top);
        let wishes: Vec<Table> = self.rscs.ids().map(|rsc| self.wishes(rsc)).collect();
        merge_sort(&mut top, &mut |one, other| {
            self.compare_need(one, other, &nodes, &wishes)
        });
        self.top = top;
    }

    fn wishes(&self, rsc: RscId) -> Table {
        let mut table = None;
        if self.rscs[rsc].parent.is_none() {
            let how = Gather {
                factor: 1.0,
                nonnegative: false,
                active: false,
                this_with: true,
            };
            self.gather(rsc, &mut table, None, how);
        }
        table.unwrap_or_default()
    }

    fn compare_need(
        &self,
        one: RscId,
        other: RscId,
        nodes: &[NodeId],
        wishes: &[Table],
    ) -> Ordering {
        let by_priority = self.rscs[other].priority.cmp(&self.rscs[one].priority);
        if by_priority.is_ne() {
            return by_priority;
        }
        let (Some(a), Some(b)) = (wishes.get(one.at()), wishes.get(other.at())) else {
            return Ordering::Equal;
        };
        let score = |table: &Table, node: Option<NodeId>| {
            node.and_then(|node| table.score(node)).unwrap_or(-INFINITY)
        };
        let (here, there) = (self.current_node(one), self.current_node(other));
        let mut result = score(b, there).cmp(&score(a, here));
        if here.is_none() && there.is_none() {
            result = Ordering::Equal;
        }
        for node in nodes {
            result = result.then(score(b, Some(*node)).cmp(&score(a, Some(*node))));
        }
        result
    }
}
