//! Which instances of a clone run where.
//!
//! Not for which of them are promoted: see `promote`.

use std::cmp::Ordering;

use crate::account::Cause;
use crate::colocate::{Gather, fraction};
use crate::role::Role;
use crate::score::{self, INFINITY};
use crate::sort::merge_sort;
use crate::work::{NodeId, RscId, Table, Work};

impl Work<'_> {
    pub(crate) fn assign_clone(&mut self, clone: RscId, prefer: Option<NodeId>) {
        if !self.rscs[clone].unassigned || self.rscs[clone].assigning {
            return;
        }
        self.rscs[clone].assigning = true;
        if self.rscs[clone].spec.promotable {
            self.add_promotion_scores(clone);
        }
        for id in self.rscs[clone].this_with.clone() {
            let primary = self.colocations[id].primary;
            self.assign(primary, prefer);
        }
        self.hear_clone_followers(clone);
        let mut children = self.rscs[clone].children.clone();
        merge_sort(&mut children, &mut |one, other| {
            self.compare_instances(one, other)
        });
        self.rscs[clone].children = children;
        self.distribute(clone);
        if self.rscs[clone].spec.promotable {
            self.set_promotion_roles(clone);
        }
        self.rscs[clone].unassigned = false;
        self.rscs[clone].assigning = false;
    }

    fn hear_clone_followers(&mut self, clone: RscId) {
        for id in self.rscs[clone].with_this.clone() {
            if !self.has_influence(id, clone) {
                continue;
            }
            let colocation = self.colocations[id].clone();
            let how = Gather {
                factor: fraction(colocation.score),
                nonnegative: true,
                active: true,
                this_with: false,
            };
            self.gather_into(
                clone,
                colocation.dependent,
                colocation.attribute.as_deref(),
                how,
            );
            self.note(|work| work.because_of_colocation(id, true));
        }
    }

    /// Adds the wishes of `source` to the scores of `rsc`.
    pub(crate) fn gather_into(
        &mut self,
        rsc: RscId,
        source: RscId,
        attribute: Option<&str>,
        how: Gather,
    ) {
        let mut table = Some(self.rscs[rsc].allowed.clone());
        self.gather(source, &mut table, attribute, how);
        self.rscs[rsc].allowed = table.unwrap_or_default();
    }

    /// How many instances there may be.
    fn clone_max(&self, clone: RscId) -> i32 {
        i32::try_from(self.rscs[clone].spec.clone_max).unwrap_or(i32::MAX)
    }

    fn distribute(&mut self, clone: RscId) {
        let max = self.clone_max(clone);
        let available = self.reset_counts(clone);
        let all = available > max;
        let mut per_node = 1;
        if available > 0 {
            per_node = (max / available).max(1);
        }
        let mut assigned = 0;
        for child in self.rscs[clone].children.clone() {
            if assigned >= max {
                break;
            }
            if self.keep_in_place(clone, child, per_node, all) {
                assigned += 1;
            }
        }
        for child in self.rscs[clone].children.clone() {
            if !self.rscs[child].unassigned {
                continue;
            }
            if assigned >= max {
                self.locate(child, None, -INFINITY, false);
                self.note(|_| Cause::new("there are as many copies as there may be (clone-max)"));
            } else if self.assign_instance(clone, child, None, all).is_some() {
                assigned += 1;
            }
        }
    }

    /// Counts the usable nodes, all of them still empty.
    fn reset_counts(&mut self, clone: RscId) -> i32 {
        let mut available = 0;
        for (node, slot) in self.rscs[clone].allowed.slots_mut() {
            slot.count = 0;
            available += i32::from(self.nodes[node].is_available());
        }
        available
    }

    fn keep_in_place(&mut self, clone: RscId, child: RscId, limit: i32, all: bool) -> bool {
        let me = &self.rscs[child];
        if me.running_on.is_empty() || !me.unassigned || me.failed {
            return false;
        }
        let Some(node) = self.current_node(child) else {
            return false;
        };
        let there = &self.nodes[node];
        if !there.is_available() || there.weight < 0 {
            return false;
        }
        let count = self.rscs[clone]
            .allowed
            .get(node)
            .map_or(0, |slot| slot.count);
        count < limit
            && self
                .assign_instance(clone, child, Some(node), all)
                .is_some()
    }

    fn assign_instance(
        &mut self,
        clone: RscId,
        child: RscId,
        prefer: Option<NodeId>,
        all: bool,
    ) -> Option<NodeId> {
        self.pass_colocations_on(clone, child, all);
        if let Some(node) = prefer
            && self.rscs[child]
                .allowed
                .score(node)
                .is_none_or(|score| score < 0)
        {
            return None;
        }
        self.limit_instance(clone, child);
        let before = self.rscs[child].allowed.clone();
        let noted = self.noted();
        let chosen = self.assign(child, prefer);
        if prefer.is_some() && chosen.is_some() && chosen != prefer {
            self.rscs[child].allowed = before;
            self.unnote(noted);
            self.unassign(child);
            return None;
        }
        if let Some(node) = chosen
            && let Some(slot) = self.rscs[clone].allowed.get_mut(node)
        {
            slot.count += 1;
        }
        chosen
    }

    fn pass_colocations_on(&mut self, clone: RscId, child: RscId, all: bool) {
        for id in self.rscs[clone].this_with.clone() {
            let score = self.colocations[id].score;
            if all || score < 0 || score == INFINITY {
                self.rscs[child].this_with.insert(0, id);
            }
        }
        for id in self.rscs[clone].with_this.clone() {
            let score = self.colocations[id].score;
            if self.has_influence(id, child) && (all || score < 0) {
                self.rscs[child].with_this.insert(0, id);
            }
        }
    }

    /// Bans an instance from nodes that are unusable or full.
    fn limit_instance(&mut self, clone: RscId, child: RscId) {
        let limit = self.rscs[clone].spec.clone_node_max;
        let orphan = self.rscs[child].orphan;
        for node in self.rscs[child].allowed.nodes() {
            let why = match self.rscs[clone].allowed.get(node) {
                _ if orphan || !self.nodes[node].is_available() => "no copy may be there",
                None => "no copy may be there",
                Some(slot) if slot.score < 0 => "no copy may be there",
                Some(slot) if slot.count >= limit => {
                    "as many copies as may be are there (clone-node-max)"
                }
                Some(_) => continue,
            };
            self.change_score(child, node, -INFINITY);
            self.note(|_| Cause::new(why));
        }
    }

    /// Adds to the score of a node wherever a resource or its children know it.
    fn change_score(&mut self, rsc: RscId, node: NodeId, change: i32) {
        if let Some(slot) = self.rscs[rsc].allowed.get_mut(node) {
            slot.score = score::add(slot.score, change);
        }
        for child in self.rscs[rsc].children.clone() {
            self.change_score(child, node, change);
        }
    }

    /// Which instance is placed first.
    pub(crate) fn compare_instances(&self, one: RscId, other: RscId) -> Ordering {
        let (a, b) = (&self.rscs[one], &self.rscs[other]);
        if !a.running_on.is_empty() && !b.running_on.is_empty() {
            let by_nodes = a.running_on.len().cmp(&b.running_on.len());
            if by_nodes.is_ne() {
                return by_nodes;
            }
        }
        let misplaced = |rsc: RscId| {
            self.current_node(rsc).is_some_and(|node| {
                self.rscs[rsc]
                    .allowed
                    .score(node)
                    .is_none_or(|score| score < 0)
            })
        };
        let early = misplaced(one)
            .cmp(&misplaced(other))
            .then(b.priority.cmp(&a.priority));
        if early.is_ne() {
            return early;
        }
        let (Some(here), Some(there)) = (self.current_node(one), self.current_node(other)) else {
            let idle = |rsc: RscId| self.current_node(rsc).is_none();
            return idle(one).cmp(&idle(other)).then(Ordering::Equal);
        };
        self.compare_active((one, here), (other, there))
    }

    fn compare_active(&self, one: (RscId, NodeId), other: (RscId, NodeId)) -> Ordering {
        let unavailable = |node: NodeId| !self.nodes[node].is_available();
        let slot = |(rsc, node): (RscId, NodeId)| {
            let parent = self.rscs[rsc].parent?;
            self.rscs[parent].allowed.get(node)
        };
        let count = |at| slot(at).map_or(0, |slot| slot.count);
        let failed = |rsc: RscId| self.any_primitive(rsc, &|rsc| self.rscs[rsc].failed);
        unavailable(one.1)
            .cmp(&unavailable(other.1))
            .then_with(|| slot(one).is_none().cmp(&slot(other).is_none()))
            .then_with(|| count(one).cmp(&count(other)))
            .then_with(|| failed(one.0).cmp(&failed(other.0)))
            .then_with(|| self.compare_wishes(one, other))
            .then_with(|| self.rscs[one.0].instance.cmp(&self.rscs[other.0].instance))
    }

    fn compare_wishes(&self, one: (RscId, NodeId), other: (RscId, NodeId)) -> Ordering {
        let mine = self.wish_tables(one.0, one.1);
        let theirs = self.wish_tables(other.0, other.1);
        let score = |table: &Table, node| table.score(node).unwrap_or(-INFINITY);
        if one.1 == other.1 {
            return score(&theirs, other.1).cmp(&score(&mine, one.1));
        }
        score(&theirs, other.1).cmp(&score(&mine, one.1))
    }

    /// What colocations of the clone make of an instance's present node.
    fn wish_tables(&self, rsc: RscId, node: NodeId) -> Table {
        let mut table = Table::default();
        table.entry(node, 0);
        let mut table = Some(table);
        let Some(parent) = self.rscs[rsc].parent else {
            return table.unwrap_or_default();
        };
        let parent = &self.rscs[parent];
        let followed = parent.this_with.iter().map(|id| (*id, false));
        let followers = parent.with_this.iter().map(|id| (*id, true));
        let followers = followers.filter(|(id, _)| self.has_influence(*id, rsc));
        for (id, nonnegative) in followed.chain(followers) {
            let colocation = &self.colocations[id];
            let how = Gather {
                factor: fraction(colocation.score),
                nonnegative,
                active: false,
                this_with: false,
            };
            let ends = (colocation.dependent, colocation.primary);
            let source = if nonnegative { ends.0 } else { ends.1 };
            self.gather(source, &mut table, colocation.attribute.as_deref(), how);
        }
        table.unwrap_or_default()
    }

    /// The instance of a clone that goes with a resource: on the same node, in the same role.
    pub(crate) fn compatible(
        &self,
        dependent: RscId,
        clone: RscId,
        role: Role,
        current: bool,
    ) -> Option<RscId> {
        use crate::work::Place;
        let place = if current {
            Place::Current
        } else {
            Place::Assigned
        };
        if let Some(node) = self.location(dependent, place) {
            return self.instance_on(clone, node, role, place);
        }
        let nodes = self.sorted_nodes(&self.rscs[dependent].allowed, None);
        nodes
            .into_iter()
            .find_map(|node| self.instance_on(clone, node, role, place))
    }

    fn instance_on(
        &self,
        clone: RscId,
        node: NodeId,
        role: Role,
        place: crate::work::Place,
    ) -> Option<RscId> {
        let current = place == crate::work::Place::Current;
        let mut children = self.rscs[clone].children.iter().copied();
        children.find(|child| {
            (role == Role::Unknown || role == self.role_of(*child, current))
                && !self.any_blocked(*child)
                && self.location(*child, place) == Some(node)
        })
    }
}
