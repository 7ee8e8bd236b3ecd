//! Upgrades: agents that are asked to restart one after the other, and the feature level, which rises when all members know
//! more than it. Not for the order of an upgrade: that is the command line's, from what the state says.

use crate::{
    apply::{Entry, refuse},
    core::Core,
};
use standfast_model::{
    command::Change,
    effect::{Effect, Level},
    id::{Incarnation, MemberId, NodeId},
    planted::Planted,
    request::{Refusal, RefusalKind, Request},
    state::{ClusterState, NodeState},
    time::{Micros, Now},
};

/// A leader that is to restart waits this long for somebody else to lead.
const HAND_OVER: Micros = Micros::from_millis(10_000);
/// Who asks for a restart here waits less: the answer is waited for.
const HEIR: Micros = Micros::from_millis(5_000);
/// A restart that was refused is asked for again after this time, as long as it is wanted.
const AGAIN: Micros = Micros::from_millis(1_000);

/// An agent is asked to restart. One at a time, and none while a member is missing: decided here, where everybody
/// decides the same, whoever asks.
///
/// # Errors
/// Which other node keeps this one from it.
pub(crate) fn ask_restart(
    state: &mut ClusterState,
    entry: &mut Entry,
    (node, incarnation, by): (&NodeId, Incarnation, &str),
) -> Result<(), Refusal> {
    let others = state.members.values().map(|member| &member.node);
    for other in others.filter(|other| *other != node) {
        let known = state.nodes.get(other);
        if known.is_some_and(NodeState::is_to_restart) || state.restart_grants.contains_key(other) {
            let text = format!("{other} is being restarted; {node} has to wait for it");
            return Err(refuse(RefusalKind::Stale, text));
        }
        if !known.is_some_and(|known| known.online && !known.is_leaving()) {
            let text = format!(
                "{other} is not there: a restart of {node} now would take a second node away; bring {other} back, or remove it"
            );
            return Err(refuse(RefusalKind::Unsafe, text));
        }
    }
    let known = state.nodes.entry(node.clone()).or_default();
    if known.restart_wanted != Some(incarnation) {
        known.restart_wanted = Some(incarnation);
        let text = format!("{by} asked the agent of {node} to restart");
        entry.write(state, "node", text, Vec::new());
    }
    Ok(())
}

/// The feature level rises; it never falls.
pub(crate) fn raise_level(state: &mut ClusterState, entry: &mut Entry, level: u32) {
    if level <= state.feature_level {
        return;
    }
    let first = state.feature_level == 0;
    state.feature_level = level;
    if !first {
        let text = format!("all nodes know feature level {level}: it is in use from now on");
        entry.write(state, "upgrade", text, Vec::new());
    }
}

impl Core {
    /// The command that asks a node's agent to restart.
    ///
    /// # Errors
    /// There is no such node.
    pub(crate) fn ask_restart(&self, node: NodeId, by: String) -> Result<Change, Refusal> {
        self.check_node(&node)?;
        let incarnation = self.incarnation_of(&node);
        Ok(Change::AskRestart {
            node,
            incarnation,
            by,
        })
    }

    /// Asks for this agent's own restart when the state wants it. A leader hands leadership over first, if it can.
    pub(crate) fn restart_when_asked(&mut self, now: Now) {
        let known = self.state.nodes.get(&self.node);
        if known.is_none_or(|known| known.restart_wanted != Some(self.incarnation)) {
            self.ending.restart_wanted = None;
            return;
        }
        let since = *self.ending.restart_wanted.get_or_insert(now);
        let waits = self.leads() && self.has_heir() && now.held_since(since) < HAND_OVER;
        let tried = self
            .ending
            .restart_tried
            .is_some_and(|at| now.held_since(at) < AGAIN);
        if waits || tried || self.restart_asked.is_some() {
            return;
        }
        self.ending.restart_tried = Some(now);
        // Nobody waits for the answer: that it happened is seen by everybody.
        let id = self.incarnation.0.rotate_left(17) ^ now.boot;
        let author = String::new();
        self.on_request(now, id, Request::Restart { author });
    }

