//! Translation between the library's types and ours, both ways, with every field that we use.
//!
//! Not for judging content: that is `check`.

use crate::MemberChange;
use prost::Message as _;
use raft::eraftpb;
use standfast_model::{
    event::HardState,
    id::MemberId,
    message::{Consensus as Message, LogEntry, LogSnapshot},
};

/// Kinds of message on the wire. Numbers are for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Append = 1,
    AppendResponse = 2,
    RequestVote = 3,
    RequestVoteResponse = 4,
    Snapshot = 5,
    Heartbeat = 6,
    HeartbeatResponse = 7,
    TimeoutNow = 8,
    RequestPreVote = 9,
    RequestPreVoteResponse = 10,
}

impl Kind {
    pub(crate) const ALL: [Self; 10] = [
        Self::Append,
        Self::AppendResponse,
        Self::RequestVote,
        Self::RequestVoteResponse,
        Self::Snapshot,
        Self::Heartbeat,
        Self::HeartbeatResponse,
        Self::TimeoutNow,
        Self::RequestPreVote,
        Self::RequestPreVoteResponse,
    ];

    pub(crate) const fn number(self) -> i32 {
        self as i32
    }

    pub(crate) fn of(message: &Message) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.number() == message.kind)
    }

    const fn library(self) -> eraftpb::MessageType {
        match self {
            Self::Append => eraftpb::MessageType::MsgAppend,
            Self::AppendResponse => eraftpb::MessageType::MsgAppendResponse,
            Self::RequestVote => eraftpb::MessageType::MsgRequestVote,
            Self::RequestVoteResponse => eraftpb::MessageType::MsgRequestVoteResponse,
            Self::Snapshot => eraftpb::MessageType::MsgSnapshot,
            Self::Heartbeat => eraftpb::MessageType::MsgHeartbeat,
            Self::HeartbeatResponse => eraftpb::MessageType::MsgHeartbeatResponse,
            Self::TimeoutNow => eraftpb::MessageType::MsgTimeoutNow,
            Self::RequestPreVote => eraftpb::MessageType::MsgRequestPreVote,
            Self::RequestPreVoteResponse => eraftpb::MessageType::MsgRequestPreVoteResponse,
        }
    }
}

/// Whether a message is a heartbeat or its answer: repeated all the time, so that one may be lost, come
/// twice, or overtake others without harm.
#[must_use]
pub fn is_heartbeat(message: &Message) -> bool {
    matches!(
        Kind::of(message),
        Some(Kind::Heartbeat | Kind::HeartbeatResponse)
    )
}

/// Kinds of entry in `LogEntry::kind`. Numbers are for ever.
const COMMAND: u32 = 0;
const MEMBER_CHANGE: u32 = 1;

/// The library's own encoding of a change of members (its `ConfChange`), which it wants to find in its entries.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct LibraryChange {
    #[prost(int32, tag = "2")]
    change_type: i32,
    #[prost(uint64, tag = "3")]
    node_id: u64,
}

/// To the library; `None` when an entry is of an unknown kind or cannot be read.
pub(crate) fn message_in(kind: Kind, message: &Message) -> Option<eraftpb::Message> {
    let entries: Option<Vec<_>> = message.entries.iter().map(entry_in).collect();
    Some(eraftpb::Message {
        msg_type: kind.library().into(),
        to: message.to,
        from: message.from,
        term: message.term,
        log_term: message.log_term,
        index: message.index,
        entries: entries?,
        commit: message.commit,
        commit_term: message.commit_term,
        snapshot: message.snapshot.as_ref().map(snapshot_in),
        request_snapshot: message.request_snapshot,
        reject: message.reject,
        reject_hint: message.reject_hint,
        context: message.context.clone(),
        deprecated_priority: 0,
        priority: 0,
    })
}

/// From the library; `None` for kinds that never travel.
pub(crate) fn message_out(message: eraftpb::Message) -> Option<Message> {
    let kind = Kind::ALL
        .into_iter()
        .find(|kind| i32::from(kind.library()) == message.msg_type)?;
    Some(Message {
        kind: kind.number(),
        to: message.to,
        from: message.from,
        term: message.term,
        log_term: message.log_term,
        index: message.index,
        entries: message.entries.into_iter().map(entry_out).collect(),
        commit: message.commit,
        commit_term: message.commit_term,
        snapshot: message.snapshot.map(snapshot_out),
        request_snapshot: message.request_snapshot,
        reject: message.reject,
        reject_hint: message.reject_hint,
        context: message.context,
    })
}

