//! How acts of fencing change the replicated state: one act for each node at a time, whoever asks for it; level after
//! level, executor after executor.
//!
//! An act touches no lease: a failed one could not release anything, and a machine that is off stops renewing like any
//! other that is lost. For what needs fencing the lease's end is not enough; it is released when both have happened.

use crate::apply::{Entry, refuse, settle_holders};
use standfast_model::{
    command::Change,
    fence_act::{ACTS_LIMIT, FenceAct, FenceOutcome, FenceResult},
    id::{DeviceId, Incarnation, NodeId},
    request::{Refusal, RefusalKind},
    state::{ClusterState, NodeState},
};
use std::collections::BTreeSet;

/// Sentences kept of one act.
const TRIES_LIMIT: usize = 16;

/// Applies a command about fencing.
///
/// # Errors
/// Why it cannot be done, for whoever asked.
pub(crate) fn apply(
    state: &mut ClusterState,
    entry: &mut Entry,
    change: &Change,
) -> Result<(), Refusal> {
    if let Change::Fence {
        node,
        incarnation,
        by,
        why,
        power_on,
        lost,
    } = change
    {
        let asked = Asked {
            lost: *lost,
            node,
            incarnation: *incarnation,
            by,
            why,
            power_on: *power_on,
            drill: None,
        };
        begin(state, entry, &asked)?;
    }
    if let Change::FenceDrill {
        node,
        incarnation,
        level,
        by,
    } = change
    {
        let why = format!("a drill tries level {level} of its devices");
        let asked = Asked {
            lost: false,
            node,
            incarnation: *incarnation,
            by,
            why: &why,
            power_on: true,
            drill: Some(*level),
        };
        begin(state, entry, &asked)?;
    }
    if let Change::FenceOrder { id, turn, executor } = change {
        order(state, entry, (*id, *turn), executor);
    }
    if let Change::FenceResult { result } = change {
        end_order(state, entry, result);
    }
    if let Change::FenceConfirm { node, by } = change {
        confirm(state, entry, node, by)?;
    }
    if let Change::FenceVoid { id, why } = change {
        void(state, entry, *id, why);
    }
    if let Change::PairFenced { act } = change {
        note(state, entry, act);
    }
    Ok(())
}

struct Asked<'a> {
    node: &'a NodeId,
    incarnation: Incarnation,
    by: &'a str,
    why: &'a str,
    power_on: bool,
    lost: bool,
    drill: Option<u32>,
}

/// What a lost node was still named for is released, if it is known to be off.
fn release(state: &mut ClusterState, node: &NodeId) {
    let lost = state.nodes.get(node).is_some_and(|known| !known.online);
    if !lost || !state.is_off(node) {
        return;
    }
    for holders in state.may_hold.values_mut() {
        holders.remove(node);
    }
    settle_holders(state);
}

/// Whether a node is heard again that is fenced because it was lost.
fn is_back(state: &ClusterState, act: &FenceAct) -> bool {
    act.lost && state.nodes.get(&act.node).is_some_and(|known| known.online)
}

/// The run of a node's agent, as far as the state knows.
fn run_of(state: &ClusterState, node: &NodeId) -> Incarnation {
    let known = state.nodes.get(node);
    known.map_or(Incarnation::default(), |known| known.report.incarnation)
}

/// Who could carry an act out: somebody who is there, and has not tried everything already.
pub(crate) fn executor(
    state: &ClusterState,
    node: &NodeId,
    spent: &BTreeSet<NodeId>,
) -> Option<NodeId> {
    let members = state.members.values().map(|member| &member.node);
    let able = members.filter(|other| *other != node && !spent.contains(other));
    let there = able.filter(|other| {
        let known = state.nodes.get(other);
        known.is_some_and(|known| known.online && !known.is_leaving())
    });
    there.min().cloned()
}

/// Of a drill its level alone.
fn levels(state: &ClusterState, asked: &Asked<'_>) -> Result<Vec<Vec<DeviceId>>, Refusal> {
    let node = asked.node;
    let levels = state.config.fencing.levels_of(node);
    if levels.is_empty() {
        let text = format!(
            "nothing can fence {node}: no [fence.NAME] has it in its `nodes`, or fencing is switched off"
        );
        return Err(refuse(RefusalKind::Invalid, text));
    }
    let Some(number) = asked.drill else {
        return Ok(levels);
    };
    let place = usize::try_from(number).ok();
    let place = place.and_then(|number| number.checked_sub(1));
    let chosen = place.and_then(|place| levels.get(place)).cloned();
    let missing = || {
        let text = format!("{node} has no level {number}; it has {}", levels.len());
        refuse(RefusalKind::NoSuchItem, text)
    };
    chosen.map(|level| vec![level]).ok_or_else(missing)
}

