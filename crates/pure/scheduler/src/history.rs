//! From what was recorded to what is: which instance an entry is about, and its state after it.
//!
//! Not for single results: see `result`.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::account::Cause;
use crate::failures::{OnFail, strip};
use crate::input::{History, Kind, Record, Resource};
use crate::role::{Role, Task};
use crate::score::INFINITY;
use crate::settings::{MultipleActive, Requires};
use crate::sort::merge_sort;
use crate::work::{NodeId, Place, RscId, Table, Work, flag};

/// The order of two results, as far as it can be told.
pub(crate) fn compare(one: &Record, other: &Record, same_node: bool) -> Ordering {
    let same_node = match (&one.on_node, &other.on_node) {
        (Some(a), Some(b)) => a.eq_ignore_ascii_case(b),
        _ => same_node,
    };
    if same_node && one.id == other.id {
        return Ordering::Equal;
    }
    match (one.call, other.call) {
        (-1, -1) => Ordering::Equal,
        (a, b) if same_node && a >= 0 && a < b => Ordering::Less,
        (a, b) if same_node && b >= 0 && a > b => Ordering::Greater,
        (a, b) if a >= 0 && b >= 0 => {
            let (x, y) = (one.changed.unwrap_or(-1), other.changed.unwrap_or(-1));
            if (x >= 0 && x < y) || (y >= 0 && x > y) {
                x.cmp(&y)
            } else {
                Ordering::Equal
            }
        }
        _ => compare_pending(one, other),
    }
}

fn compare_pending(one: &Record, other: &Record) -> Ordering {
    let (Some((a, by_a)), Some((b, by_b))) = (&one.transition, &other.transition) else {
        return Ordering::Equal;
    };
    if by_a != by_b || a == b {
        return match (one.call, other.call) {
            (_, -1) => Ordering::Less,
            (-1, _) => Ordering::Greater,
            _ => Ordering::Equal,
        };
    }
    if (*a >= 0 && a < b) || *b == -1 {
        Ordering::Less
    } else {
        Ordering::Greater
    }
}

/// The entries of a history in their order.
pub(crate) fn sorted(history: &History) -> Vec<&Record> {
    let mut records: Vec<&Record> = history.operations.iter().rev().collect();
    merge_sort(&mut records, &mut |one, other| compare(one, other, true));
    records
}

