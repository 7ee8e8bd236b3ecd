//! `apply`: how a command changes the replicated state. Pure, the same on every node, and the only
//! place where the state changes. Not for deciding which commands there are.

use crate::{
    adapting, authority,
    configure::{self, By, New, configure},
    failures, fences, maintaining, orders,
    outages::{self, note},
    removal, upgrading,
};
use standfast_model::{
    command::{Act, Change, Command, Decision},
    id::{GroupId, MemberId, NodeId, ResourceId},
    plan::{Plan, PlanNumber},
    request::{Refusal, RefusalKind},
    state::{
        ClusterState, JOURNAL_LIMIT, JournalEntry, MoveRequest, NodeReport, NodeState, Phase,
        RestartGrant,
    },
};
use std::collections::BTreeSet;

/// Feature level from which lapses are in the journal: an older program would write another one.
const LAPSES: u32 = 3;

/// Applies the command at `index`. A refused command changes nothing but `applied`.
///
/// # Errors
/// The refusal, for whoever asked.
pub fn apply(state: &mut ClusterState, index: u64, command: &Command) -> Result<(), Refusal> {
    state.applied = index;
    let mut entry = Entry {
        index,
        wall_ms: command.wall_ms,
        lapsed: None,
    };
    match &command.change {
        Change::Configure {
            config,
            text,
            based_on,
            author,
            reason,
            draft,
        } => {
            let new = New {
                config,
                text,
                based_on: *based_on,
                draft: draft.as_deref(),
            };
            configure(state, &mut entry, new, By { author, reason })?;
        }
        Change::Draft {
            name,
            text,
            author,
            reason,
        } => {
            let by = By { author, reason };
            configure::draft(state, &mut entry, (name, text.as_deref()), by)?;
        }
        Change::Decide(decision) => decide(state, &mut entry, decision),
        Change::Report { node, report } => accept_report(state, &mut entry, node, report),
        Change::ForgetFailures { .. } => failures::forget(state, &mut entry, &command.change),
        Change::Move { .. } | Change::Drain { .. } | Change::Leave { .. } => {
            operate(state, &mut entry, &command.change)
        }
        change @ (Change::Order { .. }
        | Change::Maintain { .. }
        | Change::Standby { .. }
        | Change::StandbyOver { .. }) => ordered(state, &mut entry, change)?,
        Change::RestartGrant { .. } | Change::RestartOver { .. } => {
            restart(state, &mut entry, &command.change)
        }
        Change::SetKeys { .. } | Change::Act { .. } => acted(state, &mut entry, &command.change),
        Change::ReplaceAuthority { change } => authority::begin(state, &mut entry, change)?,
        Change::AskRestart {
            node,
            incarnation,
            by,
        } => upgrading::ask_restart(state, &mut entry, (node, *incarnation, by))?,
        change @ (Change::Fence { .. }
        | Change::FenceDrill { .. }
        | Change::FenceOrder { .. }
        | Change::FenceResult { .. }
        | Change::FenceConfirm { .. }
        | Change::FenceVoid { .. }
        | Change::PairFenced { .. }) => fences::apply(state, &mut entry, change)?,
        Change::RaiseLevel { level } => upgrading::raise_level(state, &mut entry, *level),
        Change::AddMember { .. } | Change::Promote { .. } | Change::RemoveMember { .. } => {
            change_members(state, &mut entry, &command.change);
        }
    }
    note(state, &mut entry, &command.change);
    authority::advance(state, &mut entry);
    Ok(())
}

/// What an operator orders that holds until it is over or taken back.
fn ordered(state: &mut ClusterState, entry: &mut Entry, change: &Change) -> Result<(), Refusal> {
    if let Change::Order { group, order, by } = change {
        return orders::apply(state, entry, group, (order, by));
    }
    maintaining::apply(state, entry, change)
}