/// A drill is for a node that is heard, and one at a time: whether it was lost could not be seen, and with two of them, or
/// beside a fencing, a majority could be.
fn check_drill(state: &ClusterState, node: &NodeId) -> Result<(), Refusal> {
    let refused = |text| Err(refuse(RefusalKind::Unsafe, text));
    if !state.nodes.get(node).is_some_and(|known| known.online) {
        return refused(format!(
            "{node} is not heard: a drill would prove nothing. `standfast fence {node}` fences it"
        ));
    }
    let away = |act: &FenceAct| {
        let known = state.nodes.get(&act.node);
        let same = known.is_some_and(|known| known.report.incarnation == act.incarnation);
        act.is_under_way() || (act.says_off() && same)
    };
    match state.fences.iter().find(|act| away(act)) {
        None => Ok(()),
        Some(act) if act.is_under_way() => refused(format!(
            "{} is being fenced; `standfast fence history` shows it. One at a time",
            act.node
        )),
        Some(act) => refused(format!(
            "{} was fenced and is not back; one at a time",
            act.node
        )),
    }
}

/// A node is to be fenced whose drill is under way: the drill becomes a fencing, with all levels.
fn widen(state: &mut ClusterState, entry: &mut Entry, place: usize, asked: &Asked<'_>) {
    let levels = state.config.fencing.levels_of(asked.node);
    let Some(act) = state.fences.get_mut(place) else {
        return;
    };
    if act.drill.take().is_none() {
        return;
    }
    let tried = act.levels.clone();
    let others = levels.into_iter().filter(|level| !tried.contains(level));
    act.levels.extend(others);
    act.power_on = asked.power_on;
    let text = format!(
        "the drill of {} becomes a fencing, as {} asks for one",
        asked.node, asked.by
    );
    remember(act, text.clone());
    entry.write(state, "fence", text, Vec::new());
}

fn begin(state: &mut ClusterState, entry: &mut Entry, asked: &Asked<'_>) -> Result<(), Refusal> {
    let node = asked.node;
    if asked.drill.is_some() {
        check_drill(state, node)?;
    }
    let mut acts = state.fences.iter();
    if let Some(place) = acts.position(|act| act.node == *node && act.is_under_way()) {
        // Everybody who asks meanwhile means the same act.
        widen(state, entry, place, asked);
        return Ok(());
    }
    let known = state.nodes.get(node);
    if asked.lost && known.is_some_and(|known| known.online || is_known(state, node, known)) {
        return Ok(());
    }
    let levels = levels(state, asked)?;
    let Some(executor) = executor(state, node, &BTreeSet::new()) else {
        let text = format!("no other node is there that could fence {node}");
        return Err(refuse(RefusalKind::Unsafe, text));
    };
    let act = FenceAct {
        id: entry.index,
        node: node.clone(),
        incarnation: asked.incarnation,
        by: asked.by.to_owned(),
        why: asked.why.to_owned(),
        power_on: asked.power_on,
        lost: asked.lost,
        drill: asked.drill,
        levels,
        level: 0,
        executor: Some(executor.clone()),
        executor_run: run_of(state, &executor),
        turn: 1,
        spent: BTreeSet::new(),
        tries: Vec::new(),
        outcome: FenceOutcome::UnderWay,
        began_ms: entry.wall_ms,
        ended_ms: 0,
    };
    let why = if asked.why.is_empty() {
        String::new()
    } else {
        format!(", because {}", asked.why)
    };
    let by = asked.by;
    let text = format!("{by} fences {node}{why}; {executor} carries it out");
    let evidence = (1..).zip(&act.levels).map(|(number, devices)| {
        format!("level {}: {}", act.drill.unwrap_or(number), names(devices))
    });
    let evidence = evidence.collect();
    keep(state, act);
    entry.write(state, "fence", text, evidence);
    Ok(())
}

pub(crate) fn names(devices: &[DeviceId]) -> String {
    let names: Vec<&str> = devices.iter().map(DeviceId::as_str).collect();
    names.join(" and ")
}

/// The oldest that have ended go first; one that is under way never does.
fn keep(state: &mut ClusterState, act: FenceAct) {
    state.fences.push_back(act);
    while state.fences.len() > ACTS_LIMIT {
        let Some(oldest) = state.fences.iter().position(|act| !act.is_under_way()) else {
            return;
        };
        state.fences.remove(oldest);
    }
}

fn count(state: &mut ClusterState, outcome: FenceOutcome) {
    let total = state.fence_totals.entry(outcome).or_default();
    *total = total.saturating_add(1);
}

fn current(state: &mut ClusterState, id: u64, turn: u32) -> Option<&mut FenceAct> {
    let mut acts = state.fences.iter_mut();
    acts.find(|act| act.id == id && act.turn == turn && act.is_under_way())
}

