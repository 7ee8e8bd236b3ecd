//! A cluster that only observes: it decides as ever, says in the journal what it would do, and does nothing.
//!
//! Nodes are lost and come back as ever, for that is how things are. What runs under this cluster's own leases
//! goes on, and still ends with them: the guards are in the kernel, and are no decision. Where each group would
//! be is in the state, so that each event is told once, whoever leads.

use crate::{core::Core, deciding::facts};
use standfast_model::{
    copies::node_of,
    id::{GroupId, NodeId, ResourceId},
};
use standfast_schedule::{Placement, place};
use std::collections::BTreeMap;

impl Core {
    /// Whether this node's drivers may have to do with a resource. While observing, only with what this cluster
    /// may be running here itself: what else there is belongs to somebody else, and is not even looked at,
    /// because a look prepares guards.
    pub(crate) fn touches(&self, resource: &ResourceId) -> bool {
        let ours = || {
            let holders = self.state.may_hold.get(resource);
            holders.is_some_and(|holders| holders.contains(&self.node))
        };
        // What another node's copy looks like here may be our own.
        let foreign = node_of(resource.as_str()).is_some_and(|node| node != self.node.as_str());
        (!self.state.config.observes() && !foreign) || ours()
    }

    /// What would change now, if this cluster acted; none when nothing would, or when it acts.
    pub(crate) fn observe(&self, online: &dyn Fn(&NodeId) -> bool) -> Option<Observed> {
        if !self.state.config.observes() {
            return None;
        }
        let before = &self.state.observed;
        let mut facts = facts(&self.state, &self.state.config, online);
        facts.current = before
            .iter()
            .filter_map(|(group, node)| Some((group.clone(), node.clone()?)))
            .collect();
        let mut observed = Observed::default();
        for (group, placement) in place(&facts) {
            let old = before.get(&group).cloned().flatten();
            observed.compare(&group, old.as_ref(), &placement, online);
            observed.places.insert(group, placement.node);
        }
        (observed.places != *before).then_some(observed)
    }
}

/// What an observing cluster would do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observed {
    /// Where each group would be.
    pub(crate) places: BTreeMap<GroupId, Option<NodeId>>,
    /// What would happen, as parts of a sentence.
    pub(crate) parts: Vec<String>,
    /// Why.
    pub(crate) evidence: Vec<String>,
}

impl Observed {
    fn compare(
        &mut self,
        group: &GroupId,
        old: Option<&NodeId>,
        placement: &Placement,
        online: &dyn Fn(&NodeId) -> bool,
    ) {
        let new = placement.node.as_ref();
        let part = match (old, new) {
            (old, new) if old == new => return,
            (Some(from), Some(to)) if online(from) => {
                format!("{group} would move from {from} to {to}")
            }
            (Some(from), Some(to)) => {
                format!("a failover would happen now: {group} would move from {from} to {to}")
            }
            (None, Some(to)) => format!("{group} would start on {to}"),
            (Some(from), None) => format!("{group} would run nowhere, and no more on {from}"),
            (None, None) => return,
        };
        self.parts
            .push(format!("{part} (only observed: nothing is done)"));
        self.evidence.extend(placement.reasons.iter().map(|reason| {
            let about = reason.node.as_ref();
            let about = about.map_or_else(String::new, |node| format!("{node}: "));
            format!("{group}: {about}{}", reason.text)
        }));
    }
}
