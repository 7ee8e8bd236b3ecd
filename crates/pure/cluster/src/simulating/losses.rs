//! What follows when nodes are lost: leases run out, somebody leads, and what ran there starts elsewhere. With too
//! few voters left, nothing does.
//!
//! Not for how long a lease or an election takes: that is the prediction that `status` shows.

use super::{World, timeline::Timeline, timeline::usual};
use crate::{core::Core, view::predictions};
use standfast_model::{
    config::ClusterConfig,
    id::NodeId,
    pair::{Arbiter, PairConfig},
    plan::{Action, ActionKind, Assignment},
    request::{Interruption, InterruptionPart, Refusal, RefusalKind, RtoPrediction},
    simulation::Stage,
    state::ClusterState,
    time::Micros,
};
use standfast_schedule::{actions, interruption::whole};

/// The part of a prediction that is known better here: which resources start, and where.
const START: &str = "start";

impl World<'_> {
    /// Nodes are lost at once.
    pub(super) fn lose(&mut self, nodes: &[NodeId]) -> Result<Stage, Refusal> {
        for node in nodes {
            self.check_lost(node)?;
        }
        let mut stage = Stage {
            what: lost(nodes),
            ..Stage::default()
        };
        let takes_over = self.take_over(nodes, &mut stage.warnings);
        if !takes_over || !self.decides {
            self.stand_still(nodes, &mut stage);
            return Ok(stage);
        }
        let before = self.decide(nodes)?;
        let list = self.actions_without(nodes, &before);
        let timeline = Timeline {
            state: &before,
            configs: (&before.config, &before.config),
            plans: (&before.plan, &self.state.plan),
        };
        let mut found = timeline.interruptions(&list);
        found.retain(|interruption| !nodes.contains(&interruption.from));
        let rto = predictions(&before, &self.core.guards, &before.config);
        let leads = self.leader.as_ref().is_some_and(|l| nodes.contains(l));
        for (group, old) in &before.plan.groups {
            let Some(from) = old.node.as_ref().filter(|node| nodes.contains(node)) else {
                continue;
            };
            let to = self.state.plan.groups.get(group);
            let to = to.and_then(|given| given.node.clone());
            if self.goes_on(group) {
                continue;
            }
            let mut parts = waits(rto.get(group), leads);
            parts.extend(timeline.starts(&list, group));
            let mut away = whole(group, from, to, parts);
            if self.is_unknown(&before, (from, old), &away, &mut stage.warnings) {
                away.length = None;
            }
            found.push(away);
        }
        stage.steps = timeline.steps(&list, &mut found);
        stage.interruptions = found;
        stage.warnings.extend(self.stranded(&before.plan));
        self.elect(nodes);
        Ok(stage)
    }

    fn check_lost(&self, node: &NodeId) -> Result<(), Refusal> {
        self.core.check_node(node)?;
        let known = self.state.nodes.get(node);
        if known.is_some_and(|known| known.online) {
            return Ok(());
        }
        let text = format!("{node} is offline already");
        Err(Core::refusal(RefusalKind::Exists, text))
    }

    /// What is done, without what nobody can do any more.
    fn actions_without(&self, nodes: &[NodeId], before: &ClusterState) -> Vec<Action> {
        let mut list = actions(&before.plan, &self.state.plan);
        list.retain(|action| action.kind == ActionKind::Start || !nodes.contains(&action.node));
        list
    }

    /// Whether somebody is left who decides; in a pair the other one, if its arbiter lets it.
    fn take_over(&mut self, nodes: &[NodeId], warnings: &mut Vec<String>) -> bool {
        if let Some(pair) = self.state.config.pair.clone() {
            return self.pair_goes_on(&pair, nodes, warnings);
        }
        let voters = self.state.members.values().filter(|member| member.voter);
        let (mut all, mut left) = (0_usize, 0_usize);
        for member in voters {
            let known = self.state.nodes.get(&member.node);
            let online = known.is_some_and(|known| known.online);
            all += 1;
            left += usize::from(online && !nodes.contains(&member.node));
        }
        left > all / 2
    }

    fn pair_goes_on(
        &mut self,
        pair: &PairConfig,
        nodes: &[NodeId],
        warnings: &mut Vec<String>,
    ) -> bool {
        let members = self.state.members.values();
        let primary = members
            .filter(|member| member.voter)
            .map(|m| m.node.clone());
        let primary: Vec<NodeId> = primary.collect();
        if !primary.iter().any(|node| nodes.contains(node)) {
            return true;
        }
        if pair.nodes.iter().all(|node| nodes.contains(node)) {
            return false;
        }
        if pair.arbiter == Arbiter::None {
            warnings.push(String::from(
                "nobody takes over by itself: the arbiter is none; `standfast pair force-primary` on the other node does",
            ));
            return false;
        }
        for member in self.state.members.values_mut() {
            member.voter = !nodes.contains(&member.node);
        }
        true
    }

    /// Nobody decides any more: what runs ends with its lease.
    fn stand_still(&mut self, nodes: &[NodeId], stage: &mut Stage) {
        let lease = self.state.config.timing.lease;
        let mut groups = self.state.plan.groups.iter();
        if self.decides {
            let ended = groups.by_ref().filter_map(|(group, given)| {
                let from = given.node.as_ref()?;
                let part = usual(end(from, nodes), lease);
                Some(whole(group, from, None, vec![part]))
            });
            stage.interruptions = ended.collect();
        }
        self.decides = false;
        let plan = &self.state.plan;
        let timeline = Timeline {
            state: &self.state,
            configs: (&self.state.config, &self.state.config),
            plans: (plan, plan),
        };
        stage.steps = timeline.steps(&[], &mut stage.interruptions);
    }

    /// Whether nobody can say how long a group is away, and why.
    fn is_unknown(
        &self,
        before: &ClusterState,
        (from, old): (&NodeId, &Assignment),
        away: &Interruption,
        warnings: &mut Vec<String>,
    ) -> bool {
        let group = &away.group;
        let Some(to) = &away.to else { return false };
        if before.config.pair.is_some() {
            warnings.push(format!(
                "how long {group} is away depends on the arbiter, and is not estimated"
            ));
            return true;
        }
        let mut members = old.members.iter();
        let waits = members.any(|member| before.waits_for_fencing(from, member));
        if waits && !fences(&before.config, from) {
            warnings.push(format!(
                "{group} starts on {to} only when {from} is known to be off, and nothing fences it by itself: \
                 `standfast fence {from}`, or `standfast fence confirm {from}`"
            ));
        }
        waits && !fences(&before.config, from)
    }

    /// Who leads when the leader is lost: an idle node, if there is one.
    fn elect(&mut self, nodes: &[NodeId]) {
        if !self.leader.as_ref().is_some_and(|l| nodes.contains(l)) {
            return;
        }
        let plan = &self.state.plan;
        let busy = |node: &NodeId| {
            let mut groups = plan.groups.values();
            groups.any(|given| given.node.as_ref() == Some(node))
        };
        let voters = self.state.members.values().filter(|member| member.voter);
        let online = voters.filter(|member| {
            let known = self.state.nodes.get(&member.node);
            known.is_some_and(|known| known.online)
        });
        let mut left: Vec<&NodeId> = online.map(|member| &member.node).collect();
        left.sort_by_key(|node| busy(node));
        self.leader = left.first().map(|node| (*node).clone());
    }
}