pub(crate) fn remember(act: &mut FenceAct, what: String) {
    act.tries.push(what);
    if act.tries.len() > TRIES_LIMIT {
        act.tries.remove(0);
    }
}

/// What a pair has done by its own protocol, and is over: it is told once, and releases nothing.
fn note(state: &mut ClusterState, entry: &mut Entry, told: &FenceAct) {
    let same = |act: &FenceAct| {
        (&act.node, act.incarnation, act.began_ms) == (&told.node, told.incarnation, told.began_ms)
    };
    if told.is_under_way() || state.fences.iter().any(same) {
        return;
    }
    let surplus = told.tries.len().saturating_sub(TRIES_LIMIT);
    let act = FenceAct {
        id: entry.index,
        executor: None,
        tries: told.tries.iter().skip(surplus).cloned().collect(),
        ..told.clone()
    };
    let text = format!("{} had {} fenced, because {}", act.by, act.node, act.why);
    entry.write(state, "fence", text, act.tries.clone());
    count(state, act.outcome);
    keep(state, act);
}

/// The executor went away: somebody else takes the level over.
fn order(state: &mut ClusterState, entry: &mut Entry, (id, turn): (u64, u32), to: &NodeId) {
    let run = run_of(state, to);
    let Some(act) = current(state, id, turn) else {
        return;
    };
    if act.drill.is_some() {
        let gone = act.executor.as_ref().map_or("nobody", NodeId::as_str);
        let text = format!("{gone} went away, and a drill is tried by one node");
        remember(act, text);
        return give_up(state, entry, id);
    }
    let before = act.executor.replace(to.clone());
    act.executor_run = run;
    act.turn = act.turn.saturating_add(1);
    let who = before.map_or_else(String::new, |before| format!("{before} went away; "));
    let text = format!("{who}{to} goes on with the fencing of {}", act.node);
    remember(act, text.clone());
    entry.write(state, "fence", text, Vec::new());
}

fn end_order(state: &mut ClusterState, entry: &mut Entry, result: &FenceResult) {
    let Some(act) = current(state, result.id, result.turn) else {
        return;
    };
    let executor = act.executor.clone();
    let who = executor
        .as_ref()
        .map_or("nobody", NodeId::as_str)
        .to_owned();
    let level = usize::try_from(act.level).unwrap_or(usize::MAX);
    let devices = act
        .levels
        .get(level)
        .map(|devices| names(devices))
        .unwrap_or_default();
    let took = result.took.as_millis_ceil();
    let node = act.node.clone();
    if result.problem.is_empty() {
        let note = if result.note.is_empty() {
            String::new()
        } else {
            format!("; {}", result.note)
        };
        let text = format!("{node} is off, as {devices} said to {who} after {took} ms{note}");
        remember(act, text.clone());
        act.outcome = FenceOutcome::Off;
        act.executor = None;
        act.ended_ms = entry.wall_ms;
        entry.write(state, "fence", text, Vec::new());
        count(state, FenceOutcome::Off);
        release(state, &node);
        return;
    }
    let number = act.drill.unwrap_or(act.level.saturating_add(1));
    let problem = &result.problem;
    remember(
        act,
        format!("level {number} ({devices}) from {who}, {took} ms: {problem}"),
    );
    next_try(state, entry, result.id, executor);
}

/// The next level; after the last one somebody else, from the first on; after everybody it has failed.
fn next_try(state: &mut ClusterState, entry: &mut Entry, id: u64, executor: Option<NodeId>) {
    let Some(place) = state.fences.iter().position(|act| act.id == id) else {
        return;
    };
    let acts = state.fences.get(place);
    let back = acts.is_some_and(|act| is_back(state, act));
    let run = executor.as_ref().map(|executor| run_of(state, executor));
    let Some(act) = state.fences.get_mut(place) else {
        return;
    };
    act.turn = act.turn.saturating_add(1);
    act.level = act.level.saturating_add(1);
    act.executor_run = run.unwrap_or_default();
    if back {
        return call_off(state, entry, place);
    }
    if usize::try_from(act.level).is_ok_and(|level| level < act.levels.len()) {
        return;
    }
    act.level = 0;
    act.spent.extend(executor);
    let (node, spent) = (act.node.clone(), act.spent.clone());
    let drill = act.drill.is_some();
    let next = self::executor(state, &node, &spent).filter(|_| !drill);
    let run = next.as_ref().map(|next| run_of(state, next));
    let Some(act) = state.fences.get_mut(place) else {
        return;
    };
    act.executor.clone_from(&next);
    act.executor_run = run.unwrap_or_default();
    if next.is_none() {
        give_up(state, entry, id);
    }
}