/// What an operator asked for.
fn operate(state: &mut ClusterState, entry: &mut Entry, change: &Change) {
    if let Change::Move { group, to, by } = change {
        let request = MoveRequest {
            to: to.clone(),
            by: by.clone(),
        };
        state.moves.insert(group.clone(), request);
        orders::forget_kept(state, group);
        let target = to
            .as_ref()
            .map_or_else(|| "another node".to_owned(), ToString::to_string);
        let text = format!("{by} asked for {group} to move to {target}");
        entry.write(state, "switchover", text, Vec::new());
    }
    if let Change::Drain { node, drained, by } = change {
        let known = state.nodes.entry(node.clone()).or_default();
        known.drained = *drained;
        known.standby = None;
        let what = if *drained { "drained" } else { "resumed" };
        entry.write(
            state,
            "node",
            format!("{node} was {what} by {by}"),
            Vec::new(),
        );
    }
    if let Change::Leave { node, incarnation } = change {
        let known = state.nodes.entry(node.clone()).or_default();
        if known.leaving != Some(*incarnation) {
            known.leaving = Some(*incarnation);
            let text = format!("{node} shuts down; what it runs moves away");
            entry.write(state, "node", text, Vec::new());
        }
    }
}

/// What an operator did through a node's agent: another key, or nothing that changes more than the journal.
fn acted(state: &mut ClusterState, entry: &mut Entry, change: &Change) {
    if let Change::SetKeys { node, keys, by } = change {
        removal::set_keys(state, entry, (node, keys, by));
    }
    if let Change::Act { node, act, by } = change {
        let (kind, text) = match act {
            Act::Token => (
                "member",
                format!("{by} made a token to join with, on {node}"),
            ),
        };
        entry.write(state, kind, text, Vec::new());
    }
}

/// An agent's planned restart begins, or is over.
fn restart(state: &mut ClusterState, entry: &mut Entry, change: &Change) {
    if let Change::RestartGrant {
        node,
        incarnation,
        length,
        by,
    } = change
    {
        let grant = RestartGrant {
            incarnation: *incarnation,
            length: *length,
            index: entry.index,
        };
        state.restart_grants.insert(node.clone(), grant);
        let millis = length.as_millis_ceil();
        let asked = if by.is_empty() {
            String::new()
        } else {
            format!(", as {by} asked")
        };
        let text = format!("agent on {node} restarts{asked}; its leases run on for {millis} ms");
        entry.write(state, "node", text, Vec::new());
    }
    if let Change::RestartOver { node, index } = change {
        let over = |grant: &RestartGrant| grant.index == *index;
        if !state.restart_grants.get(node).is_some_and(over) {
            return;
        }
        state.restart_grants.remove(node);
        let text = format!("agent on {node} is back from its restart");
        entry.write(state, "node", text, Vec::new());
    }
}

/// The journal entry that a command writes.
pub(crate) struct Entry {
    pub(crate) index: u64,
    pub(crate) wall_ms: u64,
    /// The report that is being applied tells of a lapse that nobody knew of: since when.
    pub(crate) lapsed: Option<u64>,
}

impl Entry {
    pub(crate) fn write(
        &mut self,
        state: &mut ClusterState,
        kind: &str,
        text: String,
        evidence: Vec<String>,
    ) {
        state.journal.push_back(JournalEntry {
            index: self.index,
            wall_ms: self.wall_ms,
            plan: state.plan.number,
            kind: kind.to_owned(),
            text,
            evidence,
        });
        while state.journal.len() > JOURNAL_LIMIT {
            state.journal.pop_front();
        }
    }
}

pub(crate) fn refuse(kind: RefusalKind, text: String) -> Refusal {
    Refusal { kind, text }
}

/// A resource that left the configuration keeps its holders until they released it, and nothing else.
pub(crate) fn forget_removed_resources(state: &mut ClusterState) {
    let known: BTreeSet<&ResourceId> = state.config.resources.keys().collect();
    state
        .failures
        .retain(|resource, _| known.contains(resource));
    let groups: BTreeSet<&GroupId> = state.config.groups.keys().collect();
    state.moves.retain(|group, _| groups.contains(group));
    orders::forget_removed(state);
    maintaining::forget_removed(state);
}