impl Work<'_> {
    pub(crate) fn unpack_history(&mut self, node: NodeId, history: &History) {
        let nothing = history.operations.is_empty();
        if nothing && !self.options.shutdown_lock {
            return;
        }
        let found = self.resource_of(node, &history.resource);
        if nothing && found.is_none() {
            return;
        }
        let rsc = found.unwrap_or_else(|| self.add_orphan(history));
        self.unpack_shutdown_lock(rsc, node, history);
        let before = std::mem::replace(&mut self.rscs[rsc].role, Role::Unknown);
        let mut seen = Seen::default();
        for record in sorted(history) {
            self.unpack_record(rsc, node, record, &mut seen);
        }
        self.settle(rsc, node, seen.on_fail);
        if let Some(target) = self.rscs[rsc].spec.target_role {
            let next = self.rscs[rsc].next_role;
            if next == Role::Unknown || target < next {
                self.rscs[rsc].next_role = target;
            }
        }
        if before > self.rscs[rsc].role {
            self.rscs[rsc].role = before;
        }
    }

    /// A resource of a node that was shut down cleanly waits for it, for as long as is configured.
    fn unpack_shutdown_lock(&mut self, rsc: RscId, node: NodeId, history: &History) {
        let limit = self.options.shutdown_lock_limit_s;
        let holds = |since: i64| limit == 0 || self.input.now <= since.saturating_add(limit);
        if self.options.shutdown_lock && history.locked.is_some_and(holds) {
            self.rscs[rsc].lock_node = Some(node);
        }
    }

    /// The resource that a node knows by a name.
    fn resource_of(&mut self, node: NodeId, name: &str) -> Option<RscId> {
        let (rsc, top) = match self.find(name) {
            Some(rsc) if !self.is_primitive(rsc) => return None,
            Some(rsc) => (rsc, self.top_of(rsc)),
            None => {
                let first = self.find(&format!("{}:0", strip(name)))?;
                if self.rscs[first].spec.unique {
                    return None;
                }
                (first, self.top_of(first))
            }
        };
        let rsc = if self.is_anonymous_clone(top) {
            self.instance_for(node, top, strip(name))
        } else {
            rsc
        };
        let me = &self.rscs[rsc];
        if me.id != name && me.history_name.as_deref() != Some(name) {
            self.call(rsc, name);
        }
        Some(rsc)
    }

    /// The instance of an anonymous clone that a node's history is about: the one that is there,
    /// else a free one, else one too many.
    fn instance_for(&mut self, node: NodeId, clone: RscId, base: &str) -> RscId {
        let (mut found, mut free, mut skip_free) = (None, None, false);
        for child in self.rscs[clone].children.clone() {
            if found.is_some() {
                break;
            }
            let places = self.locations_of(child, Place::CurrentOrPending);
            let member = self.member(child, base);
            if let Some(place) = places.first() {
                let here = member.filter(|_| *place == node);
                let taken = here.is_some_and(|rsc| !self.rscs[rsc].running_on.is_empty());
                skip_free |= taken;
                found = here.filter(|_| !taken);
            } else if !skip_free && free.is_none() && !self.rscs[child].blocked {
                let fits = |rsc: &RscId| self.rscs[*rsc].pending_node.is_none_or(|at| at == node);
                free = member.filter(fits);
            }
        }
        let found = found.or(free.filter(|_| !skip_free));
        let usable = found.filter(|rsc| {
            let there = &self.nodes[node];
            self.rscs[*rsc].spec.requires == Requires::Fencing
                || (there.online && !there.unclean)
                || self.is_guest(node)
                || self.rscs[clone].spec.clone_max == self.nodes.len()
        });
        usable.unwrap_or_else(|| {
            let extra = self.add_instance(clone);
            self.member(extra, base).unwrap_or(extra)
        })
    }

    /// The primitive of an instance that is made from a configured one.
    pub(crate) fn member(&self, instance: RscId, base: &str) -> Option<RscId> {
        let me = &self.rscs[instance];
        if self.is_primitive(instance) {
            return (me.spec.config.id == base || me.id == base).then_some(instance);
        }
        let mut members = me.children.iter();
        members.find_map(|child| self.member(*child, base))
    }

    fn add_orphan(&mut self, history: &History) -> RscId {
        let config = Resource {
            id: history.resource.clone(),
            kind: Kind::Primitive,
            agent: history.agent.clone(),
            meta: self.input.orphan_meta.clone(),
            ..Resource::default()
        };
        let spec = self.spec_for(Cow::Owned(config));
        let rsc = self.add_rsc(&spec, None, None);
        self.top.push(rsc);
        self.rscs[rsc].orphan = true;
        if self.options.stop_orphans {
            self.locate(rsc, None, -INFINITY, false);
        } else {
            self.rscs[rsc].managed = false;
        }
        rsc
    }

    /// What the history of a resource on a node comes down to.
    fn settle(&mut self, rsc: RscId, node: NodeId, on_fail: OnFail) {
        self.note_known(rsc, node);
        let there = &self.nodes[node];
        let lost = !there.online && !there.maintenance;
        if self.rscs[rsc].role > Role::Stopped && lost && self.rscs[rsc].managed {
            if self.is_guest(node) {
                self.rscs[rsc].failed = true;
                self.rscs[rsc].stop_if_failed = true;
                self.fence_node(node);
            } else if self.options.fencing {
                let connection = self.nodes[node].remote_resource;
                let fine = connection.is_some_and(|rsc| !self.rscs[rsc].failed);
                self.nodes[node].unseen |= self.is_remote(node) && fine;
                self.fence_node(node);
            }
        }
        let on_fail = if self.nodes[node].unclean {
            OnFail::Ignore
        } else {
            on_fail
        };
        self.react(rsc, node, on_fail);
        if self.rscs[rsc].failed
            && self.rscs[rsc].spec.remote
            && let Some(behind) = self.node_named(&self.rscs[rsc].id.clone())
            && self.nodes[behind].unclean
        {
            self.nodes[behind].unseen = false;
        }
        self.settle_running(rsc, node, on_fail);
        let me = &mut self.rscs[rsc];
        let stopped_at_source = me.partial.is_some_and(|(source, _)| source == node);
        if me.role == Role::Stopped && stopped_at_source && !me.running_on.is_empty() {
            me.role = Role::Started;
        }
    }

    fn note_known(&mut self, rsc: RscId, node: NodeId) {
        if self.rscs[rsc].role == Role::Unknown {
            return;
        }
        let mut at = Some(rsc);
        while let Some(rsc) = at {
            let me = &mut self.rscs[rsc];
            if !me.known_on.contains(&node) {
                me.known_on.push(node);
            }
            at = me.parent.filter(|_| !me.spec.unique);
        }
    }

    fn react(&mut self, rsc: RscId, node: NodeId, on_fail: OnFail) {
        let active = !matches!(self.rscs[rsc].role, Role::Stopped | Role::Unknown);
        match on_fail {
            OnFail::Ignore => {}
            OnFail::Demote => {
                self.rscs[rsc].failed = true;
                self.act(rsc, Task::Demote, Some(node), false);
            }
            OnFail::Fence => self.fence_node(node),
            OnFail::Standby => self.nodes[node].standby = true,
            OnFail::Block => {
                self.rscs[rsc].managed = false;
                self.rscs[rsc].blocked = true;
            }
            OnFail::Migrate => {
                self.locate(rsc, Some(node), -INFINITY, false);
                self.note(|_| Cause::new("a failure here rules the node out"));
            }
            OnFail::Stop => self.rscs[rsc].next_role = Role::Stopped,
            OnFail::Recover => {
                if active {
                    self.mark_failed(rsc);
                    self.act(rsc, Task::Stop, Some(node), false);
                }
            }
            OnFail::RestartContainer => {
                self.mark_failed(rsc);
                if let Some(container) = self.rscs[rsc].container {
                    self.act(container, Task::Stop, Some(node), false);
                } else if active {
                    self.act(rsc, Task::Stop, Some(node), false);
                }
            }
            OnFail::ResetRemote => self.reset_remote(rsc, node),
        }
    }

    fn mark_failed(&mut self, rsc: RscId) {
        self.rscs[rsc].failed = true;
        self.rscs[rsc].stop_if_failed = true;
    }

    fn reset_remote(&mut self, rsc: RscId, node: NodeId) {
        self.mark_failed(rsc);
        if self.options.fencing
            && let Some(behind) = self.node_named(&self.rscs[rsc].id.clone())
            && self.is_remote(behind)
            && !self.nodes[behind].remote_was_fenced
        {
            self.fence_node(behind);
        }
        if self.rscs[rsc].role > Role::Stopped {
            self.act(rsc, Task::Stop, Some(node), false);
        }
    }

    fn settle_running(&mut self, rsc: RscId, node: NodeId, on_fail: OnFail) {
        if !matches!(self.rscs[rsc].role, Role::Stopped | Role::Unknown) {
            self.add_running(rsc, node);
            self.rscs[rsc].failed |= on_fail != OnFail::Ignore;
            self.rscs[rsc].stop_if_failed |=
                !matches!(on_fail, OnFail::Ignore | OnFail::Demote | OnFail::Block);
            return;
        }
        let numbered = |name: &String| name.contains(':');
        if self.rscs[rsc].history_name.as_ref().is_some_and(numbered) {
            self.rscs[rsc].history_name = None;
            return;
        }
        for stop in self.actions_of(rsc, Task::Stop, Some(node)) {
            self.actions[stop].flags |= flag::OPTIONAL;
        }
    }

    /// Notes that a resource is active on a node, with what follows if it is active elsewhere too.
    pub(crate) fn add_running(&mut self, rsc: RscId, node: NodeId) {
        if self.rscs[rsc].running_on.contains(&node) {
            return;
        }
        self.rscs[rsc].running_on.push(node);
        if self.is_primitive(rsc) && self.nodes[node].maintenance {
            self.rscs[rsc].managed = false;
            self.rscs[rsc].maintenance = true;
        }
        if !self.rscs[rsc].managed {
            self.locate(rsc, Some(node), INFINITY, false);
            self.note(|_| Cause::new("it runs here and is not managed"));
            let mut parent = self.rscs[rsc].parent;
            while let Some(at) = parent.filter(|_| self.nodes[node].online) {
                self.rscs[at].running_on.push(node);
                parent = self.rscs[at].parent;
            }
            return;
        }
        if self.is_primitive(rsc) && self.active_count(rsc) > 1 {
            self.limit_to_one(rsc);
            self.note(|_| Cause::new("it is active more than once (multiple-active)"));
        }
        if let Some(parent) = self.rscs[rsc].parent {
            self.add_running(parent, node);
        }
    }

    fn active_count(&self, rsc: RscId) -> usize {
        let (_, all, clean) = self.active(rsc);
        if self.rscs[rsc].spec.requires == Requires::Fencing {
            all
        } else {
            clean
        }
    }

    fn limit_to_one(&mut self, rsc: RscId) {
        match self.rscs[rsc].spec.multiple_active {
            MultipleActive::StopOnly => self.ban_everywhere(rsc),
            MultipleActive::Block => {
                let block = |work: &mut Self, rsc: RscId| {
                    work.rscs[rsc].managed = false;
                    work.rscs[rsc].blocked = true;
                };
                block(self, rsc);
                let parent = self.rscs[rsc].parent.filter(|parent| {
                    let spec = &self.rscs[*parent].spec;
                    spec.kind == Kind::Group && spec.multiple_active == MultipleActive::Block
                });
                let siblings = parent.map(|parent| self.rscs[parent].children.clone());
                for sibling in siblings.unwrap_or_default() {
                    block(self, sibling);
                }
            }
            MultipleActive::StopStart | MultipleActive::StopUnexpected => {}
        }
    }

    /// Forgets a resource's scores: it may run nowhere.
    pub(crate) fn ban_everywhere(&mut self, rsc: RscId) {
        let mut nowhere = Table::default();
        for node in self.nodes.ids() {
            nowhere.entry(node, -INFINITY);
        }
        self.rscs[rsc].allowed = nowhere;
    }
}

/// What the records of one history have said so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) on_fail: OnFail,
    /// Key of the last failure.
    pub(crate) last_failure: Option<String>,
}
