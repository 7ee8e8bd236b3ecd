//! Messages between nodes: protobuf, so that mixed versions can read each other.
//!
//! Leases and rounds are datagrams, sent on every link and lost without harm; the rest goes over streams.

use crate::{id::MemberId, plan::PlanNumber};

/// What travels between two nodes. The sender's name is known from its certificate.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Message {
    /// Feature level of the sender.
    #[prost(uint32, tag = "1")]
    pub feature_level: u32,
    /// Consensus identity of the sender, zero when it has none yet.
    #[prost(uint64, tag = "2")]
    pub member: u64,
    /// Run of the sending agent.
    #[prost(uint64, tag = "3")]
    pub incarnation: u64,
    /// What it says.
    #[prost(
        oneof = "Body",
        tags = "10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 40, 41, 42"
    )]
    pub body: Option<Body>,
}

/// Kinds of message.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum Body {
    /// Node to leader, every heartbeat, datagram.
    #[prost(message, tag = "10")]
    LeaseRequest(LeaseRequest),
    /// Leader to node, in answer, datagram.
    #[prost(message, tag = "11")]
    LeaseGrant(LeaseGrant),
    /// Leader to all members, every heartbeat, datagram.
    #[prost(message, tag = "12")]
    Round(Round),
    /// Voter to leader, in answer, datagram.
    #[prost(message, tag = "13")]
    RoundAck(RoundAck),
    /// Node to leader, when something changed, stream.
    #[prost(message, tag = "14")]
    Report(Report),
    /// Between consensus members, stream.
    #[prost(message, tag = "15")]
    Consensus(Consensus),
    /// A client's request, forwarded to the leader, stream.
    #[prost(message, tag = "16")]
    Forward(Forward),
    /// The leader's answer to it, stream.
    #[prost(message, tag = "17")]
    Answer(Answer),
    /// A voter that just started asks what the others remember of it, stream.
    #[prost(message, tag = "18")]
    MemoryQuery(MemoryQuery),
    /// What they remember, stream.
    #[prost(message, tag = "19")]
    MemoryAnswer(MemoryAnswer),
    /// A member whose disk was lost or rolled back asks to come back as a new one, stream.
    #[prost(message, tag = "20")]
    Rejoin(Rejoin),
    /// Member to member, when they begin to hear each other and when members change, stream.
    #[prost(message, tag = "21")]
    Members(Members),
    /// Between the nodes of a pair, every keep-alive and after every change, datagram.
    #[prost(message, tag = "22")]
    PairWord(PairWord),
    /// Between consensus members of a pair, stream.
    #[prost(message, tag = "23")]
    PairConsensus(PairConsensus),
    /// A question about the receiving node, which its core never sees, stream.
    #[prost(message, tag = "40")]
    Query(Query),
    /// The answer to it, stream.
    #[prost(message, tag = "41")]
    QueryAnswer(QueryAnswer),
    /// A member asks for the key of the authority to come, or is given it; cores never see it, stream.
    #[prost(message, tag = "42")]
    AuthorityKey(AuthorityKey),
}

/// The private key of an authority, from one member to another. It is encrypted by the link, and never logged.
#[derive(Clone, PartialEq, Eq, prost::Message)]
#[prost(skip_debug)]
pub struct AuthorityKey {
    /// Fingerprint of the authority's certificate.
    #[prost(string, tag = "1")]
    pub fingerprint: String,
    /// Its key, PEM; empty in a question.
    #[prost(string, tag = "2")]
    pub pem: String,
}

impl std::fmt::Debug for AuthorityKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthorityKey")
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

/// A plan's number on the wire.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct PlanRef {
    /// Term.
    #[prost(uint64, tag = "1")]
    pub term: u64,
    /// Generation.
    #[prost(uint64, tag = "2")]
    pub generation: u64,
}

impl From<PlanNumber> for PlanRef {
    fn from(number: PlanNumber) -> Self {
        Self {
            term: number.term,
            generation: number.generation,
        }
    }
}

impl From<PlanRef> for PlanNumber {
    fn from(number: PlanRef) -> Self {
        Self {
            term: number.term,
            generation: number.generation,
        }
    }
}

/// An instance that a lease is about.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Instance {
    /// The resource.
    #[prost(string, tag = "1")]
    pub resource: String,
    /// The plan in which its group was given to this node.
    #[prost(message, required, tag = "2")]
    pub since: PlanRef,
}