fn decide(state: &mut ClusterState, entry: &mut Entry, decision: &Decision) {
    for (node, why) in &decision.expired {
        let known = state.nodes.entry(node.clone()).or_default();
        known.online = false;
        known.offline_reason.clone_from(why);
        state.restart_grants.remove(node);
        expire(state, node);
    }
    for node in &decision.returned {
        let known = state.nodes.entry(node.clone()).or_default();
        known.online = true;
        known.offline_reason.clear();
    }
    if let Some(plan) = &decision.plan {
        if plan.number.generation <= state.plan.number.generation
            || plan.number.term < state.plan.number.term
        {
            return;
        }
        state.plan = plan.clone();
    }
    if let Some(observed) = &decision.observed {
        state.observed.clone_from(observed);
    }
    for group in &decision.moves_done {
        state.moves.remove(group);
    }
    orders::restarted(state, &decision.restarts_done);
    // An assigned node may start as soon as it has applied this, so it counts as a holder from now on.
    for assignment in state.plan.groups.values() {
        if let Some(node) = &assignment.node {
            for resource in &assignment.members {
                state
                    .may_hold
                    .entry(resource.clone())
                    .or_default()
                    .insert(node.clone());
            }
            // Decided before its removal was known: its lease has to be seen to expire like any other.
            state
                .nodes
                .entry(node.clone())
                .or_insert_with(|| NodeState {
                    online: true,
                    ..NodeState::default()
                });
        }
    }
    settle_holders(state);
    removal::forget_gone(state);
    let kind = if decision.observed.is_some() {
        "observe"
    } else if !decision.expired.is_empty() {
        "failover"
    } else if decision.plan.is_some() {
        "placement"
    } else {
        "node"
    };
    entry.write(
        state,
        kind,
        decision.text.clone(),
        decision.evidence.clone(),
    );
}

/// A node's leases are over: it runs nothing any more, except what its lease's end does not end.
fn expire(state: &mut ClusterState, node: &NodeId) {
    let over: Vec<ResourceId> = state
        .may_hold
        .iter()
        .filter(|(resource, holders)| {
            holders.contains(node) && !state.waits_for_fencing(node, resource)
        })
        .map(|(resource, _)| resource.clone())
        .collect();
    for resource in over {
        if let Some(holders) = state.may_hold.get_mut(&resource) {
            holders.remove(node);
        }
    }
}

/// Who is assigned a resource, and since which plan; `None` when no group of the plan has it.
pub(crate) fn assigned<'a>(
    plan: &'a Plan,
    resource: &ResourceId,
) -> Option<(Option<&'a NodeId>, PlanNumber)> {
    plan.groups
        .values()
        .find(|assignment| assignment.members.contains(resource))
        .map(|assignment| (assignment.node.as_ref(), assignment.since_of(resource)))
}

/// The promise that makes "not running" a release: to refuse every plan in which this node had the resource.
pub(crate) fn release_needs(plan: &Plan, resource: &ResourceId) -> PlanNumber {
    assigned(plan, resource).map_or(plan.number, |(_, since)| since)
}

fn accept_report(state: &mut ClusterState, entry: &mut Entry, node: &NodeId, report: &NodeReport) {
    if removal::is_gone(state, node) {
        return;
    }
    let known: &mut NodeState = state.nodes.entry(node.clone()).or_default();
    if known.report.incarnation == report.incarnation && report.version <= known.report.version {
        return;
    }
    let lapsed = report.lapsed_ms > known.report.lapsed_ms;
    let before = std::mem::replace(&mut known.report, report.clone());
    let released: Vec<ResourceId> = state
        .may_hold
        .iter()
        .filter(|(resource, holders)| {
            holders.contains(node)
                && assigned(&state.plan, resource).is_none_or(|(owner, _)| owner != Some(node))
                && is_released(report, resource, release_needs(&state.plan, resource))
        })
        .map(|(resource, _)| resource.clone())
        .collect();
    for resource in released {
        if let Some(holders) = state.may_hold.get_mut(&resource) {
            holders.remove(node);
        }
    }
    settle_holders(state);
    if lapsed && state.level() >= LAPSES {
        outages::note_lapse(state, entry, node, report.lapsed_ms);
    }
    failures::count(state, entry, node, report);
    adapting::note(state, entry, node, (&before, report));
}

