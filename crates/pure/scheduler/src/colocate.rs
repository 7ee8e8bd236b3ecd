//! What colocations do to scores: those of the follower, and the follower's wishes on the followed.
//!
//! Not for who is placed first: see `place`.

#![allow(
    clippy::float_arithmetic,
    reason = "a follower's wishes count by the fraction of infinity, in single precision, as users of this field know them"
)]

use crate::role::Role;
use crate::score::{self, INFINITY};
use crate::work::{Colocation, ColocationId, NodeId, Place, RscId, Table, Work};

/// Marks a node that a negative wish made unusable; below any score.
const UNUSABLE: i32 = INFINITY * -100;

/// What a colocation touches at the present point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Affects {
    Nothing,
    Location,
    Role,
}

/// How wishes are gathered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gather {
    pub(crate) factor: f32,
    /// Ignore negative wishes.
    pub(crate) nonnegative: bool,
    /// Give up a wish that leaves no node.
    pub(crate) active: bool,
    /// Follow those that are followed instead of the followers.
    pub(crate) this_with: bool,
}

/// A score as a fraction of infinity.
pub(crate) fn fraction(score: i32) -> f32 {
    as_f32(score) / as_f32(INFINITY)
}

fn as_f32(value: i32) -> f32 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "scores are below two to the 24th"
    )]
    let float = value as f32;
    float
}

fn rounded(value: f32) -> i32 {
    let half = if value < 0.0 { -0.5 } else { 0.5 };
    #[expect(
        clippy::cast_possible_truncation,
        reason = "rounding by truncation is meant"
    )]
    let rounded = (f64::from(value) + half) as i32;
    rounded
}