    /// Whether a node that was asked to restart has to wait because another one is not heard just now: that one was there
    /// when this one was asked. Whoever restarts by itself does not ask anybody.
    pub(crate) fn cannot_be_spared(&self, now: Now, origin: Option<&NodeId>) -> bool {
        let node = origin.unwrap_or(&self.node);
        let asked = self.state.nodes.get(node);
        let Some(lead) = self
            .lead
            .as_ref()
            .filter(|_| asked.is_some_and(NodeState::is_to_restart))
        else {
            return false;
        };
        let mut others = self.state.members.values().map(|member| &member.node);
        others.any(|other| other != node && !lead.is_heard(other, now, &self.timing()))
    }

    /// Whether a restart that was asked for here waits because somebody else is to lead first.
    pub(crate) fn waits_for_heir(&self, now: Now) -> bool {
        let asked = self.restart_asked;
        self.leads() && self.has_heir() && asked.is_some_and(|at| now.held_since(at) < HEIR)
    }

    /// Whether leadership is to go because this agent is about to end or to restart.
    pub(crate) fn gives_leadership_away(&self) -> bool {
        (self.ending.leave_asked.is_some() && !self.runs_anything()) || self.is_to_restart()
    }

    /// Whether this agent is to restart, and not yet allowed to.
    pub(crate) fn is_to_restart(&self) -> bool {
        let asks = self.restart_asked.is_some() && self.clients.restart_index.is_none();
        asks || self.ending.restart_wanted.is_some()
    }

    /// Raises the feature level when every member's program knows more.
    pub(crate) fn raise_feature_level(&mut self, now: Now) {
        let level = self.level_of_all();
        let next = MemberId(self.state.next_member);
        let Some(lead) = &mut self.lead else { return };
        // Whoever is on its way in has not said yet what it knows.
        if level <= self.state.feature_level || lead.newcomer.is_some_and(|member| member >= next) {
            return;
        }
        lead.raised = lead.raised.max(level);
        self.propose(now, None, Change::RaiseLevel { level });
    }

    /// What every member's program knows, as far as they have said; zero while one of them has not.
    pub(crate) fn level_of_all(&self) -> u32 {
        let levels = self.state.members.values().map(|member| {
            let known = self.state.nodes.get(&member.node);
            known
                .filter(|known| known.report.version > 0)
                .map_or(0, |known| known.report.level())
        });
        if self.planted(Planted::LevelRaisedEarly) {
            return levels.max().unwrap_or(0);
        }
        levels.min().unwrap_or(0)
    }

    /// A command that some member could not read is refused before it is in the log. Where all can, and the
    /// level is only not raised yet, it is raised first: a new cluster takes everything from its first moment.
    ///
    /// # Errors
    /// Who cannot.
    pub(crate) fn check_level(&mut self, now: Now, change: &Change) -> Result<(), Refusal> {
        if change.level() <= self.state.level() {
            return Ok(());
        }
        if change.level() <= self.level_of_all() {
            self.raise_feature_level(now);
            return Ok(());
        }
        let old: Vec<String> = self
            .state
            .members
            .values()
            .filter_map(|member| {
                let report = &self.state.nodes.get(&member.node)?.report;
                let version = &report.program_version;
                (report.level() < change.level()).then(|| format!("{} ({version})", member.node))
            })
            .collect();
        let text = format!(
            "not every node's program knows this yet: {}; finish the upgrade first (`standfast upgrade`)",
            old.join(", ")
        );
        Err(refuse(RefusalKind::Unsafe, text))
    }

    /// Whether this program can go on with what the cluster has agreed on. If not, the agent ends: going on would make
    /// its state another one than everybody else's.
    pub(crate) fn check_fitness(&mut self) {
        let (needs, knows) = (self.state.level(), self.level);
        if needs > knows {
            self.unfit(format!(
                "this cluster uses feature level {needs}, and this program ({}) knows level {knows} only: a downgrade below it is \
                 not possible; install the version that the other nodes run",
                self.version()
            ));
        }
    }

    pub(crate) fn unfit(&mut self, text: String) {
        self.log(Level::Error, text.clone());
        self.out.push(Effect::Unfit { text });
    }

    /// Version of this program; an older level than its own is part of it.
    pub(crate) fn version(&self) -> String {
        let version = env!("CARGO_PKG_VERSION");
        if self.level < standfast_model::FEATURE_LEVEL {
            format!("{version}~level{}", self.level)
        } else {
            version.to_owned()
        }
    }
}
