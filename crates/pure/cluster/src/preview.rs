//! What applying a configuration would do: actions, what they interrupt and for how long, predictions.
//! Changes nothing.
//!
//! Not for the differences between two files: that is the configuration crate's work.

use crate::{
    adapting::listed,
    core::Core,
    deciding::{facts, plan_from},
    stages::settled,
};
use standfast_model::{
    change::Change,
    config::{ClusterConfig, ResourceKind, Timing},
    copies::is_role,
    id::{NodeId, ResourceId},
    plan::{Action, ActionKind, Assignment, Plan},
    request::PlanPreview,
    state::ClusterState,
    time::Micros,
};
use standfast_schedule::{
    actions,
    interruption::{Measured, interruptions, part},
    place, restart,
    turns::{Parts, in_turn, wait_in_turn},
};

impl Core {
    pub(crate) fn preview(&self, config: &ClusterConfig) -> PlanPreview {
        let online = |node: &NodeId| self.state.nodes.get(node).is_some_and(|known| known.online);
        let acted = self.state.acted(config);
        let placements = place(&facts(&self.state, &acted, &online));
        let before = &self.state.plan;
        let after = plan_from(
            &self.state,
            &acted,
            settled(&self.state, &acted, placements),
            self.consensus.term(),
        );
        let mut list = actions(before, &after);
        restart_changed(&mut list, (before, &after), (&self.state.config, config));
        let sequences = &config.constraints.sequences;
        in_turn(&mut list, sequences, (before, &after));
        let decide = decision_takes(&self.state);
        let configs = (&self.state.config, config);
        let state = &self.state;
        let measured = |node: &NodeId, resource: &ResourceId, kind: ActionKind| {
            measured(state, node, resource, kind)
        };
        let measured: &Measured<'_> = &measured;
        let mut interruptions = interruptions((before, &after), &list, configs, decide, measured);
        let _begins = wait_in_turn(
            sequences,
            &mut interruptions,
            &starts(&after, &list, config, measured),
            decide,
        );
        let live_changes = self.live_changes(config, (before, &after), &list);
        PlanPreview {
            based_on: self.state.config_version,
            differences: Vec::new(),
            interruptions,
            actions: list,
            live_changes,
            rto_before: self.predictions(&self.state.config),
            rto_after: self.predictions(config),
            warnings: self.warnings(config, &after),
        }
    }

    fn live_changes(
        &self,
        config: &ClusterConfig,
        plans: (&Plan, &Plan),
        list: &[Action],
    ) -> Vec<String> {
        let mut lines = reloads(plans, (&self.state.config, config), list);
        for (resource, new) in &config.resources {
            let old = self.state.config.resources.get(resource);
            let Some((ResourceKind::Vip(old), ResourceKind::Vip(new))) =
                old.map(|old| (&old.kind, &new.kind))
            else {
                continue;
            };
            if old == new {
                continue;
            }
            let without = |all: &[String], some: &[String]| {
                let rest = all.iter().filter(|address| !some.contains(address));
                rest.cloned().collect::<Vec<_>>()
            };
            let added = without(&new.addresses, &old.addresses);
            let removed = without(&old.addresses, &new.addresses);
            let mut parts = Vec::new();
            if !added.is_empty() {
                parts.push(format!("{} added", added.join(", ")));
            }
            if !removed.is_empty() {
                parts.push(format!("{} removed", removed.join(", ")));
            }
            if parts.is_empty() {
                parts.push(String::from("interface or gateway change"));
            }
            lines.push(format!("{resource}: {}", parts.join("; ")));
        }
        lines
    }

    pub(crate) fn warnings(&self, config: &ClusterConfig, after: &Plan) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Err(refusal) = self.check_config(config) {
            warnings.push(format!("apply would refuse this: {}", refusal.text));
        }
        if config.observes() {
            warnings.push(String::from(
                "with this the cluster only observes: it says in the journal what it would do, and does nothing",
            ));
        }
        for (group, assignment) in &after.groups {
            let settings = config.groups.get(group);
            // Who is promoted is known when agents have said by how much.
            let alone =
                settings.is_some_and(|group| group.copy.is_none() && group.promoted_of.is_none());
            if alone && assignment.node.is_none() && !assignment.maintenance {
                warnings.push(format!("{group} would run nowhere: no node can run it"));
            }
        }
        for group in config.copies.groups.keys() {
            let mut copies = config.copies_of(group);
            let somewhere = |copy| {
                let given: Option<&Assignment> = after.groups.get(copy);
                given.is_some_and(|given| given.node.is_some() || given.maintenance)
            };
            if !copies.any(|(copy, _)| somewhere(copy)) {
                warnings.push(format!(
                    "{group} would run nowhere: no node can run a copy of it"
                ));
            }
        }
        let elections =
            |timing: &Timing| (timing.heartbeat, timing.election_min, timing.election_max);
        if elections(&self.state.config.timing) != elections(&config.timing) {
            warnings.push(String::from(
                "election timeouts are fixed when an agent starts: run `standfast restart` on each node, \
                 one after the other",
            ));
        }
        for (node, new) in &config.nodes {
            let old = self.state.config.nodes.get(node);
            if old.is_some_and(|old| old.addresses != new.addresses) {
                warnings.push(format!(
                    "{node} binds its addresses when its agent starts: run `standfast restart` there"
                ));
            }
        }
        warnings
    }
}