/// To the library; `None` when it is of an unknown kind or cannot be read.
pub(crate) fn entry_in(entry: &LogEntry) -> Option<eraftpb::Entry> {
    let (kind, data) = match entry.kind {
        COMMAND => (eraftpb::EntryType::EntryNormal, entry.data.clone()),
        MEMBER_CHANGE => {
            let change = library_change(change_decoded(&entry.data)?);
            (
                eraftpb::EntryType::EntryConfChange,
                LibraryChange {
                    change_type: change.change_type,
                    node_id: change.node_id,
                }
                .encode_to_vec(),
            )
        }
        _ => return None,
    };
    Some(eraftpb::Entry {
        entry_type: kind.into(),
        term: entry.term,
        index: entry.index,
        data,
        context: entry.context.clone(),
        sync_log: false,
    })
}

/// From the library.
pub(crate) fn entry_out(entry: eraftpb::Entry) -> LogEntry {
    let (kind, data) = match change_of(&entry) {
        Some(change) => (MEMBER_CHANGE, change_encoded(change)),
        None => (COMMAND, entry.data),
    };
    LogEntry {
        index: entry.index,
        term: entry.term,
        kind,
        data,
        context: entry.context,
    }
}

/// The change of members in a library's entry.
pub(crate) fn change_of(entry: &eraftpb::Entry) -> Option<MemberChange> {
    if entry.entry_type != i32::from(eraftpb::EntryType::EntryConfChange) {
        return None;
    }
    let change = LibraryChange::decode(entry.data.as_slice()).ok()?;
    let member = MemberId(change.node_id);
    let is = |kind: eraftpb::ConfChangeType| change.change_type == i32::from(kind);
    if is(eraftpb::ConfChangeType::AddLearnerNode) {
        Some(MemberChange::AddLearner(member))
    } else if is(eraftpb::ConfChangeType::AddNode) {
        Some(MemberChange::Promote(member))
    } else if is(eraftpb::ConfChangeType::RemoveNode) {
        Some(MemberChange::Remove(member))
    } else {
        None
    }
}

/// To the library, for proposing and applying.
pub(crate) fn library_change(change: MemberChange) -> eraftpb::ConfChange {
    let (kind, member) = match change {
        MemberChange::AddLearner(member) => (eraftpb::ConfChangeType::AddLearnerNode, member),
        MemberChange::Promote(member) => (eraftpb::ConfChangeType::AddNode, member),
        MemberChange::Remove(member) => (eraftpb::ConfChangeType::RemoveNode, member),
    };
    eraftpb::ConfChange {
        change_type: kind.into(),
        node_id: member.0,
        context: Vec::new(),
        id: 0,
    }
}

/// One byte for what, eight for whom (little endian). Numbers are for ever.
fn change_encoded(change: MemberChange) -> Vec<u8> {
    let (kind, member) = match change {
        MemberChange::AddLearner(member) => (1, member),
        MemberChange::Promote(member) => (2, member),
        MemberChange::Remove(member) => (3, member),
    };
    let mut bytes = vec![kind];
    bytes.extend_from_slice(&member.0.to_le_bytes());
    bytes
}

fn change_decoded(bytes: &[u8]) -> Option<MemberChange> {
    let (kind, member) = bytes.split_first()?;
    let member = u64::from_le_bytes(member.try_into().ok()?);
    if member == 0 {
        return None;
    }
    match kind {
        1 => Some(MemberChange::AddLearner(MemberId(member))),
        2 => Some(MemberChange::Promote(MemberId(member))),
        3 => Some(MemberChange::Remove(MemberId(member))),
        _ => None,
    }
}

pub(crate) fn snapshot_in(snapshot: &LogSnapshot) -> eraftpb::Snapshot {
    eraftpb::Snapshot {
        data: snapshot.data.clone(),
        metadata: Some(eraftpb::SnapshotMetadata {
            conf_state: Some(eraftpb::ConfState {
                voters: snapshot.voters.clone(),
                learners: snapshot.learners.clone(),
                ..eraftpb::ConfState::default()
            }),
            index: snapshot.index,
            term: snapshot.term,
        }),
    }
}

pub(crate) fn snapshot_out(snapshot: eraftpb::Snapshot) -> LogSnapshot {
    let meta = snapshot.metadata.unwrap_or_default();
    let members = meta.conf_state.unwrap_or_default();
    LogSnapshot {
        index: meta.index,
        term: meta.term,
        voters: members.voters,
        learners: members.learners,
        data: snapshot.data,
    }
}

pub(crate) fn hard_state_in(state: HardState) -> eraftpb::HardState {
    eraftpb::HardState {
        term: state.term,
        vote: state.vote,
        commit: state.commit,
    }
}

pub(crate) fn hard_state_out(state: &eraftpb::HardState) -> HardState {
    HardState {
        term: state.term,
        vote: state.vote,
        commit: state.commit,
    }
}