/// Who is granted leases: a holder stays it until it is gone; then whoever is left alone. A node that
/// was given a resource twice while another one held it cannot be told from that one otherwise.
pub(crate) fn settle_holders(state: &mut ClusterState) {
    state.may_hold.retain(|_, holders| !holders.is_empty());
    let may_hold = &state.may_hold;
    state
        .removed
        .retain(|resource, _| may_hold.contains_key(resource));
    state.holder.retain(|resource, node| {
        may_hold
            .get(resource)
            .is_some_and(|holders| holders.contains(node))
    });
    for (resource, holders) in may_hold {
        if let (1, Some(node)) = (holders.len(), holders.first()) {
            state
                .holder
                .entry(resource.clone())
                .or_insert_with(|| node.clone());
        }
    }
}

/// Whether a report says that the resource is not running and will not be started under an older plan.
fn is_released(report: &NodeReport, resource: &ResourceId, needs: PlanNumber) -> bool {
    let phase = report
        .instances
        .get(resource)
        .map_or(Phase::Inactive, |instance| instance.phase);
    !phase.may_run() && report.promise >= needs
}

fn change_members(state: &mut ClusterState, entry: &mut Entry, change: &Change) {
    match change {
        Change::AddMember {
            member,
            info,
            replaces,
            key,
            witness,
        } => {
            state.next_member = state.next_member.max(member.0.saturating_add(1));
            state.members.insert(*member, info.clone());
            let config = state.config.nodes.entry(info.node.clone()).or_default();
            config.addresses.clone_from(&info.addresses);
            config.witness |= *witness;
            state.config.spread_copies();
            if !key.is_empty() {
                let only = BTreeSet::from([key.clone()]);
                state.keys.insert(info.node.clone(), only);
            }
            state.nodes.entry(info.node.clone()).or_default();
            let text = replaces.as_ref().map_or_else(
                || format!("{} joined as learner {member}", info.node),
                |old| {
                    format!(
                        "{} came back as learner {member} in place of {old}",
                        info.node
                    )
                },
            );
            entry.write(state, "member", text, Vec::new());
        }
        Change::Promote { member } => {
            if let Some(info) = state.members.get_mut(member) {
                info.voter = true;
                let text = format!("{} ({member}) votes from now on", info.node);
                entry.write(state, "member", text, Vec::new());
            }
        }
        Change::RemoveMember { member, by } => {
            remove_member(state, entry, *member, by.as_deref());
        }
        Change::Configure { .. }
        | Change::Draft { .. }
        | Change::SetKeys { .. }
        | Change::ReplaceAuthority { .. }
        | Change::Act { .. }
        | Change::Decide(_)
        | Change::Report { .. }
        | Change::ForgetFailures { .. }
        | Change::Move { .. }
        | Change::Order { .. }
        | Change::Maintain { .. }
        | Change::Standby { .. }
        | Change::StandbyOver { .. }
        | Change::Drain { .. }
        | Change::Leave { .. }
        | Change::AskRestart { .. }
        | Change::RaiseLevel { .. }
        | Change::Fence { .. }
        | Change::FenceDrill { .. }
        | Change::FenceOrder { .. }
        | Change::FenceResult { .. }
        | Change::FenceConfirm { .. }
        | Change::FenceVoid { .. }
        | Change::PairFenced { .. }
        | Change::RestartGrant { .. }
        | Change::RestartOver { .. } => {}
    }
}

/// Removing a member takes its vote and nothing else: whoever may hold a resource still may.
fn remove_member(state: &mut ClusterState, entry: &mut Entry, member: MemberId, by: Option<&str>) {
    let Some(info) = state.members.remove(&member) else {
        return;
    };
    let node = &info.node;
    let text = match by {
        None => format!("{node} ({member}) is no longer a member"),
        Some(who) => {
            removal::forget_node(state, node);
            format!("{node} ({member}) was removed by {who}; its certificate is worth nothing now")
        }
    };
    entry.write(state, "member", text, Vec::new());
}