/// "I am here, and want to hold these."
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct LeaseRequest {
    /// Grows with every request of an incarnation; the grant names it, and counts from its sending.
    #[prost(uint64, tag = "1")]
    pub sequence: u64,
    /// The plan that this node has applied.
    #[prost(message, required, tag = "2")]
    pub plan: PlanRef,
    /// What it asks for: never an instance whose lease lapsed and whose stop is not confirmed.
    #[prost(message, repeated, tag = "3")]
    pub wants: Vec<Instance>,
    /// Version of its latest report.
    #[prost(uint64, tag = "4")]
    pub report_version: u64,
    /// Index of the last command it has applied.
    #[prost(uint64, tag = "5")]
    pub applied: u64,
    /// Term and number of the newest round that it has heard, so that a leader whom it does not hear stops granting.
    /// Zero: none yet.
    #[prost(uint64, tag = "6")]
    pub heard_term: u64,
    /// See `heard_term`.
    #[prost(uint64, tag = "7")]
    pub heard_round: u64,
}

/// "You may hold these, so long, counted from when you sent the request."
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct LeaseGrant {
    /// The leader's term.
    #[prost(uint64, tag = "1")]
    pub term: u64,
    /// The request that it answers.
    #[prost(uint64, tag = "2")]
    pub sequence: u64,
    /// The plan that authorises it.
    #[prost(message, required, tag = "3")]
    pub plan: PlanRef,
    /// What may be held, and nothing else.
    #[prost(message, repeated, tag = "4")]
    pub instances: Vec<Instance>,
    /// How long, microseconds.
    #[prost(uint64, tag = "5")]
    pub length_us: u64,
    /// The newest report of this node that the leader has.
    #[prost(uint64, tag = "6")]
    pub report_version: u64,
    /// What the leader knows to be committed: whoever asked a moment ago and has applied that much is in step. Zero from
    /// programs that do not say.
    #[prost(uint64, tag = "7")]
    pub commit: u64,
}

/// "I lead; promise not to vote for a while, and to tell the next leader of the leases I give."
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Round {
    /// The leader's term.
    #[prost(uint64, tag = "1")]
    pub term: u64,
    /// Grows with every round of a term.
    #[prost(uint64, tag = "2")]
    pub round: u64,
    /// Length of the promise not to vote, microseconds, before stretching.
    #[prost(uint64, tag = "3")]
    pub leadership_us: u64,
    /// Longest lease that may be given on the strength of this round, microseconds, before stretching.
    #[prost(uint64, tag = "4")]
    pub lease_us: u64,
    /// What each member has acknowledged to the leader: everybody remembers it.
    #[prost(message, repeated, tag = "5")]
    pub acknowledged: Vec<Acknowledged>,
    /// The leader's commit index.
    #[prost(uint64, tag = "6")]
    pub commit: u64,
}

/// What a member has acknowledged to have on its disk.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Acknowledged {
    /// The member.
    #[prost(uint64, tag = "1")]
    pub member: u64,
    /// Last index of the log.
    #[prost(uint64, tag = "2")]
    pub index: u64,
    /// Term it has been in.
    #[prost(uint64, tag = "3")]
    pub term: u64,
}

/// "Promised."
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RoundAck {
    /// Term of the round.
    #[prost(uint64, tag = "1")]
    pub term: u64,
    /// The round.
    #[prost(uint64, tag = "2")]
    pub round: u64,
    /// How long leases of earlier leaders may still live by this voter's promises, microseconds, already stretched.
    #[prost(uint64, tag = "3")]
    pub horizon_us: u64,
}

/// A node's report; the content is JSON of `state::NodeReport`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Report {
    /// Its content.
    #[prost(bytes = "vec", tag = "1")]
    pub json: Vec<u8>,
}

/// A message of the consensus algorithm, in our own words: the library's types stay in crate `consensus`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Consensus {
    /// Kind, a number that crate `consensus` owns.
    #[prost(int32, tag = "1")]
    pub kind: i32,
    /// Receiver's member number.
    #[prost(uint64, tag = "2")]
    pub to: u64,
    /// Sender's member number.
    #[prost(uint64, tag = "3")]
    pub from: u64,
    /// Term.
    #[prost(uint64, tag = "4")]
    pub term: u64,
    /// Term of the entry at `index`.
    #[prost(uint64, tag = "5")]
    pub log_term: u64,
    /// Index.
    #[prost(uint64, tag = "6")]
    pub index: u64,
    /// Entries.
    #[prost(message, repeated, tag = "7")]
    pub entries: Vec<LogEntry>,
    /// Commit index.
    #[prost(uint64, tag = "8")]
    pub commit: u64,
    /// Term of the commit index.
    #[prost(uint64, tag = "9")]
    pub commit_term: u64,
    /// Snapshot.
    #[prost(message, optional, tag = "10")]
    pub snapshot: Option<LogSnapshot>,
    /// Index of a requested snapshot.
    #[prost(uint64, tag = "11")]
    pub request_snapshot: u64,
    /// Refused.
    #[prost(bool, tag = "12")]
    pub reject: bool,
    /// Hint for the next try.
    #[prost(uint64, tag = "13")]
    pub reject_hint: u64,
    /// Opaque context.
    #[prost(bytes = "vec", tag = "14")]
    pub context: Vec<u8>,
}

