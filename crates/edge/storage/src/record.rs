//! The records that are stored, as plain data of this crate. Not the consensus module's types: those
//! never reach the disk, so that either side can change.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Consensus state that must never go backwards.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HardState {
    /// Latest term this node has seen.
    pub term: u64,
    /// Member voted for in `term`; 0 means none.
    pub vote: u64,
    /// Highest log index known to be committed.
    pub commit: u64,
}

/// One entry of the replicated log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// Position in the log; the first entry has index 1.
    pub index: u64,
    /// Term in which the entry was proposed.
    pub term: u64,
    /// What `data` is; the caller's own numbering.
    pub kind: u8,
    /// The command.
    pub data: Vec<u8>,
    /// Whatever the proposer wants back when the entry is applied.
    pub context: Vec<u8>,
}

/// The replicated state at one index, in place of the log up to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Last log index contained.
    pub index: u64,
    /// Term of the entry at `index`.
    pub term: u64,
    /// The state, encoded by the caller.
    pub data: Vec<u8>,
    /// Members that vote at `index`.
    pub voters: Vec<u64>,
    /// Members that follow without a vote at `index`.
    pub learners: Vec<u64>,
}

/// Where a snapshot stands in the log, without its contents.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SnapshotMeta {
    /// Last log index contained; 0 when there is no snapshot.
    pub index: u64,
    /// Term of the entry at `index`.
    pub term: u64,
}

/// The node refuses, for ever, anything older than this. Ordered by term, then generation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Promise {
    /// Term of the plan.
    pub term: u64,
    /// Generation of the plan within its term.
    pub generation: u64,
}

/// Who this node is in which cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The cluster's unique id.
    pub cluster_id: String,
    /// The node's name.
    pub node: String,
    /// The node's number in consensus; a node that comes back without its disk gets a new one.
    pub member: u64,
}

/// What is to become durable together. An empty field changes nothing. Applied in the order of the
/// fields, as one transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Replaces the log up to its index. Entries after it stay if the log contains the snapshot's
    /// last entry, else the whole log goes (Raft, section 7).
    pub snapshot: Option<Snapshot>,
    /// Removes the entries from this index on. They must not be committed.
    pub truncate_from: Option<u64>,
    /// Consecutive entries. Entries already there with the same term are left alone; the first one
    /// that differs removes what follows it.
    pub append: Vec<Entry>,
    /// New term, vote and commit index.
    pub hard_state: Option<HardState>,
    /// New promise; never lower than the present one.
    pub promise: Option<Promise>,
    /// Longest time, in microseconds, for which this node may have promised not to vote.
    pub vote_cap_us: Option<u64>,
    /// Named records to write, or with `None` to remove.
    pub notes: Vec<(String, Option<Vec<u8>>)>,
}

/// What the folder turned out to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Never initialised.
    Fresh,
    /// Everything that was acknowledged is here.
    Intact,
    /// This node was a member, but its database is gone. Its votes are unknown.
    Lost,
    /// The database could not be read whole; it was set aside. Votes are unknown.
    Corrupt {
        /// Where the damaged file is now.
        set_aside: PathBuf,
        /// What was found, for the operator.
        reason: String,
    },
}

/// What [`crate::Storage::open`] found. Unless the condition is `Intact`, only `identity` can be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Whether the rest can be relied on.
    pub condition: Condition,
    /// Term, vote and commit index.
    pub hard_state: HardState,
    /// The latest snapshot.
    pub snapshot: Option<Snapshot>,
    /// The log after the snapshot, without gaps.
    pub entries: Vec<Entry>,
    /// The promise.
    pub promise: Promise,
    /// Longest time, in microseconds, for which this node may have promised not to vote.
    pub vote_cap_us: u64,
    /// Who this node is; from the database, or from `identity.json` when that is all there is.
    pub identity: Option<Identity>,
    /// How many times this database was opened, this time included. A peer that has seen a higher
    /// number knows that the folder was rolled back.
    pub incarnation: u64,
    /// Named records.
    pub notes: BTreeMap<String, Vec<u8>>,
}

impl Restored {
    /// Nothing but a condition and perhaps an identity.
    pub(crate) fn empty(condition: Condition, identity: Option<Identity>) -> Self {
        Self {
            condition,
            hard_state: HardState::default(),
            snapshot: None,
            entries: Vec::new(),
            promise: Promise::default(),
            vote_cap_us: 0,
            identity,
            incarnation: 0,
            notes: BTreeMap::new(),
        }
    }
}
