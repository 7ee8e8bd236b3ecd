//! Orders about nodes and about the whole cluster: maintenance, and standby for a time. How they get into the state and out
//! of it, which are refused, and looking again when something is managed again.
//!
//! Not for what maintenance means: it is that of the configuration (`ClusterState::acted`), and nothing is started, stopped or
//! moved while it lasts.

use crate::{
    apply::{Entry, refuse},
    core::Core,
};
use standfast_model::{
    command::Change,
    effect::Effect,
    id::{GroupId, NodeId, ResourceId},
    order::{Given, Maintained, NodeMaintenance, Order, Standby},
    request::{Refusal, RefusalKind},
    state::{ClusterState, Phase},
    time::{Micros, Now},
};

/// So long the leader waits before it says again that a time is over.
const AGAIN: Micros = Micros::from_millis(1_000);

/// Takes in what was ordered about a node or about everything.
///
/// # Errors
/// There is no such node.
pub(crate) fn apply(
    state: &mut ClusterState,
    entry: &mut Entry,
    change: &Change,
) -> Result<(), Refusal> {
    let given = |by: &str| Given {
        by: by.to_owned(),
        index: entry.index,
        wall_ms: entry.wall_ms,
    };
    let text = if let Change::Maintain { what, on, by } = change {
        maintain(state, what, on.then(|| given(by)), by)?
    } else if let Change::Standby {
        node,
        lifetime_ms,
        by,
    } = change
    {
        exists(state, node)?;
        let given = given(by);
        let until_ms = lifetime_ms.map(|length| given.wall_ms.saturating_add(length));
        let known = state.nodes.entry(node.clone()).or_default();
        known.drained = true;
        known.standby = Some(Standby { given, until_ms });
        format!("{node} was drained by {by}")
    } else if let Change::StandbyOver { node, index } = change
        && let Some(by) = over(state, node, *index)
    {
        format!("{node} is no longer drained: the time that {by} gave is over")
    } else {
        return Ok(());
    };
    entry.write(state, "node", text, Vec::new());
    Ok(())
}

/// Ends a standby. Whose it was, if it still was that one.
fn over(state: &mut ClusterState, node: &NodeId, index: u64) -> Option<String> {
    let known = state.nodes.get_mut(node)?;
    let standby = known
        .standby
        .take_if(|standby| standby.given.index == index)?;
    known.drained = false;
    Some(standby.given.by)
}

fn exists(state: &ClusterState, node: &NodeId) -> Result<(), Refusal> {
    if state.config.nodes.contains_key(node) {
        return Ok(());
    }
    let text = format!("there is no node {node} any more");
    Err(refuse(RefusalKind::NoSuchItem, text))
}

/// Begins or ends a maintenance. What to write into the journal.
fn maintain(
    state: &mut ClusterState,
    what: &Maintained,
    given: Option<Given>,
    by: &str,
) -> Result<String, Refusal> {
    let verb = if given.is_some() { "began" } else { "ended" };
    match what {
        Maintained::Cluster => {
            // Who was first stays known.
            state.maintenance.cluster =
                given.map(|new| state.maintenance.cluster.take().unwrap_or(new));
            Ok(format!("{by} {verb} the maintenance of the cluster"))
        }
        Maintained::Node(node) => {
            let Some(given) = given else {
                state.maintenance.nodes.remove(node);
                return Ok(format!("{by} {verb} the maintenance of {node}"));
            };
            exists(state, node)?;
            let plan = state.plan.groups.iter();
            let here = plan.filter(|(_, given)| given.node.as_ref() == Some(node));
            let groups = here.map(|(group, _)| group.clone()).collect();
            let nodes = &mut state.maintenance.nodes;
            nodes
                .entry(node.clone())
                .or_insert(NodeMaintenance { given, groups });
            Ok(format!("{by} {verb} the maintenance of {node}"))
        }
    }
}

/// What the configuration has no more.
pub(crate) fn forget_removed(state: &mut ClusterState) {
    let config = &state.config;
    let nodes = &mut state.maintenance.nodes;
    nodes.retain(|node, _| config.nodes.contains_key(node));
    for node in nodes.values_mut() {
        node.groups
            .retain(|group| config.groups.contains_key(group));
    }
}

/// Why nothing new may come to a node.
pub(crate) fn barred(state: &ClusterState, node: &NodeId) -> Option<String> {
    let maintained = state.maintenance.nodes.get(node)?;
    let by = &maintained.given.by;
    Some(format!("{node} is in maintenance, as {by} ordered"))
}

