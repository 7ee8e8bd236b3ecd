//! Turns: what starts after something else is active, and stops before it does. One plan leaves no choice to whoever
//! carries it out, so a leader decides one after the other: who has to wait is given no node, or keeps the one that it has.
//!
//! Copies of a group: `then` waits for all copies of `first` that are to run, and goes on as long as one of them runs. Between
//! two groups with copies turns go node by node. That no more copies run than may is in `copies`.
//!
//! Level-triggered: everything comes from the plan in force, what nodes report, and who may still be running what. A lost
//! node is waited for no longer than its leases last: whoever decides has seen them expire.
//!
//! Not for where things belong: that is placement, which knows nothing of turns.

use crate::copies;
use standfast_model::{
    config::ClusterConfig,
    constraint::Sequence,
    copies::written,
    id::{GroupId, NodeId},
    plan::{Assignment, Reason, Run, Waiting},
    state::{ClusterState, Phase},
};
use standfast_schedule::Placement;
use std::collections::{BTreeMap, BTreeSet};

/// Where each group is to be now, and who waits.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stage {
    pub(crate) placements: BTreeMap<GroupId, Placement>,
    pub(crate) waiting: BTreeMap<GroupId, Waiting>,
    /// Groups that stay where they are although they are to move, stop or restart.
    pub(crate) held: BTreeSet<GroupId>,
    /// Groups that are given to their nodes anew: something that they were started after was restarted.
    pub(crate) anew: BTreeSet<GroupId>,
    /// The runs that a group is started after.
    pub(crate) after: BTreeMap<GroupId, BTreeMap<GroupId, Run>>,
}

impl Stage {
    /// Everything at once, as where nothing is in order.
    pub(crate) fn at_once(placements: BTreeMap<GroupId, Placement>) -> Self {
        Self {
            placements,
            ..Self::default()
        }
    }

    /// What is to be said of a group's turn.
    pub(crate) fn reason(&self, group: &GroupId, here: Option<&NodeId>) -> Option<Reason> {
        let Waiting { order, on, node } = self.waiting.get(group)?;
        let text = match (here, node) {
            (Some(here), _) => format!("order {order}: stays on {here} until {on} is stopped"),
            (None, Some(there)) => {
                format!("order {order}: waits until {on} is active, and is to run on {there}")
            }
            (None, None) => format!("order {order}: waits until {on} is active"),
        };
        Some(Reason {
            node: None,
            score: 0,
            text,
        })
    }

    /// Whether what operators asked for a group is still on its way: it, or what it has to be with, is held.
    pub(crate) fn is_under_way(&self, config: &ClusterConfig, group: &GroupId) -> bool {
        if self.held.is_empty() {
            return false;
        }
        let mut open = vec![group];
        let mut seen = BTreeSet::new();
        while let Some(one) = open.pop() {
            if self.held.contains(one) {
                return true;
            }
            let colocations = config.constraints.colocations.values();
            let with = colocations
                .filter(|colocation| colocation.group == *one && colocation.is_must())
                .map(|colocation| &colocation.with);
            open.extend(with.filter(|with| seen.insert((*with).clone())));
        }
        false
    }
}

/// What a new plan does with a group, as a sentence. `restarted`: an operator has asked for it.
pub(crate) fn told(
    group: &GroupId,
    old: Option<&Assignment>,
    new: &Assignment,
    restarted: bool,
) -> Option<String> {
    let before = old.and_then(|old| old.node.as_ref());
    let waits = new.waiting.as_ref();
    let news = waits.filter(|_| old.and_then(|old| old.waiting.as_ref()) != waits);
    let text = match (before, &new.node) {
        (Some(here), Some(there)) if here == there => match news {
            Some(Waiting { order, on, .. }) => {
                format!("{group} stays on {here} until {on} is stopped (order {order})")
            }
            None if waits.is_some() => return None,
            None if restarted => format!("{group} is restarted on {here}"),
            None if old.is_some_and(|old| old.since != new.since) => {
                format!("{group} is restarted on {here}, because what it starts after was")
            }
            None => return None,
        },
        (Some(from), Some(to)) => format!("{group} moves from {from} to {to}"),
        (None, Some(to)) => format!("{group} starts on {to}"),
        (Some(from), None) => match waits {
            Some(Waiting { order, on, .. }) => {
                format!("{group} stops on {from} and waits until {on} is active (order {order})")
            }
            None => format!("{group} stops on {from} and runs nowhere"),
        },
        (None, None) => {
            let Waiting { order, on, .. } = news?;
            format!("{group} waits until {on} is active (order {order})")
        }
    };
    Some(text)
}

