//! Measured availability: after every command it is looked at which groups are served, and what that
//! says about outages is counted in the state and written into the journal.
//!
//! Nothing is decided by it. Wall clocks of one leader after another: good for showing, no more.

use crate::apply::Entry;
use standfast_model::{
    command::{Change, Decision},
    id::{GroupId, NodeId, ResourceId},
    outage::{Cause, OUTAGES, Outage, Service},
    state::{ClusterState, NodeReport, Phase},
};

/// Notes what a command that has just been applied did to every group.
pub(crate) fn note(state: &mut ClusterState, entry: &mut Entry, change: &Change) {
    let groups = &state.config.groups;
    state.service.retain(|group, _| groups.contains_key(group));
    let groups: Vec<GroupId> = groups.keys().cloned().collect();
    for group in groups {
        let orders = state.orders_of(&group);
        let disabled = orders.is_some_and(|orders| orders.disabled.is_some());
        if disabled || is_not_needed(state, &group) {
            // By intention: no outage begins, and none goes on.
            if let Some(service) = state.service.get_mut(&group) {
                service.on = None;
                service.open = None;
            }
            continue;
        }
        let now = served_by(state, &group);
        let before = state.service.get(&group).and_then(|s| s.on.clone());
        let interrupted = entry.lapsed.is_some() && is_from(change, before.as_ref());
        if now == before && !interrupted {
            continue;
        }
        if let Some(from) = before {
            let outage = begin(state, &group, from, entry, change);
            let service = state.service.entry(group.clone()).or_default();
            service.on = None;
            service.open = Some(outage);
        }
        if let Some(to) = now {
            let service = state.service.entry(group.clone()).or_default();
            if let Some(over) = end(service, to, entry.wall_ms) {
                let (text, evidence) = describe(&group, &over);
                entry.write(state, "restored", text, evidence);
            }
        }
    }
}

/// A copy that is to run nowhere: its node is lost, or others are enough. What it is one of is served by those.
fn is_not_needed(state: &ClusterState, group: &GroupId) -> bool {
    let copy = state.config.copy_of(group);
    let given = state.plan.groups.get(group);
    copy.is_some() && given.is_none_or(|given| given.node.is_none())
}

/// The node that the plan gives a group to, if it is heard and has reported every member active.
fn served_by(state: &ClusterState, group: &GroupId) -> Option<NodeId> {
    let assignment = state.plan.groups.get(group)?;
    let node = assignment.node.as_ref()?;
    let known = state.nodes.get(node).filter(|known| known.online)?;
    let active = |member: &ResourceId| {
        let instance = known.report.instances.get(member);
        instance.is_some_and(|i| i.phase == Phase::Active && i.since == assignment.since_of(member))
    };
    let all = !assignment.members.is_empty() && assignment.members.iter().all(active);
    all.then(|| node.clone())
}

/// Whether a command is the report of that node.
fn is_from(change: &Change, node: Option<&NodeId>) -> bool {
    matches!(change, Change::Report { node: from, .. } if Some(from) == node)
}

/// A node tells that its leases had ended, which nobody could know while there was no leader.
pub(crate) fn note_lapse(state: &mut ClusterState, entry: &mut Entry, node: &NodeId, at_ms: u64) {
    entry.lapsed = Some(at_ms);
    let ago = entry.wall_ms.saturating_sub(at_ms);
    let text = format!(
        "{node} had stopped what it ran {ago} ms before: its leases were not renewed, because it and a leader with a majority did not hear each other"
    );
    entry.write(state, "lapse", text, Vec::new());
}