/// Whether a lost node is fenced without anybody asking for it.
fn fences(config: &ClusterConfig, node: &NodeId) -> bool {
    !config.fencing.manual && !config.fencing.levels_of(node).is_empty()
}

/// What passes before anything can start.
fn waits(rto: Option<&RtoPrediction>, leads: bool) -> Vec<InterruptionPart> {
    let Some(rto) = rto else { return Vec::new() };
    let parts = rto.parts.iter().filter(|(name, _)| name != START);
    let mut parts: Vec<InterruptionPart> = parts
        .map(|(name, length)| usual(name.clone(), *length))
        .collect();
    let more = rto.node_and_leader_lost.minus(rto.node_lost);
    if leads && more > Micros::ZERO {
        let position = parts.len().min(1);
        parts.insert(position, usual(String::from("election of a leader"), more));
    }
    parts
}

/// How a node's services end where nobody decides any more.
fn end(from: &NodeId, nodes: &[NodeId]) -> String {
    if nodes.contains(from) {
        return format!("{from} is lost");
    }
    format!("the lease of {from} runs out, and what it runs is stopped")
}

fn lost(nodes: &[NodeId]) -> String {
    let names: Vec<&str> = nodes.iter().map(NodeId::as_str).collect();
    match names.as_slice() {
        [one] => format!("{one} is lost"),
        many => format!("{} are lost at once", many.join(" and ")),
    }
}