/// Whether a group that the plan gives to a node may begin to run there: what it starts after is active, as a node says that
/// is there now. The plan may be from before an outage, and count on what ran then.
/// `said`: whether the state's report of a node is the last one of the agent that runs there now, and is heard.
pub(crate) fn turn_has_come(
    state: &ClusterState,
    config: &ClusterConfig,
    said: &dyn Fn(&NodeId) -> bool,
    group: &GroupId,
) -> bool {
    let turns = Turns {
        state,
        config,
        online: said,
        up: BTreeSet::new(),
        wanted: BTreeMap::new(),
        stage: Stage::default(),
    };
    let mut sequences = turns.sequences().filter(|(_, one)| one.then == *group);
    sequences.all(|(_, one)| {
        let first = &one.first;
        // What need not run is waited for only while it is on its way.
        let begins = turns.here(first).is_some() && !turns.phases(first).contains(&Phase::Failed);
        let copies = config.copy_of(first).filter(|_| turns.is_one_of(one));
        let mut others = copies.iter().flat_map(|of| config.copies_of(&of.group));
        turns.is_maintained(first)
            || turns.is_active(first)
            || others.any(|(copy, _)| turns.is_active(copy))
            || !(one.is_strict() || begins)
    })
}

/// What can be done of a placement now.
pub(crate) fn stage(
    state: &ClusterState,
    config: &ClusterConfig,
    online: &dyn Fn(&NodeId) -> bool,
    placements: BTreeMap<GroupId, Placement>,
) -> Stage {
    let sequences = &config.constraints.sequences;
    let mut stage = if sequences.is_empty() {
        Stage::at_once(placements)
    } else {
        in_turns(state, config, online, placements)
    };
    copies::make_room((state, config, online), &mut stage);
    stage
}

fn in_turns(
    state: &ClusterState,
    config: &ClusterConfig,
    online: &dyn Fn(&NodeId) -> bool,
    placements: BTreeMap<GroupId, Placement>,
) -> Stage {
    let order = in_order(config);
    let mut turns = Turns {
        state,
        config,
        online,
        up: BTreeSet::new(),
        wanted: placements
            .iter()
            .map(|(group, placement)| (group.clone(), placement.node.clone()))
            .collect(),
        stage: Stage::at_once(placements),
    };
    for group in &order {
        turns.start(group);
    }
    let mut leaving = BTreeSet::new();
    for group in order.iter().rev() {
        turns.stop(group, &mut leaving);
    }
    for group in &order {
        turns.remember(group);
    }
    turns.stage
}

/// Where everything is when all have had their turn: what starts after something that stops or moves is restarted. Not to
/// be carried out, only to be shown.
pub(crate) fn settled(
    state: &ClusterState,
    config: &ClusterConfig,
    mut placements: BTreeMap<GroupId, Placement>,
) -> Stage {
    let mut anew: BTreeSet<GroupId> = BTreeSet::new();
    let order = if config.constraints.sequences.is_empty() {
        Vec::new()
    } else {
        in_order(config)
    };
    for group in order {
        let Some((name, sequence)) = not_up(state, config, &placements, &anew, &group) else {
            continue;
        };
        let first = &sequence.first;
        let runs = placements.get(first).is_some_and(|p| p.node.is_some());
        let Some(placement) = placements.get_mut(&group) else {
            continue;
        };
        if runs {
            anew.insert(group);
        } else if placement.node.take().is_some() {
            let text = format!("order {name}: waits until {first} is active");
            let turn = Reason {
                node: None,
                score: 0,
                text,
            };
            placement.reasons.insert(0, turn);
        }
    }
    Stage {
        placements,
        anew,
        ..Stage::default()
    }
}