impl Work<'_> {
    pub(crate) fn affects(
        &self,
        dependent: RscId,
        primary: RscId,
        colocation: &Colocation,
        preview: bool,
    ) -> Affects {
        let (one, other) = (&self.rscs[dependent], &self.rscs[primary]);
        if !preview && other.unassigned {
            return Affects::Nothing;
        }
        let promotable = one.parent.is_some_and(|rsc| self.rscs[rsc].spec.promotable);
        if colocation.dependent_role >= Role::Unpromoted && promotable && !one.unassigned {
            return Affects::Role;
        }
        if !preview && !one.unassigned {
            return Affects::Nothing;
        }
        let excluded = |role: Role, next: Role| {
            role != Role::Unknown
                && ((colocation.score > 0 && role != next)
                    || (colocation.score < 0 && role == next))
        };
        if excluded(colocation.dependent_role, one.next_role)
            || excluded(colocation.primary_role, other.next_role)
        {
            return Affects::Nothing;
        }
        Affects::Location
    }

    /// Applies a colocation with something that is placed already.
    pub(crate) fn apply_colocation(&mut self, dependent: RscId, primary: RscId, id: ColocationId) {
        let colocation = self.colocations[id].clone();
        match self.kind(primary) {
            crate::input::Kind::Group => self.apply_with_group(dependent, primary, id),
            crate::input::Kind::Clone => self.apply_with_clone(dependent, primary, id),
            crate::input::Kind::Primitive | crate::input::Kind::Bundle => {
                match self.affects(dependent, primary, &colocation, false) {
                    Affects::Nothing => {}
                    Affects::Location => self.apply_to_scores(dependent, primary, &colocation),
                    Affects::Role => self.apply_to_priority(dependent, primary, &colocation),
                }
            }
        }
    }

    fn apply_with_group(&mut self, dependent: RscId, group: RscId, id: ColocationId) {
        if self.rscs[group].unassigned {
            return;
        }
        let members = self.rscs[group].children.clone();
        let must = self.colocations[id].score >= INFINITY;
        if self.rscs[group].spec.colocated {
            let member = if must {
                members.last()
            } else {
                members.first()
            };
            if let Some(member) = member {
                self.apply_colocation(dependent, *member, id);
            }
        } else if !must {
            for member in members {
                self.apply_colocation(dependent, member, id);
            }
        }
    }

    fn apply_with_clone(&mut self, dependent: RscId, clone: RscId, id: ColocationId) {
        let colocation = self.colocations[id].clone();
        if self.rscs[clone].unassigned {
            return;
        }
        if self.rscs[clone].spec.promotable && colocation.primary_role != Role::Unknown {
            if self.rscs[dependent].unassigned {
                return self.apply_with_promotable(dependent, clone, &colocation);
            }
            if colocation.dependent_role == Role::Promoted {
                return self.apply_promotable_to_priority(dependent, clone, &colocation);
            }
        }
        if self.is_interleaved(&colocation) {
            let pair = self.compatible(dependent, clone, Role::Unknown, false);
            if let Some(pair) = pair {
                self.apply_colocation(dependent, pair, id);
            } else if colocation.score >= INFINITY {
                self.assign_all(dependent, None, true);
            }
            return;
        }
        if colocation.score >= INFINITY {
            let children = self.rscs[clone].children.iter();
            let fine = children.filter(|child| !self.any_blocked(**child));
            let nodes = fine.filter_map(|child| self.location(*child, Place::Assigned));
            let nodes: Vec<_> = nodes.map(|node| (node, 0)).collect();
            return self.allow_only(dependent, &nodes, false);
        }
        for child in self.rscs[clone].children.clone() {
            self.apply_colocation(dependent, child, id);
        }
    }

    fn is_interleaved(&self, colocation: &Colocation) -> bool {
        let spec = &self.rscs[colocation.dependent].spec;
        self.is_clone(colocation.dependent)
            && spec.interleave
            && self.copies_per_node(colocation.dependent)
                == self.copies_per_node(colocation.primary)
    }

    fn copies_per_node(&self, rsc: RscId) -> i32 {
        if self.is_clone(rsc) {
            self.rscs[rsc].spec.clone_node_max
        } else {
            1
        }
    }

    fn apply_with_promotable(&mut self, dependent: RscId, clone: RscId, colocation: &Colocation) {
        let mut nodes = Vec::new();
        for child in self.rscs[clone].children.clone() {
            let Some(node) = self.location(child, Place::Assigned) else {
                continue;
            };
            if self.role_of(child, false) != colocation.primary_role {
                continue;
            }
            if colocation.score < INFINITY {
                self.add_where_alike(dependent, node, colocation);
            }
            let first = self.primitives(child).first().copied().unwrap_or(child);
            nodes.push((node, self.rscs[first].assigned_score));
        }
        let both_promoted = colocation.dependent_role == Role::Promoted
            && colocation.primary_role == Role::Promoted;
        if colocation.score >= INFINITY && !both_promoted {
            self.allow_only(dependent, &nodes, true);
        }
    }

    fn add_where_alike(&mut self, dependent: RscId, node: NodeId, colocation: &Colocation) {
        let attribute = colocation.attribute.as_deref().unwrap_or("#uname");
        let alike = self.alike(&self.rscs[dependent].allowed, node, attribute);
        for node in alike {
            if let Some(slot) = self.rscs[dependent].allowed.get_mut(node) {
                slot.score = score::add(slot.score, colocation.score);
            }
        }
    }

    /// The nodes of a table that have the same value of an attribute as `node`.
    fn alike(&self, table: &Table, node: NodeId, attribute: &str) -> Vec<NodeId> {
        let wanted = self.attribute(node, attribute);
        let nodes = table.nodes().into_iter();
        nodes
            .filter(|other| same(self.attribute(*other, attribute), wanted))
            .collect()
    }

    fn apply_promotable_to_priority(
        &mut self,
        dependent: RscId,
        clone: RscId,
        colocation: &Colocation,
    ) {
        let pair = self.compatible(dependent, clone, colocation.primary_role, false);
        let me = &mut self.rscs[dependent];
        if pair.is_some() {
            me.priority = score::add(me.priority, colocation.score);
        } else if colocation.score >= INFINITY {
            me.priority = -INFINITY;
        }
    }

    /// Bans a resource from all nodes but the given.
    fn allow_only(&mut self, rsc: RscId, nodes: &[(NodeId, i32)], merge: bool) {
        for (node, slot) in self.rscs[rsc].allowed.slots_mut() {
            match nodes.iter().find(|(wanted, _)| *wanted == node) {
                None => slot.score = -INFINITY,
                Some((_, score)) if merge => slot.score = score::add(slot.score, *score),
                Some(_) => {}
            }
        }
        for (node, _) in nodes {
            if self.rscs[rsc].allowed.get(*node).is_none() {
                self.rscs[rsc].allowed.entry(*node, -INFINITY);
            }
        }
    }

    fn apply_to_scores(&mut self, dependent: RscId, primary: RscId, colocation: &Colocation) {
        let attribute = colocation.attribute.as_deref().unwrap_or("#id");
        let place = self.rscs[primary].assigned;
        if place.is_none() && colocation.score < 0 {
            return;
        }
        let alike = place.map(|node| self.alike(&self.rscs[dependent].allowed, node, attribute));
        let mut table = self.rscs[dependent].allowed.clone();
        for (node, slot) in table.slots_mut() {
            match &alike {
                None => slot.score = score::add(-colocation.score, slot.score),
                Some(alike) if alike.contains(&node) => {
                    let finite = i32::from(colocation.score < INFINITY);
                    slot.score = score::add(finite * colocation.score, slot.score);
                }
                Some(_) if colocation.score >= INFINITY => slot.score = -INFINITY,
                Some(_) => {}
            }
        }
        if colocation.score.abs() >= INFINITY || self.any_available(&table) {
            self.rscs[dependent].allowed = table;
        }
    }

    fn apply_to_priority(&mut self, dependent: RscId, primary: RscId, colocation: &Colocation) {
        let attribute = colocation.attribute.as_deref().unwrap_or("#id");
        let places = (self.rscs[primary].assigned, self.rscs[dependent].assigned);
        let (Some(there), Some(here)) = places else {
            return;
        };
        if !same(
            self.attribute(there, attribute),
            self.attribute(here, attribute),
        ) {
            if colocation.score >= INFINITY && colocation.dependent_role == Role::Promoted {
                self.rscs[dependent].priority = -INFINITY;
            }
            return;
        }
        let role = colocation.primary_role;
        if role != Role::Unknown && role != self.rscs[primary].next_role {
            return;
        }
        let unpromoted = colocation.dependent_role == Role::Unpromoted;
        let score = if unpromoted {
            -colocation.score
        } else {
            colocation.score
        };
        let me = &mut self.rscs[dependent];
        me.priority = score::add(score, me.priority);
    }

    /// Adds the wishes of `source`, and of all that follow it, to a table.
    pub(crate) fn gather(
        &self,
        source: RscId,
        table: &mut Option<Table>,
        attribute: Option<&str>,
        how: Gather,
    ) {
        let me = &self.rscs[source];
        if me.merging.get() {
            return;
        }
        me.merging.set(true);
        if self.kind(source) == crate::input::Kind::Group
            && !me.children.is_empty()
            && !how.this_with
        {
            self.gather_group(source, table, attribute, how);
        } else {
            self.gather_plain(source, table, attribute, how);
        }
        me.merging.set(false);
    }

    fn gather_group(
        &self,
        group: RscId,
        table: &mut Option<Table>,
        attribute: Option<&str>,
        how: Gather,
    ) {
        let children = &self.rscs[group].children;
        let (Some(first), Some(last)) = (children.first(), children.last()) else {
            return;
        };
        let mut work = table.clone();
        self.gather(*first, &mut work, attribute, how);
        // What follows the last member counts once more, besides what the first one gathers of it.
        if let Some(work) = work {
            self.gather_rest(*last, work, table, how);
        }
    }

    fn gather_plain(
        &self,
        source: RscId,
        table: &mut Option<Table>,
        attribute: Option<&str>,
        how: Gather,
    ) {
        let work = match table {
            None => self.rscs[source].allowed.clone(),
            Some(table) => {
                let mut work = table.clone();
                self.add_wishes(&mut work, source, attribute, how);
                work
            }
        };
        self.gather_rest(source, work, table, how);
    }

    /// Adds the wishes of what follows `source`, and takes the result unless it leaves no node.
    fn gather_rest(&self, source: RscId, mut work: Table, table: &mut Option<Table>, how: Gather) {
        if self.any_available(&work) {
            work = self.gather_further(source, work, how);
        } else if how.active {
            return;
        }
        if how.nonnegative {
            let unusable = work.slots_mut().filter(|(_, slot)| slot.score == UNUSABLE);
            unusable.for_each(|(_, slot)| slot.score = 1);
        }
        *table = Some(work);
    }

    fn gather_further(&self, source: RscId, table: Table, how: Gather) -> Table {
        let me = &self.rscs[source];
        let list = if how.this_with {
            &me.this_with
        } else {
            &me.with_this
        };
        let mut table = Some(table);
        for id in list {
            let colocation = &self.colocations[*id];
            if !how.this_with && !self.has_influence(*id, colocation.primary) {
                continue;
            }
            let ends = (colocation.dependent, colocation.primary);
            let other = if how.this_with { ends.1 } else { ends.0 };
            let how = Gather {
                factor: chained(how.factor, colocation.score),
                active: true,
                ..how
            };
            self.gather(other, &mut table, colocation.attribute.as_deref(), how);
        }
        table.unwrap_or_default()
    }

    fn add_wishes(&self, table: &mut Table, source: RscId, attribute: Option<&str>, how: Gather) {
        let attribute = attribute.unwrap_or("#uname");
        for (node, slot) in table.slots_mut() {
            let wish = self.best_alike(source, node, attribute);
            if (how.factor < 0.0 && wish < 0) || slot.score == UNUSABLE {
                continue;
            }
            let mut delta = rounded(how.factor * as_f32(wish));
            if delta == 0 && wish != 0 {
                delta = i32::from(how.factor > 0.0) - i32::from(how.factor < 0.0);
            }
            let sum = score::add(delta, slot.score);
            if how.nonnegative && sum < 0 && slot.score > 0 {
                slot.score = UNUSABLE;
            } else if !(how.nonnegative && sum < 0 && slot.score == 0) {
                slot.score = sum;
            }
        }
    }

    /// The best score of a resource on any node that is alike.
    fn best_alike(&self, rsc: RscId, node: NodeId, attribute: &str) -> i32 {
        let allowed = &self.rscs[rsc].allowed;
        if attribute == "#uname" {
            let fine = self.nodes[node].is_available();
            let score = allowed.score(node).filter(|_| fine);
            return score.unwrap_or(-INFINITY).max(-INFINITY);
        }
        let wanted = self.attribute(node, attribute);
        let alike = allowed.slots().filter(|(other, _)| {
            self.nodes[*other].is_available() && same(self.attribute(*other, attribute), wanted)
        });
        let best = alike.map(|(_, slot)| slot.score).max();
        best.unwrap_or(-INFINITY).max(-INFINITY)
    }
}

/// How much a wish counts that comes over one more colocation.
fn chained(factor: f32, score: i32) -> f32 {
    let sign = if factor < 0.0 { -1.0 } else { 1.0 };
    sign * as_f32(score) / as_f32(INFINITY)
}

fn same(one: Option<&str>, other: Option<&str>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
        (None, None) => true,
        _ => false,
    }
}
