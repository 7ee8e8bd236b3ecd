//! Nodes that leave for good: when that is safe, and what is forgotten of them.
//!
//! Removing a member takes its vote and its key, and ends no lease: a node that may be running
//! something is not removed, and one that slips through keeps its entry until its lease has expired.
//! Not for members that come back under another number (`deciding`).

use crate::{
    apply::{self, Entry},
    configure,
    core::Core,
};
use standfast_model::{
    command::Change,
    id::{MemberId, NodeId},
    request::{Refusal, RefusalKind},
    state::ClusterState,
    time::Now,
};
use std::collections::BTreeSet;

/// Whether nothing may be remembered of a node: it is no member, and nobody expects it back.
pub(crate) fn is_gone(state: &ClusterState, node: &NodeId) -> bool {
    !state.members.is_empty()
        && !state.members.values().any(|info| info.node == *node)
        && !state.config.nodes.contains_key(node)
        && !state.nodes.contains_key(node)
}

/// Whether a node may be running something, as the log knows it.
fn may_hold_something(state: &ClusterState, node: &NodeId) -> bool {
    state
        .may_hold
        .values()
        .any(|holders| holders.contains(node))
        || state.restart_grants.contains_key(node)
}

/// A member that was not removed meanwhile shows other keys.
pub(crate) fn set_keys(
    state: &mut ClusterState,
    entry: &mut Entry,
    (node, keys, by): (&NodeId, &BTreeSet<String>, &str),
) {
    let Some(known) = state.keys.get_mut(node).filter(|known| *known != keys) else {
        return;
    };
    known.clone_from(keys);
    if by.is_empty() {
        return;
    }
    let text = if keys.len() > 1 {
        format!("{by} asked for another private key of {node}")
    } else {
        format!("{node} has another private key, as {by} asked; the old one is worth nothing")
    };
    entry.write(state, "keys", text, Vec::new());
}

/// Forgets a node that an operator removed, except what its leases need.
pub(crate) fn forget_node(state: &mut ClusterState, node: &NodeId) {
    state.keys.remove(node);
    let mut config = state.config.clone();
    config.nodes.remove(node);
    let copied = config.copies.groups.values_mut();
    let groups = copied.map(|copied| &mut copied.group);
    for group in groups.chain(config.groups.values_mut()) {
        group.prefer.remove(node);
    }
    if !config.copies.is_empty() {
        config.spread_copies();
        configure::remember_removed(state, &config);
    }
    state.config = config;
    if !state.config.copies.is_empty() {
        apply::forget_removed_resources(state);
    }
    for records in state.failures.values_mut() {
        records.remove(node);
    }
    state
        .moves
        .retain(|_, request| request.to.as_ref() != Some(node));
    if !may_hold_something(state, node) {
        state.nodes.remove(node);
    }
}

/// Forgets removed nodes whose leases have expired since.
pub(crate) fn forget_gone(state: &mut ClusterState) {
    let members: BTreeSet<&NodeId> = state.members.values().map(|info| &info.node).collect();
    let gone: Vec<NodeId> = state
        .nodes
        .iter()
        .filter(|(node, known)| {
            !known.online
                && !members.is_empty()
                && !members.contains(node)
                && !state.config.nodes.contains_key(*node)
                && !may_hold_something(state, node)
        })
        .map(|(node, _)| node.clone())
        .collect();
    for node in gone {
        state.nodes.remove(&node);
    }
}

impl Core {
    /// Puts the removal of a node into the log, or says why it must not be.
    pub(crate) fn remove(
        &mut self,
        now: Now,
        id: u64,
        node: &NodeId,
        author: &str,
    ) -> Result<(), Refusal> {
        let member = self.check_removal(now, node)?;
        if *node == self.node {
            return Err(self.leave_leadership(now));
        }
        let change = Change::RemoveMember {
            member,
            by: Some(author.to_owned()),
        };
        let busy = || Self::refusal(RefusalKind::Stale, BUSY);
        if !self.voters_vouch() {
            return Err(busy());
        }
        let command = self.encode(now, Some(id), change).ok_or_else(busy)?;
        self.consensus
            .propose_remove(member, command)
            .map_err(|_why| busy())
    }