/// An order by which a group has to stop, or not to start: what comes first does not simply run on.
fn not_up<'c>(
    state: &ClusterState,
    config: &'c ClusterConfig,
    placements: &BTreeMap<GroupId, Placement>,
    anew: &BTreeSet<GroupId>,
    group: &GroupId,
) -> Option<(&'c String, &'c Sequence)> {
    let here = |group: &GroupId| state.plan.groups.get(group).and_then(|a| a.node.as_ref());
    let left_alone = |group: &GroupId| {
        let settings = config.groups.get(group);
        config.maintenance || settings.is_some_and(|settings| settings.maintenance)
    };
    let runs_on = |group: &GroupId| {
        let node = placements.get(group).and_then(|p| p.node.as_ref());
        let orders = state.orders.get(group);
        let restarts = orders.is_some_and(|orders| orders.restart.is_some());
        let stays = node.is_some() && node == here(group);
        left_alone(group) || (stays && !restarts && !anew.contains(group))
    };
    if left_alone(group) {
        return None;
    }
    // One of several copies is enough.
    let others_run = |one: &Sequence| {
        let of = config
            .copy_of(&one.first)
            .filter(|_| config.copy_of(group).is_none());
        let mut copies = of.iter().flat_map(|of| config.copies_of(&of.group));
        copies.any(|(copy, _)| placements.get(copy).is_some_and(|p| p.node.is_some()))
    };
    let may_run_on = |one: &Sequence| one.optional || (one.one_way && here(group).is_some());
    let mut sequences = config.constraints.sequences.iter();
    sequences.find(|(_, one)| {
        one.then == *group && !may_run_on(one) && !runs_on(&one.first) && !others_run(one)
    })
}

/// All groups, each after those that it starts after.
fn in_order(config: &ClusterConfig) -> Vec<GroupId> {
    let mut order: Vec<GroupId> = Vec::new();
    let mut begun = BTreeSet::new();
    for group in config.groups.keys() {
        visit(config, group, &mut begun, &mut order);
    }
    order
}

fn visit<'c>(
    config: &'c ClusterConfig,
    group: &'c GroupId,
    begun: &mut BTreeSet<&'c GroupId>,
    order: &mut Vec<GroupId>,
) {
    if !begun.insert(group) {
        return;
    }
    for sequence in config.constraints.sequences.values() {
        if sequence.then == *group {
            visit(config, &sequence.first, begun, order);
        }
    }
    order.push(group.clone());
}

struct Turns<'t> {
    state: &'t ClusterState,
    config: &'t ClusterConfig,
    online: &'t dyn Fn(&NodeId) -> bool,
    /// Where placement wants each.
    wanted: BTreeMap<GroupId, Option<NodeId>>,
    /// Groups that run where they belong, and stay.
    up: BTreeSet<GroupId>,
    stage: Stage,
}

impl<'t> Turns<'t> {
    fn given(&self, group: &GroupId) -> Option<(&'t Assignment, &'t NodeId)> {
        let given = self.state.plan.groups.get(group)?;
        Some((given, given.node.as_ref()?))
    }

