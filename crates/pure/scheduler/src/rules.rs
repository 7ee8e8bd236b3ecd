//! What a relation between two actions does to them.
//!
//! Not for finding the actions that are meant: see `relate` and `collective`.

use crate::role::{Role, Task};
use crate::work::{ActionId, Link, NodeId, Work, flag, order};

/// The first action changed.
pub(crate) const FIRST: u32 = 1;
/// The second action changed.
pub(crate) const THEN: u32 = 2;

/// One relation in one aspect.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Relation {
    pub(crate) first: ActionId,
    pub(crate) then: ActionId,
    pub(crate) node: Option<NodeId>,
    /// Flags of the first action as this relation sees them.
    pub(crate) flags: u32,
    /// The flags that may change.
    pub(crate) filter: u32,
    pub(crate) kind: u32,
}

impl Work<'_> {
    /// Applies all aspects of a link.
    pub(crate) fn apply_link(
        &mut self,
        link: Link,
        then: ActionId,
        first_flags: u32,
        then_flags: u32,
    ) -> u32 {
        let first = link.action;
        let mut kind = link.flags;
        let mut node = self.actions[then].node;
        if kind & order::IMPLIES_THEN_ON_NODE != 0 {
            kind = (kind & !order::IMPLIES_THEN_ON_NODE) | order::IMPLIES_THEN;
            node = self.actions[first].node;
        }
        let base = Relation {
            first,
            then,
            node,
            flags: first_flags,
            filter: 0,
            kind: 0,
        };
        let mut changed = 0;
        let aspects = [
            (order::IMPLIES_THEN, flag::OPTIONAL),
            (order::RESTART, flag::OPTIONAL | flag::RUNNABLE),
            (order::IMPLIES_FIRST, flag::OPTIONAL),
            (order::PROMOTED_IMPLIES_FIRST, flag::OPTIONAL),
            (order::ONE_OR_MORE, flag::RUNNABLE),
            (order::RUNNABLE_LEFT, flag::RUNNABLE),
            (order::IMPLIES_FIRST_MIGRATABLE, flag::OPTIONAL),
            (order::PSEUDO_LEFT, flag::OPTIONAL),
            (order::OPTIONAL, flag::RUNNABLE),
            (order::ASYMMETRICAL, flag::RUNNABLE),
        ];
        for (aspect, filter) in aspects {
            if kind & aspect == 0 {
                continue;
            }
            let mut relation = Relation {
                kind: aspect,
                filter,
                ..base
            };
            if aspect == order::IMPLIES_THEN {
                relation.flags = first_flags & flag::OPTIONAL;
            }
            changed |= self.apply_aspect(relation);
        }
        self.note_printed(kind, (first, first_flags), (then, then_flags));
        changed | self.block_after_stuck_stop(kind, first, then)
    }

    fn apply_aspect(&mut self, relation: Relation) -> u32 {
        let (first, then) = (relation.first, relation.then);
        if relation.kind == order::IMPLIES_FIRST {
            return match self.actions[first].rsc {
                Some(rsc) => self.apply_rule_to_first(rsc, relation),
                None => 0,
            };
        }
        if let Some(rsc) = self.actions[then].rsc {
            return self.apply_rule(rsc, relation);
        }
        let first_runnable = relation.flags & flag::RUNNABLE != 0;
        match relation.kind {
            order::IMPLIES_THEN => {
                let needed = relation.flags & flag::OPTIONAL == 0;
                if needed {
                    self.clear(then, flag::OPTIONAL, THEN)
                } else {
                    0
                }
            }
            order::ONE_OR_MORE if first_runnable => {
                let action = &mut self.actions[then];
                action.runnable_before += 1;
                let enough = action.runnable_before >= action.required_before;
                if enough && !action.is(flag::RUNNABLE) {
                    action.flags |= flag::RUNNABLE;
                    return THEN;
                }
                0
            }
            order::RUNNABLE_LEFT if !first_runnable => self.clear(then, flag::RUNNABLE, THEN),
            _ => 0,
        }
    }

    /// A relation that works backwards goes by the kind of the first action's resource.
    fn apply_rule_to_first(&mut self, rsc: crate::work::RscId, relation: Relation) -> u32 {
        if self.actions[relation.then].rsc.is_some() {
            self.apply_rule(rsc, relation)
        } else {
            self.apply_plain(relation)
        }
    }

    fn clear(&mut self, action: ActionId, flags: u32, which: u32) -> u32 {
        let before = self.actions[action].flags;
        self.actions[action].flags &= !flags;
        if self.actions[action].flags == before {
            0
        } else {
            which
        }
    }

    fn note_printed(&mut self, kind: u32, first: (ActionId, u32), then: (ActionId, u32)) {
        let happens = first.1 & flag::RUNNABLE != 0 && first.1 & flag::OPTIONAL == 0;
        if kind & order::PRINTED_THEN != 0 && happens {
            self.actions[then.0].flags |= flag::PRINT;
        }
        if kind & order::PRINTED_FIRST != 0 && then.1 & flag::OPTIONAL == 0 {
            self.actions[first.0].flags |= flag::PRINT;
        }
    }

    /// Nothing follows the stop of something that is blocked and not managed.
    fn block_after_stuck_stop(&mut self, kind: u32, first: ActionId, then: ActionId) -> u32 {
        let strong = order::IMPLIES_THEN | order::IMPLIES_FIRST | order::RESTART;
        let action = &self.actions[first];
        let stuck = action.task == Task::Stop
            && !action.is(flag::RUNNABLE)
            && action
                .rsc
                .is_some_and(|rsc| !self.rscs[rsc].managed && self.rscs[rsc].blocked);
        if kind & strong != 0 && stuck {
            return self.clear(then, flag::RUNNABLE, THEN);
        }
        0
    }

    /// The effect on the two actions themselves.
    pub(crate) fn apply_plain(&mut self, relation: Relation) -> u32 {
        let Relation {
            first,
            then,
            flags,
            filter,
            kind,
            ..
        } = relation;
        let needed = |flags: u32| flags & flag::OPTIONAL == 0;
        let mut changed = 0;
        match kind {
            order::ASYMMETRICAL => changed |= self.apply_asymmetric(first, then),
            order::IMPLIES_FIRST if !self.actions[then].is(flag::OPTIONAL) => {
                if filter & flag::OPTIONAL != 0 {
                    changed |= self.clear(first, flag::OPTIONAL, FIRST);
                }
                changed |= self.lose_migratable(first, then, flags);
            }
            order::PROMOTED_IMPLIES_FIRST => {
                let promoted = self.actions[then]
                    .rsc
                    .is_some_and(|rsc| self.rscs[rsc].role == Role::Promoted);
                if promoted && !self.actions[then].is(flag::OPTIONAL) {
                    changed |= self.clear(first, flag::OPTIONAL, FIRST);
                    changed |= self.lose_migratable(first, then, flags);
                }
            }
            order::IMPLIES_FIRST_MIGRATABLE => changed |= self.apply_migratable(first, then),
            order::PSEUDO_LEFT if !self.actions[first].is(flag::RUNNABLE) => {
                self.actions[then].flags &= !flag::MIGRATABLE;
                changed |= self.clear(then, flag::PSEUDO, THEN);
            }
            order::RUNNABLE_LEFT
                if filter & flag::RUNNABLE != 0
                    && self.actions[then].is(flag::RUNNABLE)
                    && flags & flag::RUNNABLE == 0 =>
            {
                changed |= self.clear(then, flag::RUNNABLE | flag::MIGRATABLE, THEN);
            }
            order::IMPLIES_THEN
                if filter & flag::OPTIONAL != 0
                    && needed(flags)
                    && !self.actions[first].is(flag::MIGRATABLE) =>
            {
                changed |= self.clear(then, flag::OPTIONAL, THEN);
            }
            order::RESTART => changed |= self.apply_restart(first, then, filter),
            _ => {}
        }
        if changed & THEN != 0
            && let Some(rsc) = self.actions[then].rsc
            && self.rscs[rsc].parent.is_some()
        {
            self.update(then);
        }
        changed
    }

    fn lose_migratable(&mut self, first: ActionId, then: ActionId, flags: u32) -> u32 {
        if flags & flag::MIGRATABLE != 0 && !self.actions[then].is(flag::MIGRATABLE) {
            return self.clear(first, flag::MIGRATABLE, FIRST);
        }
        0
    }

    fn apply_asymmetric(&mut self, first: ActionId, then: ActionId) -> u32 {
        let (one, other) = (&self.actions[first], &self.actions[then]);
        let Some(rsc) = other.rsc else {
            return 0;
        };
        if one.is(flag::RUNNABLE) {
            return 0;
        }
        let me = &self.rscs[rsc];
        let stopped = me.role == Role::Stopped && other.task == Task::Stop;
        let up = me.role >= Role::Started
            && other.task == Task::Start
            && me.running_on.len() == 1
            && me.running_on.first().copied() == other.node;
        if other.is(flag::OPTIONAL) && (stopped || up) {
            return 0;
        }
        self.clear(then, flag::OPTIONAL | flag::RUNNABLE, THEN)
    }

    fn apply_migratable(&mut self, first: ActionId, then: ActionId) -> u32 {
        let mut changed = 0;
        if !self.actions[then].is(flag::MIGRATABLE | flag::RUNNABLE) {
            changed |= self.clear(first, flag::RUNNABLE, FIRST);
        }
        if !self.actions[then].is(flag::OPTIONAL) {
            changed |= self.clear(first, flag::OPTIONAL, FIRST);
        }
        changed
    }

    /// A stop before a start of the same resource: one calls for the other.
    fn apply_restart(&mut self, first: ActionId, then: ActionId, filter: u32) -> u32 {
        let other = &self.actions[then];
        let same = other.rsc.is_some() && other.rsc == self.actions[first].rsc;
        let managed = other.rsc.is_some_and(|rsc| self.rscs[rsc].managed);
        let stuck = filter & flag::RUNNABLE != 0 && !other.is(flag::RUNNABLE) && managed && same;
        let wanted = filter & flag::OPTIONAL != 0 && !other.is(flag::OPTIONAL);
        if !stuck && !wanted {
            return 0;
        }
        let mut changed = 0;
        if !other.is(flag::OPTIONAL) || self.actions[first].is(flag::RUNNABLE) {
            changed |= self.clear(first, flag::OPTIONAL, FIRST);
        }
        if !self.actions[then].is(flag::MIGRATABLE) {
            changed |= self.clear(first, flag::MIGRATABLE, FIRST);
        }
        let action = &self.actions[first];
        if !action.is(flag::OPTIONAL) && !action.is(flag::RUNNABLE) {
            changed |= self.clear(then, flag::RUNNABLE, THEN);
        }
        changed
    }
}