/// What each group's starts take, where something is in order.
fn starts(after: &Plan, list: &[Action], config: &ClusterConfig, measured: &Measured<'_>) -> Parts {
    let mut parts = Parts::new();
    for (group, given) in &after.groups {
        let mine = list.iter().filter(|action| {
            action.kind == ActionKind::Start && given.members.contains(&action.resource)
        });
        let mine: Vec<_> = mine.map(|action| part(action, config, measured)).collect();
        if !mine.is_empty() && !config.constraints.sequences.is_empty() {
            parts.insert(group.clone(), mine);
        }
    }
    parts
}

/// Two durable writes and a round trip lie between a stop's report and the next start.
pub(crate) fn decision_takes(state: &ClusterState) -> Micros {
    let slowest = state.nodes.values().map(|node| node.report.fsync);
    let slowest = slowest.max().unwrap_or(Micros::ZERO);
    slowest.plus(slowest).plus(Micros::from_millis(1))
}

/// How long a start or stop took when it was last seen: on that node, or else on another.
pub(crate) fn measured(
    state: &ClusterState,
    node: &NodeId,
    resource: &ResourceId,
    kind: ActionKind,
) -> Option<(NodeId, Micros)> {
    let known = |node: &NodeId| {
        let report = &state.nodes.get(node)?.report;
        let seen = report.instances.get(resource)?;
        let took = match kind {
            ActionKind::Start => seen.start_took,
            ActionKind::Stop => seen.stop_took,
        };
        (took > Micros::ZERO).then(|| (node.clone(), took))
    };
    known(node).or_else(|| state.nodes.keys().find_map(known))
}

/// Adds the restarts of what stays where it is with another command.
pub(crate) fn restart_changed(
    list: &mut Vec<Action>,
    (before, after): (&Plan, &Plan),
    (old, new): (&ClusterConfig, &ClusterConfig),
) {
    for assignment in staying(before, after) {
        let changed = |member: &ResourceId| needs_restart(old, new, member);
        restart(list, assignment, &changed);
    }
}

/// What stays where it is, and is adapted to its configuration there.
fn staying<'p>(before: &'p Plan, after: &'p Plan) -> impl Iterator<Item = &'p Assignment> {
    let stays = |assignment: &&Assignment| {
        let same = |old: &Assignment| old.since == assignment.since && old.node == assignment.node;
        !assignment.maintenance && before.groups.values().any(same)
    };
    after.groups.values().filter(stays)
}

/// What agents take over while their resources run.
fn reloads(
    (before, after): (&Plan, &Plan),
    (old, new): (&ClusterConfig, &ClusterConfig),
    list: &[Action],
) -> Vec<String> {
    let mut lines = Vec::new();
    for assignment in staying(before, after) {
        let Some(node) = &assignment.node else {
            continue;
        };
        // What is started anew with something before it takes nothing over.
        let started = |member: &&ResourceId| list.iter().all(|done| done.resource != **member);
        for resource in assignment.members.iter().filter(started) {
            let kinds = [old, new].map(|config| config.resources.get(resource));
            let [Some(old), Some(new)] = kinds.map(|found| found.map(|found| &found.kind)) else {
                continue;
            };
            // The promoted role takes over what its copy does.
            if let (Change::Reload(names), false) = (old.change_to(new), is_role(resource.as_str()))
            {
                let names = listed(&names);
                lines.push(format!(
                    "{resource} on {node}: its agent takes over {names} (reload-agent), without a restart"
                ));
            }
        }
    }
    lines
}

/// Addresses are changed where they are; a command can only be started anew.
fn needs_restart(old: &ClusterConfig, new: &ClusterConfig, resource: &ResourceId) -> bool {
    let old = old.resources.get(resource);
    let new = new.resources.get(resource);
    match (old.map(|old| &old.kind), new.map(|new| &new.kind)) {
        (Some(old), Some(new @ ResourceKind::Process(_))) => old.needs_restart(new),
        (_, Some(ResourceKind::Vip(_))) | (None, _) | (_, None) => false,
    }
}