    fn here(&self, group: &GroupId) -> Option<&'t NodeId> {
        self.given(group).map(|(_, node)| node)
    }

    fn wants(&self, group: &GroupId) -> Option<NodeId> {
        self.wanted.get(group).cloned().flatten()
    }

    fn is_maintained(&self, group: &GroupId) -> bool {
        let settings = self.config.groups.get(group);
        self.config.maintenance || settings.is_some_and(|settings| settings.maintenance)
    }

    fn is_to_restart(&self, group: &GroupId) -> bool {
        let orders = self.state.orders.get(group);
        orders.is_some_and(|orders| orders.restart.is_some()) || self.stage.anew.contains(group)
    }

    fn sequences(&self) -> impl Iterator<Item = (&'t String, &'t Sequence)> + use<'t> {
        self.config.constraints.sequences.iter()
    }

    /// Each member's phase where the plan has the group.
    fn phases(&self, group: &GroupId) -> Vec<Phase> {
        let Some((given, node)) = self.given(group) else {
            return Vec::new();
        };
        let known = self.state.nodes.get(node);
        let settings = self.config.groups.get(group);
        let members = settings.map(|settings| settings.members.iter());
        let phase = |member| {
            let seen = known.and_then(|known| known.report.instances.get(member));
            let seen = seen.filter(|seen| seen.since == given.since_of(member));
            seen.map_or(Phase::Inactive, |seen| seen.phase)
        };
        members.into_iter().flatten().map(phase).collect()
    }

    fn is_active(&self, group: &GroupId) -> bool {
        let there = self.here(group).is_some_and(self.online);
        there
            && self
                .phases(group)
                .iter()
                .all(|phase| *phase == Phase::Active)
    }

    /// The run of a group where the plan has it.
    fn run(&self, group: &GroupId) -> Option<Run> {
        let (_, node) = self.given(group)?;
        let report = &self.state.nodes.get(node)?.report;
        let members = self.config.groups.get(group)?.members.iter();
        let seen = members.filter_map(|member| report.instances.get(member));
        Some(Run {
            incarnation: report.incarnation,
            failures: seen.map(|seen| u64::from(seen.failures)).sum(),
        })
    }

    /// Whether a group was restarted since another one was started after it.
    fn was_restarted(&self, first: &GroupId, then: &GroupId) -> bool {
        let given = self.state.plan.groups.get(then);
        let before = given.and_then(|given| given.after.get(first));
        let (Some(before), Some(now)) = (before, self.run(first)) else {
            return false;
        };
        // Another run of the agent counts from the beginning.
        let known = if before.incarnation == now.incarnation {
            before.failures
        } else {
            0
        };
        now.failures > known
    }

    /// Whether a group may start, or run on, now. Those before it are settled.
    fn start(&mut self, group: &GroupId) {
        let wanted = self.wants(group);
        let Some(node) = wanted.filter(|_| !self.is_maintained(group)) else {
            if self.is_maintained(group) && self.is_active(group) {
                self.up.insert(group.clone());
            }
            return;
        };
        let stays = self.here(group) == Some(&node) && !self.is_to_restart(group);
        let (mut gate, mut anew) = (None, false);
        for (name, sequence) in self.sequences().filter(|(_, one)| one.then == *group) {
            let first = &sequence.first;
            if self.up.contains(first) {
                let all_of_it = !self.is_one_of(sequence);
                let strict = sequence.is_strict() && all_of_it;
                anew |= stays && strict && self.was_restarted(first, group);
            } else if self.has_to_wait(sequence, stays) {
                gate.get_or_insert((name, first));
            }
        }
        if let Some((name, first)) = gate {
            let waiting = Waiting {
                order: written(name).to_owned(),
                on: first.clone(),
                node: Some(node),
            };
            self.stage.waiting.insert(group.clone(), waiting);
            self.give(group, None);
        } else if anew {
            self.stage.anew.insert(group.clone());
        } else if stays && self.is_active(group) {
            self.up.insert(group.clone());
        }
    }

    /// Whether a copy fails at present, or has to wait until others have stopped: for that nobody waits as long as one is up.
    fn comes_late(&self, copy: &GroupId, copies: &[&GroupId]) -> bool {
        let of = self.config.copy_of(copy).map(|copy| &copy.group);
        let most = of.map_or(0, |of| self.config.copies_wanted(of));
        let begun = copies.iter().filter(|copy| self.may_run(copy)).count();
        let full = self.here(copy).is_none() && begun >= most;
        full || self.phases(copy).contains(&Phase::Failed)
    }

    /// Whether what comes first is one of several copies that another group starts after.
    fn is_one_of(&self, sequence: &Sequence) -> bool {
        let copy = |group| self.config.copy_of(group);
        copy(&sequence.first).is_some() && copy(&sequence.then).is_none()
    }

    /// Whether what comes first, and is not up, is waited for. `stays`: the other one would stay where it runs.
    fn has_to_wait(&self, sequence: &Sequence, stays: bool) -> bool {
        let first = &sequence.first;
        if self.is_one_of(sequence) {
            let of = self.config.copy_of(first).map(|copy| &copy.group);
            let copies = of.into_iter().flat_map(|of| self.config.copies_of(of));
            let copies: Vec<&GroupId> = copies.map(|(copy, _)| copy).collect();
            let one_is_up = copies.iter().any(|copy| self.up.contains(*copy));
            if one_is_up && (stays || self.comes_late(first, &copies)) {
                return false;
            }
            // One that is to run nowhere is not waited for while there are others.
            let wanted = |copy: &&GroupId| self.wants(copy).is_some();
            if !wanted(&first) && copies.iter().any(wanted) {
                return false;
            }
        }
        if sequence.optional {
            let failed = self.phases(first).contains(&Phase::Failed);
            return !stays && self.wants(first).is_some() && !failed;
        }
        !stays || !(sequence.one_way || self.is_maintained(first))
    }

    fn give(&mut self, group: &GroupId, node: Option<NodeId>) {
        if let Some(placement) = self.stage.placements.get_mut(group) {
            placement.node = node;
        }
    }

    /// Whether a group has to stay for now because those that stop before it are not stopped. Those after it are settled.
    fn stop(&mut self, group: &GroupId, leaving: &mut BTreeSet<GroupId>) {
        let Some(here) = self.here(group).filter(|_| !self.is_maintained(group)) else {
            return;
        };
        let target = self.stage.placements.get(group);
        let target = target.and_then(|placement| placement.node.clone());
        if target.as_ref() == Some(here) && !self.is_to_restart(group) {
            return;
        }
        leaving.insert(group.clone());
        let runs = self.phases(group).into_iter().any(Phase::may_run);
        if !(self.online)(here) || !runs {
            return;
        }
        let mut before = self.sequences().filter(|(_, one)| {
            let then = &one.then;
            one.first == *group
                && !one.one_way
                && !self.is_maintained(then)
                && (!(one.optional || self.is_one_of(one)) || leaving.contains(then))
                && self.may_run(then)
        });
        let Some((name, sequence)) = before.next() else {
            return;
        };
        let waiting = Waiting {
            order: written(name).to_owned(),
            on: sequence.then.clone(),
            node: self.wants(group),
        };
        self.stage.anew.remove(group);
        self.stage.held.insert(group.clone());
        self.stage.waiting.insert(group.clone(), waiting);
        self.give(group, Some(here.clone()));
    }

    /// Whether a group may be running on a node that is there.
    fn may_run(&self, group: &GroupId) -> bool {
        let settings = self.config.groups.get(group);
        let members = settings.into_iter().flat_map(|settings| &settings.members);
        let mut holders = members.filter_map(|member| self.state.may_hold.get(member));
        holders.any(|nodes| nodes.iter().any(self.online))
    }

    /// Notes which runs a group is started after; one that stays keeps what is noted.
    fn remember(&mut self, group: &GroupId) {
        let target = self.stage.placements.get(group);
        let Some(node) = target.and_then(|placement| placement.node.as_ref()) else {
            return;
        };
        let given = self.state.plan.groups.get(group);
        let given = given.filter(|given| given.node.as_ref() == Some(node));
        let given = given.filter(|_| !self.stage.anew.contains(group));
        let mut after = BTreeMap::new();
        for (_, sequence) in self.sequences().filter(|(_, one)| one.then == *group) {
            let first = &sequence.first;
            let kept = given.and_then(|given| given.after.get(first)).copied();
            let now = self.run(first).filter(|_| self.up.contains(first));
            if let Some(run) = kept.or(now) {
                after.insert(first.clone(), run);
            }
        }
        if !after.is_empty() {
            self.stage.after.insert(group.clone(), after);
        }
    }
}