fn begin(
    state: &ClusterState,
    group: &GroupId,
    from: NodeId,
    entry: &Entry,
    change: &Change,
) -> Outage {
    let wall_ms = entry.wall_ms;
    let (cause, silent) = match change {
        Change::Decide(decision) => decided(state, group, &from, decision),
        Change::Report { node, .. } if *node == from && entry.lapsed.is_some() => {
            let since = entry.lapsed.unwrap_or(wall_ms);
            (Cause::Failure, wall_ms.saturating_sub(since))
        }
        Change::Report { node, report } if *node == from => {
            (reported(state, group, &from, report, wall_ms), 0)
        }
        Change::Report { .. }
        | Change::Configure { .. }
        | Change::Draft { .. }
        | Change::ForgetFailures { .. }
        | Change::Move { .. }
        | Change::Drain { .. }
        | Change::Order { .. }
        | Change::Maintain { .. }
        | Change::Standby { .. }
        | Change::StandbyOver { .. }
        | Change::Leave { .. }
        | Change::AskRestart { .. }
        | Change::RaiseLevel { .. }
        | Change::RestartGrant { .. }
        | Change::RestartOver { .. }
        | Change::AddMember { .. }
        | Change::Promote { .. }
        | Change::SetKeys { .. }
        | Change::ReplaceAuthority { .. }
        | Change::Act { .. }
        | Change::Fence { .. }
        | Change::FenceDrill { .. }
        | Change::FenceOrder { .. }
        | Change::FenceResult { .. }
        | Change::FenceConfirm { .. }
        | Change::FenceVoid { .. }
        | Change::PairFenced { .. }
        | Change::RemoveMember { .. } => (Cause::Planned, 0),
    };
    Outage {
        cause,
        from,
        to: None,
        began_ms: wall_ms.saturating_sub(silent),
        noticed_ms: wall_ms,
        ended_ms: None,
    }
}

fn decided(
    state: &ClusterState,
    group: &GroupId,
    from: &NodeId,
    decision: &Decision,
) -> (Cause, u64) {
    if decision.expired.contains_key(from) {
        let silent = decision.silent_ms.get(from).copied().unwrap_or(0);
        return (Cause::Failover, silent);
    }
    if waits_for_one_that_failed(state, group, decision) {
        return (Cause::Failure, 0);
    }
    let wanted = decision.moves_done.contains(group)
        || decision.restarts_done.contains(group)
        || state
            .nodes
            .get(from)
            .is_some_and(|known| known.drained || known.is_leaving());
    let members = state.config.groups.get(group).map(|g| g.members.as_slice());
    let failed = members.unwrap_or_default().iter().any(|member| {
        let record = state.failures.get(member).and_then(|r| r.get(from));
        record.is_some_and(|record| record.count > 0)
    });
    let sick = state
        .nodes
        .get(from)
        .is_some_and(|known| !known.report.sick_interfaces.is_empty());
    if !wanted && (failed || sick) {
        (Cause::Failure, 0)
    } else {
        (Cause::Planned, 0)
    }
}

/// Whether a group stops because what it is to start after has failed, or was lost with its node.
fn waits_for_one_that_failed(state: &ClusterState, group: &GroupId, decision: &Decision) -> bool {
    let given = state.plan.groups.get(group);
    let waiting = given.and_then(|given| given.waiting.as_ref());
    let Some(service) = waiting.and_then(|waiting| state.service.get(&waiting.on)) else {
        return false;
    };
    let lost = |node: &NodeId| decision.expired.contains_key(node);
    let open = service.open.as_ref().map(|outage| outage.cause);
    service.on.as_ref().is_some_and(lost) || matches!(open, Some(Cause::Failover | Cause::Failure))
}

/// A change of the configuration restarts what it concerns without a failure.
fn reported(
    state: &ClusterState,
    group: &GroupId,
    from: &NodeId,
    report: &NodeReport,
    wall_ms: u64,
) -> Cause {
    let members = state.config.groups.get(group).map(|g| g.members.as_slice());
    let failed = members.unwrap_or_default().iter().any(|member| {
        let record = state.failures.get(member).and_then(|r| r.get(from));
        let counted = record.is_some_and(|record| record.count > 0 && record.wall_ms == wall_ms);
        let phase = report.instances.get(member).map(|i| i.phase);
        counted
            || match phase.unwrap_or_default() {
                Phase::Inactive | Phase::Failed | Phase::StopFailed | Phase::Lapsed => true,
                Phase::Starting | Phase::Active | Phase::Stopping => false,
            }
    });
    if failed {
        Cause::Failure
    } else {
        Cause::Planned
    }
}

/// The first time that a group is served ends no outage.
fn end(service: &mut Service, to: NodeId, wall_ms: u64) -> Option<Outage> {
    service.on = Some(to.clone());
    let mut over = service.open.take()?;
    over.to = Some(to);
    over.ended_ms = Some(wall_ms.max(over.noticed_ms));
    let totals = service.totals.entry(over.cause).or_default();
    totals.add(over.length_ms().unwrap_or(0));
    service.last.push_back(over.clone());
    while service.last.len() > OUTAGES {
        service.last.pop_front();
    }
    Some(over)
}

