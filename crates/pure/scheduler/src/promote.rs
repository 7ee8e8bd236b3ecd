//! Which instances of a promotable clone are promoted.
//!
//! Not for where they run: see `clones`.

use std::cmp::Ordering;

use crate::account::Cause;
use crate::colocate::{Gather, fraction};
use crate::failures::strip;
use crate::role::Role;
use crate::score::{self, INFINITY};
use crate::settings::NoQuorum;
use crate::sort::merge_sort;
use crate::work::{NodeId, Place, RscId, Work};

impl Work<'_> {
    /// Instances prefer the nodes where they may be promoted.
    pub(crate) fn add_promotion_scores(&mut self, clone: RscId) {
        if std::mem::replace(&mut self.rscs[clone].promotion_added, true) {
            return;
        }
        for child in self.rscs[clone].children.clone() {
            for node in self.rscs[child].allowed.nodes() {
                self.add_promotion_score(child, node);
            }
        }
        self.note(|_| Cause::new("score of its agent for a promotion"));
    }

    fn add_promotion_score(&mut self, child: RscId, node: NodeId) {
        if !self.nodes[node].is_available() {
            return;
        }
        let score = self.promotion_score(child, node).unwrap_or(0);
        let me = &mut self.rscs[child];
        if let Some(slot) = me.allowed.get_mut(node)
            && score > 0
        {
            slot.score = score::add(slot.score, score);
        }
        me.priority = me.priority.max(score);
    }

    /// What the agent on a node thinks of a promotion there.
    fn promotion_score(&self, rsc: RscId, node: NodeId) -> Option<i32> {
        if !self.rscs[rsc].children.is_empty() {
            let members = self.rscs[rsc].children.iter();
            let scores = members.filter_map(|child| self.promotion_score(*child, node));
            return scores.reduce(score::add);
        }
        if !self.score_applies(rsc, node) {
            return None;
        }
        let me = &self.rscs[rsc];
        let name = me.history_name.as_ref().unwrap_or(&me.id);
        let value = self.attribute(node, &format!("master-{name}"));
        let value = value.or_else(|| {
            if me.spec.unique {
                return None;
            }
            self.attribute(node, &format!("master-{}", strip(name)))
        });
        value.map(score::parse)
    }

    /// Whether the agent's opinion is about this instance, and current: the instance is there, or
    /// was looked for there, or nothing is known of it anywhere.
    fn score_applies(&self, rsc: RscId, node: NodeId) -> bool {
        let me = &self.rscs[rsc];
        let known = me.known_on.contains(&node) || me.running_on.contains(&node);
        let unseen = me.known_on.is_empty() && me.running_on.is_empty();
        let current = known || unseen || (!me.spec.unique && self.is_free_there(rsc, node));
        current && me.allowed.score(node).is_some_and(|score| score >= 0)
    }

    /// Whether a node was asked about an anonymous clone and has no instance of it.
    fn is_free_there(&self, rsc: RscId, node: NodeId) -> bool {
        let base = strip(&self.rscs[rsc].id);
        let siblings = &self.rscs[self.top_of(rsc)].children;
        let any = |known: &dyn Fn(RscId) -> bool| {
            let mut siblings = siblings.iter();
            siblings.any(|child| self.member(*child, base).is_some_and(known))
        };
        !any(&|rsc| self.rscs[rsc].running_on.contains(&node))
            && any(&|rsc| self.rscs[rsc].known_on.contains(&node))
    }

    /// Decides which instances are promoted.
    pub(crate) fn set_promotion_roles(&mut self, clone: RscId) {
        for (_, slot) in self.rscs[clone].allowed.slots_mut() {
            slot.count = 0;
        }
        for child in self.rscs[clone].children.clone() {
            self.set_promotion_priority(clone, child);
        }
        self.sort_for_promotion(clone);
        let limit = self.rscs[clone].spec.promoted_max;
        let mut promoted = 0;
        for child in self.rscs[clone].children.clone() {
            let wanted =
                self.rscs[child].sort_index >= 0 && (promoted < limit || !self.rscs[clone].managed);
            let node = if wanted {
                self.node_to_promote(clone, child)
            } else {
                None
            };
            let Some(node) = node else {
                self.leave_unpromoted(child);
                continue;
            };
            if self.must_not_rise(child) {
                self.leave_unpromoted(child);
                continue;
            }
            if let Some(slot) = self.rscs[clone].allowed.get_mut(node) {
                slot.count += 1;
            }
            self.set_next_role(child, Role::Promoted);
            promoted += 1;
        }
    }

    fn must_not_rise(&self, child: RscId) -> bool {
        self.rscs[child].role < Role::Promoted
            && !self.input.have_quorum
            && self.options.no_quorum == NoQuorum::Freeze
    }

    fn leave_unpromoted(&mut self, rsc: RscId) {
        let members = self.rscs[rsc].children.clone();
        if members.is_empty() {
            let role = if self.rscs[rsc].assigned.is_some() {
                Role::Unpromoted
            } else {
                Role::Stopped
            };
            self.rscs[rsc].next_role = role;
            return;
        }
        for member in members {
            self.leave_unpromoted(member);
        }
        if self.rscs[rsc].next_role != Role::Stopped {
            self.rscs[rsc].next_role = Role::Unpromoted;
        }
    }

    fn set_next_role(&mut self, rsc: RscId, role: Role) {
        if self.rscs[rsc].next_role == Role::Unknown {
            self.rscs[rsc].next_role = role;
        }
        for member in self.rscs[rsc].children.clone() {
            self.set_next_role(member, role);
        }
    }

    fn set_current_role(&mut self, rsc: RscId) {
        if self.rscs[rsc].role == Role::Started {
            self.rscs[rsc].role = Role::Unpromoted;
        }
        for member in self.rscs[rsc].children.clone() {
            self.set_current_role(member);
        }
    }

    fn set_promotion_priority(&mut self, clone: RscId, child: RscId) {
        if self.role_of(child, true) == Role::Started {
            self.set_current_role(child);
        }
        let Some(node) = self.location(child, Place::Assigned) else {
            return;
        };
        let priority = match self.role_of(child, false) {
            Role::Unknown | Role::Started => self.promotion_score(child, node).unwrap_or(-1),
            Role::Unpromoted | Role::Stopped => -INFINITY,
            Role::Promoted => self.rscs[child].priority,
        };
        self.rscs[child].priority = priority;
        let own = self.rscs[child].locations.clone();
        let parents = self.rscs[clone].locations.clone();
        for index in own.into_iter().chain(parents) {
            self.add_role_location(child, index, node);
        }
        for id in self.rscs[child].this_with.clone() {
            let primary = self.colocations[id].primary;
            self.apply_colocation(child, primary, id);
        }
        let promoted = self.role_of(child, false) == Role::Promoted;
        let me = &mut self.rscs[child];
        me.sort_index = if promoted { INFINITY } else { me.priority };
    }

    fn add_role_location(&mut self, child: RscId, index: usize, node: NodeId) {
        let Some(location) = self.locations.get(index) else {
            return;
        };
        if location.role != Role::Promoted {
            return;
        }
        let scores = location.nodes.iter().filter(|(there, _)| *there == node);
        let scores: Vec<i32> = scores.map(|(_, score)| *score).collect();
        for score in scores {
            let me = &mut self.rscs[child];
            me.priority = score::add(me.priority, score);
        }
    }

    fn sort_for_promotion(&mut self, clone: RscId) {
        if std::mem::replace(&mut self.rscs[clone].promotion_sorted, true) {
            return;
        }
        self.rscs[clone].merging.set(true);
        for child in self.rscs[clone].children.clone() {
            let index = self.rscs[child].sort_index;
            if let Some(node) = self.location(child, Place::Assigned)
                && index >= 0
                && let Some(slot) = self.rscs[clone].allowed.get_mut(node)
            {
                slot.score = score::add(slot.score, index);
            }
        }
        self.add_promotion_wishes(clone);
        if self.rscs[clone].no_promotion_ticket {
            self.locate(clone, None, -INFINITY, false);
        }
        for child in self.rscs[clone].children.clone() {
            let node = self.location(child, Place::Assigned);
            let unmanaged = !self.rscs[child].managed;
            if unmanaged && self.rscs[child].next_role == Role::Promoted {
                self.rscs[child].sort_index = INFINITY;
            } else if let Some(node) = node
                && self.rscs[child].sort_index >= 0
                && let Some(score) = self.rscs[clone].allowed.score(node)
            {
                self.rscs[child].sort_index = score;
            }
        }
        let mut children = self.rscs[clone].children.clone();
        merge_sort(&mut children, &mut |one, other| {
            self.compare_for_promotion(one, other)
        });
        self.rscs[clone].children = children;
        self.rscs[clone].merging.set(false);
    }

    fn add_promotion_wishes(&mut self, clone: RscId) {
        for id in self.rscs[clone].this_with.clone() {
            let colocation = self.colocations[id].clone();
            if colocation.dependent_role != Role::Promoted {
                continue;
            }
            let how = Gather {
                factor: fraction(colocation.score),
                nonnegative: false,
                active: colocation.score < INFINITY,
                this_with: false,
            };
            self.gather_into(
                clone,
                colocation.primary,
                colocation.attribute.as_deref(),
                how,
            );
        }
        for id in self.rscs[clone].with_this.clone() {
            let colocation = self.colocations[id].clone();
            if colocation.primary_role != Role::Promoted || !self.has_influence(id, clone) {
                continue;
            }
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
        }
    }

    fn compare_for_promotion(&self, one: RscId, other: RscId) -> Ordering {
        let (a, b) = (&self.rscs[one], &self.rscs[other]);
        let role = |rsc: RscId| self.role_of(rsc, true);
        b.sort_index
            .cmp(&a.sort_index)
            .then_with(|| role(other).cmp(&role(one)))
            .then_with(|| self.compare_instances(one, other))
    }

    /// The node where an instance may be promoted.
    fn node_to_promote(&self, clone: RscId, child: RscId) -> Option<NodeId> {
        for member in &self.rscs[child].children {
            self.node_to_promote(clone, *member)?;
        }
        let node = self.location(child, Place::Assigned)?;
        if !self.rscs[child].managed {
            return Some(node).filter(|_| self.role_of(child, true) == Role::Promoted);
        }
        if self.rscs[child].priority < 0 || !self.nodes[node].is_available() {
            return None;
        }
        let slot = self.rscs[clone].allowed.get(node)?;
        let free = slot.count < self.rscs[clone].spec.promoted_node_max;
        (free || !self.rscs[clone].managed).then_some(node)
    }
}