impl Core {
    /// The command of a maintenance.
    ///
    /// # Errors
    /// Why it cannot be followed.
    pub(crate) fn maintain(
        &self,
        what: &Maintained,
        (on, by): (bool, &str),
    ) -> Result<Change, Refusal> {
        let maintenance = &self.state.maintenance;
        let (is_on, name) = match what {
            Maintained::Cluster => (maintenance.cluster.is_some(), String::from("the cluster")),
            Maintained::Node(node) => {
                self.check_node(node)?;
                (maintenance.nodes.contains_key(node), node.to_string())
            }
        };
        if is_on == on {
            let text = match (on, what, self.state.config.maintenance) {
                (true, ..) => format!("{name} is in maintenance already, by an order"),
                (false, Maintained::Cluster, true) => String::from(
                    "the cluster is in maintenance by its configuration: apply `maintenance = false` there",
                ),
                (false, ..) => format!("{name} is not in maintenance by an order"),
            };
            return Err(Self::refusal(RefusalKind::Exists, text));
        }
        if on && matches!(what, Maintained::Node(_)) && self.state.config.pair.is_some() {
            let text =
                "everything of a pair runs on its primary: `standfast cluster maintenance on`";
            return Err(Self::refusal(RefusalKind::Invalid, text));
        }
        Ok(Change::Maintain {
            what: what.clone(),
            on,
            by: by.to_owned(),
        })
    }

    /// The command of a standby.
    ///
    /// # Errors
    /// Why it cannot be followed.
    pub(crate) fn standby(
        &self,
        node: &NodeId,
        (lifetime_ms, by): (Option<u64>, &str),
    ) -> Result<Change, Refusal> {
        self.check_node(node)?;
        self.check_acts()?;
        Ok(Change::Standby {
            node: node.clone(),
            lifetime_ms,
            by: by.to_owned(),
        })
    }

    /// Ends what was ordered for a time, when that is over.
    pub(crate) fn end_standbys(&mut self, now: Now) {
        let wall_ms = self.wall_ms(now);
        let nodes = self.state.nodes.iter();
        let over = nodes.filter_map(|(node, known)| {
            let standby = known.standby.as_ref()?;
            let over = standby.until_ms.is_some_and(|until| until <= wall_ms);
            over.then(|| (node.clone(), standby.given.index))
        });
        let over: Vec<(NodeId, u64)> = over.collect();
        for (node, index) in over {
            let last = self.lead.as_ref().and_then(|lead| lead.order_ended);
            // Until it is applied, once is enough for a while.
            if last.is_some_and(|(same, at)| same == index && now.waited_since(at) < AGAIN) {
                continue;
            }
            if let Some(lead) = &mut self.lead {
                lead.order_ended = Some((index, now));
            }
            self.propose(now, None, Change::StandbyOver { node, index });
        }
    }

    /// Groups that a command gives back into our care, or that are to be looked at anyway. Asked before it is applied.
    pub(crate) fn to_look_at(&self, change: &Change) -> Vec<GroupId> {
        if let Change::Order { group, order, .. } = change
            && matches!(order, Order::Manage | Order::Refresh)
        {
            let copies = self.state.config.copies_of(group);
            let copies = copies.map(|(copy, _)| copy.clone());
            return copies.chain([group.clone()]).collect();
        }
        let Change::Maintain {
            what, on: false, ..
        } = change
        else {
            return Vec::new();
        };
        match what {
            Maintained::Cluster => self.state.config.groups.keys().cloned().collect(),
            Maintained::Node(node) => {
                let maintained = self.state.maintenance.nodes.get(node);
                let groups = maintained.map(|maintained| &maintained.groups);
                groups.into_iter().flatten().cloned().collect()
            }
        }
    }

    /// Asks the drivers what there is of these groups. What runs as it is known to run goes on untouched.
    pub(crate) fn ask_drivers_again(&mut self, groups: &[GroupId]) {
        let config = &self.state.config;
        let members = groups.iter().filter_map(|group| config.groups.get(group));
        let members: Vec<ResourceId> = members.flat_map(|group| group.members.clone()).collect();
        for resource in members {
            let known = self.locals.get(&resource).filter(|local| !local.probing);
            let settled = known.is_some_and(|local| {
                matches!(
                    local.phase,
                    Phase::Active | Phase::StopFailed | Phase::Lapsed
                )
            });
            let kind = self.state.config.resources.get(&resource);
            if let (true, Some(settings)) = (settled, kind) {
                let kind = Box::new(settings.kind.clone());
                self.out.push(Effect::Probe { resource, kind });
            }
        }
    }
}