/// Nothing is left to be tried.
fn give_up(state: &mut ClusterState, entry: &mut Entry, id: u64) {
    let Some(act) = state.fences.iter_mut().find(|act| act.id == id) else {
        return;
    };
    act.outcome = FenceOutcome::Failed;
    act.executor = None;
    act.ended_ms = entry.wall_ms;
    let node = act.node.clone();
    let evidence = act.tries.clone();
    let text = format!(
        "the fencing of {node} failed: nobody knows whether it is off, and nothing is released by it"
    );
    entry.write(state, "fence", text, evidence);
    count(state, FenceOutcome::Failed);
}

/// A lost node is back before anything was done to it, or could be: it goes on.
fn call_off(state: &mut ClusterState, entry: &mut Entry, place: usize) {
    let Some(act) = state.fences.get_mut(place) else {
        return;
    };
    act.outcome = FenceOutcome::CalledOff;
    act.executor = None;
    act.ended_ms = entry.wall_ms;
    let evidence = act.tries.clone();
    let text = format!("{} is back: it is not fenced", act.node);
    entry.write(state, "fence", text, evidence);
    count(state, FenceOutcome::CalledOff);
}

fn confirm(
    state: &mut ClusterState,
    entry: &mut Entry,
    node: &NodeId,
    by: &str,
) -> Result<(), Refusal> {
    if state.nodes.get(node).is_some_and(|known| known.online) {
        let text = format!("{node} is heard: it cannot be off. Switch it off first");
        return Err(refuse(RefusalKind::Unsafe, text));
    }
    let run = run_of(state, node);
    let acts = state.fences.iter_mut().rev();
    // One that failed for an earlier run says nothing of this one.
    let open = acts.filter(|act| act.node == *node).find(|act| {
        act.is_under_way() || (act.outcome == FenceOutcome::Failed && act.incarnation == run)
    });
    let Some(act) = open else {
        return confirm_unasked(state, entry, node, by);
    };
    act.outcome = FenceOutcome::Confirmed;
    act.executor = None;
    act.ended_ms = entry.wall_ms;
    let text = format!("{by} confirms that {node} is off");
    remember(act, text.clone());
    entry.write(state, "fence", text, Vec::new());
    count(state, FenceOutcome::Confirmed);
    release(state, node);
    Ok(())
}

/// Nobody has fenced it, and something waits for its fencing: what an operator says is enough.
fn confirm_unasked(
    state: &mut ClusterState,
    entry: &mut Entry,
    node: &NodeId,
    by: &str,
) -> Result<(), Refusal> {
    let mut holders = state.may_hold.values();
    let waited_for = holders.any(|holders| holders.contains(node));
    let Some(known) = state.nodes.get(node).filter(|_| waited_for) else {
        let text =
            format!("no fencing of {node} is under way, none has failed, and nothing waits for it");
        return Err(refuse(RefusalKind::NoSuchItem, text));
    };
    let text = format!("{by} confirms that {node} is off");
    let act = FenceAct {
        id: entry.index,
        node: node.clone(),
        incarnation: known.report.incarnation,
        by: by.to_owned(),
        why: String::new(),
        power_on: false,
        lost: false,
        drill: None,
        levels: Vec::new(),
        level: 0,
        executor: None,
        executor_run: Incarnation::default(),
        turn: 0,
        spent: BTreeSet::new(),
        tries: vec![text.clone()],
        outcome: FenceOutcome::Confirmed,
        began_ms: entry.wall_ms,
        ended_ms: entry.wall_ms,
    };
    keep(state, act);
    entry.write(state, "fence", text, Vec::new());
    count(state, FenceOutcome::Confirmed);
    release(state, node);
    Ok(())
}

fn void(state: &mut ClusterState, entry: &mut Entry, id: u64, why: &str) {
    let mut acts = state.fences.iter_mut();
    let Some(act) = acts.find(|act| act.id == id && act.says_off()) else {
        return;
    };
    act.outcome = FenceOutcome::Void;
    let node = act.node.clone();
    remember(act, why.to_owned());
    let text =
        format!("the fencing of {node} is void: {why}. A device lies, or acts on another machine");
    entry.write(state, "fence", text, Vec::new());
    count(state, FenceOutcome::Void);
}

/// Whether an act for this very run of a node is known, however it ended: a run is fenced once by the cluster. A drill that is
/// over is none: it tried one level from one node.
pub(crate) fn is_known(state: &ClusterState, node: &NodeId, known: &NodeState) -> bool {
    let acts = state.fences.iter();
    let mut acts = acts.filter(|act| {
        act.outcome != FenceOutcome::CalledOff && (act.drill.is_none() || act.is_under_way())
    });
    acts.any(|act| act.node == *node && act.incarnation == known.report.incarnation)
}