fn describe(group: &GroupId, over: &Outage) -> (String, Vec<String>) {
    let took = over.length_ms().unwrap_or(0);
    let to = over.to.as_ref().map_or("", NodeId::as_str);
    let from = &over.from;
    let what = match over.cause {
        Cause::Failover => format!("failover from {from}"),
        Cause::Failure if to == from.as_str() => String::from("restarted after a failure"),
        Cause::Failure => format!("moved from {from} after a failure"),
        Cause::Planned if to == from.as_str() => String::from("planned restart"),
        Cause::Planned => format!("planned move from {from}"),
    };
    let text = format!("{group} is served by {to} again after {took} ms ({what})");
    let silent = over.noticed_ms.saturating_sub(over.began_ms);
    let rest = over
        .ended_ms
        .unwrap_or(over.noticed_ms)
        .saturating_sub(over.noticed_ms);
    let evidence = if over.cause == Cause::Failover {
        vec![format!(
            "{silent} ms from when {from} was heard last to the decision, {rest} ms from there to all of it active on {to}"
        )]
    } else {
        Vec::new()
    };
    (text, evidence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use standfast_model::{
        agent::Severity,
        command::Command,
        config::{ClusterConfig, GroupConfig},
        id::{Incarnation, ResourceId},
        plan::{Assignment, Plan, PlanNumber},
        state::{InstanceReport, NodeState},
        time::Micros,
    };
    use std::collections::BTreeMap;

    const START: u64 = 1_000_000;

    fn number(generation: u64) -> PlanNumber {
        PlanNumber {
            term: 1,
            generation,
        }
    }

    fn assigned(node: &str, generation: u64) -> Plan {
        let assignment = Assignment {
            node: Some(node.into()),
            members: vec!["web".into()],
            reasons: Vec::new(),
            since: number(generation),
            ..Assignment::default()
        };
        Plan {
            number: number(generation),
            groups: BTreeMap::from([("site".into(), assignment)]),
        }
    }

    fn report(node: &str, version: u64, phase: Phase, since: u64, failures: u32) -> Change {
        let instance = InstanceReport {
            phase,
            since: number(since),
            failures,
            last_failure: String::from("exit 1"),
            severity: Severity::Soft,
            start_took: Micros::ZERO,
            stop_took: Micros::ZERO,
            promotion: None,
            reloads: 0,
        };
        let report = NodeReport {
            incarnation: Incarnation(7),
            version,
            instances: BTreeMap::from([(ResourceId::from("web"), instance)]),
            ..NodeReport::default()
        };
        Change::Report {
            node: node.into(),
            report: Box::new(report),
        }
    }

    fn served_by_alpha() -> ClusterState {
        let group = GroupConfig {
            members: vec!["web".into()],
            ..GroupConfig::default()
        };
        let web = standfast_model::config::ResourceConfig {
            kind: standfast_model::config::ResourceKind::Vip(
                standfast_model::config::VipConfig::default(),
            ),
            failure: standfast_model::config::FailurePolicy::default(),
            needs_fencing: false,
        };
        let config = ClusterConfig {
            groups: BTreeMap::from([("site".into(), group)]),
            resources: BTreeMap::from([("web".into(), web)]),
            ..ClusterConfig::default()
        };
        let online = NodeState {
            online: true,
            ..NodeState::default()
        };
        let mut state = ClusterState {
            config,
            plan: assigned("alpha", 1),
            nodes: BTreeMap::from([("alpha".into(), online.clone()), ("beta".into(), online)]),
            ..ClusterState::default()
        };
        run(&mut state, START, report("alpha", 1, Phase::Active, 1, 0));
        assert_eq!(service(&state).on, Some("alpha".into()));
        assert!(
            service(&state).totals.is_empty(),
            "a first start is no outage"
        );
        state
    }

    fn run(state: &mut ClusterState, wall_ms: u64, change: Change) {
        let command = Command {
            wall_ms,
            request: None,
            change,
        };
        crate::apply(state, state.applied + 1, &command).expect("applied");
    }

    fn service(state: &ClusterState) -> &Service {
        &state.service[&GroupId::from("site")]
    }

    fn lapsed(version: u64, phase: Phase) -> Change {
        let mut change = report("alpha", version, phase, 1, 0);
        if let Change::Report { report, .. } = &mut change {
            report.lapsed_ms = START + 3_000;
        }
        change
    }

    /// While no leader was heard nobody could note anything: the node tells it afterwards, once.
    #[test]
    fn a_lapse_without_a_leader_counts_from_when_the_leases_ended() {
        for phase in [Phase::Active, Phase::Starting] {
            let mut state = served_by_alpha();
            state.feature_level = 3;
            run(&mut state, START + 20_000, lapsed(2, phase));
            run(&mut state, START + 21_000, lapsed(3, phase));
            run(
                &mut state,
                START + 22_000,
                report("alpha", 4, Phase::Active, 1, 0),
            );
            let texts: Vec<&str> = state.journal.iter().map(|e| e.text.as_str()).collect();
            assert!(
                texts[0].starts_with("alpha had stopped what it ran 17000 ms before"),
                "{texts:?}"
            );
            assert!(
                texts[1].starts_with("site is served by alpha again after"),
                "{texts:?}"
            );
            assert!(
                texts[1].ends_with("(restarted after a failure)"),
                "{texts:?}"
            );
            assert_eq!(texts.len(), 2);
            let last = service(&state).last.back().expect("an outage");
            assert_eq!(last.began_ms, START + 3_000);
        }
    }

    #[test]
    fn a_failover_counts_from_when_the_node_was_heard_last() {
        let mut state = served_by_alpha();
        let lost = Decision {
            expired: BTreeMap::from([("alpha".into(), String::from("silent"))]),
            silent_ms: BTreeMap::from([("alpha".into(), 820)]),
            plan: Some(assigned("beta", 2)),
            ..Decision::default()
        };
        run(&mut state, START + 5_000, Change::Decide(lost));
        assert!(service(&state).open.is_some());
        run(
            &mut state,
            START + 5_100,
            report("beta", 1, Phase::Starting, 2, 0),
        );
        run(
            &mut state,
            START + 5_130,
            report("beta", 2, Phase::Active, 2, 0),
        );
        let service = service(&state);
        let totals = &service.totals[&Cause::Failover];
        assert_eq!((totals.count, totals.sum_ms), (1, 950));
        assert_eq!(totals.at_most, [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1]);
        let entry = state.journal.back().expect("entry");
        assert_eq!(
            entry.text,
            "site is served by beta again after 950 ms (failover from alpha)"
        );
        assert_eq!(
            entry.evidence,
            [
                "820 ms from when alpha was heard last to the decision, 130 ms from there to all of it active on beta"
            ]
        );
    }

    #[test]
    fn a_failure_that_is_restarted_in_place_is_one_and_a_change_is_not() {
        let mut state = served_by_alpha();
        run(
            &mut state,
            START + 10,
            report("alpha", 2, Phase::Starting, 1, 1),
        );
        run(
            &mut state,
            START + 50,
            report("alpha", 3, Phase::Active, 1, 1),
        );
        run(
            &mut state,
            START + 60,
            report("alpha", 4, Phase::Stopping, 1, 1),
        );
        run(
            &mut state,
            START + 90,
            report("alpha", 5, Phase::Active, 1, 1),
        );
        let totals = &service(&state).totals;
        assert_eq!(totals[&Cause::Failure].sum_ms, 40);
        assert_eq!(totals[&Cause::Planned].sum_ms, 30);
    }

    #[test]
    fn what_an_old_plan_left_active_does_not_serve() {
        let mut state = served_by_alpha();
        let moved = Decision {
            moves_done: vec!["site".into()],
            plan: Some(assigned("beta", 2)),
            ..Decision::default()
        };
        run(&mut state, START + 100, Change::Decide(moved));
        run(
            &mut state,
            START + 110,
            report("beta", 1, Phase::Active, 1, 0),
        );
        assert!(service(&state).open.is_some());
        run(
            &mut state,
            START + 120,
            report("beta", 2, Phase::Active, 2, 0),
        );
        assert_eq!(service(&state).totals[&Cause::Planned].sum_ms, 20);
    }

    #[test]
    fn a_group_that_is_no_longer_configured_is_forgotten() {
        let mut state = served_by_alpha();
        state.config.groups.clear();
        run(
            &mut state,
            START + 1,
            report("beta", 1, Phase::Active, 1, 0),
        );
        assert!(state.service.is_empty());
    }
}
