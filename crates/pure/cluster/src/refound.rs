//! A new cluster made from what one node knows of an old one: after its majority is lost for good, or
//! from a backup.
//!
//! The new cluster has another identity, another key for its only node, and no other member: nothing
//! of the old one is let in. What may be running elsewhere stays noted until its leases have expired.
//! Not for writing any of it to a disk, and not for asking whether it may be done.

use crate::{apply, removal::forget_gone};
use standfast_model::{
    authority::Authorities,
    command::Command,
    event::Restored,
    id::{MemberId, NodeId},
    state::{ClusterState, JOURNAL_LIMIT, JournalEntry, Member},
    time::Micros,
};
use std::collections::{BTreeMap, BTreeSet};

/// Kind of a log entry whose command is in its data; others carry it along (see crate `consensus`).
const COMMAND: u32 = 0;

/// What a node's records hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// The state with every entry of the log applied.
    pub state: ClusterState,
    /// Highest term that this node knows.
    pub term: u64,
    /// Entries that were applied although this node does not know whether they were ever committed.
    pub uncertain: u64,
    /// Members that are known to have acknowledged more than this node has: index, by node.
    pub ahead: BTreeMap<NodeId, u64>,
}

/// Reads everything that a node's records hold. `None` when they hold no state at all.
#[must_use]
pub fn survey(restored: &Restored) -> Option<Survey> {
    let snapshot = restored.snapshot.as_ref()?;
    let mut state: ClusterState = serde_json::from_slice(&snapshot.data).ok()?;
    state.applied = snapshot.index;
    let mut last = (snapshot.term, snapshot.index);
    let mut uncertain = 0;
    for entry in &restored.entries {
        if entry.index <= snapshot.index {
            continue;
        }
        last = (entry.term, entry.index);
        uncertain += u64::from(entry.index > restored.hard_state.commit);
        state.applied = entry.index;
        let data = if entry.kind == COMMAND {
            &entry.data
        } else {
            &entry.context
        };
        if let Ok(command) = serde_json::from_slice::<Command>(data) {
            // A refused command changes nothing, here as everywhere.
            drop(apply(&mut state, entry.index, &command));
        }
    }
    let ahead = restored
        .memory
        .iter()
        .filter(|known| (known.term, known.index) > last && known.index > 0)
        .filter_map(|known| {
            let member = state.members.get(&MemberId(known.member))?;
            Some((member.node.clone(), known.index))
        })
        .collect();
    Some(Survey {
        term: restored.hard_state.term.max(last.0),
        state,
        uncertain,
        ahead,
    })
}

/// The only node of a new cluster, and why there is one.
#[derive(Clone, Debug)]
pub struct NewCluster {
    /// Its identity.
    pub cluster_id: String,
    /// Its node.
    pub node: NodeId,
    /// That node's links.
    pub addresses: Vec<String>,
    /// Fingerprint of that node's new public key.
    pub key: String,
    /// For the journal.
    pub text: String,
    /// For the journal.
    pub evidence: Vec<String>,
    /// Wall clock, milliseconds since 1970, for display only.
    pub wall_ms: u64,
}

/// The state of a new cluster, one entry after the old one; and its node's member number.
#[must_use]
pub fn refound(old: &ClusterState, new: &NewCluster) -> (ClusterState, MemberId) {
    let mut state = old.clone();
    let member = MemberId(old.next_member.max(1));
    state.cluster_id.clone_from(&new.cluster_id);
    state.applied = old.applied.saturating_add(1);
    state.next_member = member.0.saturating_add(1);
    let info = Member {
        node: new.node.clone(),
        voter: true,
        addresses: new.addresses.clone(),
    };
    state.members = BTreeMap::from([(member, info)]);
    state.keys = BTreeMap::from([(new.node.clone(), BTreeSet::from([new.key.clone()]))]);
    let config = state.config.nodes.entry(new.node.clone()).or_default();
    config.addresses.clone_from(&new.addresses);
    // Everybody who may be running something is taken for alive until the leader has waited for it.
    let holders: BTreeSet<NodeId> = state
        .may_hold
        .values()
        .flatten()
        .chain(state.restart_grants.keys())
        .cloned()
        .collect();
    for node in &holders {
        state.nodes.entry(node.clone()).or_default();
    }
    for (node, known) in &mut state.nodes {
        if *node != new.node {
            known.online = holders.contains(node);
            known.offline_reason = "it belonged to the cluster before this one".to_owned();
        }
    }
    state.nodes.entry(new.node.clone()).or_default();
    state.moves.clear();
    // It has an authority of its own.
    state.authorities = Authorities::default();
    forget_gone(&mut state);
    state.journal.push_back(JournalEntry {
        index: state.applied,
        wall_ms: new.wall_ms,
        plan: state.plan.number,
        kind: "recovery".to_owned(),
        text: new.text.clone(),
        evidence: new.evidence.clone(),
    });
    while state.journal.len() > JOURNAL_LIMIT {
        state.journal.pop_front();
    }
    (state, member)
}

/// How long leases of the old cluster may still live at most, counted from when the new one starts, by
/// the configuration that this node knows; stretched.
#[must_use]
pub fn longest_lease(state: &ClusterState) -> Micros {
    let timing = &state.config.timing;
    let extra = state
        .nodes
        .values()
        .map(|node| node.report.guards.extra_wait())
        .max()
        .unwrap_or(Micros::ZERO);
    timing.bridge().plus(extra).stretched(timing.drift_ppm)
}