/// An entry of the log, as sent and as stored.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct LogEntry {
    /// Index, from 1.
    #[prost(uint64, tag = "1")]
    pub index: u64,
    /// Term.
    #[prost(uint64, tag = "2")]
    pub term: u64,
    /// 0 a command, 1 a change of members (a number that crate `consensus` owns).
    #[prost(uint32, tag = "3")]
    pub kind: u32,
    /// Content.
    #[prost(bytes = "vec", tag = "4")]
    pub data: Vec<u8>,
    /// The command that a change of members carries along.
    #[prost(bytes = "vec", tag = "5")]
    pub context: Vec<u8>,
}

/// All that a node of a pair has to say of itself.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PairWord {
    /// Grows by one with each of this run.
    #[prost(uint64, tag = "1")]
    pub number: u64,
    /// The newest number that the sender has heard from this run of the receiver; zero for none.
    #[prost(uint64, tag = "2")]
    pub heard: u64,
    /// JSON of the word (see crate `pair`).
    #[prost(bytes = "vec", tag = "3")]
    pub json: Vec<u8>,
    /// Nothing of what a primary runs is left on the sender. Never said by programs that do not know it.
    #[prost(bool, tag = "4")]
    pub idle: bool,
}

/// A message of consensus within one generation of a pair. Whoever is in another one does not take it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PairConsensus {
    /// Number of the sender's newest generation.
    #[prost(uint64, tag = "1")]
    pub generation: u64,
    /// Run of the agent that began it.
    #[prost(uint64, tag = "2")]
    pub run: u64,
    /// The message.
    #[prost(message, required, tag = "3")]
    pub inner: Consensus,
}

/// The state up to an index, as sent and as stored.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct LogSnapshot {
    /// Last index that it contains.
    #[prost(uint64, tag = "1")]
    pub index: u64,
    /// Its term.
    #[prost(uint64, tag = "2")]
    pub term: u64,
    /// Voters.
    #[prost(uint64, repeated, tag = "3")]
    pub voters: Vec<u64>,
    /// Learners.
    #[prost(uint64, repeated, tag = "4")]
    pub learners: Vec<u64>,
    /// JSON of `state::ClusterState`.
    #[prost(bytes = "vec", tag = "5")]
    pub data: Vec<u8>,
}

/// A client's request on its way to the leader; the content is JSON of `request::Request`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Forward {
    /// Unique for ever.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// Content.
    #[prost(bytes = "vec", tag = "2")]
    pub json: Vec<u8>,
}

/// The answer to a forwarded request; the content is JSON of `request::Response`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Answer {
    /// The request.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// Content.
    #[prost(bytes = "vec", tag = "2")]
    pub json: Vec<u8>,
}

/// A question about the receiving node; the content is JSON of `query::Query`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Query {
    /// Unique for the asking run.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// Content.
    #[prost(bytes = "vec", tag = "2")]
    pub json: Vec<u8>,
}

/// The answer; the content is JSON of `query::Answer`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct QueryAnswer {
    /// The question.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// Content.
    #[prost(bytes = "vec", tag = "2")]
    pub json: Vec<u8>,
}

/// "What do you remember of me?"
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct MemoryQuery {}

/// "This much": zeros when nothing.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct MemoryAnswer {
    /// About whom, as the answering node knows it.
    #[prost(message, required, tag = "1")]
    pub remembered: Acknowledged,
    /// The member number that this node has now, zero when it is none.
    #[prost(uint64, tag = "2")]
    pub current_member: u64,
    /// The term in which the answering node leads, once it has applied what was committed before; else zero.
    #[prost(uint64, tag = "3")]
    pub leads: u64,
}

/// "These are the members, as I know them": for whoever was away while others joined, and may not be
/// let in by, nor let in, the one that leads now.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Members {
    /// JSON of `Newcomer` by the node's name.
    #[prost(bytes = "vec", tag = "1")]
    pub json: Vec<u8>,
}

/// "My disk is not what it was; take me as a new member."
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Rejoin {
    /// Why, for the journal.
    #[prost(string, tag = "1")]
    pub why: String,
}

impl Message {
    /// A message of this build.
    #[must_use]
    pub const fn new(member: MemberId, incarnation: u64, body: Body) -> Self {
        Self {
            feature_level: crate::FEATURE_LEVEL,
            member: member.0,
            incarnation,
            body: Some(body),
        }
    }
}