    /// A node may show other keys only if everybody hears of it: who is offline would not let it in later.
    pub(crate) fn check_keys(
        &self,
        origin: Option<&NodeId>,
        node: &NodeId,
        keys: &BTreeSet<String>,
        force: bool,
    ) -> Result<(), Refusal> {
        if origin.unwrap_or(&self.node) != node || keys.is_empty() || keys.len() > MOST_KEYS {
            let text = "a node says only of itself which key it shows";
            return Err(Self::refusal(RefusalKind::Invalid, text));
        }
        let away: Vec<&str> = self
            .state
            .members
            .values()
            .filter(|info| {
                self.state
                    .nodes
                    .get(&info.node)
                    .is_none_or(|known| !known.online)
            })
            .map(|info| info.node.as_str())
            .collect();
        if away.is_empty() || force {
            return Ok(());
        }
        let away = away.join(" and ");
        Err(Self::refusal(
            RefusalKind::Unsafe,
            format!(
                "{away} is offline and would not know the new key of {node} when it comes back; wait for it, or --force: \
                 it then hears of it from another node"
            ),
        ))
    }

    fn check_removal(&self, now: Now, node: &NodeId) -> Result<MemberId, Refusal> {
        let refuse = |text: String| Err(Self::refusal(RefusalKind::Unsafe, text));
        if self.paired.is_some() {
            return refuse(format!(
                "{node} is one of a pair, which would be none without it: `standfast pair teardown` ends the pair"
            ));
        }
        let found = self
            .state
            .members
            .iter()
            .find(|(_, info)| info.node == *node);
        let Some((member, _)) = found else {
            self.check_node(node)?;
            return refuse(format!(
                "{node} is not a member just now: it is coming back under a new number, or has never joined; \
                 take it out of the configuration, or try again when it has joined"
            ));
        };
        let runs: Vec<&str> = self
            .state
            .plan
            .groups
            .iter()
            .filter(|(_, assignment)| assignment.node.as_ref() == Some(node))
            .map(|(group, _)| group.as_str())
            .collect();
        if !runs.is_empty() {
            return refuse(format!(
                "{} runs on {node}: `standfast node drain {node}` first",
                runs.join(", ")
            ));
        }
        if may_hold_something(&self.state, node) {
            return refuse(format!(
                "{node} may still be running something: wait until its leases have expired, or end what does not stop there \
                 (`status` names it)"
            ));
        }
        let left: Vec<MemberId> = self
            .consensus
            .voters()
            .into_iter()
            .filter(|voter| voter != member)
            .collect();
        if left.is_empty() {
            return refuse(format!(
                "{node} is the only voter: without it there is no cluster; `standfast destroy` there ends it"
            ));
        }
        let heard = left.iter().filter(|voter| self.hears(now, **voter)).count();
        if heard <= left.len() / 2 {
            return refuse(format!(
                "only {heard} of the {} voters that would be left are online: without a majority nothing runs; \
                 bring them back first, or remove a node that is lost",
                left.len()
            ));
        }
        if self
            .lead
            .as_ref()
            .is_some_and(|lead| lead.pending.is_some())
        {
            return Err(Self::refusal(RefusalKind::Stale, BUSY));
        }
        Ok(*member)
    }

    fn hears(&self, now: Now, member: MemberId) -> bool {
        member == self.member
            || self.node_of(member).is_some_and(|node| {
                self.lead
                    .as_ref()
                    .is_some_and(|lead| lead.is_heard(&node, now, &self.timing()))
            })
    }

    /// A leader is not removed: another one leads first.
    fn leave_leadership(&mut self, now: Now) -> Refusal {
        let heir = self.consensus.voters().into_iter().find(|voter| {
            *voter != self.member
                && self.hears(now, *voter)
                && self.consensus.matched(*voter) == Some(self.consensus.last_index())
        });
        if let Some(heir) = heir
            && self
                .lead
                .as_ref()
                .is_some_and(|lead| lead.giving_up.is_none())
        {
            self.hand_leadership_to(now, heir);
        }
        Self::refusal(
            RefusalKind::Stale,
            format!(
                "{} leads; leadership goes to another node first: try again in a moment",
                self.node
            ),
        )
    }

    /// How this node knows that it was removed, empty when it was not. One member alone may not know
    /// of it yet; most of them do.
    pub(crate) fn why_removed(&self) -> String {
        if self.state.members.is_empty() {
            return String::new();
        }
        if self.state.keys.is_empty() || self.state.keys.contains_key(&self.node) {
            let others: BTreeSet<NodeId> = self.others().into_iter().collect();
            let refused = others.intersection(&self.not_let_in).count();
            if refused <= others.len() / 2 {
                return String::new();
            }
            let names: Vec<&str> = self.not_let_in.iter().map(NodeId::as_str).collect();
            return format!(
                "{} no longer let it in, or have replaced their certificate authority while it was away",
                names.join(" and ")
            );
        }
        "the cluster's own log says so".to_owned()
    }
}

/// Keys that a node may show at once: the old one and the new one.
const MOST_KEYS: usize = 2;

/// Something else has to be committed first.
const BUSY: &str = "another change is on its way; nothing was removed; try again in a moment";
